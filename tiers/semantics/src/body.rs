//! Reading the operators of a valid body.
//!
//! [`Operators`] decodes itself what bodies consist of mostly and hands it to a tier at once; wasmparser reads the rest. Lua starts
//! in the interpreter with 57 instead of 68 million instructions so.
//!
//! The body must be valid: then what is decoded here is what wasmparser would read. Of other bodies something else may be read, and
//! nothing panics.

use crate::ops::{Op, Ty};
use crate::translate::{Step, Translate, translate};
use wasmparser::{
    BinaryReader, BinaryReaderError, BlockType, FunctionBody, MemArg, MemArgTarget, Operator,
    OperatorsReader, ValType,
};

/// A body's operators, one after the other.
#[derive(Clone)]
pub struct Operators<'a> {
    /// At the first operator.
    reader: BinaryReader<'a>,
    /// From the first operator on.
    bytes: &'a [u8],
    /// The next operator in `bytes`.
    at: usize,
    /// The first operator's byte offset in the module.
    start: usize,
}

/// An operator as far as somebody wants to know it who looks for locals, loops and calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Brief {
    /// `local.get`
    LocalGet(u32),
    /// `local.set` and `local.tee`
    LocalSet(u32),
    /// What opens a block and is no loop.
    Block,
    /// `loop`
    Loop,
    /// `end`, and `delegate`, which closes a block too.
    End,
    /// `call`
    Call(u32),
    /// Any other call that is not a tail call.
    OtherCall,
    /// Something else.
    Other,
}

