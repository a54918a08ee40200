//! The bytecode of one function and its mapping to the module's bytes.

use crate::micro::{COUNTER_READY, MicroOp, Root};
use crate::table::Handler;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// The translation of one function. It belongs to no instance, and nothing of it changes but its counters and the handlers of
/// back edges that stop counting.
///
/// Layout: the entry handler for callers of another context, then the entry cell, then the other cells. A cell is the address
/// of its handler and the operands of its micro-operators.
#[derive(Debug)]
pub struct Bytecode {
    pub(crate) code: Cells,
    /// One entry a micro-operator: bytes since the last one's cell, then zigzag distance of the operator's offset.
    pub(crate) map: Box<[u8]>,
    pub(crate) root: Root,
    pub(crate) record_slot: u32,
    pub(crate) frame_slots: u32,
    /// Byte offset in the module where the function's body starts; the mapping counts from it.
    pub(crate) body_offset: u32,
    /// The function's counter, then those of its loops; none when nothing is counted.
    pub(crate) counters: Box<[Counter]>,
    /// Offset of the entry cell that counts.
    pub(crate) counted_entry: Option<u32>,
    pub(crate) loops: Box<[Loop]>,
    /// In the order in which they open.
    pub(crate) tries: Box<[TryRange]>,
    /// In the order of their ranges.
    pub(crate) clauses: Box<[Clause]>,
}

/// Bytecode that a `try` or `try_table` protects. Ranges lie inside each other or apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TryRange {
    /// Offset of the first cell.
    pub(crate) start: u32,
    /// Offset behind the last cell.
    pub(crate) end: u32,
    /// The innermost range around it.
    pub(crate) parent: Option<u32>,
    /// The range whose clauses come after its own: the parent, unless a `delegate` names another.
    pub(crate) next: Option<u32>,
    /// Its clauses.
    pub(crate) clauses: Range<u32>,
}

/// What catches exceptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clause {
    /// The tag whose exceptions it takes; `None` for all.
    pub tag: Option<u32>,
    /// The slot of the frame from which on it finds what the exception carries; unless it takes all.
    pub slot: u32,
    /// The slot for a reference to the exception.
    pub ref_slot: Option<u32>,
    /// Offset of the cell that goes on. It expects hot locals in their slots.
    pub(crate) cell: u32,
}

/// A loop whose iterations are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loop {
    /// Byte offset in the module of the operator `loop`.
    pub offset: u32,
    /// The innermost loop around it, by its index.
    pub parent: Option<u32>,
    /// Offset of the cell that counts; 0 when no branch goes back.
    pub(crate) cell: u32,
}

/// A counter as handlers see it.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Counter {
    /// What is left; counted down by guests, not atomically.
    left: AtomicU32,
    /// Whether there is native code for the loop; guests only read it.
    ready: AtomicU32,
}

const _: () = assert!(std::mem::offset_of!(Counter, ready) == COUNTER_READY as usize);

impl Counter {
    pub(crate) fn new(left: u32) -> Counter {
        Counter { left: AtomicU32::new(left), ready: AtomicU32::new(0) }
    }
}

/// Bytecode in whole words, so that a handler can be exchanged while other threads run it.
#[derive(Debug)]
pub(crate) struct Cells {
    words: Box<[AtomicU64]>,
    len: usize,
}

impl Cells {
    /// Room for so many bytes.
    pub(crate) fn new(len: usize) -> Cells {
        Cells { words: (0..len.div_ceil(8)).map(|_| AtomicU64::new(0)).collect(), len }
    }

    /// Fills the cells.
    pub(crate) fn write(&self, code: &[u8]) {
        for (word, bytes) in self.words.iter().zip(code.chunks(8)) {
            let mut padded = [0; 8];
            padded[..bytes.len()].copy_from_slice(bytes);
            word.store(u64::from_le_bytes(padded), Ordering::Relaxed);
        }
    }

