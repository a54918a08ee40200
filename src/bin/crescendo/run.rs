//! The command `run`: a WASI program, or with `--invoke` one function.

use std::process::ExitCode;

use crescendo::{Engine, Error, Instance, Linker, Module, ProfilingStrategy, Result, Store};
use crescendo_wasi::{Dir, I32Exit, WasiCtx, WasiCtxBuilder, WasiError, ambient_authority};

use crate::invoke::Invocation;
use crate::options::{Profile, Run};
use crate::{module, output};

/// What a process is left with that `abort` ended: 128 + SIGABRT.
const TRAPPED: u8 = 134;

/// Runs the guest; the code is the guest's own, or [`TRAPPED`].
pub(crate) fn run(options: &Run) -> Result<ExitCode> {
    let mut config = options.mode.config();
    config.consume_fuel(options.fuel.is_some());
    config.profiler(match options.profile {
        None => ProfilingStrategy::None,
        Some(Profile::Perfmap) => ProfilingStrategy::PerfMap,
        Some(Profile::Jitdump) => ProfilingStrategy::JitDump,
    });
    let engine = Engine::new(&config)?;
    let module = module::load(&engine, &options.file)?;
    let invocation = match &options.invoke {
        Some(name) => Some(Invocation::new(&module, name, &options.args)?),
        None => None,
    };
    let mut store = Store::new(&engine, wasi_ctx(options)?);
    if let Some(fuel) = options.fuel {
        store.set_fuel(fuel)?;
    }
    let mut linker = Linker::new(&engine);
    crescendo_wasi::add_imports_to_linker(&mut linker, &module, |ctx| ctx)?;
    let outcome = match linker.instantiate(&mut store, &module) {
        Ok(instance) => start(&mut store, &module, instance, invocation),
        Err(error) => Err(error),
    };
    if options.tier_report {
        output::report(&module.tiering_report());
    }
    #[cfg(feature = "count-regions")]
    if let Some(path) = std::env::var_os("CRESCENDO_REGIONS") {
        let lines = crescendo::region_counts().into_iter();
        let text: String = lines.map(|(func, region, at, n)| format!("{func} {region} {at} {n}\n")).collect();
        std::fs::write(path, text).map_err(Error::host)?;
    }
    // The process ends: the system takes all back sooner than drops would.
    std::mem::forget((store, linker, module, engine));
    match outcome {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => conclude(error),
    }
}

/// Calls what the user asked for, once the module is instantiated.
fn start(
    store: &mut Store<WasiCtx>,
    module: &Module,
    instance: Instance,
    invocation: Option<Invocation>,
) -> Result<()> {
    // A reactor's constructors come before any of its functions.
    if let Some(initialize) = instance.get_func(&mut *store, "_initialize") {
        initialize.typed::<(), ()>(&*store)?.call(&mut *store, ())?;
    }
    if let Some(invocation) = invocation {
        return invocation.call(store, instance);
    }
    match instance.get_func(&mut *store, "_start") {
        Some(start) => start.typed::<(), ()>(&*store)?.call(&mut *store, ()),
        None => no_start(module),
    }
}

/// A module without `_start` has been run with its start function, unless it offers functions that could have been meant.
fn no_start(module: &Module) -> Result<()> {
    let names = crate::invoke::exported_funcs(module);
    if names.is_empty() {
        return Ok(());
    }
    Err(Error::msg(format_args!(
        "the module exports no function `_start`; call another with --invoke: {names}"
    )))
}

/// The exit code for the error that ended a guest; errors that are not the guest's own are passed on.
fn conclude(error: Error) -> Result<ExitCode> {
    if let Some(I32Exit(code)) = error.downcast_ref() {
        // As the operating system does it: the low byte.
        return Ok(ExitCode::from(code.to_le_bytes()[0]));
    }
    if error.trap().is_some() || error.is::<WasiError>() {
        output::error(&error);
        return Ok(ExitCode::from(TRAPPED));
    }
    Err(error)
}

/// The guest's view of the system: stdio is ours, all else is what the options grant.
fn wasi_ctx(options: &Run) -> Result<WasiCtx> {
    let mut builder = WasiCtxBuilder::new();
    builder.inherit_stdio();
    builder.arg(&options.file.to_string_lossy()).map_err(Error::host)?;
    if options.invoke.is_none() {
        builder.args(&options.args).map_err(Error::host)?;
    }
    builder.envs(&options.env).map_err(Error::host)?;
    for preopen in &options.dirs {
        let opening = || format!("cannot open the directory {}", preopen.host.display());
        let dir = Dir::open_ambient_dir(&preopen.host, ambient_authority())
            .map_err(|error| Error::from(error).context(opening()))?;
        builder.preopened_dir(dir, &preopen.guest).map_err(|error| Error::msg(error).context(opening()))?;
    }
    Ok(builder.build())
}
