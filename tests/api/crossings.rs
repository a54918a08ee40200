//! Calls between the host and guests, in every mix of tiers: arguments and results, traps, errors, panics, nesting.

use crate::setup::{engines, module};
use crescendo::{
    Caller, Config, Engine, Error, Extern, Func, FuncType, Instance, Linker, Result, Store, Tiering,
    TieringMode, TrapCode, TypedFunc, V128, Val, ValType, WasmBacktrace,
};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Engines that compile functions as the bits of a number say, synchronously; with signals and without.
fn mixes(functions: u32) -> impl Iterator<Item = (String, Engine)> {
    (0..2 << functions).map(move |bits: u32| {
        let mask = move |func| bits >> func & 1 == 1;
        let tiering = Tiering::new(TieringMode::Synchronous).calls(1).iterations(1).mask(mask);
        let signals = bits >> functions == 0;
        let engine = Engine::new(Config::new().tiering(tiering).signals_based_traps(signals));
        (format!("mask {bits:b}, signals: {signals}"), engine.expect("the configuration is valid"))
    })
}

fn code(error: &Error) -> TrapCode {
    error.trap().expect("a trap").code()
}

/// What host functions do at the bottom of a chain of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bottom {
    Return,
    Trap,
    Error,
    Panic,
}

/// `odd` and `even` call each other through the host, which counts levels.
const CHAIN: &str = r#"
    (module
        (import "h" "next" (func $next (param i32 i64) (result i64)))
        (memory 1)
        (func (export "even") (param i32 i64) (result i64)
            (i64.add (call $next (local.get 0) (local.get 1)) (i64.const 1)))
        (func (export "odd") (param i32 i64) (result i64)
            (i64.add (i64.const 100) (call $next (local.get 0) (local.get 1))))
        (func (export "trap") (param i32) (result i32) (i32.load (local.get 0)))
        (func (export "divide") (param i32) (result i32) (i32.div_u (i32.const 1) (local.get 0))))
"#;

struct Chain {
    bottom: Bottom,
    functions: Option<[TypedFunc<(i32, i64), i64>; 2]>,
    trap: Option<TypedFunc<i32, i32>>,
    frames: usize,
}

fn next(mut caller: Caller<'_, Chain>, levels: i32, sum: i64) -> Result<i64> {
    if levels > 0 {
        let [even, odd] = caller.data().functions.expect("the functions are there");
        let function = if levels % 2 == 0 { even } else { odd };
        return function.call(&mut caller, (levels - 1, sum + 1));
    }
    caller.data_mut().frames = WasmBacktrace::capture(&caller).frames().len();
    match caller.data().bottom {
        Bottom::Return => Ok(sum),
        Bottom::Trap => {
            let trap = caller.data().trap.expect("the function is there");
            trap.call(&mut caller, i32::MAX).map(i64::from)
        }
        Bottom::Error => Err(Error::msg("the bottom")),
        Bottom::Panic => resume_unwind(Box::new("the bottom")),
    }
}

fn chain(engine: &Engine) -> (Store<Chain>, TypedFunc<(i32, i64), i64>, Instance) {
    let mut linker = Linker::new(engine);
    linker.func_wrap("h", "next", next).unwrap();
    let data = Chain { bottom: Bottom::Return, functions: None, trap: None, frames: 0 };
    let mut store = Store::new(engine, data);
    let instance = linker.instantiate(&mut store, &module(engine, CHAIN)).unwrap();
    let even = instance.get_typed_func(&store, "even").unwrap();
    let odd = instance.get_typed_func(&store, "odd").unwrap();
    let trap = instance.get_typed_func(&store, "trap").unwrap();
    store.data_mut().functions = Some([even, odd]);
    store.data_mut().trap = Some(trap);
    (store, even, instance)
}

