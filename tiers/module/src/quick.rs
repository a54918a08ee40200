//! A quick check of function bodies: [`is_valid`] says that a body is valid, or it does not know.
//!
//! wasmparser validates everything and finds out what is wrong. Most bodies use nothing but numbers, locals, one memory, structured control
//! and perhaps exceptions, and are valid; this says so in half of the time. Invariant: whatever is accepted here wasmparser accepts
//! too, with the same features. Where anything is unusual (references, vectors, several memories, an encoding that is longer than it has to
//! be in a place where it hardly ever is) or wrong, the answer is that it does not know.
//!
//! The operands of a block are one word, three bits each: an operator's inputs are compared, taken and replaced at once, and a block's
//! bottom is no type, so that nothing is counted. What does not fit lies in a list that nothing else looks at. Eight bytes are read at an
//! operator, which hold it and its immediates; how long a number is comes from its bits, without a branch for each byte. Bodies of 1 MB
//! that were generated take 1.86 ms so, 2.19 with a stack of bytes that are read one by one; sqlite 4.3 ms, 4.4 so, 8.1 with wasmparser. The
//! rest is mostly the branch to what an operator needs, and doing the same for all of them without a branch was slower (2.99 and 4.4 ms).

use crate::effects::{Class, EFFECTS, Effect};
use crate::index::widen;
use crate::packed::{self, BITS, Code, EXNREF, F32, F64, I32, I64, MOST_BITS, Packed};
use crate::{DefinedFuncIdx, HeapType, ModuleInfo};
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

/// Open blocks at most, likewise.
const MOST_OPEN: usize = 1 << 16;

/// Bytes that are looked at with an operator.
const WINDOW: usize = 8;

/// Memory that can be used again for other bodies.
pub(crate) struct QuickScratch {
    locals: Vec<Code>,
    frames: Vec<Frame>,
    spilled: Vec<Stack>,
    /// A body behind which the module has too few bytes, with more behind it.
    padded: Vec<u8>,
}

impl Default for QuickScratch {
    /// Has room for what most bodies need: a small module should not make three allocations of each.
    fn default() -> QuickScratch {
        let (locals, frames) = (Vec::with_capacity(64), Vec::with_capacity(32));
        QuickScratch { locals, frames, spilled: Vec::new(), padded: Vec::new() }
    }
}

/// The newest operands of a block: [`Packed::codes`], the newest lowest, 0 where there are none.
type Stack = u64;

/// An open block.
#[derive(Clone, Copy)]
struct Frame {
    /// The operands below, of the block around.
    outer: Stack,
    ty: BlockType,
    /// Words in [`Check::spilled`] that belong to the blocks around.
    spilled: u16,
    kind: Kind,
    /// Whether the rest of the block is never reached.
    unreachable: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Block,
    Loop,
    If,
}

/// The type of a block: 0 for none, a [`Code`] for one result, [`BlockType::FUNC`] more than its index for a function type.
#[derive(Clone, Copy, PartialEq, Eq)]
struct BlockType(u32);

impl BlockType {
    const EMPTY: BlockType = BlockType(0);
    const FUNC: u32 = 8;

    fn func(index: u32) -> BlockType {
        BlockType(index + BlockType::FUNC)
    }
}

/// `None` where the answer is that it is not known.
type Known<R = ()> = Option<R>;

