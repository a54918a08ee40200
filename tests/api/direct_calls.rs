//! Calls that go straight to compiled code, past the callee's entry record: what they do is what other calls do.

use crate::setup::{instance, module};
use crescendo::{Config, Engine, Error, Func, Instance, Linker, Store, Tiering, TieringMode, TrapCode, Val};

/// Compiles each function at its second call, and inlines nothing: who calls callees first has them called straight.
fn soon() -> Tiering {
    Tiering::new(TieringMode::Synchronous).calls(2).iterations(2).max_inlined_bytes(0)
}

fn engine(tiering: Tiering) -> Engine {
    Engine::new(Config::new().tiering(tiering)).expect("the configuration is valid")
}

/// Functions of every shape, `leaf`s before those that call them.
const SHAPES: &str = r#"
    (module $m
        (memory 1)
        (tag $tag (param i32))
        (func $load (export "load") (param i32) (result i32) (i32.load offset=4 (local.get 0)))
        (func $many (export "many") (param i64 f64 i32 i64 f32 i64 i64 i64 i64 f64 i32 i64)
            (result i64 i64 i64 i64 i64 i64 i64 i64 i64 f64)
            local.get 11 local.get 8 local.get 7 local.get 6 local.get 5 local.get 3 local.get 0
            (i64.extend_i32_u (local.get 2)) (i64.extend_i32_u (local.get 10))
            (f64.add (local.get 1) (f64.add (local.get 9) (f64.promote_f32 (local.get 4)))))
        (func $throws (export "throws") (param i32) (result i32)
            (if (i32.gt_u (local.get 0) (i32.const 100)) (then (throw $tag (local.get 0))))
            (i32.add (local.get 0) (i32.const 1)))
        (func $count (export "count") (param i64 i64) (result i64)
            (if (result i64) (i64.eqz (local.get 0))
                (then (local.get 1))
                (else (return_call $count (i64.sub (local.get 0) (i64.const 1)) (i64.add (local.get 1) (local.get 0))))))
        (func $deep (export "deep") (param i32) (result i32)
            (if (result i32) (i32.eqz (local.get 0))
                (then (i32.load (i32.sub (i32.const 0) (global.get $bad))))
                (else (i32.add (i32.const 1) (call $deep (i32.sub (local.get 0) (i32.const 1)))))))
        (global $bad (export "bad") (mut i32) (i32.const 0))

        (func (export "call load") (param i32) (result i32) (i32.add (call $load (local.get 0)) (i32.const 1)))
        (func (export "call many") (result f64) (local f64 i64)
            (call $many (i64.const 1) (f64.const 2) (i32.const 3) (i64.const 4) (f32.const 5) (i64.const 6)
                (i64.const 7) (i64.const 8) (i64.const 9) (f64.const 10) (i32.const 11) (i64.const 12))
            local.set 0
            i64.add i64.mul i64.sub i64.mul i64.add i64.mul i64.sub i64.add
            local.set 1
            (f64.add (f64.convert_i64_s (local.get 1)) (local.get 0)))
        (func (export "call throws") (param i32) (result i32)
            (block $caught (result i32)
                (try_table (result i32) (catch $tag $caught) (call $throws (local.get 0)))
                (return (i32.mul (i32.const 2))))
            (i32.add (i32.const 5)))
        (func (export "call count") (param i64 i64) (result i64) (return_call $count (local.get 0) (local.get 1))))
"#;

/// Calls an export with numbers, again and again until it is compiled.
fn call(store: &mut Store<()>, instance: &Instance, name: &str, params: &[Val]) -> Result<Val, Error> {
    let func: Func = instance.get_func(&*store, name).unwrap();
    let mut results = vec![Val::I32(0); func.ty(&*store).results().len()];
    for _ in 0..4 {
        func.call(&mut *store, params, &mut results)?;
    }
    Ok(results.pop().expect("a result"))
}

