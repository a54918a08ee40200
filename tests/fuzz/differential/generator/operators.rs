//! Every numeric operator and every load and store, by type: what the generator draws from.

use super::Num::{self, F32, F64, I32, I64};

/// How an operator can trap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Danger {
    /// It cannot.
    No,
    /// When the second operand is 0, and maybe when it is -1.
    Divides,
    /// When the float has no integer.
    Truncates,
}

/// A numeric operator.
pub struct NumOp {
    /// Its name in the text format.
    pub name: &'static str,
    /// What it takes.
    pub takes: &'static [Num],
    /// What it gives.
    pub gives: Num,
    /// How it can trap.
    pub danger: Danger,
    /// Whether it shows the bits of a float operand, which a NaN has more than one of.
    pub shows_bits: bool,
}

macro_rules! ops {
    ($($takes:expr => $gives:ident: $($name:literal)*;)*) => {
        &[$($(NumOp {
            name: $name,
            takes: &$takes,
            gives: $gives,
            danger: danger($name),
            shows_bits: shows_bits($name),
        },)*)*]
    };
}

/// All numeric operators without constants.
pub const NUM_OPS: &[NumOp] = ops! {
    [I32, I32] => I32: "i32.add" "i32.sub" "i32.mul" "i32.div_s" "i32.div_u" "i32.rem_s" "i32.rem_u" "i32.and" "i32.or"
        "i32.xor" "i32.shl" "i32.shr_s" "i32.shr_u" "i32.rotl" "i32.rotr" "i32.eq" "i32.ne" "i32.lt_s" "i32.lt_u"
        "i32.gt_s" "i32.gt_u" "i32.le_s" "i32.le_u" "i32.ge_s" "i32.ge_u";
    [I64, I64] => I64: "i64.add" "i64.sub" "i64.mul" "i64.div_s" "i64.div_u" "i64.rem_s" "i64.rem_u" "i64.and" "i64.or"
        "i64.xor" "i64.shl" "i64.shr_s" "i64.shr_u" "i64.rotl" "i64.rotr";
    [I64, I64] => I32: "i64.eq" "i64.ne" "i64.lt_s" "i64.lt_u" "i64.gt_s" "i64.gt_u" "i64.le_s" "i64.le_u" "i64.ge_s"
        "i64.ge_u";
    [I32] => I32: "i32.eqz" "i32.clz" "i32.ctz" "i32.popcnt" "i32.extend8_s" "i32.extend16_s";
    [I64] => I64: "i64.clz" "i64.ctz" "i64.popcnt" "i64.extend8_s" "i64.extend16_s" "i64.extend32_s";
    [I64] => I32: "i64.eqz" "i32.wrap_i64";
    [I32] => I64: "i64.extend_i32_s" "i64.extend_i32_u";
    [F32, F32] => F32: "f32.add" "f32.sub" "f32.mul" "f32.div" "f32.min" "f32.max" "f32.copysign";
    [F64, F64] => F64: "f64.add" "f64.sub" "f64.mul" "f64.div" "f64.min" "f64.max" "f64.copysign";
    [F32, F32] => I32: "f32.eq" "f32.ne" "f32.lt" "f32.gt" "f32.le" "f32.ge";
    [F64, F64] => I32: "f64.eq" "f64.ne" "f64.lt" "f64.gt" "f64.le" "f64.ge";
    [F32] => F32: "f32.abs" "f32.neg" "f32.ceil" "f32.floor" "f32.trunc" "f32.nearest" "f32.sqrt";
    [F64] => F64: "f64.abs" "f64.neg" "f64.ceil" "f64.floor" "f64.trunc" "f64.nearest" "f64.sqrt";
    [F32] => I32: "i32.trunc_f32_s" "i32.trunc_f32_u" "i32.trunc_sat_f32_s" "i32.trunc_sat_f32_u"
        "i32.reinterpret_f32";
    [F64] => I32: "i32.trunc_f64_s" "i32.trunc_f64_u" "i32.trunc_sat_f64_s" "i32.trunc_sat_f64_u";
    [F32] => I64: "i64.trunc_f32_s" "i64.trunc_f32_u" "i64.trunc_sat_f32_s" "i64.trunc_sat_f32_u";
    [F64] => I64: "i64.trunc_f64_s" "i64.trunc_f64_u" "i64.trunc_sat_f64_s" "i64.trunc_sat_f64_u"
        "i64.reinterpret_f64";
    [I32] => F32: "f32.convert_i32_s" "f32.convert_i32_u" "f32.reinterpret_i32";
    [I64] => F32: "f32.convert_i64_s" "f32.convert_i64_u";
    [I32] => F64: "f64.convert_i32_s" "f64.convert_i32_u";
    [I64] => F64: "f64.convert_i64_s" "f64.convert_i64_u" "f64.reinterpret_i64";
    [F64] => F32: "f32.demote_f64";
    [F32] => F64: "f64.promote_f32";
};

/// Loads: the name and what it gives.
pub const LOADS: &[(&str, Num)] = &[
    ("i32.load", I32),
    ("i32.load8_s", I32),
    ("i32.load8_u", I32),
    ("i32.load16_s", I32),
    ("i32.load16_u", I32),
    ("i64.load", I64),
    ("i64.load8_s", I64),
    ("i64.load8_u", I64),
    ("i64.load16_s", I64),
    ("i64.load16_u", I64),
    ("i64.load32_s", I64),
    ("i64.load32_u", I64),
    ("f32.load", F32),
    ("f64.load", F64),
];

/// Stores: the name and what it takes.
pub const STORES: &[(&str, Num)] = &[
    ("i32.store", I32),
    ("i32.store8", I32),
    ("i32.store16", I32),
    ("i64.store", I64),
    ("i64.store8", I64),
    ("i64.store16", I64),
    ("i64.store32", I64),
    ("f32.store", F32),
    ("f64.store", F64),
];

const fn danger(name: &str) -> Danger {
    let name = name.as_bytes();
    if name[0] == b'i' && (has(name, b".div_") || has(name, b".rem_")) {
        Danger::Divides
    } else if has(name, b".trunc_f") {
        Danger::Truncates
    } else {
        Danger::No
    }
}

const fn shows_bits(name: &str) -> bool {
    let name = name.as_bytes();
    has(name, b"reinterpret_f") || has(name, b"copysign")
}

const fn has(name: &[u8], part: &[u8]) -> bool {
    let mut at = 0;
    while at + part.len() <= name.len() {
        let mut i = 0;
        while i < part.len() && name[at + i] == part[i] {
            i += 1;
        }
        if i == part.len() {
            return true;
        }
        at += 1;
    }
    false
}