/// Whether a body is certainly valid, and within a limit of parameters and locals.
pub(crate) fn is_valid(
    info: &ModuleInfo,
    bytes: &[u8],
    func: DefinedFuncIdx,
    most_locals: u32,
    scratch: &mut QuickScratch,
) -> bool {
    let range = info.body_range(func);
    if !info.features.contains(FEATURES) || bytes.len() < range.end {
        return false;
    }
    let QuickScratch { locals, frames, spilled, padded } = scratch;
    frames.clear();
    spilled.clear();
    let bytes = match bytes.get(range.start..range.end + WINDOW - 1) {
        Some(bytes) => bytes,
        None => {
            padded.clear();
            padded.extend_from_slice(&bytes[range]);
            padded.extend([0; WINDOW - 1]);
            padded
        }
    };
    let ty = info.func_type_idx(info.func_idx(func));
    let frame = Frame {
        outer: 0,
        ty: BlockType::func(ty.as_u32()),
        spilled: 0,
        kind: Kind::Block,
        unreachable: false,
    };
    let memory = info.memories().first().is_some_and(|memory| !memory.memory64);
    let exceptions = info.features.contains(WasmFeatures::EXCEPTIONS);
    let mut check = Check { info, rest: bytes, frames, spilled, frame, memory, exceptions };
    let most_locals = MOST_LOCALS.min(widen(most_locals));
    check.declare(locals, most_locals).and_then(|()| check.operators(locals)).is_some()
}

/// The types of locals.
#[derive(Clone, Copy)]
struct Locals<'l> {
    near: &'l [Code; 256],
    all: &'l [Code],
}

struct Check<'a> {
    info: &'a ModuleInfo,
    /// What is to be read, and `WINDOW - 1` bytes more. What reads operators that are frequent has it in registers.
    rest: &'a [u8],
    /// The blocks around the innermost one.
    frames: &'a mut Vec<Frame>,
    /// Full words of operands below those that fit.
    spilled: &'a mut Vec<Stack>,
    /// The innermost block.
    frame: Frame,
    /// Whether memory 0 is there and has 32-bit addresses.
    memory: bool,
    /// Whether exceptions may be used.
    exceptions: bool,
}

impl<'a> Check<'a> {
    /// Reads the declarations of locals.
    fn declare(&mut self, locals: &mut Vec<Code>, most_locals: usize) -> Known {
        let params = self.params(self.frame.ty)?;
        locals.clear();
        locals.extend(params.types());
        for _ in 0..self.u32()? {
            let count = widen(self.u32()?);
            let ty = self.value_type()?;
            require(count <= most_locals)?;
            locals.resize(locals.len() + count, ty);
            require(locals.len() <= most_locals)?;
        }
        require(locals.len() <= most_locals)
    }

    /// Reads the operators up to the last `end`.
    fn operators(&mut self, locals: &[Code]) -> Known {
        // By an index's first byte; 0 where there is no such local or there are more bytes.
        let mut near = [0; 256];
        let count = locals.len().min(0x80);
        near[..count].copy_from_slice(&locals[..count]);
        let locals = Locals { near: &near, all: locals };
        let mut rest = self.rest;
        let mut stack: Stack = 0;
        loop {
            // The last byte of the body that begins a window is its own last one.
            let window = u64::from_le_bytes(*rest.first_chunk::<WINDOW>()?);
            let op = window as u8;
            match EFFECTS[usize::from(op)].class {
                Class::Get => {
                    let ty = self.local(&mut rest, window, locals)?;
                    stack = self.push(stack, ty)?;
                }
                Class::Set => {
                    let ty = self.local(&mut rest, window, locals)?;
                    stack = self.take(stack, Packed::one(ty))?;
                }
                Class::Tee => {
                    let ty = self.local(&mut rest, window, locals)?;
                    stack = self.take(stack, Packed::one(ty))? << BITS | u64::from(ty);
                }
                Class::Const => {
                    let len = number_bytes(window >> 8);
                    if len >= 5 {
                        // Bits of the last byte that do not count repeat the sign.
                        let last = (window >> 40) as u8;
                        require(len == 5 && matches!(last, 0..=0x07 | 0x78..=0x7f))?;
                    }
                    stack = self.push(stack, I32)?;
                    rest = rest.get(1 + len..)?;
                }
                Class::Unary => {
                    let Effect { inputs, output, .. } = EFFECTS[usize::from(op)];
                    stack = self.take(stack, Packed::one(inputs))? << BITS | u64::from(output);
                    rest = &rest[1..];
                }
                Class::Binary => {
                    let Effect { inputs, output, .. } = EFFECTS[usize::from(op)];
                    stack = self.take(stack, Packed::two(inputs))? << BITS | u64::from(output);
                    rest = &rest[1..];
                }
                Class::Load => {
                    let Effect { output, align, .. } = EFFECTS[usize::from(op)];
                    rest = self.access(rest, window, align)?;
                    stack = self.take(stack, Packed::one(I32))? << BITS | u64::from(output);
                }
                Class::Store => {
                    let Effect { inputs, align, .. } = EFFECTS[usize::from(op)];
                    rest = self.access(rest, window, align)?;
                    stack = self.take(stack, Packed::two(inputs))?;
                }
                Class::Other if op == 0x0b && self.frames.is_empty() => {
                    require(rest.len() == WINDOW)?;
                    return self.leave_block(stack);
                }
                Class::Other => {
                    self.rest = &rest[1..];
                    stack = self.other(stack, op)?;
                    rest = self.rest;
                }
            }
        }
    }

