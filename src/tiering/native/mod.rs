//! Native code for hot functions: what is compiled, and who gets the code.
//!
//! ```text
//! counters run out ──► policy.rs ──► queue.rs ──► compile.rs ──► install.rs: entry records of all instances, flags of loops
//!  (builtins)                      (other threads)                  └──► retire.rs: code that makes way for other code
//! ```
//!
//! Invariants: an entry record's words are valid in any mix, so that guests read them without a lock; whoever changes the record
//! of an instance that others may see, registers or removes an instance, or installs code, holds the module's lock; code
//! is installed only when thunks exist for every signature that it calls; the guest never waits for a compilation in
//! [`super::TieringMode::Dynamic`].

mod ahead;
mod callees;
mod compile;
mod emit;
mod engine;
mod failed;
mod install;
mod low;
mod policy;
mod profiling;
mod queue;
mod retire;
mod signatures;
mod state;
mod survey;
mod thunk_memory;

pub(crate) use ahead::called_first;
pub use emit::CompiledForm;
pub(crate) use engine::EngineTiering;
pub(crate) use install::{add_instance, link};
pub(crate) use policy::{function_hot, loop_hot};
pub use profiling::ProfilingStrategy;
pub(crate) use retire::Activity;
pub(crate) use state::ModuleTiering;
