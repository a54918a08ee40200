//! Linkers: definitions, what is missing, what does not fit.

use crate::setup::{engines, instance, module};
use crescendo::{
    Caller, Engine, Error, ErrorKind, Extern, Func, FuncType, Global, GlobalType, Instance, Linker, Memory,
    MemoryType, RefType, Result, Store, Table, TableType, Val, ValType,
};

fn add_one(store: &mut Store<u32>, instance: Instance) -> Result<i32> {
    instance.get_typed_func::<i32, i32>(&mut *store, "run")?.call(store, 41)
}

const IMPORTS_F: &str = r#"(module
    (import "host" "f" (func $f (param i32) (result i32)))
    (func (export "run") (param i32) (result i32) local.get 0 call $f))"#;

#[test]
fn host_functions_serve_many_stores() {
    for (mode, engine) in engines() {
        let mut linker = Linker::<u32>::new(&engine);
        linker
            .func_wrap("host", "f", |mut caller: Caller<'_, u32>, x: i32| {
                *caller.data_mut() += 1;
                x + 1
            })
            .unwrap();
        let module = module(&engine, IMPORTS_F);
        let prepared = linker.instantiate_pre(&module).unwrap();
        for _ in 0..3 {
            let mut store = Store::new(&engine, 0);
            for count in 1..3 {
                let instance = linker.instantiate(&mut store, &module).unwrap();
                assert_eq!(add_one(&mut store, instance).unwrap(), 42, "{mode}");
                let instance = prepared.instantiate(&mut store).unwrap();
                assert_eq!(add_one(&mut store, instance).unwrap(), 42, "{mode}");
                assert_eq!(*store.data(), 2 * count, "{mode}");
            }
        }
    }
}

#[test]
fn untyped_host_functions_work_like_typed_ones() {
    let engine = Engine::default();
    let mut linker = Linker::<u32>::new(&engine);
    let ty = FuncType::new([ValType::I32], [ValType::I32]);
    linker
        .func_new("host", "f", ty, |mut caller, params, results| {
            *caller.data_mut() += 1;
            results[0] = Val::I32(params[0].unwrap_i32() + 1);
            Ok(())
        })
        .unwrap();
    let mut store = Store::new(&engine, 0);
    let instance = linker.instantiate(&mut store, &module(&engine, IMPORTS_F)).unwrap();
    assert_eq!(add_one(&mut store, instance).unwrap(), 42);
    assert_eq!(*store.data(), 1);
}

#[test]
fn a_result_of_another_type_is_an_error() {
    let engine = Engine::default();
    let mut linker = Linker::<u32>::new(&engine);
    let ty = FuncType::new([ValType::I32], [ValType::I32]);
    linker
        .func_new("host", "f", ty, |_, _, results| {
            results[0] = Val::I64(1);
            Ok(())
        })
        .unwrap();
    let mut store = Store::new(&engine, 0);
    let instance = linker.instantiate(&mut store, &module(&engine, IMPORTS_F)).unwrap();
    let error = format!("{:#}", add_one(&mut store, instance).unwrap_err());
    assert_eq!(error, "type mismatch in result 0 of a host function: expected i32, found i64");
}

#[test]
fn all_unknown_imports_are_listed_with_their_types() {
    let engine = Engine::default();
    let module = module(
        &engine,
        r#"(module
            (import "a" "known" (func))
            (import "a" "f" (func (param i32 i64) (result f32)))
            (import "b" "m" (memory 1 2))
            (import "b" "t" (table 3 funcref))
            (import "" "a\nb" (global (mut i64))))"#,
    );
    let mut linker = Linker::<()>::new(&engine);
    linker.func_wrap("a", "known", || ()).unwrap();
    let error = linker.instantiate(&mut Store::new(&engine, ()), &module).unwrap_err();
    assert_eq!(
        error.to_string(),
        "4 unknown imports:\
         \n  `a::f` (func (param i32 i64) (result f32))\
         \n  `b::m` (memory 1 2)\
         \n  `b::t` (table 3 (ref null func))\
         \n  `::a\\nb` (global (mut i64))"
    );
    let ErrorKind::UnknownImports(unknown) = error.kind() else { panic!("{error}") };
    let names: Vec<_> = unknown.iter().map(|import| (import.module(), import.name())).collect();
    assert_eq!(names, [("a", "f"), ("b", "m"), ("b", "t"), ("", "a\nb")]);
    assert!(linker.instantiate_pre(&module).is_err());
}

