//! Lowerings of vectors. A `v128` is an `i8x16` between operators; each operator sees it as the lanes that it works on.

use super::{Emit, clif_type};
use crate::{Kind, Op, Ty};
use cranelift_codegen::ir::condcodes::FloatCC;
use cranelift_codegen::ir::{
    ConstantData, Endianness, InstBuilder, InstBuilderBase, MemFlagsData, Type, Value, types,
};
use cranelift_frontend::{FuncInstBuilder, FunctionBuilder};

/// The type of a `v128` between operators.
pub(super) const V128: Type = types::I8X16;

/// Lanes are numbered from the lowest address on, on every machine.
fn lane_order() -> MemFlagsData {
    MemFlagsData::new().with_endianness(Endianness::Little)
}

/// A vector as lanes of a type.
pub(super) fn cast<'f, E: Emit<'f>>(e: &mut E, ty: Type, value: Value) -> Value {
    if e.type_of(value) == ty { value } else { e.ins().bitcast(ty, lane_order(), value) }
}

pub(super) fn unary<'f, E: Emit<'f>>(
    e: &mut E,
    ty: Type,
    v: &[Value],
    op: impl FnOnce(FuncInstBuilder<'_, 'f>, Value) -> Value,
) -> Value {
    let a = cast(e, ty, v[0]);
    let result = op(e.ins(), a);
    cast(e, V128, result)
}

pub(super) fn binary<'f, E: Emit<'f>>(
    e: &mut E,
    ty: Type,
    v: &[Value],
    op: impl FnOnce(FuncInstBuilder<'_, 'f>, Value, Value) -> Value,
) -> Value {
    let (a, b) = (cast(e, ty, v[0]), cast(e, ty, v[1]));
    let result = op(e.ins(), a, b);
    cast(e, V128, result)
}

/// All lanes by the same scalar amount, modulo their width.
pub(super) fn shift<'f, E: Emit<'f>>(
    e: &mut E,
    ty: Type,
    v: &[Value],
    op: impl FnOnce(FuncInstBuilder<'_, 'f>, Value, Value) -> Value,
) -> Value {
    let amount = v[1];
    unary(e, ty, v, |ins, a| op(ins, a, amount))
}

/// `v128.bitselect`: bits of the first where the third has ones, of the second elsewhere.
pub(super) fn bitselect<'f, E: Emit<'f>>(e: &mut E, v: &[Value]) -> Value {
    e.ins().bitselect(v[2], v[0], v[1])
}

/// The second value where `low < high`, the first elsewhere: `pmin` and `pmax` by the order of their operands.
pub(super) fn pseudo<'f, E: Emit<'f>>(
    e: &mut E,
    ty: Type,
    first: Value,
    second: Value,
    low: Value,
    high: Value,
) -> Value {
    let (low, high) = (cast(e, ty, low), cast(e, ty, high));
    let less = e.ins().fcmp(FloatCC::LessThan, low, high);
    let mask = cast(e, V128, less);
    e.ins().bitselect(mask, second, first)
}

pub(super) fn splat<'f, E: Emit<'f>>(e: &mut E, ty: Type, scalar: Value) -> Value {
    let lane = ty.lane_type();
    let scalar = if e.type_of(scalar).bits() > lane.bits() { e.ins().ireduce(lane, scalar) } else { scalar };
    let result = e.ins().splat(ty, scalar);
    cast(e, V128, result)
}

/// A condition.
pub(super) fn all_true<'f, E: Emit<'f>>(e: &mut E, ty: Type, vector: Value) -> Value {
    let vector = cast(e, ty, vector);
    e.ins().vall_true(vector)
}

pub(super) fn bitmask<'f, E: Emit<'f>>(e: &mut E, ty: Type, vector: Value) -> Value {
    let vector = cast(e, ty, vector);
    e.ins().vhigh_bits(types::I32, vector)
}

/// The product of lanes that `widen` makes twice as wide.
pub(super) fn extended_mul<'f, E: Emit<'f>>(
    e: &mut E,
    from: Type,
    v: &[Value],
    widen: impl Fn(FuncInstBuilder<'_, 'f>, Value) -> Value,
) -> Value {
    let (a, b) = (cast(e, from, v[0]), cast(e, from, v[1]));
    let (a, b) = (widen(e.ins(), a), widen(e.ins(), b));
    let result = e.ins().imul(a, b);
    cast(e, V128, result)
}

/// Sums of neighbours, which are made twice as wide first.
pub(super) fn pairwise<'f, E: Emit<'f>>(e: &mut E, from: Type, signed: bool, vector: Value) -> Value {
    let vector = cast(e, from, vector);
    let (low, high) = if signed {
        (e.ins().swiden_low(vector), e.ins().swiden_high(vector))
    } else {
        (e.ins().uwiden_low(vector), e.ins().uwiden_high(vector))
    };
    let result = e.ins().iadd_pairwise(low, high);
    cast(e, V128, result)
}

