//! Decoder for the classes of aarch64 instructions that Cranelift emits.
//!
//! It tells which general registers an instruction writes, its memory operand and where control goes. Another class is an
//! error. Float and vector registers are not tracked.

use super::super::proof::DecodeError;

/// Number of a general register; 31 is sp. Writes to the zero register are not recorded.
pub type Reg = u8;
/// Native stack pointer.
pub const SP: Reg = 31;
/// The instruction that Cranelift emits in order to trap.
pub const TRAP: u32 = 0xc11f;
/// nop.
pub const NOP: u32 = 0xd503_201f;

/// How a memory operand changes its base register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writeback {
    /// Not at all.
    None,
    /// Before the access.
    Pre,
    /// After the access.
    Post,
}

/// A load or store with a base register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Base register, may be sp.
    pub base: Reg,
    /// Offset in bytes, or none with an index register.
    pub offset: Option<i64>,
    /// What happens to the base register.
    pub writeback: Writeback,
    /// Bytes of each register.
    pub size: i64,
    /// Registers transferred: one or two.
    pub count: i64,
    /// Their numbers if they are 64-bit general registers moved whole; none otherwise and for the zero register.
    pub regs: [Option<Reg>; 2],
    /// Whether memory is written.
    pub store: bool,
}

/// The effects on registers that the proof follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Only what [`Inst::writes`] says.
    Other,
    /// dst = src + value.
    Add { dst: Reg, src: Reg, value: i64 },
    /// A load or store.
    Access(Access),
    /// A load of so many bytes at this offset of the code.
    Constant { target: i64, size: usize },
}

/// Where control goes after an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// To the next instruction.
    Next,
    /// To an offset in the code (it may lie outside).
    Jump(i64),
    /// To an offset or to the next instruction.
    Branch(i64),
    /// Away: br or ret.
    Leave,
    /// To a callee, then to the next instruction; `direct` with a fixed address.
    Call { direct: bool },
    /// Nowhere: the trap instruction.
    Undefined,
}

/// One instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inst {
    /// General registers written, a bit each; bit 31 is sp.
    pub writes: u32,
    /// What it does to registers.
    pub effect: Effect,
    /// Where control goes.
    pub flow: Flow,
}

impl Inst {
    const NOTHING: Inst = Inst { writes: 0, effect: Effect::Other, flow: Flow::Next };

    /// An instruction that writes one register, where 31 is the zero register.
    fn writing(reg: Reg) -> Inst {
        Inst { writes: bit(reg), ..Inst::NOTHING }
    }

    fn flow(flow: Flow) -> Inst {
        Inst { flow, ..Inst::NOTHING }
    }
}

/// The bit of a register, none for the zero register.
fn bit(reg: Reg) -> u32 {
    if reg == 31 { 0 } else { 1 << reg }
}

/// Bits `low..low + len` of an instruction.
fn field(word: u32, low: u32, len: u32) -> u32 {
    word >> low & ((1 << len) - 1)
}

/// The same, sign-extended and multiplied.
fn offset(word: u32, low: u32, len: u32, scale: i64) -> i64 {
    let value = i64::from(field(word, low, len));
    ((value << (64 - len)) >> (64 - len)) * scale
}

fn reg(word: u32, low: u32) -> Reg {
    field(word, low, 5) as Reg
}

/// Decodes the instruction at `at`.
///
/// # Errors
///
/// When its class is unknown or the code ends inside it.
pub fn decode(code: &[u8], at: usize) -> Result<Inst, DecodeError> {
    let bytes = code.get(at..).and_then(|rest| rest.first_chunk::<4>());
    let word = u32::from_le_bytes(*bytes.ok_or(DecodeError { at, reason: "truncated instruction" })?);
    let inst = match field(word, 25, 4) {
        0 if word == TRAP => Some(Inst::flow(Flow::Undefined)),
        0b1000 | 0b1001 => immediate(word),
        0b1010 | 0b1011 => branch(word, at as i64),
        0b0100 | 0b0110 | 0b1100 | 0b1110 => memory(word, at as i64),
        0b0101 | 0b1101 => register(word),
        0b0111 | 0b1111 => vector(word),
        _ => None,
    };
    inst.ok_or(DecodeError { at, reason: "unknown instruction" })
}

