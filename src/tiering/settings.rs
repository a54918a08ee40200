//! When and how guests are compiled: every threshold of the engine's tiering, with its default and its unit.

use std::fmt;
use std::sync::Arc;
#[cfg(feature = "cranelift")]
use std::sync::OnceLock;

/// Calls of a function, in all instances together, after which it is compiled.
///
/// With the next one chosen by the time that whole processes took, geometric mean of the four programs of `tests/programs` and
/// eight kernels of some milliseconds, in ms, on two cores: calls, iterations 100, 1,000: 23.4; 500, 2,000: 24.0;
/// 500, 10,000: 21.2; 2,000, 2,000: 23.2; 2,000, 10,000: 21.2; 5,000, 50,000: 22.2. In between all is within the noise. Later,
/// with the order of compiling that follows the calls: 1,000: 22.0; 500: 21.5; 300: 21.4; 150: 21.6; a synthesis by yosys took
/// 4.69, 4.65 and 4.67 s with the first three.
const DEFAULT_CALLS: u32 = 500;
/// Iterations of a loop, in all instances together, after which native code takes its frame over.
const DEFAULT_ITERATIONS: u32 = 10_000;
/// Bytes of the largest function body that is compiled.
const DEFAULT_MAX_FUNCTION_BYTES: u32 = 256 << 10;
/// Locals of a body from which on its bytes count for more, in proportion: what Cranelift needs, in time and in memory, grows with their
/// product. One function of yosys, 214 KB with 658 locals, took 2.5 s even without optimisation, and 0.3 GB; the next in
/// size, 160 KB with 119 locals, 0.36 s. Without the one a synthesis has a peak of 239 MB instead of 510, and takes 5.5 s instead of
/// 6.6 (five runs in turns, while the machine was slow).
#[cfg(feature = "cranelift")]
const MANY_LOCALS: usize = 256;
/// Loops of a function that get an entry of their own.
const DEFAULT_MAX_LOOP_ENTRIES: u32 = 3;
/// Bytes of the largest function body that is inlined.
///
/// Not finely chosen: inlining takes the kernel `mutual` from 210 to 93 ms and `fib` from 15.1 to 10.8, whose bodies are far smaller,
/// and a synthesis by yosys took 4.80, 4.89, 4.77, 4.62 and 4.78 s at best of five with 0, 40, 80, 160 and 300 bytes on a busy machine.
const DEFAULT_MAX_INLINED_BYTES: u32 = 160;
/// Milliseconds of compiling, in processor time, after which a function gets no further native code.
const DEFAULT_MAX_COMPILE_MILLIS: u32 = 500;
/// Bytes of native code that the modules of an engine may have.
const DEFAULT_CODE_BUDGET: usize = 256 << 20;

/// Which tier runs what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TieringMode {
    /// Nothing is compiled, and nothing counted.
    InterpreterOnly,
    /// All functions are compiled when a module is instantiated first. What cannot be compiled is interpreted.
    Eager,
    /// Functions start in the interpreter; hot ones are compiled by other threads, and the guest never waits for them. While there is
    /// nothing to compile, these translate what a starting guest may call next, if there is a processor for it.
    #[default]
    Dynamic,
    /// As `Dynamic`, but the guest waits for the compiler at the moment when a counter has run out: the same run always does the
    /// same. For tests.
    Synchronous,
}

/// Whether functions get *baseline* code first: code that Cranelift has not optimised, which takes two thirds of the time to make.
/// See [`Tiering::baseline`].
///
/// The default was chosen on two cores, as the thresholds above. Never, while one function waits or more, while four wait, and
/// always: 18.5, 18.0, 17.5 and 17.6 ms, of which quickjs 450, 434, 433 and 435; a synthesis by yosys 4.55, 4.45, 4.54 and 4.44 s,
/// and 4.41 with baseline code for large functions too. Optimised code is 1.18 times as fast where that was looked at most
/// closely (the kernel `mutual`), so that a compiler that is idle otherwise makes no baseline code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Baseline {
    /// All code is optimised.
    Never,
    /// When other functions wait for the compiler, and for bodies over 16 KiB.
    #[default]
    WhenBusy,
    /// All functions. Loops at which native code takes frames over have optimised code always.
    Always,
}

