//! The state of a translation and the model of the operand stack.
//!
//! An operand is not moved before somebody needs it: `local.get` and constants only push an [`Entry`]. An entry's *canonical
//! slot* is the temp at its height. At labels every entry is in its canonical slot.

use super::cells::CellWriter;
use super::census::Census;
use super::exceptions::PendingClause;
use super::hot::Weight;
use super::region::{Home, Region, Source, ValueId, one};
use super::{ModuleEnv, Step, Stop, TranslateError, TranslateOptions};
use crate::bytecode::{Bytecode, MapWriter, TryRange};
use crate::micro::{MicroOp, Root};
use bumpalo::Bump;
use crescendo_abi::frame::RECORD_SLOTS;
use crescendo_module::{DefinedFuncIdx, FuncType, ValType};
use crescendo_semantics::Ty;
use crescendo_semantics::body::Operators;
use crescendo_semantics::translate::{FrameKind, Reach};
use wasmparser::FunctionBody;

/// An operand on the model stack.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Entry {
    /// The value that a local has now. `below` is the next entry of the same local, as its height plus one.
    Local { local: u32, below: u32 },
    /// A constant.
    Const(u64),
    /// The result of a micro-operator of this region.
    Value(ValueId),
    /// In its canonical slot.
    Slot,
}

/// What the translator knows of a local.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Local {
    pub(crate) ty: Ty,
    /// The slot that it lies in, the first of two for a vector.
    pub(crate) slot: u32,
    /// The register that it stays in: 1 or 2, 0 for none.
    pub(crate) hot: u8,
    /// Whether the function sets it.
    pub(crate) assigned: bool,
    /// Height plus one of the topmost entry that stands for it.
    top: u32,
    /// Its value in this region, if the region has set it: region number and value.
    def: Option<(u32, ValueId)>,
}

/// A block that is open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ControlFrame<'b> {
    pub(crate) kind: FrameKind,
    /// Height of the stack below the block's params.
    pub(crate) height: usize,
    pub(crate) params: &'b [Ty],
    pub(crate) results: &'b [Ty],
    pub(crate) label: Label,
    /// Where branches go that reach a loop's header and are counted; elsewhere `label`.
    pub(crate) branch_label: Label,
    pub(crate) else_label: Label,
    /// The `try` whose clauses are asked first inside.
    pub(crate) handler: Option<u32>,
    /// The `try` that the block is.
    pub(crate) own_try: Option<u32>,
    /// Whether anything branches to the label.
    pub(crate) branched: bool,
}

/// A loop whose iterations are counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CountedLoop {
    pub(crate) offset: u32,
    pub(crate) parent: Option<u32>,
    /// The header.
    pub(crate) header: Label,
    /// The cell that counts.
    pub(crate) counted: Label,
    /// Whether anything branches there.
    pub(crate) branched: bool,
}

/// Index of a label.
pub(crate) type Label = u32;

/// A label's place before it is known.
pub(crate) const UNBOUND: u32 = u32::MAX;

/// Buffers that outlive a function.
#[derive(Default)]
pub(crate) struct Buffers {
    pub(crate) region: Region,
    pub(crate) code: CellWriter,
    pub(crate) map: MapWriter,
    pub(crate) labels: Vec<u32>,
    /// Places of cell addresses in the code, and their labels.
    pub(crate) label_fixes: Vec<(u32, Label)>,
    /// Places of fuel amounts in the code, and their runs.
    pub(crate) fuel_fixes: Vec<(u32, u32)>,
    pub(crate) fuel_runs: Vec<u32>,
    /// Places of counters' addresses in the code, and the counters.
    pub(crate) counter_fixes: Vec<(u32, u32)>,
    pub(crate) loops: Vec<CountedLoop>,
    pub(crate) tries: Vec<TryRange>,
    pub(crate) clauses: Vec<PendingClause>,
    /// Entries with their types and canonical slots.
    stack: Vec<(Entry, Ty, u32)>,
    locals: Vec<Local>,
    pub(crate) weights: Vec<Weight>,
}

