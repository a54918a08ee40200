//! Lowerings of the value rows to Cranelift IR.
//!
//! [`lower`] serves the interpreter's handler generator and the compiler alike; what differs between them (how a trap is
//! raised, where the instruction goes) is behind [`Emit`].

mod vector;

pub use vector::{constant, extract_lane, load_lane, multiply_add, replace_lane, shuffle, store_lane};

use crate::rows::for_each_row;
use crate::{AtomicOp, Kind, Op, Ty};
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{AtomicRmwOp, InstBuilder, MemFlagsData, Type, Value, types};
use cranelift_frontend::{FuncInstBuilder, FunctionBuilder};
use crescendo_abi::TrapCode;

/// What a lowering needs from the tier that asks for it.
///
/// `'f` is the lifetime of the function under construction.
pub trait Emit<'f> {
    /// The builder, at the place where the operator's code goes.
    fn ins<'s>(&'s mut self) -> FuncInstBuilder<'s, 'f>
    where
        'f: 's;

    /// The type of a value.
    fn type_of(&self, value: Value) -> Type;

    /// Raises `code` when `condition` is not zero.
    fn trap_if(&mut self, condition: Value, code: TrapCode);

    /// Whether instructions that fault (division, conversion, `trap`) become wasm traps. When they don't, lowerings check
    /// their operands and raise traps through [`Emit::trap_if`] only.
    fn faults_are_traps(&self) -> bool;
}

/// Cranelift's type for a machine type.
pub fn clif_type(ty: Ty) -> Type {
    match ty {
        Ty::I32 => types::I32,
        Ty::I64 => types::I64,
        Ty::F32 => types::F32,
        Ty::F64 => types::F64,
        Ty::V128 => vector::V128,
    }
}

/// The engine's code for a trap code in Cranelift's output.
///
/// Codes of the engine are user codes with the same number; the rest are those that Cranelift's own lowerings raise.
pub fn trap_code(code: cranelift_codegen::ir::TrapCode) -> Option<TrapCode> {
    use cranelift_codegen::ir::TrapCode as Clif;
    match code {
        Clif::INTEGER_OVERFLOW => Some(TrapCode::IntegerOverflow),
        Clif::INTEGER_DIVISION_BY_ZERO => Some(TrapCode::IntegerDivisionByZero),
        Clif::BAD_CONVERSION_TO_INTEGER => Some(TrapCode::BadConversionToInteger),
        Clif::STACK_OVERFLOW => Some(TrapCode::StackOverflow),
        Clif::HEAP_OUT_OF_BOUNDS => Some(TrapCode::MemoryOutOfBounds),
        other => TrapCode::from_u8(other.as_raw().get()),
    }
}

/// Cranelift's code for one of the engine's.
pub fn clif_trap_code(code: TrapCode) -> cranelift_codegen::ir::TrapCode {
    cranelift_codegen::ir::TrapCode::unwrap_user(code as u8)
}

macro_rules! define_lower {
    ($($kind:ident $(($($arg:tt)*))? $op:ident $name:literal [$($p:ident)*] [$($r:ident)?] $($lower:expr)?;)*) => {
        /// Emits the code of a value row. The result of a [`Kind::Compare`] row is a condition (`i8`, 0 or 1).
        ///
        /// `None` for rows that have no lowering of their own: accesses and control.
        pub fn lower<'f, E: Emit<'f>>(op: Op, e: &mut E, operands: &[Value]) -> Option<Value> {
            match op {
                $($(Op::$op => { let lower: fn(&mut E, &[Value]) -> Value = $lower; Some(lower(e, operands)) })?)*
                _ => None,
            }
        }
    };
}
for_each_row!(define_lower);

/// Emits the code of a [`Kind::Wide`] row: the lower half of the result, then the upper one.
///
/// # Panics
/// When the row is of another kind.
pub fn lower_wide<'f, E: Emit<'f>>(op: Op, e: &mut E, v: &[Value]) -> [Value; 2] {
    let result = match op {
        Op::I64Add128 => {
            let (left, right) = (e.ins().iconcat(v[0], v[1]), e.ins().iconcat(v[2], v[3]));
            e.ins().iadd(left, right)
        }
        Op::I64Sub128 => {
            let (left, right) = (e.ins().iconcat(v[0], v[1]), e.ins().iconcat(v[2], v[3]));
            e.ins().isub(left, right)
        }
        // The code generators know these as the multiplications with a double-width product.
        Op::I64MulWideS => {
            let (left, right) = (e.ins().sextend(types::I128, v[0]), e.ins().sextend(types::I128, v[1]));
            e.ins().imul(left, right)
        }
        Op::I64MulWideU => {
            let (left, right) = (e.ins().uextend(types::I128, v[0]), e.ins().uextend(types::I128, v[1]));
            e.ins().imul(left, right)
        }
        _ => panic!("{} has one result", op.row().name),
    };
    let (low, high) = e.ins().isplit(result);
    [low, high]
}

