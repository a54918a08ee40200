//! Instances that import each other's functions, tables, memories and globals.

use crate::setup::{engines, instance, module};
use crescendo::{
    Extern, Func, Global, GlobalType, Instance, Linker, Memory, MemoryType, Ref, RefType, Store, Table,
    TableType, TrapCode, Val, ValType,
};

const PROVIDER: &str = r#"
    (module
        (memory (export "memory") 1 4)
        (table (export "table") 4 8 funcref)
        (global (export "counter") (mut i64) (i64.const 40))
        (global (export "ten") i32 (i32.const 10))
        (global $calls (mut i32) (i32.const 0))
        (func (export "bump") (param i64) (result i64)
            (global.set 0 (i64.add (global.get 0) (local.get 0)))
            (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
            (global.get 0))
        (func (export "calls") (result i32) (global.get $calls))
        (func (export "load") (param i32) (result i32) (i32.load (local.get 0)))
        (func (export "grow") (result i32) (memory.grow (i32.const 1)))
        (func (export "call") (param i32) (result i32) (call_indirect (result i32) (local.get 0))))
"#;

const USER: &str = r#"
    (module
        (import "p" "memory" (memory 1))
        (import "p" "table" (table 4 funcref))
        (import "p" "counter" (global $counter (mut i64)))
        (import "p" "ten" (global $ten i32))
        (import "p" "bump" (func $bump (param i64) (result i64)))
        (global $offset i32 (i32.add (global.get $ten) (i32.const 6)))
        (memory $own 1)
        (func $answer (result i32) (i32.add (global.get $ten) (i32.const 32)))
        (elem (i32.const 1) $answer)
        (data (offset (i32.add (global.get $ten) (i32.const 6))) "\2a\00\00\00")
        (func (export "bump twice") (param i64) (result i64)
            (drop (call $bump (local.get 0)))
            (i64.add (call $bump (local.get 0)) (global.get $counter)))
        (func (export "size") (result i32) (memory.size 0))
        (func (export "offset") (result i32) (global.get $offset))
        (func (export "store") (param i32 i32) (i32.store (local.get 0) (local.get 1)))
        (export "memory again" (memory 0))
        (export "bump again" (func $bump)))
"#;

fn both<T>(store: &mut Store<T>) -> (Instance, Instance) {
    let engine = store.engine().clone();
    let provider = instance(store, PROVIDER);
    let mut linker = Linker::new(&engine);
    linker.instance(&mut *store, "p", provider).unwrap();
    let user = linker.instantiate(&mut *store, &module(&engine, USER)).unwrap();
    (provider, user)
}

#[test]
pub fn imports_of_all_kinds_are_shared() {
    for (mode, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let (provider, user) = both(&mut store);
        let func = |store: &Store<()>, instance: Instance, name| instance.get_func(store, name).unwrap();

        // A function runs in its own instance.
        let bump = func(&store, user, "bump twice").typed::<i64, i64>(&store).unwrap();
        assert_eq!(bump.call(&mut store, 1).unwrap(), 84, "{mode}");
        let calls = func(&store, provider, "calls").typed::<(), i32>(&store).unwrap();
        assert_eq!(calls.call(&mut store, ()).unwrap(), 2, "{mode}");
        assert_eq!(func(&store, provider, "bump"), func(&store, user, "bump again"));

        // The user's segments went to the provider's memory and table.
        let load = func(&store, provider, "load").typed::<i32, i32>(&store).unwrap();
        assert_eq!(load.call(&mut store, 16).unwrap(), 42, "{mode}");
        let call = func(&store, provider, "call").typed::<i32, i32>(&store).unwrap();
        assert_eq!(call.call(&mut store, 1).unwrap(), 42, "{mode}");
        assert_eq!(
            call.call(&mut store, 2).unwrap_err().trap().unwrap().code(),
            TrapCode::UninitializedElement
        );
        let offset = func(&store, user, "offset").typed::<(), i32>(&store).unwrap();
        assert_eq!(offset.call(&mut store, ()).unwrap(), 16, "{mode}");

        // Growth is seen by both, also where the base moves.
        let grow = func(&store, provider, "grow").typed::<(), i32>(&store).unwrap();
        assert_eq!(grow.call(&mut store, ()).unwrap(), 1, "{mode}");
        let size = func(&store, user, "size").typed::<(), i32>(&store).unwrap();
        assert_eq!(size.call(&mut store, ()).unwrap(), 2, "{mode}");
        let write = func(&store, user, "store").typed::<(i32, i32), ()>(&store).unwrap();
        write.call(&mut store, (0x1_fffc, 7)).unwrap();
        assert_eq!(load.call(&mut store, 0x1_fffc).unwrap(), 7, "{mode}");
        let memory = provider.get_memory(&store, "memory").unwrap();
        assert_eq!(Some(memory), user.get_memory(&store, "memory again"));
        assert_eq!(memory.data(&store)[0x1_fffc], 7);
    }
}

#[test]
fn objects_of_the_host_are_shared_with_guests() {
    let text = r#"
        (module
            (import "h" "m" (memory 1 2))
            (import "h" "t" (table 2 externref))
            (import "h" "g" (global $g (mut i32)))
            (func (export "run") (param externref) (result i32)
                (table.set (i32.const 1) (local.get 0))
                (i32.store8 (i32.const 3) (i32.const 9))
                (global.set $g (i32.add (global.get $g) (i32.const 1)))
                (memory.grow (i32.const 5))))
    "#;
    for (mode, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let memory = Memory::new(&mut store, MemoryType::new(1, Some(2))).unwrap();
        let table =
            Table::new(&mut store, TableType::new(RefType::EXTERNREF, 2, None), Ref::Extern(None)).unwrap();
        let global = Global::new(&mut store, GlobalType::new(ValType::I32, true), Val::I32(5)).unwrap();
        let imports: [Extern; 3] = [memory.into(), table.into(), global.into()];
        let instance = Instance::new(&mut store, &module(&engine, text), &imports).unwrap();
        let run = instance.get_func(&store, "run").unwrap();
        let value = crescendo::ExternRef::new(&mut store, "mine").unwrap();
        let mut results = [Val::I32(0)];
        run.call(&mut store, &[value.into()], &mut results).unwrap();
        assert_eq!(results[0].i32(), Some(-1), "{mode}");
        assert_eq!(memory.data(&store)[3], 9, "{mode}");
        assert_eq!(global.get(&store).i32(), Some(6), "{mode}");
        assert_eq!(table.get(&store, 1).unwrap().unwrap_extern(), Some(value), "{mode}");
    }
}

#[test]
fn a_table_shared_by_instances_calls_across_them() {
    // Every instance puts its own function into the table, all share the host's.
    let text = r#"
        (module
            (import "h" "t" (table 8 funcref))
            (import "h" "n" (global $n i32))
            (func $id (result i32) (global.get $n))
            (elem (global.get $n) $id)
            (func (export "call") (param i32) (result i32) (call_indirect (result i32) (local.get 0))))
    "#;
    for (mode, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let module = module(&engine, text);
        let host = Func::wrap(&mut store, || 77);
        let ty = TableType::new(RefType::FUNCREF, 8, None);
        let table = Table::new(&mut store, ty, Ref::Func(Some(host))).unwrap();
        let mut instances = Vec::new();
        for n in 0..4 {
            let ty = GlobalType::new(ValType::I32, false);
            let number = Global::new(&mut store, ty, Val::I32(n)).unwrap();
            instances.push(Instance::new(&mut store, &module, &[table.into(), number.into()]).unwrap());
        }
        for instance in instances {
            let call = instance.get_typed_func::<i32, i32>(&store, "call").unwrap();
            for n in 0..4 {
                assert_eq!(call.call(&mut store, n).unwrap(), n, "{mode}");
            }
            assert_eq!(call.call(&mut store, 5).unwrap(), 77, "{mode}");
            let error = call.call(&mut store, 8).unwrap_err();
            assert_eq!(error.trap().unwrap().code(), TrapCode::UndefinedElement);
        }
    }
}

#[test]
fn an_imported_size_counts_as_it_is_now() {
    for (mode, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let memory = Memory::new(&mut store, MemoryType::new(1, Some(3))).unwrap();
        let needs = |n| module(&engine, &format!(r#"(module (import "h" "m" (memory {n} 3)))"#));
        assert!(Instance::new(&mut store, &needs(2), &[memory.into()]).is_err(), "{mode}");
        memory.grow(&mut store, 1).unwrap();
        assert!(Instance::new(&mut store, &needs(2), &[memory.into()]).is_ok(), "{mode}");
        let error = Instance::new(&mut store, &needs(3), &[memory.into()]).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("expected (memory 3 3)") && text.contains("found (memory 2 3)"), "{text}");
        assert_eq!(memory.ty(&store), MemoryType::new(1, Some(3)), "the declared type stays");
    }
}

#[test]
fn instances_of_one_module_have_their_own_state() {
    let text = r#"
        (module
            (memory (export "m") 1) (global $g (mut i32) (i32.const 0))
            (func (export "next") (result i32)
                (global.set $g (i32.add (global.get $g) (i32.const 1)))
                (i32.store (i32.const 0) (global.get $g))
                (i32.load (i32.const 0))))
    "#;
    for (mode, engine) in engines() {
        let module = module(&engine, text);
        let mut stores = [Store::new(&engine, ()), Store::new(&engine, ())];
        for round in 1..4 {
            for store in &mut stores {
                let instance = Instance::new(&mut *store, &module, &[]).unwrap();
                let next = instance.get_typed_func::<(), i32>(&*store, "next").unwrap();
                for expected in 1..=round {
                    assert_eq!(next.call(&mut *store, ()).unwrap(), expected, "{mode}");
                }
            }
        }
    }
}

#[test]
fn missing_imports_are_listed_together() {
    let engine = engines().remove(0).1;
    let mut store = Store::new(&engine, ());
    let module = module(
        &engine,
        r#"(module (import "a" "f" (func)) (import "a" "m" (memory 1)) (import "b" "g" (global i64)))"#,
    );
    let f = Func::wrap(&mut store, || ());
    let text = Instance::new(&mut store, &module, &[f.into()]).unwrap_err().to_string();
    assert!(text.contains("`a::m` (memory 1)") && text.contains("`b::g` (global i64)"), "{text}");
    let all = [f.into(), f.into(), f.into(), f.into()];
    let text = Instance::new(&mut store, &module, &all).unwrap_err().to_string();
    assert!(text.contains("4 items for a module with 3 imports"), "{text}");
    let text = Instance::new(&mut store, &module, &all[..3]).unwrap_err().to_string();
    assert!(text.contains("`a::m`: expected (memory 1), found (func)"), "{text}");
}

#[test]
fn engines_do_not_mix() {
    let mut engines = engines();
    let (one, other) = (engines.remove(0).1, engines.remove(0).1);
    let mut store = Store::new(&one, ());
    let foreign = module(&other, "(module)");
    assert!(Instance::new(&mut store, &foreign, &[]).unwrap_err().to_string().contains("engines"));
}
