//! Running constant expressions: initial values of globals, offsets of segments, items of element segments.

use super::InstanceData;
use crate::error::{Result, bug};
use crescendo_module::{ConstExpr, ConstOp};
use smallvec::SmallVec;

/// The first value of a global, as its slots.
pub(super) fn evaluate_global(instance: &InstanceData, expr: &ConstExpr) -> Result<[u64; 2]> {
    match expr.single() {
        Some(ConstOp::V128Const(slots)) => Ok(slots),
        // SAFETY: the global is alive, and nothing writes to it meanwhile.
        Some(ConstOp::GlobalGet(global)) => Ok(unsafe { instance.global(global).as_ref() }.slots),
        _ => Ok([evaluate(instance, expr)?, 0]),
    }
}

/// The value of an expression, as a slot. Globals that it gets must have their values already.
///
/// # Errors
///
/// Only for expressions that validation should have refused.
pub(super) fn evaluate(instance: &InstanceData, expr: &ConstExpr) -> Result<u64> {
    if let Some(op) = expr.single()
        && let Some(value) = leaf(instance, op)
    {
        return Ok(value);
    }
    let mut stack: SmallVec<[u64; 4]> = SmallVec::new();
    for &op in expr.ops() {
        let value = match leaf(instance, op) {
            Some(value) => value,
            None => match (stack.pop(), stack.pop()) {
                (Some(right), Some(left)) => binary(op, left, right)?,
                _ => return Err(bug!("{op:?} of a constant expression lacks operands")),
            },
        };
        stack.push(value);
    }
    match stack[..] {
        [value] => Ok(value),
        _ => Err(bug!("a constant expression left {} values", stack.len())),
    }
}

/// What an operator without operands pushes.
fn leaf(instance: &InstanceData, op: ConstOp) -> Option<u64> {
    Some(match op {
        ConstOp::I32Const(value) => u64::from(value as u32),
        ConstOp::I64Const(value) => value as u64,
        ConstOp::F32Const(bits) => u64::from(bits),
        ConstOp::F64Const(bits) => bits,
        // SAFETY: the global is alive, and nothing writes to it meanwhile.
        ConstOp::GlobalGet(global) => unsafe { instance.global(global).as_ref() }.slots[0],
        ConstOp::RefNull(_) => 0,
        ConstOp::RefFunc(func) => instance.func(func).as_ptr().expose_provenance() as u64,
        _ => return None,
    })
}

fn binary(op: ConstOp, left: u64, right: u64) -> Result<u64> {
    let (left32, right32) = (left as u32, right as u32);
    Ok(match op {
        ConstOp::I32Add => u64::from(left32.wrapping_add(right32)),
        ConstOp::I32Sub => u64::from(left32.wrapping_sub(right32)),
        ConstOp::I32Mul => u64::from(left32.wrapping_mul(right32)),
        ConstOp::I64Add => left.wrapping_add(right),
        ConstOp::I64Sub => left.wrapping_sub(right),
        ConstOp::I64Mul => left.wrapping_mul(right),
        op => return Err(bug!("{op:?} in a constant expression")),
    })
}

#[cfg(test)]
mod tests {
    use super::{ConstOp, binary};

    #[test]
    fn arithmetic_wraps_and_keeps_the_upper_half_clear() {
        let table = [
            (ConstOp::I32Add, 0xffff_ffff, 2, 1),
            (ConstOp::I32Sub, 0, 1, 0xffff_ffff),
            (ConstOp::I32Mul, 0x8000_0001, 2, 2),
            (ConstOp::I64Add, u64::MAX, 2, 1),
            (ConstOp::I64Sub, 0, 1, u64::MAX),
            (ConstOp::I64Mul, 1 << 63 | 1, 2, 2),
        ];
        for (op, left, right, expected) in table {
            assert_eq!(binary(op, left, right).unwrap(), expected, "{op:?}");
        }
        assert!(binary(ConstOp::I32Const(1), 0, 0).is_err());
    }
}
