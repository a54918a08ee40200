//! Exceptions: thrown and caught by guests and hosts, through frames of every kind.

use crate::setup::{engines, instance, modes, module};
use crescendo::{
    Caller, Config, Engine, Error, ExnRef, Extern, ExternType, Func, FuncType, Global, GlobalType, Instance,
    Linker, Module, Ref, Store, Table, TableType, Tag, TagType, ThrownException, Tiering, TieringMode,
    TrapCode, Val, ValType,
};

/// Engines that compile functions as the bits of a number say, synchronously.
fn mixes(functions: u32) -> impl Iterator<Item = (String, Engine)> {
    (0..1 << functions).map(|bits: u32| {
        let tiering = Tiering::new(TieringMode::Synchronous).calls(1).iterations(1);
        let mut config = Config::new();
        config.tiering(tiering.mask(move |func| bits >> func & 1 == 1)).wasm_legacy_exceptions(true);
        (format!("mask {bits:b}"), Engine::new(&config).expect("the configuration is valid"))
    })
}

fn thrown(error: &Error) -> &ThrownException {
    error.downcast_ref().unwrap_or_else(|| panic!("expected an exception, found {error}"))
}

fn tag_type(params: &[ValType]) -> TagType {
    TagType::new(FuncType::new(params.iter().copied(), []))
}

fn int(val: &Val) -> i32 {
    val.unwrap_i32()
}

/// Each function calls the next in another way; `$catch` looks at what comes out. The host calls `four`.
const CHAIN: &str = r#"
    (module
        (type $f (func (param i32 i32) (result i32)))
        (import "" "host" (func $host (type $f)))
        (tag $a (export "a") (param i32 f64))
        (tag $b (param i64))
        (table funcref (elem $two))
        (elem declare func $three)
        (memory 1)
        (global $next (mut (ref null $f)) (ref.null $f))
        (func $catch (export "run") (type $f) (local $kept i32)
            (local.set $kept (i32.const 1000))
            (block $a (result i32 f64)
                (block $b (result i64)
                    (block $any
                        (try_table (catch $a $a) (catch $b $b) (catch_all $any)
                            (local.set $kept (i32.const 2000))
                            (return (call $one (local.get 0) (local.get 1))))
                        (unreachable))
                    (return (i32.const -1)))
                (i32.wrap_i64)
                (i32.add (local.get $kept))
                (return))
            (i32.trunc_f64_s)
            (i32.add (local.get $kept))
            (i32.add))
        (func $one (type $f)
            (i32.add (i32.const 1)
                (call_indirect (type $f) (local.get 0) (local.get 1) (i32.const 0))))
        (func $two (type $f)
            (global.set $next (ref.func $three))
            (i32.add (i32.const 1) (call_ref $f (local.get 0) (local.get 1) (global.get $next))))
        (func $three (type $f) (i32.add (i32.const 1) (call $host (local.get 0) (local.get 1))))
        (func $four (export "four") (type $f)
            (block $trap (block $b (block $a (block $none
                (br_table $none $a $b $trap (local.get 1)))
                (return (local.get 0)))
                (throw $a (local.get 0) (f64.const 0.5)))
                (throw $b (i64.const 77)))
            (i32.load (i32.const -1))))
"#;

type HostStore = Store<Option<Func>>;

fn chain(engine: &Engine) -> (HostStore, Instance) {
    let mut linker = Linker::<Option<Func>>::new(engine);
    linker
        .func_wrap("", "host", |mut caller: Caller<'_, Option<Func>>, a: i32, b: i32| {
            let four = caller.data().expect("it was set");
            four.typed::<(i32, i32), i32>(&caller)?.call(&mut caller, (a, b))
        })
        .unwrap();
    let mut store = Store::new(engine, None);
    let instance = linker.instantiate(&mut store, &module(engine, CHAIN)).unwrap();
    *store.data_mut() = instance.get_func(&mut store, "four");
    (store, instance)
}

#[test]
fn exceptions_cross_frames_of_every_kind() {
    let modes = engines().into_iter().map(|(name, engine)| (name.to_string(), engine));
    for (mode, engine) in modes.chain(mixes(6)) {
        let (mut store, instance) = chain(&engine);
        let run = instance.get_typed_func::<(i32, i32), i32>(&store, "run").unwrap();
        // The first run of each call is interpreted, later ones are native.
        for round in 0..3 {
            let mut run = |which| run.call(&mut store, (40, which));
            assert_eq!(run(0).unwrap(), 43, "{mode}, round {round}");
            assert_eq!(run(1).unwrap(), 2040, "{mode}, round {round}");
            assert_eq!(run(2).unwrap(), 2077, "{mode}, round {round}");
            let error = run(3).unwrap_err();
            assert_eq!(error.trap().unwrap().code(), TrapCode::MemoryOutOfBounds, "{mode}: {error}");
        }
    }
}

