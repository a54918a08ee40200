//! What the decoder tells about an instruction.

use crescendo_abi::regs::{self, X64_INT_ARGS, X64_PINNED};

/// Number of a general register, as encoded: rax rcx rdx rbx rsp rbp rsi rdi r8..r15.
pub type Reg = u8;
/// rax.
pub const RAX: Reg = 0;
/// rcx.
pub const RCX: Reg = 1;
/// rdx.
pub const RDX: Reg = 2;
/// rbx.
pub const RBX: Reg = 3;
/// rsp.
pub const RSP: Reg = 4;
/// rbp.
pub const RBP: Reg = 5;

/// The register with ip: rdi.
pub const IP: Reg = X64_INT_ARGS[regs::IP];
/// The register with fp: rsi.
pub const FP: Reg = X64_INT_ARGS[regs::FP];
/// The register with the context: r15.
pub const CONTEXT: Reg = X64_PINNED;

/// A set of general registers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RegSet(pub u16);

impl RegSet {
    /// The set of these registers.
    pub const fn of(regs: &[Reg]) -> RegSet {
        let mut bits = 0;
        let mut i = 0;
        while i < regs.len() {
            bits |= 1 << regs[i];
            i += 1;
        }
        RegSet(bits)
    }

    /// Adds a register.
    pub fn insert(&mut self, reg: Reg) {
        self.0 |= 1 << reg;
    }

    /// The registers of both.
    #[must_use]
    pub const fn union(self, other: RegSet) -> RegSet {
        RegSet(self.0 | other.0)
    }

    /// The registers that are not in the other set.
    #[must_use]
    pub const fn without(self, other: RegSet) -> RegSet {
        RegSet(self.0 & !other.0)
    }

    /// Whether the register is in the set.
    pub fn contains(self, reg: Reg) -> bool {
        self.0 & (1 << reg) != 0
    }

    /// Whether the sets have a register in common.
    pub fn intersects(self, other: RegSet) -> bool {
        self.0 & other.0 != 0
    }

    /// The registers, ascending.
    pub fn iter(self) -> impl Iterator<Item = Reg> {
        (0..16).filter(move |&reg| self.contains(reg))
    }
}

/// What the address of a memory operand starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// Nothing: the displacement is absolute.
    None,
    /// A register.
    Reg(Reg),
    /// The end of the instruction.
    Rip,
}

/// A memory operand. [`Inst::mem`] of `lea` neither reads nor writes and has size 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mem {
    /// Base of the address.
    pub base: Base,
    /// Index register and its factor (1, 2, 4, 8).
    pub index: Option<(Reg, u8)>,
    /// Displacement.
    pub disp: i32,
    /// Bytes accessed.
    pub size: u8,
    /// Whether it is read.
    pub read: bool,
    /// Whether it is written.
    pub write: bool,
    /// Whether an address that is no multiple of the size faults.
    pub aligned: bool,
}

impl Mem {
    /// The registers of the address.
    pub fn regs(&self) -> RegSet {
        let mut regs = RegSet::default();
        if let Base::Reg(base) = self.base {
            regs.insert(base);
        }
        if let Some((index, _)) = self.index {
            regs.insert(index);
        }
        regs
    }
}

/// The effects on 64-bit registers that a proof follows. Everything else is only in [`Inst::writes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Only what [`Inst::writes`] says.
    Other,
    /// dst = src.
    Move { dst: Reg, src: Reg },
    /// dst += value.
    Add { dst: Reg, value: i64 },
    /// dst = address of the memory operand.
    Address { dst: Reg },
    /// dst = memory.
    Load { dst: Reg },
    /// memory = src.
    Store { src: Reg },
    /// Push of a register.
    Push { src: Reg },
    /// Pop into a register.
    Pop { dst: Reg },
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
    /// Away, to the address in a register or in memory.
    JumpIndirect,
    /// Away, to the return address.
    Return,
    /// To a callee, then to the next instruction; `direct` with a fixed address.
    Call { direct: bool },
    /// Nowhere: ud2.
    Undefined,
    /// Nowhere: int3.
    Breakpoint,
}

/// One instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inst {
    /// Bytes.
    pub len: usize,
    /// Where in it the REX prefix and the ModRM byte are, if it has them.
    pub rex: Option<usize>,
    pub modrm: Option<usize>,
    /// General registers read, written or used in an address, explicitly or not.
    pub regs: RegSet,
    /// General registers written, explicitly or not, wholly or in part.
    pub writes: RegSet,
    /// General registers on whose contents something depends other than an address: read, or written in part or not always.
    pub reads: RegSet,
    /// The explicit memory operand.
    pub mem: Option<Mem>,
    /// What it does to registers.
    pub effect: Effect,
    /// Where control goes.
    pub flow: Flow,
    /// Whether it can raise a divide error.
    pub divides: bool,
    /// Whether it does nothing.
    pub nop: bool,
}
