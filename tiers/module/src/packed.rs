//! Lists of common types in one word: [`Packed`]. The quick check of bodies compares and moves them as a whole.

use crate::{FuncType, HeapType, RefType, ValType};

/// A type in [`BITS`] bits: one of numbers, or `exnref`; 0 is none.
pub(crate) type Code = u8;

pub(crate) const I32: Code = 1;
pub(crate) const I64: Code = 2;
pub(crate) const F32: Code = 3;
pub(crate) const F64: Code = 4;
pub(crate) const EXNREF: Code = 5;

/// Bits of a code.
pub(crate) const BITS: u32 = 3;

/// Bits that a list may take: 21 types.
pub(crate) const MOST_BITS: u32 = u64::BITS / BITS * BITS;

/// A list of types, the last one in the lowest bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Packed {
    pub(crate) codes: u64,
    /// Bits that the codes take: at most [`MOST_BITS`], more for a list that does not fit or has other types.
    pub(crate) bits: u32,
}

impl Packed {
    pub(crate) const EMPTY: Packed = Packed { codes: 0, bits: 0 };
    const UNKNOWN: Packed = Packed { codes: 0, bits: u64::BITS };

    /// A list of one type.
    pub(crate) const fn one(code: Code) -> Packed {
        Packed { codes: code as u64, bits: BITS }
    }

    /// This list with one type more, if it is known and there is room.
    pub(crate) fn and(self, code: Code) -> Option<Packed> {
        let bits = self.bits + BITS;
        (bits <= MOST_BITS).then_some(Packed { codes: self.codes << BITS | u64::from(code), bits })
    }

    /// A list of two types, which are in this number as they are in [`Packed::codes`].
    pub(crate) const fn two(codes: u8) -> Packed {
        Packed { codes: codes as u64, bits: 2 * BITS }
    }

    fn new(types: &[ValType]) -> Packed {
        let add = |list: Packed, ty: &ValType| list.and(code(*ty)?);
        types.iter().try_fold(Packed::EMPTY, add).unwrap_or(Packed::UNKNOWN)
    }

    /// The types in their order; nothing of a list that is not known.
    pub(crate) fn types(self) -> impl Iterator<Item = Code> {
        let known = if self.bits <= MOST_BITS { self.bits } else { 0 };
        (0..known / BITS).rev().map(move |index| (self.codes >> (index * BITS)) as u8 & 7)
    }
}

/// A function type's parameters and results.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PackedFunc {
    pub(crate) params: Packed,
    pub(crate) results: Packed,
}

impl PackedFunc {
    pub(crate) fn new(ty: &FuncType) -> PackedFunc {
        PackedFunc { params: Packed::new(ty.params()), results: Packed::new(ty.results()) }
    }
}

/// The code of a type, if it has one.
pub(crate) fn code(ty: ValType) -> Option<Code> {
    match ty {
        ValType::I32 => Some(I32),
        ValType::I64 => Some(I64),
        ValType::F32 => Some(F32),
        ValType::F64 => Some(F64),
        ValType::Ref(RefType { nullable: true, heap: HeapType::Exn }) => Some(EXNREF),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_keep_their_order_and_say_when_they_do_not_fit() {
        let types = [ValType::I32, ValType::F64, ValType::I64, ValType::F32];
        let list = Packed::new(&types);
        assert_eq!(list.types().collect::<Vec<_>>(), [I32, F64, I64, F32]);
        assert_eq!((list.codes & 7, list.bits), (F32.into(), 12));
        let full = Packed::new(&[ValType::F64; 21]);
        assert_eq!((full.types().count(), full.bits), (21, MOST_BITS));
        for unknown in [Packed::new(&[ValType::I32; 22]), Packed::new(&[ValType::V128])] {
            assert_eq!((unknown.bits > MOST_BITS, unknown.types().count()), (true, 0));
        }
    }
}