/// The translation of one function.
pub(crate) struct Function<'a, 'b> {
    pub(crate) env: ModuleEnv<'a>,
    pub(crate) options: TranslateOptions,
    pub(crate) root: Root,
    pub(crate) bump: &'b Bump,
    pub(crate) buffers: &'b mut Buffers,
    pub(crate) census: Option<&'b mut Census>,
    pub(crate) func: DefinedFuncIdx,
    pub(crate) body: FunctionBody<'a>,
    pub(crate) ty: &'a FuncType,
    pub(crate) frames: Vec<ControlFrame<'b>>,
    pub(crate) record_slot: u32,
    /// The locals that stay in registers.
    pub(crate) hot_locals: smallvec::SmallVec<[u32; 4]>,
    /// Slots of hot locals 1 and 2, for integers and floats.
    pub(crate) hot_slots: [[u32; 2]; 2],
    /// Entries below this height are in their canonical slots.
    flushed: usize,
    pub(crate) region_number: u32,
    pub(crate) max_slots: u32,
    pub(crate) reach: Reach,
    pub(crate) loop_depth: u32,
    /// Whether the function has a `rethrow`, once somebody has asked.
    pub(crate) rethrows: Option<bool>,
    /// Offset of the entry cell that counts.
    pub(crate) counted_entry: Option<u32>,
    /// The innermost open loop, by its index.
    pub(crate) current_loop: Option<u32>,
    /// Byte offset of the running operator.
    pub(crate) offset: u32,
    pub(crate) code_limit: usize,
}

/// The machine type of a value type.
pub(crate) fn machine_type(ty: ValType) -> Ty {
    match ty {
        ValType::I32 => Ty::I32,
        ValType::I64 | ValType::Ref(_) => Ty::I64,
        ValType::F32 => Ty::F32,
        ValType::F64 => Ty::F64,
        ValType::V128 => Ty::V128,
    }
}

#[cold]
pub(crate) fn invalid(offset: usize, message: &str) -> Stop {
    TranslateError::Invalid { offset, message: message.to_string() }.into()
}

impl<'a, 'b> Function<'a, 'b> {
    pub(crate) fn new(
        env: ModuleEnv<'a>,
        func: DefinedFuncIdx,
        options: TranslateOptions,
        root: Root,
        bump: &'b Bump,
        buffers: &'b mut Buffers,
        census: Option<&'b mut Census>,
    ) -> Result<Function<'a, 'b>, Stop> {
        let body = env.info.func_body(env.bytes, func);
        let ty = env.info.type_of_func(env.info.func_idx(func));
        let range = body.range();
        let code_limit = (range.end - range.start)
            .saturating_mul(u64::from(options.max_bytecode_per_byte))
            .saturating_add(64 << 10)
            .min(i32::MAX as u64) as usize;
        buffers.region.clear();
        buffers.code.restart(root.wide());
        buffers.labels.clear();
        buffers.label_fixes.clear();
        buffers.fuel_fixes.clear();
        buffers.fuel_runs.clear();
        buffers.counter_fixes.clear();
        buffers.loops.clear();
        buffers.tries.clear();
        buffers.clauses.clear();
        buffers.stack.clear();
        buffers.locals.clear();
        buffers.map.restart(range.start as u32);
        let mut function = Function {
            env,
            options,
            root,
            bump,
            buffers,
            census,
            func,
            body,
            ty,
            frames: Vec::new(),
            record_slot: 0,
            hot_locals: smallvec::SmallVec::new(),
            hot_slots: [[0; 2]; 2],
            flushed: 0,
            region_number: 0,
            max_slots: 0,
            reach: Reach::new(),
            loop_depth: 0,
            rethrows: None,
            counted_entry: None,
            current_loop: None,
            offset: range.start as u32,
            code_limit,
        };
        function.add_locals()?;
        Ok(function)
    }

    fn add_locals(&mut self) -> Step {
        let mut next = 0;
        let mut add = |ty: Ty, n: u32| {
            for _ in 0..n {
                let local = Local { ty, slot: next, hot: 0, assigned: false, top: 0, def: None };
                self.buffers.locals.push(local);
                next += ty.slots();
            }
        };
        for ty in self.ty.params() {
            add(machine_type(*ty), 1);
        }
        for declared in self.body.get_locals_reader()? {
            let (n, ty) = declared?;
            add(Ty::of(ty), n);
        }
        // Results are left from slot 0 on and must not reach the record that the return reads.
        self.record_slot = next.max(self.ty.result_slots() as u32);
        self.max_slots = self.record_slot + RECORD_SLOTS;
        Ok(())
    }