/// Data processing with an immediate.
fn immediate(word: u32) -> Option<Inst> {
    let (dst, src) = (reg(word, 0), reg(word, 5));
    let wide = word >> 31 == 1;
    let matching = field(word, 22, 1) == word >> 31;
    match field(word, 23, 3) {
        // add sub
        0b010 => {
            let flags = field(word, 29, 1) == 1;
            let value = i64::from(field(word, 10, 12)) << (12 * field(word, 22, 1));
            let value = if field(word, 30, 1) == 1 { -value } else { value };
            if flags && dst == 31 {
                return Some(Inst::NOTHING);
            }
            let effect = if wide { Effect::Add { dst, src, value } } else { Effect::Other };
            Some(Inst { writes: 1 << dst, effect, flow: Flow::Next })
        }
        // and orr eor ands; the first three write sp for register 31.
        0b100 if wide || field(word, 22, 1) == 0 => {
            if field(word, 29, 2) == 3 {
                Some(Inst::writing(dst))
            } else {
                Some(Inst { writes: 1 << dst, ..Inst::NOTHING })
            }
        }
        // movn movz movk
        0b101 if field(word, 29, 2) != 1 && (wide || field(word, 22, 1) == 0) => Some(Inst::writing(dst)),
        // sbfm bfm ubfm
        0b110 if field(word, 29, 2) != 3 && matching => Some(Inst::writing(dst)),
        // extr
        0b111 if field(word, 29, 2) == 0 && field(word, 21, 1) == 0 && matching => Some(Inst::writing(dst)),
        _ => None,
    }
}

/// Branches and system instructions.
fn branch(word: u32, at: i64) -> Option<Inst> {
    let flow = match word >> 26 {
        0b00_0101 => Flow::Jump(at + offset(word, 0, 26, 4)),
        0b10_0101 => Flow::Call { direct: true },
        _ if field(word, 25, 6) == 0b01_1010 => Flow::Branch(at + offset(word, 5, 19, 4)),
        _ if field(word, 25, 6) == 0b01_1011 => Flow::Branch(at + offset(word, 5, 14, 4)),
        _ if word >> 24 == 0x54 && field(word, 4, 1) == 0 => Flow::Branch(at + offset(word, 5, 19, 4)),
        _ => match word & 0xffff_fc1f {
            0xd61f_0000 => Flow::Leave,
            0xd63f_0000 => Flow::Call { direct: false },
            _ if word == 0xd65f_03c0 => Flow::Leave,
            // nop, csdb, dmb
            _ if word == NOP || word == 0xd503_229f || word & 0xffff_f0ff == 0xd503_30bf => Flow::Next,
            _ => return None,
        },
    };
    Some(Inst::flow(flow))
}

/// Loads and stores.
fn memory(word: u32, at: i64) -> Option<Inst> {
    let float = field(word, 26, 1) == 1;
    match (field(word, 27, 3), field(word, 24, 2), float) {
        (0b001, 0b00, false) => exclusive(word),
        (0b001, 0b01, true) => structure(word),
        (0b011, 0b00, _) => literal(word, at),
        (0b101, _, _) => pair(word),
        (0b111, _, _) => single(word),
        _ => None,
    }
}

/// An access without offset that writes the registers `writes`.
fn plain(word: u32, size: i64, store: bool, writes: u32) -> Option<Inst> {
    let access = Access {
        base: reg(word, 5),
        offset: Some(0),
        writeback: Writeback::None,
        size,
        count: 1,
        regs: [None; 2],
        store,
    };
    Some(Inst { writes, effect: Effect::Access(access), flow: Flow::Next })
}

/// Exclusive and ordered accesses, compare and swap.
fn exclusive(word: u32) -> Option<Inst> {
    let (load, status, data) = (field(word, 22, 1) == 1, bit(reg(word, 16)), bit(reg(word, 0)));
    let size = 1 << (word >> 30);
    match (field(word, 23, 1), field(word, 21, 1), field(word, 15, 1)) {
        (0, 0, _) => plain(word, size, !load, if load { data } else { status }),
        (1, 0, 1) => plain(word, size, !load, if load { data } else { 0 }),
        (1, 1, _) if reg(word, 10) == 31 => plain(word, size, true, status),
        _ => None,
    }
}

/// Loads and stores of single vector elements without writeback.
fn structure(word: u32) -> Option<Inst> {
    let plain_form = field(word, 23, 1) == 0 && field(word, 16, 5) == 0 && word >> 31 == 0;
    if plain_form { plain(word, 16, field(word, 22, 1) == 0, 0) } else { None }
}

/// Loads from constants behind the code.
fn literal(word: u32, at: i64) -> Option<Inst> {
    let float = field(word, 26, 1) == 1;
    let size = match (word >> 30, float) {
        (0 | 2, false) | (0, true) => 4,
        (1, _) => 8,
        (2, true) => 16,
        _ => return None,
    };
    let effect = Effect::Constant { target: at + offset(word, 5, 19, 4), size };
    Some(Inst { writes: if float { 0 } else { bit(reg(word, 0)) }, effect, flow: Flow::Next })
}

