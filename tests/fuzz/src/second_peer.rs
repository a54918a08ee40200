//! wasmtime.

use crate::differential::{
    CallRecord, Contents, Kind, Observation, PEER_FUEL, Script, Stop, Value, host_call,
};
use wasmtime::{
    Config, Engine, Error, Extern, ExternType, HeapType, Linker, Module, OptLevel, Ref, Store, Trap, Val,
    ValType, WasmBacktrace,
};

/// An engine with all proposals that Crescendo has.
pub fn engine() -> Engine {
    let mut config = Config::new();
    config
        .consume_fuel(true)
        .cranelift_opt_level(OptLevel::None)
        .wasm_tail_call(true)
        .wasm_function_references(true)
        .wasm_multi_memory(true)
        .wasm_memory64(true)
        .wasm_extended_const(true);
    Engine::new(&config).expect("the configuration is valid")
}

/// Runs the script. An error says why the module cannot be run.
pub fn run(engine: &Engine, script: &Script) -> Result<Observation, String> {
    let module = Module::new(engine, &script.wasm).map_err(|error| format!("{error:?}"))?;
    let mut store = Store::new(engine, 0u64);
    store.set_fuel(PEER_FUEL).map_err(|error| error.to_string())?;
    let linker = linker(engine, &module)?;
    let record = |outcome, frames| CallRecord { outcome, fuel: None, frames };
    let mut observation = Observation {
        start: record(Ok(Vec::new()), Vec::new()),
        calls: Vec::new(),
        memories: Vec::new(),
        globals: Vec::new(),
        tables: Vec::new(),
        host: 0,
    };
    let instance = match linker.instantiate(&mut store, &module) {
        Ok(instance) => instance,
        Err(error) => match stop(&error) {
            Stop::Other(message) => return Err(message),
            stop => {
                observation.start = record(Err(stop), frames(&error));
                return Ok(observation);
            }
        },
    };
    for (name, arguments) in &script.calls {
        let func = instance.get_func(&mut store, name).ok_or("an export is gone")?;
        let arguments: Vec<Val> = arguments.iter().map(to_val).collect();
        let mut results = vec![Val::I32(0); func.ty(&store).results().len()];
        store.set_fuel(PEER_FUEL).map_err(|error| error.to_string())?;
        let (outcome, frames) = match func.call(&mut store, &arguments, &mut results) {
            Ok(()) => (Ok(results.iter().map(from_val).collect()), Vec::new()),
            Err(error) => (Err(stop(&error)), frames(&error)),
        };
        let ends = matches!(outcome, Err(Stop::OutOfFuel | Stop::StackOverflow));
        observation.calls.push(record(outcome, frames));
        if ends {
            return Ok(observation);
        }
    }
    for export in module.exports() {
        let name = export.name().to_string();
        match instance.get_export(&mut store, &name) {
            Some(Extern::Memory(memory)) => {
                observation.memories.push((name, Contents(memory.data(&store).to_vec())));
            }
            Some(Extern::Global(global)) => {
                let value = global.get(&mut store);
                observation.globals.push((name, from_val(&value)));
            }
            Some(Extern::Table(table)) => {
                let len = table.size(&store).min(100);
                let nulls = (0..len)
                    .map(|at| match table.get(&mut store, at) {
                        Some(Ref::Func(func)) => func.is_none(),
                        Some(Ref::Extern(reference)) => reference.is_none(),
                        _ => true,
                    })
                    .collect();
                observation.tables.push((name, nulls));
            }
            _ => {}
        }
    }
    observation.host = *store.data();
    observation.sort();
    Ok(observation)
}

fn linker(engine: &Engine, module: &Module) -> Result<Linker<u64>, String> {
    let mut linker = Linker::new(engine);
    linker.allow_shadowing(true);
    for import in module.imports() {
        let ExternType::Func(ty) = import.ty() else {
            return Err("an import that is no function".to_string());
        };
        let results: Vec<Kind> =
            ty.results().map(|ty| kind(&ty)).collect::<Option<_>>().ok_or("results of odd types")?;
        let name = import.name().to_string();
        linker
            .func_new(import.module(), import.name(), ty, move |mut caller, params, out| {
                let params: Vec<Value> = params.iter().map(from_val).collect();
                let answers = host_call(caller.data_mut(), &name, &params, &results);
                for (slot, answer) in out.iter_mut().zip(&answers) {
                    *slot = to_val(answer);
                }
                Ok(())
            })
            .map_err(|error| error.to_string())?;
    }
    Ok(linker)
}

fn kind(ty: &ValType) -> Option<Kind> {
    match ty {
        ValType::I32 => Some(Kind::I32),
        ValType::I64 => Some(Kind::I64),
        ValType::F32 => Some(Kind::F32),
        ValType::F64 => Some(Kind::F64),
        ValType::Ref(ty) => match ty.heap_type().top() {
            HeapType::Func => Some(Kind::Func),
            HeapType::Extern => Some(Kind::Extern),
            _ => None,
        },
        ValType::V128 => None,
    }
}

fn to_val(value: &Value) -> Val {
    match *value {
        Value::I32(value) => Val::I32(value),
        Value::I64(value) => Val::I64(value),
        Value::F32(bits) => Val::F32(bits),
        Value::F64(bits) => Val::F64(bits),
        Value::Func(_) => Val::FuncRef(None),
        Value::Extern(_) => Val::ExternRef(None),
    }
}

fn from_val(value: &Val) -> Value {
    match value {
        Val::I32(value) => Value::I32(*value),
        Val::I64(value) => Value::I64(*value),
        Val::F32(bits) => Value::F32(*bits),
        Val::F64(bits) => Value::F64(*bits),
        Val::FuncRef(func) => Value::Func(func.is_none()),
        Val::ExternRef(reference) => Value::Extern(reference.is_none()),
        _ => Value::Extern(true),
    }
}

fn stop(error: &Error) -> Stop {
    let Some(trap) = error.downcast_ref::<Trap>() else { return Stop::Other(format!("{error:?}")) };
    match trap {
        Trap::UnreachableCodeReached => Stop::Unreachable,
        Trap::MemoryOutOfBounds => Stop::MemoryOutOfBounds,
        Trap::TableOutOfBounds => Stop::TableOutOfBounds,
        Trap::IndirectCallToNull => Stop::NullElement,
        Trap::BadSignature => Stop::SignatureMismatch,
        Trap::IntegerOverflow => Stop::IntegerOverflow,
        Trap::IntegerDivisionByZero => Stop::DivisionByZero,
        Trap::BadConversionToInteger => Stop::BadConversion,
        Trap::NullReference => Stop::NullReference,
        Trap::StackOverflow => Stop::StackOverflow,
        Trap::OutOfFuel => Stop::OutOfFuel,
        other => Stop::Other(other.to_string()),
    }
}

fn frames(error: &Error) -> Vec<(u32, Option<usize>)> {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else { return Vec::new() };
    backtrace.frames().iter().map(|frame| (frame.func_index(), frame.module_offset())).collect()
}
