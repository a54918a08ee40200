//! Modules: where their bytes come from, what they say about themselves, what is refused.

use crate::setup::{engines, module};
use crescendo::{
    AsContext, Config, Engine, Error, ErrorKind, ExternType, Global, GlobalType, Instance, Memory,
    MemoryType, Module, ModuleLimits, Ref, RefType, Store, Table, TableType, Val, ValType,
};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

const TEXT: &str = r#"
    (module $named
        (import "env" "log" (func $log (param i32)))
        (import "env" "m" (memory 1 2))
        (import "env" "later" (func (result i64)))
        (func $first (export "one") (result i32) (i32.const 1))
        (func (export "two") (param f64) (unreachable))
        (global (export "g") (mut f32) (f32.const 1))
        (@custom "notes" "some text"))
"#;

/// A file that is removed at the end of a test.
struct TempFile(PathBuf);

impl TempFile {
    fn new(name: &str, contents: &[u8]) -> TempFile {
        let path = std::env::temp_dir().join(format!("crescendo-api-{}-{name}", std::process::id()));
        std::fs::write(&path, contents).unwrap();
        TempFile(path)
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn modules_come_from_files() {
    let bytes = wat::parse_str(r#"(module (func (export "one") (result i32) (i32.const 1)))"#).unwrap();
    let file = TempFile::new("module.wasm", &bytes);
    for (mode, engine) in engines() {
        let read = Module::from_file(&engine, &file.0).unwrap();
        // SAFETY: nobody knows the file but this test, which removes it and does not change it.
        let mapped = unsafe { Module::from_file_mmap(&engine, &file.0) }.unwrap();
        for module in [read, mapped] {
            assert_eq!(module.bytes(), bytes);
            let mut store = Store::new(&engine, ());
            let instance = Instance::new(&mut store, &module, &[]).unwrap();
            let one = instance.get_typed_func::<(), i32>(&store, "one").unwrap();
            assert_eq!(one.call(&mut store, ()).unwrap(), 1, "{mode}");
        }
    }
    let engine = Engine::default();
    let missing = file.0.with_extension("missing");
    let error = Module::from_file(&engine, &missing).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Io(_)) && error.to_string().contains("missing"), "{error}");
    // SAFETY: there is no such file.
    assert!(unsafe { Module::from_file_mmap(&engine, &missing) }.is_err());
}

#[test]
fn a_module_tells_what_it_consists_of() {
    let engine = Engine::default();
    let module = module(&engine, TEXT);
    assert_eq!(module.name(), Some("named"));
    assert!(module.engine().same(&engine));
    let imports: Vec<_> = module.imports().map(|import| import.to_string()).collect();
    assert_eq!(
        imports,
        ["`env::log` (func (param i32))", "`env::m` (memory 1 2)", "`env::later` (func (result i64))"]
    );
    let exports: Vec<_> = module.exports().map(|export| export.to_string()).collect();
    assert_eq!(exports, ["`one` (func (result i32))", "`two` (func (param f64))", "`g` (global (mut f32))"]);
    assert!(matches!(module.get_export("g"), Some(ExternType::Global(_))));
    assert!(module.get_export("h").is_none());
    let functions: Vec<_> =
        module.functions().map(|func| (func.index(), func.name(), func.body().is_some())).collect();
    assert_eq!(
        functions,
        [(0, Some("log"), false), (1, None, false), (2, Some("first"), true), (3, None, true)]
    );
    let body = module.functions().nth(2).unwrap().body().unwrap();
    assert_eq!(module.bytes()[body], [0, 0x41, 1, 0x0b]);
    let notes = module.custom_sections().find(|section| section.name() == "notes").unwrap();
    assert_eq!(notes.data(), b"some text");
}

#[test]
fn bytecode_can_be_listed() {
    for (mode, engine) in engines() {
        let module = module(&engine, TEXT);
        let text = module.disassemble(2).unwrap();
        assert!(!text.is_empty(), "{mode}");
        for index in [0, 1, 4, u32::MAX] {
            assert!(module.disassemble(index).is_err(), "{mode}: function {index} has no body");
        }
    }
}

#[test]
fn what_the_configuration_forbids_is_refused() {
    let mut limited = ModuleLimits::default();
    limited.functions = 1;
    let mut config = Config::new();
    config.wasm_tail_call(false).limits(limited);
    let engine = Engine::new(&config).unwrap();
    for (text, message) in [
        ("(module (func return_call 0))", "the tail call proposal is switched off"),
        ("(module (func) (func))", "functions: 2 exceeds the limit of 1"),
        ("(module (func try catch_all end))", "the legacy exception handling proposal is switched off"),
        ("(module (type (struct)))", "the GC proposal is not supported"),
        ("(module (func unreachable i64.add128 drop drop))", "the wide arithmetic proposal is switched off"),
    ] {
        let bytes = wat::parse_str(text).unwrap();
        let error = Module::new(&engine, &bytes).unwrap_err();
        assert!(error.to_string().contains(message), "{text}: {error}");
        assert!(matches!(error.kind(), ErrorKind::Module(_)));
        assert_eq!(Module::validate(&engine, &bytes).unwrap_err().to_string(), error.to_string());
    }
}

#[test]
fn bytecode_that_grows_too_large_is_an_error_of_the_call() {
    // A function with much code: the allowance covers the first 64 KiB of bytecode.
    let text = format!(
        r#"(module (func (export "f") (result i32) (i32.const 0) {}))"#,
        "(i32.add (i32.const 1))".repeat(20_000)
    );
    let engine = Engine::new(Config::new().fusion(false).max_bytecode_per_byte(0)).unwrap();
    let module = module(&engine, &text);
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[]).unwrap();
    let func = instance.get_typed_func::<(), i32>(&store, "f").unwrap();
    let error = func.call(&mut store, ()).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Limit(_)), "{error}");
    assert!(error.to_string().contains("function 0: bytecode exceeds the limit"), "{error}");
}