/// Completes an access: which registers it writes, which it transfers whole.
fn access(word: u32, mut access: Access, float: bool, whole: bool, others: &[Reg]) -> Option<Inst> {
    let mut writes = if access.writeback == Writeback::None { 0 } else { 1 << access.base };
    for (at, &other) in others.iter().enumerate() {
        if !float && !access.store {
            writes |= bit(other);
        }
        access.regs[at] = Some(other).filter(|&other| whole && !float && other != 31);
    }
    debug_assert!(access.base == reg(word, 5), "the base is in one place in every form");
    Some(Inst { writes, effect: Effect::Access(access), flow: Flow::Next })
}

/// ldp stp ldpsw.
fn pair(word: u32) -> Option<Inst> {
    let float = field(word, 26, 1) == 1;
    let load = field(word, 22, 1) == 1;
    let size = match (word >> 30, float) {
        (0, _) => 4,
        (1, false) if load => 4,
        (1, true) | (2, false) => 8,
        (2, true) => 16,
        _ => return None,
    };
    let writeback = match field(word, 23, 3) {
        0b001 => Writeback::Post,
        0b010 => Writeback::None,
        0b011 => Writeback::Pre,
        _ => return None,
    };
    let offset = Some(offset(word, 15, 7, size));
    let base = reg(word, 5);
    let form = Access { base, offset, writeback, size, count: 2, regs: [None; 2], store: !load };
    access(word, form, float, size == 8, &[reg(word, 0), reg(word, 10)])
}

/// Loads and stores of one register, atomic operations.
fn single(word: u32) -> Option<Inst> {
    let float = field(word, 26, 1) == 1;
    let (size_bits, kind) = (word >> 30, field(word, 22, 2));
    let scaled = field(word, 24, 2) == 1;
    if field(word, 24, 2) > 1 {
        return None;
    }
    if !scaled && field(word, 21, 1) == 1 && field(word, 10, 2) == 0 {
        // ldadd ldclr ldeor ldset ldsmax ldsmin ldumax ldumin swp
        let known = !float && (field(word, 15, 1) == 0 || field(word, 12, 3) == 0);
        return if known { plain(word, 1 << size_bits, true, bit(reg(word, 0))) } else { None };
    }
    let size: i64 = match (float, size_bits, kind) {
        (true, 0, 2 | 3) => 16,
        (true, _, 2 | 3) | (false, 3, 2 | 3) | (false, 2, 3) => return None,
        _ => 1 << size_bits,
    };
    let (offset, writeback) = if scaled {
        (Some(i64::from(field(word, 10, 12)) * size), Writeback::None)
    } else {
        match (field(word, 21, 1), field(word, 10, 2)) {
            (0, 0b00) => (Some(offset(word, 12, 9, 1)), Writeback::None),
            (0, 0b01) => (Some(offset(word, 12, 9, 1)), Writeback::Post),
            (0, 0b11) => (Some(offset(word, 12, 9, 1)), Writeback::Pre),
            (1, 0b10) => (None, Writeback::None),
            _ => return None,
        }
    };
    let store = if float { kind & 1 == 0 } else { kind == 0 };
    let form = Access { base: reg(word, 5), offset, writeback, size, count: 1, regs: [None; 2], store };
    access(word, form, float, size == 8, &[reg(word, 0)])
}

