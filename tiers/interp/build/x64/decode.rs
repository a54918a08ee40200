//! Decoder for the part of x86-64 that Cranelift emits in handlers without AVX.
//!
//! It tells an instruction's length, the general registers that it mentions and writes, its memory operand and where
//! control goes. An encoding that is not in the tables here is an error, never a guess; so is a prefix without effect.
//! Float and vector registers are not tracked.

use super::super::proof::DecodeError;
use super::inst::{Base, Effect, Flow, Inst, Mem, RAX, RBX, RCX, RDX, RSP, Reg, RegSet};
use super::vector::{Form, Map, NP, VECTOR, Width};

/// How an instruction uses an operand.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Read,
    Write,
    Update,
}

/// The register or memory operand of a ModRM byte.
#[derive(Clone, Copy)]
enum Rm {
    Reg(Reg),
    Mem(Mem),
}

/// A decoded ModRM byte: `reg` with its REX bit, `digit` without.
struct ModRm {
    reg: Reg,
    digit: u8,
    rm: Rm,
}

/// Reads one instruction and collects what it does in `inst`.
struct Decoder<'a> {
    code: &'a [u8],
    start: usize,
    at: usize,
    opsize: bool,
    repeat: u8,
    lock: bool,
    rex: u8,
    /// Whether the operand-size prefix, the repeat prefix, the lock prefix had a meaning.
    opsize_used: bool,
    repeat_used: bool,
    lock_used: bool,
    inst: Inst,
}

/// Decodes the instruction at `at`.
///
/// # Errors
///
/// When the encoding is unknown or the code ends inside it.
pub fn decode(code: &[u8], at: usize) -> Result<Inst, DecodeError> {
    let inst = Inst {
        len: 0,
        rex: None,
        modrm: None,
        regs: RegSet::default(),
        writes: RegSet::default(),
        reads: RegSet::default(),
        mem: None,
        effect: Effect::Other,
        flow: Flow::Next,
        divides: false,
        nop: false,
    };
    let mut decoder = Decoder {
        code,
        start: at,
        at,
        opsize: false,
        repeat: NP,
        lock: false,
        rex: 0,
        opsize_used: false,
        repeat_used: false,
        lock_used: false,
        inst,
    };
    let opcode = decoder.prefixes()?;
    if opcode == 0x0f {
        decoder.escaped()?
    } else {
        decoder.one_byte(opcode)?
    }
    decoder.finish()
}

