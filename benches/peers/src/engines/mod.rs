//! The engines that are compared, behind one trait: [`Peer`]. How their modules are run is written once, in [`adapter`].
//!
//! | module | engine |
//! |---|---|
//! | [`crescendo`] | this one |
//! | [`wasmi`] | Wasmi 2.0 |
//! | [`wasmtime`] | Wasmtime 48, which compiles everything with Cranelift, or with Winch |

mod adapter;
pub mod crescendo;
pub mod wasmi;
pub mod wasmtime;

use crate::Result;
use crate::cases::Case;
use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, Instant};

/// Stack for guests, in bytes, in both engines: enough for all cases.
const STACK: usize = 16 << 20;

/// An engine.
pub trait Peer {
    /// The name in tables.
    const NAME: &str;
    /// A loaded module.
    type Module: Run;

    /// Loads a module: validates it whole and translates nothing yet.
    fn load(wasm: &[u8]) -> Result<Self::Module>;
}

/// A [`Peer`] as a value.
#[derive(Clone, Copy)]
pub struct Contender {
    /// The name in tables.
    pub name: &'static str,
    /// As [`Peer::load`].
    pub load: fn(&[u8]) -> Result<Box<dyn Run>>,
}

impl Contender {
    /// This engine.
    pub fn of<P: Peer<Module: 'static>>() -> Contender {
        Contender { name: P::NAME, load: |wasm| Ok(Box::new(P::load(wasm)?)) }
    }
}

/// A loaded module of an engine.
pub trait Run {
    /// Runs a case in a new store and instance, and takes the processor time of the call alone.
    fn run(&self, case: &Case) -> Result<Outcome>;
}

/// What a run left, and what time it took.
pub struct Outcome {
    /// The processor time of the call.
    pub elapsed: Duration,
    /// When the call was over.
    pub done: Instant,
    /// What can be compared.
    pub end: End,
}

/// What a run left.
#[derive(Clone, PartialEq, Eq)]
pub struct End {
    /// The bits of a kernel's result, or the exit code of a program.
    pub result: u64,
    /// What the program wrote to stdout.
    pub stdout: Vec<u8>,
    /// What the program wrote to stderr.
    pub stderr: Vec<u8>,
    /// The whole memory that is exported as `memory`; empty without one.
    pub memory: Vec<u8>,
}

impl End {
    /// Where two runs differ, if they do.
    pub fn difference(&self, other: &End) -> Option<&'static str> {
        if self.result != other.result {
            Some("results")
        } else if self.stdout != other.stdout {
            Some("stdout")
        } else if self.stderr != other.stderr {
            Some("stderr")
        } else if self.memory.len() != other.memory.len() {
            Some("sizes of memory")
        } else if self.memory != other.memory {
            Some("memory")
        } else {
            None
        }
    }
}

/// What a call answers, the processor time that it took, which is the same whatever else the machine does at the time, and when it
/// was over.
pub fn timed<R>(call: impl FnOnce() -> R) -> (R, Duration, Instant) {
    let start = thread_time();
    let result = call();
    (result, thread_time().saturating_sub(start), Instant::now())
}

/// Processor time of this thread, the system's work for it included.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), time.tv_nsec as u32)
}
