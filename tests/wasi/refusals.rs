//! Guests that break WASI's rules: each ends with an error or an errno, none with a panic.

use super::{modes, run, run_module};
use crescendo::{Engine, Linker, Module, Store};
use crescendo_wasi::{WasiCtx, WasiCtxBuilder, WasiError};

#[test]
fn a_guest_without_a_memory_gets_a_clear_error() {
    let guest = r#"(module
        (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
        (func (export "_start") (drop (call $yield))))"#;
    let error = run_module(guest, |_| {}).exit.unwrap_err();
    assert!(
        error.starts_with(
            "the wasi function `sched_yield` failed: the calling module exports no memory named `memory`"
        ),
        "{error}"
    );
}

#[test]
fn pointers_and_constants_out_of_range_end_the_guest() {
    // The memory has 0x20000 bytes.
    let table = [
        ("args_sizes_get", "(call $args_sizes_get (i32.const 0x20000) (i32.const 0))"),
        ("args_sizes_get", "(call $args_sizes_get (i32.const 0x1fffd) (i32.const 0))"),
        ("fd_write", "(call $fd_write (i32.const 1) (i32.const -8) (i32.const 2) (i32.const 0))"),
        ("fd_write", "(call $try_write (i32.const 1) (i32.const 0x1ffff) (i32.const 2))"),
        ("fd_write", "(call $try_write (i32.const 1) (i32.const 1) (i32.const -1))"),
        ("random_get", "(call $random_get (i32.const 1) (i32.const 0x20000))"),
        ("path_open", "(call $try_open (i32.const 0x1ffff) (i32.const 2) (i32.const 0) (i64.const 2))"),
        ("clock_time_get", "(call $clock_time_get (i32.const 9) (i64.const 1) (i32.const 16))"),
        ("poll_oneoff", "(call $poll_oneoff (i32.const 0x1fff0) (i32.const 0) (i32.const 1) (i32.const 0))"),
    ];
    for (function, call) in table {
        let guest = format!("(func $main (drop {call}))");
        let outcome = run(&guest, |ctx| {
            let dir =
                crescendo_wasi::Dir::open_ambient_dir("/", crescendo_wasi::ambient_authority()).unwrap();
            ctx.preopened_dir(dir, "/").unwrap();
        });
        let error = outcome.exit.expect_err(call);
        assert!(error.starts_with(&format!("the wasi function `{function}` failed: ")), "{call}: {error}");
    }
}

#[test]
fn endless_lists_are_refused() {
    // EINVAL
    for call in [
        "(call $fd_write (i32.const 1) (i32.const 0) (i32.const -1) (i32.const 8))",
        "(call $fd_read (i32.const 0) (i32.const 0) (i32.const 0x10001) (i32.const 8))",
        "(call $poll_oneoff (i32.const 0) (i32.const 0) (i32.const -1) (i32.const 8))",
    ] {
        let guest = format!("(func $main (call $proc_exit {call}))");
        assert_eq!(run(&guest, |_| {}).exit, Ok(28), "{call}");
    }
}

#[test]
fn the_error_is_found_by_its_type() {
    let bytes = wat::parse_str(
        r#"(module
            (import "wasi_snapshot_preview1" "random_get" (func $random_get (param i32 i32) (result i32)))
            (memory (export "memory") 1)
            (func (export "run") (drop (call $random_get (i32.const -1) (i32.const 1)))))"#,
    )
    .unwrap();
    for config in modes() {
        let engine = Engine::new(&config).unwrap();
        let module = Module::new(&engine, &bytes).unwrap();
        let mut linker = Linker::<WasiCtx>::new(&engine);
        crescendo_wasi::add_to_linker(&mut linker, |ctx| ctx).unwrap();
        let mut store = Store::new(&engine, WasiCtxBuilder::new().build());
        let instance = linker.instantiate(&mut store, &module).unwrap();
        let run = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap();
        let error = run.call(&mut store, ()).unwrap_err();
        assert_eq!(error.downcast_ref::<WasiError>().map(WasiError::function), Some("random_get"));
    }
}

#[test]
fn functions_that_do_not_exist_are_unknown_imports() {
    let guest = r#"(module
        (import "wasi_snapshot_preview1" "fd_teleport" (func (param i32)))
        (func (export "_start")))"#;
    let error = run_module(guest, |_| {}).exit.unwrap_err();
    assert!(error.contains("fd_teleport"), "{error}");
}

#[test]
fn defining_the_functions_twice_is_an_error() {
    let engine = Engine::default();
    let mut linker = Linker::<WasiCtx>::new(&engine);
    crescendo_wasi::add_to_linker(&mut linker, |ctx| ctx).unwrap();
    assert!(crescendo_wasi::add_to_linker(&mut linker, |ctx| ctx).is_err());
    linker.allow_shadowing(true);
    crescendo_wasi::add_to_linker(&mut linker, |ctx| ctx).unwrap();
}

#[test]
fn a_linker_of_one_module_has_what_it_imports() {
    let engine = Engine::default();
    let module = |name, function| {
        let text = format!(r#"(module (import "{name}" "{function}" (func (param i32))))"#);
        Module::new(&engine, wat::parse_str(text).unwrap()).unwrap()
    };
    for name in [crescendo_wasi::PREVIEW_1, crescendo_wasi::PREVIEW_0] {
        let exits = module(name, "proc_exit");
        let mut linker = Linker::<WasiCtx>::new(&engine);
        crescendo_wasi::add_imports_to_linker(&mut linker, &exits, |ctx| ctx).unwrap();
        let mut store = Store::new(&engine, WasiCtxBuilder::new().build());
        linker.instantiate(&mut store, &exits).unwrap();
        // Nothing else is there, so that another module's imports can be added.
        assert!(linker.instantiate(&mut store, &module(name, "fd_close")).is_err());
        crescendo_wasi::add_imports_to_linker(&mut linker, &module(name, "fd_close"), |ctx| ctx).unwrap();
        assert!(crescendo_wasi::add_imports_to_linker(&mut linker, &exits, |ctx| ctx).is_err());
    }
    let mut linker = Linker::<WasiCtx>::new(&engine);
    crescendo_wasi::add_imports_to_linker(&mut linker, &module("env", "proc_exit"), |ctx| ctx).unwrap();
}
