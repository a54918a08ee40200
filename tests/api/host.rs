//! Host functions: panics, nested calls and where their values lie, what a caller can reach.

use crate::setup::{engines, instance, module};
use crescendo::{Caller, Engine, Extern, Func, Instance, Linker, Result, Store, TrapCode, Val};
use std::panic::{AssertUnwindSafe, catch_unwind};

const CALLS_IMPORT: &str = r#"
    (module
        (import "host" "f" (func $f (param i32) (result i32)))
        (func (export "run") (param i32) (result i32)
            (i32.add (local.get 0) (call $f (i32.add (local.get 0) (i32.const 1))))))
"#;

fn calls_import<T>(store: &mut Store<T>, f: Func) -> Instance {
    let engine = store.engine().clone();
    Instance::new(store, &module(&engine, CALLS_IMPORT), &[f.into()]).expect("the import fits")
}

#[test]
fn a_panic_of_a_host_function_unwinds_to_the_caller() {
    for (mode, engine) in engines() {
        let mut store = Store::new(&engine, 0);
        let f = Func::wrap(&mut store, |mut caller: Caller<'_, i32>, n: i32| {
            *caller.data_mut() += 1;
            assert!(n < 10, "{n} is too much");
            n
        });
        let instance = calls_import(&mut store, f);
        let run = instance.get_typed_func::<i32, i32>(&store, "run").unwrap();
        for _ in 0..3 {
            let caught = catch_unwind(AssertUnwindSafe(|| run.call(&mut store, 9))).unwrap_err();
            assert_eq!(caught.downcast_ref::<String>().unwrap(), "10 is too much", "{mode}");
            assert_eq!(run.call(&mut store, 1).unwrap(), 3, "{mode}: the store goes on working");
        }
        assert_eq!(*store.data(), 6);
    }
}

#[test]
fn a_panic_crosses_several_guests() {
    for (mode, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let inner = Func::wrap(&mut store, |_: i32| -> i32 { std::panic::panic_any(5_u8) });
        let inner = calls_import(&mut store, inner).get_func(&store, "run").unwrap();
        let middle = Func::wrap(&mut store, move |mut caller: Caller<'_, ()>, n: i32| -> Result<i32> {
            inner.typed::<i32, i32>(&caller)?.call(&mut caller, n)
        });
        let outer = calls_import(&mut store, middle).get_typed_func::<i32, i32>(&store, "run").unwrap();
        let caught = catch_unwind(AssertUnwindSafe(|| outer.call(&mut store, 1))).unwrap_err();
        assert_eq!(caught.downcast_ref::<u8>(), Some(&5), "{mode}");
    }
}

#[test]
fn a_host_function_may_catch_the_panic_of_a_nested_call() {
    for (mode, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let panics = Func::wrap(&mut store, |_: i32| -> i32 { panic!("inside") });
        let panics = calls_import(&mut store, panics).get_func(&store, "run").unwrap();
        let catches = Func::wrap(&mut store, move |mut caller: Caller<'_, ()>, n: i32| {
            let call = || panics.typed::<i32, i32>(&caller)?.call(&mut caller, n);
            i32::from(catch_unwind(AssertUnwindSafe(call)).is_err()) * 100
        });
        let run = calls_import(&mut store, catches).get_typed_func::<i32, i32>(&store, "run").unwrap();
        assert_eq!(run.call(&mut store, 7).unwrap(), 107, "{mode}");
    }
}

