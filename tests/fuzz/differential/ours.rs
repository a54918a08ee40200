//! Crescendo in all its modes.

use super::generator::Random;
use super::{CallRecord, Contents, Kind, Observation, Script, Stop, Value, arguments, host_call};
use crescendo::{
    Config, Engine, Error, ErrorKind, Extern, ExternType, FuncType, HeapType, Linker, Module, Ref, Store,
    Tiering, TieringMode, TrapCode, Val, ValType, Validation,
};

/// Engines that must agree.
pub struct Modes {
    /// With fuel, which must be the same in each.
    pub fueled: Vec<(&'static str, Engine)>,
    /// Without.
    pub unfueled: Vec<(&'static str, Engine)>,
}

impl Modes {
    /// All modes.
    pub fn all() -> Modes {
        let tiered = |tiering: Tiering, set: &dyn Fn(&mut Config)| {
            let mut config = Config::new();
            config.tiering(tiering);
            set(&mut config);
            Engine::new(&config).expect("the configuration is valid")
        };
        let interpreted = || Tiering::new(TieringMode::InterpreterOnly);
        let eager = || Tiering::new(TieringMode::Eager);
        let at_once = |mode| Tiering::new(mode).calls(1).iterations(1);
        let half = |parity| at_once(TieringMode::Synchronous).mask(move |func| func % 2 == parity);
        let fueled = |tiering: Tiering, set: &dyn Fn(&mut Config)| {
            tiered(tiering, &|config| {
                config.consume_fuel(true);
                set(config);
            })
        };
        let unfused: &dyn Fn(&mut Config) = &|config| {
            config.fusion(false);
        };
        let checked: &dyn Fn(&mut Config) = &|config| {
            config.signals_based_traps(false);
        };
        let plain: &dyn Fn(&mut Config) = &|_| {};
        Modes {
            fueled: vec![
                ("fused", fueled(interpreted(), plain)),
                ("unfused", fueled(interpreted(), unfused)),
                ("checked", fueled(interpreted(), checked)),
                (
                    "unfused checked",
                    fueled(interpreted(), &|config| {
                        config.signals_based_traps(false).fusion(false).validation(Validation::Lazy);
                    }),
                ),
                ("eager", fueled(eager(), plain)),
                ("eager checked", fueled(eager(), checked)),
                ("synchronous", fueled(at_once(TieringMode::Synchronous), plain)),
                ("even functions", fueled(half(0), plain)),
                ("odd functions", fueled(half(1), unfused)),
                ("dynamic", fueled(at_once(TieringMode::Dynamic), plain)),
            ],
            unfueled: vec![
                ("fused without fuel", tiered(interpreted(), plain)),
                ("unfused without fuel", tiered(interpreted(), unfused)),
                ("checked without fuel", tiered(interpreted(), checked)),
                ("eager without fuel", tiered(eager(), plain)),
                ("synchronous without fuel", tiered(at_once(TieringMode::Synchronous), plain)),
                ("odd functions without fuel", tiered(half(1), checked)),
            ],
        }
    }
}

/// A script that calls every exported function, each `rounds` times.
pub fn script(
    engine: &Engine,
    wasm: Vec<u8>,
    common: bool,
    seed: u64,
    fuel: u64,
    rounds: usize,
) -> Result<Script, Error> {
    let module = Module::new(engine, &wasm)?;
    let mut random = Random::new(seed ^ 0xa5a5);
    let mut calls = Vec::new();
    for _ in 0..rounds {
        for export in module.exports() {
            let ExternType::Func(ty) = export.ty() else { continue };
            if let Some(kinds) = kinds(ty.params()) {
                calls.push((export.name().to_string(), arguments(&kinds, &mut random)));
            }
        }
    }
    Ok(Script { wasm, common, fuel, calls })
}

/// Runs the script. An error says why the module cannot be run.
pub fn run(engine: &Engine, script: &Script) -> Result<Observation, String> {
    let module = Module::new(engine, &script.wasm).map_err(|error| error.to_string())?;
    let mut store = Store::new(engine, 0u64);
    let refuel = |store: &mut Store<u64>| {
        // Without fuel this is an error, and meant.
        let _ = store.set_fuel(script.fuel);
    };
    refuel(&mut store);
    let linker = linker(engine, &module)?;
    let instance = linker.instantiate(&mut store, &module);
    let fuel = store.get_fuel().ok();
    let (start, instance) = match instance {
        Ok(instance) => (CallRecord { outcome: Ok(Vec::new()), fuel, frames: Vec::new() }, Some(instance)),
        Err(error) => match stop(&error) {
            Stop::Other(message) => return Err(message),
            stop => (CallRecord { outcome: Err(stop), fuel, frames: frames(&error) }, None),
        },
    };
    let mut observation = Observation {
        start,
        calls: Vec::new(),
        memories: Vec::new(),
        globals: Vec::new(),
        tables: Vec::new(),
        host: 0,
    };
    let Some(instance) = instance else { return Ok(observation) };
    for (name, arguments) in &script.calls {
        let func = instance.get_func(&store, name).ok_or("an export is gone")?;
        let arguments: Vec<Val> = arguments.iter().map(to_val).collect();
        let mut results = vec![Val::I32(0); func.ty(&store).results().len()];
        refuel(&mut store);
        let called = func.call(&mut store, &arguments, &mut results);
        let (outcome, frames) = match called {
            Ok(()) => (Ok(results.iter().map(from_val).collect()), Vec::new()),
            Err(error) => (Err(stop(&error)), frames(&error)),
        };
        let ends = matches!(outcome, Err(Stop::OutOfFuel | Stop::StackOverflow));
        observation.calls.push(CallRecord { outcome, fuel: store.get_fuel().ok(), frames });
        if ends {
            break;
        }
    }
    let items: Vec<(String, Extern)> =
        instance.exports(&store).map(|export| (export.name().to_string(), export.into_extern())).collect();
    for (name, item) in items {
        match item {
            Extern::Memory(memory) => {
                observation.memories.push((name, Contents(memory.data(&store).to_vec())));
            }
            Extern::Global(global) => observation.globals.push((name, from_val(&global.get(&store)))),
            Extern::Table(table) => {
                let null = |at| table.get(&store, at).is_none_or(|element| element.is_null());
                let nulls = (0..table.size(&store).min(100)).map(null).collect();
                observation.tables.push((name, nulls));
            }
            _ => {}
        }
    }
    observation.host = *store.data();
    observation.sort();
    Ok(observation)
}

/// A linker with the host functions that the module imports.
fn linker(engine: &Engine, module: &Module) -> Result<Linker<u64>, String> {
    let mut linker = Linker::new(engine);
    linker.allow_shadowing(true);
    for import in module.imports() {
        let ExternType::Func(ty) = import.ty() else {
            return Err("an import that is no function".to_string());
        };
        let results = kinds(ty.results()).ok_or("an import with results of odd types")?;
        let name = import.name().to_string();
        linker
            .func_new(import.module(), import.name(), FuncType::clone(ty), move |mut caller, params, out| {
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

/// The kinds of the types, if arguments of them can be made.
pub fn kinds(types: &[ValType]) -> Option<Vec<Kind>> {
    types
        .iter()
        .map(|ty| match ty {
            ValType::I32 => Some(Kind::I32),
            ValType::I64 => Some(Kind::I64),
            ValType::F32 => Some(Kind::F32),
            ValType::F64 => Some(Kind::F64),
            ValType::Ref(ty) if !ty.nullable => None,
            ValType::Ref(ty) if ty.heap.matches(HeapType::Func) => Some(Kind::Func),
            ValType::Ref(_) => Some(Kind::Extern),
            ValType::V128 => None,
        })
        .collect()
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
        other => match other.ref_() {
            Some(Ref::Func(func)) => Value::Func(func.is_none()),
            Some(Ref::Extern(reference)) => Value::Extern(reference.is_none()),
            _ => Value::Extern(true),
        },
    }
}

fn stop(error: &Error) -> Stop {
    if let ErrorKind::Bug(message) = error.kind() {
        return Stop::Other(format!("a defect: {message}"));
    }
    let Some(trap) = error.trap() else { return Stop::Other(error.to_string()) };
    match trap.code() {
        TrapCode::UnreachableCodeReached => Stop::Unreachable,
        TrapCode::MemoryOutOfBounds => Stop::MemoryOutOfBounds,
        TrapCode::TableOutOfBounds | TrapCode::UndefinedElement => Stop::TableOutOfBounds,
        TrapCode::UninitializedElement => Stop::NullElement,
        TrapCode::IndirectCallTypeMismatch => Stop::SignatureMismatch,
        TrapCode::IntegerOverflow => Stop::IntegerOverflow,
        TrapCode::IntegerDivisionByZero => Stop::DivisionByZero,
        TrapCode::BadConversionToInteger => Stop::BadConversion,
        TrapCode::StackOverflow => Stop::StackOverflow,
        TrapCode::OutOfFuel => Stop::OutOfFuel,
        TrapCode::NullReference | TrapCode::NullFunctionReference => Stop::NullReference,
        code => Stop::Other(format!("{code:?}")),
    }
}

fn frames(error: &Error) -> Vec<(u32, Option<usize>)> {
    let Some(backtrace) = error.backtrace() else { return Vec::new() };
    backtrace.frames().iter().map(|frame| (frame.func_index(), frame.module_offset())).collect()
}