/// How guests move from the interpreter to native code; see [`crate::Config::tiering`].
///
/// # Examples
///
/// ```
/// use crescendo::{Config, Tiering, TieringMode};
///
/// let mut config = Config::new();
/// config.tiering(Tiering::new(TieringMode::Dynamic).calls(100).iterations(1_000).workers(2));
/// ```
#[derive(Clone)]
pub struct Tiering {
    pub(crate) mode: TieringMode,
    pub(crate) calls: u32,
    pub(crate) iterations: u32,
    pub(crate) max_function_bytes: u32,
    pub(crate) max_loop_entries: u32,
    pub(crate) max_inlined_bytes: u32,
    pub(crate) max_compile_millis: u32,
    pub(crate) code_budget: usize,
    pub(crate) workers: Option<u32>,
    pub(crate) baseline: Baseline,
    pub(crate) mask: Option<Mask>,
}

/// Says of a function index whether the function may be compiled.
type Mask = Arc<dyn Fn(u32) -> bool + Send + Sync>;

impl Default for Tiering {
    fn default() -> Tiering {
        Tiering::new(TieringMode::default())
    }
}

impl Tiering {
    /// The defaults for a mode, which each method's page names.
    pub fn new(mode: TieringMode) -> Tiering {
        Tiering {
            mode,
            calls: DEFAULT_CALLS,
            iterations: DEFAULT_ITERATIONS,
            max_function_bytes: DEFAULT_MAX_FUNCTION_BYTES,
            max_loop_entries: DEFAULT_MAX_LOOP_ENTRIES,
            max_inlined_bytes: DEFAULT_MAX_INLINED_BYTES,
            max_compile_millis: DEFAULT_MAX_COMPILE_MILLIS,
            code_budget: DEFAULT_CODE_BUDGET,
            workers: None,
            baseline: Baseline::default(),
            mask: None,
        }
    }

    /// After how many calls, in all instances of a module together, a function is compiled. Default 500; 0 counts as 1.
    #[must_use]
    pub fn calls(mut self, calls: u32) -> Tiering {
        self.calls = calls.clamp(1, NEVER);
        self
    }

    /// After how many iterations, in all instances of a module together, native code takes over the frame that runs the
    /// loop. Default 10,000; 0 counts as 1. The first pass through a loop is not counted.
    #[must_use]
    pub fn iterations(mut self, iterations: u32) -> Tiering {
        self.iterations = iterations.clamp(1, NEVER);
        self
    }

    /// How many bytes the body of a function may have that is compiled. A body with more than 256 locals counts as larger, in
    /// proportion: with 512 it may have half as many bytes. Default 256 KiB.
    #[must_use]
    pub fn max_function_bytes(mut self, bytes: u32) -> Tiering {
        self.max_function_bytes = bytes;
        self
    }

    /// How many loops of a function may get an entry into native code of their own, which is a compilation of the
    /// function each. Default 3. Entries that no frame has used yet do not count.
    #[must_use]
    pub fn max_loop_entries(mut self, entries: u32) -> Tiering {
        self.max_loop_entries = entries;
        self
    }

    /// How many bytes the body of a function may have that becomes a part of its callers' optimised code. Default 160; of functions
    /// that are not called often a quarter. 0 turns inlining off. Recursive functions are inlined into themselves once.
    #[must_use]
    pub fn max_inlined_bytes(mut self, bytes: u32) -> Tiering {
        self.max_inlined_bytes = bytes;
        self
    }

    /// After how many milliseconds of processor time that were spent on compiling it a function gets no further native code.
    /// Default 500.
    #[must_use]
    pub fn max_compile_millis(mut self, millis: u32) -> Tiering {
        self.max_compile_millis = millis;
        self
    }

