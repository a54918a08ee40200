//! From the interpreter to native code: when, and what has become of it.
//!
//! | type | what |
//! |---|---|
//! | [`Tiering`], [`TieringMode`], [`Baseline`] | the settings: every threshold is in `settings.rs` |
//! | [`TieringReport`] | what has become of a module's functions |
//! | `EngineTiering` | an engine's compiler, thunks, queue and code budget |
//! | `ModuleTiering` | a module's compiled functions, and the instances that run them |
//!
//! The compiler's side is `native/`, behind the feature `cranelift`; `without.rs` takes its place in builds that only interpret.

#[cfg(feature = "cranelift")]
mod native;
mod report;
mod settings;
#[cfg(not(feature = "cranelift"))]
mod without;

#[cfg(feature = "cranelift")]
pub use native::{CompiledForm, ProfilingStrategy};
pub use report::{FunctionReport, LoopReport, TieringReport};
pub use settings::{Baseline, Tiering, TieringMode};

#[cfg(feature = "cranelift")]
use native as tier;
#[cfg(not(feature = "cranelift"))]
use without as tier;

pub(crate) use tier::{
    Activity, EngineTiering, ModuleTiering, add_instance, called_first, function_hot, link, loop_hot,
};
