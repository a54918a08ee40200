//! Behaviour of the public API, in every mode of the engine where it runs guests.

mod allocations;
mod errors;
mod host;
mod limits;
mod linker;
mod setup;
mod sharing;
mod stack;
mod typed;
mod values;