fn i32_of(value: Val) -> i32 {
    value.i32().expect("an i32")
}

#[test]
fn results_exceptions_and_tail_calls_are_those_of_other_calls() {
    let wide = [
        Val::I64(1),
        Val::F64(0),
        Val::I32(1),
        Val::I64(1),
        Val::F32(0),
        Val::I64(1),
        Val::I64(1),
        Val::I64(1),
        Val::I64(1),
        Val::F64(0),
        Val::I32(1),
        Val::I64(1),
    ];
    let mut before: Option<(i32, u64)> = None;
    for tiering in [Tiering::new(TieringMode::InterpreterOnly), soon(), Tiering::new(TieringMode::Eager)] {
        let engine = engine(tiering);
        let mut store = Store::new(&engine, ());
        let instance = instance(&mut store, SHAPES);
        for (name, params) in [("load", &wide[2..3]), ("many", &wide), ("throws", &wide[2..3])] {
            call(&mut store, &instance, name, params).unwrap();
        }
        call(&mut store, &instance, "count", &[Val::I64(3), Val::I64(0)]).unwrap();
        assert_eq!(i32_of(call(&mut store, &instance, "call load", &[Val::I32(8)]).unwrap()), 1);
        let many = call(&mut store, &instance, "call many", &[]).unwrap().f64().expect("an f64").to_bits();
        let throws =
            |store: &mut Store<()>, n| i32_of(call(store, &instance, "call throws", &[Val::I32(n)]).unwrap());
        assert_eq!((throws(&mut store, 7), throws(&mut store, 107)), (16, 112));
        let count = [Val::I64(3_000_000), Val::I64(0)];
        let count = call(&mut store, &instance, "call count", &count).unwrap().i64().expect("an i64");
        assert_eq!(count, 3_000_000 * 3_000_001 / 2);
        let deep = i32_of(call(&mut store, &instance, "deep", &[Val::I32(5000)]).unwrap());
        assert_eq!(*before.get_or_insert((deep, many)), (deep, many));
    }
}

/// Calls an export, which must trap. Gives the functions of the frames, innermost first.
fn frames_of_trap(
    store: &mut Store<()>,
    instance: &Instance,
    name: &str,
    param: i32,
    code: TrapCode,
) -> Vec<String> {
    let error = call(store, instance, name, &[Val::I32(param)]).unwrap_err();
    assert_eq!(error.trap().expect("a trap").code(), code);
    let frames = error.backtrace().expect("a backtrace").frames();
    frames.iter().map(|frame| frame.func_name().unwrap_or("?").to_string()).collect()
}

#[test]
fn backtraces_name_all_frames() {
    for tiering in [Tiering::new(TieringMode::InterpreterOnly), soon(), Tiering::new(TieringMode::Eager)] {
        let engine = engine(tiering);
        let mut store = Store::new(&engine, ());
        let instance = instance(&mut store, SHAPES);
        call(&mut store, &instance, "deep", &[Val::I32(3)]).unwrap();
        call(&mut store, &instance, "load", &[Val::I32(3)]).unwrap();
        call(&mut store, &instance, "call load", &[Val::I32(3)]).unwrap();
        instance.get_global(&store, "bad").unwrap().set(&mut store, Val::I32(1)).unwrap();
        let (bounds, stack) = (TrapCode::MemoryOutOfBounds, TrapCode::StackOverflow);
        assert_eq!(frames_of_trap(&mut store, &instance, "deep", 3, bounds), ["deep"; 4]);
        assert_eq!(frames_of_trap(&mut store, &instance, "call load", -9, bounds), ["load", "?"]);
        let deep = frames_of_trap(&mut store, &instance, "deep", i32::MAX, stack);
        assert!(deep.len() > 10 && deep.iter().all(|name| name == "deep"), "{deep:?}");
    }
}

