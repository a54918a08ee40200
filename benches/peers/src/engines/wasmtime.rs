//! Wasmtime as a [`Peer`], with its default settings: Cranelift, optimising for speed.

use super::{End, Outcome, Peer, STACK, timed};
use crate::Result;
use crate::cases::{Case, Start};
use crate::wasi::{self, Exit, World};
use wasmtime::{Caller, Config, Engine, Extern, ExternType, Linker, Module, Store, Val, ValType};

/// Wasmtime.
pub struct Wasmtime;

fn engine() -> Result<Engine> {
    let mut config = Config::new();
    config.max_wasm_stack(STACK).async_stack_size(2 * STACK);
    Ok(Engine::new(&config)?)
}

impl Peer for Wasmtime {
    const NAME: &str = "wasmtime";
    type Module = Module;

    fn load(wasm: &[u8]) -> Result<Module> {
        Ok(Module::new(&engine()?, wasm)?)
    }

    fn run(module: &Module, case: &Case) -> Result<Outcome> {
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
        let func = instance.get_func(&mut store, name).ok_or_else(|| format!("no function `{name}`"))?;
        let ty = func.ty(&store);
        let params: Vec<Val> = (ty.params().zip(params))
            .map(
                |(ty, param)| {
                    if matches!(ty, ValType::I64) { Val::I64(param) } else { Val::I32(param as i32) }
                },
            )
            .collect();
        let mut results: Vec<Val> = ty.results().filter_map(|ty| Val::default_for_ty(&ty)).collect();
        let (called, elapsed) = timed(|| func.call(&mut store, &params, &mut results));
        let result = match called {
            Ok(()) => results.first().map_or(0, bits),
            Err(error) => match error.downcast_ref::<Exit>() {
                Some(Exit(code)) => u64::from(*code),
                None => return Err(error.to_string().into()),
            },
        };
        let memory = instance.get_memory(&mut store, "memory").map(|memory| memory.data(&store).to_vec());
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
) -> wasmtime::Result<()> {
    let Some(Extern::Memory(memory)) = caller.get_export("memory") else {
        return Err(wasmtime::Error::msg("no memory"));
    };
    let params: Vec<u64> = params.iter().map(bits).collect();
    let (memory, world) = memory.data_and_store_mut(caller);
    let errno = world.call(name, memory, &params).map_err(|error| wasmtime::Error::msg(error.to_string()))?;
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
