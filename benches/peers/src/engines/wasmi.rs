//! Wasmi as a [`Peer`].

use super::adapter::engine_adapter;
use super::{Peer, STACK};
use crate::Result;
use wasmi::{CompilationMode, Config, Engine, Module};

/// Wasmi.
pub struct Wasmi;

/// Calls that may be open at a time; Wasmi counts them besides the stack's bytes.
const DEPTH: usize = 100_000;

/// An engine with the settings of all runs.
pub fn engine(mode: CompilationMode) -> Engine {
    let mut config = Config::default();
    config.compilation_mode(mode).set_max_recursion_depth(DEPTH).set_max_stack_height(STACK);
    Engine::new(&config)
}

impl Peer for Wasmi {
    const NAME: &str = "wasmi";
    type Module = Module;

    fn load(wasm: &[u8]) -> Result<Module> {
        Ok(Module::new(&engine(CompilationMode::LazyTranslation), wasm)?)
    }
}

engine_adapter!(
    wasmi,
    instantiate: instantiate_and_start,
    message: wasmi::Error::new,
    host: wasmi::Error::host
);