#[test]
fn chains_of_hosts_and_guests_end_in_every_way() {
    const LEVELS: i32 = 6;
    for (mode, engine) in mixes(4) {
        let (mut store, even, _) = chain(&engine);
        for round in 0..3 {
            for bottom in [Bottom::Return, Bottom::Trap, Bottom::Error, Bottom::Return, Bottom::Panic] {
                let at = format!("{mode}, round {round}, {bottom:?}");
                store.data_mut().bottom = bottom;
                let outcome = catch_unwind(AssertUnwindSafe(|| even.call(&mut store, (LEVELS, 0))));
                assert_eq!(store.data().frames, LEVELS as usize + 1, "{at}");
                assert!(WasmBacktrace::capture(&store).frames().is_empty(), "{at}");
                match (bottom, outcome) {
                    (Bottom::Return, Ok(Ok(sum))) => assert_eq!(sum, 6 + 3 * 100 + 4, "{at}"),
                    (Bottom::Trap, Ok(Err(error))) => {
                        assert_eq!(code(&error), TrapCode::MemoryOutOfBounds, "{at}");
                        let frames = error.backtrace().expect("it has frames").frames();
                        assert_eq!(frames.len(), LEVELS as usize + 2, "{at}");
                        assert_eq!(frames[0].func_index(), 3, "{at}");
                    }
                    (Bottom::Error, Ok(Err(error))) => {
                        assert!(error.to_string().contains("the bottom"), "{at}: {error}");
                    }
                    (Bottom::Panic, Err(payload)) => {
                        assert_eq!(payload.downcast_ref::<&str>(), Some(&"the bottom"), "{at}");
                    }
                    (_, outcome) => panic!("{at}: {:?}", outcome.map_err(|_| "a panic")),
                }
            }
        }
    }
}

#[test]
fn traps_of_functions_that_the_host_calls_leave_the_store_as_it_was() {
    for (mode, engine) in mixes(5) {
        let (mut store, even, instance) = chain(&engine);
        let trap = instance.get_typed_func::<i32, i32>(&store, "trap").unwrap();
        let divide = instance.get_typed_func::<i32, i32>(&store, "divide").unwrap();
        for _ in 0..3 {
            assert_eq!(trap.call(&mut store, 8).unwrap(), 0, "{mode}");
            let error = trap.call(&mut store, -8).unwrap_err();
            assert_eq!(code(&error), TrapCode::MemoryOutOfBounds, "{mode}");
            assert_eq!(error.backtrace().unwrap().frames().len(), 1, "{mode}");
            assert_eq!(
                code(&divide.call(&mut store, 0).unwrap_err()),
                TrapCode::IntegerDivisionByZero,
                "{mode}"
            );
            assert_eq!(divide.call(&mut store, 1).unwrap(), 1, "{mode}");
            assert_eq!(even.call(&mut store, (1, 0)).unwrap(), 102, "{mode}");
        }
    }
}

#[test]
fn runs_of_two_stores_alternate_on_one_thread() {
    // After a run of the inner store, traps are the outer one's again.
    let outer_text = r#"
        (module
            (import "h" "inner" (func $inner (param i32) (result i32)))
            (memory 1)
            (func (export "run") (param i32 i32) (result i32)
                (i32.add (call $inner (local.get 0)) (i32.load (local.get 1)))))
    "#;
    for (mode, engine) in mixes(4) {
        let (inner_store, _, instance) = chain(&engine);
        let trap = instance.get_typed_func::<i32, i32>(&inner_store, "trap").unwrap();
        let mut linker = Linker::new(&engine);
        let inner = move |mut caller: Caller<'_, Store<Chain>>, address: i32| {
            trap.call(caller.data_mut(), address).map_err(|error| code(&error)).map_or(-1, |value| value)
        };
        linker.func_wrap("h", "inner", inner).unwrap();
        let mut store = Store::new(&engine, inner_store);
        let instance = linker.instantiate(&mut store, &module(&engine, outer_text)).unwrap();
        let run = instance.get_typed_func::<(i32, i32), i32>(&store, "run").unwrap();
        for _ in 0..3 {
            assert_eq!(run.call(&mut store, (0, 0)).unwrap(), 0, "{mode}");
            assert_eq!(run.call(&mut store, (-1, 0)).unwrap(), -1, "{mode}");
            for address in [0, -1] {
                let error = run.call(&mut store, (address, -1)).unwrap_err();
                assert_eq!(code(&error), TrapCode::MemoryOutOfBounds, "{mode}");
                assert_eq!(error.backtrace().unwrap().frames()[0].func_index(), 1, "{mode}");
            }
            assert_eq!(trap.call(store.data_mut(), 4).unwrap(), 0, "{mode}");
        }
    }
}

/// A value of a type, with bits of its own.
fn value(ty: &ValType, number: u64) -> Val {
    let bits = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    match ty {
        ValType::I32 => Val::I32(bits as i32),
        ValType::I64 => Val::I64(bits as i64),
        ValType::F32 => Val::F32(f32::from_bits(bits as u32 & 0x3fff_ffff).to_bits()),
        ValType::F64 => Val::F64(bits & 0x3fff_ffff_ffff_ffff),
        _ => Val::V128(V128::from(u128::from(bits) << 64 | u128::from(!bits))),
    }
}

/// Comparable, whatever the type.
fn text_of(values: &[Val]) -> String {
    format!("{values:?}")
}

