//! [`Op`] and [`Row`]: what the table in `rows.rs` expands to.

use crate::rows::for_each_row;

/// The machine type of an operand. References are `I64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Ty {
    /// 32-bit integer.
    I32,
    /// 64-bit integer or reference.
    I64,
    /// 32-bit float.
    F32,
    /// 64-bit float.
    F64,
    /// Vector of 128 bits; two slots.
    V128,
}

impl Ty {
    /// All types, in the order of their numbers.
    pub const ALL: [Ty; 5] = [Ty::I32, Ty::I64, Ty::F32, Ty::F64, Ty::V128];

    /// Whether the value lives in a float register.
    pub const fn is_float(self) -> bool {
        matches!(self, Ty::F32 | Ty::F64 | Ty::V128)
    }

    /// Bytes of a value.
    pub const fn bytes(self) -> u32 {
        match self {
            Ty::I32 | Ty::F32 => 4,
            Ty::I64 | Ty::F64 => 8,
            Ty::V128 => 16,
        }
    }

    /// Slots of a value.
    pub const fn slots(self) -> u32 {
        match self {
            Ty::V128 => 2,
            _ => 1,
        }
    }

    /// The machine type of a value type as the parser gives it.
    pub const fn of(ty: wasmparser::ValType) -> Ty {
        match ty {
            wasmparser::ValType::I32 => Ty::I32,
            wasmparser::ValType::I64 | wasmparser::ValType::Ref(_) => Ty::I64,
            wasmparser::ValType::F32 => Ty::F32,
            wasmparser::ValType::F64 => Ty::F64,
            wasmparser::ValType::V128 => Ty::V128,
        }
    }

    /// The type's name in the text format.
    pub const fn name(self) -> &'static str {
        match self {
            Ty::I32 => "i32",
            Ty::I64 => "i64",
            Ty::F32 => "f32",
            Ty::F64 => "f64",
            Ty::V128 => "v128",
        }
    }
}

/// How a tier lowers a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Operands to result, by the row's lowering. Never traps.
    Value,
    /// As `Value`, and the result is 0 or 1: the lowering gives a condition.
    Compare,
    /// As `Value`, and may trap.
    Trapping,
    /// As `Value`, with two results of the row's result type.
    Wide,
    /// Reads this many bytes of linear memory.
    Load {
        /// Bytes read.
        bytes: u8,
        /// Whether the bytes are sign-extended.
        signed: bool,
    },
    /// Writes this many bytes of linear memory.
    Store {
        /// Bytes written.
        bytes: u8,
    },
    /// A lane of the vector, the number of which is an immediate.
    ExtractLane {
        /// Bytes of the lane.
        bytes: u8,
        /// Whether it is sign-extended.
        signed: bool,
    },
    /// The vector with one lane replaced by the scalar's low bytes.
    ReplaceLane {
        /// Bytes of the lane.
        bytes: u8,
    },
    /// Reads one lane of the vector from linear memory. Operands: address, vector.
    LoadLane {
        /// Bytes of the lane.
        bytes: u8,
    },
    /// Writes one lane of the vector to linear memory. Operands: address, vector.
    StoreLane {
        /// Bytes of the lane.
        bytes: u8,
    },
    /// Accesses this many bytes of linear memory atomically; the address is a multiple of their number, or it traps.
    Atomic {
        /// What is done.
        op: AtomicOp,
        /// Bytes accessed. A result is zero-extended from them.
        bytes: u8,
    },
    /// Everything that tiers write by hand: control, calls, variables, tables, bulk memory.
    Control,
}

/// What an atomic access does. All but the first two answer the value that was there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the variants are the specification's operators")]
pub enum AtomicOp {
    Load,
    Store,
    Add,
    Sub,
    And,
    Or,
    Xor,
    Xchg,
    /// Writes the last operand if the value is the one before, both cut to the bytes accessed.
    Cmpxchg,
}

/// The facts of one operator.
#[derive(Debug)]
pub struct Row {
    /// The operator's name in the text format.
    pub name: &'static str,
    /// Operand types, first operand first. Empty for [`Kind::Control`], whose operands depend on the module.
    pub params: &'static [Ty],
    /// Result type.
    pub result: Option<Ty>,
    /// How tiers lower it.
    pub kind: Kind,
    /// What it costs in fuel.
    pub weight: u8,
}

/// Fuel of an operator, by its name: structure is free, calls and memory management cost more than arithmetic.
const fn weight_of(kind: Kind, name: &str) -> u8 {
    match kind {
        Kind::Control => match name.as_bytes() {
            b"block" | b"loop" | b"end" | b"else" | b"nop" | b"drop" => 0,
            b"try_table" | b"try" | b"catch" | b"catch_all" | b"delegate" => 0,
            _ => 1,
        },
        _ => 1,
    }
}

