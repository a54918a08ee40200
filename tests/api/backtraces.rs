//! Where a guest stopped: every frame, across instances and the host's functions between them.

use crate::setup::{engines, module};
use crescendo::{Caller, Error, Func, Instance, Linker, Module, Result, Store, TrapCode, WasmBacktrace};

/// A frame as tests compare it: the module's name, the function's index and name, the bytes at its offset.
type Frame = (String, u32, String, Vec<u8>);

fn frames(backtrace: &WasmBacktrace) -> Vec<Frame> {
    let frame = |frame: &crescendo::FrameInfo| {
        let offset = frame.module_offset().expect("every frame has a place");
        (
            frame.module_name().unwrap_or("?").to_owned(),
            frame.func_index(),
            frame.func_name().unwrap_or("?").to_owned(),
            frame.module().bytes()[offset..][..2].to_vec(),
        )
    };
    backtrace.frames().iter().map(frame).collect()
}

fn frame(module: &str, index: u32, name: &str, bytes: [u8; 2]) -> Frame {
    (module.to_owned(), index, name.to_owned(), bytes.to_vec())
}

const CALL: u8 = 0x10;
const CALL_INDIRECT: u8 = 0x11;
const UNREACHABLE: u8 = 0x00;
const END: u8 = 0x0b;

const INNER: &str = r#"
    (module $inner
        (type $t (func))
        (table funcref (elem $boom))
        (func $boom unreachable)
        (func $indirect (param i32) (call_indirect (type $t) (local.get 0)))
        (func (export "go") (nop) (call $indirect (i32.const 0)) (nop)))
"#;

const OUTER: &str = r#"
    (module $outer
        (import "h" "host" (func $host))
        (import "i" "go" (func $go))
        (func $middle (param i32)
            (if (local.get 0) (then (call $host)) (else (call $go))))
        (func (export "through the host") (call $middle (i32.const 1)))
        (func (export "direct") (call $middle (i32.const 0))))
"#;

struct Guests {
    store: Store<Vec<WasmBacktrace>>,
    outer: Instance,
}

fn guests(engine: &crescendo::Engine) -> Guests {
    let mut linker = Linker::new(engine);
    let mut store = Store::new(engine, Vec::new());
    let inner = linker.instantiate(&mut store, &module(engine, INNER)).unwrap();
    linker.instance(&mut store, "i", inner).unwrap();
    let go = inner.get_typed_func::<(), ()>(&store, "go").unwrap();
    linker
        .func_wrap("h", "host", move |mut caller: Caller<'_, Vec<WasmBacktrace>>| -> Result<()> {
            let here = WasmBacktrace::capture(&caller);
            caller.data_mut().push(here);
            go.call(&mut caller, ())
        })
        .unwrap();
    let outer = linker.instantiate(&mut store, &module(engine, OUTER)).unwrap();
    Guests { store, outer }
}

#[test]
fn frames_of_all_instances_are_there() {
    for (mode, engine) in engines() {
        let Guests { mut store, outer } = guests(&engine);
        let inner_frames = [
            frame("inner", 0, "boom", [UNREACHABLE, END]),
            frame("inner", 1, "indirect", [CALL_INDIRECT, 0]),
            frame("inner", 2, "?", [CALL, 1]),
        ];
        for (name, call, index) in [("direct", 1, 4), ("through the host", 0, 3)] {
            for round in 0..2 {
                let func = outer.get_typed_func::<(), ()>(&store, name).unwrap();
                let error = func.call(&mut store, ()).unwrap_err();
                let mut expected = inner_frames.to_vec();
                expected.push(frame("outer", 2, "middle", [CALL, call]));
                expected.push(frame("outer", index, "?", [CALL, 2]));
                assert_eq!(frames(error.backtrace().unwrap()), expected, "{mode}, {name}, round {round}");
                let trap = error.trap().unwrap();
                assert_eq!(trap.code(), TrapCode::UnreachableCodeReached);
                assert_eq!(trap.func_index(), Some(0));
                assert_eq!(trap.module_offset(), error.backtrace().unwrap().frames()[0].module_offset());
            }
        }
        // What the host function saw of its callers.
        let seen = frames(&store.data()[0]);
        assert_eq!(
            seen,
            [frame("outer", 2, "middle", [CALL, 0]), frame("outer", 3, "?", [CALL, 2])],
            "{mode}"
        );
        assert!(WasmBacktrace::capture(&store).frames().is_empty(), "{mode}: nothing runs any more");
    }
}