    /// The type of a local whose index follows an operator; reads both.
    #[inline(always)]
    fn local(&mut self, rest: &mut &'a [u8], window: u64, locals: Locals<'_>) -> Known<Code> {
        let ty = locals.near[usize::from((window >> 8) as u8)];
        if ty != 0 {
            *rest = &rest[2..];
            return Some(ty);
        }
        self.rest = &rest[1..];
        let ty = self.far_local(locals.all)?;
        *rest = self.rest;
        Some(ty)
    }

    #[inline(never)]
    fn far_local(&mut self, locals: &[Code]) -> Known<Code> {
        let index = self.u32()?;
        locals.get(widen(index)).copied()
    }

    /// Looks at the alignment and the offset of an access; what is behind them.
    #[inline(always)]
    fn access(&self, rest: &'a [u8], window: u64, align: u8) -> Known<&'a [u8]> {
        require(self.memory && (window >> 8) as u8 <= align)?;
        let len = number_bytes(window >> 16);
        require(len < 5 || (len == 5 && (window >> 48) as u8 <= 0x0f))?;
        rest.get(2 + len..)
    }

    /// Operators that are less frequent; the first byte is read.
    #[inline(never)]
    fn other(&mut self, stack: Stack, op: u8) -> Known<Stack> {
        match op {
            0x02..=0x05 | 0x0b => self.block(stack, op),
            0x0c => {
                let depth = self.u32()?;
                let types = self.label(depth)?;
                self.take(stack, types)?;
                Some(self.unreachable())
            }
            0x0d => {
                let depth = self.u32()?;
                let types = self.label(depth)?;
                let stack = self.take(stack, Packed::one(I32))?;
                let stack = self.take(stack, types)?;
                self.give(stack, types)
            }
            0x10 => {
                let func = widen(self.u32()?);
                let ty = *self.info.funcs().get(func)?;
                self.call(stack, ty.as_u32())
            }
            0x42 => {
                self.signed64()?;
                self.push(stack, I64)
            }
            0x43 => {
                self.skip(4)?;
                self.push(stack, F32)
            }
            0x44 => {
                self.skip(8)?;
                self.push(stack, F64)
            }
            _ => self.rare(stack, op),
        }
    }

    #[inline(never)]
    fn rare(&mut self, stack: Stack, op: u8) -> Known<Stack> {
        match op {
            0x00 => Some(self.unreachable()),
            0x01 => Some(stack),
            0x08 => {
                let types = self.tag()?;
                self.take(stack, types)?;
                Some(self.unreachable())
            }
            0x0a => {
                require(self.exceptions)?;
                self.take(stack, Packed::one(EXNREF))?;
                Some(self.unreachable())
            }
            0x0e => self.branch_by_table(stack),
            0x0f => {
                let outermost = self.frames.first().unwrap_or(&self.frame).ty;
                let results = self.results(outermost)?;
                self.take(stack, results)?;
                Some(self.unreachable())
            }
            0x11 => self.call_indirect(stack),
            0x1f => self.try_table(stack),
            0x1a => Some(self.refill(stack)? >> BITS),
            0x1b => {
                let stack = self.take(stack, Packed::one(I32))?;
                let stack = self.refill(stack)?;
                let ty = stack as u8 & 7;
                // Without operands it is not known of which type the result is. References need another operator.
                require((I32..=F64).contains(&ty))?;
                let operands = Packed { codes: u64::from(ty) << BITS | u64::from(ty), bits: 2 * BITS };
                let stack = self.take(stack, operands)?;
                self.push(stack, ty)
            }
            0x23 | 0x24 => {
                let index = widen(self.u32()?);
                let global = self.info.globals().get(index)?;
                let ty = packed::code(global.content)?;
                if op == 0x24 {
                    require(global.mutable)?;
                    self.take(stack, Packed::one(ty))
                } else {
                    self.push(stack, ty)
                }
            }
            0x3f | 0x40 => {
                require(self.memory && self.byte()? == 0)?;
                let stack = if op == 0x40 { self.take(stack, Packed::one(I32))? } else { stack };
                self.push(stack, I32)
            }
            0xfc => self.prefixed(stack),
            _ => None,
        }
    }

    /// Operators behind the prefix 0xfc: conversions that saturate, copying and filling.
    fn prefixed(&mut self, stack: Stack) -> Known<Stack> {
        let (input, output) = match self.byte()? {
            0 | 1 => (F32, I32),
            2 | 3 => (F64, I32),
            4 | 5 => (F32, I64),
            6 | 7 => (F64, I64),
            op @ (10 | 11) => {
                for _ in op..12 {
                    require(self.memory && self.byte()? == 0)?;
                }
                let three = u64::from(I32) * 0o111;
                return self.take(stack, Packed { codes: three, bits: 3 * BITS });
            }
            _ => return None,
        };
        let stack = self.take(stack, Packed::one(input))?;
        self.push(stack, output)
    }
}

/// Control.
impl Check<'_> {
    /// `block`, `loop`, `if`, `else` and `end`.
    #[inline]
    fn block(&mut self, stack: Stack, op: u8) -> Known<Stack> {
        match op {
            0x0b => {
                let Frame { outer, ty, kind, .. } = self.frame;
                let results = self.results(ty)?;
                // An `else` that is not there leaves the parameters.
                require(kind != Kind::If || self.params(ty)? == results)?;
                self.leave_block(stack)?;
                self.frame = self.frames.pop()?;
                self.give(outer, results)
            }
            0x05 => {
                require(self.frame.kind == Kind::If)?;
                self.leave_block(stack)?;
                self.frame = Frame { kind: Kind::Block, unreachable: false, ..self.frame };
                Some(self.params(self.frame.ty)?.codes)
            }
            _ => {
                let ty = self.block_type()?;
                let (kind, stack) = match op {
                    0x02 => (Kind::Block, stack),
                    0x03 => (Kind::Loop, stack),
                    _ => (Kind::If, self.take(stack, Packed::one(I32))?),
                };
                self.enter_block(stack, ty, kind)
            }
        }
    }