#[test]
fn objects_of_another_store_are_errors_or_panics() {
    let engine = Engine::default();
    let (mut own, mut other) = (Store::new(&engine, ()), Store::new(&engine, ()));
    let memory = Memory::new(&mut own, MemoryType::new(1, None)).unwrap();
    let ty = TableType::new(RefType::EXTERNREF, 1, None);
    let table = Table::new(&mut own, ty, Ref::Extern(None)).unwrap();
    let global = Global::new(&mut own, GlobalType::new(ValType::I32, true), Val::I32(1)).unwrap();
    let instance = Instance::new(&mut own, &module(&engine, "(module)"), &[]).unwrap();

    let wrong = |result: Result<(), Error>| {
        let error = result.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Arguments(_)), "{error}");
        assert!(error.to_string().contains("store"), "{error}");
    };
    wrong(memory.grow(&mut other, 1).map(drop));
    wrong(memory.read(&other, 0, &mut [0]));
    wrong(memory.write(&mut other, 0, &[0]));
    wrong(table.set(&mut other, 0, Ref::Extern(None)));
    wrong(table.grow(&mut other, 1, Ref::Extern(None)).map(drop));
    wrong(table.fill(&mut other, 0, Ref::Extern(None), 1));
    wrong(Table::copy(&mut other, &table, 0, &table, 0, 1));
    wrong(global.set(&mut other, Val::I32(1)));

    let other = other.as_context();
    let panics: [(&str, &dyn Fn()); 8] = [
        ("memory data", &|| _ = memory.data(&other).len()),
        ("memory size", &|| _ = memory.size(other)),
        ("memory type", &|| _ = memory.ty(other)),
        ("table get", &|| _ = table.get(other, 0)),
        ("table size", &|| _ = table.size(other)),
        ("global get", &|| _ = global.get(other)),
        ("global type", &|| _ = global.ty(other)),
        ("export", &|| _ = instance.get_export(other, "x")),
    ];
    for (what, call) in panics {
        assert!(catch_unwind(AssertUnwindSafe(call)).is_err(), "{what}");
    }
}

#[test]
fn types_that_no_module_could_declare_are_refused() {
    let mut store = Store::new(&Engine::default(), ());
    for ty in [
        MemoryType::new(2, Some(1)),
        MemoryType::new(65_537, None),
        MemoryType { shared: true, ..MemoryType::new(1, Some(1)) },
        MemoryType { page_size_log2: 200, ..MemoryType::new(0, None) },
        MemoryType { page_size_log2: 12, ..MemoryType::new(1, None) },
    ] {
        assert!(Memory::new(&mut store, ty).is_err(), "{ty:?}");
    }
    let ty = TableType::new(RefType::FUNCREF, 2, Some(1));
    assert!(Table::new(&mut store, ty, Ref::Func(None)).is_err());
    let ty = TableType::new(RefType::FUNCREF, 1, None);
    assert!(Table::new(&mut store, ty, Ref::Extern(None)).is_err());
    assert!(Global::new(&mut store, GlobalType::new(ValType::V128, false), Val::I64(0)).is_err());
}
