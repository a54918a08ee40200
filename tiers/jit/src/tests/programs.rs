//! Real programs, every function of them where time allows.

use super::setup::{Bench, Module};
use crate::Entry;
use std::path::Path;

/// Compiling without optimisation takes its time: of large programs, some functions have to do.
fn program(name: &str, step: usize) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/programs").join(name);
    let module = Module::new(std::fs::read(path).unwrap());
    for (at, func) in module.info.defined_funcs().enumerate().step_by(step) {
        let mut benches = Bench::all();
        let variants = module.variants();
        let bench = &mut benches[at / step % 2];
        for variant in variants {
            bench.compile(&module, func, *variant, Entry::Call);
        }
    }
}

#[test]
fn numeric() {
    program("numeric.wasm", 1);
}

#[test]
fn bzip2() {
    program("bzip2.wasm", 5);
}
