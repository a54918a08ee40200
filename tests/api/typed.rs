//! Typed calls in both directions.

use crate::setup::{engines, instance, module};
use crescendo::{
    Caller, Engine, Error, ExternRef, Func, FuncType, Linker, Result, Store, Trap, TrapCode, TypedFunc, Val,
    ValType, WasmResults,
};

/// A guest with one function per type that gives its parameter back.
const ECHO: &str = r#"(module
    (func (export "i32") (param i32) (result i32) local.get 0)
    (func (export "i64") (param i64) (result i64) local.get 0)
    (func (export "f32") (param f32) (result f32) local.get 0)
    (func (export "f64") (param f64) (result f64) local.get 0)
    (func (export "func") (param funcref) (result funcref) local.get 0)
    (func (export "non-null func") (param (ref func)) (result (ref func)) local.get 0)
    (func (export "extern") (param externref) (result externref) local.get 0)
    (func (export "non-null extern") (param (ref extern)) (result (ref extern)) local.get 0))"#;

#[test]
fn numbers_pass_through_the_guest_unchanged() {
    for (mode, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let echo = instance(&mut store, ECHO);
        macro_rules! check {
            ($name:literal: $type:ty, $($value:expr),*) => {
                let func = echo.get_typed_func::<$type, $type>(&mut store, $name).unwrap();
                for value in [$($value),*] {
                    let result = func.call(&mut store, value).unwrap();
                    assert_eq!(result.to_ne_bytes(), <$type>::to_ne_bytes(value), "{} in mode {mode}", $name);
                }
            };
        }
        check!("i32": i32, 0, -1, i32::MIN, i32::MAX);
        check!("i32": u32, 0, 1 << 31, u32::MAX);
        check!("i64": i64, 0, -1, i64::MIN, i64::MAX);
        check!("i64": u64, 0, 1 << 63, u64::MAX);
        check!("f32": f32, 0.0, -0.0, 1.5, f32::INFINITY, f32::from_bits(0x7fa0_0001));
        check!("f64": f64, 0.0, -0.0, 1.5, f64::INFINITY, f64::from_bits(0x7ff4_0000_0000_0001));
    }
}

#[test]
fn references_pass_through_the_guest_unchanged() {
    for (mode, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let echo = instance(&mut store, ECHO);
        let seven = Func::wrap(&mut store, || 7);
        let call_it = |store: &mut Store<()>, func: Func| {
            func.typed::<(), i32>(&*store).and_then(|func| func.call(store, ()))
        };

        let func = echo.get_typed_func::<Option<Func>, Option<Func>>(&mut store, "func").unwrap();
        assert!(func.call(&mut store, None).unwrap().is_none(), "{mode}");
        let result = func.call(&mut store, Some(seven)).unwrap().unwrap();
        assert_eq!(call_it(&mut store, result).unwrap(), 7, "{mode}");
        let func = echo.get_typed_func::<Func, Func>(&mut store, "non-null func").unwrap();
        let result = func.call(&mut store, seven).unwrap();
        assert_eq!(call_it(&mut store, result).unwrap(), 7, "{mode}");

        let value = ExternRef::new(&mut store, "seven").unwrap();
        let func = echo.get_typed_func::<Option<ExternRef>, Option<ExternRef>>(&mut store, "extern").unwrap();
        assert_eq!(func.call(&mut store, None).unwrap(), None, "{mode}");
        assert_eq!(func.call(&mut store, Some(value)).unwrap(), Some(value), "{mode}");
        let func = echo.get_typed_func::<ExternRef, ExternRef>(&mut store, "non-null extern").unwrap();
        let result = func.call(&mut store, value).unwrap();
        assert_eq!(result.data(&store).unwrap().downcast_ref(), Some(&"seven"), "{mode}");
    }
}

