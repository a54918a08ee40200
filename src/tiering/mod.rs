//! From the interpreter to native code: what is hot, what is compiled, who gets the code.
//!
//! ```text
//! counters run out ──► policy.rs ──► queue.rs (other threads) or at once ──► compile.rs ──► install.rs: entry records of all
//!  (builtins)                                                                               instances, counters of loops
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

mod compile;
mod engine;
mod install;
mod policy;
mod queue;
mod report;
mod settings;
mod signatures;
mod state;

pub(crate) use engine::EngineTiering;
pub(crate) use install::{add_instance, link};
pub(crate) use policy::{function_hot, loop_hot};
pub use report::{FunctionReport, LoopReport, TieringReport};
pub use settings::{Tiering, TieringMode};
pub(crate) use state::ModuleTiering;