#[test]
fn imports_of_another_type_are_refused() {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let func = Func::wrap(&mut store, || 1_i64);
    let memory = Memory::new(&mut store, MemoryType::new(1, Some(3))).unwrap();
    let table =
        Table::new(&mut store, TableType::new(RefType::FUNCREF, 1, None), None::<Func>.into()).unwrap();
    let global = Global::new(&mut store, GlobalType::new(ValType::I32, false), Val::I32(1)).unwrap();
    let cases: [(&str, Extern, &str, &str); 8] = [
        ("(func)", func.into(), "(func)", "(func (result i64))"),
        ("(func (result i32))", func.into(), "(func (result i32))", "(func (result i64))"),
        ("(func)", memory.into(), "(func)", "(memory 1 3)"),
        ("(memory 2)", memory.into(), "(memory 2)", "(memory 1 3)"),
        ("(memory 1 2)", memory.into(), "(memory 1 2)", "(memory 1 3)"),
        ("(table 2 funcref)", table.into(), "(table 2 (ref null func))", "(table 1 (ref null func))"),
        ("(global (mut i32))", global.into(), "(global (mut i32))", "(global i32)"),
        ("(global i64)", global.into(), "(global i64)", "(global i32)"),
    ];
    for (import, item, expected, found) in cases {
        let module = module(&engine, &format!(r#"(module (import "host" "x" {import}))"#));
        let mut linker = Linker::new(&engine);
        linker.define(&store, "host", "x", item).unwrap();
        let error = linker.instantiate(&mut store, &module).unwrap_err();
        let message = format!("incompatible import type for `host::x`: expected {expected}, found {found}");
        assert_eq!(error.to_string(), message);
        assert!(matches!(error.kind(), ErrorKind::IncompatibleImport(_)));
    }
}

#[test]
fn a_name_is_defined_once_unless_shadowing_is_allowed() {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let mut linker = Linker::new(&engine);
    let mut answer = |linker: &Linker<()>| {
        let func = linker.get(&mut store, "m", "f").and_then(|item| item.into_func()).unwrap();
        func.typed::<(), i32>(&store).unwrap().call(&mut store, ()).unwrap()
    };
    linker.func_wrap("m", "f", || 1).unwrap();
    linker.func_wrap("m", "g", || 1).unwrap();
    linker.func_wrap("n", "f", || 1).unwrap();
    let error = linker.func_wrap("m", "f", || 2).map(drop).unwrap_err();
    assert_eq!(error.to_string(), "`m::f` is defined already");
    assert!(matches!(error.kind(), ErrorKind::Link(_)));
    assert_eq!(answer(&linker), 1);
    linker.allow_shadowing(true).func_wrap("m", "f", || 2).unwrap();
    assert_eq!(answer(&linker), 2);
    assert!(linker.allow_shadowing(false).func_wrap("m", "f", || 3).is_err());
    assert_eq!(answer(&linker), 2);
}

#[test]
fn exports_of_an_instance_are_shared_under_its_name() {
    for (mode, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let exporter = instance(
            &mut store,
            r#"(module
                (memory (export "m") 1)
                (global (export "g") (mut i32) (i32.const 5))
                (table (export "t") 1 funcref)
                (func (export "load") (result i32) i32.const 8 i32.load))"#,
        );
        let mut linker = Linker::new(&engine);
        linker.instance(&mut store, "exporter", exporter).unwrap();
        let importer = module(
            &engine,
            r#"(module
                (import "exporter" "m" (memory 1))
                (import "exporter" "g" (global $g (mut i32)))
                (import "exporter" "t" (table 1 funcref))
                (import "exporter" "load" (func $load (result i32)))
                (func (export "run") (result i32)
                    i32.const 8 global.get $g i32.store
                    global.get $g i32.const 1 i32.add global.set $g
                    call $load))"#,
        );
        let importer = linker.instantiate(&mut store, &importer).unwrap();
        let run = importer.get_typed_func::<(), i32>(&mut store, "run").unwrap();
        assert_eq!(run.call(&mut store, ()).unwrap(), 5, "{mode}");
        assert_eq!(run.call(&mut store, ()).unwrap(), 6, "{mode}");
        let global = exporter.get_global(&mut store, "g").unwrap();
        assert_eq!(global.get(&mut store).i32(), Some(7), "{mode}");
        assert!(linker.instance(&mut store, "exporter", exporter).is_err(), "names are defined already");
    }
}

