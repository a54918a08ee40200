//! Instruction counts under Valgrind: what a change costs, on any machine and under any load.
//!
//! Loading and translating `lua.wasm`, the interpreter's loop on kernels of `benches/kernels`, and calls over the border between
//! host and guest. Counts are of one thread: validation runs on the calling thread here.

#![expect(missing_docs, reason = "the macros of iai-callgrind make public items without documentation")]

use crescendo::{Engine, Linker, Module, Store, TypedFunc, Validation, WasmParams, WasmResults};
use crescendo_abi::{ContextCounts, VmOffsets};
use crescendo_interp::{Arena, Bytecode, ModuleEnv, TranslateOptions};
use crescendo_module::{ModuleConfig, ModuleInfo, TypeRegistry};
use iai_callgrind::{library_benchmark, library_benchmark_group, main};
use std::hint::black_box;
use std::path::{Path, PathBuf};

/// The calls of one benchmark of calls.
const CALLS: i32 = 1000;

/// Exports that do next to nothing, one of which calls the host.
const BORDER: &str = r#"
    (module
      (import "host" "add" (func $add (param i32 i32) (result i32)))
      (func (export "guest") (param i32 i32) (result i32)
        (i32.add (local.get 0) (local.get 1)))
      (func (export "host") (param $n i32) (result i32)
        (local $sum i32)
        (loop $next
          (local.set $sum (call $add (local.get $sum) (local.get $n)))
          (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (local.get $sum)))"#;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

fn lua() -> Vec<u8> {
    std::fs::read(root().join("tests/programs/lua.wasm")).expect("a checked-in file")
}

fn engine(validation: Validation) -> Engine {
    // Fails if it was done before, and then all is well.
    let _ = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build_global();
    Engine::new(crescendo::Config::new().validation(validation)).expect("settings that all machines have")
}

/// A module and an engine to load it with.
fn loading(validation: Validation) -> (Engine, Vec<u8>) {
    (engine(validation), lua())
}

#[library_benchmark(setup = loading)]
#[bench::unchecked(Validation::Lazy)]
#[bench::validated(Validation::Eager)]
fn load((engine, wasm): (Engine, Vec<u8>)) -> Module {
    Module::new(&engine, black_box(&wasm)).expect("a valid module")
}

/// A parsed module, as the translator sees it.
struct Code {
    bytes: Vec<u8>,
    info: ModuleInfo,
    offsets: VmOffsets,
    options: TranslateOptions,
}

fn code(fuse: bool) -> Code {
    let bytes = lua();
    let config = ModuleConfig { validation: Validation::Lazy, ..ModuleConfig::default() };
    let info = crescendo_module::parse(&bytes, &config, &TypeRegistry::new()).expect("a valid module");
    let count = |len: usize| u32::try_from(len).expect("a small module");
    let counts = ContextCounts {
        memories: count(info.memories().len()),
        tables: count(info.tables().len()),
        imported_globals: info.imported_global_count(),
        defined_globals: count(info.global_inits().len()),
        imported_funcs: info.imported_func_count(),
        defined_funcs: info.defined_func_count(),
    };
    let offsets = VmOffsets::new(counts).expect("a small module");
    Code { bytes, info, offsets, options: TranslateOptions { fuse, ..TranslateOptions::default() } }
}

#[library_benchmark(setup = code)]
#[bench::fused(true)]
#[bench::unfused(false)]
fn translate(code: Code) -> Vec<Bytecode> {
    let env = ModuleEnv { info: &code.info, bytes: &code.bytes, offsets: &code.offsets };
    let mut arena = Arena::default();
    let funcs = code.info.defined_funcs();
    funcs
        .map(|func| {
            crescendo_interp::translate(&env, func, &code.options, &mut arena).expect("a valid function")
        })
        .collect()
}

/// A function that has run once, so that all that it calls is translated.
struct Ready<P, R> {
    store: Store<()>,
    func: TypedFunc<P, R>,
    params: P,
}

impl<P: WasmParams + Copy, R: WasmResults> Ready<P, R> {
    fn new(wat: &str, export: &str, params: P) -> Ready<P, R> {
        let engine = engine(Validation::Eager);
        let wasm = wat::parse_str(wat).expect("a module in the text format");
        let module = Module::new(&engine, wasm).expect("a valid module");
        let mut store = Store::new(&engine, ());
        let mut linker = Linker::new(&engine);
        linker.func_wrap("host", "add", |a: i32, b: i32| a.wrapping_add(b)).expect("a new name");
        let instance = linker.instantiate(&mut store, &module).expect("an instance");
        let func = instance.get_typed_func(&mut store, export).expect("an export of this type");
        let mut ready = Ready { store, func, params };
        ready.call();
        ready
    }

    fn call(&mut self) -> R {
        self.func.call(&mut self.store, self.params).expect("a call that does not trap")
    }
}

fn kernel<R: WasmResults>(name: &str, argument: i32) -> Ready<i32, R> {
    let path = root().join(format!("benches/kernels/{name}.wat"));
    Ready::new(&std::fs::read_to_string(path).expect("a checked-in file"), "run", argument)
}

#[library_benchmark]
#[bench::recursion(args = ("fib", 15), setup = kernel)]
#[bench::hashing(args = ("hash", 1), setup = kernel)]
fn run_i64(mut kernel: Ready<i32, i64>) -> (i64, Ready<i32, i64>) {
    (kernel.call(), kernel)
}

#[library_benchmark]
#[bench::sieve(args = ("sieve", 10_000), setup = kernel)]
#[bench::indirect(args = ("indirect", 10_000), setup = kernel)]
#[bench::switch(args = ("switch", 1_000), setup = kernel)]
fn run_i32(mut kernel: Ready<i32, i32>) -> (i32, Ready<i32, i32>) {
    (kernel.call(), kernel)
}

#[library_benchmark]
#[bench::matrix(args = ("matrix", 20), setup = kernel)]
fn run_f64(mut kernel: Ready<i32, f64>) -> (f64, Ready<i32, f64>) {
    (kernel.call(), kernel)
}

#[library_benchmark]
#[bench::into_guest(args = (BORDER, "guest", (1, 2)), setup = Ready::new)]
fn call_guest(mut guest: Ready<(i32, i32), i32>) -> (i32, Ready<(i32, i32), i32>) {
    let sum = (0..CALLS).fold(0, |sum: i32, _| sum.wrapping_add(guest.call()));
    (sum, guest)
}

#[library_benchmark]
#[bench::into_host(args = (BORDER, "host", CALLS), setup = Ready::new)]
fn call_host(mut guest: Ready<i32, i32>) -> (i32, Ready<i32, i32>) {
    (guest.call(), guest)
}

library_benchmark_group!(
    name = counts;
    benchmarks = load, translate, run_i64, run_i32, run_f64, call_guest, call_host
);
main!(library_benchmark_groups = counts);