    #[inline]
    fn enter_block(&mut self, stack: Stack, ty: BlockType, kind: Kind) -> Known<Stack> {
        let params = self.params(ty)?;
        let outer = self.take(stack, params)?;
        require(self.frames.len() < MOST_OPEN)?;
        self.frames.push(self.frame);
        let spilled = u16::try_from(self.spilled.len()).ok()?;
        self.frame = Frame { outer, ty, spilled, kind, unreachable: false };
        Some(params.codes)
    }

    /// Clauses branch to labels around the block, with the tag's values, the exception, or both.
    fn try_table(&mut self, stack: Stack) -> Known<Stack> {
        require(self.exceptions)?;
        let ty = self.block_type()?;
        for _ in 0..self.u32()? {
            let clause = self.byte()?;
            require(clause <= 3)?;
            let values = if clause < 2 { self.tag()? } else { Packed::EMPTY };
            let taken = if clause & 1 == 0 { values } else { values.and(EXNREF)? };
            let depth = self.u32()?;
            require(self.label(depth)? == taken)?;
        }
        self.enter_block(stack, ty, Kind::Block)
    }

    /// The values of a tag whose index follows.
    fn tag(&mut self) -> Known<Packed> {
        require(self.exceptions)?;
        let ty = *self.info.tags.get(widen(self.u32()?))?;
        known(self.func_type(ty.as_u32())?.params)
    }

