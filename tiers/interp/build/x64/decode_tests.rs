//! Tables of encodings for the decoder.

use super::bytes;
use super::decode::decode;
use super::inst::{Base, Effect, Flow, Mem, RSP, Reg, RegSet};

/// Encoding, registers mentioned, registers written.
const REGISTERS: &[(&str, &[Reg], &[Reg])] = &[
    ("01 d8", &[0, 3], &[0]),
    ("4c 01 c8", &[0, 9], &[0]),
    ("39 d8", &[0, 3], &[]),
    ("3c 05", &[0], &[]),
    ("05 01 00 00 00", &[0], &[0]),
    ("66 05 01 00", &[0], &[0]),
    ("55", &[4, 5], &[4]),
    ("41 5c", &[4, 12], &[4, 12]),
    ("48 63 c1", &[0, 1], &[0]),
    ("44 6b c1 07", &[1, 8], &[8]),
    ("69 c1 07 00 00 00", &[0, 1], &[0]),
    ("80 f9 20", &[1], &[]),
    ("48 83 e1 3f", &[1], &[1]),
    ("85 c0", &[0], &[]),
    ("4d 87 08", &[8, 9], &[9]),
    ("41 88 04 08", &[0, 1, 8], &[]),
    ("40 8a 35 00 00 00 00", &[6], &[6]),
    ("48 8d 7f 0a", &[7], &[7]),
    ("99", &[0, 2], &[2]),
    ("48 98", &[0], &[0]),
    ("41 b8 01 00 00 00", &[8], &[8]),
    ("49 ba 01 02 03 04 05 06 07 08", &[10], &[10]),
    ("c1 e0 03", &[0], &[0]),
    ("49 d3 e0", &[1, 8], &[8]),
    ("d1 f8", &[0], &[0]),
    ("c7 07 01 00 00 00", &[7], &[]),
    ("f7 f1", &[0, 1, 2], &[0, 2]),
    ("48 f7 ff", &[0, 2, 7], &[0, 2]),
    ("f6 f1", &[0, 1], &[0]),
    ("49 f7 e0", &[0, 2, 8], &[0, 2]),
    ("f7 c1 01 00 00 00", &[1], &[]),
    ("f7 d8", &[0], &[0]),
    ("0f 44 c1", &[0, 1], &[0]),
    ("0f 94 c0", &[0], &[0]),
    ("41 0f a3 c8", &[1, 8], &[]),
    ("48 0f ba e0 3f", &[0], &[]),
    ("48 0f a5 d0", &[0, 1, 2], &[0]),
    ("0f af c1", &[0, 1], &[0]),
    ("f0 48 0f b1 0f", &[0, 1, 7], &[0]),
    ("f0 66 0f b1 0f", &[0, 1, 7], &[0]),
    ("f0 40 0f b0 37", &[0, 6, 7], &[0]),
    ("f0 66 44 0f c1 07", &[7, 8], &[8]),
    ("f0 0f c0 0f", &[1, 7], &[1]),
    ("66 87 0f", &[1, 7], &[1]),
    ("86 0f", &[1, 7], &[1]),
    ("f0 09 0f", &[1, 7], &[]),
    ("f0 83 0f 01", &[7], &[]),
    ("f0 0f c1 0f", &[1, 7], &[1]),
    ("0f b6 47 02", &[0, 7], &[0]),
    ("48 0f bf 47 02", &[0, 7], &[0]),
    ("f3 48 0f b8 c1", &[0, 1], &[0]),
    ("48 0f bd c1", &[0, 1], &[0]),
    ("f0 48 0f c7 0f", &[0, 1, 2, 3, 7], &[0, 2]),
    ("49 0f c8", &[8], &[8]),
    ("66 48 0f 6e c1", &[1], &[]),
    ("66 49 0f 7e c0", &[8], &[8]),
    ("f2 48 0f 2c c1", &[0], &[0]),
    ("f3 0f 2a c1", &[1], &[]),
    ("66 0f d7 c1", &[0], &[0]),
    ("66 0f 3a 16 c1 01", &[1], &[1]),
    ("66 0f 3a 22 c1 01", &[1], &[]),
    ("66 0f c5 c1 01", &[0], &[0]),
    ("66 0f 73 d1 20", &[], &[]),
    ("66 0f 3a 0b c1 0a", &[], &[]),
    ("0f ae f0", &[], &[]),
    ("0f 1f 80 00 00 00 00", &[], &[]),
    ("66 90", &[], &[]),
];

#[test]
fn registers_and_lengths() {
    for &(text, regs, writes) in REGISTERS {
        let code = bytes(text);
        let inst = decode(&code, 0).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(inst.len, code.len(), "{text}");
        assert_eq!(inst.regs, RegSet::of(regs), "{text}");
        assert_eq!(inst.writes, RegSet::of(writes), "{text}");
    }
}

#[test]
fn every_prefix_of_an_instruction_is_truncated() {
    for &(text, _, _) in REGISTERS {
        let code = bytes(text);
        for len in 0..code.len() {
            assert!(decode(&code[..len], 0).is_err(), "{text} cut to {len}");
        }
    }
}