#[test]
fn every_arity_passes_through_guest_and_host() {
    macro_rules! echo {
        ($store:ident, $mode:ident, $count:literal $($arg:ident)*) => {{
            let types = "i64 ".repeat($count);
            let gets: String = (0..$count).map(|local| format!("local.get {local} ")).collect();
            let text = format!(
                r#"(module
                    (import "host" "echo" (func $host (param {types}) (result {types})))
                    (func (export "guest") (param {types}) (result {types}) {gets} call $host))"#
            );
            let module = module($store.engine(), &text);
            let host = Func::wrap(&mut $store, |$($arg: i64),*| ($($arg,)*));
            let guest = Linker::new($store.engine())
                .define(&$store, "host", "echo", host)
                .and_then(|linker| linker.instantiate(&mut $store, &module))
                .unwrap();
            let mut next = 0_i64;
            $(
                next += 1;
                let $arg = -next;
            )*
            let guest = guest.get_func(&mut $store, "guest").unwrap();
            let args = ($($arg,)*);
            assert_eq!(same(&mut $store, guest, args), args, "{} values in mode {}", $count, $mode);
            assert_eq!(same(&mut $store, host, args), args, "{} values past the guest", $count);
        }};
    }

    /// The results of a function whose results have the types of its parameters.
    fn same<P: WasmResults>(store: &mut Store<()>, func: Func, params: P) -> P {
        let func: TypedFunc<P, P> = func.typed(&*store).unwrap();
        func.call(store, params).unwrap()
    }

    for (mode, engine) in engines() {
        let mut store = Store::new(&engine, ());
        echo!(store, mode, 1 a);
        echo!(store, mode, 2 a b);
        echo!(store, mode, 3 a b c);
        echo!(store, mode, 4 a b c d);
        echo!(store, mode, 5 a b c d e);
        echo!(store, mode, 8 a b c d e f g h);
        echo!(store, mode, 12 a b c d e f g h i j k l);
    }
}

#[test]
fn sixteen_values_are_the_most() {
    let mut store = Store::new(&Engine::default(), ());
    let types = "i32 ".repeat(16);
    let text = format!(
        r#"(module (func (export "f") (param {types}) (result i32) local.get 0 i32.const 4 i32.shl local.get 15 i32.or))"#
    );
    let instance = instance(&mut store, &text);
    type I = i32;
    let func = instance
        .get_typed_func::<(I, I, I, I, I, I, I, I, I, I, I, I, I, I, I, I), I>(&mut store, "f")
        .unwrap();
    let result = func.call(&mut store, (1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2)).unwrap();
    assert_eq!(result, 0x12);
}

#[test]
fn many_results_for_few_parameters_and_the_reverse() {
    for (mode, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let instance = instance(
            &mut store,
            r#"(module
                (func (export "spread") (result i32 i64 f32 f64)
                    i32.const 1 i64.const 2 f32.const 3 f64.const 4)
                (func (export "sum") (param i32 i32 i32 i32) (result i32)
                    local.get 0 local.get 1 local.get 2 local.get 3 i32.add i32.add i32.add)
                (func (export "drop") (param i64 i64 i64)))"#,
        );
        let spread = instance.get_typed_func::<(), (i32, i64, f32, f64)>(&mut store, "spread").unwrap();
        assert_eq!(spread.call(&mut store, ()).unwrap(), (1, 2, 3.0, 4.0), "{mode}");
        let sum = instance.get_typed_func::<(i32, i32, i32, i32), i32>(&mut store, "sum").unwrap();
        assert_eq!(sum.call(&mut store, (1, 10, 100, 1000)).unwrap(), 1111, "{mode}");
        let drop = instance.get_typed_func::<(i64, i64, i64), ()>(&mut store, "drop").unwrap();
        drop.call(&mut store, (1, 2, 3)).unwrap();
    }
}

