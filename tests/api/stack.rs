//! The bounds of both stacks: every way to exhaust them is a trap, and the store goes on working.

use crate::setup::{engines, instance, module};
use crescendo::{Caller, Config, Engine, Extern, Linker, Result, Store, TrapCode};

/// A function that calls itself `n` times, another without end, one that needs a large frame.
fn text(locals: usize) -> String {
    format!(
        r#"(module
            (func $down (export "down") (param i32) (result i32)
                (if (result i32) (i32.eqz (local.get 0))
                    (then (i32.const 0))
                    (else (i32.add (i32.const 1) (call $down (i32.sub (local.get 0) (i32.const 1)))))))
            (func $forever (export "forever") (call $forever))
            (func $mutual_a (export "mutual") (call $mutual_b))
            (func $mutual_b (call $mutual_a))
            (func $large (export "large") (param i32) (result i64)
                (local {})
                (if (i32.eqz (local.get 0)) (then (return (local.get {locals}))))
                (local.set {locals} (i64.const 5))
                (i64.add (local.get {locals}) (call $large (i32.sub (local.get 0) (i32.const 1)))))
            (table funcref (elem $indirect))
            (func $indirect (export "indirect") (call_indirect (i32.const 0)))
        )"#,
        "i64 ".repeat(locals)
    )
}

fn code(error: crescendo::Error) -> TrapCode {
    error.trap().unwrap_or_else(|| panic!("not a trap: {error}")).code()
}

#[test]
pub fn endless_recursion_is_a_trap() {
    for (mode, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let instance = instance(&mut store, &text(1));
        for name in ["forever", "mutual", "indirect"] {
            let endless = instance.get_typed_func::<(), ()>(&store, name).unwrap();
            for _ in 0..2 {
                let error = endless.call(&mut store, ()).unwrap_err();
                let backtrace = error.backtrace().unwrap();
                assert!(backtrace.omitted() > 1000 && backtrace.frames().len() > 10, "{mode}, {name}");
                assert_eq!(code(error), TrapCode::StackOverflow, "{mode}, {name}");
            }
        }
        let down = instance.get_typed_func::<i32, i32>(&store, "down").unwrap();
        assert_eq!(down.call(&mut store, 10_000).unwrap(), 10_000, "{mode}");
    }
}

#[test]
fn the_value_stack_has_the_size_that_was_asked_for() {
    let mut depths = Vec::new();
    for bytes in [0, 64 << 10, 1 << 20, 16 << 20] {
        let engine = Engine::new(Config::new().max_wasm_stack(bytes)).unwrap();
        let mut store = Store::new(&engine, ());
        let instance = instance(&mut store, &text(1));
        let down = instance.get_typed_func::<i32, i32>(&store, "down").unwrap();
        let fits = |store: &mut Store<()>, depth| down.call(store, depth).is_ok();
        let mut depth = 1;
        while fits(&mut store, depth) {
            depth *= 2;
        }
        depths.push(depth);
    }
    assert!(depths.is_sorted() && depths[0] == 1 && depths[2] >= depths[1] * 8, "{depths:?}");
}

#[test]
fn large_frames_exhaust_the_stack_in_few_calls() {
    for (mode, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let instance = instance(&mut store, &text(49_999));
        let large = instance.get_typed_func::<i32, i64>(&store, "large").unwrap();
        assert_eq!(large.call(&mut store, 3).unwrap(), 15, "{mode}");
        // Native code keeps only what is used: its frames may be small.
        let depth = if mode.contains("fused") { 10 } else { 50_000_000 };
        assert_eq!(code(large.call(&mut store, depth).unwrap_err()), TrapCode::StackOverflow, "{mode}");
        assert_eq!(large.call(&mut store, 3).unwrap(), 15, "{mode}");
    }
}

