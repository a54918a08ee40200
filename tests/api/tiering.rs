//! Moving between the interpreter and native code: calls in every mix, loops, traps, limits.

use crate::setup::{instance, modes, module};
use crescendo::{
    Baseline, Config, Engine, Error, Func, Instance, Linker, Module, Store, Tiering, TieringMode, TrapCode,
    UpdateDeadline,
};
use std::time::{Duration, Instant};

fn at_once(mode: TieringMode) -> Tiering {
    Tiering::new(mode).calls(1).iterations(1)
}

fn engine(tiering: Tiering) -> Engine {
    Engine::new(Config::new().tiering(tiering)).expect("the configuration is valid")
}

/// Engines that compile functions as the bits of a number say, synchronously.
fn mixes(functions: u32) -> impl Iterator<Item = (String, Engine)> {
    (0..1 << functions).map(|bits: u32| {
        let mask = move |func| bits >> func & 1 == 1;
        (format!("mask {bits:b}"), engine(at_once(TieringMode::Synchronous).mask(mask)))
    })
}

fn code(error: &Error) -> TrapCode {
    error.trap().expect("a trap").code()
}

#[test]
pub fn mutual_tail_calls_take_constant_stack_in_every_mix() {
    let text = r#"
        (module
            (type $f (func (param i32 i64 f64) (result i64)))
            (table funcref (elem $a $b $c))
            (func $a (export "a") (type $f)
                (if (i32.eqz (local.get 0)) (then (return (local.get 1))))
                (return_call $b (i32.sub (local.get 0) (i32.const 1))
                    (i64.add (local.get 1) (i64.const 1)) (local.get 2)))
            (func $b (type $f)
                (if (i32.eqz (local.get 0)) (then (return (local.get 1))))
                (return_call_indirect (type $f) (i32.sub (local.get 0) (i32.const 1))
                    (i64.add (local.get 1) (i64.const 2)) (local.get 2) (i32.const 2)))
            (func $c (type $f)
                (if (i32.eqz (local.get 0)) (then (return (local.get 1))))
                (return_call_ref $f (i32.sub (local.get 0) (i32.const 1))
                    (i64.add (local.get 1) (i64.const 3)) (local.get 2) (ref.func $a))))
    "#;
    for (mode, engine) in mixes(3) {
        let mut store = Store::new(&engine, ());
        let instance = instance(&mut store, text);
        let a = instance.get_typed_func::<(i32, i64, f64), i64>(&store, "a").unwrap();
        assert_eq!(a.call(&mut store, (10_000_000, 0, 0.5)).unwrap(), 3_333_333 * 6 + 1, "{mode}");
    }
}

#[test]
fn tail_calls_with_more_parameters_than_registers_and_across_instances() {
    let callee = r#"
        (module
            (type $many (func (param i32 i64 i64 i64 i64 i64 i64 i64 f64 i64) (result i64 f64)))
            (import "" "back" (func $back (type $many)))
            (memory 1)
            (global $n (mut i64) (i64.const 0))
            (func (export "there") (type $many)
                (global.set $n (i64.add (global.get $n) (i64.const 1)))
                (i64.store (i32.const 8) (global.get $n))
                (return_call $back (local.get 0) (local.get 9) (local.get 1) (local.get 2) (local.get 3)
                    (local.get 4) (local.get 5) (local.get 6) (local.get 8) (local.get 7)))
            (func (export "count") (result i64) (i64.load (i32.const 8))))
    "#;
    let caller = r#"
        (module
            (type $many (func (param i32 i64 i64 i64 i64 i64 i64 i64 f64 i64) (result i64 f64)))
            (table (export "t") 1 funcref)
            (func $back (export "back") (type $many)
                (if (i32.eqz (local.get 0)) (then
                    (return (i64.sub (local.get 1) (local.get 9)) (local.get 8))))
                (return_call_indirect (type $many) (i32.sub (local.get 0) (i32.const 1))
                    (local.get 1) (local.get 2) (local.get 3) (local.get 4) (local.get 5) (local.get 6)
                    (local.get 7) (f64.add (local.get 8) (f64.const 1)) (local.get 9) (i32.const 0))))
    "#;
    for (mode, engine) in
        mixes(2).chain(modes().into_iter().map(|(name, config)| {
            (name.to_string(), Engine::new(&config).expect("the configuration is valid"))
        }))
    {
        let mut store = Store::new(&engine, ());
        let back = instance(&mut store, caller);
        let mut linker = Linker::new(&engine);
        linker.instance(&mut store, "", back).unwrap();
        let there = linker.instantiate(&mut store, &module(&engine, callee)).unwrap();
        let func = there.get_func(&store, "there").unwrap();
        back.get_table(&store, "t").unwrap().set(&mut store, 0, Some(func).into()).unwrap();
        let run = back.get_func(&store, "back").unwrap();
        type Params = (i32, i64, i64, i64, i64, i64, i64, i64, f64, i64);
        let run = run.typed::<Params, (i64, f64)>(&store).unwrap();
        let rounds = 50_000;
        let (difference, count) = run.call(&mut store, (rounds, 1, 2, 3, 4, 5, 6, 7, 0.0, 9)).unwrap();
        // Eight values go round; 50,000 is a multiple of eight.
        assert_eq!((difference, count), (1 - 9, f64::from(rounds)), "{mode}");
        let count = there.get_typed_func::<(), i64>(&store, "count").unwrap();
        assert_eq!(count.call(&mut store, ()).unwrap(), i64::from(rounds), "{mode}");
    }
}