#[test]
fn closures_may_return_all_that_wasm_ret_names() {
    let mut store = Store::new(&Engine::default(), 5);
    let call = |store: &mut Store<i32>, func: Func, x: i32| -> Result<i32> {
        func.typed::<i32, i32>(&*store)?.call(store, x)
    };
    let plain = Func::wrap(&mut store, |x: i32| x + 1);
    let one_tuple = Func::wrap(&mut store, |x: i32| (x + 2,));
    let with_caller = Func::wrap(&mut store, |caller: Caller<'_, i32>, x: i32| *caller.data() + x);
    let result = Func::wrap(&mut store, |x: i32| -> Result<i32> {
        if x < 0 { Err(Error::msg("negative")) } else { Ok(x) }
    });
    let trap = Func::wrap(&mut store, |x: i32| -> Result<(i32,), Trap> {
        if x < 0 { Err(Trap::new(TrapCode::IntegerOverflow)) } else { Ok((x,)) }
    });
    let io = Func::wrap(&mut store, |_: Caller<'_, i32>, x: i32| -> Result<i32, std::io::Error> {
        if x < 0 { Err(std::io::ErrorKind::BrokenPipe.into()) } else { Ok(x) }
    });
    for (func, expected) in [(plain, 4), (one_tuple, 5), (with_caller, 8), (result, 3), (trap, 3), (io, 3)] {
        assert_eq!(call(&mut store, func, 3).unwrap(), expected);
    }
    assert_eq!(call(&mut store, result, -1).unwrap_err().to_string(), "negative");
    let error = call(&mut store, trap, -1).unwrap_err();
    assert_eq!(error.trap().map(|trap| trap.code()), Some(TrapCode::IntegerOverflow));
    let error = call(&mut store, io, -1).unwrap_err();
    assert_eq!(error.downcast_ref::<std::io::Error>().unwrap().kind(), std::io::ErrorKind::BrokenPipe);

    let unit = Func::wrap(&mut store, |mut caller: Caller<'_, i32>| *caller.data_mut() += 1);
    unit.typed::<(), ()>(&store).unwrap().call(&mut store, ()).unwrap();
    assert_eq!(*store.data(), 6);
}

#[test]
fn types_of_wrapped_closures_follow_from_rust() {
    let mut store = Store::new(&Engine::default(), ());
    let func = Func::wrap(
        &mut store,
        |_: i32, _: u32, _: i64, _: u64, _: f32, _: f64, _: Option<Func>, _: Option<ExternRef>| {
            (1_i32, 2_f64)
        },
    );
    use ValType::{F32, F64, I32, I64};
    let expected = FuncType::new(
        [I32, I32, I64, I64, F32, F64, ValType::FUNCREF, ValType::EXTERNREF],
        [ValType::I32, ValType::F64],
    );
    assert_eq!(func.ty(&store), expected);
}

#[test]
fn a_function_of_another_type_is_refused() {
    let mut store = Store::new(&Engine::default(), ());
    let func = Func::wrap(&mut store, |_: i32, _: Option<Func>| -> i64 { 0 });
    let message = |result: Result<()>| result.unwrap_err().to_string();
    let typed = |result| message(result);
    assert!(func.typed::<(u32, Option<Func>), u64>(&store).is_ok());
    assert_eq!(
        typed(func.typed::<i32, i64>(&store).map(drop)),
        "type mismatch: the function has 2 parameters, the Rust type has 1"
    );
    assert_eq!(
        typed(func.typed::<(i32, Option<Func>), ()>(&store).map(drop)),
        "type mismatch: the function has 1 result, the Rust type has 0"
    );
    assert_eq!(
        typed(func.typed::<(i64, Option<Func>), i64>(&store).map(drop)),
        "type mismatch: parameter 0 of the function is i32, the Rust type is i64"
    );
    assert_eq!(
        typed(func.typed::<(i32, Option<ExternRef>), i64>(&store).map(drop)),
        "type mismatch: parameter 1 of the function is (ref null func), the Rust type is (ref null extern)"
    );
    assert_eq!(
        typed(func.typed::<(i32, Option<Func>), f64>(&store).map(drop)),
        "type mismatch: result 0 of the function is i64, the Rust type is f64"
    );
    // A narrower parameter is fine, a narrower result is not.
    assert!(func.typed::<(i32, Func), i64>(&store).is_ok());
    let func = Func::wrap(&mut store, || None::<Func>);
    assert!(func.typed::<(), Func>(&store).is_err());
}

#[test]
fn references_to_narrower_parameters_are_checked_by_each_call() {
    let mut store = Store::new(&Engine::default(), ());
    let instance = instance(
        &mut store,
        r#"(module
            (type $t (func (result i32)))
            (func (export "call") (param (ref $t)) (result i32) local.get 0 call_ref $t)
            (func (export "is null") (param (ref null $t)) (result i32) local.get 0 ref.is_null))"#,
    );
    let call = instance.get_typed_func::<Option<Func>, i32>(&mut store, "call").unwrap();
    let is_null = instance.get_typed_func::<Option<Func>, i32>(&mut store, "is null").unwrap();
    let right = Func::wrap(&mut store, || 7);
    let wrong = Func::wrap(&mut store, || 7_i64);
    assert_eq!(call.call(&mut store, Some(right)).unwrap(), 7);
    assert_eq!(is_null.call(&mut store, Some(right)).unwrap(), 0);
    assert_eq!(is_null.call(&mut store, None).unwrap(), 1);
    assert!(call.call(&mut store, None).unwrap_err().to_string().contains("found a null funcref"));
    for func in [call, is_null] {
        let error = func.call(&mut store, Some(wrong)).unwrap_err().to_string();
        assert!(error.starts_with("type mismatch in parameter 0: expected (ref "), "{error}");
        assert!(error.ends_with("found a function of another type"), "{error}");
    }
}

