//! Engines in every mode and modules from text, for the tests beside this file.

use crescendo::{Baseline, Config, Engine, Instance, Linker, Module, Store, Tiering, TieringMode};

/// Engines of all modes that behaviour must not depend on, with a name for messages.
pub fn engines() -> Vec<(&'static str, Engine)> {
    let engine = |config: &Config| Engine::new(config).expect("the configuration is valid");
    modes().into_iter().map(|(name, config)| (name, engine(&config))).collect()
}

/// Bytes of functions that are inlined where all are.
const ALL: u32 = 1 << 16;

/// The configurations of all modes that behaviour must not depend on, with a name for messages.
pub fn modes() -> Vec<(&'static str, Config)> {
    let tiered = |tiering: Tiering| {
        let mut config = Config::new();
        config.tiering(tiering);
        config
    };
    let interpreted = || tiered(Tiering::new(TieringMode::InterpreterOnly));
    let at_once = |mode| Tiering::new(mode).calls(1).iterations(1);
    let half = at_once(TieringMode::Synchronous).mask(|func| func % 2 == 0);
    let other_half = at_once(TieringMode::Synchronous).mask(|func| func % 2 == 1);
    vec![
        ("fused", interpreted()),
        ("unfused", interpreted().fusion(false).clone()),
        ("checked memories", interpreted().signals_based_traps(false).clone()),
        ("default", Config::new()),
        ("eager", tiered(Tiering::new(TieringMode::Eager))),
        (
            "eager, checked memories",
            tiered(Tiering::new(TieringMode::Eager)).signals_based_traps(false).clone(),
        ),
        ("eager, all inlined", tiered(Tiering::new(TieringMode::Eager).max_inlined_bytes(ALL))),
        (
            "synchronous, soon, all inlined",
            tiered(at_once(TieringMode::Synchronous).calls(2).max_inlined_bytes(ALL)),
        ),
        ("dynamic, at once", tiered(at_once(TieringMode::Dynamic))),
        (
            "dynamic, at once, baseline first",
            tiered(at_once(TieringMode::Dynamic).baseline(Baseline::Always)),
        ),
        ("synchronous, at once", tiered(at_once(TieringMode::Synchronous))),
        (
            "synchronous, at once, baseline",
            tiered(at_once(TieringMode::Synchronous).baseline(Baseline::Always)),
        ),
        (
            "synchronous, functions before loops",
            tiered(Tiering::new(TieringMode::Synchronous).calls(2).iterations(3).max_inlined_bytes(0)),
        ),
        ("synchronous, even functions", tiered(half)),
        ("synchronous, odd functions", tiered(other_half)),
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
