//! Constant expressions: initial values of globals and tables, offsets and items of segments.
//!
//! A validated expression is kept as a short list of stack operators without its final `end`. Whoever instantiates the
//! module runs it: pushes for the constants, pops for the arithmetic; exactly one value is left. Arithmetic wraps.

use crate::{FuncIdx, GlobalIdx, HeapType};
use smallvec::SmallVec;

/// One operator of a constant expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConstOp {
    /// Pushes an `i32`.
    I32Const(i32),
    /// Pushes an `i64`.
    I64Const(i64),
    /// Pushes an `f32` with these bits.
    F32Const(u32),
    /// Pushes an `f64` with these bits.
    F64Const(u64),
    /// Pushes a `v128`: its two slots.
    V128Const([u64; 2]),
    /// Pushes the value of an immutable global.
    GlobalGet(GlobalIdx),
    /// Pushes the null reference of a type.
    RefNull(HeapType),
    /// Pushes a reference to a function.
    RefFunc(FuncIdx),
    /// Pops two `i32`, pushes their sum.
    I32Add,
    /// Pops two `i32`, pushes the lower one less the upper one.
    I32Sub,
    /// Pops two `i32`, pushes their product.
    I32Mul,
    /// Pops two `i64`, pushes their sum.
    I64Add,
    /// Pops two `i64`, pushes the lower one less the upper one.
    I64Sub,
    /// Pops two `i64`, pushes their product.
    I64Mul,
}

/// A constant expression: operators that leave one value.
///
/// Nearly all have one operator, which is kept in place.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ConstExpr {
    ops: SmallVec<[ConstOp; 1]>,
}

impl ConstExpr {
    /// The expression of these operators.
    pub fn new(ops: impl IntoIterator<Item = ConstOp>) -> ConstExpr {
        ConstExpr { ops: ops.into_iter().collect() }
    }

    pub(crate) fn from_ops(ops: SmallVec<[ConstOp; 1]>) -> ConstExpr {
        ConstExpr { ops }
    }

    /// The operators in the order in which they run.
    pub fn ops(&self) -> &[ConstOp] {
        &self.ops
    }

    /// The operator, when there is one only.
    pub fn single(&self) -> Option<ConstOp> {
        match self.ops[..] {
            [op] => Some(op),
            _ => None,
        }
    }
}

const _: () = assert!(size_of::<ConstOp>() == 24 && size_of::<ConstExpr>() <= 32);
