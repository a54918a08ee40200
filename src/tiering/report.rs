//! What tiering has done with a module: [`TieringReport`].

use std::fmt;
use std::time::Duration;

/// What has become of the functions of a module that were hot once, or are about to be; see [`crate::Module::tiering_report`].
///
/// Prints as a table.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct TieringReport {
    /// In the order of their indices; a function that runs both with and without guard regions is there twice.
    pub functions: Vec<FunctionReport>,
}

/// What has become of a function.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FunctionReport {
    /// The function's index in the module.
    pub func_index: u32,
    /// Its name, from the name section.
    pub name: Option<String>,
    /// Bytes of its body.
    pub wasm_bytes: usize,
    /// `interpreted`, `queued`, `being compiled`, `baseline` (compiled without optimisation), `compiled`, or `refused: ` and the
    /// reason.
    pub state: String,
    /// How many calls and iterations were counted in the interpreter, before the counters stopped.
    pub heat: u64,
    /// Processor time spent on compiling it, all entries together.
    pub compile_time: Duration,
    /// Bytes of its native code, all entries together.
    pub code_bytes: usize,
    /// The loops at which native code takes frames over.
    pub loops: Vec<LoopReport>,
}

/// A loop at which native code takes frames over.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LoopReport {
    /// Byte offset in the module of the operator `loop`.
    pub offset: u32,
    /// As [`FunctionReport::state`].
    pub state: String,
    /// How many frames were taken over.
    pub entries: u64,
}

impl fmt::Display for TieringReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:>7} {:>9} {:>9} {:>9} {:>10}  {:<12} name",
            "func", "wasm B", "heat", "code B", "compile", "state"
        )?;
        for function in &self.functions {
            writeln!(
                f,
                "{:>7} {:>9} {:>9} {:>9} {:>7} µs  {:<12} {}",
                function.func_index,
                function.wasm_bytes,
                function.heat,
                function.code_bytes,
                function.compile_time.as_micros(),
                function.state,
                function.name.as_deref().unwrap_or("-"),
            )?;
            for entry in &function.loops {
                let (offset, entries) = (entry.offset, entry.entries);
                writeln!(f, "{:>7} loop at {offset:#x}: {}, {entries} frames taken over", "", entry.state)?;
            }
        }
        Ok(())
    }
}
