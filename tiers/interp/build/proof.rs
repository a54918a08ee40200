//! What the handler proofs of all instruction sets share: the values that registers can hold and the ways to fail.
//!
//! The build script runs a proof over the machine code of every handler before it links it; an error stops the build. The
//! traps of a handler are pairs of an offset in its code and a number of `crescendo_abi::TrapCode`.

use std::fmt;

/// Trap codes of a divide fault: `IntegerOverflow` and `IntegerDivisionByZero` of `crescendo_abi::TrapCode`. No other
/// instruction than a division faults with them, though an explicit trap may carry them.
pub const DIVIDE_CODES: [u8; 2] = [7, 8];

/// What a register holds, as far as the proof knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// The handler's ip plus this many bytes.
    Ip(i64),
    /// The handler's fp plus this many bytes.
    Fp(i64),
    /// The context that the handler was entered with.
    Context,
    /// The native stack pointer at entry plus this many bytes.
    Stack(i64),
    /// The native frame pointer at entry.
    CallerFrame,
    /// The return address at entry, where it is in a register.
    ReturnAddress,
    /// Anything.
    Unknown,
}

impl Value {
    /// The value plus a constant.
    pub fn plus(self, bytes: i64) -> Value {
        let shift = |by: i64, make: fn(i64) -> Value| by.checked_add(bytes).map_or(Value::Unknown, make);
        match self {
            Value::Ip(by) => shift(by, Value::Ip),
            Value::Fp(by) => shift(by, Value::Fp),
            Value::Stack(by) => shift(by, Value::Stack),
            other if bytes == 0 => other,
            _ => Value::Unknown,
        }
    }

    /// What is known where two paths meet.
    pub fn join(self, other: Value) -> Value {
        if self == other { self } else { Value::Unknown }
    }
}

/// How an instruction can fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It cannot, or not in a way that a trap may have.
    Never,
    /// It accesses memory that may be inaccessible.
    Memory,
    /// It divides.
    Divide,
    /// It is an undefined instruction, there in order to trap.
    Undefined,
}

impl Fault {
    /// Whether a trap with this code can come from such an instruction.
    pub fn fits(self, code: u8) -> bool {
        match self {
            Fault::Never => false,
            Fault::Memory => !DIVIDE_CODES.contains(&code),
            Fault::Divide => DIVIDE_CODES.contains(&code),
            Fault::Undefined => true,
        }
    }

    /// Whether the instruction must have a row: executed without one it would end the process.
    pub fn needs_row(self) -> bool {
        matches!(self, Fault::Divide | Fault::Undefined)
    }
}

/// An encoding that the decoder does not know, or one that the code is too short for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// Where the instruction starts.
    pub at: usize,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {:#x}", self.reason, self.at)
    }
}

/// Why a handler is not proved. Offsets count from the start of its code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProofError {
    /// An instruction cannot be decoded.
    Decode(DecodeError),
    /// A path leaves the code without a jump.
    RunsOffEnd { at: usize },
    /// Two instructions overlap.
    Overlap { at: usize },
    /// A path reaches padding.
    ReachesPadding { at: usize },
    /// Frameless code touches the stack, or framed code does so in a way that the proof cannot follow.
    StackUse { at: usize },
    /// A call in frameless code, or one to a fixed address.
    Call { at: usize },
    /// An exit at which the stack pointer or the frame pointer are not what they were at entry.
    FrameLeft { at: usize },
    /// An instruction that can trap and has no row.
    MissingRow { at: usize },
    /// A row at which no reachable instruction starts.
    StrayRow { at: usize },
    /// A row for an instruction that cannot fault with this code.
    CannotFault { at: usize, code: u8 },
    /// A row at which a register does not hold what the signal handler reads from it.
    WrongRegister { at: usize, register: &'static str, found: Value },
    /// Bytes that are neither reachable code nor padding nor a constant that reachable code reads.
    Leftover { at: usize },
    /// An access to a constant that is inside the code, outside of the bytes, misaligned, written or of unknown size.
    BadConstant { at: usize },
}

impl From<DecodeError> for ProofError {
    fn from(error: DecodeError) -> ProofError {
        ProofError::Decode(error)
    }
}

impl fmt::Display for ProofError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            ProofError::Decode(error) => write!(f, "{error}"),
            ProofError::RunsOffEnd { at } => write!(f, "the path through {at:#x} runs off the end"),
            ProofError::Overlap { at } => write!(f, "the instruction at {at:#x} overlaps another one"),
            ProofError::ReachesPadding { at } => write!(f, "padding at {at:#x} is reachable"),
            ProofError::StackUse { at } => write!(f, "the instruction at {at:#x} uses the native stack"),
            ProofError::Call { at } => write!(f, "call at {at:#x}"),
            ProofError::FrameLeft { at } => write!(f, "the exit at {at:#x} leaves a native frame behind"),
            ProofError::MissingRow { at } => write!(f, "the instruction at {at:#x} traps but has no row"),
            ProofError::StrayRow { at } => {
                write!(f, "trap row at {at:#x} where no reachable instruction starts")
            }
            ProofError::CannotFault { at, code } => {
                write!(f, "the instruction at {at:#x} cannot fault with trap code {code}")
            }
            ProofError::WrongRegister { at, register, found } => {
                write!(f, "at the trap row {at:#x} the register {register} holds {found:?}")
            }
            ProofError::Leftover { at } => {
                write!(f, "byte at {at:#x} is neither code nor padding nor a constant")
            }
            ProofError::BadConstant { at } => write!(f, "the instruction at {at:#x} misuses a constant"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Fault, Value};

    #[test]
    fn values_add_and_join() {
        assert_eq!(Value::Ip(8).plus(-8), Value::Ip(0));
        assert_eq!(Value::Fp(i64::MAX).plus(1), Value::Unknown);
        assert_eq!(Value::Context.plus(0), Value::Context);
        assert_eq!(Value::Context.plus(8), Value::Unknown);
        assert_eq!(Value::Ip(8).join(Value::Ip(8)), Value::Ip(8));
        assert_eq!(Value::Ip(8).join(Value::Fp(8)), Value::Unknown);
    }

    #[test]
    fn codes_fit_faults() {
        for code in 1..=13 {
            let divide = code == 7 || code == 8;
            assert_eq!(Fault::Memory.fits(code), !divide);
            assert_eq!(Fault::Divide.fits(code), divide);
            assert!(Fault::Undefined.fits(code) && !Fault::Never.fits(code));
        }
    }
}