#[test]
pub fn deep_mutual_recursion_ends_in_a_trap_in_every_mix() {
    let text = r#"
        (module
            (func $even (export "even") (param i32) (result i32)
                (if (result i32) (i32.eqz (local.get 0)) (then (i32.const 1))
                    (else (call $odd (i32.sub (local.get 0) (i32.const 1))))))
            (func $odd (param i32) (result i32)
                (if (result i32) (i32.eqz (local.get 0)) (then (i32.const 0))
                    (else (call $even (i32.sub (local.get 0) (i32.const 1)))))))
    "#;
    for (mode, engine) in mixes(2) {
        let mut store = Store::new(&engine, ());
        let instance = instance(&mut store, text);
        let even = instance.get_typed_func::<i32, i32>(&store, "even").unwrap();
        for _ in 0..3 {
            assert_eq!(even.call(&mut store, 1001).unwrap(), 0, "{mode}");
            let error = even.call(&mut store, 100_000_000).unwrap_err();
            assert_eq!(code(&error), TrapCode::StackOverflow, "{mode}");
            let frames = error.backtrace().expect("frames").frames();
            assert!(frames.len() > 10, "{mode}: {error}");
            let alternate = frames.windows(2).all(|pair| pair[0].func_index() != pair[1].func_index());
            assert!(alternate, "{mode}: {error}");
        }
    }
}

/// A trap under five functions, each called in another way.
const CHAIN: &str = r#"
    (module
        (type $f (func (param i32 i32) (result i32)))
        (import "" "host" (func $host (type $f)))
        (table funcref (elem $two))
        (elem declare func $three)
        (memory 1)
        (global $next (mut (ref null $f)) (ref.null $f))
        (func $zero (export "run") (type $f)
            (i32.add (i32.const 1) (call $one (local.get 0) (local.get 1))))
        (func $one (type $f)
            (i32.add (i32.const 1)
                (call_indirect (type $f) (local.get 0) (local.get 1) (i32.const 0))))
        (func $two (type $f)
            (global.set $next (ref.func $three))
            (i32.add (i32.const 1) (call_ref $f (local.get 0) (local.get 1) (global.get $next))))
        (func $three (type $f) (i32.add (i32.const 1) (call $host (local.get 0) (local.get 1))))
        (func $four (export "four") (type $f)
            (block $divide (block $load (block $convert (block $unreachable (block $null
                (br_table $divide $load $convert $unreachable $null (local.get 1)))
                (return (i32.add (i32.const 1) (call_ref $f (i32.const 0) (i32.const 0) (ref.null $f)))))
                (unreachable))
                (return (i32.trunc_f64_s (f64.const 1e20))))
                (return (i32.load (i32.sub (local.get 0) (i32.const 1)))))
            (i32.div_s (i32.const 1) (local.get 0))))
"#;