macro_rules! define_ops {
    ($($kind:ident $(($($arg:tt)*))? $op:ident $name:literal [$($p:ident)*] [$($r:ident)?] $($lower:expr)?;)*) => {
        /// An operator, by its row. Variants have wasmparser's names.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u16)]
        #[allow(missing_docs, reason = "the variants are the specification's operators")]
        pub enum Op { $($op),* }

        impl Op {
            /// Every operator, in the order of their numbers.
            pub const ALL: &[Op] = &[$(Op::$op),*];

            const ROWS: &[Row] = &[$(Row {
                name: $name,
                params: &[$(Ty::$p),*],
                result: define_ops!(@result $($r)?),
                kind: define_ops!(@kind $kind $($($arg)*)?),
                weight: weight_of(define_ops!(@kind $kind $($($arg)*)?), $name),
            }),*];

            /// The row of a wasmparser operator, `None` when it has none.
            ///
            /// Cost: one jump through a table.
            pub fn from_operator(operator: &wasmparser::Operator<'_>) -> Option<Op> {
                match operator {
                    $(wasmparser::Operator::$op { .. } => Some(Op::$op),)*
                    _ => None,
                }
            }

            /// Where a load, a store or an atomic access goes: memory, offset, alignment. `None` for other operators.
            ///
            /// Cost: one jump through a table.
            pub fn memarg(operator: &wasmparser::Operator<'_>) -> Option<wasmparser::MemArg> {
                match *operator {
                    $(define_ops!(@access $kind $op, memarg) => define_ops!(@memarg $kind memarg),)*
                    _ => None,
                }
            }

            /// The lane that an operator of a lane names. `None` for other operators.
            ///
            /// Cost: one jump through a table.
            pub fn lane(operator: &wasmparser::Operator<'_>) -> Option<u8> {
                match *operator {
                    $(define_ops!(@lane $kind $op, lane) => define_ops!(@lane_of $kind lane),)*
                    _ => None,
                }
            }
        }
    };
    (@lane extract_lane $op:ident, $lane:ident) => { wasmparser::Operator::$op { lane: $lane } };
    (@lane replace_lane $op:ident, $lane:ident) => { wasmparser::Operator::$op { lane: $lane } };
    (@lane load_lane $op:ident, $lane:ident) => { wasmparser::Operator::$op { lane: $lane, .. } };
    (@lane store_lane $op:ident, $lane:ident) => { wasmparser::Operator::$op { lane: $lane, .. } };
    (@lane $kind:ident $op:ident, $lane:ident) => { wasmparser::Operator::$op { .. } };
    (@lane_of extract_lane $lane:ident) => { Some($lane) };
    (@lane_of replace_lane $lane:ident) => { Some($lane) };
    (@lane_of load_lane $lane:ident) => { Some($lane) };
    (@lane_of store_lane $lane:ident) => { Some($lane) };
    (@lane_of $kind:ident $lane:ident) => { None };
    (@access load_lane $op:ident, $memarg:ident) => { wasmparser::Operator::$op { memarg: $memarg, .. } };
    (@access store_lane $op:ident, $memarg:ident) => { wasmparser::Operator::$op { memarg: $memarg, .. } };
    (@memarg load_lane $memarg:ident) => { Some($memarg) };
    (@memarg store_lane $memarg:ident) => { Some($memarg) };
    (@access load $op:ident, $memarg:ident) => { wasmparser::Operator::$op { memarg: $memarg } };
    (@access store $op:ident, $memarg:ident) => { wasmparser::Operator::$op { memarg: $memarg } };
    (@access atomic $op:ident, $memarg:ident) => { wasmparser::Operator::$op { memarg: $memarg } };
    (@access $kind:ident $op:ident, $memarg:ident) => { wasmparser::Operator::$op { .. } };
    (@memarg load $memarg:ident) => { Some($memarg) };
    (@memarg store $memarg:ident) => { Some($memarg) };
    (@memarg atomic $memarg:ident) => { Some($memarg) };
    (@memarg $kind:ident $memarg:ident) => { None };
    (@result) => { None };
    (@result $r:ident) => { Some(Ty::$r) };
    (@kind value) => { Kind::Value };
    (@kind compare) => { Kind::Compare };
    (@kind trapping) => { Kind::Trapping };
    (@kind wide) => { Kind::Wide };
    (@kind load $bytes:literal) => { Kind::Load { bytes: $bytes, signed: false } };
    (@kind load $bytes:literal signed) => { Kind::Load { bytes: $bytes, signed: true } };
    (@kind extract_lane $bytes:literal) => { Kind::ExtractLane { bytes: $bytes, signed: false } };
    (@kind extract_lane $bytes:literal signed) => { Kind::ExtractLane { bytes: $bytes, signed: true } };
    (@kind replace_lane $bytes:literal) => { Kind::ReplaceLane { bytes: $bytes } };
    (@kind load_lane $bytes:literal) => { Kind::LoadLane { bytes: $bytes } };
    (@kind store_lane $bytes:literal) => { Kind::StoreLane { bytes: $bytes } };
    (@kind store $bytes:literal) => { Kind::Store { bytes: $bytes } };
    (@kind atomic $what:ident $bytes:literal) => { Kind::Atomic { op: AtomicOp::$what, bytes: $bytes } };
    (@kind control) => { Kind::Control };
}
for_each_row!(define_ops);

