//! A quick check of function bodies: [`is_valid`] says that a body is valid, or it does not know.
//!
//! wasmparser validates everything and finds out what is wrong. Most bodies use nothing but numbers, locals, one memory and
//! structured control, and are valid; this says so in a third of the time. Invariant: whatever is accepted here wasmparser accepts
//! too, with the same features. Where anything is unusual (references, vectors, several memories, an encoding that is
//! longer than it has to be in a place where it hardly ever is) or wrong, the answer is that it does not know.

use crate::index::widen;
use crate::{DefinedFuncIdx, FuncType, HeapType, ModuleInfo, TypeIdx, ValType};
use wasmparser::WasmFeatures;

/// A module that may not use one of these is not looked at here: then there is less to get wrong.
const FEATURES: WasmFeatures = WasmFeatures::SIGN_EXTENSION
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::MULTI_VALUE)
    .union(WasmFeatures::BULK_MEMORY)
    .union(WasmFeatures::REFERENCE_TYPES)
    .union(WasmFeatures::FLOATS);

/// Locals and parameters at most; a body with more is for others to judge.
const MOST_LOCALS: usize = 10_000;

/// Operands and open blocks at most, likewise.
const MOST_OPERANDS: usize = 1024;

/// Memory that can be used again for other bodies.
pub(crate) struct QuickScratch {
    locals: Vec<Type>,
    stack: Box<[Type; MOST_OPERANDS]>,
    frames: Vec<Frame>,
}

impl Default for QuickScratch {
    fn default() -> QuickScratch {
        QuickScratch { locals: Vec::new(), stack: Box::new([ANY; MOST_OPERANDS]), frames: Vec::new() }
    }
}

/// The type of an operand: a value type as the binary format has it, or [`ANY`].
type Type = u8;

const I32: Type = 0x7f;
const I64: Type = 0x7e;
const F32: Type = 0x7d;
const F64: Type = 0x7c;
/// The type of what code that is never reached pops.
const ANY: Type = 0;

/// An open block.
#[derive(Clone, Copy)]
struct Frame {
    kind: Kind,
    block: Block,
    /// How many operands there are below.
    floor: usize,
    /// Whether the rest of the block is never reached.
    unreachable: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Block,
    Loop,
    If,
}

/// The type of a block.
#[derive(Clone, Copy)]
enum Block {
    Empty,
    /// One of the four types of numbers.
    Result(Type),
    Func(TypeIdx),
}

/// Whether a body is certainly valid, and within a limit of parameters and locals.
pub(crate) fn is_valid(
    info: &ModuleInfo,
    bytes: &[u8],
    func: DefinedFuncIdx,
    most_locals: u32,
    scratch: &mut QuickScratch,
) -> bool {
    let Some(bytes) = bytes.get(info.body_range(func)) else { return false };
    if !info.features.contains(FEATURES) {
        return false;
    }
    let QuickScratch { locals, stack, frames } = scratch;
    locals.clear();
    frames.clear();
    let ty = info.func_type_idx(info.func_idx(func));
    let frame = Frame { kind: Kind::Block, block: Block::Func(ty), floor: 0, unreachable: false };
    let memory = info.memories().first().is_some_and(|memory| !memory.memory64);
    let mut check = Check { info, bytes, locals, stack, frames, frame, memory };
    let at = At { bytes, place: 0, top: 0 };
    let at = check.declare(at, info.func_type(ty).params(), MOST_LOCALS.min(widen(most_locals)));
    at.and_then(|at| check.operators(at)).is_some()
}

struct Check<'a> {
    info: &'a ModuleInfo,
    bytes: &'a [u8],
    locals: &'a mut Vec<Type>,
    /// The operands, of which there are [`At::top`].
    stack: &'a mut [Type; MOST_OPERANDS],
    /// The blocks around the innermost one.
    frames: &'a mut Vec<Frame>,
    /// The innermost block.
    frame: Frame,
    /// Whether memory 0 is there and has 32-bit addresses.
    memory: bool,
}

/// `None` where the answer is that it is not known.
type Known<R = ()> = Option<R>;

