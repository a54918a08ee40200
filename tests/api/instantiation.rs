//! What happens before anybody calls an instance: initial values, segments, start functions, and what stays when they fail.

use crate::setup::{engines, instance, module};
use crescendo::{
    Error, Extern, Func, Instance, Linker, Memory, MemoryType, Ref, RefType, Store, Table, TableType,
    TrapCode, Val,
};

fn code(error: &Error) -> TrapCode {
    error.trap().unwrap_or_else(|| panic!("not a trap: {error}")).code()
}

#[test]
fn globals_tables_and_offsets_come_from_constant_expressions() {
    let text = r#"
        (module
            (global $a (export "a") i32 (i32.sub (i32.mul (i32.const 6) (i32.const 7)) (i32.const 2)))
            (global $b (export "b") i64 (i64.add (i64.mul (i64.const -3) (i64.const 5)) (i64.const 1)))
            (global $c (export "c") f32 (f32.const -0.5))
            (global $d (export "d") f64 (f64.const 1e300))
            (global $f (export "f") funcref (ref.func $one))
            (global $n (export "n") externref (ref.null extern))
            (table (export "t") 3 (ref null func) (ref.func $one))
            (table (export "u") 10 funcref)
            (memory (export "m") 1)
            (data (offset (i32.add (i32.const 40) (i32.const 2))) "xyz")
            (elem (table 1) (offset (i32.const 7)) funcref (ref.func $one) (ref.null func) (ref.func $two))
            (func $one (result i32) (i32.const 1))
            (func $two (result i32) (i32.const 2))
            (func (export "call") (param i32) (result i32) (call_indirect 1 (result i32) (local.get 0))))
    "#;
    for (mode, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let instance = instance(&mut store, text);
        let global = |store: &Store<()>, name| instance.get_global(store, name).unwrap().get(store);
        assert_eq!(global(&store, "a").i32(), Some(40), "{mode}");
        assert_eq!(global(&store, "b").i64(), Some(-14), "{mode}");
        assert_eq!(global(&store, "c").f32(), Some(-0.5));
        assert_eq!(global(&store, "d").f64(), Some(1e300));
        assert!(global(&store, "n").extern_ref().unwrap().is_none());
        let one = global(&store, "f").unwrap_func_ref().unwrap();
        let table = instance.get_table(&store, "t").unwrap();
        assert_eq!(table.size(&store), 3);
        assert!((0..3).all(|n| table.get(&store, n).unwrap().unwrap_func() == Some(one)));
        let memory = instance.get_memory(&store, "m").unwrap();
        assert_eq!(memory.data(&store)[41..46], *b"\0xyz\0", "{mode}");
        let call = instance.get_typed_func::<i32, i32>(&store, "call").unwrap();
        assert_eq!((call.call(&mut store, 7).unwrap(), call.call(&mut store, 9).unwrap()), (1, 2));
        assert_eq!(code(&call.call(&mut store, 8).unwrap_err()), TrapCode::UninitializedElement);
        assert_eq!(code(&call.call(&mut store, 0).unwrap_err()), TrapCode::UninitializedElement);
    }
}

#[test]
fn segments_before_the_one_that_fails_stay_written() {
    let text = r#"
        (module
            (import "h" "m" (memory 1))
            (import "h" "t" (table 4 funcref))
            (func $f (result i32) (i32.const 33))
            (elem (i32.const 0) $f)
            (elem (i32.const 4))
            (elem (i32.const 3) $f $f)
            (data (i32.const 0) "never"))
    "#;
    let data = r#"
        (module
            (import "h" "m" (memory 1))
            (import "h" "t" (table 4 funcref))
            (func $f (result i32) (i32.const 44))
            (elem (i32.const 1) $f)
            (data (i32.const 0) "here")
            (data (i32.const 0x10000) "")
            (data (i32.const 0xfffe) "over")
            (data (i32.const 4) "never"))
    "#;
    for (mode, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let memory = Memory::new(&mut store, MemoryType::new(1, None)).unwrap();
        let ty = TableType::new(RefType::FUNCREF, 4, None);
        let table = Table::new(&mut store, ty, Ref::Func(None)).unwrap();
        let imports: [Extern; 2] = [memory.into(), table.into()];

        let error = Instance::new(&mut store, &module(&engine, text), &imports).unwrap_err();
        assert_eq!(code(&error), TrapCode::TableOutOfBounds, "{mode}");
        assert!(memory.data(&store).iter().all(|&byte| byte == 0), "{mode}");
        let error = Instance::new(&mut store, &module(&engine, data), &imports).unwrap_err();
        assert_eq!(code(&error), TrapCode::MemoryOutOfBounds, "{mode}");
        assert_eq!(memory.data(&store)[..9], *b"here\0\0\0\0\0", "{mode}");
        assert_eq!(memory.data(&store)[0xfffe..], [0, 0], "{mode}");

        // The functions of both instances live on in the table.
        for (index, result) in [(0, Some(33)), (1, Some(44)), (2, None), (3, None)] {
            let func = table.get(&store, index).unwrap().unwrap_func();
            let called =
                func.map(|func| func.typed::<(), i32>(&store).unwrap().call(&mut store, ()).unwrap());
            assert_eq!(called, result, "{mode}, element {index}");
        }
    }
}

