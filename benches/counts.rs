//! Instruction counts under Valgrind: what a change costs, on any machine and under any load.
//!
//! Loading, translating and compiling `lua.wasm`, stores with an instance, the interpreter's loop and native code on kernels
//! of `benches/kernels`, and calls over the border between host and guest. Counts are of one thread: validation runs on the
//! calling thread here, native code is made before counting starts, and no tier takes over from another.

#![expect(missing_docs, reason = "the macros of iai-callgrind make public items without documentation")]

use crescendo::TieringMode::{self, Dynamic, Eager, InterpreterOnly};
use crescendo::{
    Config, Engine, InstancePre, Linker, Module, Store, Tiering, TypedFunc, Validation, WasmParams,
    WasmResults,
};
use crescendo_abi::{ContextCounts, VmOffsets};
use crescendo_interp::{Arena, Bytecode, ModuleEnv, TranslateOptions, Variant};
use crescendo_jit::{
    Compiled, Compiler, CompilerOptions, Entry, OptLevel, Request, Scratch, Support, UnknownCallees,
};
use crescendo_module::{ModuleConfig, ModuleInfo, TypeRegistry};
use iai_callgrind::{library_benchmark, library_benchmark_group, main};
use std::hint::black_box;
use std::path::{Path, PathBuf};

/// The calls of one benchmark of calls.
const CALLS: i32 = 1000;

/// Every so many functions of `lua.wasm` one is compiled: all of them would take minutes under Valgrind.
const COMPILED_PART: usize = 16;

/// A module without memory, the least that an instance can be of.
const SMALL: &str = r#"(module (func (export "run")))"#;

/// A module whose instances have a memory and a table.
const WITH_MEMORY: &str = r#"
    (module
      (memory (export "memory") 1)
      (data (i32.const 8) "some bytes")
      (table funcref (elem $run))
      (func $run (export "run")))"#;

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

/// An engine of a mode. Where calls and iterations are counted, in `Dynamic`, nothing becomes hot.
fn engine(mode: TieringMode, validation: Validation) -> Engine {
    // Fails if it was done before, and then all is well.
    let _ = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build_global();
    let never = u32::MAX;
    let tiering = Tiering::new(mode).calls(never).iterations(never);
    let engine = Engine::new(Config::new().tiering(tiering).validation(validation));
    let engine = engine.expect("settings that all machines have");
    assert_eq!(
        engine.compiles(),
        mode != TieringMode::InterpreterOnly,
        "there is no compiler for this machine"
    );
    engine
}

