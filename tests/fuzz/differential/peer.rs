//! wasmi.

use super::{CallRecord, Contents, Kind, Observation, PEER_FUEL, Script, Stop, Value, host_call};
use wasmi::{
    Config, Engine, Error, Extern, ExternType, F32, F64, Linker, Module, Nullable, Ref, Store, TrapCode, Val,
    ValType,
};

/// An engine with all its proposals, for any number of scripts.
pub fn engine() -> Engine {
    let mut config = Config::default();
    config.consume_fuel(true).wasm_multi_memory(true).wasm_memory64(true).wasm_tail_call(true);
    Engine::new(&config)
}

/// Runs the script. An error says why the module cannot be run.
pub fn run(engine: &Engine, script: &Script) -> Result<Observation, String> {
    let module = Module::new(engine, &script.wasm).map_err(|error| error.to_string())?;
    let mut store = Store::new(engine, 0u64);
    store.set_fuel(PEER_FUEL).map_err(|error| error.to_string())?;
    let linker = linker(engine, &module)?;
    let record = |outcome| CallRecord { outcome, fuel: None, frames: Vec::new() };
    let mut observation = Observation {
        start: record(Ok(Vec::new())),
        calls: Vec::new(),
        memories: Vec::new(),
        globals: Vec::new(),
        tables: Vec::new(),
        host: 0,
    };
    let instance = match linker.instantiate_and_start(&mut store, &module) {
        Ok(instance) => instance,
        Err(error) => match stop(&error) {
            Stop::Other(message) => return Err(message),
            stop => {
                observation.start = record(Err(stop));
                return Ok(observation);
            }
        },
    };
    for (name, arguments) in &script.calls {
        let func = instance.get_func(&store, name).ok_or("an export is gone")?;
        let arguments: Vec<Val> = arguments.iter().map(to_val).collect();
        let mut results = vec![Val::I32(0); func.ty(&store).results().len()];
        store.set_fuel(PEER_FUEL).map_err(|error| error.to_string())?;
        let outcome = match func.call(&mut store, &arguments, &mut results) {
            Ok(()) => Ok(results.iter().map(from_val).collect()),
            Err(error) => Err(stop(&error)),
        };
        let ends = matches!(outcome, Err(Stop::OutOfFuel | Stop::StackOverflow));
        observation.calls.push(record(outcome));
        if ends {
            return Ok(observation);
        }
    }
    for export in module.exports() {
        let name = export.name().to_string();
        match instance.get_export(&store, &name) {
            Some(Extern::Memory(memory)) => {
                observation.memories.push((name, Contents(memory.data(&store).to_vec())));
            }
            Some(Extern::Global(global)) => observation.globals.push((name, from_val(&global.get(&store)))),
            Some(Extern::Table(table)) => {
                let null = |at| match table.get(&store, at) {
                    Some(Ref::Func(func)) => func.is_null(),
                    Some(Ref::Extern(reference)) => reference.is_null(),
                    None => true,
                };
                let nulls = (0..table.size(&store).min(100)).map(null).collect();
                observation.tables.push((name, nulls));
            }
            Some(Extern::Func(_)) | None => {}
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
            ty.results().iter().map(kind).collect::<Option<_>>().ok_or("results of odd types")?;
        let name = import.name().to_string();
        linker
            .func_new(import.module(), import.name(), ty.clone(), move |mut caller, params, out| {
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
        ValType::FuncRef => Some(Kind::Func),
        ValType::ExternRef => Some(Kind::Extern),
        ValType::V128 => None,
    }
}

fn to_val(value: &Value) -> Val {
    match *value {
        Value::I32(value) => Val::I32(value),
        Value::I64(value) => Val::I64(value),
        Value::F32(bits) => Val::F32(F32::from_bits(bits)),
        Value::F64(bits) => Val::F64(F64::from_bits(bits)),
        Value::Func(_) => Val::FuncRef(Nullable::Null),
        Value::Extern(_) => Val::ExternRef(Nullable::Null),
    }
}

fn from_val(value: &Val) -> Value {
    match value {
        Val::I32(value) => Value::I32(*value),
        Val::I64(value) => Value::I64(*value),
        Val::F32(value) => Value::F32(value.to_bits()),
        Val::F64(value) => Value::F64(value.to_bits()),
        Val::FuncRef(func) => Value::Func(func.is_null()),
        Val::ExternRef(reference) => Value::Extern(reference.is_null()),
        Val::V128(_) => Value::Extern(true),
    }
}

fn stop(error: &Error) -> Stop {
    let Some(code) = error.as_trap_code() else { return Stop::Other(error.to_string()) };
    match code {
        TrapCode::UnreachableCodeReached => Stop::Unreachable,
        TrapCode::MemoryOutOfBounds => Stop::MemoryOutOfBounds,
        TrapCode::TableOutOfBounds => Stop::TableOutOfBounds,
        TrapCode::IndirectCallToNull => Stop::NullElement,
        TrapCode::BadSignature => Stop::SignatureMismatch,
        TrapCode::IntegerOverflow => Stop::IntegerOverflow,
        TrapCode::IntegerDivisionByZero => Stop::DivisionByZero,
        TrapCode::BadConversionToInteger => Stop::BadConversion,
        TrapCode::StackOverflow => Stop::StackOverflow,
        TrapCode::OutOfFuel => Stop::OutOfFuel,
        code => Stop::Other(format!("{code:?}")),
    }
}