impl<'a> Operators<'a> {
    /// The operators of a body.
    ///
    /// # Errors
    /// When its locals are malformed.
    pub fn new(body: &FunctionBody<'a>) -> Result<Operators<'a>, BinaryReaderError> {
        let reader = body.get_binary_reader_for_operators()?;
        let bytes = reader.clone().read_bytes(reader.bytes_remaining())?;
        let start = reader.original_position() as usize;
        Ok(Operators { reader, bytes, at: 0, start })
    }

    /// Whether all are read.
    pub fn eof(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// The bytes from the first operator on.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The byte offset of the next operator in the module.
    pub fn offset(&self) -> usize {
        self.start + self.at
    }

    /// Translates the next operator.
    ///
    /// # Errors
    /// Those of [`translate`], and when the operator is malformed.
    #[inline]
    pub fn translate<T: Translate>(&mut self, tier: &mut T) -> Step<T>
    where
        T::Error: From<BinaryReaderError>,
    {
        let before = self.at;
        match self.frequent(tier) {
            Some(done) => done,
            None => {
                self.at = before;
                self.infrequent(tier)
            }
        }
    }

    /// Translates the next operator if it is a frequent one that can be reached.
    #[inline]
    fn frequent<T: Translate>(&mut self, tier: &mut T) -> Option<Step<T>> {
        if !tier.reach().is_reachable() {
            return None;
        }
        let byte = self.byte()?;
        macro_rules! step {
            ($op:ident, $tier:ident => $done:expr) => {{
                let $tier = tier;
                $tier.charge(const { Op::$op.row().weight });
                $done
            }};
        }
        Some(match byte {
            0x20 => {
                let local = self.u32()?;
                step!(LocalGet, tier => tier.local_get(local))
            }
            0x21 => {
                let local = self.u32()?;
                step!(LocalSet, tier => tier.local_set(local))
            }
            0x22 => {
                let local = self.u32()?;
                step!(LocalTee, tier => tier.local_tee(local))
            }
            0x41 => {
                let value = self.signed()? as u32;
                step!(I32Const, tier => tier.constant(Ty::I32, u64::from(value)))
            }
            NUMERIC_FIRST..=NUMERIC_LAST => {
                let op = NUMERIC[usize::from(byte - NUMERIC_FIRST)];
                tier.charge(op.row().weight);
                tier.value(op)
            }
            ACCESSES_FIRST..=ACCESSES_LAST => {
                let op = ACCESSES[usize::from(byte - ACCESSES_FIRST)];
                let align = self.byte().filter(|flags| *flags < MEMORY_INDEX_FOLLOWS)?;
                let offset = u64::from(self.u32()?);
                let target = MemArgTarget::Memory(0);
                tier.charge(op.row().weight);
                tier.access(op, &MemArg { align, max_align: align, offset, target, ordering: None })
            }
            0x0b => step!(End, tier => tier.end()),
            0x0c => {
                let depth = self.u32()?;
                step!(Br, tier => tier.br(depth))
            }
            0x0d => {
                let depth = self.u32()?;
                step!(BrIf, tier => tier.br_if(depth))
            }
            0x10 => {
                let func = self.u32()?;
                step!(Call, tier => tier.call_func(func, false))
            }
            0x02 => {
                let ty = self.block_type()?;
                step!(Block, tier => tier.block(ty))
            }
            0x03 => {
                let ty = self.block_type()?;
                step!(Loop, tier => tier.loop_(ty))
            }
            0x04 => {
                let ty = self.block_type()?;
                step!(If, tier => tier.if_(ty))
            }
            0x0f => step!(Return, tier => tier.return_()),
            0x1a => step!(Drop, tier => tier.drop_()),
            0x1b => step!(Select, tier => tier.select()),
            0x23 => {
                let global = self.u32()?;
                step!(GlobalGet, tier => tier.global_get(global))
            }
            0x24 => {
                let global = self.u32()?;
                step!(GlobalSet, tier => tier.global_set(global))
            }
            0x42 => {
                let value = self.signed()? as u64;
                step!(I64Const, tier => tier.constant(Ty::I64, value))
            }
            _ => return None,
        })
    }

    /// Translates any operator.
    fn infrequent<T: Translate>(&mut self, tier: &mut T) -> Step<T>
    where
        T::Error: From<BinaryReaderError>,
    {
        let operator = self.read()?;
        translate(tier, &operator)
    }

    /// Reads an operator with its immediates.
    fn read(&mut self) -> Result<Operator<'a>, BinaryReaderError> {
        // wasmparser takes these only in a block of their kind, which it would have to see opened.
        let (operator, read) = match self.bytes.get(self.at) {
            Some(0x05) => (Operator::Else, 1),
            Some(0x0b) => (Operator::End, 1),
            Some(0x19) => (Operator::CatchAll, 1),
            first => {
                let mut reader = self.reader.clone();
                reader.read_bytes(self.at)?;
                let first = first.copied();
                if matches!(first, Some(0x07 | 0x18)) {
                    reader.read_u8()?;
                    let index = reader.read_var_u32()?;
                    let operator = match first {
                        Some(0x07) => Operator::Catch { tag_index: index },
                        _ => Operator::Delegate { relative_depth: index },
                    };
                    (operator, reader.original_position() as usize - self.offset())
                } else {
                    let mut reader = OperatorsReader::new(reader);
                    let operator = reader.read()?;
                    (operator, reader.original_position() as usize - self.offset())
                }
            }
        };
        self.at += read;
        Ok(operator)
    }

    /// Reads the next operator, but only what [`Brief`] says of it.
    ///
    /// # Errors
    /// When it is malformed.
    #[inline]
    pub fn brief(&mut self) -> Result<Brief, BinaryReaderError> {
        let before = self.at;
        match self.frequent_brief() {
            Some(brief) => Ok(brief),
            None => {
                self.at = before;
                self.infrequent_brief()
            }
        }
    }

    #[inline]
    fn frequent_brief(&mut self) -> Option<Brief> {
        Some(match self.byte()? {
            0x20 => Brief::LocalGet(self.u32()?),
            0x21 | 0x22 => Brief::LocalSet(self.u32()?),
            0x41 | 0x42 => {
                self.signed()?;
                Brief::Other
            }
            // Not the operators with another opcode behind.
            0x0f | 0x1a | 0x1b | NUMERIC_FIRST..=NUMERIC_LAST => Brief::Other,
            ACCESSES_FIRST..=ACCESSES_LAST => {
                self.byte().filter(|flags| *flags < MEMORY_INDEX_FOLLOWS)?;
                self.u32()?;
                Brief::Other
            }
            0x0b => Brief::End,
            0x0c | 0x0d | 0x23 | 0x24 => {
                self.u32()?;
                Brief::Other
            }
            0x10 => Brief::Call(self.u32()?),
            0x02 | 0x04 => {
                self.block_type()?;
                Brief::Block
            }
            0x03 => {
                self.block_type()?;
                Brief::Loop
            }
            _ => return None,
        })
    }

    fn infrequent_brief(&mut self) -> Result<Brief, BinaryReaderError> {
        Ok(match self.read()? {
            Operator::LocalGet { local_index } => Brief::LocalGet(local_index),
            Operator::LocalSet { local_index } | Operator::LocalTee { local_index } => {
                Brief::LocalSet(local_index)
            }
            Operator::Loop { .. } => Brief::Loop,
            Operator::Block { .. }
            | Operator::If { .. }
            | Operator::Try { .. }
            | Operator::TryTable { .. } => Brief::Block,
            Operator::End | Operator::Delegate { .. } => Brief::End,
            Operator::Call { function_index } => Brief::Call(function_index),
            Operator::CallIndirect { .. } | Operator::CallRef { .. } => Brief::OtherCall,
            _ => Brief::Other,
        })
    }

    #[inline]
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    /// An unsigned number of 32 bits.
    #[inline]
    fn u32(&mut self) -> Option<u32> {
        let byte = self.byte()?;
        if byte < 0x80 { Some(byte.into()) } else { self.long_u32(byte) }
    }

    fn long_u32(&mut self, first: u8) -> Option<u32> {
        let mut value = u32::from(first & 0x7f);
        for shift in [7, 14, 21] {
            let byte = self.byte()?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        // Offsets in 64-bit memories may be larger.
        let byte = self.byte().filter(|byte| *byte < 0x10)?;
        Some(value | u32::from(byte) << 28)
    }

    /// A signed number of up to 64 bits.
    #[inline]
    fn signed(&mut self) -> Option<i64> {
        let byte = self.byte()?;
        if byte < 0x80 { Some(i64::from(byte << 1).wrapping_shl(56) >> 57) } else { self.long_signed(byte) }
    }

    fn long_signed(&mut self, first: u8) -> Option<i64> {
        let mut value = i64::from(first & 0x7f);
        for shift in (7..64).step_by(7) {
            let byte = self.byte()?;
            value |= i64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                let unused = 64 - (shift + 7).min(64);
                return Some(value << unused >> unused);
            }
        }
        None
    }

    /// A block's type, if it has no params and one result at most, which is a number.
    #[inline]
    fn block_type(&mut self) -> Option<BlockType> {
        Some(match self.byte()? {
            0x40 => BlockType::Empty,
            0x7f => BlockType::Type(ValType::I32),
            0x7e => BlockType::Type(ValType::I64),
            0x7d => BlockType::Type(ValType::F32),
            0x7c => BlockType::Type(ValType::F64),
            _ => return None,
        })
    }
}

/// From this number on the flags of an access say more than its alignment.
const MEMORY_INDEX_FOLLOWS: u8 = 1 << 6;

const ACCESSES_FIRST: u8 = 0x28;
const ACCESSES_LAST: u8 = 0x3e;

/// Loads and stores by their bytes.
#[rustfmt::skip]
const ACCESSES: [Op; 23] = {
    use Op as O;
    [
        O::I32Load, O::I64Load, O::F32Load, O::F64Load, O::I32Load8S, O::I32Load8U, O::I32Load16S,
        O::I32Load16U, O::I64Load8S, O::I64Load8U, O::I64Load16S, O::I64Load16U, O::I64Load32S,
        O::I64Load32U, O::I32Store, O::I64Store, O::F32Store, O::F64Store, O::I32Store8, O::I32Store16,
        O::I64Store8, O::I64Store16, O::I64Store32,
    ]
};

const NUMERIC_FIRST: u8 = 0x45;
const NUMERIC_LAST: u8 = 0xc4;

/// Operators on numbers without immediates by their bytes.
#[rustfmt::skip]
const NUMERIC: [Op; 128] = {
    use Op as O;
    [
        O::I32Eqz, O::I32Eq, O::I32Ne, O::I32LtS, O::I32LtU, O::I32GtS, O::I32GtU, O::I32LeS, O::I32LeU,
        O::I32GeS, O::I32GeU, O::I64Eqz, O::I64Eq, O::I64Ne, O::I64LtS, O::I64LtU, O::I64GtS, O::I64GtU,
        O::I64LeS, O::I64LeU, O::I64GeS, O::I64GeU, O::F32Eq, O::F32Ne, O::F32Lt, O::F32Gt, O::F32Le,
        O::F32Ge, O::F64Eq, O::F64Ne, O::F64Lt, O::F64Gt, O::F64Le, O::F64Ge, O::I32Clz, O::I32Ctz,
        O::I32Popcnt, O::I32Add, O::I32Sub, O::I32Mul, O::I32DivS, O::I32DivU, O::I32RemS, O::I32RemU,
        O::I32And, O::I32Or, O::I32Xor, O::I32Shl, O::I32ShrS, O::I32ShrU, O::I32Rotl, O::I32Rotr, O::I64Clz,
        O::I64Ctz, O::I64Popcnt, O::I64Add, O::I64Sub, O::I64Mul, O::I64DivS, O::I64DivU, O::I64RemS,
        O::I64RemU, O::I64And, O::I64Or, O::I64Xor, O::I64Shl, O::I64ShrS, O::I64ShrU, O::I64Rotl,
        O::I64Rotr, O::F32Abs, O::F32Neg, O::F32Ceil, O::F32Floor, O::F32Trunc, O::F32Nearest, O::F32Sqrt,
        O::F32Add, O::F32Sub, O::F32Mul, O::F32Div, O::F32Min, O::F32Max, O::F32Copysign, O::F64Abs,
        O::F64Neg, O::F64Ceil, O::F64Floor, O::F64Trunc, O::F64Nearest, O::F64Sqrt, O::F64Add, O::F64Sub,
        O::F64Mul, O::F64Div, O::F64Min, O::F64Max, O::F64Copysign, O::I32WrapI64, O::I32TruncF32S,
        O::I32TruncF32U, O::I32TruncF64S, O::I32TruncF64U, O::I64ExtendI32S, O::I64ExtendI32U,
        O::I64TruncF32S, O::I64TruncF32U, O::I64TruncF64S, O::I64TruncF64U, O::F32ConvertI32S,
        O::F32ConvertI32U, O::F32ConvertI64S, O::F32ConvertI64U, O::F32DemoteF64, O::F64ConvertI32S,
        O::F64ConvertI32U, O::F64ConvertI64S, O::F64ConvertI64U, O::F64PromoteF32, O::I32ReinterpretF32,
        O::I64ReinterpretF64, O::F32ReinterpretI32, O::F64ReinterpretI64, O::I32Extend8S, O::I32Extend16S,
        O::I64Extend8S, O::I64Extend16S, O::I64Extend32S,
    ]
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Kind;

    /// The operators that these bytes are for a reader that starts at them.
    fn operators(bytes: &[u8]) -> Operators<'_> {
        Operators { reader: BinaryReader::new(bytes, 100), bytes, at: 0, start: 100 }
    }