    /// Runs the translation.
    pub(crate) fn run(mut self) -> Result<Bytecode, Stop> {
        if self.options.fuse {
            self.choose_hot_locals()?;
        }
        self.begin()?;
        let mut operators = Operators::new(&self.body)?;
        while !operators.eof() {
            self.offset = operators.offset() as u32;
            operators.translate(&mut self)?;
            if !self.options.fuse {
                self.step_boundary()?;
            } else if self.buffers.region.insts.len() >= MAX_REGION {
                self.cut_region()?;
            }
            self.check_size()?;
        }
        self.write_landings()?;
        self.write_counters()?;
        self.link()
    }

    /// Whether the bytecode so far may be so large.
    pub(crate) fn check_size(&self) -> Step {
        match self.buffers.code.bytes().len() > self.code_limit {
            true => Err(TranslateError::TooLarge { limit: self.code_limit }.into()),
            false => Ok(()),
        }
    }

    pub(crate) fn local(&self, index: u32) -> &Local {
        &self.buffers.locals[index as usize]
    }

    /// The local in a slot, if the slot is a local's.
    pub(crate) fn local_in(&self, slot: u32) -> Option<&Local> {
        let locals = &self.buffers.locals;
        locals.binary_search_by_key(&slot, |local| local.slot).ok().map(|index| &locals[index])
    }

    /// Slots that the locals take.
    pub(crate) fn local_slots(&self) -> u32 {
        self.buffers.locals.last().map_or(0, |last| last.slot + last.ty.slots())
    }

    pub(crate) fn local_mut(&mut self, index: u32) -> &mut Local {
        &mut self.buffers.locals[index as usize]
    }

    pub(crate) fn local_count(&self) -> u32 {
        self.buffers.locals.len() as u32
    }

    pub(crate) fn height(&self) -> usize {
        self.buffers.stack.len()
    }

    /// The canonical slot of the entry at a height, or of the next one.
    pub(crate) fn temp(&self, height: usize) -> u32 {
        match self.buffers.stack.get(height) {
            Some((_, _, slot)) => *slot,
            None => self.next_temp(),
        }
    }

    /// The canonical slot of the next entry.
    pub(crate) fn next_temp(&self) -> u32 {
        match self.buffers.stack.last() {
            Some((_, ty, slot)) => slot + ty.slots(),
            None => self.record_slot + RECORD_SLOTS,
        }
    }

    /// Makes room for this many slots in the frame.
    pub(crate) fn reserve(&mut self, slots: u32) {
        self.max_slots = self.max_slots.max(slots);
    }

    // Entries.

    pub(crate) fn push(&mut self, entry: Entry, ty: Ty) {
        self.push_at(entry, ty, self.next_temp());
    }

    fn push_at(&mut self, entry: Entry, ty: Ty, slot: u32) {
        self.reserve(slot + ty.slots());
        self.buffers.stack.push((entry, ty, slot));
    }

    pub(crate) fn push_local(&mut self, local: u32) {
        let height = self.height() as u32;
        let info = self.local_mut(local);
        let (ty, below) = (info.ty, info.top);
        info.top = height + 1;
        self.push(Entry::Local { local, below }, ty);
    }

    /// Pushes the result of the next micro-operator.
    pub(crate) fn push_value(&mut self, ty: Ty) -> ValueId {
        let slot = self.next_temp();
        let value = self.buffers.region.define(ty, Home::Slot(slot));
        self.push_at(Entry::Value(value), ty, slot);
        value
    }

    /// Takes the topmost entry off and says where its value is.
    pub(crate) fn pop(&mut self) -> Result<(Source, Ty), Stop> {
        let (entry, ty, slot) = self.drop_entry()?;
        Ok((self.resolve(entry, slot), ty))
    }

