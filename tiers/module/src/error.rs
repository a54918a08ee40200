//! Why a module was refused.
//!
//! One pointer-sized type for parsing, validation, limits and proposals; made here and in the files that read modules.

use crate::{FuncIdx, Proposal};
use core::fmt;

/// Why a module, or a function body of it, was refused.
///
/// Prints as one line with the function, where the error is in a body, and the byte offset.
#[derive(Clone)]
pub struct ModuleError {
    inner: Box<Inner>,
}

#[derive(Clone, Debug)]
struct Inner {
    kind: ModuleErrorKind,
    message: String,
    offset: usize,
    func: Option<FuncIdx>,
    func_name: Option<String>,
}

/// What sort of reason a [`ModuleError`] has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ModuleErrorKind {
    /// The bytes are not a valid module.
    Invalid,
    /// The module uses a proposal that is not supported or is switched off.
    Proposal(Proposal),
    /// The module exceeds one of the [`crate::ModuleLimits`].
    Limit,
}

impl ModuleError {
    pub(crate) fn new(kind: ModuleErrorKind, message: impl Into<String>, offset: usize) -> ModuleError {
        let message = message.into();
        ModuleError { inner: Box::new(Inner { kind, message, offset, func: None, func_name: None }) }
    }

    pub(crate) fn invalid(message: impl Into<String>, offset: usize) -> ModuleError {
        ModuleError::new(ModuleErrorKind::Invalid, message, offset)
    }

    /// `value` of `what` were met where `limit` are allowed.
    pub(crate) fn limit(what: &str, value: u64, limit: u64, offset: usize) -> ModuleError {
        let message = format!("{what}: {value} exceeds the limit of {limit}");
        ModuleError::new(ModuleErrorKind::Limit, message, offset)
    }

    pub(crate) fn in_function(mut self, func: FuncIdx, name: Option<&str>) -> ModuleError {
        self.inner.func = Some(func);
        self.inner.func_name = name.map(str::to_owned);
        self
    }

    /// What is wrong, without its place.
    pub fn message(&self) -> &str {
        &self.inner.message
    }

    /// Where it is wrong, in bytes from the start of the module.
    pub fn offset(&self) -> usize {
        self.inner.offset
    }

    /// The function whose body is wrong, when one is.
    pub fn function(&self) -> Option<FuncIdx> {
        self.inner.func
    }

    /// The name of that function, when the name section has one.
    pub fn function_name(&self) -> Option<&str> {
        self.inner.func_name.as_deref()
    }

    /// What sort of reason it is.
    pub fn kind(&self) -> ModuleErrorKind {
        self.inner.kind
    }

    /// The proposal that the module uses and that is not supported or switched off.
    pub fn proposal(&self) -> Option<Proposal> {
        match self.inner.kind {
            ModuleErrorKind::Proposal(proposal) => Some(proposal),
            _ => None,
        }
    }
}

impl fmt::Display for ModuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { message, offset, func, func_name, .. } = &*self.inner;
        if let Some(func) = func {
            write!(f, "function {func}")?;
            if let Some(name) = func_name {
                write!(f, " `{}`", name.escape_debug())?;
            }
            f.write_str(": ")?;
        }
        write!(f, "{message} (at offset {offset:#x})")
    }
}

impl fmt::Debug for ModuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl std::error::Error for ModuleError {}

const _: () = assert!(size_of::<ModuleError>() == size_of::<usize>());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_print_their_place() {
        let error = ModuleError::limit("functions", 12, 10, 0x20);
        assert_eq!(error.to_string(), "functions: 12 exceeds the limit of 10 (at offset 0x20)");
        let error = ModuleError::invalid("type mismatch", 7).in_function(FuncIdx::new(3), Some("a\nb"));
        assert_eq!(error.to_string(), "function 3 `a\\nb`: type mismatch (at offset 0x7)");
        assert_eq!((error.function(), error.function_name()), (Some(FuncIdx::new(3)), Some("a\nb")));
    }
}