/// Emits the load of a [`Kind::Load`] row from `place`, the final address.
///
/// # Panics
/// When the row is not a load.
pub fn lower_load(op: Op, b: &mut FunctionBuilder<'_>, flags: MemFlagsData, place: Value) -> Value {
    let row = op.row();
    let (Kind::Load { bytes, signed }, Some(result)) = (row.kind, row.result) else {
        panic!("{} is not a load", row.name)
    };
    if let Some(vector) = vector::load(op, b, flags, place) {
        return vector;
    }
    narrow_load(clif_type(result), bytes, signed, b, flags, place)
}

/// Emits the load of the lane that a [`Kind::ExtractLane`] row extracts, from its place in a vector in memory.
///
/// # Panics
/// When the row extracts no lane.
pub fn lower_lane_load(op: Op, b: &mut FunctionBuilder<'_>, flags: MemFlagsData, place: Value) -> Value {
    let row = op.row();
    let (Kind::ExtractLane { bytes, signed }, Some(result)) = (row.kind, row.result) else {
        panic!("{} extracts no lane", row.name)
    };
    narrow_load(clif_type(result), bytes, signed, b, flags, place)
}

/// Reads a value of a type from these many bytes of memory.
fn narrow_load(
    ty: Type,
    bytes: u8,
    signed: bool,
    b: &mut FunctionBuilder<'_>,
    flags: MemFlagsData,
    place: Value,
) -> Value {
    let ins = b.ins();
    match (bytes, signed) {
        (1, false) => ins.uload8(ty, flags, place, 0),
        (1, true) => ins.sload8(ty, flags, place, 0),
        (2, false) => ins.uload16(ty, flags, place, 0),
        (2, true) => ins.sload16(ty, flags, place, 0),
        (4, false) if ty == types::I64 => ins.uload32(flags, place, 0),
        (4, true) if ty == types::I64 => ins.sload32(flags, place, 0),
        _ => ins.load(ty, flags, place, 0),
    }
}

/// Emits the store of a [`Kind::Store`] row to `place`, the final address.
///
/// # Panics
/// When the row is not a store.
pub fn lower_store(op: Op, b: &mut FunctionBuilder<'_>, flags: MemFlagsData, place: Value, value: Value) {
    let row = op.row();
    let Kind::Store { bytes } = row.kind else { panic!("{} is not a store", row.name) };
    let ins = b.ins();
    match (bytes, row.params[1]) {
        (1, _) => ins.istore8(flags, value, place, 0),
        (2, _) => ins.istore16(flags, value, place, 0),
        (4, Ty::I64) => ins.istore32(flags, value, place, 0),
        _ => ins.store(flags, value, place, 0),
    };
}

/// Emits a [`Kind::Atomic`] row at `place`, the final address, which is aligned. `operands` are those behind the address.
///
/// # Panics
/// When the row is of another kind.
pub fn lower_atomic(
    op: Op,
    b: &mut FunctionBuilder<'_>,
    flags: MemFlagsData,
    place: Value,
    operands: &[Value],
) -> Option<Value> {
    let row = op.row();
    let Kind::Atomic { op: what, bytes } = row.kind else { panic!("{} is not atomic", row.name) };
    let narrow = Type::int_with_byte_size(bytes.into())
        .unwrap_or_else(|| panic!("{} accesses {bytes} bytes", row.name));
    let operand = |b: &mut FunctionBuilder<'_>, at: usize| {
        let wide = operands[at];
        if b.func.dfg.value_type(wide) == narrow { wide } else { b.ins().ireduce(narrow, wide) }
    };
    let rmw = match what {
        AtomicOp::Load => None,
        AtomicOp::Store => {
            let value = operand(b, 0);
            b.ins().atomic_store(flags, value, place);
            return None;
        }
        AtomicOp::Add => Some(AtomicRmwOp::Add),
        AtomicOp::Sub => Some(AtomicRmwOp::Sub),
        AtomicOp::And => Some(AtomicRmwOp::And),
        AtomicOp::Or => Some(AtomicRmwOp::Or),
        AtomicOp::Xor => Some(AtomicRmwOp::Xor),
        AtomicOp::Xchg => Some(AtomicRmwOp::Xchg),
        AtomicOp::Cmpxchg => None,
    };
    let old = match (what, rmw) {
        (_, Some(rmw)) => {
            let value = operand(b, 0);
            b.ins().atomic_rmw(narrow, flags, rmw, place, value)
        }
        (AtomicOp::Cmpxchg, _) => {
            let (expected, replacement) = (operand(b, 0), operand(b, 1));
            b.ins().atomic_cas(flags, place, expected, replacement)
        }
        _ => b.ins().atomic_load(narrow, flags, place),
    };
    let wide = clif_type(row.result?);
    Some(if wide == narrow { old } else { b.ins().uextend(wide, old) })
}