/// A module and an engine to load it with.
fn loading(validation: Validation) -> (Engine, Vec<u8>) {
    (engine(TieringMode::InterpreterOnly, validation), lua())
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

/// What the compiler gets, and what it reuses from one function to the next.
struct Compilation {
    code: Code,
    compiler: Compiler,
    scratch: Scratch,
    opt_level: OptLevel,
}

fn compilation(opt_level: OptLevel) -> Compilation {
    let options = CompilerOptions {
        fuel: false,
        epochs: false,
        branch_hints: false,
        // Nothing runs what is compiled.
        support: Support::default(),
    };
    let compiler = Compiler::new(options).expect("a compiler for this machine");
    Compilation { code: code(true), compiler, scratch: Scratch::new(), opt_level }
}

#[library_benchmark(setup = compilation)]
#[bench::optimised(OptLevel::Speed)]
#[bench::baseline(OptLevel::None)]
fn compile(mut compilation: Compilation) -> (Vec<Compiled>, Compilation) {
    let Compilation { code, compiler, scratch, opt_level } = &mut compilation;
    let request = |func| Request {
        opt_level: *opt_level,
        info: &code.info,
        bytes: &code.bytes,
        offsets: &code.offsets,
        func,
        variant: Variant::Guarded,
        entry: Entry::Call,
        callees: &UnknownCallees,
    };
    let funcs = code.info.defined_funcs().step_by(COMPILED_PART);
    let compiled =
        funcs.map(|func| compiler.compile(scratch, &request(func)).expect("a function that can be compiled"));
    (compiled.collect(), compilation)
}

/// A module that is loaded and has had an instance already.
fn loaded(wasm: Vec<u8>) -> InstancePre<()> {
    let engine = engine(TieringMode::InterpreterOnly, Validation::Eager);
    let module = Module::new(&engine, wasm).expect("a valid module");
    let mut linker = Linker::new(&engine);
    linker.define_unknown_imports_as_traps(&module).expect("new names");
    let pre = linker.instantiate_pre(&module).expect("all imports are there");
    pre.instantiate(Store::new(&engine, ())).expect("an instance");
    pre
}

fn loaded_text(wat: &str) -> InstancePre<()> {
    loaded(wat::parse_str(wat).expect("a module in the text format"))
}

#[library_benchmark]
#[bench::small(args = (SMALL), setup = loaded_text)]
#[bench::with_memory(args = (WITH_MEMORY), setup = loaded_text)]
#[bench::large(args = (lua()), setup = loaded)]
fn instance(pre: InstancePre<()>) -> InstancePre<()> {
    let mut store = Store::new(pre.module().engine(), ());
    black_box(pre.instantiate(&mut store).expect("an instance"));
    pre
}

/// A function that has run once, so that all that it calls is translated or compiled.
struct Ready<P, R> {
    store: Store<()>,
    func: TypedFunc<P, R>,
    params: P,
}

impl<P: WasmParams + Copy, R: WasmResults> Ready<P, R> {
    fn new(mode: TieringMode, wat: &str, export: &str, params: P) -> Ready<P, R> {
        let engine = engine(mode, Validation::Eager);
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

fn kernel<R: WasmResults>(mode: TieringMode, name: &str, argument: i32) -> Ready<i32, R> {
    let path = root().join(format!("benches/kernels/{name}.wat"));
    Ready::new(mode, &std::fs::read_to_string(path).expect("a checked-in file"), "run", argument)
}

#[library_benchmark]
#[bench::recursion(args = (InterpreterOnly, "fib", 15), setup = kernel)]
#[bench::recursion_counting(args = (Dynamic, "fib", 15), setup = kernel)]
#[bench::recursion_native(args = (Eager, "fib", 15), setup = kernel)]
#[bench::hashing(args = (InterpreterOnly, "hash", 1), setup = kernel)]
#[bench::hashing_native(args = (Eager, "hash", 1), setup = kernel)]
fn run_i64(mut kernel: Ready<i32, i64>) -> (i64, Ready<i32, i64>) {
    (kernel.call(), kernel)
}

#[library_benchmark]
#[bench::sieve(args = (InterpreterOnly, "sieve", 10_000), setup = kernel)]
#[bench::sieve_counting(args = (Dynamic, "sieve", 10_000), setup = kernel)]
#[bench::sieve_native(args = (Eager, "sieve", 10_000), setup = kernel)]
#[bench::indirect(args = (InterpreterOnly, "indirect", 10_000), setup = kernel)]
#[bench::indirect_native(args = (Eager, "indirect", 10_000), setup = kernel)]
#[bench::switch(args = (InterpreterOnly, "switch", 1_000), setup = kernel)]
#[bench::switch_native(args = (Eager, "switch", 1_000), setup = kernel)]
fn run_i32(mut kernel: Ready<i32, i32>) -> (i32, Ready<i32, i32>) {
    (kernel.call(), kernel)
}

#[library_benchmark]
#[bench::matrix(args = (InterpreterOnly, "matrix", 20), setup = kernel)]
#[bench::matrix_native(args = (Eager, "matrix", 20), setup = kernel)]
fn run_f64(mut kernel: Ready<i32, f64>) -> (f64, Ready<i32, f64>) {
    (kernel.call(), kernel)
}

#[library_benchmark]
#[bench::into_guest(args = (InterpreterOnly, BORDER, "guest", (1, 2)), setup = Ready::new)]
#[bench::into_native(args = (Eager, BORDER, "guest", (1, 2)), setup = Ready::new)]
fn call_guest(mut guest: Ready<(i32, i32), i32>) -> (i32, Ready<(i32, i32), i32>) {
    let sum = (0..CALLS).fold(0, |sum: i32, _| sum.wrapping_add(guest.call()));
    (sum, guest)
}

#[library_benchmark]
#[bench::into_host(args = (InterpreterOnly, BORDER, "host", CALLS), setup = Ready::new)]
#[bench::from_native(args = (Eager, BORDER, "host", CALLS), setup = Ready::new)]
fn call_host(mut guest: Ready<i32, i32>) -> (i32, Ready<i32, i32>) {
    (guest.call(), guest)
}

library_benchmark_group!(
    name = counts;
    benchmarks = load, translate, compile, instance, run_i64, run_i32, run_f64, call_guest, call_host
);
main!(library_benchmark_groups = counts);