    fn block_type(&mut self) -> Known<BlockType> {
        let before = self.rest;
        Some(match self.byte()? {
            0x40 => BlockType::EMPTY,
            index @ 0..0x40 if widen(index.into()) < self.info.types().len() => BlockType::func(index.into()),
            _ => {
                self.rest = before;
                BlockType(self.value_type()?.into())
            }
        })
    }

    /// The innermost block is at its end: its results are there and nothing else.
    #[inline]
    fn leave_block(&mut self, stack: Stack) -> Known {
        let results = self.results(self.frame.ty)?;
        let below = if results.codes == stack { 0 } else { self.take(stack, results)? };
        require(below == 0 && self.spilled.len() == usize::from(self.frame.spilled))
    }

    fn branch_by_table(&mut self, stack: Stack) -> Known<Stack> {
        let stack = self.take(stack, Packed::one(I32))?;
        let count = self.u32()?;
        let mut first: Option<Packed> = None;
        for _ in 0..=u64::from(count) {
            let depth = self.u32()?;
            let types = self.label(depth)?;
            // In code that is never reached they may differ: not here.
            require(first.is_none_or(|first| first == types))?;
            first = Some(types);
        }
        self.take(stack, first?)?;
        Some(self.unreachable())
    }

    #[inline]
    fn call(&mut self, stack: Stack, ty: u32) -> Known<Stack> {
        let ty = *self.func_type(ty)?;
        let stack = self.take(stack, ty.params)?;
        self.give(stack, ty.results)
    }

    fn call_indirect(&mut self, stack: Stack) -> Known<Stack> {
        let ty = self.u32()?;
        let table = self.info.tables().get(widen(self.u32()?))?;
        require(table.element.heap == HeapType::Func && !table.table64)?;
        let stack = self.take(stack, Packed::one(I32))?;
        self.call(stack, ty)
    }

    /// What a branch to a label takes along.
    #[inline]
    fn label(&self, depth: u32) -> Known<Packed> {
        let frame = match widen(depth).checked_sub(1) {
            None => &self.frame,
            Some(outer) => self.frames.get(self.frames.len().checked_sub(outer + 1)?)?,
        };
        if frame.kind == Kind::Loop { self.params(frame.ty) } else { self.results(frame.ty) }
    }

    fn func_type(&self, index: u32) -> Known<&packed::PackedFunc> {
        self.info.types.packed().get(widen(index))
    }

    #[inline]
    fn params(&self, ty: BlockType) -> Known<Packed> {
        match ty.0.checked_sub(BlockType::FUNC) {
            None => Some(Packed::EMPTY),
            Some(index) => known(self.func_type(index)?.params),
        }
    }

    #[inline]
    fn results(&self, ty: BlockType) -> Known<Packed> {
        match ty.0.checked_sub(BlockType::FUNC) {
            None if ty == BlockType::EMPTY => Some(Packed::EMPTY),
            None => Some(Packed::one(ty.0 as Code)),
            Some(index) => known(self.func_type(index)?.results),
        }
    }

    /// The rest of the block is never reached. The stack then.
    fn unreachable(&mut self) -> Stack {
        self.frame.unreachable = true;
        self.spilled.truncate(self.frame.spilled.into());
        0
    }
}

