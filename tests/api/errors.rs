//! Errors as embedders see them: traps with backtraces, host errors that pass through guests.

use crate::setup::{engines, instance, module};
use crescendo::{
    Caller, Engine, Error, ErrorKind, Func, Instance, Linker, Module, Result, Store, Trap, TrapCode,
};
use std::fmt;

/// How a program asks its host to end it, as WASI's `proc_exit` does.
#[derive(Debug, PartialEq)]
struct Exit(i32);

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exited with status {}", self.0)
    }
}

impl std::error::Error for Exit {}

fn call(store: &mut Store<()>, instance: Instance, name: &str) -> Error {
    let func = instance.get_typed_func::<(), ()>(&mut *store, name).unwrap();
    func.call(store, ()).unwrap_err()
}

#[test]
fn a_trap_prints_its_message_and_a_line_per_frame() {
    for (mode, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let instance = instance(
            &mut store,
            r#"(module $app
                (func $divide (param i32) (result i32) i32.const 1 local.get 0 i32.div_s)
                (func (param i32) (result i32) local.get 0 call $divide)
                (func $main (export "main") i32.const 0 call 1 drop))"#,
        );
        let error = call(&mut store, instance, "main");
        let trap = error.trap().unwrap();
        assert_eq!(trap.code(), TrapCode::IntegerDivisionByZero, "{mode}");
        assert_eq!(trap.func_index(), Some(0), "{mode}");
        assert_eq!(error.downcast_ref::<Trap>(), Some(&trap), "{mode}");
        let frames = error.backtrace().unwrap().frames();
        assert_eq!(frames.iter().map(|frame| frame.func_index()).collect::<Vec<_>>(), [0, 1, 2], "{mode}");
        let names: Vec<_> = frames.iter().map(|frame| frame.func_name()).collect();
        assert_eq!(names, [Some("divide"), None, Some("main")], "{mode}");
        assert!(frames.iter().all(|frame| frame.module_name() == Some("app")), "{mode}");
        assert_eq!(frames[0].module_offset(), trap.module_offset(), "{mode}");
        let offsets: Vec<_> = frames.iter().map(|frame| frame.module_offset().unwrap()).collect();
        let expected = format!(
            "wasm trap: integer divide by zero\
             \nwasm backtrace:\
             \n  0: {:#6x} - app!divide\
             \n  1: {:#6x} - app!<wasm function 1>\
             \n  2: {:#6x} - app!main",
            offsets[0], offsets[1], offsets[2],
        );
        assert_eq!(error.to_string(), expected, "{mode}");
        assert_eq!(format!("{error:#}"), "wasm trap: integer divide by zero", "{mode}");
        assert_eq!(format!("{error:?}"), expected, "{mode}");
        let error = error.context("running the app");
        assert!(
            error.to_string().starts_with("running the app: wasm trap: integer divide by zero\nwasm"),
            "{mode}"
        );
    }
}

#[test]
fn offsets_point_at_the_operator() {
    for (mode, engine) in engines() {
        let bytes = wat::parse_str(
            r#"(module
                (func (export "f") i32.const 1 drop nop call 1 nop)
                (func i32.const 5 drop unreachable))"#,
        )
        .unwrap();
        let module = Module::new(&engine, &bytes).unwrap();
        let mut store = Store::new(&engine, ());
        let instance = Linker::new(&engine).instantiate(&mut store, &module).unwrap();
        let error = call(&mut store, instance, "f");
        let frames = error.backtrace().unwrap().frames();
        let at = |index: usize| bytes[frames[index].module_offset().unwrap()];
        assert_eq!((at(0), at(1)), (0x00, 0x10), "`unreachable` and `call` in mode {mode}");
        // The body starts with its list of locals, which is empty: one byte.
        let offsets: Vec<_> = frames.iter().map(|frame| frame.func_offset().unwrap()).collect();
        assert_eq!(offsets, [1 + 2 + 1, 1 + 2 + 1 + 1], "{mode}");
    }
}

#[test]
fn a_host_error_passes_through_all_guests_whole() {
    for (mode, engine) in engines() {
        let mut linker = Linker::new(&engine);
        linker
            .func_wrap("host", "exit", |status: i32| -> Result<()> { Err(Error::host(Exit(status))) })
            .unwrap();
        let reenter = |mut caller: Caller<'_, ()>| -> Result<()> {
            let inner = caller.get_export("inner").and_then(|item| item.into_func()).unwrap();
            let result = inner.typed::<(), ()>(&caller)?.call(&mut caller, ());
            result.map_err(|error| error.context("in the inner guest"))
        };
        linker.func_wrap("host", "reenter", reenter).unwrap();
        let module = module(
            &engine,
            r#"(module
                (import "host" "exit" (func $exit (param i32)))
                (import "host" "reenter" (func $reenter))
                (func $inner (export "inner") i32.const 3 call $exit)
                (func $outer (export "outer") call $reenter))"#,
        );
        let mut store = Store::new(&engine, ());
        let instance = linker.instantiate(&mut store, &module).unwrap();
        let error = call(&mut store, instance, "outer");
        assert_eq!(error.downcast_ref(), Some(&Exit(3)), "{mode}");
        assert!(error.trap().is_none() && !error.is::<Trap>(), "{mode}");
        assert_eq!(format!("{error:#}"), "in the inner guest: exited with status 3", "{mode}");
        let frames = error.backtrace().unwrap().frames();
        let names: Vec<_> = frames.iter().filter_map(|frame| frame.func_name()).collect();
        assert_eq!(names, ["inner", "outer"], "{mode}");
        assert_eq!(error.downcast::<Exit>().unwrap(), Exit(3), "{mode}");

        // The store is good for further calls.
        assert_eq!(call(&mut store, instance, "inner").downcast_ref(), Some(&Exit(3)), "{mode}");
    }
}

