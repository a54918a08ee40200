//! This engine as a [`Peer`].

use super::adapter::engine_adapter;
use super::{Peer, STACK};
use crate::Result;
use crescendo::{Config, Engine, Module, Tiering, TieringMode, Validation};

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
}

impl Peer for Tiered {
    const NAME: &str = "crescendo";
    type Module = Module;

    fn load(wasm: &[u8]) -> Result<Module> {
        Ok(Module::new(&engine_with(Validation::Eager, TieringMode::Dynamic)?, wasm)?)
    }
}

engine_adapter!(
    crescendo,
    instantiate: instantiate,
    message: crescendo::Error::msg,
    host: crescendo::Error::host
);