    pub(crate) fn start(&self) -> *const u8 {
        self.words.as_ptr().cast()
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// A copy of the cells as they are now.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> =
            self.words.iter().flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes()).collect();
        bytes.truncate(self.len);
        bytes
    }

    /// Eight bytes at an offset.
    pub(crate) fn word(&self, at: usize) -> Option<u64> {
        let load = |index: usize| self.words.get(index).map(|word| word.load(Ordering::Relaxed));
        let (index, shift) = (at / 8, at % 8 * 8);
        if at + 8 > self.len {
            return None;
        }
        let low = load(index)? >> shift;
        Some(if shift == 0 { low } else { low | load(index + 1)? << (64 - shift) })
    }

    /// Exchanges the handler of a cell, which starts at a word.
    fn set_handler(&self, at: usize, handler: Handler) {
        debug_assert!(at.is_multiple_of(8), "the cell of a counter starts at a word");
        if let Some(word) = self.words.get(at / 8) {
            word.store(handler.address(), Ordering::Relaxed);
        }
    }
}

/// Bytes before the entry cell.
pub(crate) const ENTRY_OFFSET: usize = 8;

/// A micro-operator of the mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MapEntry {
    /// Offset of its cell in the bytecode.
    pub(crate) cell: u32,
    /// Its position in the cell.
    pub(crate) micro_op: u32,
    /// Byte offset of its operator in the module.
    pub(crate) offset: u32,
}

impl Bytecode {
    /// The entry cell; an entry record's `entry`. The one that counts calls, if they are counted.
    pub fn entry(&self) -> *const u8 {
        match self.counted_entry {
            Some(at) => self.code.start().wrapping_add(at as usize),
            None => self.uncounted_entry(),
        }
    }

    /// The entry cell that does not count calls.
    pub fn uncounted_entry(&self) -> *const u8 {
        self.code.start().wrapping_add(ENTRY_OFFSET)
    }

    /// The loops whose iterations are counted, in the order of their operators.
    pub fn loops(&self) -> &[Loop] {
        &self.loops
    }

    /// How many calls are left until the function counts as hot.
    pub fn calls_left(&self) -> u32 {
        self.counters.first().map_or(u32::MAX, |counter| counter.left.load(Ordering::Relaxed))
    }

    /// How many iterations are left until a loop counts as hot.
    pub fn iterations_left(&self, index: u32) -> u32 {
        self.loop_counter(index).map_or(u32::MAX, |counter| counter.left.load(Ordering::Relaxed))
    }

    /// Lets the function count as hot after this many calls, from 1 on.
    pub fn set_calls_left(&self, calls: u32) {
        if let Some(counter) = self.counters.first() {
            counter.left.store(calls, Ordering::Relaxed);
        }
    }

    /// Lets a loop count as hot after this many iterations, from 1 on, also in frames that run now.
    pub fn count_iterations(&self, index: u32, iterations: u32) {
        if let Some(counter) = self.loop_counter(index) {
            counter.left.store(iterations, Ordering::Relaxed);
            counter.ready.store(0, Ordering::Relaxed);
            self.set_loop_handler(index, MicroOp::CountLoop);
        }
    }

    /// Ends the counting of a loop's iterations until [`Bytecode::set_ready`] says that there is native code.
    pub fn await_code(&self, index: u32) {
        self.set_loop_handler(index, MicroOp::PollLoop);
    }

    /// Lets every frame that comes round a loop ask for native code.
    pub fn set_ready(&self, index: u32) {
        if let Some(counter) = self.loop_counter(index) {
            counter.ready.store(1, Ordering::Relaxed);
            self.set_loop_handler(index, MicroOp::PollLoop);
        }
    }

    /// Ends the counting of a loop's iterations, also in frames that run now.
    pub fn stop_counting(&self, index: u32) {
        self.set_loop_handler(index, MicroOp::SkipLoop);
    }

    fn loop_counter(&self, index: u32) -> Option<&Counter> {
        self.counters.get(index as usize + 1)
    }

    fn set_loop_handler(&self, index: u32, op: MicroOp) {
        let Some(found) = self.loops.get(index as usize).filter(|found| found.cell != 0) else { return };
        if let Some(handler) = Handler::single(self.root, op) {
            self.code.set_handler(found.cell as usize, handler);
        }
    }

    /// The clauses that may catch what is thrown at `ip`, in the order in which they are asked.
    ///
    /// `ip` is what a walk over frames gives: inside of the cell that threw or called.
    pub fn clauses_at(&self, ip: *const u8) -> impl Iterator<Item = &Clause> {
        let at = ip.addr().wrapping_sub(self.code.start().addr()) as u64;
        let after = self.tries.partition_point(|range| u64::from(range.start) <= at);
        let range = |index: u32| self.tries.get(index as usize);
        // Ranges that start later and have ended lie inside of the one that is looked for, or apart.
        let innermost = std::iter::successors(self.tries.get(..after).and_then(<[_]>::last), |found| {
            found.parent.and_then(range)
        })
        .find(|found| at < u64::from(found.end));
        std::iter::successors(innermost, move |found| found.next.and_then(range))
            .flat_map(|found| &self.clauses[found.clauses.start as usize..found.clauses.end as usize])
    }

