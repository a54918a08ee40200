//! wasmi.

use super::adapter::engine_adapter;
use super::{Extra, Kind, Stop};
use wasmi::errors::{ErrorKind, InstantiationError};
use wasmi::{Config, Engine, Error, Extern, Store, ValType};

/// What wasmi does not have.
pub const LACKS: &[Extra] = &[Extra::FunctionReferences, Extra::Exceptions, Extra::Threads];

/// An engine with all its proposals, for any number of scripts.
pub fn engine() -> Engine {
    let mut config = Config::default();
    config.consume_fuel(true).wasm_multi_memory(true).wasm_memory64(true).wasm_tail_call(true);
    config.wasm_wide_arithmetic(true).wasm_custom_page_sizes(true).wasm_simd(true).wasm_relaxed_simd(true);
    Engine::new(&config)
}

engine_adapter!(
    wasmi,
    instantiate: instantiate_and_start,
    null: wasmi::Nullable::Null,
    exceptions: [],
    traps: TrapCode { IndirectCallToNull => NullElement, BadSignature => SignatureMismatch }
);

fn reference_kind(ty: &ValType) -> Option<Kind> {
    match ty {
        ValType::FuncRef => Some(Kind::Func),
        ValType::ExternRef => Some(Kind::Extern),
        _ => None,
    }
}

fn stop(error: &Error, _: &mut Store<u64>) -> Stop {
    match error.kind() {
        // To the specification this is a trap.
        ErrorKind::Instantiation(InstantiationError::ElementSegmentDoesNotFit { .. }) => {
            Stop::TableOutOfBounds
        }
        _ => error.as_trap_code().map_or_else(|| Stop::Other(error.to_string()), stop_of),
    }
}

/// wasmi keeps no backtrace.
fn frames(_: &Error) -> Vec<(u32, Option<usize>)> {
    Vec::new()
}

/// wasmi has no shared memories.
fn shared(_: &Extern) -> Option<Vec<u8>> {
    None
}
