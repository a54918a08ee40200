//! `memory.copy` and `memory.fill` without the builtin.
//!
//! Up to [`MOST_INLINE`] bytes whose number is known are loads and then stores, the last byte first: where it can be
//! written all can, so that nothing is written before a trap. In the guarded variant any number of bytes is
//! checked in the code and then copied by a C function that cannot fail. With fuel the builtin does it all, since
//! it charges for the length.

use crate::error::Step;
use crate::flags::{self, Region};
use crate::function::Translator;
use crate::signature::routine;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, InstructionData, MemFlagsData, Opcode, Type, Value, types};
use crescendo_abi::{Builtin, TrapCode, Variant, VmMemory};
use crescendo_module::MemoryIdx;
use crescendo_semantics::lower::Emit;

/// Most bytes that are copied or written by instructions of their own: four vectors. A builtin takes 13 ns for 32
/// bytes, these less than 1; `sha256` 10 % faster.
const MOST_INLINE: u64 = 64;

/// A piece of what is copied: its offset and the type that has its size.
type Piece = (u64, Type);

/// Pieces that together are `len` bytes; the last one reaches to the end and may overlap the one before.
fn pieces(len: u64) -> impl Iterator<Item = Piece> + Clone {
    let unit = if len >= 16 { 16 } else { 1 << len.ilog2() };
    let whole = (0..len / unit).map(move |i| (i * unit, unit));
    let rest = len % unit;
    let end = rest.next_power_of_two();
    let rest = (rest > 0).then(|| (len - end, end));
    whole.chain(rest).map(|(at, bytes)| (at, type_of(bytes)))
}

fn type_of(bytes: u64) -> Type {
    match bytes {
        1 => types::I8,
        2 => types::I16,
        4 => types::I32,
        8 => types::I64,
        _ => types::I64X2,
    }
}

impl Translator<'_, '_> {
    /// Copies or fills with the topmost operands, if no builtin is needed, and takes them off.
    pub(crate) fn bulk(&mut self, builtin: Builtin, numbers: [u32; 2]) -> Step<bool> {
        let [target, source] = match builtin {
            Builtin::MemoryCopy => numbers,
            Builtin::MemoryFill => [numbers[0]; 2],
            _ => return Ok(false),
        };
        if self.options.fuel {
            return Ok(false);
        }
        let [to, from, len] = {
            let first = self.height_below(3)?;
            [first, first + 1, first + 2].map(|height| self.operand_at(height))
        };
        let is_copy = builtin == Builtin::MemoryCopy;
        match self.constant_bits(len) {
            Some(bytes @ 1..=MOST_INLINE) if is_copy => self.copy_pieces([target, source], to, from, bytes),
            Some(bytes @ 1..=MOST_INLINE) => self.fill_pieces(target, to, from, bytes),
            _ if self.variant == Variant::Checked || self.is_shared(target) || self.is_shared(source) => {
                return Ok(false);
            }
            _ => {
                let len = self.wide(len);
                let to = self.checked_start(target, to, len);
                let (from, function) = if is_copy {
                    (self.checked_start(source, from, len), self.options.support.copy)
                } else {
                    (self.wide(from), self.options.support.fill)
                };
                self.call_plain(function, &[to, from, len]);
            }
        }
        let first = self.height_below(3)?;
        self.truncate(first);
        Ok(true)
    }

    fn is_shared(&self, memory: u32) -> bool {
        self.info.memory(MemoryIdx::new(memory)).shared
    }

    /// The bits of a constant.
    fn constant_bits(&self, value: Value) -> Option<u64> {
        match self.definition(value) {
            Some(InstructionData::UnaryImm { opcode: Opcode::Iconst, imm }) => {
                let bits = imm.bits() as u64;
                Some(if self.type_of_value(value) == types::I32 { bits & 0xffff_ffff } else { bits })
            }
            _ => None,
        }
    }

    fn copy_pieces(&mut self, [target, source]: [u32; 2], to: Value, from: Value, len: u64) {
        let (from, from_flags) = self.bulk_place(source, from, len);
        let (to, to_flags) = self.bulk_place(target, to, len);
        let mut loaded = Vec::with_capacity(8);
        for (at, ty) in pieces(len) {
            loaded.push(((at, ty), self.b.ins().load(ty, from_flags, from, at as i32)));
        }
        loaded.rotate_right(1);
        for ((at, _), value) in loaded {
            self.b.ins().store(to_flags, value, to, at as i32);
        }
    }

    fn fill_pieces(&mut self, memory: u32, to: Value, value: Value, len: u64) {
        let (to, flags) = self.bulk_place(memory, to, len);
        let byte = self.b.ins().uextend(types::I64, value);
        let byte = self.b.ins().band_imm_u(byte, 0xff);
        let ones = self.word(0x0101_0101_0101_0101);
        let word = self.b.ins().imul(byte, ones);
        let mut pieces: Vec<Piece> = pieces(len).collect();
        pieces.rotate_right(1);
        for (at, ty) in pieces {
            let value = match ty {
                types::I64 => word,
                types::I64X2 => self.b.ins().splat(ty, word),
                _ => self.b.ins().ireduce(ty, word),
            };
            self.b.ins().store(flags, value, to, at as i32);
        }
    }

    /// The place of bytes that are accessed from the last on, or all loaded before anything is stored.
    fn bulk_place(&mut self, memory: u32, start: Value, len: u64) -> (Value, MemFlagsData) {
        let (place, _, flags) = self.place(memory, start, 0, len as u8);
        (place, flags)
    }

    /// The place of the first of `len` bytes; traps unless they are all in the memory, which is guarded.
    fn checked_start(&mut self, memory: u32, start: Value, len: Value) -> Value {
        let start = self.wide(start);
        let record = self.context_pointer(self.offsets.memory(memory));
        let sizes = flags::place(self.b.func, Region::Sizes);
        let bytes = self.b.ins().load(types::I64, sizes, record, VmMemory::LEN);
        let end = self.b.ins().iadd(start, len);
        let outside = self.b.ins().icmp(IntCC::UnsignedGreaterThan, end, bytes);
        self.trap_if(outside, TrapCode::MemoryOutOfBounds);
        let base = self.guarded_base(memory);
        self.b.ins().iadd(base, start)
    }

    /// Calls a C function of three words that neither fails nor looks at the guest's state.
    fn call_plain(&mut self, function: usize, args: &[Value; 3]) {
        let signature = match self.routines.plain {
            Some(signature) => signature,
            None => self.b.import_signature(routine(3, false)),
        };
        self.routines.plain = Some(signature);
        let function = self.word(function as u64);
        self.b.ins().call_indirect(signature, function, args);
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST_INLINE, pieces};

    #[test]
    fn pieces_are_all_bytes_and_the_last_reaches_the_end() {
        for len in 1..=MOST_INLINE {
            let mut covered = 0_u128;
            for (at, ty) in pieces(len) {
                assert!(at + u64::from(ty.bytes()) <= len);
                covered |= ((1 << ty.bytes()) - 1) << at;
            }
            assert_eq!(covered, (1 << len) - 1, "{len}");
            let (at, ty) = pieces(len).last().unwrap();
            assert_eq!(at + u64::from(ty.bytes()), len);
        }
    }
}
