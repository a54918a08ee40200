//! Faults of hand-written machine code, on x86-64: caught as traps, or passed on.
#![cfg(target_arch = "x86_64")]

mod catching;
mod guest;
mod passing_on;
mod threads;
