//! WASI preview 1 as guests see it: small guests in the text format, run in every mode of the engine.
//!
//! A guest reports through its exit code (100 + errno for a call that should have succeeded) and its streams. [`run`] is the
//! harness; the modules group the tests.

mod files;
mod programs;
mod refusals;
mod streams;
mod system;

use crescendo::{Config, Engine, Error, Linker, Module, Store, Tiering, TieringMode};
use crescendo_wasi::pipe::WritePipe;
use crescendo_wasi::{I32Exit, WasiCtx, WasiCtxBuilder};

/// Imports and functions that the guests share. Bytes 0 to 63 of the memory are scratch.
const PRELUDE: &str = r#"
    (import "wasi_snapshot_preview1" "args_get" (func $args_get (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes_get (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "environ_get" (func $environ_get (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ_sizes_get (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "clock_res_get" (func $clock_res_get (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "clock_time_get" (func $clock_time_get (param i32 i64 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_close" (func $fd_close (param i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_prestat_get" (func $fd_prestat_get (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_prestat_dir_name" (func $fd_prestat_dir_name (param i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_readdir" (func $fd_readdir (param i32 i32 i32 i64 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_open"
        (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_rename" (func $path_rename (param i32 i32 i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_unlink_file" (func $path_unlink_file (param i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
    (import "wasi_snapshot_preview1" "random_get" (func $random_get (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "sched_yield" (func $sched_yield (result i32)))
    (memory (export "memory") 2 2)
    ;; Exits with 100 + errno unless the call succeeded.
    (func $ok (param $errno i32)
        (if (local.get $errno) (then (call $proc_exit (i32.add (i32.const 100) (local.get $errno))))))
    ;; Exits with the code unless the condition holds.
    (func $expect (param $condition i32) (param $code i32)
        (if (i32.eqz (local.get $condition)) (then (call $proc_exit (local.get $code)))))
    (func $try_write (param $fd i32) (param $at i32) (param $len i32) (result i32)
        (i32.store (i32.const 0) (local.get $at))
        (i32.store (i32.const 4) (local.get $len))
        (call $fd_write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8)))
    (func $write (param $fd i32) (param $at i32) (param $len i32)
        (call $ok (call $try_write (local.get $fd) (local.get $at) (local.get $len)))
        (call $expect (i32.eq (i32.load (i32.const 8)) (local.get $len)) (i32.const 90)))
    ;; Reads at most $len bytes and gives their number.
    (func $read (param $fd i32) (param $at i32) (param $len i32) (result i32)
        (i32.store (i32.const 0) (local.get $at))
        (i32.store (i32.const 4) (local.get $len))
        (call $ok (call $fd_read (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8)))
        (i32.load (i32.const 8)))
    ;; Opens a path under the first preopened directory, with all rights of files; the descriptor is at 16.
    (func $try_open (param $path i32) (param $len i32) (param $oflags i32) (param $rights i64) (result i32)
        (call $path_open (i32.const 3) (i32.const 1) (local.get $path) (local.get $len) (local.get $oflags)
            (local.get $rights) (i64.const 0) (i32.const 0) (i32.const 16)))
    (func $open (param $path i32) (param $len i32) (param $oflags i32) (param $rights i64) (result i32)
        (call $ok (call $try_open (local.get $path) (local.get $len) (local.get $oflags) (local.get $rights)))
        (i32.load (i32.const 16)))
"#;

/// What a guest did.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    /// The argument of `proc_exit`, 0 if `_start` returned, or the error that ended the guest.
    exit: Result<i32, String>,
    stdout: String,
    stderr: String,
}

impl Outcome {
    /// The text on stdout of a guest that succeeded.
    #[track_caller]
    fn success(self) -> String {
        assert_eq!((self.exit, &*self.stderr), (Ok(0), ""));
        self.stdout
    }
}

/// The configurations that each guest runs under.
fn modes() -> Vec<Config> {
    let mut unfused = Config::new();
    unfused.fusion(false);
    let mut checked = Config::new();
    checked.signals_based_traps(false);
    let mut eager = Config::new();
    eager.tiering(Tiering::new(TieringMode::Eager));
    let mut at_once = Config::new();
    at_once.tiering(Tiering::new(TieringMode::Synchronous).calls(1).iterations(1));
    let mut background = Config::new();
    background.tiering(Tiering::new(TieringMode::Dynamic).calls(1).iterations(1));
    for config in [&mut unfused, &mut checked] {
        config.tiering(Tiering::new(TieringMode::InterpreterOnly));
    }
    vec![Config::new(), unfused, checked, eager, at_once, background]
}

/// A whole module: the prelude, then `text`, which defines `$main`.
fn module(text: &str) -> String {
    format!("(module {PRELUDE} {text} (export \"_start\" (func $main)))")
}

/// Runs a guest that starts with the prelude in every mode, and with a shared memory in one; all have to agree. `setup` grants it
/// things.
#[track_caller]
fn run(text: &str, setup: impl Fn(&mut WasiCtxBuilder)) -> Outcome {
    let text = module(text);
    let outcome = run_module(&text, &setup);
    let shared = text.replace("(memory (export \"memory\") 2 2)", "(memory (export \"memory\") 2 2 shared)");
    assert_ne!(text, shared);
    let bytes = wat::parse_str(shared).expect("the guest is valid text");
    let found = run_in(&Config::new(), &bytes, &setup);
    // Errors may name other parts of the memory: what is shared is written in pieces.
    let exit = |outcome: &Outcome| outcome.exit.clone().map_err(|_| "an error");
    assert_eq!(
        (exit(&outcome), &outcome.stdout, &outcome.stderr),
        (exit(&found), &found.stdout, &found.stderr)
    );
    outcome
}

/// Runs a whole module in every mode.
#[track_caller]
fn run_module(text: &str, setup: impl Fn(&mut WasiCtxBuilder)) -> Outcome {
    let bytes = wat::parse_str(text).expect("the guest is valid text");
    let mut outcomes = modes().into_iter().map(|config| run_in(&config, &bytes, &setup));
    let first = outcomes.next().expect("there are modes");
    for other in outcomes {
        assert_eq!(first, other);
    }
    first
}

fn run_in(config: &Config, bytes: &[u8], setup: &impl Fn(&mut WasiCtxBuilder)) -> Outcome {
    let (stdout, stderr) = (WritePipe::new_in_memory(), WritePipe::new_in_memory());
    let mut builder = WasiCtxBuilder::new();
    builder.stdout(Box::new(stdout.clone())).stderr(Box::new(stderr.clone()));
    setup(&mut builder);
    let exit = match call_start(config, bytes, builder.build()) {
        Ok(()) => Ok(0),
        Err(error) => match error.downcast_ref::<I32Exit>() {
            Some(exit) => Ok(exit.0),
            None => Err(error.to_string()),
        },
    };
    let text = |pipe: WritePipe<std::io::Cursor<Vec<u8>>>| {
        let bytes = pipe.try_into_inner().expect("the guest's context is gone").into_inner();
        String::from_utf8(bytes).expect("the guest writes text")
    };
    Outcome { exit, stdout: text(stdout), stderr: text(stderr) }
}

fn call_start(config: &Config, bytes: &[u8], ctx: WasiCtx) -> Result<(), Error> {
    let engine = Engine::new(config)?;
    let module = Module::new(&engine, bytes)?;
    let mut linker = Linker::new(&engine);
    crescendo_wasi::add_to_linker(&mut linker, |ctx| ctx)?;
    let mut store = Store::new(&engine, ctx);
    let instance = linker.instantiate(&mut store, &module)?;
    instance.get_typed_func::<(), ()>(&mut store, "_start")?.call(&mut store, ())
}
