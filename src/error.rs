//! The one error type of the API.
//!
//! Everything that can fail returns [`Error`]: a single pointer, so that `Result<(), Error>` fits a register. What failed is
//! an [`ErrorKind`]; around it lie the messages that callers added ([`Error::context`]) and, when wasm was on the stack, its
//! [`WasmBacktrace`]. Host functions return the same type: [`Error::host`] takes any error value and
//! [`Error::downcast_ref`] gives it back on the other side of the guest.
//!
//! Invariant: no guest and no module bytes make the engine panic. A state that should be impossible becomes an
//! [`ErrorKind::Bug`] through the macro `bug!`.

mod imports;

pub use imports::{IncompatibleImport, UnknownImport};

use crate::{ExternType, MemoryTypeError, ModuleError, Trap, TrapCode, WasmBacktrace};
use std::any::Any;
use std::error::Error as StdError;
use std::{fmt, io};

/// A `Result` whose error is [`Error`] unless another is named.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a function of this crate fails with. As large as a pointer.
///
/// `{}` prints the messages added with [`Error::context`], outermost first, then what failed, then the wasm backtrace if
/// there is one. `{:#}` leaves the backtrace out and stays on one line where the failure's own message does. `{:?}` prints
/// what `{}` prints, followed by the chain of sources, for `main` functions and `unwrap`.
///
/// # Examples
///
/// A host's own error passes through the guest whole:
///
/// ```
/// # use crescendo::Error;
/// #[derive(Debug, PartialEq)]
/// struct OutOfPaper(u32);
/// impl std::fmt::Display for OutOfPaper {
///     fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
///         write!(f, "tray {} is empty", self.0)
///     }
/// }
/// impl std::error::Error for OutOfPaper {}
///
/// let error = Error::host(OutOfPaper(2)).context("cannot print");
/// assert_eq!(error.to_string(), "cannot print: tray 2 is empty");
/// assert_eq!(error.downcast_ref(), Some(&OutOfPaper(2)));
/// ```
pub struct Error {
    inner: Box<Inner>,
}

struct Inner {
    kind: ErrorKind,
    /// Innermost first: pushed as the error travels outwards.
    context: Vec<Box<str>>,
    backtrace: Option<WasmBacktrace>,
}

/// What failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The bytes are not a valid module, or the module uses a proposal that is off. Names the byte offset and, for an error
    /// in a body, the function.
    Module(ModuleError),
    /// Imports for which nothing was found: all of them, in the module's order.
    UnknownImports(Vec<UnknownImport>),
    /// An import whose definition has another type.
    IncompatibleImport(Box<IncompatibleImport>),
    /// A definition that a [`crate::Linker`] cannot take or find.
    Link(Box<str>),
    /// An instance could not be built.
    Instantiation(Box<str>),
    /// A limit of the configuration or of the store was exceeded.
    Limit(Box<str>),
    /// The guest trapped.
    Trap(Trap),
    /// A host function failed with this error.
    Host(Box<dyn StdError + Send + Sync>),
    /// A message without a type of its own, from [`Error::msg`].
    Message(Box<str>),
    /// The API was called with values that do not fit: number or types of arguments, indices out of range, handles of
    /// another store.
    Arguments(Box<str>),
    /// The operating system refused something.
    Io(io::Error),
    /// The engine met a state that should be impossible.
    Bug(Box<str>),
}

/// Makes the error of an impossible state: `return Err(bug!("slot {slot} is missing"))`.
macro_rules! bug {
    ($($message:tt)+) => { $crate::Error::bug(format_args!($($message)+)) };
}
pub(crate) use bug;

/// Makes an error of arguments that do not fit: `return Err(arguments!("index {index} is out of range"))`.
macro_rules! arguments {
    ($($message:tt)+) => { $crate::Error::new($crate::ErrorKind::Arguments(format!($($message)+).into())) };
}
pub(crate) use arguments;

/// Makes an error of an exceeded limit: `return Err(limit!("{count} memories, the limit is {most}"))`.
macro_rules! limit {
    ($($message:tt)+) => { $crate::Error::new($crate::ErrorKind::Limit(format!($($message)+).into())) };
}
pub(crate) use limit;

impl Error {
    /// An error of this kind, without context and backtrace.
    pub(crate) fn new(kind: ErrorKind) -> Error {
        Error { inner: Box::new(Inner { kind, context: Vec::new(), backtrace: None }) }
    }