/// The operand stack.
impl Check<'_> {
    /// Takes operands of these types.
    #[inline(always)]
    fn take(&mut self, stack: Stack, types: Packed) -> Known<Stack> {
        require(types.bits <= MOST_BITS)?;
        if (stack ^ types.codes) & ((1 << types.bits) - 1) == 0 {
            return Some(stack >> types.bits);
        }
        self.take_one_by_one(stack, types.codes)
    }

    #[inline(never)]
    fn take_one_by_one(&mut self, mut stack: Stack, mut codes: u64) -> Known<Stack> {
        while codes != 0 {
            stack = self.refill(stack)?;
            if stack == 0 {
                return Some(0);
            }
            require((stack ^ codes) & 7 == 0)?;
            (stack, codes) = (stack >> BITS, codes >> BITS);
        }
        Some(stack)
    }

    /// The newest operands of the block: some, or none because it is never reached.
    fn refill(&mut self, stack: Stack) -> Known<Stack> {
        if stack != 0 {
            return Some(stack);
        }
        if self.spilled.len() > self.frame.spilled.into() {
            return self.spilled.pop();
        }
        self.frame.unreachable.then_some(0)
    }

    /// Adds an operand.
    #[inline(always)]
    fn push(&mut self, stack: Stack, ty: Code) -> Known<Stack> {
        let stack = if stack >> (MOST_BITS - BITS) == 0 { stack } else { self.spill(stack) };
        Some(stack << BITS | u64::from(ty))
    }

    /// Makes room.
    #[inline(never)]
    fn spill(&mut self, stack: Stack) -> Stack {
        self.spilled.push(stack);
        0
    }

    /// Adds operands.
    #[inline(always)]
    fn give(&mut self, stack: Stack, types: Packed) -> Known<Stack> {
        require(types.bits <= MOST_BITS)?;
        if stack >> (MOST_BITS - types.bits) == 0 {
            return Some(stack << types.bits | types.codes);
        }
        self.give_one_by_one(stack, types)
    }

    #[inline(never)]
    fn give_one_by_one(&mut self, mut stack: Stack, types: Packed) -> Known<Stack> {
        for ty in types.types() {
            stack = self.push(stack, ty)?;
        }
        Some(stack)
    }
}

#[inline(always)]
fn known(types: Packed) -> Known<Packed> {
    require(types.bits <= MOST_BITS)?;
    Some(types)
}

#[inline(always)]
fn require(condition: bool) -> Known {
    condition.then_some(())
}

/// Bytes of the number in the lowest bytes, if they are five or fewer; else more than five.
#[inline(always)]
fn number_bytes(window: u64) -> usize {
    let last = !window & 0x80_8080_8080;
    last.trailing_zeros() as usize / 8 + 1
}

/// Reading byte by byte.
impl Check<'_> {
    #[inline(always)]
    fn byte(&mut self) -> Known<u8> {
        let (byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*byte)
    }

    /// The code of a type that follows.
    fn value_type(&mut self) -> Known<Code> {
        match self.byte()? {
            0x7f => Some(I32),
            0x7e => Some(I64),
            0x7d => Some(F32),
            0x7c => Some(F64),
            0x69 if self.exceptions => Some(EXNREF),
            _ => None,
        }
    }

    fn skip(&mut self, bytes: usize) -> Known {
        self.rest = self.rest.get(bytes..)?;
        Some(())
    }

    /// An unsigned number of 32 bits in at most five bytes.
    #[inline(always)]
    fn u32(&mut self) -> Known<u32> {
        let byte = self.byte()?;
        if byte < 0x80 {
            return Some(byte.into());
        }
        self.long_u32(byte)
    }

    /// As [`Check::u32`], after a first byte that is not the last.
    #[inline(never)]
    fn long_u32(&mut self, first: u8) -> Known<u32> {
        let mut value = u32::from(first & 0x7f);
        for shift in [7, 14, 21] {
            let byte = self.byte()?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        let byte = self.byte()?;
        require(byte < 0x10)?;
        Some(value | u32::from(byte) << 28)
    }

    /// Skips a signed number of 64 bits in at most ten bytes.
    fn signed64(&mut self) -> Known {
        for _ in 0..9 {
            if self.byte()? < 0x80 {
                return Some(());
            }
        }
        // Bits of the last byte that do not count repeat the sign.
        require(matches!(self.byte()?, 0 | 0x7f))
    }
}