impl Op {
    /// The operator's row.
    pub const fn row(self) -> &'static Row {
        &Self::ROWS[self as usize]
    }

    /// The operator with this number.
    pub const fn from_u16(number: u16) -> Option<Op> {
        if (number as usize) < Self::ALL.len() { Some(Self::ALL[number as usize]) } else { None }
    }

    /// Whether the two operands of an operator on integers or bits may change places. Never for floats: which NaN comes out of
    /// arithmetic depends on the order.
    #[expect(clippy::match_like_matches_macro, reason = "a family of operators a line")]
    pub const fn commutes(self) -> bool {
        use Op as O;
        match self {
            O::I32Add | O::I32Mul | O::I32And | O::I32Or | O::I32Xor | O::I32Eq | O::I32Ne => true,
            O::I64Add | O::I64Mul | O::I64And | O::I64Or | O::I64Xor | O::I64Eq | O::I64Ne => true,
            O::V128And | O::V128Or | O::V128Xor => true,
            O::I8x16Eq | O::I16x8Eq | O::I32x4Eq | O::I64x2Eq => true,
            O::I8x16Ne | O::I16x8Ne | O::I32x4Ne | O::I64x2Ne => true,
            O::I8x16Add | O::I16x8Add | O::I32x4Add | O::I64x2Add => true,
            O::I8x16AddSatS | O::I8x16AddSatU | O::I16x8AddSatS | O::I16x8AddSatU => true,
            O::I16x8Mul | O::I32x4Mul | O::I64x2Mul => true,
            O::I8x16MinS | O::I8x16MinU | O::I8x16MaxS | O::I8x16MaxU => true,
            O::I16x8MinS | O::I16x8MinU | O::I16x8MaxS | O::I16x8MaxU => true,
            O::I32x4MinS | O::I32x4MinU | O::I32x4MaxS | O::I32x4MaxU => true,
            O::I8x16AvgrU | O::I16x8AvgrU | O::I16x8Q15MulrSatS | O::I32x4DotI16x8S => true,
            O::I16x8ExtMulLowI8x16S | O::I16x8ExtMulHighI8x16S => true,
            O::I16x8ExtMulLowI8x16U | O::I16x8ExtMulHighI8x16U => true,
            O::I32x4ExtMulLowI16x8S | O::I32x4ExtMulHighI16x8S => true,
            O::I32x4ExtMulLowI16x8U | O::I32x4ExtMulHighI16x8U => true,
            O::I64x2ExtMulLowI32x4S | O::I64x2ExtMulHighI32x4S => true,
            O::I64x2ExtMulLowI32x4U | O::I64x2ExtMulHighI32x4U => true,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_round_trip() {
        for (i, op) in Op::ALL.iter().enumerate() {
            assert_eq!(*op as usize, i);
            assert_eq!(Op::from_u16(i as u16), Some(*op));
        }
        assert_eq!(Op::from_u16(Op::ALL.len() as u16), None);
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = Op::ALL.iter().map(|op| op.row().name).collect();
        names.sort_unstable();
        // `select` has a typed form of the same name.
        names.dedup();
        assert_eq!(names.len(), Op::ALL.len() - 1);
    }

    #[test]
    fn what_commutes_has_two_operands_of_one_type() {
        for op in Op::ALL.iter().filter(|op| op.commutes()) {
            let row = op.row();
            assert!(matches!(row.params, [one, other] if one == other), "{}", row.name);
            assert!(!row.name.starts_with('f'), "{}", row.name);
        }
    }

    #[test]
    fn accesses_have_an_address_first() {
        for op in Op::ALL {
            let row = op.row();
            match row.kind {
                Kind::Load { .. } => assert!(row.params == [Ty::I32] && row.result.is_some(), "{}", row.name),
                Kind::Store { .. } | Kind::StoreLane { .. } => {
                    assert!(row.params.len() == 2 && row.result.is_none(), "{}", row.name);
                }
                Kind::LoadLane { .. } => assert!(row.params == [Ty::I32, Ty::V128], "{}", row.name),
                Kind::Atomic { op, .. } => {
                    assert!(
                        row.params[0] == Ty::I32 && row.result.is_some() == (op != AtomicOp::Store),
                        "{}",
                        row.name
                    );
                }
                Kind::Control => {}
                _ => assert!(row.result.is_some(), "{}", row.name),
            }
        }
    }
}