#[test]
fn a_frame_that_is_taken_over_calls_its_function_and_not_the_loop() {
    // The first call is interpreted, the calls in its loop compile the function, and after some more iterations the loop is compiled,
    // which finds the function's code.
    let text = r#"
        (module (func $ways (export "ways") (param i32 i32) (result i32) (local i32 i32)
            (if (i32.eqz (local.get 0)) (then (return (i32.const 1))))
            (local.set 2 (select (local.get 0) (local.get 1) (i32.lt_u (local.get 0) (local.get 1))))
            (loop $next
                (local.set 3 (i32.add (local.get 3)
                    (call $ways (i32.sub (local.get 0) (local.get 2)) (local.get 2))))
                (br_if $next (local.tee 2 (i32.sub (local.get 2) (i32.const 1)))))
            (local.get 3)))
    "#;
    for iterations in [1, 3, 7, 20] {
        for mode in [TieringMode::Synchronous, TieringMode::Dynamic] {
            let engine = engine(Tiering::new(mode).calls(2).iterations(iterations).max_inlined_bytes(0));
            let mut store = Store::new(&engine, ());
            let instance = instance(&mut store, text);
            let ways = instance.get_typed_func::<(i32, i32), i32>(&store, "ways").unwrap();
            for _ in 0..3 {
                assert_eq!(ways.call(&mut store, (30, 30)).unwrap(), 5604, "{mode:?}, {iterations}");
            }
        }
    }
}

#[test]
fn fuel_is_that_of_other_calls() {
    let mut before = None;
    for tiering in [Tiering::new(TieringMode::InterpreterOnly), soon(), Tiering::new(TieringMode::Eager)] {
        let engine = Engine::new(Config::new().tiering(tiering).consume_fuel(true)).unwrap();
        let mut store = Store::new(&engine, ());
        store.set_fuel(u64::MAX / 2).unwrap();
        let instance = instance(&mut store, SHAPES);
        call(&mut store, &instance, "deep", &[Val::I32(100)]).unwrap();
        call(&mut store, &instance, "count", &[Val::I64(100), Val::I64(0)]).unwrap();
        call(&mut store, &instance, "call count", &[Val::I64(100), Val::I64(0)]).unwrap();
        let left = store.get_fuel().unwrap();
        assert_eq!(*before.get_or_insert(left), left);
    }
}

#[test]
fn code_that_makes_room_goes_on_where_it_is_called_straight() {
    // Each function calls the one before, which has code by then; the budget is enough for a few.
    let count = 25;
    let mut functions = String::from("(func $f0 (export \"f0\") (param i32) (result i32) (local.get 0))");
    for n in 1..count {
        let previous = n - 1;
        functions.push_str(&format!(
            "(func $f{n} (export \"f{n}\") (param i32) (result i32)
                (i32.add (call $f{previous} (local.get 0)) (i32.const {n})))"
        ));
    }
    let text = format!("(module {functions})");
    for mode in [TieringMode::Synchronous, TieringMode::Dynamic] {
        for budget in [300, 1000] {
            let engine = engine(Tiering::new(mode).calls(2).max_inlined_bytes(0).code_budget(budget));
            let module = module(&engine, &text);
            let mut stores: Vec<_> = (0..2)
                .map(|_| {
                    let mut store = Store::new(&engine, ());
                    let instance = Linker::new(&engine).instantiate(&mut store, &module).unwrap();
                    (store, instance)
                })
                .collect();
            for round in 0..6 {
                for n in (0..count).chain((0..count).rev()) {
                    let (store, instance) = &mut stores[(round % 2) as usize];
                    let func = instance.get_typed_func::<i32, i32>(&*store, &format!("f{n}")).unwrap();
                    for _ in 0..3 {
                        assert_eq!(func.call(&mut *store, round).unwrap(), round + n * (n + 1) / 2);
                    }
                }
            }
            let report = module.tiering_report();
            let bytes: usize = report.functions.iter().map(|function| function.code_bytes).sum();
            assert!(bytes < budget + 200, "{mode:?}: {report}");
        }
    }
}