#[test]
fn start_functions_run_once_and_their_traps_come_out() {
    let text = r#"
        (module $starts
            (import "h" "m" (memory 1))
            (import "h" "log" (func $log (param i32)))
            (func $start (call $log (i32.load (i32.const 0))) (i32.store (i32.const 0) (i32.const 1)) (call $fail))
            (func $fail (i32.div_u (i32.const 1) (i32.load (i32.const 4))) drop)
            (start $start))
    "#;
    for (mode, engine) in engines() {
        let mut store = Store::new(&engine, Vec::new());
        let memory = Memory::new(&mut store, MemoryType::new(1, None)).unwrap();
        let log = Func::wrap(&mut store, |mut caller: crescendo::Caller<'_, Vec<i32>>, n: i32| {
            caller.data_mut().push(n);
        });
        let module = module(&engine, text);
        let imports: [Extern; 2] = [memory.into(), log.into()];
        let error = Instance::new(&mut store, &module, &imports).unwrap_err();
        assert_eq!(code(&error), TrapCode::IntegerDivisionByZero, "{mode}");
        let names: Vec<_> =
            error.backtrace().unwrap().frames().iter().map(|frame| frame.func_name()).collect();
        assert_eq!(names, [Some("fail"), Some("start")], "{mode}");
        memory.write(&mut store, 4, &[1]).unwrap();
        Instance::new(&mut store, &module, &imports).unwrap();
        assert_eq!(*store.data(), [0, 1], "{mode}");
    }
}