#[test]
fn errors_of_builtins_have_a_place() {
    let text = r#"
        (module $m
            (memory 1) (table 1 funcref)
            (func $fill (memory.fill (i32.const 0xffff) (i32.const 0) (i32.const 2)))
            (func $get (drop (table.get (i32.const 1))))
            (func $copy (table.copy (i32.const 0) (i32.const 1) (i32.const 1)))
            (func (export "fill") (call $fill))
            (func (export "get") (call $get))
            (func (export "copy") (call $copy)))
    "#;
    for (mode, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module(&engine, text), &[]).unwrap();
        for (name, code, bytes) in [
            ("fill", TrapCode::MemoryOutOfBounds, [0xfc, 0x0b]),
            ("get", TrapCode::TableOutOfBounds, [0x25, 0]),
            ("copy", TrapCode::TableOutOfBounds, [0xfc, 0x0e]),
        ] {
            let func = instance.get_typed_func::<(), ()>(&store, name).unwrap();
            let error = func.call(&mut store, ()).unwrap_err();
            assert_eq!(error.trap().unwrap().code(), code, "{mode}, {name}");
            let found = frames(error.backtrace().unwrap());
            assert_eq!((found.len(), &found[0].2[..], &found[0].3[..]), (2, name, &bytes[..]), "{mode}");
        }
    }
}

#[test]
fn a_builtin_behind_copied_operands_has_its_own_place() {
    let text = r#"
        (module $m
            (memory 1)
            (tag $t (param i32))
            (func (export "fill") (param i32 i32 i32)
                (local.get 0) (local.get 1) (local.get 2)
                (block (param i32 i32 i32) (memory.fill)))
            (func (export "throw") (param i32 i32 i32)
                (local.get 0)
                (block (param i32) (throw $t))))
    "#;
    for (mode, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module(&engine, text), &[]).unwrap();
        for (name, bytes) in [("fill", [0xfc, 0x0b]), ("throw", [0x08, 0])] {
            let func = instance.get_typed_func::<(i32, i32, i32), ()>(&store, name).unwrap();
            let error = func.call(&mut store, (0xffff, 0, 2)).unwrap_err();
            let found = frames(error.backtrace().unwrap());
            assert_eq!((found.len(), &found[0].3[..]), (1, &bytes[..]), "{mode}, {name}");
        }
    }
}

#[test]
fn an_error_of_the_host_carries_the_frames_of_its_callers() {
    for (mode, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let fails = Func::wrap(&mut store, || -> Result<()> { Err(Error::msg("no paper")) });
        let text = r#"(module $m (import "h" "f" (func $f)) (func $a (export "a") (call $f)) (func (export "b") (call $a)))"#;
        let instance = Instance::new(&mut store, &module(&engine, text), &[fails.into()]).unwrap();
        let error = instance.get_typed_func::<(), ()>(&store, "b").unwrap().call(&mut store, ()).unwrap_err();
        let found = frames(error.backtrace().unwrap());
        assert_eq!(found, [frame("m", 1, "a", [CALL, 0]), frame("m", 2, "?", [CALL, 1])], "{mode}");
        assert!(error.to_string().starts_with("no paper\nwasm backtrace:\n  0: "), "{error}");
    }
}

#[test]
fn a_backtrace_outlives_its_store() {
    for (_, engine) in engines() {
        let Guests { mut store, outer } = guests(&engine);
        let error =
            outer.get_typed_func::<(), ()>(&store, "direct").unwrap().call(&mut store, ()).unwrap_err();
        drop(store);
        drop(engine);
        assert!(error.to_string().contains("inner!boom"), "{error}");
    }
}

#[test]
fn functions_validate_when_they_are_called_first() {
    // The second function is not valid: its body leaves nothing where an i32 has to be.
    let mut bytes = wat::parse_str(
        r#"(module $lazy
            (func $good (export "good") (result i32) (i32.const 1))
            (func $bad (result i32) (i32.const 2))
            (func $calls (export "calls") (result i32) (call $bad)))"#,
    )
    .unwrap();
    let at = bytes.windows(4).position(|bytes| bytes == [0x00, 0x41, 0x02, 0x0b]).unwrap() + 1;
    bytes[at..at + 2].copy_from_slice(&[0x01, 0x01]);
    for fusion in [true, false] {
        let mut config = crescendo::Config::new();
        config.fusion(fusion);
        let eager = crescendo::Engine::new(&config).unwrap();
        let error = Module::new(&eager, &bytes).unwrap_err().to_string();
        assert!(error.starts_with("function 1 `bad`: "), "{error}");
        assert!(Module::validate(&eager, &bytes).is_err());

        let engine = crescendo::Engine::new(config.validation(crescendo::Validation::Lazy)).unwrap();
        assert!(Module::validate(&engine, &bytes).is_err(), "validating looks at the bodies in any case");
        let module = Module::new(&engine, &bytes).unwrap();
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        let good = instance.get_typed_func::<(), i32>(&store, "good").unwrap();
        let calls = instance.get_typed_func::<(), i32>(&store, "calls").unwrap();
        for _ in 0..2 {
            let lazy = calls.call(&mut store, ()).unwrap_err();
            assert!(lazy.to_string().starts_with(&error), "{lazy}");
            assert!(lazy.is::<crescendo::ModuleError>());
            let callers: Vec<_> =
                frames(lazy.backtrace().unwrap()).into_iter().map(|frame| frame.2).collect();
            assert_eq!(callers, ["calls"]);
            assert_eq!(good.call(&mut store, ()).unwrap(), 1);
        }
    }
}