#[test]
fn recursion_through_the_host_is_a_trap() {
    for (mode, engine) in engines() {
        for untyped in [false, true] {
            let mut linker = Linker::<u32>::new(&engine);
            linker
                .func_wrap("h", "again", move |mut caller: Caller<'_, u32>| -> Result<()> {
                    *caller.data_mut() += 1;
                    let Some(Extern::Func(run)) = caller.get_export("run") else { panic!("an export") };
                    if untyped {
                        run.call(&mut caller, &[], &mut [])
                    } else {
                        run.typed::<(), ()>(&caller)?.call(caller, ())
                    }
                })
                .unwrap();
            let text = r#"(module (import "h" "again" (func $again)) (func (export "run") (call $again)))"#;
            let module = module(&engine, text);
            // Threads have stacks of different sizes; a store may visit them all.
            let mut store = Store::new(&engine, 0);
            let instance = linker.instantiate(&mut store, &module).unwrap();
            let run = instance.get_typed_func::<(), ()>(&store, "run").unwrap();
            for stack in [256 << 10, 1 << 20, 8 << 20] {
                let visit = move || {
                    let error = run.call(&mut store, ()).unwrap_err();
                    (code(error), store)
                };
                let thread = std::thread::Builder::new().stack_size(stack).spawn(visit).unwrap();
                let (code, back) = thread.join().expect("the thread does not overflow");
                store = back;
                assert_eq!(code, TrapCode::StackOverflow, "{mode}");
                assert!(*store.data() > 5, "{mode}: {} levels on {stack} bytes", store.data());
                *store.data_mut() = 0;
            }
        }
    }
}

#[test]
fn deep_stacks_of_guest_and_host_together_are_a_trap() {
    // Guest frames use the value stack up before the host's recursion uses the native stack up.
    let text = r#"
        (module
            (import "h" "again" (func $again))
            (func $deep (param i32)
                (if (local.get 0)
                    (then (call $deep (i32.sub (local.get 0) (i32.const 1))))
                    (else (call $again))))
            (func (export "run") (call $deep (i32.const 2000))))
    "#;
    for (mode, engine) in engines() {
        let mut linker = Linker::<()>::new(&engine);
        linker
            .func_wrap("h", "again", |caller: Caller<'_, ()>| -> Result<()> {
                let Some(Extern::Func(run)) = caller.get_export("run") else { panic!("an export") };
                run.typed::<(), ()>(&caller)?.call(caller, ())
            })
            .unwrap();
        let mut store = Store::new(&engine, ());
        let instance = linker.instantiate(&mut store, &module(&engine, text)).unwrap();
        let run = instance.get_typed_func::<(), ()>(&store, "run").unwrap();
        assert_eq!(code(run.call(&mut store, ()).unwrap_err()), TrapCode::StackOverflow, "{mode}");
    }
}

#[test]
fn tail_calls_use_no_stack() {
    let text = r#"
        (module
            (type $t (func (param i32 i32) (result i32)))
            (table funcref (elem $odd))
            (func $even (export "even") (type $t)
                (if (i32.eqz (local.get 0)) (then (return (i32.const 1))))
                (return_call_indirect (type $t)
                    (i32.sub (local.get 0) (i32.const 1)) (local.get 1) (i32.const 0)))
            (func $odd (type $t)
                (if (i32.eqz (local.get 0)) (then (return (i32.const 0))))
                (return_call $even (i32.sub (local.get 0) (i32.const 1)) (local.get 1))))
    "#;
    for (mode, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let instance = instance(&mut store, text);
        let even = instance.get_typed_func::<(i32, i32), i32>(&store, "even").unwrap();
        assert_eq!(even.call(&mut store, (300_001, 0)).unwrap(), 0, "{mode}");
    }
}

/// Frames of more than 8,191 slots have cells with wide operands: loops, tees, branches and selects work in them as in others.
#[test]
fn loops_in_functions_with_many_locals_are_translated() {
    let text = format!(
        r#"(module (func (export "run") (param $n i32) (result i64) (local {}) (local $sum i64) (local $f f64)
            (loop $again
                (local.set $sum (i64.add (local.get $sum) (i64.extend_i32_u (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
                (local.set $f (f64.add (local.tee $f (f64.sqrt (local.get $f))) (f64.const 1.5)))
                (br_if $again (i32.eqz (i32.eqz (local.get $n)))))
            (i64.add (local.get $sum) (select (i64.const 7) (i64.const 9) (f64.gt (local.get $f) (f64.const 1))))))"#,
        "i64 ".repeat(8200)
    );
    for (mode, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let instance = instance(&mut store, &text);
        let run = instance.get_typed_func::<i32, i64>(&store, "run").unwrap();
        assert_eq!(run.call(&mut store, 100).unwrap(), 4957, "{mode}");
    }
}
