//! wasmtime.

use crate::differential::adapter::engine_adapter;
use crate::differential::{Kind, Stop};
use wasmtime::{
    Config, Engine, Error, Extern, HeapType, OptLevel, Store, ThrownException, Trap, ValType, WasmBacktrace,
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
        .wasm_extended_const(true)
        .wasm_simd(true)
        .wasm_relaxed_simd(true)
        .relaxed_simd_deterministic(true)
        .wasm_exceptions(true)
        .wasm_threads(true)
        .shared_memory(true)
        .wasm_wide_arithmetic(true)
        .wasm_custom_page_sizes(true);
    Engine::new(&config).expect("the configuration is valid")
}

engine_adapter!(
    wasmtime,
    instantiate: instantiate,
    null: None,
    exceptions: [ExnRef],
    traps: Trap {
        IndirectCallToNull => NullElement,
        BadSignature => SignatureMismatch,
        NullReference => NullReference,
        HeapMisaligned => UnalignedAtomic,
        AtomicWaitNonSharedMemory => NotShared,
    }
);

fn reference_kind(ty: &ValType) -> Option<Kind> {
    match ty.as_ref()?.heap_type().top() {
        HeapType::Func => Some(Kind::Func),
        HeapType::Extern => Some(Kind::Extern),
        HeapType::Exn => Some(Kind::Exn),
        _ => None,
    }
}

fn stop(error: &Error, store: &mut Store<u64>) -> Stop {
    if error.is::<ThrownException>()
        && let Some(exception) = store.take_pending_exception()
    {
        let fields: Vec<_> = exception.fields(&mut *store).map(Iterator::collect).unwrap_or_default();
        return Stop::Exception(fields.iter().map(from_val).collect());
    }
    let trap = error.downcast_ref::<Trap>();
    trap.map_or_else(|| Stop::Other(format!("{error:?}")), |trap| stop_of(*trap))
}

fn frames(error: &Error) -> Vec<(u32, Option<usize>)> {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else { return Vec::new() };
    backtrace.frames().iter().map(|frame| (frame.func_index(), frame.module_offset())).collect()
}

fn shared(export: &Extern) -> Option<Vec<u8>> {
    let Extern::SharedMemory(memory) = export else { return None };
    // SAFETY: no guest runs.
    Some(memory.data().iter().map(|byte| unsafe { *byte.get() }).collect())
}