#[test]
fn a_trap_that_a_host_function_returns_is_a_trap_of_the_guest() {
    for (mode, engine) in engines() {
        let mut linker = Linker::new(&engine);
        let trap = || -> Result<(), TrapCode> { Err(TrapCode::OutOfFuel) };
        linker.func_wrap("host", "trap", trap).unwrap();
        let module =
            module(&engine, r#"(module (import "host" "trap" (func $trap)) (func (export "f") call $trap))"#);
        let mut store = Store::new(&engine, ());
        let instance = linker.instantiate(&mut store, &module).unwrap();
        let error = call(&mut store, instance, "f");
        assert_eq!(error.trap(), Some(Trap::new(TrapCode::OutOfFuel)), "{mode}");
        assert_eq!(error.backtrace().unwrap().frames().len(), 1, "{mode}");
    }
}

#[test]
fn a_host_function_called_by_the_host_has_no_backtrace_to_print() {
    let mut store = Store::new(&Engine::default(), ());
    let func = Func::wrap(&mut store, || -> Result<()> { Err(Error::msg("no")) });
    let error = func.typed::<(), ()>(&store).unwrap().call(&mut store, ()).unwrap_err();
    assert_eq!(error.to_string(), "no");
}

#[test]
fn an_invalid_module_names_the_place() {
    let engine = Engine::default();
    let bytes = wat::parse_str(r#"(module (func) (func $bad (result i32) i64.const 1))"#).unwrap();
    let error = Module::new(&engine, &bytes).map(drop).unwrap_err();
    let ErrorKind::Module(inner) = error.kind() else { panic!("{error}") };
    assert_eq!(inner.function().map(|func| func.as_u32()), Some(1));
    assert!(inner.offset() > 8 && inner.offset() < bytes.len());
    assert!(error.to_string().contains("`bad`") && error.to_string().contains("at offset 0x"), "{error}");
    assert!(error.is::<crescendo::ModuleError>());
}

#[test]
fn names_with_control_characters_print_escaped() {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let instance = instance(&mut store, r#"(module $"\1b[2J" (func $"a\nb" (export "f") unreachable))"#);
    let text = call(&mut store, instance, "f").to_string();
    assert!(text.ends_with(r"- \u{1b}[2J!a\nb"), "{text}");
}

#[test]
fn a_very_deep_backtrace_keeps_its_innermost_frames() {
    for (mode, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let instance = instance(
            &mut store,
            r#"(module $deep
                (func $inner unreachable)
                (func $down (param i32)
                    local.get 0
                    if local.get 0 i32.const 1 i32.sub call $down else call $inner end)
                (func (export "f") i32.const 1000 call $down))"#,
        );
        let error = call(&mut store, instance, "f");
        let backtrace = error.backtrace().unwrap();
        let kept = backtrace.frames().len();
        assert!(kept >= 20, "{kept} frames in mode {mode}");
        assert_eq!(kept + backtrace.omitted(), 1003, "{mode}");
        assert_eq!(backtrace.frames()[0].func_name(), Some("inner"), "{mode}");
        let last = format!("\n  and {} outer frames", backtrace.omitted());
        assert!(error.to_string().ends_with(&last), "{error} in mode {mode}");
    }
}

#[test]
fn endless_recursion_is_a_trap_and_the_store_stays_good() {
    for (mode, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let instance = instance(
            &mut store,
            r#"(module (func $f (export "f") call $f) (func (export "g") unreachable))"#,
        );
        for _ in 0..2 {
            let error = call(&mut store, instance, "f");
            assert_eq!(error.trap().map(|trap| trap.code()), Some(TrapCode::StackOverflow), "{mode}");
            let error = call(&mut store, instance, "g");
            assert_eq!(
                error.trap().map(|trap| trap.code()),
                Some(TrapCode::UnreachableCodeReached),
                "{mode}"
            );
        }
    }
}

#[test]
fn a_panic_of_a_host_function_unwinds_through_the_guest() {
    for (mode, engine) in engines() {
        let mut linker = Linker::new(&engine);
        linker
            .func_wrap("host", "panic", |flag: i32| {
                if flag != 0 {
                    // Not `panic!`, which would print.
                    std::panic::resume_unwind(Box::new("the host gives up"));
                }
            })
            .unwrap();
        let module = module(
            &engine,
            r#"(module
                (import "host" "panic" (func $panic (param i32)))
                (func (export "f") (param i32) local.get 0 call $panic))"#,
        );
        let mut store = Store::new(&engine, ());
        let instance = linker.instantiate(&mut store, &module).unwrap();
        let func = instance.get_typed_func::<i32, ()>(&mut store, "f").unwrap();
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| func.call(&mut store, 1)));
        let payload = caught.unwrap_err();
        assert_eq!(payload.downcast_ref::<&str>(), Some(&"the host gives up"), "{mode}");
        func.call(&mut store, 0).unwrap();
    }
}