    /// The cell at which a clause goes on.
    pub fn clause_cell(&self, clause: &Clause) -> *const u8 {
        self.code.start().wrapping_add(clause.cell as usize)
    }

    /// Bytes of bytecode.
    pub fn len(&self) -> usize {
        self.code.len()
    }

    /// Always false: every function has an entry.
    pub fn is_empty(&self) -> bool {
        self.code.len() == 0
    }

    /// Bytes that the bytecode and its mapping take.
    pub fn heap_bytes(&self) -> usize {
        let counters = self.counters.len() * size_of::<Counter>() + self.loops.len() * size_of::<Loop>();
        let tries = size_of_val(&*self.tries) + size_of_val(&*self.clauses);
        self.code.len() + self.map.len() + counters + tries
    }

    /// The addresses of the bytecode.
    pub fn address_range(&self) -> Range<usize> {
        let start = self.code.start().addr();
        start..start + self.code.len()
    }

    /// Slots of a frame, from its first local to its last temp.
    pub fn frame_slots(&self) -> u32 {
        self.frame_slots
    }

    /// The slot where the frame's record starts.
    pub fn record_slot(&self) -> u32 {
        self.record_slot
    }

    /// The byte offset in the module of the operator that is running at `ip`.
    ///
    /// At the start of a cell it is the operator of the given micro-operator; inside a cell, which is where a return address
    /// less one lies, that of the last one. `None` outside the bytecode.
    ///
    /// Cost: linear in the function's size; for traps and listings.
    pub fn wasm_offset(&self, ip: *const u8, micro_op: u32) -> Option<u32> {
        let at = ip.addr().checked_sub(self.code.start().addr())?;
        if at >= self.code.len() {
            return None;
        }
        let mut found: Option<MapEntry> = None;
        for entry in self.mapping() {
            if entry.cell as usize > at {
                break;
            }
            let wanted = entry.cell as usize != at || entry.micro_op <= micro_op;
            if wanted {
                found = Some(entry);
            }
        }
        found.map(|entry| entry.offset)
    }

    /// Every micro-operator, in the order of the cells.
    pub(crate) fn mapping(&self) -> impl Iterator<Item = MapEntry> + '_ {
        let mut bytes = self.map.iter().copied();
        let mut entry = MapEntry { cell: ENTRY_OFFSET as u32, micro_op: 0, offset: self.body_offset };
        let mut first = true;
        std::iter::from_fn(move || {
            let distance = read_varint(&mut bytes)?;
            let change = read_varint(&mut bytes)?;
            entry.micro_op = if distance == 0 && !first { entry.micro_op + 1 } else { 0 };
            first = false;
            entry.cell = entry.cell.wrapping_add(distance);
            let change = (change >> 1) as i32 ^ -((change & 1) as i32);
            entry.offset = entry.offset.wrapping_add_signed(change);
            Some(entry)
        })
    }

    /// The handler of the cell at an offset.
    pub(crate) fn handler_at(&self, cell: usize) -> Option<Handler> {
        Handler::at(self.code.word(cell)?)
    }
}

fn read_varint(bytes: &mut impl Iterator<Item = u8>) -> Option<u32> {
    let mut value = 0;
    let mut shift = 0;
    loop {
        let byte = bytes.next()?;
        value |= u32::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
        shift += 7;
    }
}

/// Writes the mapping.
#[derive(Default)]
pub(crate) struct MapWriter {
    pub(crate) bytes: Vec<u8>,
    cell: u32,
    offset: u32,
}

impl MapWriter {
    pub(crate) fn restart(&mut self, body_offset: u32) {
        self.bytes.clear();
        self.cell = ENTRY_OFFSET as u32;
        self.offset = body_offset;
    }

    /// Notes a micro-operator of the cell at `cell`.
    pub(crate) fn push(&mut self, cell: u32, offset: u32) {
        let distance = cell.wrapping_sub(self.cell);
        let change = offset.wrapping_sub(self.offset) as i32;
        let change = (change << 1 ^ change >> 31) as u32;
        if (distance | change) < 0x80 {
            self.bytes.extend_from_slice(&[distance as u8, change as u8]);
        } else {
            self.write(distance);
            self.write(change);
        }
        self.cell = cell;
        self.offset = offset;
    }