/// Sums of the products of neighbours, signed, twice as wide.
pub(super) fn dot<'f, E: Emit<'f>>(e: &mut E, from: Type, v: &[Value]) -> Value {
    let (a, b) = (cast(e, from, v[0]), cast(e, from, v[1]));
    let (a_low, b_low) = (e.ins().swiden_low(a), e.ins().swiden_low(b));
    let low = e.ins().imul(a_low, b_low);
    let (a_high, b_high) = (e.ins().swiden_high(a), e.ins().swiden_high(b));
    let high = e.ins().imul(a_high, b_high);
    let result = e.ins().iadd_pairwise(low, high);
    cast(e, V128, result)
}

/// `i32x4.relaxed_dot_i8x16_i7x16_add_s`.
pub(super) fn dot_add<'f, E: Emit<'f>>(e: &mut E, v: &[Value]) -> Value {
    let pairs = dot(e, types::I8X16, v);
    let fours = pairwise(e, types::I16X8, true, pairs);
    let (fours, sum) = (cast(e, types::I32X4, fours), cast(e, types::I32X4, v[2]));
    let result = e.ins().iadd(fours, sum);
    cast(e, V128, result)
}

/// Two doubles to the low lanes of an `i32x4`, saturating; the high lanes are zero. Cranelift knows this as one operation.
pub(super) fn truncate_doubles<'f, E: Emit<'f>>(e: &mut E, signed: bool, v: &[Value]) -> Value {
    let a = cast(e, types::F64X2, v[0]);
    let result = if signed {
        let wide = e.ins().fcvt_to_sint_sat(types::I64X2, a);
        let zero = zero(e);
        e.ins().snarrow(wide, zero)
    } else {
        let wide = e.ins().fcvt_to_uint_sat(types::I64X2, a);
        let zero = zero(e);
        e.ins().uunarrow(wide, zero)
    };
    cast(e, V128, result)
}

fn zero<'f, E: Emit<'f>>(e: &mut E) -> Value {
    constant(e, types::I64X2, [0; 16])
}

/// A constant, the byte of the lowest address first.
pub fn constant<'f, E: Emit<'f>>(e: &mut E, ty: Type, bytes: [u8; 16]) -> Value {
    let constant = e.ins().data_flow_graph_mut().constants.insert(ConstantData::from(&bytes[..]));
    e.ins().vconst(ty, constant)
}

/// The low lanes of an `i32x4` as doubles. Cranelift knows this as one operation.
pub(super) fn doubles_of_low<'f, E: Emit<'f>>(e: &mut E, signed: bool, v: &[Value]) -> Value {
    let a = cast(e, types::I32X4, v[0]);
    let result = if signed {
        let wide = e.ins().swiden_low(a);
        e.ins().fcvt_from_sint(types::F64X2, wide)
    } else {
        let wide = e.ins().uwiden_low(a);
        e.ins().fcvt_from_uint(types::F64X2, wide)
    };
    cast(e, V128, result)
}

/// The lanes that a lane operator sees.
///
/// # Panics
/// When the row has no lanes.
fn lanes_of(op: Op) -> Type {
    let row = op.row();
    let (bytes, scalar) = match row.kind {
        Kind::ExtractLane { bytes, .. } => (bytes, row.result.unwrap_or(Ty::I32)),
        Kind::ReplaceLane { bytes } => (bytes, row.params[1]),
        Kind::LoadLane { bytes } | Kind::StoreLane { bytes } => {
            (bytes, if bytes == 8 { Ty::I64 } else { Ty::I32 })
        }
        _ => panic!("{} has no lanes", row.name),
    };
    match (bytes, scalar) {
        (1, _) => types::I8X16,
        (2, _) => types::I16X8,
        (4, Ty::F32) => types::F32X4,
        (4, _) => types::I32X4,
        (_, Ty::F64) => types::F64X2,
        _ => types::I64X2,
    }
}

/// Emits a [`Kind::ExtractLane`] row.
///
/// # Panics
/// When the row is another.
pub fn extract_lane<'f, E: Emit<'f>>(op: Op, e: &mut E, vector: Value, lane: u8) -> Value {
    let row = op.row();
    let (Kind::ExtractLane { signed, .. }, Some(result)) = (row.kind, row.result) else {
        panic!("{} extracts no lane", row.name)
    };
    let vector = cast(e, lanes_of(op), vector);
    let scalar = e.ins().extractlane(vector, lane);
    let ty = clif_type(result);
    match (e.type_of(scalar) == ty, signed) {
        (true, _) => scalar,
        (false, true) => e.ins().sextend(ty, scalar),
        (false, false) => e.ins().uextend(ty, scalar),
    }
}