fn sign_extend<'f, E: Emit<'f>>(e: &mut E, from: Type, value: Value) -> Value {
    let to = e.type_of(value);
    let narrow = e.ins().ireduce(from, value);
    e.ins().sextend(to, narrow)
}

fn as_non_null<'f, E: Emit<'f>>(e: &mut E, reference: Value) -> Value {
    let null = e.ins().icmp_imm_s(IntCC::Equal, reference, 0);
    e.trap_if(null, TrapCode::NullReference);
    reference
}

fn check_divisor<'f, E: Emit<'f>>(e: &mut E, divisor: Value) {
    let zero = e.ins().icmp_imm_s(IntCC::Equal, divisor, 0);
    e.trap_if(zero, TrapCode::IntegerDivisionByZero);
}

fn div_s<'f, E: Emit<'f>>(e: &mut E, dividend: Value, divisor: Value) -> Value {
    if !e.faults_are_traps() {
        check_divisor(e, divisor);
        let ty = e.type_of(dividend);
        let minimum = if ty == types::I32 { i64::from(i32::MIN) } else { i64::MIN };
        let lowest = e.ins().iconst(ty, minimum & if ty == types::I32 { 0xffff_ffff } else { -1 });
        let is_lowest = e.ins().icmp(IntCC::Equal, dividend, lowest);
        let is_minus_one = e.ins().icmp_imm_s(IntCC::Equal, divisor, -1);
        let overflows = e.ins().band(is_lowest, is_minus_one);
        e.trap_if(overflows, TrapCode::IntegerOverflow);
    }
    e.ins().sdiv(dividend, divisor)
}

fn div_u<'f, E: Emit<'f>>(e: &mut E, dividend: Value, divisor: Value) -> Value {
    if !e.faults_are_traps() {
        check_divisor(e, divisor);
    }
    e.ins().udiv(dividend, divisor)
}

fn rem_s<'f, E: Emit<'f>>(e: &mut E, dividend: Value, divisor: Value) -> Value {
    if !e.faults_are_traps() {
        check_divisor(e, divisor);
    }
    e.ins().srem(dividend, divisor)
}

fn rem_u<'f, E: Emit<'f>>(e: &mut E, dividend: Value, divisor: Value) -> Value {
    if !e.faults_are_traps() {
        check_divisor(e, divisor);
    }
    e.ins().urem(dividend, divisor)
}

/// The trapping conversion of a float to an integer.
fn truncate<'f, E: Emit<'f>>(e: &mut E, to: Type, signed: bool, value: Value) -> Value {
    if e.faults_are_traps() {
        return if signed { e.ins().fcvt_to_sint(to, value) } else { e.ins().fcvt_to_uint(to, value) };
    }
    let nan = e.ins().fcmp(FloatCC::Unordered, value, value);
    e.trap_if(nan, TrapCode::BadConversionToInteger);
    // In range when `below < value < above`. Every bound is exact in the float's type, except -2^n - 1, which an f32 cannot
    // hold (nor an f64 for 64 bits): there the next float below -2^n takes its place.
    let bits = to.bits();
    let above = if signed { 2f64.powi(bits as i32 - 1) } else { 2f64.powi(bits as i32) };
    let is_f32 = e.type_of(value) == types::F32;
    let below = match (signed, bits, is_f32) {
        (false, _, _) => -1.0,
        (true, 32, false) => -2147483649.0,
        (true, 32, true) => f64::from((-2147483648.0f32).next_down()),
        (true, _, false) => (-9223372036854775808.0f64).next_down(),
        (true, _, true) => f64::from((-9223372036854775808.0f32).next_down()),
    };
    let (below, above) = if is_f32 {
        (e.ins().f32const(below as f32), e.ins().f32const(above as f32))
    } else {
        (e.ins().f64const(below), e.ins().f64const(above))
    };
    let too_low = e.ins().fcmp(FloatCC::LessThanOrEqual, value, below);
    let too_high = e.ins().fcmp(FloatCC::GreaterThanOrEqual, value, above);
    let outside = e.ins().bor(too_low, too_high);
    e.trap_if(outside, TrapCode::IntegerOverflow);
    if signed { e.ins().fcvt_to_sint_sat(to, value) } else { e.ins().fcvt_to_uint_sat(to, value) }
}