#[test]
fn nested_calls_leave_the_frames_of_outer_runs_alone() {
    // Each level keeps values in locals and on the operand stack across the call into the host, which goes down a level.
    let text = r#"
        (module
            (import "host" "down" (func $down (param i32 i64) (result i64 i32)))
            (func (export "run") (param $n i32) (param $x i64) (result i64 i32)
                (local $a i64) (local $b i32)
                (if (i32.eqz (local.get $n)) (then (return (local.get $x) (i32.const 0))))
                (local.set $a (i64.mul (local.get $x) (i64.const 3)))
                (i64.add (local.get $a) (i64.const 1))
                (call $down (i32.sub (local.get $n) (i32.const 1)) (local.get $a))
                (local.set $b)
                (i64.add)
                (i64.add (local.get $a))
                (i32.add (local.get $b) (local.get $n))))
    "#;
    fn expected(n: i32, x: i64) -> (i64, i32) {
        if n == 0 {
            return (x, 0);
        }
        let a = x.wrapping_mul(3);
        let (y, b) = expected(n - 1, a);
        ((a + 1).wrapping_add(y).wrapping_add(a), b + n)
    }
    for (mode, engine) in engines() {
        let mut linker = Linker::new(&engine);
        linker
            .func_wrap("host", "down", |mut caller: Caller<'_, ()>, n: i32, x: i64| -> Result<(i64, i32)> {
                let Some(Extern::Func(run)) = caller.get_export("run") else { panic!("an export") };
                // Both ways to call take slots of their own.
                if n % 2 == 0 {
                    return run.typed::<(i32, i64), (i64, i32)>(&caller)?.call(&mut caller, (n, x));
                }
                let mut results = [Val::I32(0), Val::I32(0)];
                run.call(&mut caller, &[Val::I32(n), Val::I64(x)], &mut results)?;
                Ok((results[0].unwrap_i64(), results[1].unwrap_i32()))
            })
            .unwrap();
        let mut store = Store::new(&engine, ());
        let instance = linker.instantiate(&mut store, &module(&engine, text)).unwrap();
        let run = instance.get_typed_func::<(i32, i64), (i64, i32)>(&store, "run").unwrap();
        for n in [0, 1, 2, 17] {
            assert_eq!(run.call(&mut store, (n, 7)).unwrap(), expected(n, 7), "{mode}, {n} levels");
        }
    }
}

#[test]
fn a_trap_of_a_nested_call_can_be_handled_by_the_host_between() {
    for (mode, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let traps =
            instance(&mut store, r#"(module (func (export "traps") (param i32) (result i32) unreachable))"#);
        let traps = traps.get_typed_func::<i32, i32>(&store, "traps").unwrap();
        let handles = Func::wrap(&mut store, move |mut caller: Caller<'_, ()>, n: i32| {
            let error = traps.call(&mut caller, n).unwrap_err();
            assert_eq!(error.trap().unwrap().code(), TrapCode::UnreachableCodeReached);
            n * 10
        });
        let run = calls_import(&mut store, handles).get_typed_func::<i32, i32>(&store, "run").unwrap();
        assert_eq!(run.call(&mut store, 1).unwrap(), 21, "{mode}");
    }
}

#[test]
fn a_host_function_reached_by_a_tail_call_may_call_guests() {
    let text = r#"
        (module
            (import "h" "back" (func $back (param i64 i64 i64) (result i64)))
            (func (export "own") (param i64) (result i64) (i64.mul (local.get 0) (i64.const 3)))
            (func $tail (param i64) (result i64)
                (return_call $back (local.get 0) (i64.const 7) (i64.const 1)))
            (func (export "run") (param i64) (result i64)
                (local $a i64)
                (local.set $a (i64.add (local.get 0) (i64.const 100)))
                (i64.add (local.get $a) (i64.add (call $tail (local.get 0)) (local.get 0)))))
    "#;
    for (mode, engine) in engines() {
        let mut linker = Linker::<()>::new(&engine);
        linker
            .func_wrap("h", "back", |mut caller: Caller<'_, ()>, a: i64, b: i64, c: i64| -> Result<i64> {
                let Some(Extern::Func(own)) = caller.get_export("own") else { panic!("an export") };
                Ok(own.typed::<i64, i64>(&caller)?.call(&mut caller, a)? + b + c)
            })
            .unwrap();
        let mut store = Store::new(&engine, ());
        let instance = linker.instantiate(&mut store, &module(&engine, text)).unwrap();
        let run = instance.get_typed_func::<i64, i64>(&store, "run").unwrap();
        assert_eq!(run.call(&mut store, 5).unwrap(), 105 + 15 + 8 + 5, "{mode}");
    }
}