/// Emits a [`Kind::LoadLane`] row from `place`, the final address.
///
/// # Panics
/// When the row is another.
pub fn load_lane<'f, E: Emit<'f>>(
    op: Op,
    e: &mut E,
    flags: MemFlagsData,
    place: Value,
    vector: Value,
    lane: u8,
) -> Value {
    let scalar = e.ins().load(lanes_of(op).lane_type(), flags, place, 0);
    replace_lane(op, e, vector, lane, scalar)
}

/// Emits a [`Kind::StoreLane`] row to `place`, the final address.
///
/// # Panics
/// When the row is another.
pub fn store_lane<'f, E: Emit<'f>>(
    op: Op,
    e: &mut E,
    flags: MemFlagsData,
    place: Value,
    vector: Value,
    lane: u8,
) {
    let vector = cast(e, lanes_of(op), vector);
    let scalar = e.ins().extractlane(vector, lane);
    e.ins().store(flags, scalar, place, 0);
}

/// `a * b + c`, or `c - a * b`, rounded once; needs a machine that has it.
pub fn multiply_add<'f, E: Emit<'f>>(e: &mut E, lane: Ty, negated: bool, v: [Value; 3]) -> Value {
    let ty = if lane == Ty::F32 { types::F32X4 } else { types::F64X2 };
    let [a, b, c] = v.map(|value| cast(e, ty, value));
    let a = if negated { e.ins().fneg(a) } else { a };
    let result = e.ins().fma(a, b, c);
    cast(e, V128, result)
}

/// Emits a [`Kind::ReplaceLane`] row. The scalar may be wider than the lane.
///
/// # Panics
/// When the row has no lanes.
pub fn replace_lane<'f, E: Emit<'f>>(op: Op, e: &mut E, vector: Value, lane: u8, scalar: Value) -> Value {
    let ty = lanes_of(op);
    let vector = cast(e, ty, vector);
    let scalar = narrow(e, ty, scalar);
    let result = e.ins().insertlane(vector, scalar, lane);
    cast(e, V128, result)
}

fn narrow<'f, E: Emit<'f>>(e: &mut E, ty: Type, scalar: Value) -> Value {
    let lane = ty.lane_type();
    if e.type_of(scalar) == lane { scalar } else { e.ins().ireduce(lane, scalar) }
}

/// `i8x16.shuffle`: lane `i` of the result is lane `lanes[i]` of both vectors in a row.
pub fn shuffle<'f, E: Emit<'f>>(e: &mut E, a: Value, b: Value, lanes: [u8; 16]) -> Value {
    let mask = e.ins().data_flow_graph_mut().immediates.push(ConstantData::from(&lanes[..]));
    e.ins().shuffle(a, b, mask)
}

/// Emits a load of a vector of another kind than 16 bytes from `place`, the final address: lanes that are extended, one
/// that is repeated, or one beside zeros. `None` for other rows.
pub(super) fn load(op: Op, b: &mut FunctionBuilder<'_>, flags: MemFlagsData, place: Value) -> Option<Value> {
    let vector = match op {
        Op::V128Load8x8S => b.ins().sload8x8(flags, place, 0),
        Op::V128Load8x8U => b.ins().uload8x8(flags, place, 0),
        Op::V128Load16x4S => b.ins().sload16x4(flags, place, 0),
        Op::V128Load16x4U => b.ins().uload16x4(flags, place, 0),
        Op::V128Load32x2S => b.ins().sload32x2(flags, place, 0),
        Op::V128Load32x2U => b.ins().uload32x2(flags, place, 0),
        Op::V128Load8Splat => splat_of(b, types::I8X16, flags, place),
        Op::V128Load16Splat => splat_of(b, types::I16X8, flags, place),
        Op::V128Load32Splat => splat_of(b, types::I32X4, flags, place),
        Op::V128Load64Splat => splat_of(b, types::I64X2, flags, place),
        Op::V128Load32Zero => {
            let scalar = b.ins().load(types::I32, flags, place, 0);
            b.ins().scalar_to_vector(types::I32X4, scalar)
        }
        Op::V128Load64Zero => {
            let scalar = b.ins().load(types::I64, flags, place, 0);
            b.ins().scalar_to_vector(types::I64X2, scalar)
        }
        _ => return None,
    };
    let ty = b.func.dfg.value_type(vector);
    Some(if ty == V128 { vector } else { b.ins().bitcast(V128, lane_order(), vector) })
}

fn splat_of(b: &mut FunctionBuilder<'_>, ty: Type, flags: MemFlagsData, place: Value) -> Value {
    let scalar = b.ins().load(ty.lane_type(), flags, place, 0);
    b.ins().splat(ty, scalar)
}