    #[test]
    fn bytes_lead_to_the_rows_of_their_operators() {
        let op_of = |bytes: &[u8]| {
            let operator = OperatorsReader::new(BinaryReader::new(bytes, 0)).read().expect("an operator");
            Op::from_operator(&operator).expect("a row")
        };
        for (byte, op) in (NUMERIC_FIRST..=NUMERIC_LAST).zip(NUMERIC) {
            assert_eq!(op, op_of(&[byte]), "{byte:#x}");
            assert!(matches!(op.row().kind, Kind::Value | Kind::Compare | Kind::Trapping), "{byte:#x}");
        }
        for (byte, op) in (ACCESSES_FIRST..=ACCESSES_LAST).zip(ACCESSES) {
            assert_eq!(op, op_of(&[byte, 0, 0]), "{byte:#x}");
            assert!(matches!(op.row().kind, Kind::Load { .. } | Kind::Store { .. }), "{byte:#x}");
        }
    }

    /// Numbers with shortest and longer encodings, and what lies at the ends of their ranges.
    #[test]
    fn numbers_are_what_wasmparser_reads() {
        let mut numbers: Vec<Vec<u8>> =
            (0..=255).map(|byte| vec![byte, 0x05, 0, 0, 0, 0, 0, 0, 0, 0]).collect();
        for shift in 0..64 {
            for value in [1i64 << shift, (1i64 << shift).wrapping_neg(), (1i64 << shift).wrapping_sub(1)] {
                let (mut left, mut bytes) = (value, Vec::new());
                loop {
                    let byte = (left & 0x7f) as u8;
                    left >>= 7;
                    let done = (left == 0 && byte & 0x40 == 0) || (left == -1 && byte & 0x40 != 0);
                    bytes.push(if done { byte } else { byte | 0x80 });
                    if done {
                        break;
                    }
                }
                numbers.push(bytes);
            }
        }
        let mut valid = [0; 3];
        for bytes in &numbers {
            let reader = || BinaryReader::new(bytes, 0);
            if let Ok(expected) = reader().read_var_u32() {
                assert_eq!(operators(bytes).u32(), Some(expected), "{bytes:x?}");
                valid[0] += 1;
            }
            if let Ok(expected) = reader().read_var_i32() {
                assert_eq!(operators(bytes).signed().map(|value| value as i32), Some(expected), "{bytes:x?}");
                valid[1] += 1;
            }
            if let Ok(expected) = reader().read_var_i64() {
                assert_eq!(operators(bytes).signed(), Some(expected), "{bytes:x?}");
                valid[2] += 1;
            }
        }
        assert!(valid.iter().all(|n| *n > 300), "{valid:?}");
        assert_eq!(operators(&[0x80]).u32(), None);
        assert_eq!(operators(&[0x80, 0x80, 0x80, 0x80, 0x10]).u32(), None, "an offset of 2^32");
        assert_eq!(operators(&[0xff; 11]).signed(), None);
    }

