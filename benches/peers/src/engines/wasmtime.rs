//! Wasmtime as a [`Peer`], with its default settings (Cranelift, optimising for speed) and exceptions.

use super::adapter::engine_adapter;
use super::{Peer, STACK};
use crate::Result;
use wasmtime::{Config, Engine, Module};

/// Wasmtime.
pub struct Wasmtime;

fn engine() -> Result<Engine> {
    let mut config = Config::new();
    config.max_wasm_stack(STACK).async_stack_size(2 * STACK).wasm_exceptions(true);
    Ok(Engine::new(&config)?)
}

impl Peer for Wasmtime {
    const NAME: &str = "wasmtime";
    type Module = Module;

    fn load(wasm: &[u8]) -> Result<Module> {
        Ok(Module::new(&engine()?, wasm)?)
    }
}

engine_adapter!(
    wasmtime,
    instantiate: instantiate,
    message: wasmtime::Error::msg,
    host: wasmtime::Error::new
);