#[test]
fn a_caller_reaches_exports_memory_and_fuel() {
    let text = r#"
        (module
            (import "host" "shout" (func $shout (param i32 i32)))
            (memory (export "memory") 1)
            (data (i32.const 16) "hello")
            (func (export "run") (call $shout (i32.const 16) (i32.const 5))))
    "#;
    let engine = Engine::new(crescendo::Config::new().consume_fuel(true)).unwrap();
    let mut linker = Linker::<Vec<String>>::new(&engine);
    linker
        .func_wrap("host", "shout", |mut caller: Caller<'_, Vec<String>>, start: u32, len: u32| {
            let memory = caller.get_export("memory").and_then(Extern::into_memory).unwrap();
            assert!(caller.get_export("other").is_none());
            let (bytes, words) = memory.data_and_store_mut(&mut caller);
            let word = &mut bytes[start as usize..][..len as usize];
            word.make_ascii_uppercase();
            words.push(String::from_utf8_lossy(word).into_owned());
            assert!(caller.get_fuel().unwrap() < 1000);
            caller.set_fuel(5).unwrap();
        })
        .unwrap();
    let mut store = Store::new(&engine, Vec::new());
    store.set_fuel(1000).unwrap();
    let instance = linker.instantiate(&mut store, &module(&engine, text)).unwrap();
    instance.get_typed_func::<(), ()>(&store, "run").unwrap().call(&mut store, ()).unwrap();
    assert_eq!(*store.data(), ["HELLO"]);
    assert_eq!(store.get_fuel().unwrap(), 5);
    let memory = instance.get_memory(&store, "memory").unwrap();
    assert_eq!(memory.data(&store)[16..21], *b"HELLO");
}

#[test]
fn the_host_calls_its_own_functions_directly() {
    let mut store = Store::new(&Engine::default(), ());
    let add = Func::wrap(&mut store, |a: i32, b: i64| i64::from(a) + b);
    let mut results = [Val::I32(0)];
    add.call(&mut store, &[Val::I32(1), Val::I64(2)], &mut results).unwrap();
    assert_eq!(results[0].i64(), Some(3));
    let panics = Func::wrap(&mut store, || -> i32 { panic!("directly") });
    let call = AssertUnwindSafe(|| panics.call(&mut store, &[], &mut [Val::I32(0)]));
    assert!(catch_unwind(call).is_err());
}

#[test]
fn host_functions_can_be_called_through_tables_and_by_tail_calls() {
    let text = r#"
        (module
            (import "host" "f" (func $f (param i32) (result i32)))
            (type $t (func (param i32) (result i32)))
            (table 2 funcref)
            (elem (i32.const 0) $f $own)
            (func $own (param i32) (result i32) (i32.mul (local.get 0) (i32.const 3)))
            (func (export "indirect") (param i32 i32) (result i32)
                (i32.add (i32.const 1000) (call_indirect (type $t) (local.get 0) (local.get 1))))
            (func (export "tail") (param i32) (result i32) (return_call $f (local.get 0)))
            (func (export "tail indirect") (param i32 i32) (result i32)
                (return_call_indirect (type $t) (local.get 0) (local.get 1))))
    "#;
    for (mode, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let f = Func::wrap(&mut store, |n: i32| n + 1);
        let instance = Instance::new(&mut store, &module(&engine, text), &[f.into()]).unwrap();
        let tail = instance.get_typed_func::<i32, i32>(&store, "tail").unwrap();
        assert_eq!(tail.call(&mut store, 6).unwrap(), 7, "{mode}");
        for (name, base) in [("indirect", 1000), ("tail indirect", 0)] {
            let func = instance.get_typed_func::<(i32, i32), i32>(&store, name).unwrap();
            assert_eq!(func.call(&mut store, (6, 0)).unwrap(), base + 7, "{mode}, {name}");
            assert_eq!(func.call(&mut store, (6, 1)).unwrap(), base + 18, "{mode}, {name}");
        }
    }
}
