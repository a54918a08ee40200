//! What the benchmarks share: engines by tier, kernels and programs, and how long is measured.
//!
//! [`Tier`] gives engines, [`kernel`], [`program`] and [`generated`] give modules, [`criterion`] the settings of all of them. A tier without
//! a compiler on this machine gives no engine, so that nothing is measured under the wrong name.
#![allow(dead_code, reason = "each benchmark is a crate of its own and takes a part")]

pub mod generated;

use crescendo::{Config, Engine, FunctionReport, Linker, Module, Tiering, TieringMode};
use criterion::Criterion;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The kernels of `benches/kernels`, with arguments that keep the interpreter busy for one to three milliseconds.
pub const KERNELS: [(&str, i64); 23] = [
    ("fib", 25),
    ("mutual", 30),
    ("sieve", 160_000),
    ("matrix", 72),
    ("indirect", 100_000),
    ("hash", 7),
    ("sha256", 500),
    ("nbody", 3_000),
    ("collatz", 5_000),
    ("copy", 10),
    ("search", 4),
    ("sort", 5_000),
    ("switch", 10_000),
    ("globals", 80_000),
    ("select", 100_000),
    ("mandelbrot", 128),
    ("list", 160),
    ("partitions", 36),
    ("cliques", 130),
    ("dot", 1_000),
    ("mixing", 30_000),
    ("convolution", 6),
    // 1,000 exceptions, each thrown over ten frames.
    ("throw", 10 << 32 | 1_000),
];

/// The programs of `tests/programs`.
pub const PROGRAMS: [&str; 4] = ["bzip2", "lua", "quickjs", "sqlite"];

/// The default of [`Tiering::max_compile_millis`].
const MAX_COMPILE_TIME: Duration = Duration::from_millis(500);

/// Who runs a guest's functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// The interpreter, which counts nothing.
    Interpreter,
    /// Native code, made when a module is instantiated first.
    Native,
    /// The interpreter at first, then native code: the default.
    Dynamic,
}

impl Tier {
    /// All of them.
    pub const ALL: [Tier; 3] = [Tier::Interpreter, Tier::Native, Tier::Dynamic];

    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Tier::Interpreter => "interpreter",
            Tier::Native => "native",
            Tier::Dynamic => "dynamic",
        }
    }

    /// Settings of the tier.
    pub fn settings(self) -> Tiering {
        Tiering::new(match self {
            Tier::Interpreter => TieringMode::InterpreterOnly,
            Tier::Native => TieringMode::Eager,
            Tier::Dynamic => TieringMode::Dynamic,
        })
    }

    /// An engine of the tier; `None` when there is no compiler for this machine and the tier needs one.
    pub fn engine(self) -> Option<Engine> {
        let engine = engine(Config::new().tiering(self.settings()));
        (self == Tier::Interpreter || engine.compiles()).then_some(engine)
    }
}

/// An engine with these settings.
pub fn engine(config: &Config) -> Engine {
    Engine::new(config).expect("settings that all machines have")
}

/// How long is measured, unless arguments say otherwise: 2.5 s a benchmark.
pub fn criterion() -> Criterion {
    Criterion::default()
        .without_plots()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args()
}

/// A path in the source tree.
pub fn path(below_root: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(below_root)
}

/// A kernel's module in the binary format.
pub fn kernel(name: &str) -> Vec<u8> {
    wat::parse_file(path(&format!("benches/kernels/{name}.wat"))).expect("a checked-in module")
}

/// A program's module in the binary format.
pub fn program(name: &str) -> Vec<u8> {
    std::fs::read(path(&format!("tests/programs/{name}.wasm"))).expect("a checked-in module")
}

/// A module in the text format, as the binary format.
pub fn binary(text: &str) -> Vec<u8> {
    wat::parse_str(text).expect("a well-formed text")
}

/// A linker that has all that a module imports, as functions that trap.
pub fn linker(module: &Module) -> Linker<()> {
    let mut linker = Linker::new(module.engine());
    linker.define_unknown_imports_as_traps(module).expect("new names");
    linker
}

/// Waits until no function of the module is on its way to better code.
pub fn settle(module: &Module) {
    let started = Instant::now();
    while module.tiering_report().functions.iter().any(is_on_its_way) {
        let report = module.tiering_report();
        assert!(started.elapsed() < Duration::from_secs(60), "still waiting for the compiler:\n{report}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Whether a function waits for the compiler. Baseline code stays when it took too long to make.
fn is_on_its_way(function: &FunctionReport) -> bool {
    let loops = function.loops.iter().map(|entry| entry.state.as_str());
    std::iter::once(function.state.as_str()).chain(loops).any(|state| match state {
        "queued" | "being compiled" => true,
        "baseline" => function.compile_time <= MAX_COMPILE_TIME,
        _ => false,
    })
}