#[test]
fn an_uncaught_exception_has_its_tag_its_values_and_a_backtrace() {
    let frames = |error: &Error| -> Vec<(u32, Option<usize>)> {
        let frames = error.backtrace().expect("frames").frames();
        frames.iter().map(|frame| (frame.func_index(), frame.module_offset())).collect()
    };
    let text = r#"
        (module
            (tag $t (export "t") (param i32 i64 f32 f64 externref))
            (func $one (param i32)
                (if (i32.eqz (local.get 0)) (then
                    (throw $t (i32.const 1) (i64.const -2) (f32.const 3) (f64.const 4) (ref.null extern))))
                (call $one (i32.sub (local.get 0) (i32.const 1))))
            (func (export "run") (param i32)
                (try_table (call $one (local.get 0)))))
    "#;
    let mut expected = None;
    for (mode, engine) in engines().into_iter().map(|(name, e)| (name.to_string(), e)).chain(mixes(2)) {
        let mut store = Store::new(&engine, ());
        let instance = instance(&mut store, text);
        let run = instance.get_typed_func::<i32, ()>(&store, "run").unwrap();
        let tag = instance.get_tag(&store, "t").unwrap();
        for _ in 0..2 {
            let error = run.call(&mut store, 3).unwrap_err();
            assert_eq!(thrown(&error).tag(), tag, "{mode}");
            let fields = thrown(&error).fields();
            assert_eq!((fields[0].i32(), fields[1].i64()), (Some(1), Some(-2)), "{mode}");
            assert_eq!((fields[2].f32(), fields[3].f64()), (Some(3.0), Some(4.0)), "{mode}");
            assert!(fields[4].unwrap_extern_ref().is_none(), "{mode}");
            assert_eq!(frames(&error).len(), 5, "{mode}: {error}");
            assert_eq!(frames(&error), *expected.get_or_insert_with(|| frames(&error)), "{mode}");
            assert!(store.has_pending_exception());
            let pending = store.take_pending_exception().expect("the exception is pending");
            assert_eq!(pending.tag(&store).unwrap(), tag);
            assert_eq!(pending.fields(&store).unwrap().len(), 5);
            assert!(store.take_pending_exception().is_none());
        }
    }
}

#[test]
fn hosts_throw_into_guests() {
    let text = r#"
        (module
            (import "" "t" (tag $t (param i32 i64)))
            (import "" "throw" (func $throw (param i32)))
            (import "" "fail" (func $fail))
            (func (export "caught") (param i32) (result i32 i64)
                (block $h (result i32 i64)
                    (try_table (catch $t $h) (call $throw (local.get 0)))
                    (i32.const 0) (i64.const 0)))
            (func (export "passed") (param i32) (call $throw (local.get 0)))
            (func (export "failed") (block $h (try_table (catch_all $h) (call $fail)))))
    "#;
    for (mode, engine) in engines().into_iter().map(|(name, e)| (name.to_string(), e)).chain(mixes(5)) {
        let mut store = Store::new(&engine, ());
        let tag = Tag::new(&mut store, &tag_type(&[ValType::I32, ValType::I64])).unwrap();
        let mut linker = Linker::new(&engine);
        linker.define(&store, "", "t", tag).unwrap();
        let throw = move |mut caller: Caller<'_, ()>, n: i32| -> crescendo::Result<()> {
            let exception = ExnRef::new(&mut caller, &tag, &[Val::I32(n), Val::I64(1 << 40)])?;
            if n < 0 { Ok(()) } else { caller.throw(exception) }
        };
        linker.func_wrap("", "throw", throw).unwrap();
        linker
            .func_wrap("", "fail", || -> crescendo::Result<()> { Err(Error::msg("no exception")) })
            .unwrap();
        let instance = linker.instantiate(&mut store, &module(&engine, text)).unwrap();
        let caught = instance.get_typed_func::<i32, (i32, i64)>(&store, "caught").unwrap();
        let passed = instance.get_typed_func::<i32, ()>(&store, "passed").unwrap();
        let failed = instance.get_typed_func::<(), ()>(&store, "failed").unwrap();
        for _ in 0..3 {
            assert_eq!(caught.call(&mut store, 5).unwrap(), (5, 1 << 40), "{mode}");
            assert!(!store.has_pending_exception(), "{mode}");
            assert_eq!(caught.call(&mut store, -5).unwrap(), (0, 0), "{mode}");
            let error = passed.call(&mut store, 6).unwrap_err();
            assert_eq!((thrown(&error).tag(), int(&thrown(&error).fields()[0])), (tag, 6), "{mode}");
            // An error of the host is no exception.
            let error = failed.call(&mut store, ()).unwrap_err();
            assert!(error.to_string().contains("no exception"), "{mode}: {error}");
        }
    }
}

