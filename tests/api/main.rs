//! Behaviour of the public API, in every mode of the engine where it runs guests.

mod allocations;
mod backtraces;
mod crossings;
mod direct_calls;
mod errors;
mod exceptions;
mod fuel;
mod host;
mod images;
mod inlining;
mod instantiation;
mod limits;
mod linker;
mod modules;
mod proposals;
mod refused;
mod setup;
mod shared;
mod sharing;
mod stack;
mod threads;
mod tiering;
mod typed;
mod values;
mod variants;