#[test]
fn a_start_function_may_be_imported() {
    for (mode, engine) in engines() {
        let mut linker = Linker::<u32>::new(&engine);
        linker
            .func_wrap("h", "start", |mut caller: crescendo::Caller<'_, u32>| *caller.data_mut() += 1)
            .unwrap();
        let module = module(&engine, r#"(module (import "h" "start" (func $s)) (start $s))"#);
        let mut store = Store::new(&engine, 0);
        linker.instantiate(&mut store, &module).unwrap();
        assert_eq!(*store.data(), 1, "{mode}");
    }
}

#[test]
fn passive_segments_are_used_by_operators_and_can_be_dropped() {
    let text = r#"
        (module
            (memory (export "m") 1)
            (table (export "t") 4 funcref)
            (data $p "passive")
            (data $a (i32.const 0) "active")
            (elem $e func $f $f)
            (elem $d declare func $f)
            (func $f)
            (func (export "init") (param i32 i32 i32) (memory.init $p (local.get 0) (local.get 1) (local.get 2)))
            (func (export "init active") (param i32 i32 i32)
                (memory.init $a (local.get 0) (local.get 1) (local.get 2)))
            (func (export "table init") (param i32 i32 i32) (table.init $e (local.get 0) (local.get 1) (local.get 2)))
            (func (export "table init declared") (param i32 i32 i32)
                (table.init $d (local.get 0) (local.get 1) (local.get 2)))
            (func (export "drop") (data.drop $p) (elem.drop $e)))
    "#;
    for (mode, engine) in engines() {
        let module = module(&engine, text);
        let mut store = Store::new(&engine, ());
        // Dropping is a matter of one instance.
        let [one, other] = [(); 2].map(|()| Instance::new(&mut store, &module, &[]).unwrap());
        let mut call = |instance: Instance, name: &str, args: [i32; 3]| {
            let func = instance.get_typed_func::<(i32, i32, i32), ()>(&store, name).unwrap();
            func.call(&mut store, args.into()).map_err(|error| code(&error))
        };
        assert_eq!(call(one, "init", [8, 1, 4]), Ok(()), "{mode}");
        assert_eq!(call(one, "init", [8, 4, 4]), Err(TrapCode::MemoryOutOfBounds), "{mode}");
        assert_eq!(call(one, "init", [0xffff, 0, 2]), Err(TrapCode::MemoryOutOfBounds), "{mode}");
        assert_eq!(call(one, "init", [0x10000, 7, 0]), Ok(()), "{mode}");
        assert_eq!(call(one, "init active", [0, 0, 0]), Ok(()), "{mode}");
        assert_eq!(call(one, "init active", [0, 0, 1]), Err(TrapCode::MemoryOutOfBounds), "{mode}");
        assert_eq!(call(one, "table init", [2, 0, 2]), Ok(()), "{mode}");
        assert_eq!(call(one, "table init", [3, 0, 2]), Err(TrapCode::TableOutOfBounds), "{mode}");
        assert_eq!(call(one, "table init declared", [0, 0, 1]), Err(TrapCode::TableOutOfBounds), "{mode}");
        let drop = one.get_typed_func::<(), ()>(&store, "drop").unwrap();
        drop.call(&mut store, ()).unwrap();
        drop.call(&mut store, ()).unwrap();
        let mut call = |instance: Instance, name: &str, args: [i32; 3]| {
            let func = instance.get_typed_func::<(i32, i32, i32), ()>(&store, name).unwrap();
            func.call(&mut store, args.into()).map_err(|error| code(&error))
        };
        assert_eq!(call(one, "init", [0, 0, 1]), Err(TrapCode::MemoryOutOfBounds), "{mode}");
        assert_eq!(call(one, "init", [0, 0, 0]), Ok(()), "{mode}");
        assert_eq!(call(one, "table init", [0, 0, 1]), Err(TrapCode::TableOutOfBounds), "{mode}");
        assert_eq!(call(other, "init", [0, 0, 7]), Ok(()), "{mode}");
        assert_eq!(call(other, "table init", [0, 0, 2]), Ok(()), "{mode}");
        assert_eq!(one.get_memory(&store, "m").unwrap().data(&store)[8..13], *b"assi\0", "{mode}");
        let table = one.get_table(&store, "t").unwrap();
        let null = |index| table.get(&store, index).unwrap().is_null();
        assert_eq!([0, 1, 2, 3].map(null), [true, true, false, false], "{mode}");
    }
}

#[test]
fn sizes_that_no_system_has_are_errors() {
    for (mode, engine) in engines() {
        for text in [
            "(module (memory i64 0x0000_1000_0000_0000))",
            "(module (table i64 0x1000_0000_0000_0000 funcref))",
            "(module (memory i64 0x0000_4000_0000_0000))",
        ] {
            let mut store = Store::new(&engine, ());
            let error = Instance::new(&mut store, &module(&engine, text), &[]).unwrap_err();
            assert!(matches!(error.kind(), crescendo::ErrorKind::Limit(_)), "{mode}: {error}");
        }
    }
}

#[test]
fn exports_are_found_by_name_and_listed_in_order() {
    let text = r#"(module (func $f (export "z")) (memory (export "") 1) (export "a" (func $f)) (table (export "t") 1 funcref))"#;
    for (_, engine) in engines() {
        let mut store = Store::new(&engine, Val::I32(0));
        let instance = instance(&mut store, text);
        let names: Vec<_> = instance.exports(&store).map(|export| export.name()).collect();
        assert_eq!(names, ["z", "", "a", "t"]);
        assert_eq!(instance.get_func(&store, "z"), instance.get_func(&store, "a"));
        assert!(instance.get_func(&store, "").is_none() && instance.get_memory(&store, "").is_some());
        assert!(instance.get_export(&store, "b").is_none());
        let error = instance.get_typed_func::<(), ()>(&store, "b").unwrap_err();
        assert_eq!(error.to_string(), "no function is exported as `b`");
    }
}