    /// An error that is only a message.
    ///
    /// # Examples
    ///
    /// ```
    /// let error = crescendo::Error::msg(format_args!("{} apples are too many", 12));
    /// assert_eq!(error.to_string(), "12 apples are too many");
    /// ```
    pub fn msg(message: impl fmt::Display) -> Error {
        Error::new(ErrorKind::Message(message.to_string().into()))
    }

    /// Wraps an error of the host, to be found again with [`Error::downcast_ref`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use crescendo::Error;
    /// let error = "x".parse::<u32>().map_err(Error::host).unwrap_err();
    /// assert!(error.is::<std::num::ParseIntError>());
    /// ```
    pub fn host(error: impl StdError + Send + Sync + 'static) -> Error {
        Error::from(Box::new(error) as Box<dyn StdError + Send + Sync>)
    }

    /// The error of an impossible state; use the macro, which formats.
    #[track_caller]
    #[cold]
    pub(crate) fn bug(message: fmt::Arguments<'_>) -> Error {
        let place = std::panic::Location::caller();
        let message = format!("{message} (at {}:{})", place.file(), place.line());
        Error::new(ErrorKind::Bug(message.into()))
    }

    /// The error of an import whose definition has another type.
    pub(crate) fn incompatible_import(
        module: &str,
        name: &str,
        expected: ExternType,
        found: ExternType,
    ) -> Error {
        let import = IncompatibleImport::new(module, name, expected, found);
        Error::new(ErrorKind::IncompatibleImport(Box::new(import)))
    }

    /// Puts `message` in front of what the error prints.
    ///
    /// # Examples
    ///
    /// ```
    /// let error = crescendo::Error::msg("no such file").context("loading plugin").context("starting");
    /// assert_eq!(error.to_string(), "starting: loading plugin: no such file");
    /// ```
    #[must_use]
    pub fn context(mut self, message: impl fmt::Display) -> Error {
        self.inner.context.push(message.to_string().into());
        self
    }

    /// What failed.
    pub fn kind(&self) -> &ErrorKind {
        &self.inner.kind
    }

    /// The trap that ended the guest, if it was one.
    ///
    /// # Examples
    ///
    /// ```
    /// # use crescendo::{Error, TrapCode};
    /// let error = Error::from(TrapCode::IntegerDivisionByZero);
    /// assert_eq!(error.trap().map(|trap| trap.code()), Some(TrapCode::IntegerDivisionByZero));
    /// assert!(Error::msg("no").trap().is_none());
    /// ```
    pub fn trap(&self) -> Option<Trap> {
        match self.inner.kind {
            ErrorKind::Trap(trap) => Some(trap),
            _ => None,
        }
    }

    /// The wasm functions that were running when the error arose, innermost first, if any were.
    pub fn backtrace(&self) -> Option<&WasmBacktrace> {
        self.inner.backtrace.as_ref()
    }

    /// Attaches a backtrace, unless there is one: the first one attached is the innermost and covers the outer runs.
    pub(crate) fn with_backtrace(mut self, backtrace: impl FnOnce() -> WasmBacktrace) -> Error {
        if self.inner.backtrace.is_none() {
            self.inner.backtrace = Some(backtrace());
        }
        self
    }

    /// Whether the error carries an `E`: see [`Error::downcast_ref`].
    pub fn is<E: StdError + Send + Sync + 'static>(&self) -> bool {
        self.downcast_ref::<E>().is_some()
    }

    /// The error value inside: what a host function failed with, or a [`Trap`], [`ModuleError`] or [`io::Error`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use crescendo::{Error, Trap, TrapCode};
    /// let error = Error::from(TrapCode::StackOverflow).context("running the plugin");
    /// assert_eq!(error.downcast_ref::<Trap>().unwrap().code(), TrapCode::StackOverflow);
    /// assert!(error.downcast_ref::<std::io::Error>().is_none());
    /// ```
    pub fn downcast_ref<E: StdError + Send + Sync + 'static>(&self) -> Option<&E> {
        match &self.inner.kind {
            ErrorKind::Host(error) => error.downcast_ref(),
            ErrorKind::Trap(trap) => (trap as &dyn Any).downcast_ref(),
            ErrorKind::Module(error) => (error as &dyn Any).downcast_ref(),
            ErrorKind::Io(error) => (error as &dyn Any).downcast_ref(),
            _ => None,
        }
    }

    /// Takes the error value inside out: see [`Error::downcast_ref`].
    ///
    /// # Errors
    ///
    /// The error itself, unchanged, when it carries no `E`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use crescendo::Error;
    /// let error = Error::host("x".parse::<u32>().unwrap_err());
    /// let error = error.downcast::<std::io::Error>().unwrap_err();
    /// let inner: std::num::ParseIntError = error.downcast().unwrap();
    /// ```
    pub fn downcast<E: StdError + Send + Sync + 'static>(mut self) -> Result<E, Error> {
        let kind = std::mem::replace(&mut self.inner.kind, ErrorKind::Bug("taken".into()));
        let kind = match kind {
            ErrorKind::Host(error) => match error.downcast::<E>() {
                Ok(error) => return Ok(*error),
                Err(error) => ErrorKind::Host(error),
            },
            ErrorKind::Trap(trap) => match take::<E, _>(trap) {
                Ok(error) => return Ok(error),
                Err(trap) => ErrorKind::Trap(trap),
            },
            ErrorKind::Module(error) => match take::<E, _>(error) {
                Ok(error) => return Ok(error),
                Err(error) => ErrorKind::Module(error),
            },
            ErrorKind::Io(error) => match take::<E, _>(error) {
                Ok(error) => return Ok(error),
                Err(error) => ErrorKind::Io(error),
            },
            other => other,
        };
        self.inner.kind = kind;
        Err(self)
    }
}

