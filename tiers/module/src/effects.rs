//! What frequent operators do to the operand stack, by their first byte, for the quick check of bodies: [`EFFECTS`].

use crate::packed::{BITS, Code, F32, F64, I32, I64};

/// What an operator does to the operands.
#[derive(Clone, Copy)]
pub(crate) struct Effect {
    pub(crate) class: Class,
    /// The types that it takes, one or two, as in [`Packed::codes`].
    pub(crate) inputs: u8,
    pub(crate) output: Code,
    /// Of accesses the natural alignment, as a power of two.
    pub(crate) align: u8,
}

/// How an operator is checked.
#[derive(Clone, Copy)]
pub(crate) enum Class {
    Get,
    Set,
    Tee,
    /// `i32.const`.
    Const,
    /// One number, without immediates.
    Unary,
    /// Two numbers, likewise.
    Binary,
    Load,
    Store,
    Other,
}

/// By the operator's byte.
pub(crate) static EFFECTS: [Effect; 256] = effects();

const fn effects() -> [Effect; 256] {
    const fn two(lower: Code, upper: Code) -> u8 {
        lower << BITS | upper
    }
    let mut table = [Effect { class: Class::Other, inputs: 0, output: 0, align: 0 }; 256];
    table[0x20].class = Class::Get;
    table[0x21].class = Class::Set;
    table[0x22].class = Class::Tee;
    table[0x41].class = Class::Const;
    // First and last byte, number and type of inputs, type of the output.
    let values: [(u8, u8, u8, Code, Code); 32] = [
        (0x45, 0x45, 1, I32, I32),
        (0x46, 0x4f, 2, I32, I32),
        (0x50, 0x50, 1, I64, I32),
        (0x51, 0x5a, 2, I64, I32),
        (0x5b, 0x60, 2, F32, I32),
        (0x61, 0x66, 2, F64, I32),
        (0x67, 0x69, 1, I32, I32),
        (0x6a, 0x78, 2, I32, I32),
        (0x79, 0x7b, 1, I64, I64),
        (0x7c, 0x8a, 2, I64, I64),
        (0x8b, 0x91, 1, F32, F32),
        (0x92, 0x98, 2, F32, F32),
        (0x99, 0x9f, 1, F64, F64),
        (0xa0, 0xa6, 2, F64, F64),
        (0xa7, 0xa7, 1, I64, I32),
        (0xa8, 0xa9, 1, F32, I32),
        (0xaa, 0xab, 1, F64, I32),
        (0xac, 0xad, 1, I32, I64),
        (0xae, 0xaf, 1, F32, I64),
        (0xb0, 0xb1, 1, F64, I64),
        (0xb2, 0xb3, 1, I32, F32),
        (0xb4, 0xb5, 1, I64, F32),
        (0xb6, 0xb6, 1, F64, F32),
        (0xb7, 0xb8, 1, I32, F64),
        (0xb9, 0xba, 1, I64, F64),
        (0xbb, 0xbb, 1, F32, F64),
        (0xbc, 0xbc, 1, F32, I32),
        (0xbd, 0xbd, 1, F64, I64),
        (0xbe, 0xbe, 1, I32, F32),
        (0xbf, 0xbf, 1, I64, F64),
        (0xc0, 0xc1, 1, I32, I32),
        (0xc2, 0xc4, 1, I64, I64),
    ];
    let mut row = 0;
    while row < values.len() {
        let (first, last, count, input, output) = values[row];
        let mut op = first;
        while op <= last {
            table[op as usize] = match count {
                1 => Effect { class: Class::Unary, inputs: input, output, align: 0 },
                _ => Effect { class: Class::Binary, inputs: two(input, input), output, align: 0 },
            };
            op += 1;
        }
        row += 1;
    }
    // From 0x28 on: the type of the value and the natural alignment; the first 14 are loads.
    let accesses: [(Code, u8); 23] = [
        (I32, 2),
        (I64, 3),
        (F32, 2),
        (F64, 3),
        (I32, 0),
        (I32, 0),
        (I32, 1),
        (I32, 1),
        (I64, 0),
        (I64, 0),
        (I64, 1),
        (I64, 1),
        (I64, 2),
        (I64, 2),
        (I32, 2),
        (I64, 3),
        (F32, 2),
        (F64, 3),
        (I32, 0),
        (I32, 1),
        (I64, 0),
        (I64, 1),
        (I64, 2),
    ];
    let mut access = 0;
    while access < accesses.len() {
        let (ty, align) = accesses[access];
        let load = access < 14;
        table[0x28 + access] = if load {
            Effect { class: Class::Load, inputs: I32, output: ty, align }
        } else {
            Effect { class: Class::Store, inputs: two(I32, ty), output: 0, align }
        };
        access += 1;
    }
    table
}
