//! Wasm to bytecode, one function at a time, on its first call.
//!
//! One pass over the operators and a short link step. `operators.rs` turns each operator into micro-operators,
//! `control.rs`, `exceptions.rs` and `calls.rs` those of control, `region.rs` keeps them until a label, `emit.rs` finds their handlers and
//! writes cells with `cells.rs`, `hot.rs` chooses the locals that stay in registers (for which it reads the operators once more, and only
//! of functions with loops).
//!
//! The function must be valid: what validation rules out is an error here that names an impossible state.

mod callees;
mod calls;
mod cells;
mod census;
mod control;
mod counters;
mod emit;
mod exceptions;
mod function;
mod hot;
mod operators;
mod region;
#[cfg(feature = "count-regions")]
mod regions;

pub use callees::direct_callees;
pub use census::{Census, Runs, Sequence};
#[cfg(feature = "count-regions")]
pub use regions::region_counts;

use crate::bytecode::Bytecode;
use crate::micro::Root;
use bumpalo::Bump;
use crescendo_abi::Variant;
use crescendo_abi::VmOffsets;
use crescendo_module::{DefinedFuncIdx, ModuleInfo};
use function::Function;
use std::fmt;

/// How to translate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TranslateOptions {
    /// The kind of memories that the bytecode runs on.
    pub variant: Variant,
    /// Superinstructions, accumulators and hot locals. Without them each operator is a cell and every value is in its slot
    /// after it.
    pub fuse: bool,
    /// Whether fuel is charged.
    pub fuel: bool,
    /// Whether function entries and loop headers compare the epoch with the store's deadline.
    pub epochs: bool,
    /// Whether calls and iterations are counted, and from where down.
    pub counting: Option<Counting>,
    /// Most bytes of bytecode for a byte of wasm, beyond a fixed allowance of 64 KiB.
    pub max_bytecode_per_byte: u32,
}

impl Default for TranslateOptions {
    fn default() -> TranslateOptions {
        TranslateOptions {
            variant: Variant::Guarded,
            fuse: true,
            fuel: false,
            epochs: false,
            counting: None,
            max_bytecode_per_byte: 64,
        }
    }
}

/// Where the counters of a function's bytecode start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counting {
    /// Calls until the function counts as hot, at least 1.
    pub calls: u32,
    /// Iterations until a loop counts as hot, at least 1. The first pass through a loop is not counted.
    pub iterations: u32,
}

/// What the translator has to know of the function's module.
#[derive(Clone, Copy, Debug)]
pub struct ModuleEnv<'a> {
    /// The module.
    pub info: &'a ModuleInfo,
    /// The module's bytes.
    pub bytes: &'a [u8],
    /// The layout of the module's contexts.
    pub offsets: &'a VmOffsets,
}

/// Reusable buffers of the translator. Empty between functions, kept for the next.
#[derive(Default)]
pub struct Arena {
    bump: Bump,
    buffers: function::Buffers,
}

/// Why a function could not be translated.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TranslateError {
    /// The bytecode would be larger than the limit allows.
    TooLarge {
        /// Bytes that the limit allows.
        limit: usize,
    },
    /// The frame would not fit a 32-bit offset.
    FrameTooLarge {
        /// Slots that it would take.
        slots: u64,
    },
    /// The body could not be read, which validation rules out.
    Invalid {
        /// Byte offset in the module.
        offset: usize,
        /// What is wrong.
        message: String,
    },
}

impl fmt::Display for TranslateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TranslateError::TooLarge { limit } => write!(f, "bytecode exceeds the limit of {limit} bytes"),
            TranslateError::FrameTooLarge { slots } => write!(f, "a frame of {slots} slots is too large"),
            TranslateError::Invalid { offset, message } => write!(f, "{message} (at offset 0x{offset:x})"),
        }
    }
}

impl std::error::Error for TranslateError {}

/// Why one attempt stopped.
#[derive(Debug)]
pub(crate) enum Stop {
    /// A slot does not fit 16 bits: translate with wide slots.
    NeedsWide,
    /// In a box, so that a step's result fits two registers.
    Error(Box<TranslateError>),
}

impl From<TranslateError> for Stop {
    #[cold]
    fn from(error: TranslateError) -> Stop {
        Stop::Error(Box::new(error))
    }
}

impl From<wasmparser::BinaryReaderError> for Stop {
    fn from(error: wasmparser::BinaryReaderError) -> Stop {
        TranslateError::Invalid { offset: error.offset() as usize, message: error.message().to_string() }
            .into()
    }
}

type Step = Result<(), Stop>;

/// Translates a function.
///
/// # Errors
/// When the bytecode or the frame exceeds a limit, or when the body is not valid.
pub fn translate(
    env: &ModuleEnv<'_>,
    func: DefinedFuncIdx,
    options: &TranslateOptions,
    arena: &mut Arena,
) -> Result<Bytecode, TranslateError> {
    let (narrow, wide) = match options.variant {
        Variant::Guarded => (Root::Guarded, Root::GuardedWide),
        Variant::Checked => (Root::Checked, Root::CheckedWide),
    };
    match attempt(env, func, options, narrow, arena, None) {
        Ok(bytecode) => Ok(bytecode),
        Err(Stop::Error(error)) => Err(*error),
        Err(Stop::NeedsWide) => {
            let options = TranslateOptions { fuse: false, ..*options };
            attempt(env, func, &options, wide, arena, None).map_err(|stop| match stop {
                Stop::Error(error) => *error,
                Stop::NeedsWide => TranslateError::FrameTooLarge { slots: u64::from(u32::MAX) },
            })
        }
    }
}

fn attempt(
    env: &ModuleEnv<'_>,
    func: DefinedFuncIdx,
    options: &TranslateOptions,
    root: Root,
    arena: &mut Arena,
    census: Option<&mut Census>,
) -> Result<Bytecode, Stop> {
    arena.bump.reset();
    let Arena { bump, buffers } = arena;
    Function::new(*env, func, *options, root, bump, buffers, census)?.run()
}