#[test]
pub fn backtraces_through_mixed_frames_are_those_of_the_interpreter() {
    type Trapped = (TrapCode, Vec<(u32, Option<usize>)>);
    let run = |engine: &Engine| -> Vec<Trapped> {
        let mut linker = Linker::<Option<Func>>::new(engine);
        linker
            .func_wrap("", "host", |mut caller: crescendo::Caller<'_, Option<Func>>, a: i32, b: i32| {
                let four = caller.data().expect("it was set");
                four.typed::<(i32, i32), i32>(&caller)?.call(&mut caller, (a, b))
            })
            .unwrap();
        let mut store = Store::new(engine, None);
        let instance = linker.instantiate(&mut store, &module(engine, CHAIN)).unwrap();
        *store.data_mut() = instance.get_func(&mut store, "four");
        let run = instance.get_typed_func::<(i32, i32), i32>(&store, "run").unwrap();
        (0..5)
            .map(|which| {
                let error = run.call(&mut store, (0, which)).unwrap_err();
                let frames = error.backtrace().expect("frames").frames();
                let frames = frames.iter().map(|frame| (frame.func_index(), frame.module_offset())).collect();
                (code(&error), frames)
            })
            .collect()
    };
    let expected = run(&engine(Tiering::new(TieringMode::InterpreterOnly)));
    assert_eq!(expected[0].1.len(), 5, "{expected:?}");
    for (mode, engine) in mixes(6) {
        // The first run of each call is interpreted, later ones are native.
        for round in 0..2 {
            assert_eq!(run(&engine), expected, "{mode}, round {round}");
        }
    }
}

/// Loops three deep behind conditions, with operands below them, multi-value blocks and two memories.
const LOOPS: &str = r#"
    (module
        (memory $a 1) (memory $b 1)
        (func (export "run") (param $n i32) (result i64 f64)
            (local $i i32) (local $j i32) (local $k i32) (local $sum i64) (local $f f64)
            (i64.const 1000)
            (loop $outer
                (f64.const 0.25)
                (if (i32.and (local.get $i) (i32.const 1))
                    (then
                        (i32.const 7) (i64.const 5)
                        (loop $middle (param i32 i64) (result i32 i64)
                            (local.set $k (i32.const 0))
                            (loop $inner
                                (i32.store8 $a (local.get $k) (local.get $i))
                                (i32.store8 $b (local.get $k) (i32.load8_u $a (local.get $k)))
                                (local.set $sum (i64.add (local.get $sum)
                                    (i64.load8_u $b (local.get $k))))
                                (br_if $inner (i32.lt_u
                                    (local.tee $k (i32.add (local.get $k) (i32.const 1)))
                                    (i32.const 10))))
                            (i64.add (i64.const 3))
                            (local.set $j (i32.add (local.get $j) (i32.const 1)))
                            (br_if $middle (i32.and (local.get $j) (i32.const 3))))
                        (local.set $sum (i64.add (local.get $sum)))
                        (i64.extend_i32_u)
                        (local.set $sum (i64.add (local.get $sum)))))
                (local.set $f (f64.add (local.get $f)))
                (br_if $outer (i32.lt_u
                    (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $n))))
            (i64.add (local.get $sum))
            (local.get $f)))
"#;

#[test]
pub fn loops_in_loops_are_taken_over_in_the_middle() {
    let run = |engine: &Engine, n: i32| {
        let mut store = Store::new(engine, ());
        let instance = instance(&mut store, LOOPS);
        instance.get_typed_func::<i32, (i64, f64)>(&store, "run").unwrap().call(&mut store, n).unwrap()
    };
    for n in [1, 2, 3, 10, 101, 1000] {
        let expected = run(&engine(Tiering::new(TieringMode::InterpreterOnly)), n);
        for iterations in [1, 2, 3, 5, 7, 30, 100, 400] {
            let tiering = Tiering::new(TieringMode::Synchronous).calls(1 << 20).iterations(iterations);
            assert_eq!(run(&engine(tiering.clone()), n), expected, "{n} rounds, {iterations} iterations");
            let mut config = Config::new();
            config.tiering(tiering).signals_based_traps(false).fusion(false);
            let engine = Engine::new(&config).unwrap();
            assert_eq!(run(&engine, n), expected, "{n} rounds, {iterations} iterations, checked");
        }
    }
}

