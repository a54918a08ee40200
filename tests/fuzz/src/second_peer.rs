//! wasmtime.

use crate::differential::adapter::engine_adapter;
use crate::differential::{Kind, Stop};
use wasmtime::{Config, Engine, Error, HeapType, OptLevel, Trap, ValType, WasmBacktrace};

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

engine_adapter!(
    wasmtime,
    instantiate: instantiate,
    null: None,
    traps: Trap {
        IndirectCallToNull => NullElement,
        BadSignature => SignatureMismatch,
        NullReference => NullReference,
    }
);

fn kinds(types: impl Iterator<Item = ValType>) -> Option<Vec<Kind>> {
    types
        .map(|ty| match ty {
            ValType::I32 => Some(Kind::I32),
            ValType::I64 => Some(Kind::I64),
            ValType::F32 => Some(Kind::F32),
            ValType::F64 => Some(Kind::F64),
            ValType::Ref(ty) => match ty.heap_type().top() {
                HeapType::Func => Some(Kind::Func),
                HeapType::Extern => Some(Kind::Extern),
                _ => None,
            },
            ValType::V128 => Some(Kind::V128),
        })
        .collect()
}

fn stop(error: &Error) -> Stop {
    let trap = error.downcast_ref::<Trap>();
    trap.map_or_else(|| Stop::Other(format!("{error:?}")), |trap| stop_of(*trap))
}

fn frames(error: &Error) -> Vec<(u32, Option<usize>)> {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else { return Vec::new() };
    backtrace.frames().iter().map(|frame| (frame.func_index(), frame.module_offset())).collect()
}
