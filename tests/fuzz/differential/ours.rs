//! Crescendo in all its modes.

use super::adapter::engine_adapter;
use super::generator::Random;
use super::{Extra, Kind, Script, Stop, arguments};
use crescendo::{
    Baseline, Config, Engine, Error, ErrorKind, Extern, ExternType, HeapType, Module, Store, ThrownException,
    Tiering, TieringMode, ValType, Validation,
};

/// An engine and what its configuration is called.
pub type Mode = (&'static str, Engine);

/// Engines that must agree.
pub struct Modes {
    /// With fuel, which must be the same in each.
    pub fueled: Vec<Mode>,
    /// Without.
    pub unfueled: Vec<Mode>,
}

impl Modes {
    /// All modes.
    pub fn all() -> Modes {
        let tiered = |tiering: Tiering, set: &dyn Fn(&mut Config)| {
            let mut config = Config::new();
            config.tiering(tiering).wasm_wide_arithmetic(true).wasm_custom_page_sizes(true);
            set(&mut config);
            Engine::new(&config).expect("the configuration is valid")
        };
        let interpreted = || Tiering::new(TieringMode::InterpreterOnly);
        let eager = || Tiering::new(TieringMode::Eager);
        let at_once = |mode| Tiering::new(mode).calls(1).iterations(1);
        // Callees have code before their callers, and functions before their loops.
        let in_order = || Tiering::new(TieringMode::Synchronous).calls(2).iterations(3).max_inlined_bytes(0);
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
                ("eager baseline", fueled(eager().baseline(Baseline::Always), plain)),
                ("eager inlined", fueled(eager().max_inlined_bytes(1 << 16), plain)),
                ("synchronous", fueled(at_once(TieringMode::Synchronous), plain)),
                ("functions before loops", fueled(in_order(), plain)),
                ("even functions", fueled(half(0), plain)),
                ("odd functions", fueled(half(1), unfused)),
                ("dynamic", fueled(at_once(TieringMode::Dynamic).baseline(Baseline::Always), plain)),
            ],
            unfueled: vec![
                ("fused without fuel", tiered(interpreted(), plain)),
                ("unfused without fuel", tiered(interpreted(), unfused)),
                ("checked without fuel", tiered(interpreted(), checked)),
                ("eager without fuel", tiered(eager(), plain)),
                ("eager inlined without fuel", tiered(eager().max_inlined_bytes(1 << 16), plain)),
                ("synchronous without fuel", tiered(at_once(TieringMode::Synchronous), plain)),
                ("functions before loops without fuel", tiered(in_order(), plain)),
                ("odd functions without fuel", tiered(half(1).baseline(Baseline::Always), checked)),
            ],
        }
    }
}

/// A script that calls every exported function, each `rounds` times.
pub fn script(
    engine: &Engine,
    wasm: Vec<u8>,
    extras: &[Extra],
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
    Ok(Script { wasm, extras: extras.to_vec(), fuel, calls })
}

engine_adapter!(
    crescendo,
    instantiate: instantiate,
    null: None,
    exceptions: [ExnRef],
    traps: TrapCode {
        UndefinedElement => TableOutOfBounds,
        UninitializedElement => NullElement,
        IndirectCallTypeMismatch => SignatureMismatch,
        NullReference => NullReference,
        NullFunctionReference => NullReference,
        UnalignedAtomic => UnalignedAtomic,
        ExpectedSharedMemory => NotShared,
    }
);

fn reference_kind(ty: &ValType) -> Option<Kind> {
    match ty {
        ValType::Ref(ty) if !ty.nullable => None,
        ValType::Ref(ty) if ty.heap.matches(HeapType::Func) => Some(Kind::Func),
        ValType::Ref(ty) if ty.heap.matches(HeapType::Exn) => Some(Kind::Exn),
        _ => Some(Kind::Extern),
    }
}

fn stop(error: &Error, _: &mut Store<u64>) -> Stop {
    if let Some(exception) = error.downcast_ref::<ThrownException>() {
        return Stop::Exception(exception.fields().iter().map(from_val).collect());
    }
    if let ErrorKind::Bug(message) = error.kind() {
        return Stop::Other(format!("a defect: {message}"));
    }
    error.trap().map_or_else(|| Stop::Other(error.to_string()), |trap| stop_of(trap.code()))
}

fn frames(error: &Error) -> Vec<(u32, Option<usize>)> {
    let Some(backtrace) = error.backtrace() else { return Vec::new() };
    backtrace.frames().iter().map(|frame| (frame.func_index(), frame.module_offset())).collect()
}

fn shared(export: &Extern) -> Option<Vec<u8>> {
    let Extern::SharedMemory(memory) = export else { return None };
    // SAFETY: no guest runs.
    Some(memory.data().iter().map(|byte| unsafe { *byte.get() }).collect())
}
