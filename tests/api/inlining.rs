//! Functions that become a part of their callers' code: what they do, where they stop and what they cost stays the same.

use crate::setup::{engines, instance, modes, module};
use crescendo::{Engine, Instance, Linker, Module, Store, Tiering, TieringMode, TrapCode};

/// Callees that leave in every way, have locals of their own, loop and call each other.
const CALLEES: &str = r#"
    (module $m
        (memory 1)
        (global $count (mut i32) (i32.const 0))
        (func $leaves (param i32) (result i32)
            (if (i32.eqz (local.get 0)) (then (return (i32.const 10))))
            (br_if 0 (i32.const 20) (i32.eq (local.get 0) (i32.const 1)))
            drop
            (block (result i32) (br_table 1 0 (i32.const 30) (i32.sub (local.get 0) (i32.const 2))))
            drop
            (i32.const 40))
        ;; Adds 1 to a local that starts at 0 at each call.
        (func $fresh (result i32) (local i32 i64 f64)
            (local.set 0 (i32.add (local.get 0) (i32.const 1)))
            (local.set 1 (i64.add (local.get 1) (i64.const 2)))
            (local.set 2 (f64.add (local.get 2) (f64.const 4)))
            (i32.add
                (i32.wrap_i64 (i64.add (local.get 1) (i64.trunc_f64_s (local.get 2))))
                (local.get 0)))
        (func $swap (param i32 i64) (result i64 i32) local.get 1 local.get 0)
        (func $sum (param i32) (result i32) (local i32)
            (loop $again
                (local.set 1 (i32.add (local.get 1) (local.get 0)))
                (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
            (local.get 1))
        (func $counts (global.set $count (i32.add (global.get $count) (i32.const 1))))
        (func $twice (param i32) (result i32)
            (i32.add (call $leaves (local.get 0)) (call $sum (i32.add (local.get 0) (i32.const 1)))))
        (func $even (param i32) (result i32)
            (if (result i32) (i32.eqz (local.get 0))
                (then (i32.const 1))
                (else (call $odd (i32.sub (local.get 0) (i32.const 1))))))
        (func $odd (param i32) (result i32)
            (if (result i32) (i32.eqz (local.get 0))
                (then (i32.const 0))
                (else (call $even (i32.sub (local.get 0) (i32.const 1))))))
        (func $never unreachable)
        (func $run (export "run") (param i32) (result i32) (local i32 i64 i32)
            (loop $again
                (call $counts)
                (i32.add (local.get 1) (i32.const 1))
                (call $twice (i32.rem_u (local.get 0) (i32.const 4)))
                (call $fresh)
                i32.add
                i32.add
                local.set 1
                (call $swap (local.get 1) (i64.extend_i32_u (local.get 0)))
                local.set 3
                local.set 2
                (local.set 1 (i32.add (local.get 3) (i32.wrap_i64 (local.get 2))))
                (if (call $odd (local.get 0)) (then (local.set 1 (i32.xor (local.get 1) (i32.const 0x55)))))
                (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
            (i32.add (local.get 1) (i32.mul (global.get $count) (i32.const 1000))))
        (func $load (param i32) (result i32) (i32.load offset=4 (local.get 0)))
        (func $through (param i32) (result i32) (nop) (i32.add (call $load (local.get 0)) (i32.const 1)))
        (func (export "load") (param i32) (result i32)
            (i32.load (i32.const 0)) drop
            (call $through (i32.const 8)) drop
            (i32.add (call $load (i32.const 16)) (call $through (local.get 0))))
        (func (export "trap") (param i32) (if (local.get 0) (then (call $never))) (call $counts)))
"#;

#[test]
fn results_are_those_of_calls() {
    let mut expected = None;
    for (mode, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let instance = instance(&mut store, CALLEES);
        let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
        let results: Vec<i32> = (0..4).map(|_| run.call(&mut store, 50).unwrap()).collect();
        assert_eq!(*expected.get_or_insert(results.clone()), results, "{mode}");
    }
}

#[test]
fn traps_name_the_functions_that_were_called() {
    for (mode, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let instance = instance(&mut store, CALLEES);
        let load = instance.get_typed_func::<i32, i32>(&mut store, "load").unwrap();
        let trap = instance.get_typed_func::<i32, ()>(&mut store, "trap").unwrap();
        for round in 0..3 {
            assert_eq!(load.call(&mut store, 8).unwrap(), 1);
            let error = load.call(&mut store, -8).unwrap_err();
            assert_eq!(error.trap().unwrap().code(), TrapCode::MemoryOutOfBounds);
            let names = |error: &crescendo::Error| -> Vec<(String, u8)> {
                let frames = error.backtrace().unwrap().frames().iter();
                let name = |frame: &crescendo::FrameInfo| frame.func_name().unwrap_or("-").to_owned();
                let byte =
                    |frame: &crescendo::FrameInfo| frame.module().bytes()[frame.module_offset().unwrap()];
                frames.map(|frame| (name(frame), byte(frame))).collect()
            };
            let expected = [("load", 0x28), ("through", 0x10), ("-", 0x10)];
            assert_eq!(names(&error), expected.map(|(name, byte)| (name.to_owned(), byte)), "{mode} {round}");
            trap.call(&mut store, 0).unwrap();
            let error = trap.call(&mut store, 1).unwrap_err();
            let expected = [("never", 0x00), ("-", 0x10)];
            assert_eq!(names(&error), expected.map(|(name, byte)| (name.to_owned(), byte)), "{mode} {round}");
        }
    }
}

#[test]
fn fuel_is_what_calls_cost() {
    let mut expected = None;
    for (mode, mut config) in modes() {
        config.consume_fuel(true);
        let engine = Engine::new(&config).unwrap();
        let mut store = Store::new(&engine, ());
        let instance = instance_with_fuel(&mut store);
        let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
        let mut left = Vec::new();
        for fuel in [1_000_000, 5_000, 5_001, 5_002, 5_003, 5_004, 1_000_000] {
            store.set_fuel(fuel).unwrap();
            let result = run.call(&mut store, 30).map_err(|error| error.trap().unwrap().code());
            left.push((result, store.get_fuel().unwrap()));
        }
        assert_eq!(*expected.get_or_insert(left.clone()), left, "{mode}");
    }
}

fn instance_with_fuel(store: &mut Store<()>) -> Instance {
    store.set_fuel(1_000_000).unwrap();
    instance(store, CALLEES)
}

#[test]
fn exceptions_come_out_of_callees() {
    let text = r#"
        (module
            (tag $e (param i32))
            (func $throws (param i32) (if (i32.gt_u (local.get 0) (i32.const 2)) (then (throw $e (local.get 0)))))
            (func $calls (param i32) (call $throws (local.get 0)) (call $throws (i32.add (local.get 0) (i32.const 1))))
            (func (export "run") (param i32) (result i32)
                (block $caught (result i32)
                    (try_table (catch $e $caught) (call $calls (local.get 0)))
                    (i32.const -1))))
    "#;
    for (mode, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let run = instance(&mut store, text).get_typed_func::<i32, i32>(&mut store, "run").unwrap();
        for _ in 0..3 {
            let results = [0, 1, 2, 3].map(|n| run.call(&mut store, n).unwrap());
            assert_eq!(results, [-1, -1, 3, 3], "{mode}");
        }
    }
}

/// A function whose body is not valid is not looked into before it is called.
#[test]
fn invalid_functions_are_not_inlined() {
    let text = "(module
        (func $bad (result i32) i64.const 1)
        (func (export \"run\") (param i32) (result i32)
            (if (result i32) (local.get 0) (then (call $bad)) (else (i32.const 7)))))";
    for (mode, mut config) in modes() {
        config.validation(crescendo::Validation::Lazy);
        let engine = Engine::new(&config).unwrap();
        let module = module(&engine, text);
        let mut store = Store::new(&engine, ());
        let instance = Linker::new(&engine).instantiate(&mut store, &module).unwrap();
        let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
        for _ in 0..3 {
            assert_eq!(run.call(&mut store, 0).unwrap(), 7, "{mode}");
        }
        assert!(run.call(&mut store, 1).is_err(), "{mode}");
    }
}

#[test]
fn nothing_is_inlined_where_that_is_off() {
    let code_bytes = |most| {
        let mut config = crescendo::Config::new();
        config.tiering(Tiering::new(TieringMode::Eager).max_inlined_bytes(most));
        let engine = Engine::new(&config).unwrap();
        let module = Module::new(&engine, wat::parse_str(CALLEES).unwrap()).unwrap();
        let mut store = Store::new(&engine, ());
        Linker::new(&engine).instantiate(&mut store, &module).unwrap();
        let report = module.tiering_report();
        let run = report.functions.iter().find(|function| function.name.as_deref() == Some("run")).unwrap();
        run.code_bytes
    };
    assert!(code_bytes(1 << 16) > code_bytes(0));
}