    /// Takes the topmost entry off and gives it with its canonical slot.
    pub(crate) fn drop_entry(&mut self) -> Result<(Entry, Ty, u32), Stop> {
        let popped = self.buffers.stack.pop();
        let (entry, ty, slot) = popped.ok_or_else(|| self.impossible("the operand stack is empty"))?;
        if let Entry::Local { local, below } = entry {
            self.local_mut(local).top = below;
        }
        self.flushed = self.flushed.min(self.height());
        Ok((entry, ty, slot))
    }

    /// Drops entries down to a height.
    pub(crate) fn truncate(&mut self, height: usize) -> Step {
        while self.height() > height {
            self.drop_entry()?;
        }
        Ok(())
    }

    pub(crate) fn impossible(&self, message: &str) -> Stop {
        invalid(self.offset as usize, message)
    }

    /// The topmost entry.
    pub(crate) fn top(&self) -> Result<(Entry, Ty), Stop> {
        let top = self.buffers.stack.last().map(|(entry, ty, _)| (*entry, *ty));
        top.ok_or_else(|| self.impossible("the operand stack is empty"))
    }

    pub(crate) fn entry_at(&self, height: usize) -> (Entry, Ty) {
        let (entry, ty, _) = self.buffers.stack[height];
        (entry, ty)
    }

    /// Where the value of the entry at a height is.
    pub(crate) fn source_at(&self, height: usize) -> (Source, Ty) {
        let (entry, ty) = self.entry_at(height);
        (self.resolve(entry, self.temp(height)), ty)
    }

    /// Where the value of an entry with this canonical slot is.
    fn resolve(&self, entry: Entry, slot: u32) -> Source {
        match entry {
            Entry::Local { local, .. } => self.local_source(local),
            Entry::Const(bits) => Source::Const(bits),
            Entry::Value(value) => Source::Value(value),
            Entry::Slot => Source::Slot(slot),
        }
    }

    /// Where the value of a local is.
    pub(crate) fn local_source(&self, index: u32) -> Source {
        let local = self.local(index);
        match local.def {
            Some((region, value)) if region == self.region_number => Source::Value(value),
            _ if local.hot != 0 => Source::Hot(local.hot),
            _ => Source::Slot(local.slot),
        }
    }

    fn local_home(&self, index: u32) -> Home {
        match self.local(index).hot {
            0 => Home::Slot(self.local(index).slot),
            register => Home::Hot(register),
        }
    }

    /// Brings the entry at a height to its canonical slot.
    pub(crate) fn flush_at(&mut self, height: usize) -> Step {
        let (entry, ty) = self.entry_at(height);
        let home = Home::Slot(self.temp(height));
        match entry {
            Entry::Slot => return Ok(()),
            Entry::Value(value) if self.buffers.region.value(value).home == home => {
                self.buffers.region.value_mut(value).need_home = true;
            }
            _ => {
                let source = self.resolve(entry, self.temp(height));
                self.copy(source, ty, home)?;
            }
        }
        if let Entry::Local { local, below } = entry {
            self.unlink_local(local, height, below);
        }
        self.buffers.stack[height].0 = Entry::Slot;
        Ok(())
    }

    /// Takes the entry at a height out of its local's chain.
    fn unlink_local(&mut self, local: u32, height: usize, below: u32) {
        let mut at = self.local(local).top;
        if at == height as u32 + 1 {
            self.local_mut(local).top = below;
            return;
        }
        while at != 0 {
            let Entry::Local { below: next, .. } = &mut self.buffers.stack[at as usize - 1].0 else { return };
            if *next == height as u32 + 1 {
                *next = below;
                return;
            }
            at = *next;
        }
    }

    /// Brings every entry to its canonical slot.
    pub(crate) fn flush(&mut self) -> Step {
        for height in (self.flushed..self.height()).rev() {
            // From the top, so that each local's chain is taken apart from its head.
            self.flush_at(height)?;
        }
        self.flushed = self.height();
        Ok(())
    }

    /// Brings the entries that this region defines to their canonical slots: what must not outlive a region.
    pub(crate) fn flush_values(&mut self) -> Step {
        for height in self.flushed..self.height() {
            if matches!(self.entry_at(height).0, Entry::Value(_)) {
                self.flush_at(height)?;
            }
        }
        Ok(())
    }

