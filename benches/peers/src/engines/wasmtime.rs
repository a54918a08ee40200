//! Wasmtime as a [`Peer`], with its default settings (Cranelift, optimising for speed) and exceptions; and with Winch, its baseline
//! compiler, which has no exceptions and refuses modules that use other proposals, too.

use super::adapter::engine_adapter;
use super::{Peer, STACK};
use crate::Result;
use wasmtime::{Config, Engine, Module, Strategy};

/// Wasmtime with Cranelift.
pub struct Wasmtime;

/// Wasmtime with Winch.
pub struct Winch;

fn engine(strategy: Strategy) -> Result<Engine> {
    let mut config = Config::new();
    config.max_wasm_stack(STACK).async_stack_size(2 * STACK).strategy(strategy);
    if matches!(strategy, Strategy::Cranelift) {
        config.wasm_exceptions(true);
    }
    Ok(Engine::new(&config)?)
}

impl Peer for Wasmtime {
    const NAME: &str = "wasmtime";
    type Module = Module;

    fn load(wasm: &[u8]) -> Result<Module> {
        Ok(Module::new(&engine(Strategy::Cranelift)?, wasm)?)
    }
}

impl Peer for Winch {
    const NAME: &str = "winch";
    type Module = Module;

    fn load(wasm: &[u8]) -> Result<Module> {
        Ok(Module::new(&engine(Strategy::Winch)?, wasm)?)
    }
}

engine_adapter!(
    wasmtime,
    instantiate: instantiate,
    message: wasmtime::Error::msg,
    host: wasmtime::Error::new
);