#[test]
fn taken_over_frames_tail_call_and_trap() {
    let text = r#"
        (module
            (func $next (param i32 i32 i32) (result i32)
                (i32.add (local.get 0) (i32.mul (local.get 1) (local.get 2))))
            (func (export "tail") (param $n i32) (result i32)
                (loop $l (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
                (return_call $next (i32.const 1) (i32.const 2) (i32.const 3)))
            (func (export "trap") (param $n i32) (result i32)
                (loop $l (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
                (unreachable)))
    "#;
    for tiering in [at_once(TieringMode::Synchronous), Tiering::new(TieringMode::InterpreterOnly)] {
        let engine = engine(tiering.mask(|func| func != 0));
        let mut store = Store::new(&engine, ());
        let instance = instance(&mut store, text);
        let func = |name| instance.get_typed_func::<i32, i32>(&store, name).unwrap();
        let (tail, trap) = (func("tail"), func("trap"));
        assert_eq!(tail.call(&mut store, 100).unwrap(), 7);
        let error = trap.call(&mut store, 100).unwrap_err();
        assert_eq!(code(&error), TrapCode::UnreachableCodeReached);
        assert_eq!(error.backtrace().unwrap().frames().len(), 1, "{error}");
    }
}

#[test]
pub fn a_deadline_ends_guests_in_every_mode() {
    let text = r#"
        (module
            (func (export "loop") (loop $l (br $l)))
            (func $recurse (param i32) (if (local.get 0) (then (call $recurse (i32.sub (local.get 0) (i32.const 1))))))
            (func (export "calls") (loop $l (call $recurse (i32.const 5)) (br $l))))
    "#;
    for (mode, mut config) in modes() {
        let engine = Engine::new(config.epoch_interruption(true)).unwrap();
        let module = module(&engine, text);
        for name in ["loop", "calls"] {
            let mut store = Store::new(&engine, ());
            store.set_epoch_deadline(1);
            let instance = Instance::new(&mut store, &module, &[]).unwrap();
            let func = instance.get_typed_func::<(), ()>(&store, name).unwrap();
            let ticking = engine.clone();
            let clock = std::thread::spawn(move || {
                std::thread::sleep(std::time::Duration::from_millis(30));
                ticking.increment_epoch();
            });
            let error = func.call(&mut store, ()).unwrap_err();
            assert_eq!(code(&error), TrapCode::Interrupt, "{mode} {name}");
            clock.join().unwrap();
        }
    }
}

#[test]
fn a_callback_moves_the_deadline_and_may_call_guests() {
    let text = r#"
        (module
            (memory (export "m") 1)
            (func (export "run") (param i32) (result i32)
                (loop $l
                    (if (i32.load (i32.const 0)) (then (return (i32.add (local.get 0) (i32.const 1)))))
                    (br $l))
                (unreachable))
            (func (export "finish") (param i32) (i32.store (i32.const 0) (local.get 0))))
    "#;
    for (mode, mut config) in modes() {
        let engine = Engine::new(config.epoch_interruption(true)).unwrap();
        let mut store = Store::new(&engine, 0);
        store.set_epoch_deadline(1000);
        let instance = instance(&mut store, text);
        let finish = instance.get_typed_func::<i32, ()>(&store, "finish").unwrap();
        let run = instance.get_typed_func::<i32, i32>(&store, "run").unwrap();
        store.epoch_deadline_callback(move |mut store| {
            *store.data_mut() += 1;
            match *store.data() {
                1..3 => Ok(UpdateDeadline::Continue(0)),
                3 => {
                    store.set_epoch_deadline(1000);
                    finish.call(&mut store, 1)?;
                    Ok(UpdateDeadline::Continue(1000))
                }
                4 => Ok(UpdateDeadline::Interrupt),
                _ => Err(Error::msg("enough")),
            }
        });
        store.set_epoch_deadline(0);
        assert_eq!(run.call(&mut store, 41).unwrap(), 42, "{mode}");
        store.set_epoch_deadline(0);
        assert_eq!(code(&run.call(&mut store, 1).unwrap_err()), TrapCode::Interrupt, "{mode}");
        let error = run.call(&mut store, 1).unwrap_err();
        assert!(error.to_string().contains("enough"), "{mode}: {error}");
        store.epoch_deadline_trap();
        assert_eq!(code(&run.call(&mut store, 1).unwrap_err()), TrapCode::Interrupt, "{mode}");
    }
}

#[test]
fn code_that_finds_no_room_makes_room() {
    // Many functions and a budget for a few: the oldest go back to the interpreter, and all go on working.
    let count = 60;
    let functions: String = (0..count)
        .map(|n| {
            format!(
                "(func (export \"f{n}\") (param i32) (result i32) (i32.add (local.get 0) (i32.const {n})))"
            )
        })
        .collect();
    let text = format!("(module {functions})");
    for mode in [TieringMode::Synchronous, TieringMode::Dynamic] {
        let budget = 200;
        let engine = engine(at_once(mode).code_budget(budget));
        let mut store = Store::new(&engine, ());
        let module = module(&engine, &text);
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        for round in 0..20 {
            for n in 0..count {
                let func = instance.get_typed_func::<i32, i32>(&store, &format!("f{n}")).unwrap();
                for _ in 0..3 {
                    assert_eq!(func.call(&mut store, round).unwrap(), round + n);
                }
            }
        }
        let report = module.tiering_report();
        let bytes: usize = report.functions.iter().map(|function| function.code_bytes).sum();
        let compiled = report.functions.iter().filter(|function| function.state == "compiled").count();
        assert!(bytes < budget + 100 && compiled < count as usize, "{report}");
        assert!(mode == TieringMode::Dynamic || compiled > 0, "{report}");
    }
}

#[test]
fn a_function_that_may_not_be_compiled_stays_interpreted() {
    let text = r#"
        (module (func (export "run") (param i32) (result i32) (local i32)
            (loop $l
                (local.set 1 (i32.add (local.get 1) (local.get 0)))
                (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
            (local.get 1)))
    "#;
    for tiering in [
        at_once(TieringMode::Synchronous).max_function_bytes(1),
        at_once(TieringMode::Synchronous).mask(|_| false),
        at_once(TieringMode::Dynamic).max_function_bytes(1),
        Tiering::new(TieringMode::Eager).mask(|_| false),
    ] {
        let engine = engine(tiering);
        let mut store = Store::new(&engine, ());
        let module = module(&engine, text);
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        let run = instance.get_typed_func::<i32, i32>(&store, "run").unwrap();
        for _ in 0..3 {
            assert_eq!(run.call(&mut store, 1000).unwrap(), 500_500);
        }
        let report = module.tiering_report();
        let [function] = &report.functions[..] else { panic!("{report}") };
        assert!(function.state.starts_with("refused") && function.code_bytes == 0, "{report}");
    }
}

#[test]
fn a_body_with_many_locals_counts_as_larger() {
    let state = |locals: usize, most: u32| {
        let engine = engine(Tiering::new(TieringMode::Eager).max_function_bytes(most));
        let text = format!("(module (func (export \"run\") (local {})))", "i32 ".repeat(locals));
        let module = module(&engine, &text);
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        instance.get_typed_func::<(), ()>(&store, "run").unwrap().call(&mut store, ()).unwrap();
        let [function] = &module.tiering_report().functions[..] else { panic!("one function") };
        function.state.clone()
    };
    // A body of 5 bytes.
    assert_eq!(state(256, 5), "compiled");
    assert_eq!(state(257, 4), "refused: its body is too large");
    assert_eq!(state(308, 5), "refused: its body is too large for so many locals");
    assert_eq!(state(308, 6), "compiled");
}

#[test]
fn optimised_code_takes_the_place_of_baseline_code() {
    let text =
        r#"(module (func (export "run") (param i32) (result i32) (i32.mul (local.get 0) (i32.const 3))))"#;
    // The guest calls until the last stage is reached.
    let stages = |tiering: Tiering, last: &str| {
        let engine = engine(tiering.calls(1).baseline(Baseline::Always));
        let mut store = Store::new(&engine, ());
        let module = module(&engine, text);
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        let run = instance.get_typed_func::<i32, i32>(&store, "run").unwrap();
        let started = Instant::now();
        loop {
            assert_eq!(run.call(&mut store, 14).unwrap(), 42);
            let state = module.tiering_report().functions[0].state.clone();
            if state == last {
                break;
            }
            assert!(started.elapsed() < Duration::from_secs(60), "it is still {state}");
        }
        assert_eq!(run.call(&mut store, 14).unwrap(), 42);
    };
    stages(Tiering::new(TieringMode::Dynamic), "compiled");
    stages(Tiering::new(TieringMode::Dynamic).workers(1), "compiled");
    // In these modes code is made once.
    stages(Tiering::new(TieringMode::Synchronous), "baseline");
    stages(Tiering::new(TieringMode::Eager), "baseline");
}

#[test]
fn the_report_says_what_happened() {
    let text = r#"
        (module (func $sum (export "run") (param i32) (result i32) (local i32)
            (loop $l
                (local.set 1 (i32.add (local.get 1) (local.get 0)))
                (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
            (local.get 1)))
    "#;
    let engine = engine(Tiering::new(TieringMode::Synchronous).calls(3).iterations(100));
    let mut store = Store::new(&engine, ());
    let module = module(&engine, text);
    let instance = Instance::new(&mut store, &module, &[]).unwrap();
    let run = instance.get_typed_func::<i32, i32>(&store, "run").unwrap();
    let state = |module: &Module| {
        let report = module.tiering_report();
        let [function] = &report.functions[..] else { panic!("{report}") };
        (function.state.clone(), function.loops.len(), function.code_bytes > 0)
    };
    assert!(module.tiering_report().functions.is_empty());
    run.call(&mut store, 10).unwrap();
    assert_eq!(state(&module), ("interpreted".to_string(), 0, false));
    run.call(&mut store, 1000).unwrap();
    assert_eq!(state(&module), ("interpreted".to_string(), 1, true));
    run.call(&mut store, 1).unwrap();
    run.call(&mut store, 1).unwrap();
    assert_eq!(state(&module), ("compiled".to_string(), 1, true));
    let report = module.tiering_report();
    let function = &report.functions[0];
    assert_eq!((function.func_index, function.name.as_deref()), (0, Some("sum")));
    assert_eq!(function.loops[0].entries, 1);
    assert!(function.heat >= 103 && function.wasm_bytes > 10, "{report}");
    assert!(report.to_string().contains("sum"), "{report}");
}

#[test]
fn a_panic_of_the_host_unwinds_through_native_code() {
    let text = r#"
        (module
            (import "" "panic" (func $panic (param i32)))
            (func $inner (param i32) (call $panic (local.get 0)))
            (func (export "run") (param i32) (call $inner (local.get 0))))
    "#;
    for (mode, engine) in mixes(3) {
        let mut linker = Linker::<()>::new(&engine);
        linker
            .func_wrap("", "panic", |n: i32| {
                if n == 42 {
                    std::panic::resume_unwind(Box::new(n));
                }
            })
            .unwrap();
        let mut store = Store::new(&engine, ());
        let instance = linker.instantiate(&mut store, &module(&engine, text)).unwrap();
        let run = instance.get_typed_func::<i32, ()>(&store, "run").unwrap();
        for _ in 0..3 {
            run.call(&mut store, 1).unwrap();
            let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run.call(&mut store, 42)));
            assert_eq!(panic.unwrap_err().downcast_ref::<i32>(), Some(&42), "{mode}");
        }
    }
}

/// For a process in which the system refuses executable memory.
pub fn interpreted_where_code_is_refused() {
    for mode in [TieringMode::Synchronous, TieringMode::Dynamic, TieringMode::Eager] {
        let engine = engine(at_once(mode));
        let mut store = Store::new(&engine, ());
        let module = module(&engine, LOOPS);
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        let run = instance.get_typed_func::<i32, (i64, f64)>(&store, "run").unwrap();
        assert!(run.call(&mut store, 100).unwrap().0 > 0);
        let report = module.tiering_report();
        let [function] = &report.functions[..] else { panic!("{report}") };
        assert!(function.code_bytes == 0, "{report}");
        let refused = |state: &str| state.starts_with("refused");
        let all = function.loops.iter().all(|entry| refused(&entry.state));
        // In the background it may take until after the call.
        assert!(
            mode == TieringMode::Dynamic || all && (refused(&function.state) || !function.loops.is_empty())
        );
    }
}
