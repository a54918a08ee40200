//! Writing to the standard streams without ever failing hard: a closed stdout ends the command quietly.

use std::fmt::Display;
use std::io::{self, BufWriter, StdoutLock, Write};

use crescendo::{Error, Result};

/// A buffered stdout. Flush it when done: errors on drop are lost.
pub(crate) fn stdout() -> BufWriter<StdoutLock<'static>> {
    BufWriter::new(io::stdout().lock())
}

/// Writes what `print` writes to stdout, and flushes.
pub(crate) fn print(print: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let mut out = stdout();
    print(&mut out)
        .and_then(|()| out.flush())
        .map_err(|error| Error::from(error).context("cannot write to stdout"))
}

/// Whether `error` says that nobody reads stdout any more.
pub(crate) fn is_closed(error: &Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Prints an error, with its wasm backtrace if it has one.
pub(crate) fn error(error: &dyn Display) {
    // A closed stderr has no reader to miss it.
    let _ = writeln!(io::stderr(), "error: {error}");
}

/// Prints a report about a run whose stdout belongs to the guest.
pub(crate) fn report(report: &dyn Display) {
    // As for errors.
    let _ = write!(io::stderr(), "{report}");
}