/// Data processing on registers.
fn register(word: u32) -> Option<Inst> {
    let (dst, src, other) = (reg(word, 0), reg(word, 5), reg(word, 16));
    let wide = word >> 31 == 1;
    let amount_fits = wide || field(word, 15, 1) == 0;
    match field(word, 24, 5) {
        // and bic orr orn eor eon ands bics
        0b0_1010 if amount_fits => {
            let mov = word & 0xffe0_fc00 == 0xaa00_0000 && src == 31 && other != 31 && dst != 31;
            let effect = if mov { Effect::Add { dst, src: other, value: 0 } } else { Effect::Other };
            Some(Inst { effect, ..Inst::writing(dst) })
        }
        // add sub with a shifted register
        0b0_1011 if field(word, 21, 1) == 0 && field(word, 22, 2) != 3 && amount_fits => {
            Some(Inst::writing(dst))
        }
        // add sub with an extended register; they write sp for register 31 unless they set flags.
        0b0_1011 if field(word, 21, 3) == 1 && field(word, 10, 3) <= 4 => {
            if field(word, 29, 1) == 1 {
                Some(Inst::writing(dst))
            } else {
                Some(Inst { writes: 1 << dst, ..Inst::NOTHING })
            }
        }
        0b1_1010 => match (field(word, 21, 3), field(word, 29, 1)) {
            // adc sbc
            (0b000, _) if field(word, 10, 6) == 0 => Some(Inst::writing(dst)),
            // ccmp ccmn
            (0b010, 1) if field(word, 10, 1) == 0 && field(word, 4, 1) == 0 => Some(Inst::NOTHING),
            // csel csinc csinv csneg
            (0b100, 0) if field(word, 11, 1) == 0 => Some(Inst::writing(dst)),
            // rbit rev16 rev32 rev clz cls; udiv sdiv and shifts
            (0b110, 0) => {
                let known = match (field(word, 30, 1), field(word, 10, 6)) {
                    (1, opcode) => other == 0 && opcode <= 5 && (wide || opcode != 3),
                    (_, opcode) => matches!(opcode, 2 | 3 | 8..=11),
                };
                known.then(|| Inst::writing(dst))
            }
            _ => None,
        },
        // madd msub, wide multiplies
        0b1_1011 if field(word, 29, 2) == 0 => match (field(word, 21, 3), field(word, 15, 1)) {
            (0b000, _) => Some(Inst::writing(dst)),
            (0b001 | 0b101, _) if wide => Some(Inst::writing(dst)),
            (0b010 | 0b110, 0) if wide => Some(Inst::writing(dst)),
            _ => None,
        },
        _ => None,
    }
}