    fn write(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use crate::table::listing;
    use crate::{Arena, Counting, ModuleEnv, TranslateOptions, Variant, translate};
    use crescendo_abi::{ContextCounts, VmOffsets};
    use crescendo_module::{ModuleConfig, ModuleInfo, TypeRegistry, parse};
    use std::collections::HashSet;

    /// Every program of the tests, with the offsets of its contexts.
    fn programs() -> Vec<(Vec<u8>, ModuleInfo, VmOffsets)> {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/programs");
        let load = |name: &str| {
            let bytes = std::fs::read(folder.join(name)).expect("the program is checked in");
            let info =
                parse(&bytes, &ModuleConfig::default(), &TypeRegistry::new()).expect("the program is valid");
            let counts = ContextCounts {
                memories: 1,
                tables: 1,
                imported_globals: 0,
                defined_globals: info.globals().len() as u32,
                imported_funcs: info.imported_func_count(),
                defined_funcs: info.defined_func_count(),
            };
            let offsets = VmOffsets::new(counts).expect("the program is small");
            (bytes, info, offsets)
        };
        vec![load("bzip2.wasm"), load("lua.wasm")]
    }

    fn options() -> Vec<TranslateOptions> {
        let mut all = Vec::new();
        for variant in [Variant::Guarded, Variant::Checked] {
            for fuse in [true, false] {
                for fuel in [true, false] {
                    let counting = fuel.then_some(Counting { calls: 10, iterations: 20 });
                    let epochs = fuel;
                    let others = TranslateOptions::default();
                    all.push(TranslateOptions { variant, fuse, fuel, epochs, counting, ..others });
                }
            }
        }
        all
    }

    #[test]
    fn the_mapping_names_operators_and_cells_only() {
        for (bytes, info, offsets) in &programs() {
            let env = ModuleEnv { info, bytes, offsets };
            for options in options() {
                let mut arena = Arena::default();
                for func in info.defined_funcs().step_by(5) {
                    let bytecode =
                        translate(&env, func, &options, &mut arena).expect("the function is valid");
                    let body = info.func_body(bytes, func);
                    let mut operators: HashSet<u32> = HashSet::from([body.range().start as u32]);
                    let mut reader = body.get_operators_reader().expect("the body is valid");
                    while !reader.eof() {
                        let (_, offset) = reader.read_with_offset().expect("the body is valid");
                        operators.insert(offset as u32);
                    }
                    let mut cells = 0;
                    let mut last = None;
                    for entry in bytecode.mapping() {
                        assert!(operators.contains(&entry.offset), "{func:?} {options:?} {entry:?}");
                        let handler =
                            bytecode.handler_at(entry.cell as usize).expect("the entry names a cell");
                        let keys = &listing()[&handler];
                        assert!((entry.micro_op as usize) < keys.len(), "{func:?} {options:?} {entry:?}");
                        if last != Some(entry.cell) {
                            cells += 1;
                            last = Some(entry.cell);
                        }
                        let ip = bytecode.code.start().wrapping_add(entry.cell as usize);
                        assert_eq!(bytecode.wasm_offset(ip, entry.micro_op), Some(entry.offset));
                    }
                    let text = crate::disassemble(&bytecode);
                    assert!(!text.contains("not a cell"), "{text}");
                    let listed =
                        text.lines().filter(|line| line.len() > 4 && line.as_bytes()[4] == b':').count();
                    // Offsets above 0xffff take more digits.
                    assert!(
                        listed == cells || bytecode.len() > 0xffff,
                        "{listed} cells listed, {cells} mapped\n{text}"
                    );
                }
            }
        }
    }

    #[test]
    fn unfused_code_has_a_cell_for_each_operator_that_does_something() {
        let (bytes, info, offsets) = &programs()[0];
        let env = ModuleEnv { info, bytes, offsets };
        let options = TranslateOptions { fuse: false, ..TranslateOptions::default() };
        for func in info.defined_funcs() {
            let bytecode =
                translate(&env, func, &options, &mut Arena::default()).expect("the function is valid");
            assert!(bytecode.mapping().all(|entry| entry.micro_op == 0), "{func:?}");
        }
    }
}