    /// How many bytes of native code the modules of the engine may have together. Default 256 MiB. When it is used up, the
    /// code that was made first makes room, and its functions are interpreted until they are hot again.
    #[must_use]
    pub fn code_budget(mut self, bytes: usize) -> Tiering {
        self.code_budget = bytes;
        self
    }

    /// How many threads compile at once in [`TieringMode::Dynamic`]. Default: one less than the machine has processors, from
    /// 1 to 4, and one of low priority for functions with bodies over 16 KiB and for those that have baseline code; when the number
    /// is given there is none of that kind. They end when there is nothing to do.
    #[must_use]
    pub fn workers(mut self, workers: u32) -> Tiering {
        self.workers = Some(workers.max(1));
        self
    }

    /// When functions get baseline code first. Default [`Baseline::WhenBusy`].
    ///
    /// In [`TieringMode::Dynamic`] optimised code takes the place of baseline code when the compiler has nothing better to do. In the
    /// other modes code is made once: with [`Baseline::Always`] it stays as it is, else it is optimised.
    #[must_use]
    pub fn baseline(mut self, baseline: Baseline) -> Tiering {
        self.baseline = baseline;
        self
    }

    /// Which functions may be compiled, by their index in the module; the others are interpreted. Default: all.
    #[must_use]
    pub fn mask(mut self, mask: impl Fn(u32) -> bool + Send + Sync + 'static) -> Tiering {
        self.mask = Some(Arc::new(mask));
        self
    }

    /// Whether calls and iterations are counted.
    pub(crate) fn counts(&self) -> bool {
        matches!(self.mode, TieringMode::Dynamic | TieringMode::Synchronous)
    }
}

#[cfg(feature = "cranelift")]
impl Tiering {
    /// Why a function with this index, body and number of locals must not be compiled, if it must not.
    pub(crate) fn refusal(&self, func_index: u32, body_bytes: usize, locals: usize) -> Option<&'static str> {
        let most = self.max_function_bytes as usize;
        if body_bytes > most {
            return Some("its body is too large");
        }
        if body_bytes.saturating_mul(locals.max(MANY_LOCALS)) / MANY_LOCALS > most {
            return Some("its body is too large for so many locals");
        }
        match &self.mask {
            Some(mask) if !mask(func_index) => Some("the mask excludes it"),
            _ => None,
        }
    }

    /// Threads that compile while guests run.
    pub(crate) fn worker_count(&self) -> usize {
        self.workers
            .map_or_else(|| self.processors().saturating_sub(1).clamp(1, 4), |workers| workers as usize)
    }

    /// Threads that compile when nothing else runs.
    pub(crate) fn processors(&self) -> usize {
        self.workers.map_or_else(available_processors, |workers| workers as usize)
    }
}

/// How many processors the process may use, as the system said when it was asked first: asking takes it 0.1 ms.
#[cfg(feature = "cranelift")]
pub(crate) fn available_processors() -> usize {
    static PROCESSORS: OnceLock<usize> = OnceLock::new();
    *PROCESSORS.get_or_init(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get))
}

/// What a counter is set to that should not run out: handlers count down to 0 as signed numbers.
pub(crate) const NEVER: u32 = i32::MAX as u32;

impl fmt::Debug for Tiering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tiering")
            .field("mode", &self.mode)
            .field("calls", &self.calls)
            .field("iterations", &self.iterations)
            .field("max_function_bytes", &self.max_function_bytes)
            .field("max_loop_entries", &self.max_loop_entries)
            .field("max_inlined_bytes", &self.max_inlined_bytes)
            .field("max_compile_millis", &self.max_compile_millis)
            .field("code_budget", &self.code_budget)
            .field("workers", &self.workers)
            .field("baseline", &self.baseline)
            .field("masked", &self.mask.is_some())
            .finish()
    }
}
