//! This engine as a [`Peer`].

use super::{End, Outcome, Peer, STACK, timed};
use crate::Result;
use crate::cases::{Case, Start};
use crate::wasi::{self, Exit, World};
use crescendo::{
    Caller, Config, Engine, Extern, ExternType, Linker, Module, Store, Tiering, TieringMode, Val, ValType,
    Validation,
};

/// This engine's interpreter.
pub struct Crescendo;

/// This engine as it is by default: hot code is compiled while the guest runs.
pub struct Tiered;

/// An engine that only interprets, with the settings of all runs.
pub fn engine(validation: Validation) -> Result<Engine> {
    engine_with(validation, TieringMode::InterpreterOnly)
}

fn engine_with(validation: Validation, mode: TieringMode) -> Result<Engine> {
    let mut config = Config::new();
    config.max_wasm_stack(STACK).validation(validation).tiering(Tiering::new(mode));
    Ok(Engine::new(&config)?)
}

impl Peer for Crescendo {
    const NAME: &str = "crescendo";
    type Module = Module;

    fn load(wasm: &[u8]) -> Result<Module> {
        Ok(Module::new(&engine(Validation::Eager)?, wasm)?)
    }

    fn run(module: &Module, case: &Case) -> Result<Outcome> {
        run(module, case)
    }
}

impl Peer for Tiered {
    const NAME: &str = "crescendo";
    type Module = Module;

    fn load(wasm: &[u8]) -> Result<Module> {
        Ok(Module::new(&engine_with(Validation::Eager, TieringMode::Dynamic)?, wasm)?)
    }

    fn run(module: &Module, case: &Case) -> Result<Outcome> {
        run(module, case)
    }
}

fn run(module: &Module, case: &Case) -> Result<Outcome> {
    {
        let world = match &case.start {
            Start::Kernel { .. } => World::new(&[], &[]),
            Start::Program { args, stdin, .. } => World::new(&[&[case.name.as_str()], *args].concat(), stdin),
        };
        let mut store = Store::new(module.engine(), world);
        let instance = linker(module)?.instantiate(&mut store, module)?;
        let (params, name) = match case.start {
            Start::Kernel { argument } => (vec![argument], "run"),
            Start::Program { .. } => (Vec::new(), "_start"),
        };
        let func = instance.get_func(&store, name).ok_or_else(|| format!("no function `{name}`"))?;
        let ty = func.ty(&store);
        let params: Vec<Val> = (ty.params().iter().zip(params))
            .map(|(ty, param)| if *ty == ValType::I64 { Val::I64(param) } else { Val::I32(param as i32) })
            .collect();
        let mut results: Vec<Val> = ty.results().iter().filter_map(Val::default_for_ty).collect();
        let (called, elapsed) = timed(|| func.call(&mut store, &params, &mut results));
        let result = match called {
            Ok(()) => results.first().map_or(0, bits),
            Err(error) => match error.downcast_ref::<Exit>() {
                Some(Exit(code)) => u64::from(*code),
                None => return Err(error.into()),
            },
        };
        let memory = instance.get_memory(&store, "memory").map(|memory| memory.data(&store).to_vec());
        let World { stdout, stderr, .. } = store.into_data();
        Ok(Outcome { elapsed, end: End { result, stdout, stderr, memory: memory.unwrap_or_default() } })
    }
}

/// A linker with all functions of WASI that the module imports.
fn linker(module: &Module) -> Result<Linker<World>> {
    let mut linker = Linker::new(module.engine());
    for import in module.imports().filter(|import| import.module() == wasi::MODULE) {
        let ExternType::Func(ty) = import.ty() else { continue };
        let name = import.name().to_string();
        linker.func_new(wasi::MODULE, import.name(), ty.clone(), move |mut caller, params, results| {
            call(&mut caller, &name, params, results)
        })?;
    }
    Ok(linker)
}

fn call(
    caller: &mut Caller<'_, World>,
    name: &str,
    params: &[Val],
    results: &mut [Val],
) -> crescendo::Result<()> {
    let Some(Extern::Memory(memory)) = caller.get_export("memory") else {
        return Err(crescendo::Error::msg("no memory"));
    };
    let params: Vec<u64> = params.iter().map(bits).collect();
    let (memory, world) = memory.data_and_store_mut(caller);
    let errno = world.call(name, memory, &params).map_err(crescendo::Error::host)?;
    if let Some(result) = results.first_mut() {
        *result = Val::I32(errno as i32);
    }
    Ok(())
}

fn bits(value: &Val) -> u64 {
    match *value {
        Val::I32(value) => u64::from(value as u32),
        Val::I64(value) => value as u64,
        Val::F32(bits) => u64::from(bits),
        Val::F64(bits) => bits,
        _ => 0,
    }
}