#[test]
fn objects_of_another_store_are_refused() {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let mut other = Store::new(&engine, ());
    let func = Func::wrap(&mut store, |_: Option<Func>, _: Option<ExternRef>| ());
    let foreign_func = Func::wrap(&mut other, || ());
    let foreign_ref = ExternRef::new(&mut other, 1).unwrap();
    assert!(func.typed::<(Option<Func>, Option<ExternRef>), ()>(&other).is_err());
    let typed = func.typed::<(Option<Func>, Option<ExternRef>), ()>(&store).unwrap();
    assert!(typed.call(&mut other, (None, None)).is_err());
    assert!(typed.call(&mut store, (Some(foreign_func), None)).is_err());
    assert!(typed.call(&mut store, (None, Some(foreign_ref))).is_err());
    assert!(typed.call(&mut store, (None, None)).is_ok());

    // Neither may a host function hand one to its guest.
    let leak = Func::wrap(&mut store, move || Some(foreign_func));
    let leak = leak.typed::<(), Option<Func>>(&store).unwrap();
    assert!(leak.call(&mut store, ()).is_err());
}

#[test]
fn a_host_function_may_call_back_into_its_guest() {
    for (mode, engine) in engines() {
        let mut store = Store::new(&engine, 0_u32);
        let mut linker = Linker::new(&engine);
        let down = |mut caller: Caller<'_, u32>, n: i32| -> Result<i32> {
            *caller.data_mut() += 1;
            let Some(func) = caller.get_export("down").and_then(|item| item.into_func()) else {
                return Err(Error::msg("the guest exports no `down`"));
            };
            func.typed::<i32, i32>(&caller)?.call(&mut caller, n)
        };
        linker.func_wrap("host", "down", down).unwrap();
        let module = module(
            &engine,
            r#"(module
                (import "host" "down" (func $host (param i32) (result i32)))
                (func (export "down") (param i32) (result i32)
                    local.get 0
                    if (result i32)
                        local.get 0 i32.const 1 i32.sub call $host
                        i32.const 1 i32.add
                    else
                        i32.const 0
                    end))"#,
        );
        let instance = linker.instantiate(&mut store, &module).unwrap();
        let func = instance.get_typed_func::<i32, i32>(&mut store, "down").unwrap();
        assert_eq!(func.call(&mut store, 50).unwrap(), 50, "{mode}");
        assert_eq!(*store.data(), 50, "{mode}");
    }
}

#[test]
fn typed_and_untyped_calls_agree() {
    let mut store = Store::new(&Engine::default(), ());
    let func = Func::wrap(&mut store, |a: i32, b: f64| (b, a));
    let mut results = [Val::I32(0), Val::I32(0)];
    func.call(&mut store, &[Val::I32(-3), Val::from(0.5)], &mut results).unwrap();
    assert_eq!((results[0].f64(), results[1].i32()), (Some(0.5), Some(-3)));
    let typed = func.typed::<(i32, f64), (f64, i32)>(&store).unwrap();
    assert_eq!(typed.call(&mut store, (-3, 0.5)).unwrap(), (0.5, -3));
}
