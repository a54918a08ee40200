//! From the interpreter to native code: what is hot, what is compiled, who gets the code.
//!
//! ```text
//! counters run out ──► policy.rs ──► queue.rs ──► compile.rs ──► install.rs: entry records of all instances, flags of loops
//!  (builtins)                      (other threads)                  └──► retire.rs: code that makes way for other code
//! ```
//!
//! | type | what |
//! |---|---|
//! | [`Tiering`], [`TieringMode`] | the settings: every threshold is in `settings.rs` |
//! | [`EngineTiering`] | an engine's compiler, thunks, queue and code budget |
//! | [`ModuleTiering`] | a module's compiled functions, and the instances that run them |
//! | `Signatures` | thunks between the tiers |
//!
//! Invariants: an entry record's words are valid in any mix, so that guests read them without a lock; whoever changes the record
//! of an instance that others may see, registers or removes an instance, or installs code, holds the module's lock; code
//! is installed only when thunks exist for every signature that it calls; the guest never waits for a compilation in
//! [`TieringMode::Dynamic`].

#[cfg(feature = "cranelift")]
mod compile;
#[cfg(feature = "cranelift")]
mod emit;
#[cfg(feature = "cranelift")]
mod engine;
#[cfg(feature = "cranelift")]
mod install;
#[cfg(feature = "cranelift")]
mod policy;
#[cfg(feature = "cranelift")]
mod profiling;
#[cfg(feature = "cranelift")]
mod queue;
mod report;
#[cfg(feature = "cranelift")]
mod retire;
mod settings;
#[cfg(feature = "cranelift")]
mod signatures;
#[cfg(feature = "cranelift")]
mod state;
#[cfg(feature = "cranelift")]
mod survey;
#[cfg(not(feature = "cranelift"))]
mod without;

#[cfg(feature = "cranelift")]
pub use emit::CompiledForm;
#[cfg(feature = "cranelift")]
pub(crate) use engine::EngineTiering;
#[cfg(feature = "cranelift")]
pub(crate) use install::{add_instance, link};
#[cfg(feature = "cranelift")]
pub(crate) use policy::{function_hot, loop_hot};
#[cfg(feature = "cranelift")]
pub use profiling::ProfilingStrategy;
pub use report::{FunctionReport, LoopReport, TieringReport};
#[cfg(feature = "cranelift")]
pub(crate) use retire::Activity;
pub use settings::{Tiering, TieringMode};
#[cfg(feature = "cranelift")]
pub(crate) use state::ModuleTiering;
#[cfg(not(feature = "cranelift"))]
pub(crate) use without::{
    Activity, EngineTiering, ModuleTiering, add_instance, function_hot, link, loop_hot,
};