impl<'a> Check<'a> {
    /// Reads the declarations of locals.
    fn declare(&mut self, mut at: At<'a>, params: &[ValType], most_locals: usize) -> Known<At<'a>> {
        for param in params {
            self.locals.push(number(*param)?);
        }
        for _ in 0..at.u32()? {
            let count = widen(at.u32()?);
            let ty = at.byte()?;
            require((F64..=I32).contains(&ty) && count <= most_locals)?;
            self.locals.resize(self.locals.len() + count, ty);
            require(self.locals.len() <= most_locals)?;
        }
        require(self.locals.len() <= most_locals)?;
        Some(at)
    }

    /// Reads the operators up to the last `end`. The place stays in registers: what is less frequent gets it as one number and gives
    /// one back, and operands are no vector. Both together take a third of the time away.
    fn operators(&mut self, mut at: At<'a>) -> Known {
        loop {
            let op = at.byte()?;
            match op {
                0x20 => {
                    let ty = self.local(&mut at)?;
                    self.push(&mut at, ty)?;
                }
                0x21 => {
                    let ty = self.local(&mut at)?;
                    self.pop(&mut at, ty)?;
                }
                0x22 => {
                    let ty = self.local(&mut at)?;
                    self.pop(&mut at, ty)?;
                    self.push(&mut at, ty)?;
                }
                0x41 => {
                    at.signed::<32>()?;
                    self.push(&mut at, I32)?;
                }
                0x45..=0xc4 => {
                    let Signature { inputs, input, output, .. } = SIGNATURES[widen(op.into())];
                    self.pop(&mut at, input)?;
                    if inputs == 2 {
                        self.pop(&mut at, input)?;
                    }
                    self.push(&mut at, output)?;
                }
                0x28..=0x35 => {
                    let ty = self.access(&mut at, op)?;
                    self.pop(&mut at, I32)?;
                    self.push(&mut at, ty)?;
                }
                0x36..=0x3e => {
                    let ty = self.access(&mut at, op)?;
                    self.pop(&mut at, ty)?;
                    self.pop(&mut at, I32)?;
                }
                0x0b if self.frames.is_empty() => {
                    let at = self.leave_block(at)?;
                    return require(at.place == at.bytes.len());
                }
                _ => at = At::unpack(self.bytes, self.less_frequent(at.pack(), op)?),
            }
        }
    }

    #[inline(never)]
    fn less_frequent(&mut self, at: u64, op: u8) -> Known<u64> {
        let mut at = At::unpack(self.bytes, at);
        let at = match op {
            0x02..=0x05 | 0x0b => self.block(at, op),
            0x0c | 0x0d => self.branch(at, op == 0x0d),
            0x10 => {
                let func = widen(at.u32()?);
                let ty = *self.info.funcs().get(func)?;
                self.call(at, self.info.func_type(ty))
            }
            _ => self.rare(at, op),
        };
        at.map(At::pack)
    }

    #[inline(never)]
    fn rare(&mut self, mut at: At<'a>, op: u8) -> Known<At<'a>> {
        match op {
            0x00 => self.unreachable(&mut at),
            0x01 => {}
            0x0e => at = self.branch_by_table(at)?,
            0x0f => {
                let results = self.results(self.frames.first().unwrap_or(&self.frame).block);
                at = self.pop_all(at, results)?;
                self.unreachable(&mut at);
            }
            0x11 => at = self.call_indirect(at)?,
            0x1a => {
                self.pop_any(&mut at)?;
            }
            0x1b => {
                self.pop(&mut at, I32)?;
                let (one, other) = (self.pop_any(&mut at)?, self.pop_any(&mut at)?);
                require(one == other || one == ANY || other == ANY)?;
                self.push(&mut at, if one == ANY { other } else { one })?;
            }
            0x23 | 0x24 => {
                let index = widen(at.u32()?);
                let global = self.info.globals().get(index)?;
                let ty = number(global.content)?;
                if op == 0x24 {
                    require(global.mutable)?;
                    self.pop(&mut at, ty)?;
                } else {
                    self.push(&mut at, ty)?;
                }
            }
            0x3f | 0x40 => {
                require(self.memory && at.byte()? == 0)?;
                if op == 0x40 {
                    self.pop(&mut at, I32)?;
                }
                self.push(&mut at, I32)?;
            }
            0x42 => {
                at.signed::<64>()?;
                self.push(&mut at, I64)?;
            }
            0x43 => {
                at.skip(4)?;
                self.push(&mut at, F32)?;
            }
            0x44 => {
                at.skip(8)?;
                self.push(&mut at, F64)?;
            }
            0xfc => at = self.prefixed(at)?,
            _ => return None,
        }
        Some(at)
    }

    /// The type of a local whose index follows.
    #[inline(always)]
    fn local(&self, at: &mut At<'_>) -> Known<Type> {
        let index = widen(at.u32()?);
        self.locals.get(index).copied()
    }

    /// Reads what follows a load or a store and answers the type of the value.
    #[inline(always)]
    fn access(&self, at: &mut At<'_>, op: u8) -> Known<Type> {
        let Signature { output, align, .. } = SIGNATURES[widen(op.into())];
        require(self.memory && at.byte()? <= align)?;
        at.u32()?;
        Some(output)
    }

    /// Operators behind the prefix 0xfc: conversions that saturate, copying and filling.
    fn prefixed(&mut self, mut at: At<'a>) -> Known<At<'a>> {
        let (input, output) = match at.byte()? {
            0 | 1 => (F32, I32),
            2 | 3 => (F64, I32),
            4 | 5 => (F32, I64),
            6 | 7 => (F64, I64),
            op @ (10 | 11) => {
                for _ in op..12 {
                    require(self.memory && at.byte()? == 0)?;
                }
                return self.pop_all(at, &[ValType::I32; 3]);
            }
            _ => return None,
        };
        self.pop(&mut at, input)?;
        self.push(&mut at, output)?;
        Some(at)
    }
}

/// Control.
impl<'a> Check<'a> {
    /// `block`, `loop`, `if`, `else` and `end`.
    #[inline]
    fn block(&mut self, mut at: At<'a>, op: u8) -> Known<At<'a>> {
        match op {
            0x0b if matches!(self.frame.block, Block::Empty) => {
                require(at.top == self.frame.floor)?;
                self.frame = self.frames.pop()?;
                Some(at)
            }
            0x0b => {
                let (params, results) = (self.params(self.frame.block), self.results(self.frame.block));
                // An `else` that is not there leaves the parameters.
                require(self.frame.kind != Kind::If || params == results)?;
                at = self.leave_block(at)?;
                self.frame = self.frames.pop()?;
                self.push_all(at, results)
            }
            0x05 => {
                require(self.frame.kind == Kind::If)?;
                at = self.leave_block(at)?;
                self.frame = Frame { kind: Kind::Block, unreachable: false, ..self.frame };
                self.push_all(at, self.params(self.frame.block))
            }
            _ => {
                let block = self.block_type(&mut at)?;
                let kind = match op {
                    0x02 => Kind::Block,
                    0x03 => Kind::Loop,
                    _ => {
                        self.pop(&mut at, I32)?;
                        Kind::If
                    }
                };
                let params = self.params(block);
                at = self.pop_all(at, params)?;
                require(self.frames.len() < MOST_OPERANDS)?;
                self.frames.push(self.frame);
                self.frame = Frame { kind, block, floor: at.top, unreachable: false };
                self.push_all(at, params)
            }
        }
    }

    fn block_type(&self, at: &mut At<'_>) -> Known<Block> {
        Some(match at.byte()? {
            0x40 => Block::Empty,
            ty @ F64..=I32 => Block::Result(ty),
            index @ 0..0x40 if widen(index.into()) < self.info.types().len() => {
                Block::Func(TypeIdx::new(index.into()))
            }
            _ => return None,
        })
    }

    /// The innermost block is at its end: its results are there and nothing else. Takes them.
    fn leave_block(&mut self, at: At<'a>) -> Known<At<'a>> {
        let at = self.pop_all(at, self.results(self.frame.block))?;
        require(at.top == self.frame.floor)?;
        Some(at)
    }

    /// `br` and `br_if`.
    #[inline]
    fn branch(&mut self, mut at: At<'a>, conditional: bool) -> Known<At<'a>> {
        let depth = at.u32()?;
        if conditional {
            self.pop(&mut at, I32)?;
        }
        let types = self.label(depth)?;
        let mut at = self.pop_all(at, types)?;
        if conditional {
            return self.push_all(at, types);
        }
        self.unreachable(&mut at);
        Some(at)
    }

    fn branch_by_table(&mut self, mut at: At<'a>) -> Known<At<'a>> {
        self.pop(&mut at, I32)?;
        let count = at.u32()?;
        let mut first: Option<&[ValType]> = None;
        for _ in 0..=u64::from(count) {
            let types = self.label(at.u32()?)?;
            // In code that is never reached they may differ: not here.
            require(first.is_none_or(|first| first == types))?;
            first = Some(types);
        }
        let mut at = self.pop_all(at, first?)?;
        self.unreachable(&mut at);
        Some(at)
    }

    #[inline]
    fn call(&mut self, at: At<'a>, ty: &FuncType) -> Known<At<'a>> {
        let at = self.pop_all(at, ty.params())?;
        self.push_all(at, ty.results())
    }

    fn call_indirect(&mut self, mut at: At<'a>) -> Known<At<'a>> {
        let ty = TypeIdx::new(at.u32()?);
        let table = self.info.tables().get(widen(at.u32()?))?;
        require(table.element.heap == HeapType::Func && !table.table64)?;
        require(ty.index() < self.info.types().len())?;
        self.pop(&mut at, I32)?;
        self.call(at, self.info.func_type(ty))
    }

    /// What a branch to a label takes along.
    fn label(&self, depth: u32) -> Known<&'a [ValType]> {
        let frame = match widen(depth).checked_sub(1) {
            None => &self.frame,
            Some(outer) => self.frames.get(self.frames.len().checked_sub(outer + 1)?)?,
        };
        Some(match (frame.block, frame.kind) {
            (Block::Empty, _) => &[],
            (block, Kind::Loop) => self.params(block),
            (block, _) => self.results(block),
        })
    }

    fn params(&self, block: Block) -> &'a [ValType] {
        match block {
            Block::Func(ty) => self.info.func_type(ty).params(),
            Block::Empty | Block::Result(_) => &[],
        }
    }

    fn results(&self, block: Block) -> &'a [ValType] {
        match block {
            Block::Empty => &[],
            Block::Result(I32) => &[ValType::I32],
            Block::Result(I64) => &[ValType::I64],
            Block::Result(F32) => &[ValType::F32],
            Block::Result(_) => &[ValType::F64],
            Block::Func(ty) => self.info.func_type(ty).results(),
        }
    }

    /// The rest of the block is never reached.
    fn unreachable(&mut self, at: &mut At<'_>) {
        at.top = self.frame.floor;
        self.frame.unreachable = true;
    }
}

/// The operand stack.
impl<'a> Check<'a> {
    #[inline(always)]
    fn push(&mut self, at: &mut At<'_>, ty: Type) -> Known {
        *self.stack.get_mut(at.top)? = ty;
        at.top += 1;
        Some(())
    }

    #[inline(always)]
    fn pop(&mut self, at: &mut At<'_>, expected: Type) -> Known {
        let found = self.pop_any(at)?;
        require(found == expected || found == ANY)
    }

    #[inline(always)]
    fn pop_any(&mut self, at: &mut At<'_>) -> Known<Type> {
        if at.top > self.frame.floor {
            at.top -= 1;
            return self.stack.get(at.top).copied();
        }
        self.frame.unreachable.then_some(ANY)
    }

    fn pop_all(&mut self, mut at: At<'a>, types: &[ValType]) -> Known<At<'a>> {
        for ty in types.iter().rev() {
            self.pop(&mut at, number(*ty)?)?;
        }
        Some(at)
    }

    fn push_all(&mut self, mut at: At<'a>, types: &[ValType]) -> Known<At<'a>> {
        for ty in types {
            self.push(&mut at, number(*ty)?)?;
        }
        Some(at)
    }
}

#[inline(always)]
fn require(condition: bool) -> Known {
    condition.then_some(())
}

/// The type of a number; other values are not known here.
fn number(ty: ValType) -> Known<Type> {
    match ty {
        ValType::I32 => Some(I32),
        ValType::I64 => Some(I64),
        ValType::F32 => Some(F32),
        ValType::F64 => Some(F64),
        _ => None,
    }
}

/// A place in a body, and how many operands there are.
#[derive(Clone, Copy)]
struct At<'a> {
    bytes: &'a [u8],
    place: usize,
    top: usize,
}

impl<'a> At<'a> {
    /// Both numbers in one; bodies are shorter than 2^32 bytes.
    #[inline(always)]
    fn pack(self) -> u64 {
        self.place as u64 | (self.top as u64) << 32
    }

    #[inline(always)]
    fn unpack(bytes: &'a [u8], packed: u64) -> At<'a> {
        At { bytes, place: widen(packed as u32), top: widen((packed >> 32) as u32) }
    }

    #[inline(always)]
    fn byte(&mut self) -> Known<u8> {
        let byte = *self.bytes.get(self.place)?;
        self.place += 1;
        Some(byte)
    }

    fn skip(&mut self, bytes: usize) -> Known {
        self.place += bytes;
        require(self.place <= self.bytes.len())
    }

    /// An unsigned number of 32 bits in at most five bytes.
    #[inline(always)]
    fn u32(&mut self) -> Known<u32> {
        let byte = self.byte()?;
        if byte < 0x80 {
            return Some(byte.into());
        }
        let both = long_u32(self.bytes, self.place, byte)?;
        self.place = widen((both >> 32) as u32);
        Some(both as u32)
    }

    /// Skips a signed number of so many bits, 32 or 64.
    #[inline(always)]
    fn signed<const BITS: u32>(&mut self) -> Known {
        for _ in 0..BITS / 7 {
            if self.byte()? < 0x80 {
                return Some(());
            }
        }
        // Bits of the last byte that do not count repeat the sign.
        let unused = 7 - BITS % 7;
        let last = self.byte()?;
        let extended = (last << 1).cast_signed() >> (8 - unused - 1);
        require(last < 0x80 && (extended == 0 || extended == -1))
    }
}

/// As [`At::u32`], after a first byte that is not the last: the number, and in the upper half the place behind.
#[inline(never)]
fn long_u32(bytes: &[u8], place: usize, first: u8) -> Known<u64> {
    let mut at = At { bytes, place, top: 0 };
    let mut value = u32::from(first & 0x7f);
    for shift in [7, 14, 21] {
        let byte = at.byte()?;
        value |= u32::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(u64::from(value) | (at.place as u64) << 32);
        }
    }
    let byte = at.byte()?;
    require(byte < 0x10)?;
    Some(u64::from(value | u32::from(byte) << 28) | (at.place as u64) << 32)
}

/// What an operator takes and gives. For loads and stores the output is the type of the value, whatever it is for.
#[derive(Clone, Copy)]
struct Signature {
    inputs: u8,
    input: Type,
    output: Type,
    /// Of accesses: the natural alignment, as a power of two.
    align: u8,
}

/// By the operator's byte: loads, stores, and operators on numbers without immediates.
static SIGNATURES: [Signature; 256] = signatures();

const fn signatures() -> [Signature; 256] {
    let mut table = [Signature { inputs: 0, input: ANY, output: ANY, align: 0 }; 256];
    // First and last byte, number and type of inputs, type of the output.
    let values: [(u8, u8, u8, Type, Type); 41] = [
        (0x45, 0x45, 1, I32, I32),
        (0x46, 0x4f, 2, I32, I32),
        (0x50, 0x50, 1, I64, I32),
        (0x51, 0x5a, 2, I64, I32),
        (0x5b, 0x60, 2, F32, I32),
        (0x61, 0x66, 2, F64, I32),
        (0x67, 0x69, 1, I32, I32),
        (0x6a, 0x78, 2, I32, I32),
        (0x79, 0x7b, 1, I64, I64),
        (0x7c, 0x8a, 2, I64, I64),
        (0x8b, 0x91, 1, F32, F32),
        (0x92, 0x98, 2, F32, F32),
        (0x99, 0x9f, 1, F64, F64),
        (0xa0, 0xa6, 2, F64, F64),
        (0xa7, 0xa7, 1, I64, I32),
        (0xa8, 0xa9, 1, F32, I32),
        (0xaa, 0xab, 1, F64, I32),
        (0xac, 0xad, 1, I32, I64),
        (0xae, 0xaf, 1, F32, I64),
        (0xb0, 0xb1, 1, F64, I64),
        (0xb2, 0xb3, 1, I32, F32),
        (0xb4, 0xb5, 1, I64, F32),
        (0xb6, 0xb6, 1, F64, F32),
        (0xb7, 0xb8, 1, I32, F64),
        (0xb9, 0xba, 1, I64, F64),
        (0xbb, 0xbb, 1, F32, F64),
        (0xbc, 0xbc, 1, F32, I32),
        (0xbd, 0xbd, 1, F64, I64),
        (0xbe, 0xbe, 1, I32, F32),
        (0xbf, 0xbf, 1, I64, F64),
        (0xc0, 0xc1, 1, I32, I32),
        (0xc2, 0xc4, 1, I64, I64),
        // Accesses; the number of inputs is not looked at.
        (0x28, 0x28, 0, I32, I32),
        (0x29, 0x29, 0, I32, I64),
        (0x2a, 0x2a, 0, I32, F32),
        (0x2b, 0x2b, 0, I32, F64),
        (0x2c, 0x2f, 0, I32, I32),
        (0x30, 0x35, 0, I32, I64),
        (0x36, 0x36, 0, I32, I32),
        (0x3a, 0x3b, 0, I32, I32),
        (0x3c, 0x3e, 0, I32, I64),
    ];
    let mut row = 0;
    while row < values.len() {
        let (first, last, inputs, input, output) = values[row];
        let mut op = first;
        while op <= last {
            table[op as usize] = Signature { inputs, input, output, align: 0 };
            op += 1;
        }
        row += 1;
    }
    table[0x37].output = I64;
    table[0x38].output = F32;
    table[0x39].output = F64;
    let aligns: [u8; 23] = [2, 3, 2, 3, 0, 0, 1, 1, 0, 0, 1, 1, 2, 2, 2, 3, 2, 3, 0, 1, 0, 1, 2];
    let mut access = 0;
    while access < aligns.len() {
        table[0x28 + access].align = aligns[access];
        access += 1;
    }
    table
}