    #[test]
    fn every_way_of_reading_goes_as_far() {
        // What needs a block of its kind, a wide memory argument, a number that takes all its bytes.
        let bodies: [&[u8]; 9] = [
            &[0x05],
            &[0x07, 0x83, 0x00],
            &[0x18, 0x81, 0x00],
            &[0x19],
            &[0x28, 0x42, 0x01, 0x04],
            &[0x28, 0x02, 0x84, 0x80, 0x80, 0x80, 0x08],
            &[0x41, 0xff, 0xff, 0xff, 0xff, 0x07],
            &[0x42, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x7f],
            &[0x02, 0x64, 0x70],
        ];
        for bytes in bodies {
            let with_end = [bytes, &[0x0b]].concat();
            let mut all = operators(&with_end);
            all.brief().expect("an operator");
            assert_eq!(all.offset(), 100 + bytes.len(), "{bytes:x?}");
            assert_eq!(all.brief().expect("an operator"), Brief::End);
            assert!(all.eof());
            let mut all = operators(&with_end);
            all.read().expect("an operator");
            assert_eq!(all.offset(), 100 + bytes.len(), "{bytes:x?}");
        }
        let brief = |bytes| operators(bytes).brief().expect("an operator");
        assert_eq!(brief(&[0x20, 0x05]), Brief::LocalGet(5));
        assert_eq!(brief(&[0x22, 0x85, 0x01]), Brief::LocalSet(133));
        assert!(operators(&[0x20]).brief().is_err());
        assert!(operators(&[0xff]).brief().is_err());
    }
}
