//! Generated modules: all modes and wasmi agree.

use crate::differential::generator::{self, Options};
use crate::differential::ours::{self, Modes};
use crate::differential::{Script, Verdict, check, peer, smith};
use crate::{in_parallel, iterations};
use std::sync::atomic::{AtomicUsize, Ordering};

struct Tally {
    modes: Modes,
    wasmi: wasmi::Engine,
    compared: AtomicUsize,
    returned: AtomicUsize,
}

impl Tally {
    fn new() -> Tally {
        Tally {
            modes: Modes::all(),
            wasmi: peer::engine(),
            compared: AtomicUsize::new(0),
            returned: AtomicUsize::new(0),
        }
    }

    /// Checks a module and fails when engines differ; `print` gives what to show then.
    fn add(&self, name: &str, wasm: Vec<u8>, common: bool, seed: u64) {
        let script = ours::script(&self.modes.fueled[0].1, wasm, common, seed, 2)
            .unwrap_or_else(|error| panic!("{name}: the module is valid: {error}"));
        let run = |script: &Script| peer::run(&self.wasmi, script);
        match check(&self.modes, &script, &[("wasmi", &run)]) {
            Verdict::Same { returned, .. } => {
                self.compared.fetch_add(1, Ordering::Relaxed);
                self.returned.fetch_add(returned, Ordering::Relaxed);
            }
            Verdict::Skipped(_) => {}
            Verdict::Different(difference) | Verdict::PeerAlone(difference) => panic!("{name}: {difference}"),
        }
    }

    /// Fails when so little could be compared that the test shows nothing.
    fn finish(self, cases: u64, returned: usize) {
        let compared = self.compared.into_inner();
        assert!(compared as u64 * 10 >= cases * 9, "{compared} of {cases} modules compared");
        let calls = self.returned.into_inner();
        assert!(calls >= compared * returned, "{calls} calls returned");
    }
}

#[test]
fn programs_with_hot_loops_do_the_same_everywhere() {
    let tally = Tally::new();
    let cases = iterations(3000);
    in_parallel(cases, |seed| {
        // The text is the same on every machine, and so is what engines may choose: NaNs show no bits.
        let options = Options { canonical_nans: true, references: seed % 10 == 1 };
        let text = generator::program(seed, options);
        let wasm = wat::parse_str(&text).unwrap_or_else(|error| panic!("program {seed}: {error}"));
        tally.add(&format!("program {seed}"), wasm, !options.references, seed);
    });
    tally.finish(cases, 2);
}

#[test]
fn modules_of_wasm_smith_do_the_same_everywhere() {
    let tally = Tally::new();
    let cases = iterations(2000);
    in_parallel(cases, |seed| {
        if let Some(wasm) = smith::module(seed) {
            tally.add(&format!("module {seed}"), wasm, true, seed);
        }
    });
    tally.finish(cases, 1);
}