#[test]
fn values_of_every_type_and_number_arrive() {
    use ValType::{F32, F64, I32, I64, V128};
    let mut lists: Vec<Vec<ValType>> = vec![vec![]];
    for first in [I32, I64, F32, F64, V128] {
        lists.push(vec![first]);
        lists.push(vec![first, I32, F64, V128, I64, F32]);
        lists.push(vec![first; 9]);
        // More slots than native code passes on the native stack.
        lists.push(vec![first; 70]);
    }
    for (number, params) in lists.iter().enumerate() {
        // Not all pairs: each list on either side, the same on both, and neighbours.
        let pairs = [number, (number + 1) % lists.len(), lists.len() - 1 - number];
        for results in pairs.map(|number| &lists[number]) {
            let name = |types: &[ValType]| types.iter().map(|ty| format!(" {ty}")).collect::<String>();
            let gets = (0..params.len()).map(|i| format!("(local.get {i})")).collect::<String>();
            let ty = format!("(param{}) (result{})", name(params), name(results));
            let text = format!(
                r#"(module (import "h" "f" (func $f {ty})) (func (export "run") {ty} (call $f {gets})))"#
            );
            let given: Vec<Val> = (1..).zip(params).map(|(i, ty)| value(ty, i)).collect();
            let wanted: Vec<Val> = (1000..).zip(results).map(|(i, ty)| value(ty, i)).collect();
            for mode in [TieringMode::Eager, TieringMode::InterpreterOnly] {
                let engine = Engine::new(Config::new().tiering(Tiering::new(mode))).unwrap();
                let mut store = Store::new(&engine, ());
                let ty = FuncType::new(params.iter().copied(), results.iter().copied());
                let (expected, answer) = (text_of(&given), wanted.clone());
                let f = Func::new(&mut store, ty, move |_, params, results| {
                    assert_eq!(text_of(params), expected);
                    results.clone_from_slice(&answer);
                    Ok(())
                });
                let imports = [Extern::Func(f)];
                let instance = Instance::new(&mut store, &module(&engine, &text), &imports).unwrap();
                let run = instance.get_func(&store, "run").unwrap();
                for func in [run, f, run] {
                    let mut found = vec![Val::I32(0); results.len()];
                    func.call(&mut store, &given, &mut found).unwrap();
                    assert_eq!(text_of(&found), text_of(&wanted), "{mode:?}: {ty:?}", ty = func.ty(&store));
                }
            }
        }
    }
}

#[test]
fn wrapped_functions_get_their_first_parameter_and_give_their_first_result() {
    let text = r#"
        (module
            (import "h" "i" (func $i (param i32 i64) (result i64)))
            (import "h" "f" (func $f (param f32) (result f32)))
            (import "h" "d" (func $d (param f64 i32) (result f64 i32)))
            (import "h" "none" (func $none))
            (func (export "run") (param i32 i64 f32 f64) (result i64 f32 f64 i32)
                (call $none)
                (call $i (local.get 0) (local.get 1))
                (call $f (local.get 2))
                (call $d (local.get 3) (local.get 0))))
    "#;
    for (mode, engine) in engines() {
        let mut linker = Linker::<u32>::new(&engine);
        linker.func_wrap("h", "i", |a: i32, b: i64| i64::from(a) - b).unwrap();
        linker.func_wrap("h", "f", |a: f32| -a).unwrap();
        linker.func_wrap("h", "d", |a: f64, b: u32| (a * 2.0, b ^ 1)).unwrap();
        linker.func_wrap("h", "none", |mut caller: Caller<'_, u32>| *caller.data_mut() += 1).unwrap();
        let mut store = Store::new(&engine, 0);
        let instance = linker.instantiate(&mut store, &module(&engine, text)).unwrap();
        let run =
            instance.get_typed_func::<(i32, i64, f32, f64), (i64, f32, f64, i32)>(&store, "run").unwrap();
        for _ in 0..3 {
            let found = run.call(&mut store, (-4, 6, 1.5, 2.25)).unwrap();
            assert_eq!(found, (-10, -1.5, 4.5, -3), "{mode}");
        }
        assert_eq!(*store.data(), 3, "{mode}");
    }
}

/// Calls from a native stack that is so many frames deeper.
#[inline(never)]
fn call_below(frames: u32, store: &mut Store<Chain>, even: TypedFunc<(i32, i64), i64>) -> i64 {
    let room = std::hint::black_box([frames; 16]);
    match frames {
        0 => even.call(store, (2, 0)).unwrap(),
        _ => call_below(room[3] - 1, store, even) + i64::from(room[7] - frames),
    }
}

#[test]
fn a_store_is_entered_at_changing_depths_and_by_changing_threads() {
    for (mode, engine) in engines() {
        let (mut store, even, _) = chain(&engine);
        for round in 0..4 {
            for frames in [0, 7, 7, 100, 3, 0] {
                assert_eq!(call_below(frames, &mut store, even), 104, "{mode}");
            }
            let thread = std::thread::spawn(move || {
                let sum = call_below(round, &mut store, even);
                (store, sum)
            });
            let (back, sum) = thread.join().unwrap();
            store = back;
            assert_eq!(sum, 104, "{mode}");
        }
    }
}

#[test]
fn hosts_and_guests_that_call_each_other_without_end_run_out_of_stack() {
    for (mode, engine) in mixes(3) {
        let mut linker = Linker::<Option<TypedFunc<i32, i32>>>::new(&engine);
        let again = |mut caller: Caller<'_, Option<TypedFunc<i32, i32>>>, n: i32| {
            let run = caller.data().expect("the function is there");
            run.call(&mut caller, n + 1)
        };
        linker.func_wrap("h", "again", again).unwrap();
        let text = r#"
            (module
                (import "h" "again" (func $again (param i32) (result i32)))
                (func $other (param i32) (result i32) (call $again (local.get 0)))
                (func (export "run") (param i32) (result i32)
                    (i32.add (i32.const 1) (call $other (local.get 0)))))
        "#;
        let mut store = Store::new(&engine, None);
        let instance = linker.instantiate(&mut store, &module(&engine, text)).unwrap();
        let run = instance.get_typed_func::<i32, i32>(&store, "run").unwrap();
        *store.data_mut() = Some(run);
        for _ in 0..3 {
            assert_eq!(code(&run.call(&mut store, 0).unwrap_err()), TrapCode::StackOverflow, "{mode}");
        }
    }
}