/// Float and vector instructions. Of the vector ones only smov and umov write a general register.
fn vector(word: u32) -> Option<Inst> {
    let dst = reg(word, 0);
    if field(word, 28, 1) == 0 || field(word, 30, 1) == 1 {
        let moves = field(word, 28, 1) == 0 && field(word, 29, 1) == 0;
        return match word >> 31 {
            0 if moves
                && field(word, 21, 7) == 0b111_0000
                && field(word, 15, 1) == 0
                && field(word, 10, 1) == 1 =>
            {
                match field(word, 11, 4) {
                    0 | 1 | 3 => Some(Inst::NOTHING),
                    5 | 7 => Some(Inst::writing(dst)),
                    _ => None,
                }
            }
            0 => Some(Inst::NOTHING),
            // fmov and the conversions of 64-bit registers have bit 30 clear.
            _ => None,
        };
    }
    if field(word, 29, 1) == 1 {
        return None;
    }
    if field(word, 24, 1) == 1 {
        // fmadd fmsub fnmadd fnmsub
        return (word >> 31 == 0).then_some(Inst::NOTHING);
    }
    if field(word, 21, 1) == 0 {
        return None;
    }
    if field(word, 10, 6) != 0 {
        return (word >> 31 == 0).then_some(Inst::NOTHING);
    }
    match (field(word, 16, 3), field(word, 19, 2)) {
        // fcvt* to integers, rounding by mode
        (0 | 1, _) | (4 | 5, 0) => Some(Inst::writing(dst)),
        // scvtf ucvtf
        (2 | 3, 0) => Some(Inst::NOTHING),
        // fmov to and from general registers, of the upper half only with 128-bit registers
        (6, mode) if mode == 0 || mode == 1 && field(word, 22, 2) == 2 => Some(Inst::writing(dst)),
        (7, mode) if mode == 0 || mode == 1 && field(word, 22, 2) == 2 => Some(Inst::NOTHING),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::code;
    use super::*;

    const RET: u32 = 0xd65f_03c0;
    /// br x8
    const BR: u32 = 0xd61f_0100;
    /// add x2, x2, #8
    const ADVANCE: u32 = 0x9100_2042;
    /// b.eq to the second next instruction
    const SKIP: u32 = 0x5400_0040;

    #[test]
    fn written_registers() {
        let cases: &[(u32, &[Reg])] = &[
            (ADVANCE, &[2]),
            (0xd100_43ff, &[SP]),
            (0xf100_041f, &[]),     // cmp x0, #1
            (0x9240_1c00, &[0]),    // and x0, x0, #0xff
            (0x7200_1c1f, &[]),     // tst w0, #0xff
            (0xd280_0021, &[1]),    // mov x1, #1
            (0x5300_1c20, &[0]),    // uxtb w0, w1
            (0x1381_0c20, &[0]),    // ror w0, w1, #3
            (0xaa02_03e0, &[0]),    // mov x0, x2
            (0x8b02_0020, &[0]),    // add x0, x1, x2
            (0x8b22_4020, &[0]),    // add x0, x1, w2, uxtw
            (0xeb02_003f, &[]),     // cmp x1, x2
            (0x7a42_1020, &[]),     // ccmp w1, w2, #0, ne
            (0x9a82_0020, &[0]),    // csel x0, x1, x2, eq
            (0xdac0_1020, &[0]),    // clz x0, x1
            (0x1ac1_0c00, &[0]),    // sdiv w0, w0, w1
            (0x1b02_8c20, &[0]),    // msub w0, w1, w2, w3
            (0xf940_0048, &[8]),    // ldr x8, [x2]
            (0xf900_0048, &[]),     // str x8, [x2]
            (0xf840_8448, &[2, 8]), // ldr x8, [x2], #8
            (0xa8c1_7bfd, &[29, 30, SP]),
            (0xa9bf_7bfd, &[SP]),
            (0x3980_0020, &[0]), // ldrsb x0, [x1]
            (0xbd40_0020, &[]),  // ldr s0, [x1]
            (0x5800_0040, &[0]), // ldr x0, literal
            (0x885f_fc20, &[0]), // ldaxr w0, [x1]
            (0x8802_fc20, &[2]), // stlxr w2, w0, [x1]
            (0x085f_fc20, &[0]), // ldaxrb w0, [x1]
            (0x4802_fc20, &[2]), // stlxrh w2, w0, [x1]
            (0xc8df_fc20, &[0]), // ldar x0, [x1]
            (0x089f_fc20, &[]),  // stlrb w0, [x1]
            (0xb8e0_0022, &[2]), // ldaddal w0, w2, [x1]
            (0x88e0_fc22, &[0]), // casal w0, w2, [x1]
            (0x1e38_0000, &[0]), // fcvtzs w0, s0
            (0x9e62_0000, &[]),  // scvtf d0, x0
            (0x9e66_0000, &[0]), // fmov x0, d0
            (0x9e67_0000, &[]),  // fmov d0, x0
            (0x1e62_2820, &[]),  // fadd d0, d1, d2
            (0x1e62_2020, &[]),  // fcmp d1, d2
            (0x1e62_0c20, &[]),  // fcsel d0, d1, d2, eq
            (0x0e01_3c00, &[0]), // umov w0, v0.b[0]
            (0x0e20_5820, &[]),  // cnt v0.8b, v1.8b
            (0x4e08_0c00, &[]),  // dup v0.2d, x0
            (0xd503_3bbf, &[]),  // dmb ish
            (NOP, &[]),
        ];
        for &(word, writes) in cases {
            let expected = writes.iter().fold(0u32, |bits, reg| bits | 1 << reg);
            assert_eq!(decode(&code(&[word]), 0).map(|inst| inst.writes), Ok(expected), "{word:#010x}");
        }
    }

    #[test]
    fn unknown_words_are_errors() {
        let cases = [
            0x0000_0001, // udf #1
            0x1000_0000, // adr
            0x9000_0000, // adrp
            0xd400_0001, // svc
            0xd420_0000, // brk
            0xd53b_4200, // mrs x0, nzcv
            0xd65f_0000, // ret x0
            0xf980_0000, // prfm
            0xdac0_1820, // ctz, an extension
            0x1ac1_4000, // crc32b
            0x9180_0000, // addg
            0x1e7e_0000, // fjcvtzs
            0x3200_0000 | 1 << 22,
            0xc820_7c22, // ldxp-like pair form
            0x0400_0000, // sve
            0xf820_5000 | 1 << 15,
        ];
        for word in cases {
            assert!(decode(&code(&[word]), 0).is_err(), "{word:#010x}");
        }
        assert!(decode(&[0x1f, 0x20, 0x03], 0).is_err());
    }

    #[test]
    fn control_flow() {
        let flow = |word| decode(&code(&[NOP, word]), 4).map(|inst| inst.flow);
        assert_eq!(flow(0x17ff_ffff), Ok(Flow::Jump(0)));
        assert_eq!(flow(SKIP), Ok(Flow::Branch(12)));
        assert_eq!(flow(0xb400_0040), Ok(Flow::Branch(12)));
        assert_eq!(flow(0x3607_ffe0), Ok(Flow::Branch(0)));
        assert_eq!(flow(RET), Ok(Flow::Leave));
        assert_eq!(flow(BR), Ok(Flow::Leave));
        assert_eq!(flow(0xd63f_0100), Ok(Flow::Call { direct: false }));
        assert_eq!(flow(0x9400_0000), Ok(Flow::Call { direct: true }));
        assert_eq!(flow(TRAP), Ok(Flow::Undefined));
    }
}
