//! The module `spectest`, which scripts import: functions that print (here: do nothing), globals, tables and a memory.

use crescendo::{Engine, Linker, Module, Result, Store};
use wast::parser::{self, ParseBuffer};

/// What needs no host function. The others are additions of memory64 and threads and left out where those are off.
const OBJECTS: [&str; 3] = [
    r#"(module
        (global (export "global_i32") i32 (i32.const 666))
        (global (export "global_i64") i64 (i64.const 666))
        (global (export "global_f32") f32 (f32.const 666.6))
        (global (export "global_f64") f64 (f64.const 666.6))
        (table (export "table") 10 20 funcref)
        (memory (export "memory") 1 2))"#,
    r#"(module (table (export "table64") i64 10 20 funcref))"#,
    r#"(module (memory (export "shared_memory") 1 2 shared))"#,
];

/// Defines `spectest` in `linker`.
pub(crate) fn define(engine: &Engine, store: &mut Store<()>, linker: &mut Linker<()>) -> Result<()> {
    linker.func_wrap("spectest", "print", || {})?;
    linker.func_wrap("spectest", "print_i32", |_: i32| {})?;
    linker.func_wrap("spectest", "print_i64", |_: i64| {})?;
    linker.func_wrap("spectest", "print_f32", |_: f32| {})?;
    linker.func_wrap("spectest", "print_f64", |_: f64| {})?;
    linker.func_wrap("spectest", "print_i32_f32", |_: i32, _: f32| {})?;
    linker.func_wrap("spectest", "print_f64_f64", |_: f64, _: f64| {})?;
    for (text, optional) in OBJECTS.iter().zip([false, true, true]) {
        let module = match Module::new(engine, encode(text)?) {
            Err(_) if optional => continue,
            module => module?,
        };
        let instance = linker.instantiate(&mut *store, &module)?;
        linker.instance(&mut *store, "spectest", instance)?;
    }
    Ok(())
}

fn encode(text: &str) -> Result<Vec<u8>> {
    let encode = || {
        let buffer = ParseBuffer::new(text)?;
        parser::parse::<wast::Wat<'_>>(&buffer)?.encode()
    };
    encode().map_err(|error: wast::Error| crescendo::Error::host(error))
}
