//! Real programs: both variants, with and without fuel and epochs, and the loops of each function as entries.
//!
//! Compiling without optimisation takes its time: of large programs, every n-th function has to do.

use super::setup::{Bench, Module};
use crate::Entry;
use std::path::Path;

/// Compiles every `step`-th function and up to `most_loops` of its loops, taking turns with the options and
/// the variants.
fn program(name: &str, step: usize, most_loops: usize) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/programs").join(name);
    let module = Module::new(std::fs::read(path).unwrap());
    let mut benches = Bench::all();
    let variants = module.variants();
    let mut turn = 0;
    for func in module.info.defined_funcs().step_by(step) {
        let loops = module.loops(func);
        let sample = loops.iter().step_by(loops.len().div_ceil(most_loops).max(1));
        let entries = sample.map(|loop_offset| Entry::Osr { loop_offset: *loop_offset });
        for entry in std::iter::once(Entry::Call).chain(entries) {
            let bench = &mut benches[turn % 2];
            bench.compile(&module, func, variants[turn / 2 % variants.len()], entry);
            turn += 1;
        }
    }
}

#[test]
fn numeric() {
    for _ in 0..4 {
        program("numeric.wasm", 1, 100);
    }
}

#[test]
fn bzip2() {
    program("bzip2.wasm", 4, 2);
}

#[test]
fn lua() {
    program("lua.wasm", 11, 4);
}

#[test]
fn quickjs() {
    program("quickjs.wasm", 31, 4);
}

#[test]
fn sqlite() {
    program("sqlite.wasm", 37, 4);
}

#[test]
#[ignore = "takes an hour without optimisation; the tests above take samples of it"]
fn every_function_and_loop_of_every_program() {
    for name in ["lua.wasm", "sqlite.wasm", "quickjs.wasm", "bzip2.wasm", "numeric.wasm"] {
        program(name, 1, usize::MAX);
    }
}