impl Decoder<'_> {
    fn error(&self, reason: &'static str) -> DecodeError {
        DecodeError { at: self.start, reason }
    }

    fn unknown<T>(&self) -> Result<T, DecodeError> {
        Err(self.error("unknown instruction"))
    }

    fn byte(&mut self) -> Result<u8, DecodeError> {
        let byte = self.code.get(self.at).copied().ok_or(self.error("truncated instruction"))?;
        self.at += 1;
        Ok(byte)
    }

    /// A sign-extended little-endian immediate of 1, 2, 4 or 8 bytes.
    fn signed(&mut self, size: u8) -> Result<i64, DecodeError> {
        let mut value = 0;
        for i in 0..u32::from(size) {
            value |= u64::from(self.byte()?) << (8 * i);
        }
        let unused = 64 - 8 * u32::from(size);
        Ok((value << unused) as i64 >> unused)
    }

    fn prefixes(&mut self) -> Result<u8, DecodeError> {
        loop {
            let byte = self.byte()?;
            match byte {
                0x66 if !self.opsize => self.opsize = true,
                0xf2 | 0xf3 if self.repeat == NP => self.repeat = byte,
                0xf0 if !self.lock => self.lock = true,
                0x40..=0x4f => {
                    self.rex = byte;
                    self.inst.rex = Some(self.at - 1 - self.start);
                    return self.byte();
                }
                _ => return Ok(byte),
            }
        }
    }

    fn wide(&self) -> bool {
        self.rex & 8 != 0
    }

    /// Operand size of an integer instruction: 2, 4 or 8.
    fn size(&mut self) -> Result<u8, DecodeError> {
        self.opsize_used = true;
        match (self.wide(), self.opsize) {
            (true, true) => self.unknown(),
            (true, false) => Ok(8),
            (false, true) => Ok(2),
            (false, false) => Ok(4),
        }
    }

    /// Operand size of an integer instruction whose opcode's lowest bit tells bytes from the larger sizes.
    fn size_by(&mut self, opcode: u8) -> Result<u8, DecodeError> {
        if opcode & 1 == 0 { Ok(1) } else { self.size() }
    }

    fn modrm(&mut self) -> Result<ModRm, DecodeError> {
        self.inst.modrm = Some(self.at - self.start);
        let byte = self.byte()?;
        let digit = byte >> 3 & 7;
        let reg = digit | (self.rex & 4) << 1;
        let low = byte & 7;
        let rex_b = (self.rex & 1) << 3;
        let mode = byte >> 6;
        if mode == 3 {
            return Ok(ModRm { reg, digit, rm: Rm::Reg(low | rex_b) });
        }
        let mut base = Base::Reg(low | rex_b);
        let mut index = None;
        if low == 4 {
            let sib = self.byte()?;
            let number = sib >> 3 & 7 | (self.rex & 2) << 2;
            if number != RSP {
                index = Some((number, 1 << (sib >> 6)));
            }
            base = Base::Reg(sib & 7 | rex_b);
            if sib & 7 == 5 && mode == 0 {
                base = Base::None;
            }
        } else if low == 5 && mode == 0 {
            base = Base::Rip;
        }
        let long = mode == 2 || matches!(base, Base::None | Base::Rip);
        let disp = if long {
            self.signed(4)?
        } else if mode == 1 {
            self.signed(1)?
        } else {
            0
        };
        let mem = Mem { base, index, disp: disp as i32, size: 0, read: false, write: false, aligned: false };
        Ok(ModRm { reg, digit, rm: Rm::Mem(mem) })
    }

    fn mention(&mut self, reg: Reg, how: Use) {
        self.inst.regs.insert(reg);
        if how != Use::Read {
            self.inst.writes.insert(reg);
        }
        if how != Use::Write {
            self.inst.reads.insert(reg);
        }
    }

    /// An integer register operand.
    fn reg(&mut self, reg: Reg, size: u8, how: Use) -> Result<(), DecodeError> {
        if size == 1 && self.rex == 0 && (4..8).contains(&reg) {
            return Err(self.error("high byte register"));
        }
        // The rest of the register stays as it is.
        let partly = how == Use::Write && size < 4;
        self.mention(reg, if partly { Use::Update } else { how });
        Ok(())
    }

    fn memory(&mut self, mut mem: Mem, size: u8, how: Use) {
        mem.size = size;
        mem.read = how != Use::Write;
        mem.write = how != Use::Read;
        self.address(mem);
    }

    fn address(&mut self, mem: Mem) {
        self.inst.regs = self.inst.regs.union(mem.regs());
        self.inst.mem = Some(mem);
    }

    /// An integer register or memory operand.
    fn rm(&mut self, rm: Rm, size: u8, how: Use) -> Result<(), DecodeError> {
        match rm {
            Rm::Reg(reg) => self.reg(reg, size, how)?,
            Rm::Mem(mem) => self.memory(mem, size, how),
        }
        Ok(())
    }

    fn branch_target(&mut self, size: u8) -> Result<i64, DecodeError> {
        let distance = self.signed(size)?;
        Ok(self.at as i64 + distance)
    }

    fn one_byte(&mut self, opcode: u8) -> Result<(), DecodeError> {
        match opcode {
            0x00..=0x3f => self.arithmetic(opcode),
            0x50..=0x5f => {
                let reg = opcode & 7 | (self.rex & 1) << 3;
                let push = opcode < 0x58;
                self.mention(RSP, Use::Update);
                self.mention(reg, if push { Use::Read } else { Use::Write });
                self.inst.effect = if push { Effect::Push { src: reg } } else { Effect::Pop { dst: reg } };
                Ok(())
            }
            0x63 if self.wide() => {
                let m = self.modrm()?;
                self.rm(m.rm, 4, Use::Read)?;
                self.reg(m.reg, 8, Use::Write)
            }
            0x69 | 0x6b => {
                let size = self.size()?;
                let m = self.modrm()?;
                self.rm(m.rm, size, Use::Read)?;
                self.reg(m.reg, size, Use::Write)?;
                self.signed(if opcode == 0x6b { 1 } else { size.min(4) }).map(drop)
            }
            0x70..=0x7f => {
                self.inst.flow = Flow::Branch(self.branch_target(1)?);
                Ok(())
            }
            0x80 | 0x81 | 0x83 => self.arithmetic_immediate(opcode),
            0x84..=0x87 => {
                let size = self.size_by(opcode)?;
                let m = self.modrm()?;
                let exchange = opcode >= 0x86;
                self.lock_used |= exchange && matches!(m.rm, Rm::Mem(_));
                let how = if exchange { Use::Update } else { Use::Read };
                self.rm(m.rm, size, how)?;
                self.reg(m.reg, size, how)
            }
            0x88..=0x8b => self.mov(opcode),
            0x8d => {
                let size = self.size()?;
                let m = self.modrm()?;
                let Rm::Mem(mem) = m.rm else { return self.unknown() };
                self.address(mem);
                if size == 8 {
                    self.inst.effect = Effect::Address { dst: m.reg };
                }
                self.reg(m.reg, size, Use::Write)
            }
            0x90 if self.rex & 1 == 0 && !self.wide() => {
                self.opsize_used = true;
                self.inst.nop = true;
                Ok(())
            }
            0x98 | 0x99 => {
                self.size()?;
                self.mention(RAX, if opcode == 0x98 { Use::Update } else { Use::Read });
                if opcode == 0x99 {
                    self.mention(RDX, Use::Write);
                }
                Ok(())
            }
            0xa8 | 0xa9 => {
                let size = self.size_by(opcode)?;
                self.mention(RAX, Use::Read);
                self.signed(size.min(4)).map(drop)
            }
            0xb0..=0xbf => {
                let size = if opcode < 0xb8 { 1 } else { self.size()? };
                self.reg(opcode & 7 | (self.rex & 1) << 3, size, Use::Write)?;
                self.signed(size).map(drop)
            }
            0xc0 | 0xc1 | 0xd0..=0xd3 => self.shift(opcode),
            0xc6 | 0xc7 => {
                let size = self.size_by(opcode)?;
                let m = self.modrm()?;
                if m.digit != 0 {
                    return self.unknown();
                }
                self.rm(m.rm, size, Use::Write)?;
                self.signed(size.min(4)).map(drop)
            }
            0xf6 | 0xf7 => self.unary(opcode),
            0xc3 | 0xcc | 0xe8 | 0xe9 | 0xeb | 0xff => self.control(opcode),
            _ => self.unknown(),
        }
    }

    /// add or adc sbb and sub xor cmp with ModRM operands or with the accumulator and an immediate.
    fn arithmetic(&mut self, opcode: u8) -> Result<(), DecodeError> {
        let form = opcode & 7;
        if form > 5 {
            return self.unknown();
        }
        let compare = opcode >> 3 == 7;
        let size = self.size_by(opcode)?;
        let how = if compare { Use::Read } else { Use::Update };
        if form >= 4 {
            self.mention(RAX, how);
            let value = self.signed(size.min(4))?;
            self.add_effect(opcode >> 3, RAX, size, value);
            return Ok(());
        }
        let m = self.modrm()?;
        let to_rm = form < 2;
        self.lock_used |= to_rm && !compare && matches!(m.rm, Rm::Mem(_));
        self.rm(m.rm, size, if to_rm { how } else { Use::Read })?;
        self.reg(m.reg, size, if to_rm { Use::Read } else { how })
    }

    fn arithmetic_immediate(&mut self, opcode: u8) -> Result<(), DecodeError> {
        let size = self.size_by(opcode)?;
        let m = self.modrm()?;
        let compare = m.digit == 7;
        self.lock_used |= !compare && matches!(m.rm, Rm::Mem(_));
        self.rm(m.rm, size, if compare { Use::Read } else { Use::Update })?;
        let value = self.signed(if opcode == 0x81 { size.min(4) } else { 1 })?;
        if let Rm::Reg(dst) = m.rm {
            self.add_effect(m.digit, dst, size, value);
        }
        Ok(())
    }

    fn add_effect(&mut self, digit: u8, dst: Reg, size: u8, value: i64) {
        match digit {
            0 if size == 8 => self.inst.effect = Effect::Add { dst, value },
            5 if size == 8 => self.inst.effect = Effect::Add { dst, value: -value },
            _ => {}
        }
    }

    fn mov(&mut self, opcode: u8) -> Result<(), DecodeError> {
        let size = self.size_by(opcode)?;
        let m = self.modrm()?;
        let to_rm = opcode < 0x8a;
        self.rm(m.rm, size, if to_rm { Use::Write } else { Use::Read })?;
        self.reg(m.reg, size, if to_rm { Use::Read } else { Use::Write })?;
        if size == 8 {
            self.inst.effect = match (m.rm, to_rm) {
                (Rm::Reg(dst), true) => Effect::Move { dst, src: m.reg },
                (Rm::Reg(src), false) => Effect::Move { dst: m.reg, src },
                (Rm::Mem(_), true) => Effect::Store { src: m.reg },
                (Rm::Mem(_), false) => Effect::Load { dst: m.reg },
            };
        }
        Ok(())
    }

    fn shift(&mut self, opcode: u8) -> Result<(), DecodeError> {
        let size = self.size_by(opcode)?;
        let m = self.modrm()?;
        if m.digit == 6 {
            return self.unknown();
        }
        self.rm(m.rm, size, Use::Update)?;
        match opcode {
            0xc0 | 0xc1 => self.signed(1).map(drop)?,
            0xd2 | 0xd3 => self.mention(RCX, Use::Read),
            _ => {}
        }
        Ok(())
    }

    /// test not neg mul imul div idiv.
    fn unary(&mut self, opcode: u8) -> Result<(), DecodeError> {
        let size = self.size_by(opcode)?;
        let m = self.modrm()?;
        match m.digit {
            0 => {
                self.rm(m.rm, size, Use::Read)?;
                self.signed(size.min(4)).map(drop)?;
            }
            2 | 3 => self.rm(m.rm, size, Use::Update)?,
            4..=7 => {
                self.rm(m.rm, size, Use::Read)?;
                self.mention(RAX, Use::Update);
                if size > 1 {
                    self.mention(RDX, Use::Update);
                }
                self.inst.divides = m.digit >= 6;
            }
            _ => return self.unknown(),
        }
        Ok(())
    }

    fn control(&mut self, opcode: u8) -> Result<(), DecodeError> {
        self.inst.flow = match opcode {
            0xc3 => Flow::Return,
            0xcc => Flow::Breakpoint,
            0xe8 => {
                self.branch_target(4)?;
                Flow::Call { direct: true }
            }
            0xe9 => Flow::Jump(self.branch_target(4)?),
            0xeb => Flow::Jump(self.branch_target(1)?),
            _ => {
                let m = self.modrm()?;
                self.rm(m.rm, 8, Use::Read)?;
                match m.digit {
                    2 => Flow::Call { direct: false },
                    4 => Flow::JumpIndirect,
                    _ => return self.unknown(),
                }
            }
        };
        if matches!(self.inst.flow, Flow::Return | Flow::Call { .. }) {
            self.mention(RSP, Use::Update);
        }
        Ok(())
    }

    /// Opcodes that start with 0f.
    fn escaped(&mut self) -> Result<(), DecodeError> {
        let opcode = self.byte()?;
        match opcode {
            0x38 => return self.vector(Map::M0f38),
            0x3a => return self.vector(Map::M0f3a),
            _ => {}
        }
        match opcode {
            0x0b => self.inst.flow = Flow::Undefined,
            0x1f => {
                self.size()?;
                let m = self.modrm()?;
                if m.digit != 0 {
                    return self.unknown();
                }
                self.inst.nop = true;
            }
            0x40..=0x4f => self.reg_from(None, Use::Update)?,
            0x80..=0x8f => self.inst.flow = Flow::Branch(self.branch_target(4)?),
            0x90..=0x9f => {
                let m = self.modrm()?;
                self.rm(m.rm, 1, Use::Write)?;
            }
            // The bit number may lead away from a memory operand.
            0xa3 => {
                let size = self.size()?;
                let m = self.modrm()?;
                let Rm::Reg(rm) = m.rm else { return self.unknown() };
                self.reg(rm, size, Use::Read)?;
                self.reg(m.reg, size, Use::Read)?;
            }
            0xa4 | 0xa5 => {
                let size = self.size()?;
                let m = self.modrm()?;
                self.rm(m.rm, size, Use::Update)?;
                self.reg(m.reg, size, Use::Read)?;
                if opcode == 0xa4 { self.signed(1).map(drop)? } else { self.mention(RCX, Use::Read) }
            }
            // lfence mfence sfence.
            0xae if self.repeat == NP && self.rex == 0 => {
                if !matches!(self.byte()?, 0xe8 | 0xf0 | 0xf8) {
                    return self.unknown();
                }
            }
            0xaf => self.reg_from(None, Use::Update)?,
            0xb0 | 0xb1 | 0xc0 | 0xc1 => {
                let size = self.size_by(opcode)?;
                let m = self.modrm()?;
                self.lock_used |= matches!(m.rm, Rm::Mem(_));
                self.rm(m.rm, size, Use::Update)?;
                let compare = opcode < 0xc0;
                self.reg(m.reg, size, if compare { Use::Read } else { Use::Update })?;
                if compare {
                    self.mention(RAX, Use::Update);
                }
            }
            0xb6 | 0xbe => self.reg_from(Some(1), Use::Write)?,
            0xb7 | 0xbf => self.reg_from(Some(2), Use::Write)?,
            // popcnt; bsf and bsr, but not tzcnt and lzcnt, which the baseline lacks.
            0xb8 if self.repeat == 0xf3 && !self.opsize => {
                self.repeat_used = true;
                self.reg_from(None, Use::Write)?;
            }
            0xba => {
                let size = self.size()?;
                let m = self.modrm()?;
                if m.digit != 4 {
                    return self.unknown();
                }
                self.rm(m.rm, size, Use::Read)?;
                self.signed(1).map(drop)?;
            }
            // Without a bit that is set the register stays as it is.
            0xbc | 0xbd => self.reg_from(None, Use::Update)?,
            0xc7 => {
                let m = self.modrm()?;
                let Rm::Mem(mem) = m.rm else { return self.unknown() };
                if m.digit != 1 || !self.wide() {
                    return self.unknown();
                }
                self.lock_used = true;
                self.memory(mem, 16, Use::Update);
                self.inst.mem = self.inst.mem.map(|mem| Mem { aligned: true, ..mem });
                for (reg, how) in [(RAX, Use::Update), (RDX, Use::Update), (RBX, Use::Read), (RCX, Use::Read)]
                {
                    self.mention(reg, how);
                }
            }
            0xc8..=0xcf if !self.opsize => self.mention(opcode & 7 | (self.rex & 1) << 3, Use::Update),
            _ => {
                self.at -= 1;
                return self.vector(Map::M0f);
            }
        }
        Ok(())
    }

    /// An integer register from a register or memory, of the same size or of the one given.
    fn reg_from(&mut self, source: Option<u8>, how: Use) -> Result<(), DecodeError> {
        let size = self.size()?;
        let m = self.modrm()?;
        self.rm(m.rm, source.unwrap_or(size), Use::Read)?;
        self.reg(m.reg, size, how)
    }

    fn vector(&mut self, map: Map) -> Result<(), DecodeError> {
        let opcode = self.byte()?;
        let prefix = match (self.opsize, self.repeat) {
            (true, NP) => 0x66,
            (false, repeat) => repeat,
            _ => return self.unknown(),
        };
        (self.opsize_used, self.repeat_used) = (true, true);
        let row = VECTOR.iter().find(|row| (row.0, row.1) == (map, prefix) && row.2.contains(&opcode));
        let Some(&(_, _, _, form, width, immediate)) = row else { return self.unknown() };
        let (size, aligned) = match width {
            Width::Bytes(size) => (size, size == 16),
            Width::Loose => (16, false),
            Width::Wide => (if self.wide() { 8 } else { 4 }, false),
        };
        let m = self.modrm()?;
        match (form, m.rm) {
            (Form::Vec | Form::Store, Rm::Reg(_)) => {}
            (Form::ToReg | Form::ToRegOnly, Rm::Reg(_)) => self.mention(m.reg, Use::Write),
            (Form::Shift(digits), Rm::Reg(_)) if digits.contains(&m.digit) => {}
            (Form::FromRm, Rm::Reg(reg)) => self.mention(reg, Use::Read),
            (Form::ToRm, Rm::Reg(reg)) => self.mention(reg, Use::Write),
            (Form::Vec | Form::FromRm, Rm::Mem(mem)) => self.memory(Mem { aligned, ..mem }, size, Use::Read),
            (Form::Store | Form::ToRm, Rm::Mem(mem)) => self.memory(Mem { aligned, ..mem }, size, Use::Write),
            (Form::ToReg, Rm::Mem(mem)) => {
                self.memory(mem, size, Use::Read);
                self.mention(m.reg, Use::Write);
            }
            (Form::ToRegOnly, Rm::Mem(_)) | (Form::Shift(_), _) => return self.unknown(),
        }
        if immediate {
            self.signed(1)?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Inst, DecodeError> {
        let useless = self.opsize && !self.opsize_used
            || self.repeat != NP && !self.repeat_used
            || self.lock && !self.lock_used;
        self.inst.len = self.at - self.start;
        if useless || self.inst.len > 15 {
            return self.unknown();
        }
        Ok(self.inst)
    }
}
