//! Engines in every mode and modules from text, for the tests beside this file.

use crescendo::{Config, Engine, Instance, Linker, Module, Store};

/// Engines of all modes that behaviour must not depend on, with a name for messages.
pub fn engines() -> Vec<(&'static str, Engine)> {
    let engine = |config: &Config| Engine::new(config).expect("the configuration is valid");
    vec![
        ("fused", engine(&Config::new())),
        ("unfused", engine(Config::new().fusion(false))),
        ("checked memories", engine(Config::new().signals_based_traps(false))),
    ]
}

/// The module with this text.
pub fn module(engine: &Engine, text: &str) -> Module {
    let bytes = wat::parse_str(text).expect("the text is well-formed");
    Module::new(engine, bytes).expect("the module is valid")
}

/// An instance of the module with this text, which imports nothing.
pub fn instance<T>(store: &mut Store<T>, text: &str) -> Instance {
    let engine = store.engine().clone();
    let module = module(&engine, text);
    Linker::new(&engine).instantiate(store, &module).expect("the module can be instantiated")
}