#[test]
fn modules_can_have_second_names() {
    let engine = Engine::default();
    let mut linker = Linker::<()>::new(&engine);
    linker.func_wrap("old", "f", || 1).unwrap();
    linker.func_wrap("old", "g", || 2).unwrap();
    linker.alias_module("old", "new").unwrap();
    let mut store = Store::new(&engine, ());
    let names: Vec<_> =
        linker.iter(&mut store).map(|(module, name, _)| format!("{module}::{name}")).collect();
    assert_eq!(names, ["new::f", "new::g", "old::f", "old::g"]);
    let error = linker.alias_module("none", "new").map(drop).unwrap_err();
    assert_eq!(error.to_string(), "nothing is defined in the module `none`");
    assert!(linker.alias_module("old", "new").is_err());
    assert_eq!(format!("{linker:?}"), r#"Linker {"new::f", "new::g", "old::f", "old::g"}"#);
}

#[test]
fn lookups_find_definitions_only() {
    let engine = Engine::default();
    let mut store = Store::new(&engine, 0);
    let mut linker = Linker::new(&engine);
    linker.func_wrap("host", "f", |x: i32| x).unwrap();
    for (module, name, found) in
        [("host", "f", true), ("host", "g", false), ("f", "host", false), ("", "", false)]
    {
        assert_eq!(linker.get(&mut store, module, name).is_some(), found, "{module}::{name}");
    }
    let module = module(&engine, IMPORTS_F);
    for import in module.imports() {
        assert!(linker.get_by_import(&mut store, &import).is_some());
        assert!(Linker::new(&engine).get_by_import(&mut store, &import).is_none());
    }
}

#[test]
fn unknown_functions_can_fail_when_they_are_called() {
    for (mode, engine) in engines() {
        let module = module(
            &engine,
            r#"(module
                (import "host" "known" (func $known (result i32)))
                (import "host" "unknown" (func $unknown (param i32) (result (ref func))))
                (func (export "good") (result i32) call $known)
                (func (export "bad") i32.const 1 call $unknown drop))"#,
        );
        let mut linker = Linker::<()>::new(&engine);
        linker.func_wrap("host", "known", || 7).unwrap();
        linker.define_unknown_imports_as_traps(&module).unwrap();
        let mut store = Store::new(&engine, ());
        let instance = linker.instantiate(&mut store, &module).unwrap();
        let good = instance.get_typed_func::<(), i32>(&mut store, "good").unwrap();
        assert_eq!(good.call(&mut store, ()).unwrap(), 7, "{mode}");
        let bad = instance.get_typed_func::<(), ()>(&mut store, "bad").unwrap();
        let error = bad.call(&mut store, ()).unwrap_err();
        let message = "unknown import: `host::unknown` (func (param i32) (result (ref func)))";
        assert_eq!(format!("{error:#}"), message, "{mode}");
        assert!(matches!(error.kind(), ErrorKind::UnknownImports(unknown) if unknown.len() == 1));
    }
}

#[test]
fn other_unknown_imports_stay_unknown() {
    let engine = Engine::default();
    let module = module(&engine, r#"(module (import "host" "m" (memory 1)) (import "host" "f" (func)))"#);
    let mut linker = Linker::<()>::new(&engine);
    linker.define_unknown_imports_as_traps(&module).unwrap();
    let error = linker.instantiate(&mut Store::new(&engine, ()), &module).unwrap_err();
    assert_eq!(error.to_string(), "unknown import: `host::m` (memory 1)");
}

#[test]
fn objects_of_another_store_are_refused() {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let mut other = Store::new(&engine, ());
    let func = Func::wrap(&mut store, |x: i32| x);
    let mut linker = Linker::new(&engine);
    assert!(linker.define(&other, "host", "f", func).is_err());
    linker.define(&store, "host", "f", func).unwrap();
    assert!(linker.instantiate(&mut other, &module(&engine, IMPORTS_F)).is_err());
    assert!(linker.instantiate(&mut store, &module(&engine, IMPORTS_F)).is_ok());
}

#[test]
fn an_error_of_a_start_function_comes_out_of_the_instantiation() {
    for (mode, engine) in engines() {
        let mut linker = Linker::<()>::new(&engine);
        linker.func_wrap("host", "fail", || -> Result<()> { Err(Error::host(std::fmt::Error)) }).unwrap();
        let module = module(&engine, r#"(module (import "host" "fail" (func $fail)) (start $fail))"#);
        let error = linker.instantiate(&mut Store::new(&engine, ()), &module).unwrap_err();
        assert!(error.is::<std::fmt::Error>(), "{mode}");
    }
}

#[test]
fn a_copy_of_a_linker_goes_its_own_way() {
    let engine = Engine::default();
    let mut linker = Linker::<()>::new(&engine);
    linker.func_wrap("host", "f", || ()).unwrap();
    let mut copy = linker.clone();
    copy.func_wrap("host", "g", || ()).unwrap();
    let mut store = Store::new(&engine, ());
    assert!(copy.get(&mut store, "host", "f").is_some() && copy.get(&mut store, "host", "g").is_some());
    assert!(linker.get(&mut store, "host", "g").is_none());
}