#[test]
fn unknown_encodings_are_errors() {
    let cases = [
        "c5 f8 58 c1",    // vaddps
        "c4 e2 f1 f7 c0", // shlx
        "62 f1 7c 48 58 c1",
        "f3 0f bc c1",       // tzcnt
        "f3 0f bd c1",       // lzcnt
        "88 e0",             // mov al, ah
        "f0 89 07",          // lock mov
        "f0 39 07",          // lock cmp
        "f0 0f b1 c1",       // lock cmpxchg of a register
        "f0 01 c0",          // lock with a register
        "f2 01 c0",          // repeat prefix without meaning
        "66 e9 00 00 00 00", // operand size without meaning
        "66 48 01 c0",       // two operand sizes
        "66 66 90",          // the same prefix twice
        "48 66 01 c0",       // REX before a prefix
        "64 48 8b 07",       // segment
        "67 48 8b 07",       // address size
        "41 90",             // xchg r8, rax
        "c2 08 00",          // ret 8
        "c8 00 00 00",       // enter
        "c9",                // leave
        "f4",                // hlt
        "cd 80",             // int
        "0f 05",             // syscall
        "0f a2",             // cpuid
        "0f a3 07",          // bt in memory
        "0f ba f8 01",       // btc
        "ff 07",             // inc
        "ff 35 00 00 00 00", // push of memory
        "8d c0",             // lea of a register
        "c7 f8 00 00 00 00", // xbegin
        "0f ae 38",          // clflush
        "f3 48 0f ae c0",    // rdfsbase
        "66 0f d7 07",       // pmovmskb of memory
        "66 0f 71 07 01",    // shift of memory
        "66 0f 73 d9 01",    // psrldq is not emitted
        "d8 c1",             // x87
        "9c",                // pushf
        "06",
        "27",
    ];
    for text in cases {
        let mut code = bytes(text);
        code.extend([0; 8]);
        assert!(decode(&code, 0).is_err(), "{text}");
    }
}

#[test]
fn memory_operands() {
    let mem = |text: &str| decode(&bytes(text), 0).ok().and_then(|inst| inst.mem);
    let plain =
        Mem { base: Base::Reg(7), index: None, disp: 0, size: 8, read: true, write: false, aligned: false };
    let cases = [
        ("48 8b 07", plain),
        ("48 89 07", Mem { read: false, write: true, ..plain }),
        ("48 01 07", Mem { write: true, ..plain }),
        ("48 8b 7f f8", Mem { disp: -8, ..plain }),
        ("48 8b 87 00 01 00 00", Mem { disp: 256, ..plain }),
        ("48 8b 04 24", Mem { base: Base::Reg(RSP), ..plain }),
        ("49 8b 04 24", Mem { base: Base::Reg(12), ..plain }),
        ("48 8b 04 f7", Mem { index: Some((6, 8)), ..plain }),
        ("4a 8b 04 27", Mem { index: Some((12, 1)), ..plain }),
        ("49 8b 45 00", Mem { base: Base::Reg(13), ..plain }),
        ("48 8b 04 25 10 00 00 00", Mem { base: Base::None, disp: 16, ..plain }),
        ("48 8b 05 10 00 00 00", Mem { base: Base::Rip, disp: 16, ..plain }),
        ("48 8b 04 cd 10 00 00 00", Mem { base: Base::None, index: Some((1, 8)), disp: 16, ..plain }),
        ("f0 48 0f b1 0f", Mem { write: true, ..plain }),
        ("f0 0f c1 0f", Mem { size: 4, write: true, ..plain }),
        ("66 87 0f", Mem { size: 2, write: true, ..plain }),
        ("86 0f", Mem { size: 1, write: true, ..plain }),
        ("0f 28 07", Mem { size: 16, aligned: true, ..plain }),
        ("0f 10 07", Mem { size: 16, ..plain }),
        ("f3 0f 11 07", Mem { size: 4, read: false, write: true, ..plain }),
        ("66 0f 38 20 07", plain),
        ("0f b7 07", Mem { size: 2, ..plain }),
        ("48 8d 07", Mem { size: 0, read: false, ..plain }),
    ];
    for (text, expected) in cases {
        assert_eq!(mem(text), Some(expected), "{text}");
    }
}

#[test]
fn effects() {
    let cases = [
        ("48 89 c7", Effect::Move { dst: 7, src: 0 }),
        ("48 8b c7", Effect::Move { dst: 0, src: 7 }),
        ("89 c7", Effect::Other),
        ("48 83 c7 08", Effect::Add { dst: 7, value: 8 }),
        ("48 81 ef 00 01 00 00", Effect::Add { dst: 7, value: -256 }),
        ("83 c7 08", Effect::Other),
        ("48 83 e7 08", Effect::Other),
        ("48 83 ff 08", Effect::Other),
        ("48 8d 78 08", Effect::Address { dst: 7 }),
        ("8d 78 08", Effect::Other),
        ("48 8b 78 08", Effect::Load { dst: 7 }),
        ("48 89 78 08", Effect::Store { src: 7 }),
        ("57", Effect::Push { src: 7 }),
        ("5f", Effect::Pop { dst: 7 }),
    ];
    for (text, effect) in cases {
        assert_eq!(decode(&bytes(text), 0).map(|inst| inst.effect), Ok(effect), "{text}");
    }
}

#[test]
fn control_flow() {
    let cases = [
        ("eb fe", Flow::Jump(1)),
        ("e9 00 01 00 00", Flow::Jump(0x106)),
        ("74 10", Flow::Branch(0x13)),
        ("0f 8f f0 ff ff ff", Flow::Branch(-9)),
        ("41 ff e2", Flow::JumpIndirect),
        ("ff 27", Flow::JumpIndirect),
        ("c3", Flow::Return),
        ("ff d0", Flow::Call { direct: false }),
        ("e8 00 00 00 00", Flow::Call { direct: true }),
        ("0f 0b", Flow::Undefined),
        ("cc", Flow::Breakpoint),
    ];
    for (text, flow) in cases {
        let mut code = vec![0x90];
        code.extend(bytes(text));
        assert_eq!(decode(&code, 1).map(|inst| inst.flow), Ok(flow), "{text}");
    }
}
