//! How a WASI call ends: with an errno for the guest, or with an error for the embedder.
//!
//! [`conclude`] sorts what wasi-common returns. Called by every function of the table.

use std::fmt;
use std::io;
use std::panic::{self, AssertUnwindSafe};

use wiggle::anyhow;

/// The error that a guest's `proc_exit` ends the running call with; the field is the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct I32Exit(pub i32);

impl fmt::Display for I32Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the guest exited with code {}", self.0)
    }
}

impl std::error::Error for I32Exit {}

/// A WASI call that cannot be answered with an errno, such as one with a pointer outside the guest's memory.
#[derive(Debug)]
pub struct WasiError {
    function: &'static str,
    reason: String,
}

impl WasiError {
    /// The WASI function that was called.
    pub fn function(&self) -> &str {
        self.function
    }

    pub(crate) fn missing_memory(function: &'static str) -> WasiError {
        WasiError { function, reason: "the calling module exports no memory named `memory`".to_owned() }
    }

    pub(crate) fn into_error(self) -> crescendo::Error {
        crescendo::Error::host(self)
    }
}

impl fmt::Display for WasiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the wasi function `{}` failed: {}", self.function, self.reason)
    }
}

impl std::error::Error for WasiError {}

/// Runs one call of wasi-common and sorts its outcome.
///
/// A panic in wasi-common becomes an error: its inputs are the guest's, and no guest may take the process down.
pub(crate) fn conclude(
    function: &'static str,
    call: impl FnOnce() -> anyhow::Result<anyhow::Result<i32>>,
) -> crescendo::Result<i32> {
    // The closure borrows the guest's memory and the context; after a panic both hold what a failed call leaves there.
    let error = match panic::catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(Ok(errno))) => return Ok(errno),
        Ok(Ok(Err(error)) | Err(error)) => error,
        Err(payload) => {
            let reason = format!("internal error: {}", panic_message(&*payload));
            return Err(WasiError { function, reason }.into_error());
        }
    };
    if let Some(error) = error.downcast_ref::<io::Error>() {
        return Ok(errno_of(error));
    }
    Err(WasiError { function, reason: format!("{error:#}") }.into_error())
}

fn panic_message(payload: &(dyn std::any::Any + Send)) -> &str {
    match payload.downcast_ref::<String>() {
        Some(message) => message,
        None => payload.downcast_ref::<&str>().copied().unwrap_or("no message"),
    }
}

/// The errno for an operating system's error that wasi-common does not translate (it would end the guest instead).
fn errno_of(error: &io::Error) -> i32 {
    match error.kind() {
        io::ErrorKind::Interrupted => 27,
        io::ErrorKind::Unsupported => 52,
        io::ErrorKind::ReadOnlyFilesystem => 69,
        io::ErrorKind::ExecutableFileBusy => 74,
        io::ErrorKind::CrossesDevices => 75,
        _ => 29,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_sorted() {
        let ok = conclude("f", || Ok(Ok(3)));
        assert_eq!(ok.ok(), Some(3));

        let read_only = io::Error::from(io::ErrorKind::ReadOnlyFilesystem);
        let errno = conclude("f", || Ok(Err(anyhow::Error::new(read_only).context("Unknown OS error"))));
        assert_eq!(errno.ok(), Some(69));

        let trap = conclude("fd_read", || Ok(Err(anyhow::anyhow!("pointer out of bounds"))));
        let message = trap.err().map(|e| e.to_string()).unwrap_or_default();
        assert!(message.contains("`fd_read` failed: pointer out of bounds"), "{message}");
    }

    #[test]
    fn a_panic_becomes_an_error() {
        let outcome = conclude("poll_oneoff", || panic!("broken"));
        let message = outcome.err().map(|e| e.to_string()).unwrap_or_default();
        assert!(message.contains("`poll_oneoff` failed: internal error: broken"), "{message}");
    }
}