#[test]
fn references_to_exceptions_go_everywhere() {
    let text = r#"
        (module
            (import "" "look" (func $look (param exnref) (result exnref)))
            (import "" "g" (global $imported (mut exnref)))
            (import "" "t" (table $imports 2 exnref))
            (tag $t (export "tag") (param i32))
            (tag $nested (param exnref i32))
            (global $g (mut exnref) (ref.null exn))
            (table $table 4 exnref)
            (func $make (param i32) (result exnref)
                (block $h (result i32 exnref)
                    (try_table (catch_ref $t $h) (throw $t (local.get 0)))
                    (unreachable))
                (local.set 0 (i32.const 0))
                (global.set $g)
                (drop)
                (global.get $g))
            (func (export "make") (param i32) (result exnref) (call $look (call $make (local.get 0))))
            (func $value (export "value") (param exnref) (result i32)
                (block $h (result i32)
                    (block $n (result exnref i32)
                        (try_table (catch $t $h) (catch $nested $n) (throw_ref (local.get 0)))
                        (unreachable))
                    (drop)
                    (call $value)))
            (func (export "nest") (param i32) (result i32)
                (block $n (result exnref i32)
                    (try_table (catch $nested $n)
                        (throw $nested (call $make (local.get 0)) (i32.const 5)))
                    (unreachable))
                (i32.mul (i32.const 100))
                (local.set 0)
                (call $value)
                (i32.add (local.get 0)))
            (func (export "keep") (param i32)
                (table.set $table (i32.const 1) (call $make (local.get 0)))
                (table.set $imports (i32.const 1) (call $make (i32.add (local.get 0) (i32.const 1))))
                (global.set $imported (call $make (i32.add (local.get 0) (i32.const 2))))
                (global.set $g (call $make (i32.add (local.get 0) (i32.const 3)))))
            (func (export "kept") (result i32 i32 i32 i32 i32)
                (call $value (table.get $table (i32.const 1)))
                (call $value (table.get $imports (i32.const 1)))
                (call $value (global.get $imported))
                (call $value (global.get $g))
                (ref.is_null (table.get $table (i32.const 0))))
            (func (export "churn") (param i32)
                (loop $l
                    (drop (call $make (local.get 0)))
                    (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
            (func (export "null") (throw_ref (ref.null exn))))
    "#;
    for (mode, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let mut linker = Linker::new(&engine);
        let ty = FuncType::new([ValType::EXNREF], [ValType::EXNREF]);
        let look = |mut caller: Caller<'_, ()>, params: &[Val], results: &mut [Val]| {
            let exception = params[0].unwrap_exn_ref().expect("not null");
            let field = exception.field(&caller, 0)?;
            let tag = exception.tag(&caller)?;
            results[0] = ExnRef::new(&mut caller, &tag, &[Val::I32(int(&field) * 2)])?.into();
            Ok(())
        };
        linker.func_new("", "look", ty, look).unwrap();
        let global = GlobalType::new(ValType::EXNREF, true);
        let global = Global::new(&mut store, global, Val::ExnRef(None)).unwrap();
        let table = TableType::new(crescendo::RefType::EXNREF, 2, None);
        let table = Table::new(&mut store, table, Ref::Exn(None)).unwrap();
        linker.define(&store, "", "g", global).unwrap().define(&store, "", "t", table).unwrap();
        let instance = linker.instantiate(&mut store, &module(&engine, text)).unwrap();
        let call = |store: &mut Store<()>, name: &str, param: Val| {
            let mut results = [Val::I32(0)];
            instance.get_func(&*store, name).unwrap().call(store, &[param], &mut results).map(|()| results[0])
        };
        for _ in 0..3 {
            let made = call(&mut store, "make", Val::I32(21)).unwrap();
            let exception = made.unwrap_exn_ref().unwrap();
            assert_eq!(int(&exception.field(&store, 0).unwrap()), 42, "{mode}");
            assert_eq!(Some(exception.tag(&store).unwrap()), instance.get_tag(&store, "tag"), "{mode}");
            assert_eq!(int(&call(&mut store, "value", made).unwrap()), 42, "{mode}");
            assert_eq!(int(&call(&mut store, "nest", Val::I32(3)).unwrap()), 503, "{mode}");
            let error = call(&mut store, "value", Val::ExnRef(None)).unwrap_err();
            assert_eq!(error.trap().unwrap().code(), TrapCode::NullReference, "{mode}");
        }
        let null = instance.get_typed_func::<(), ()>(&store, "null").unwrap();
        let error = null.call(&mut store, ()).unwrap_err();
        assert_eq!(error.trap().unwrap().code(), TrapCode::NullReference, "{mode}");
        // What is referred to stays, however many others come and go.
        let held = call(&mut store, "make", Val::I32(8)).unwrap();
        instance.get_typed_func::<i32, ()>(&store, "keep").unwrap().call(&mut store, 70).unwrap();
        // `churn` sets the global of the module.
        let churn = instance.get_typed_func::<i32, ()>(&store, "churn").unwrap();
        churn.call(&mut store, 10_000).unwrap();
        let kept = instance.get_typed_func::<(), (i32, i32, i32, i32, i32)>(&store, "kept").unwrap();
        assert_eq!(kept.call(&mut store, ()).unwrap(), (70, 71, 72, 1, 1), "{mode}");
        assert_eq!(int(&call(&mut store, "value", held).unwrap()), 16, "{mode}");
        let content = global.get(&store);
        assert_eq!(int(&call(&mut store, "value", content).unwrap()), 72, "{mode}");
        let element = table.get(&store, 1).unwrap();
        assert_eq!(int(&call(&mut store, "value", element.into()).unwrap()), 71, "{mode}");
        table.set(&mut store, 0, held.unwrap_ref()).unwrap();
        global.set(&mut store, held).unwrap();
    }
}

/// Bytes of the process's memory.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux has it");
    let pages: usize = statm.split(' ').nth(1).and_then(|n| n.parse().ok()).expect("a number of pages");
    pages * 4096
}

#[test]
fn loops_that_catch_by_reference_take_constant_memory() {
    let text = r#"
        (module
            (tag $t (param i64 i64 i64 i64 i64 i64 i64 i64 exnref))
            (tag $small)
            (func $thrower (param exnref)
                (throw $t (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4) (i64.const 5) (i64.const 6)
                    (i64.const 7) (i64.const 8) (local.get 0)))
            (func (export "run") (param i32) (local $last exnref)
                (loop $l
                    (block $h (result exnref)
                        (try_table (catch_all_ref $h) (call $thrower (local.get $last)))
                        (unreachable))
                    (local.set $last)
                    (if (i32.eqz (i32.and (local.get 0) (i32.const 7))) (then (local.set $last (ref.null exn))))
                    (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))
    "#;
    for (mode, config) in modes() {
        if !["fused", "eager", "synchronous, at once", "synchronous, odd functions"].contains(&mode) {
            continue;
        }
        let engine = Engine::new(&config).unwrap();
        let mut store = Store::new(&engine, ());
        let run = instance(&mut store, text).get_typed_func::<i32, ()>(&store, "run").unwrap();
        run.call(&mut store, 20_000).unwrap();
        let before = resident();
        // Without an end to their lives these would take 40 MiB.
        run.call(&mut store, 300_000).unwrap();
        let grown = resident().saturating_sub(before);
        assert!(grown < 16 << 20, "{mode}: {grown} bytes more");
    }
}

#[test]
fn references_of_a_host_function_end_with_it() {
    let engine = Engine::default();
    let mut store = Store::new(&engine, None);
    let tag = Tag::new(&mut store, &tag_type(&[])).unwrap();
    let keep =
        Func::wrap(&mut store, move |mut caller: Caller<'_, Option<ExnRef>>| -> crescendo::Result<()> {
            let exception = ExnRef::new(&mut caller, &tag, &[])?;
            *caller.data_mut() = Some(exception);
            for _ in 0..10_000 {
                ExnRef::new(&mut caller, &tag, &[])?;
            }
            exception.tag(&caller).map(drop)
        });
    let text = r#"(module (import "" "keep" (func $keep)) (func (export "run") (call $keep)))"#;
    let instance = Instance::new(&mut store, &module(&engine, text), &[keep.into()]).unwrap();
    let run = instance.get_typed_func::<(), ()>(&store, "run").unwrap();
    run.call(&mut store, ()).unwrap();
    let kept = store.data().unwrap();
    let outside = ExnRef::new(&mut store, &tag, &[]).unwrap();
    for _ in 0..5 {
        run.call(&mut store, ()).unwrap();
    }
    assert!(kept.tag(&store).is_err() && kept.fields(&store).is_err());
    assert!(store.throw::<()>(kept).is_err_and(|error| !error.is::<ThrownException>()));
    assert!(outside.tag(&store).is_ok());
}

#[test]
fn deep_stacks_are_given_up_again_and_again() {
    let text = r#"
        (module
            (tag $t (param i32))
            (func $even (param i32) (result i32)
                (if (i32.eqz (local.get 0)) (then (throw $t (i32.const 9))))
                (i32.add (i32.const 1) (call $odd (i32.sub (local.get 0) (i32.const 1)))))
            (func $odd (param i32) (result i32)
                (if (i32.eqz (local.get 0)) (then (throw $t (i32.const 9))))
                (i32.add (i32.const 1) (call $even (i32.sub (local.get 0) (i32.const 1)))))
            (func $once (param i32) (result i32)
                (block $h (result i32) (try_table (result i32) (catch $t $h) (call $even (local.get 0)))))
            (func (export "run") (param $depth i32) (param $n i32) (result i32) (local $sum i32)
                (loop $l
                    (local.set $sum (i32.add (local.get $sum) (call $once (local.get $depth))))
                    (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
                (local.get $sum)))
    "#;
    for (mode, engine) in mixes(4) {
        let mut store = Store::new(&engine, ());
        let run = instance(&mut store, text).get_typed_func::<(i32, i32), i32>(&store, "run").unwrap();
        for (depth, n) in [(1, 3), (4000, 40), (3, 20_000), (0, 100), (7, 100)] {
            assert_eq!(run.call(&mut store, (depth, n)).unwrap(), 9 * n, "{mode}: {depth} deep");
        }
        let error = run.call(&mut store, (100_000_000, 1)).unwrap_err();
        assert_eq!(error.trap().unwrap().code(), TrapCode::StackOverflow, "{mode}");
        assert_eq!(run.call(&mut store, (1000, 2)).unwrap(), 18, "{mode}");
    }
}

/// Many values of every kind, results in memory, labels of loops and of the function, hot locals, operands below.
const SHAPES: &str = r#"
    (module
        (type $many (func (param i32 i64 f32 f64 i64 i64 i64 i64 i64 i64 f64 f32)))
        (type $all (func (result i32 i64 f32 f64 i64 i64 i64 i64 i64 i64 f64 f32)))
        (tag $many (type $many))
        (tag $one (param i64))
        (tag $never)
        (func $throw (param i32)
            (if (i32.eqz (local.get 0)) (then (throw $one (i64.const 50))))
            (throw $many (local.get 0) (i64.const 2) (f32.const 3) (f64.const 4) (i64.const 5) (i64.const 6)
                (i64.const 7) (i64.const 8) (i64.const 9) (i64.const 10) (f64.const 11) (f32.const 12)))
        (func $returns (export "returns") (param i32)
            (result i32 i64 f32 f64 i64 i64 i64 i64 i64 i64 f64 f32)
            (try_table (catch $many 0) (call $throw (local.get 0)))
            (unreachable))
        (func (export "returned") (param i32) (result i64)
            (try_table (catch $one 0) (call $throw (local.get 0)))
            (i64.const -1))
        (func (export "sum") (param i32) (result f64) (local $f f64)
            (call $returns (local.get 0))
            (f64.promote_f32) (f64.add) (local.set $f)
            (i64.add) (i64.add) (i64.add) (i64.add) (i64.add)
            (f64.convert_i64_s) (f64.add (local.get $f)) (f64.add)
            (local.set $f) (f64.promote_f32) (f64.add (local.get $f))
            (local.set $f) (f64.convert_i64_s) (f64.add (local.get $f))
            (local.set $f) (f64.convert_i32_s) (f64.add (local.get $f)))
        (func (export "loops") (param $n i32) (result i64)
            (local $i i32) (local $sum i64) (local $x f64)
            (i64.const 1000000)
            (i64.const 0)
            (loop $again (param i64)
                (local.set $sum (i64.add (local.get $sum)))
                (local.set $x (f64.add (local.get $x) (f64.const 0.5)))
                (if (i32.lt_s (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $n)) (then
                    (local.set $sum (i64.add (local.get $sum) (i64.const 1)))
                    (try_table (catch $one $again)
                        (local.set $x (f64.add (local.get $x) (f64.const 1)))
                        (local.set $sum (i64.add (local.get $sum) (i64.const 100)))
                        (call $throw (i32.const 0))))))
            (i64.add (local.get $sum))
            (i64.add (i64.trunc_f64_s (local.get $x))))
        (func (export "nested") (param $n i32) (result i32) (local $depth i32)
            (loop $l
                (block $outer (block $inner (block $middle
                    (try_table (catch $never $outer) (catch_all $outer)
                        (try_table
                            (try_table (catch_all $inner)
                                (br_if $middle (i32.eq (i32.rem_u (local.get $n) (i32.const 3)) (i32.const 2)))
                                (call $throw (i32.const 0)))
                            (unreachable)))
                    (unreachable))
                    (local.set $depth (i32.add (local.get $depth) (i32.const 10000)))
                    (br $outer))
                    (local.set $depth (i32.add (local.get $depth) (i32.const 1)))
                    (try_table (catch_all $outer) (call $throw (local.get $n)))
                    (unreachable))
                (local.set $depth (i32.add (local.get $depth) (i32.const 100)))
                (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
            (local.get $depth)))
"#;

#[test]
fn values_of_every_kind_reach_labels_of_every_kind() {
    for (mode, engine) in engines().into_iter().map(|(name, e)| (name.to_string(), e)).chain(mixes(6)) {
        let mut store = Store::new(&engine, ());
        let instance = instance(&mut store, SHAPES);
        for _ in 0..3 {
            let call = |store: &mut Store<()>, name: &str, n: i32| {
                let mut results = [Val::I32(0)];
                let func = instance.get_func(&*store, name).unwrap();
                func.call(store, &[Val::I32(n)], &mut results).map(|()| results[0])
            };
            assert_eq!(call(&mut store, "returned", 0).unwrap().i64(), Some(50), "{mode}");
            assert!(call(&mut store, "returned", 1).unwrap_err().is::<ThrownException>(), "{mode}");
            assert_eq!(call(&mut store, "sum", 1).unwrap().f64(), Some(78.0), "{mode}");
            for n in [1, 2, 100, 1000] {
                let expected = 1_000_000 + i64::from(n - 1) * 151 + (i64::from(n) * 3 - 2) / 2;
                assert_eq!(call(&mut store, "loops", n).unwrap().i64(), Some(expected), "{mode}: {n}");
            }
            assert_eq!(int(&call(&mut store, "nested", 9).unwrap()), 30_000 + 900 + 6, "{mode}");
        }
    }
}

#[test]
fn tail_calls_leave_and_traps_are_not_caught() {
    let text = r#"
        (module
            (tag $t)
            (type $f (func (param i32) (result i32)))
            (table funcref (elem $fails))
            (elem declare func $fails)
            (func $fails (type $f)
                (if (i32.eqz (local.get 0)) (then (throw $t)))
                (i32.div_u (i32.const 1) (i32.const 0)))
            (func $direct (type $f) (block $h (try_table (catch_all $h) (return_call $fails (local.get 0)))) (i32.const 1))
            (func $indirect (type $f) (block $h
                (try_table (catch_all $h) (return_call_indirect (type $f) (local.get 0) (i32.const 0)))) (i32.const 1))
            (func $ref (type $f) (block $h
                (try_table (catch_all $h) (return_call_ref $f (local.get 0) (ref.func $fails)))) (i32.const 1))
            (func (export "run") (param i32 i32) (result i32)
                (block $h (result i32)
                    (block $inner
                        (try_table (result i32) (catch_all $inner)
                            (block $c (block $b (block $a
                                (br_table $a $b $c (local.get 1)))
                                (br $h (call $direct (local.get 0))))
                                (br $h (call $indirect (local.get 0))))
                            (call $ref (local.get 0)))
                        (br $h))
                    (i32.const 7)))
            (func $deep (param i32) (result i32)
                (block $h (try_table (catch_all $h) (return (i32.add (call $deep (local.get 0)) (i32.const 1)))))
                (i32.const 3))
            (func (export "deep") (param i32 i32) (result i32) (call $deep (local.get 0))))
    "#;
    for (mode, engine) in engines().into_iter().map(|(name, e)| (name.to_string(), e)).chain(mixes(5)) {
        let mut store = Store::new(&engine, ());
        let instance = instance(&mut store, text);
        let run = instance.get_typed_func::<(i32, i32), i32>(&store, "run").unwrap();
        let deep = instance.get_typed_func::<(i32, i32), i32>(&store, "deep").unwrap();
        for round in 0..3 {
            for how in 0..3 {
                assert_eq!(run.call(&mut store, (0, how)).unwrap(), 7, "{mode}, {how}, round {round}");
                let error = run.call(&mut store, (1, how)).unwrap_err();
                assert_eq!(error.trap().unwrap().code(), TrapCode::IntegerDivisionByZero, "{mode}, {how}");
            }
        }
        let error = deep.call(&mut store, (0, 0)).unwrap_err();
        assert_eq!(error.trap().unwrap().code(), TrapCode::StackOverflow, "{mode}");
    }
}

#[test]
fn tags_are_told_apart_by_identity_across_instances() {
    let thrower = r#"
        (module
            (tag $own (export "tag") (param i32))
            (tag $other (export "other") (param i32))
            (memory 1)
            (func (export "throw") (param i32 i32)
                (if (local.get 1) (then (throw $other (local.get 0))))
                (throw $own (local.get 0))))
    "#;
    let catcher = r#"
        (module
            (import "a" "throw" (func $throw (param i32 i32)))
            (import "a" "tag" (tag $a (param i32)))
            (import "b" "tag" (tag $b (param i32)))
            (memory 1)
            (data (i32.const 0) "\2a")
            (func (export "run") (param i32) (result i32)
                (block $a (result i32) (block $b (result i32) (block $any
                    (try_table (catch $b $b) (catch $a $a) (catch_all $any)
                        (call $throw (i32.const 100) (local.get 0)))
                    (unreachable))
                    (return (i32.load8_u (i32.const 0))))
                    (return (i32.add (i32.const 1000))))
                (i32.add (i32.load8_u (i32.const 0)))))
    "#;
    for (mode, engine) in engines().into_iter().map(|(name, e)| (name.to_string(), e)).chain(mixes(2)) {
        let mut store = Store::new(&engine, ());
        let (one, two) = (module(&engine, thrower), module(&engine, catcher));
        let mut linker = Linker::new(&engine);
        let a = linker.instantiate(&mut store, &one).unwrap();
        let b = linker.instantiate(&mut store, &one).unwrap();
        linker.instance(&mut store, "a", a).unwrap().instance(&mut store, "b", b).unwrap();
        assert_ne!(a.get_tag(&store, "tag"), b.get_tag(&store, "tag"));
        let run = linker.instantiate(&mut store, &two).unwrap();
        let run = run.get_typed_func::<i32, i32>(&store, "run").unwrap();
        for _ in 0..3 {
            assert_eq!(run.call(&mut store, 0).unwrap(), 142, "{mode}");
            assert_eq!(run.call(&mut store, 1).unwrap(), 42, "{mode}");
        }
        // Both names lead to the same tag: the clause that is asked first wins.
        linker.allow_shadowing(true).instance(&mut store, "b", a).unwrap();
        let run = linker.instantiate(&mut store, &two).unwrap();
        let run = run.get_typed_func::<i32, i32>(&store, "run").unwrap();
        assert_eq!(run.call(&mut store, 0).unwrap(), 1100, "{mode}");
    }
}

#[test]
fn catching_costs_the_same_fuel_in_every_mode() {
    let mut used = Vec::new();
    for (mode, mut config) in modes() {
        let engine = Engine::new(config.consume_fuel(true)).unwrap();
        let mut store = Store::new(&engine, ());
        store.set_fuel(1 << 30).unwrap();
        let instance = instance(&mut store, SHAPES);
        let mut costs = Vec::new();
        for (name, n) in [("returned", 0), ("sum", 1), ("loops", 1), ("loops", 50), ("nested", 9)] {
            let before = store.get_fuel().unwrap();
            let mut results = [Val::I32(0)];
            let func = instance.get_func(&store, name).unwrap();
            func.call(&mut store, &[Val::I32(n)], &mut results).unwrap();
            costs.push(before - store.get_fuel().unwrap());
        }
        used.push((mode, costs));
    }
    assert!(used.iter().all(|(_, costs)| *costs == used[0].1), "{used:?}");
}

#[test]
fn tags_are_imported_exported_and_described() {
    let engine = Engine::default();
    let text = r#"
        (module
            (import "m" "t" (tag $t (param i32)))
            (tag (export "own") (param i64 f32))
            (export "again" (tag $t)))
    "#;
    let module = module(&engine, text);
    let import = module.imports().next().unwrap();
    assert_eq!(import.to_string(), "`m::t` (tag (param i32))");
    let ExternType::Tag(own) = module.get_export("own").unwrap() else { panic!("a tag") };
    assert_eq!(own, tag_type(&[ValType::I64, ValType::F32]));
    let mut store = Store::new(&engine, ());
    let tag = Tag::new(&mut store, &tag_type(&[ValType::I32])).unwrap();
    let other = Tag::new(&mut store, &tag_type(&[ValType::I64])).unwrap();
    let instance = Instance::new(&mut store, &module, &[tag.into()]).unwrap();
    assert_eq!(instance.get_tag(&store, "again"), Some(tag));
    assert_eq!(instance.get_tag(&store, "own").unwrap().ty(&store), own);
    assert!(instance.get_func(&store, "own").is_none());
    let error = Instance::new(&mut store, &module, &[other.into()]).unwrap_err();
    assert!(error.to_string().contains("(tag (param i64))"), "{error}");
    assert!(matches!(instance.get_export(&store, "own"), Some(Extern::Tag(_))));
    // What does not fit is refused.
    assert!(Tag::new(&mut store, &TagType::new(FuncType::new([], [ValType::I32]))).is_err());
    assert!(ExnRef::new(&mut store, &tag, &[]).is_err());
    assert!(ExnRef::new(&mut store, &tag, &[Val::I64(1)]).is_err());
    let exception = ExnRef::new(&mut store, &tag, &[Val::I32(1)]).unwrap();
    assert!(exception.field(&store, 1).is_err());
    let mut elsewhere = Store::new(&engine, ());
    assert!(ExnRef::new(&mut elsewhere, &tag, &[Val::I32(1)]).is_err());
    assert!(exception.tag(&elsewhere).is_err() && elsewhere.throw::<()>(exception).is_err());
    assert!(Instance::new(&mut elsewhere, &module, &[tag.into()]).is_err());
}

#[test]
fn exceptions_can_be_switched_off() {
    let mut config = Config::new();
    let engine = Engine::new(config.wasm_exceptions(false)).unwrap();
    let bytes = wat::parse_str("(module (tag))").unwrap();
    assert!(Module::new(&engine, bytes).unwrap_err().to_string().contains("exception handling"));
    let legacy = wat::parse_str("(module (func try catch_all end))").unwrap();
    let error = Module::new(&Engine::default(), &legacy).unwrap_err();
    assert!(error.to_string().contains("legacy exception handling"), "{error}");
    let engine = Engine::new(Config::new().wasm_legacy_exceptions(true)).unwrap();
    assert!(Module::new(&engine, &legacy).is_ok());
}

#[test]
fn vectors_are_carried_too() {
    let text = r#"
        (module
            (tag $t (export "t") (param i32 v128 f64))
            (func $throw (param i32)
                (throw $t (local.get 0) (i64x2.splat (i64.extend_i32_u (local.get 0))) (f64.const 0.5)))
            (func $label (export "label") (param i32) (result i64) (local $x exnref) (local $n i64)
                (i64.const 1000)
                (block $h (result i32 v128 f64 exnref)
                    (try_table (catch_ref $t $h) (call $throw (local.get 0)))
                    (unreachable))
                (local.set $x)
                (drop)
                (local.set $n (i64x2.extract_lane 1))
                (i64.extend_i32_u)
                (i64.add (local.get $n))
                (i64.add))
            (func $results (param i32) (result i32 v128 f64)
                (try_table (catch $t 0) (call $throw (local.get 0)))
                (unreachable))
            (func (export "results") (param i32) (result i64) (local $n i64)
                (call $results (local.get 0))
                (drop)
                (local.set $n (i64x2.extract_lane 0))
                (i64.extend_i32_u)
                (i64.add (local.get $n)))
            (func (export "legacy") (param i32) (result i64) (local $n i64)
                try (result i32 v128 f64)
                    try (result i32 v128 f64)
                        (call $throw (local.get 0))
                        unreachable
                    catch $t
                        drop
                        i64x2.extract_lane 0
                        local.set $n
                        drop
                        rethrow 0
                    end
                catch $t
                end
                drop
                i64x2.extract_lane 1
                local.get $n
                i64.add
                local.set $n
                i64.extend_i32_u
                local.get $n
                i64.add)
            (func (export "out") (param i32) (result i64) (call $throw (local.get 0)) (i64.const 0)))
    "#;
    let mut all: Vec<(String, Engine)> = Vec::new();
    for (mode, mut config) in modes() {
        all.push((mode.to_string(), Engine::new(config.wasm_legacy_exceptions(true)).unwrap()));
    }
    for (mode, engine) in all.into_iter().chain(mixes(5)) {
        let mut store = Store::new(&engine, ());
        let instance = instance(&mut store, text);
        let func = |name: &str| instance.get_typed_func::<i32, i64>(&store, name).unwrap();
        let (label, results, legacy, out) = (func("label"), func("results"), func("legacy"), func("out"));
        for _ in 0..3 {
            assert_eq!(label.call(&mut store, 3).unwrap(), 1006, "{mode}");
            assert_eq!(results.call(&mut store, 4).unwrap(), 8, "{mode}");
            assert_eq!(legacy.call(&mut store, 5).unwrap(), 15, "{mode}");
            let error = out.call(&mut store, 6).unwrap_err();
            let fields = thrown(&error).fields();
            assert_eq!((fields.len(), int(&fields[0]), fields[2].f64()), (3, 6, Some(0.5)), "{mode}");
            let pending = store.take_pending_exception().unwrap();
            assert_eq!(pending.field(&store, 2).unwrap().f64(), Some(0.5), "{mode}");
        }
    }
}