/// What is `i32` in one function comes from half an `i64`, in the register that the other half stays in.
#[test]
fn the_upper_halves_of_narrow_values_say_nothing() {
    const TEXT: &str = r#"
        (module
            (import "h" "same" (func $same (param i32 f32 f32) (result i32)))
            (memory 1)
            (data (i32.const 16) "\2a")
            (table funcref (elem $narrow $load))
            (type $narrow (func (param i64) (result i32)))
            (type $load (func (param i32) (result i32)))
            (func $narrow (export "narrow") (type $narrow) (i32.wrap_i64 (local.get 0)))
            (func $load (export "load") (type $load) (i32.load (local.get 0)))
            (func $half (export "half") (param i64) (result f32)
                (f32.reinterpret_i32 (i32.wrap_i64 (local.get 0))))
            (func (export "result") (param i64) (result i32) (i32.load (call $narrow (local.get 0))))
            (func (export "param") (param i64) (result i32) (call $load (i32.wrap_i64 (local.get 0))))
            (func (export "table") (param i64) (result i32)
                (call_indirect (type $load)
                    (call_indirect (type $narrow) (local.get 0) (i32.const 0)) (i32.const 1)))
            (func (export "host") (param i64) (result i32)
                (i32.load (call $same (i32.wrap_i64 (local.get 0)) (call $half (local.get 0)) (f32.const 0)))))
    "#;
    let wide = 0x5555_5555_0000_0010_i64;
    for (mix, engine) in mixes(9) {
        let mut linker = Linker::new(&engine);
        let same = |number: i32, float: f32, zero: f32| {
            assert_eq!((float.to_bits(), zero.to_bits()), (16, 0));
            number
        };
        linker.func_wrap("h", "same", same).unwrap();
        let mut store = Store::new(&engine, ());
        let instance = linker.instantiate(&mut store, &module(&engine, TEXT)).unwrap();
        for _ in 0..3 {
            for name in ["result", "param", "table", "host"] {
                let function = instance.get_typed_func::<i64, i32>(&store, name).unwrap();
                assert_eq!(function.call(&mut store, wide).unwrap(), 42, "{mix}: {name}");
            }
            let narrow = instance.get_func(&store, "narrow").unwrap();
            let mut results = [Val::I32(0)];
            narrow.call(&mut store, &[Val::I64(wide)], &mut results).unwrap();
            assert_eq!(results[0].unwrap_i32(), 16, "{mix}");
            let half = instance.get_typed_func::<i64, f32>(&store, "half").unwrap();
            assert_eq!(half.call(&mut store, wide).unwrap().to_bits(), 16, "{mix}");
        }
    }
}
