//! Engines, modules and stores between threads.

use crate::setup::{engines, instance, module};
use crescendo::{
    Config, Engine, Error, Func, Instance, Linker, Memory, Module, Store, Table, TrapCode, TypedFunc, Val,
};
use std::sync::Barrier;
use std::thread;

fn send<T: Send>() {}
fn sync<T: Sync>() {}

#[test]
fn what_can_be_sent_is_send() {
    send::<Engine>();
    sync::<Engine>();
    send::<Module>();
    sync::<Module>();
    send::<Store<Vec<u8>>>();
    sync::<Store<Vec<u8>>>();
    send::<Linker<()>>();
    sync::<Linker<()>>();
    send::<Func>();
    sync::<Func>();
    send::<Instance>();
    send::<Memory>();
    send::<Table>();
    send::<TypedFunc<(i32, i64), f32>>();
    send::<Val>();
    send::<Error>();
    sync::<Error>();
    send::<Config>();
}

#[test]
fn a_store_moves_between_threads_between_calls() {
    let text = r#"
        (module
            (memory (export "m") 1)
            (func (export "count") (param i32) (result i32)
                (i32.store (i32.const 8) (i32.add (i32.load (i32.const 8)) (local.get 0)))
                (i32.load (i32.const 8)))
            (func (export "far") (result i32) (i32.load (i32.const 0xffff0)))
            (func $deep (export "deep") (call $deep))
            (func (export "divide") (param i32) (result i32) (i32.div_u (i32.const 1) (local.get 0))))
    "#;
    for (mode, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let instance = instance(&mut store, text);
        for round in 1..=6 {
            // Small stacks and threads that never ran wasm before: what a thread needs is found out anew on each.
            let visit = move || {
                let count = instance.get_typed_func::<i32, i32>(&store, "count").unwrap();
                assert_eq!(count.call(&mut store, 5).unwrap(), 5 * round, "{mode}");
                let code = |error: Error| error.trap().unwrap().code();
                let far = instance.get_typed_func::<(), i32>(&store, "far").unwrap();
                assert_eq!(code(far.call(&mut store, ()).unwrap_err()), TrapCode::MemoryOutOfBounds);
                let deep = instance.get_typed_func::<(), ()>(&store, "deep").unwrap();
                assert_eq!(code(deep.call(&mut store, ()).unwrap_err()), TrapCode::StackOverflow);
                let divide = instance.get_typed_func::<i32, i32>(&store, "divide").unwrap();
                assert_eq!(code(divide.call(&mut store, 0).unwrap_err()), TrapCode::IntegerDivisionByZero);
                store
            };
            let thread = thread::Builder::new().stack_size(128 << 10 << (round % 3)).spawn(visit).unwrap();
            store = thread.join().expect("the calls work");
        }
    }
}

#[test]
fn threads_that_share_a_module_translate_it_once_or_together() {
    // Many functions, called by all threads at about the same time and in different orders.
    let functions: String = (0..200)
        .map(|n| {
            format!(
                "(func (export \"f{n}\") (param i32) (result i32) (i32.add (local.get 0) (i32.const {n})))"
            )
        })
        .collect();
    for (mode, engine) in engines() {
        let module = module(&engine, &format!("(module (memory 1) {functions})"));
        let barrier = Barrier::new(4);
        thread::scope(|scope| {
            for number in 0..4 {
                let (engine, module, barrier) = (&engine, &module, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    let mut store = Store::new(engine, ());
                    let instance = Instance::new(&mut store, module, &[]).unwrap();
                    for step in 0..400 {
                        let n = (step * (number * 2 + 1)) % 200;
                        let name = format!("f{n}");
                        let func = instance.get_typed_func::<i32, i32>(&store, &name).unwrap();
                        assert_eq!(func.call(&mut store, 1000).unwrap(), 1000 + n, "{mode}");
                    }
                });
            }
        });
    }
}

#[test]
fn threads_that_start_a_large_module_at_once_get_the_same_results() {
    // A tree of calls, in a module that is large enough for functions to be translated ahead.
    const FUNCTIONS: i64 = 255;
    let padding = "(drop (i64.const 123456789))".repeat(50);
    let functions: String = (0..FUNCTIONS)
        .map(|n| {
            let call = |callee: i64| match callee < FUNCTIONS {
                true => format!("(call $f{callee} (local.get 0))"),
                false => "(local.get 0)".to_string(),
            };
            let (left, right) = (call(2 * n + 1), call(2 * n + 2));
            format!(
                "(func $f{n} (export \"f{n}\") (param i64) (result i64) {padding}
                    (i64.add (i64.const {n}) (i64.add {left} {right})))"
            )
        })
        .collect();
    fn sum(n: i64, x: i64) -> i64 {
        if n < FUNCTIONS { n + sum(2 * n + 1, x) + sum(2 * n + 2, x) } else { x }
    }
    for (mode, engine) in engines() {
        for round in 0..5 {
            let module = module(&engine, &format!("(module (memory 1) {functions})"));
            let barrier = Barrier::new(3);
            thread::scope(|scope| {
                for start in 0..3 {
                    let (engine, module, barrier) = (&engine, &module, &barrier);
                    scope.spawn(move || {
                        barrier.wait();
                        let mut store = Store::new(engine, ());
                        let instance = Instance::new(&mut store, module, &[]).unwrap();
                        let func = instance.get_typed_func::<i64, i64>(&store, &format!("f{start}")).unwrap();
                        assert_eq!(func.call(&mut store, round).unwrap(), sum(start, round), "{mode}");
                    });
                }
            });
        }
    }
}

#[test]
fn modules_outlive_their_handles_and_stores_their_engines() {
    for (mode, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let instance = instance(&mut store, r#"(module (func (export "one") (result i32) (i32.const 1)))"#);
        let one = instance.get_typed_func::<(), i32>(&store, "one").unwrap();
        drop(engine);
        assert_eq!(one.call(&mut store, ()).unwrap(), 1, "{mode}");
    }
}