/// `value` as an `E` if that is its type.
fn take<E: Any, F: Any>(value: F) -> Result<E, F> {
    let mut value = Some(value);
    match (&mut value as &mut dyn Any).downcast_mut::<Option<E>>().and_then(Option::take) {
        Some(value) => Ok(value),
        // The cast failed, so nothing was taken out.
        None => match value {
            Some(value) => Err(value),
            None => unreachable!("a value that was not taken is there"),
        },
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ErrorKind::Module(error) => error.fmt(f),
            ErrorKind::UnknownImports(imports) => imports::fmt_unknown(imports, f),
            ErrorKind::IncompatibleImport(import) => import.fmt(f),
            ErrorKind::Trap(trap) => trap.fmt(f),
            ErrorKind::Host(error) => error.fmt(f),
            ErrorKind::Io(error) => error.fmt(f),
            ErrorKind::Bug(message) => write!(f, "bug in the engine, please report it: {message}"),
            ErrorKind::Link(message)
            | ErrorKind::Instantiation(message)
            | ErrorKind::Limit(message)
            | ErrorKind::Message(message)
            | ErrorKind::Arguments(message) => f.write_str(message),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for message in self.inner.context.iter().rev() {
            write!(f, "{message}: ")?;
        }
        self.inner.kind.fmt(f)?;
        match &self.inner.backtrace {
            Some(backtrace) if !f.alternate() && !backtrace.frames().is_empty() => write!(f, "\n{backtrace}"),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        let mut source = self.source();
        while let Some(error) = source {
            write!(f, "\ncaused by: {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

impl StdError for Error {
    /// What the carried error names as its source: the carried error itself is part of what this one prints.
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.inner.kind {
            ErrorKind::Host(error) => error.source(),
            ErrorKind::Io(error) => error.source(),
            ErrorKind::Module(error) => error.source(),
            _ => None,
        }
    }
}

impl From<Trap> for Error {
    fn from(trap: Trap) -> Error {
        Error::new(ErrorKind::Trap(trap))
    }
}

impl From<TrapCode> for Error {
    fn from(code: TrapCode) -> Error {
        Error::from(Trap::from(code))
    }
}

impl From<ModuleError> for Error {
    fn from(error: ModuleError) -> Error {
        Error::new(ErrorKind::Module(error))
    }
}

impl From<MemoryTypeError> for Error {
    fn from(error: MemoryTypeError) -> Error {
        arguments!("{error}")
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Error {
        Error::new(ErrorKind::Io(error))
    }
}

impl From<Box<dyn StdError + Send + Sync>> for Error {
    /// Takes a boxed error of the host. An [`Error`] in the box comes out as it was.
    fn from(error: Box<dyn StdError + Send + Sync>) -> Error {
        match error.downcast::<Error>() {
            Ok(error) => *error,
            Err(error) => Error::new(ErrorKind::Host(error)),
        }
    }
}

macro_rules! from_host_errors {
    ($($error:ty)*) => {
        $(impl From<$error> for Error {
            fn from(error: $error) -> Error {
                Error::host(error)
            }
        })*
    };
}

from_host_errors! {
    fmt::Error
    std::num::ParseIntError
    std::num::ParseFloatError
    std::num::TryFromIntError
    std::str::Utf8Error
    std::string::FromUtf8Error
    std::ffi::NulError
    std::array::TryFromSliceError
}

#[cfg(test)]
mod tests;
