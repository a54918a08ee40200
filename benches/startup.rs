//! How long it takes from bytes to an instance, and to get rid of it: `cargo bench --bench startup`.
//!
//! One iteration parses and validates a module, makes a store and an instance, and drops all three. Modules are generated,
//! with 1 KB to 10 MB of function bodies, and those of `tests/programs`; throughput is in bytes of function bodies. With lazy
//! validation bodies are looked at when they are called first, which nobody does here; with eager validation they are
//! validated on all processors. No function is translated or compiled.

mod setup;

use crescendo::{Config, Engine, Module, Store, Validation};
use criterion::{BenchmarkId, Criterion, Throughput};
use setup::generated::generate;
use std::hint::black_box;

/// Bytes of function bodies of the generated modules.
const SIZES: [(&str, usize); 5] =
    [("1 KB", 1 << 10), ("10 KB", 10 << 10), ("100 KB", 100 << 10), ("1 MB", 1 << 20), ("10 MB", 10 << 20)];

/// Bytes of a module's function bodies.
fn body_bytes(module: &Module) -> usize {
    module.functions().filter_map(|function| function.body()).map(|body| body.len()).sum()
}

fn startup(criterion: &mut Criterion) {
    let generated = SIZES.map(|(name, size)| (name, generate(size)));
    let programs = setup::PROGRAMS.map(|name| (name, setup::program(name)));
    for (mode, validation) in [("lazy", Validation::Lazy), ("eager", Validation::Eager)] {
        let engine = setup::engine(Config::new().validation(validation));
        let mut group = criterion.benchmark_group(format!("startup/{mode}"));
        for (name, wasm) in generated.iter().chain(&programs) {
            let module = Module::new(&engine, wasm).expect("a valid module");
            let linker = setup::linker(&module);
            group.throughput(Throughput::Bytes(body_bytes(&module) as u64));
            drop(module);
            group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
                bencher.iter(|| start(&engine, &linker, wasm));
            });
        }
        group.finish();
    }
}

/// What is timed, drops at the end included.
fn start(engine: &Engine, linker: &crescendo::Linker<()>, wasm: &[u8]) {
    let module = Module::new(engine, black_box(wasm)).expect("a valid module");
    let mut store = Store::new(engine, ());
    let instance = linker.instantiate(&mut store, &module).expect("all imports are there");
    black_box(instance);
}

fn main() {
    let mut criterion = setup::criterion();
    startup(&mut criterion);
    criterion.final_summary();
}
