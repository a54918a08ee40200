//! The float and vector instructions that Cranelift emits without AVX, as rows.

/// The second byte group of an opcode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Map {
    /// 0f.
    M0f,
    /// 0f 38.
    M0f38,
    /// 0f 3a.
    M0f3a,
}

/// The operands of a float or vector instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Vector register from vector register or memory.
    Vec,
    /// Vector register or memory from vector register.
    Store,
    /// General register from vector register or memory.
    ToReg,
    /// General register from vector register.
    ToRegOnly,
    /// Vector register from general register or memory.
    FromRm,
    /// General register or memory from vector register.
    ToRm,
    /// Shift of a vector register by an immediate, with these opcode extensions.
    Shift(&'static [u8]),
}

/// The memory operand of a float or vector instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// So many bytes, aligned if 16.
    Bytes(u8),
    /// 16 bytes, any alignment.
    Loose,
    /// 4 bytes, 8 with REX.W.
    Wide,
}

use Form::{FromRm, Shift, Store, ToReg, ToRegOnly, ToRm, Vec as V};
use Map::{M0f, M0f3a, M0f38};
use Width::{Bytes, Loose, Wide};

/// No mandatory prefix.
pub const NP: u8 = 0;

/// Map, mandatory prefix, opcodes, operands, size in memory, has an 8-bit immediate.
pub type Row = (Map, u8, &'static [u8], Form, Width, bool);

/// Float and vector instructions.
pub const VECTOR: &[Row] = &[
    (M0f, NP, &[0x10], V, Loose, false),
    (M0f, 0x66, &[0x10], V, Loose, false),
    (M0f, 0xf3, &[0x10], V, Bytes(4), false),
    (M0f, 0xf2, &[0x10, 0x12], V, Bytes(8), false),
    (M0f, NP, &[0x11], Store, Loose, false),
    (M0f, 0x66, &[0x11], Store, Loose, false),
    (M0f, 0xf3, &[0x11], Store, Bytes(4), false),
    (M0f, 0xf2, &[0x11], Store, Bytes(8), false),
    (M0f, NP, &[0x16, 0x5a], V, Bytes(8), false),
    (M0f, NP, &[0x14, 0x15, 0x28], V, Bytes(16), false),
    (M0f, 0x66, &[0x14, 0x28], V, Bytes(16), false),
    (M0f, NP, &[0x29], Store, Bytes(16), false),
    (M0f, 0x66, &[0x29], Store, Bytes(16), false),
    (M0f, 0xf3, &[0x2a], FromRm, Wide, false),
    (M0f, 0xf2, &[0x2a], FromRm, Wide, false),
    (M0f, 0xf3, &[0x2c, 0x2d], ToReg, Bytes(4), false),
    (M0f, 0xf2, &[0x2c, 0x2d], ToReg, Bytes(8), false),
    (M0f, NP, &[0x2e], V, Bytes(4), false),
    (M0f, 0x66, &[0x2e], V, Bytes(8), false),
    (M0f, NP, &[0x50], ToRegOnly, Bytes(0), false),
    (M0f, 0x66, &[0x50, 0xd7], ToRegOnly, Bytes(0), false),
    (
        M0f,
        NP,
        &[0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5b, 0x5c, 0x5d, 0x5e, 0x5f],
        V,
        Bytes(16),
        false,
    ),
    (
        M0f,
        0x66,
        &[0x51, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5a, 0x5c, 0x5d, 0x5e, 0x5f],
        V,
        Bytes(16),
        false,
    ),
    (M0f, 0xf3, &[0x51, 0x52, 0x53, 0x58, 0x59, 0x5a, 0x5c, 0x5d, 0x5e, 0x5f], V, Bytes(4), false),
    (M0f, 0xf2, &[0x51, 0x58, 0x59, 0x5a, 0x5c, 0x5d, 0x5e, 0x5f], V, Bytes(8), false),
    (M0f, 0xf3, &[0x5b], V, Bytes(16), false),
    (
        M0f,
        0x66,
        &[0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6f],
        V,
        Bytes(16),
        false,
    ),
    (M0f, 0x66, &[0x6e], FromRm, Wide, false),
    (M0f, 0xf3, &[0x6f], V, Loose, false),
    (M0f, 0x66, &[0x70], V, Bytes(16), true),
    (M0f, 0xf3, &[0x70], V, Bytes(16), true),
    (M0f, 0xf2, &[0x70], V, Bytes(16), true),
    (M0f, 0x66, &[0x71, 0x72], Shift(&[2, 4, 6]), Bytes(0), true),
    (M0f, 0x66, &[0x73], Shift(&[2, 6]), Bytes(0), true),
    (M0f, 0x66, &[0x74, 0x75, 0x76], V, Bytes(16), false),
    (M0f, 0x66, &[0x7e], ToRm, Wide, false),
    (M0f, 0x66, &[0x7f], Store, Bytes(16), false),
    (M0f, 0xf3, &[0x7f], Store, Loose, false),
    (M0f, NP, &[0xc2, 0xc6], V, Bytes(16), true),
    (M0f, 0x66, &[0xc2, 0xc6], V, Bytes(16), true),
    (M0f, 0xf3, &[0xc2], V, Bytes(4), true),
    (M0f, 0xf2, &[0xc2], V, Bytes(8), true),
    (M0f, 0x66, &[0xc4], FromRm, Bytes(2), true),
    (M0f, 0x66, &[0xc5], ToRegOnly, Bytes(0), true),
    (M0f, 0x66, &[0xd1, 0xd2, 0xd3, 0xd4, 0xd5, 0xd8, 0xd9, 0xda, 0xdb], V, Bytes(16), false),
    (M0f, 0x66, &[0xdc, 0xdd, 0xde, 0xdf, 0xe0, 0xe1, 0xe2, 0xe3, 0xe4], V, Bytes(16), false),
    (M0f, 0x66, &[0xe5, 0xe6, 0xe8, 0xe9, 0xea, 0xeb, 0xec, 0xed, 0xee], V, Bytes(16), false),
    (M0f, 0x66, &[0xef, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5], V, Bytes(16), false),
    (M0f, 0x66, &[0xf8, 0xf9, 0xfa, 0xfb, 0xfc, 0xfd, 0xfe], V, Bytes(16), false),
    (M0f, 0xf3, &[0xe6], V, Bytes(8), false),
    (M0f38, 0x66, &[0x00, 0x01, 0x02, 0x04, 0x0b, 0x10, 0x14, 0x15, 0x17], V, Bytes(16), false),
    (M0f38, 0x66, &[0x1c, 0x1d, 0x1e, 0x28, 0x29, 0x2b, 0x37, 0x38, 0x39], V, Bytes(16), false),
    (M0f38, 0x66, &[0x3a, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f, 0x40], V, Bytes(16), false),
    (M0f38, 0x66, &[0x20, 0x23, 0x25, 0x30, 0x33, 0x35], V, Bytes(8), false),
    (M0f38, 0x66, &[0x21, 0x24, 0x31, 0x34], V, Bytes(4), false),
    (M0f38, 0x66, &[0x22, 0x32], V, Bytes(2), false),
    (M0f3a, 0x66, &[0x08, 0x09, 0x0e, 0x0f], V, Bytes(16), true),
    (M0f3a, 0x66, &[0x0a, 0x21], V, Bytes(4), true),
    (M0f3a, 0x66, &[0x0b], V, Bytes(8), true),
    (M0f3a, 0x66, &[0x14], ToRm, Bytes(1), true),
    (M0f3a, 0x66, &[0x15], ToRm, Bytes(2), true),
    (M0f3a, 0x66, &[0x16], ToRm, Wide, true),
    (M0f3a, 0x66, &[0x17], ToRm, Bytes(4), true),
    (M0f3a, 0x66, &[0x20], FromRm, Bytes(1), true),
    (M0f3a, 0x66, &[0x22], FromRm, Wide, true),
];
