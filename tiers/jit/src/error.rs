//! Why a function or a set of thunks was not compiled.

use cranelift_codegen::CodegenError;
use std::fmt;

/// Why a function was not compiled. It can still be interpreted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CompileError {
    /// Cranelift does not support this machine.
    Host {
        /// What is missing.
        message: String,
    },
    /// The function, or what Cranelift makes of it, exceeds a limit.
    TooLarge {
        /// The limit.
        limit: &'static str,
    },
    /// The body could not be read, which validation rules out.
    Invalid {
        /// Byte offset in the module.
        offset: usize,
        /// What is wrong.
        message: String,
    },
    /// Cranelift failed: a defect.
    Codegen {
        /// What it says.
        message: String,
    },
}

/// The result of a step of translation.
pub(crate) type Step<T = ()> = Result<T, CompileError>;

pub(crate) fn invalid(offset: u32, message: &str) -> CompileError {
    CompileError::Invalid { offset: offset as usize, message: message.to_string() }
}

impl CompileError {
    /// Whether it should never happen, whatever the module is.
    pub fn is_defect(&self) -> bool {
        matches!(self, CompileError::Invalid { .. } | CompileError::Codegen { .. })
    }

    pub(crate) fn of_codegen(error: CodegenError) -> CompileError {
        match error {
            CodegenError::CodeTooLarge => CompileError::TooLarge { limit: "machine code" },
            CodegenError::ImplLimitExceeded => {
                CompileError::TooLarge { limit: "an implementation limit of Cranelift" }
            }
            error => CompileError::Codegen { message: format!("{error:?}") },
        }
    }
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CompileError::Host { message } => write!(f, "native code is not supported here: {message}"),
            CompileError::TooLarge { limit } => write!(f, "too large to compile: {limit}"),
            CompileError::Invalid { offset, message } => write!(f, "{message} (at offset 0x{offset:x})"),
            CompileError::Codegen { message } => write!(f, "the code generator failed: {message}"),
        }
    }
}

impl std::error::Error for CompileError {}

impl From<wasmparser::BinaryReaderError> for CompileError {
    fn from(error: wasmparser::BinaryReaderError) -> CompileError {
        CompileError::Invalid { offset: error.offset() as usize, message: error.message().to_string() }
    }
}