    /// Sets a local to the topmost entry, which stays for `local.tee`.
    pub(crate) fn set_local(&mut self, index: u32, tee: bool) -> Step {
        let (entry, ty) = self.top()?;
        if matches!(entry, Entry::Local { local, .. } if local == index) {
            if !tee {
                self.drop_entry()?;
            }
            return Ok(());
        }
        self.drop_entry()?;
        let slot = self.next_temp();
        self.save_readers(index)?;
        let home = self.local_home(index);
        let retargeted = match entry {
            Entry::Value(value) => {
                let fresh = self.buffers.region.fresh_definition(value).is_some();
                (fresh && !self.buffers.region.value(value).of_local).then_some(value)
            }
            _ => None,
        };
        let value = match retargeted {
            Some(value) => {
                self.buffers.region.value_mut(value).home = home;
                value
            }
            None => {
                let source = self.resolve(entry, slot);
                self.copy(source, ty, home)?
            }
        };
        self.buffers.region.value_mut(value).of_local = true;
        let region = self.region_number;
        let old = self.local_mut(index).def.replace((region, value));
        if let Some((number, old)) = old
            && number == region
        {
            self.buffers.region.overwrite(old);
        }
        if tee {
            self.push_local(index);
        }
        Ok(())
    }

    /// Loads a hot local into its register. Later reads of this region must see the load, not the register as a handler
    /// that contains the load finds it.
    pub(crate) fn load_hot_local(&mut self, index: u32, source: Source) -> Step {
        let local = *self.local(index);
        let value = self.copy(source, local.ty, Home::Hot(local.hot))?;
        self.local_mut(index).def = Some((self.region_number, value));
        Ok(())
    }

    /// Before a local changes: entries that stand for its old value get a copy of it.
    fn save_readers(&mut self, index: u32) -> Step {
        while let Some(height) = self.local(index).top.checked_sub(1) {
            let height = height as usize;
            let (_, ty) = self.entry_at(height);
            let source = self.local_source(index);
            let home = Home::Slot(self.temp(height));
            let value = self.copy(source, ty, home)?;
            let Entry::Local { below, .. } = self.entry_at(height).0 else {
                return Err(self.impossible("a local's chain of entries is broken"));
            };
            self.local_mut(index).top = below;
            self.buffers.stack[height].0 = Entry::Value(value);
        }
        Ok(())
    }

    // Micro-operators.

    /// Appends a copy to a home.
    pub(crate) fn copy(&mut self, source: Source, ty: Ty, home: Home) -> Result<ValueId, Stop> {
        let value = self.buffers.region.define(ty, home);
        self.buffers.region.value_mut(value).need_home = true;
        self.append(MicroOp::Copy(ty), one(source), Some(value), []);
        Ok(value)
    }

    /// Appends a micro-operator.
    #[inline]
    pub(crate) fn append<const N: usize>(
        &mut self,
        op: MicroOp,
        sources: [Source; 3],
        result: Option<ValueId>,
        extras: [u64; N],
    ) {
        let at = self.buffers.region.extras.len() as u32;
        self.buffers.region.extras.extend(extras);
        self.buffers.region.push(op, sources, result, at, self.offset);
    }

    /// Appends a micro-operator with a number of extras that is not known here.
    pub(crate) fn append_with(&mut self, op: MicroOp, sources: [Source; 3], extras: &[u64]) {
        let at = self.buffers.region.extras.len() as u32;
        self.buffers.region.extras.extend_from_slice(extras);
        self.buffers.region.push(op, sources, None, at, self.offset);
    }

    /// After the cells of a region are written.
    pub(crate) fn next_region(&mut self) {
        self.buffers.region.clear();
        self.region_number += 1;
    }

    /// Without fusing: everything is in its slot and its own cell after each operator.
    fn step_boundary(&mut self) -> Step {
        self.flush()?;
        self.end_region()
    }

    fn cut_region(&mut self) -> Step {
        self.flush_values()?;
        self.end_region()
    }
}

/// Micro-operators after which a region is cut, so that nothing is more than linear in a function's size.
const MAX_REGION: usize = 256;
