//! Generated modules: all modes and wasmi agree.
//!
//! wasmi has neither exceptions nor threads nor typed function references; of modules that use these, only the modes are
//! compared. How many wasmi ran is printed, and must not be few.
//!
//! wasmi 2.0.0 computes a few of these programs wrongly. The seeds in [`WASMI_ALONE`] and [`WASMI_ALONE_SMITH`] are those for
//! which wasmtime agrees with Crescendo, as the program in `tests/fuzz` finds (`a peer alone`); for them only the modes are
//! compared. A change of the generator changes its programs: make the list again.

use crate::differential::check::Took;
use crate::differential::generator::{self, Options};
use crate::differential::ours::{self, Modes};
use crate::differential::{Extra, FUEL, LITTLE_FUEL, Peer, Script, Verdict, check, peer, smith};
use crate::{in_parallel, iterations};
use crescendo::Engine;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Seeds of the project's own generator.
const WASMI_ALONE: &[u64] = &[540, 878, 1070];
/// Seeds of wasm-smith.
const WASMI_ALONE_SMITH: &[u64] = &[4362];

struct Tally {
    modes: Modes,
    wasmi: wasmi::Engine,
    compared: AtomicUsize,
    returned: AtomicUsize,
    overflowed: AtomicUsize,
    by_wasmi: AtomicUsize,
    left_out: Mutex<BTreeMap<String, usize>>,
    different: Mutex<Vec<String>>,
}

/// The modes for one of many cases: those that interpret, and some of those that compile, which cost most of the time; each has
/// its turn.
fn modes_of_case(all: &Modes, case: u64) -> Modes {
    let pick = |modes: &[(&'static str, Engine)], count: usize| {
        let compiles = |(_, engine): &&(&'static str, Engine)| engine.compiles();
        let (compiled, mut picked): (Vec<_>, Vec<_>) = modes.iter().partition(compiles);
        let turns = compiled.iter().cycle().skip(case as usize % compiled.len());
        picked.extend(turns.step_by(compiled.len() / 2 + 1).take(count));
        picked.into_iter().cloned().collect()
    };
    Modes { fueled: pick(&all.fueled, 2), unfueled: pick(&all.unfueled, 1) }
}

impl Tally {
    fn new() -> Tally {
        Tally {
            modes: Modes::all(),
            wasmi: peer::engine(),
            compared: AtomicUsize::new(0),
            returned: AtomicUsize::new(0),
            overflowed: AtomicUsize::new(0),
            by_wasmi: AtomicUsize::new(0),
            left_out: Mutex::new(BTreeMap::new()),
            different: Mutex::new(Vec::new()),
        }
    }

    /// Compares what a module does, in wasmi too unless it is known to be wrong.
    fn add(&self, name: &str, wasm: Vec<u8>, extras: &[Extra], seed: u64, fuel: u64, with_wasmi: bool) {
        let script = ours::script(&self.modes.fueled[0].1, wasm, extras, seed, fuel, 2)
            .unwrap_or_else(|error| panic!("{name}: the module is valid: {error}"));
        let run = |script: &Script| peer::run(&self.wasmi, script);
        let wasmi = Peer { name: "wasmi", lacks: peer::LACKS, run: &run };
        let peers = if with_wasmi { std::slice::from_ref(&wasmi) } else { &[] };
        let report = check(&modes_of_case(&self.modes, seed), &script, peers);
        self.overflowed.fetch_add(report.overflowed.len(), Ordering::Relaxed);
        for (_, took) in report.peers {
            let reason = match took {
                Took::Part => {
                    self.by_wasmi.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                Took::Exhausted => "does not end".to_string(),
                Took::Lacks => "lacks a proposal".to_string(),
                Took::Refused(reason) => format!("refuses: {reason}"),
                Took::Panicked(message) => format!("panics: {message}"),
            };
            *self.left_out.lock().expect("no case panics").entry(reason).or_default() += 1;
        }
        match report.verdict {
            Verdict::Same { returned, .. } => {
                self.compared.fetch_add(1, Ordering::Relaxed);
                self.returned.fetch_add(returned, Ordering::Relaxed);
            }
            Verdict::Skipped(_) => {}
            Verdict::Different(difference) | Verdict::PeerAlone(difference) => {
                self.different.lock().expect("no case panics").push(format!("{name}: {difference}"));
            }
        }
    }

    /// Fails when engines differ, or when so little could be compared that the test shows nothing.
    fn finish(self, cases: u64, returned: usize) {
        let different = self.different.into_inner().expect("no case panics");
        assert!(different.is_empty(), "{} modules differ:\n{}", different.len(), different.join("\n"));
        let compared = self.compared.into_inner();
        assert!(compared as u64 * 10 >= cases * 9, "{compared} of {cases} modules compared");
        let calls = self.returned.into_inner();
        assert!(calls >= compared * returned, "{calls} calls returned");
        let by_wasmi = self.by_wasmi.into_inner();
        let left_out = self.left_out.into_inner().expect("no case panics");
        println!("{compared} of {cases} compared, {by_wasmi} with wasmi, which {left_out:?}");
        assert!(by_wasmi as u64 * 5 >= cases * 2, "{by_wasmi} of {cases} modules compared with wasmi");
        // Recursion that alternates between tiers takes more stack; that it happens often would be a defect.
        let overflowed = self.overflowed.into_inner();
        assert!(
            overflowed as u64 * 100 <= cases,
            "{overflowed} of {cases} overflow the stack in some modes alone"
        );
    }
}

#[test]
fn programs_with_hot_loops_do_the_same_everywhere() {
    let tally = Tally::new();
    let cases = iterations(1000);
    in_parallel(cases, |seed| {
        let options = Options { canonical_nans: true, ..Options::of(seed) };
        let text = generator::program(seed, options);
        let wasm = wat::parse_str(&text).unwrap_or_else(|error| panic!("program {seed}: {error}"));
        let with_wasmi = !WASMI_ALONE.contains(&seed);
        tally.add(&format!("program {seed}"), wasm, &options.extras(), seed, FUEL, with_wasmi);
    });
    tally.finish(cases, 2);
}

#[test]
fn modules_of_wasm_smith_do_the_same_everywhere() {
    let tally = Tally::new();
    let cases = iterations(2000);
    in_parallel(cases, |seed| {
        if let Some((wasm, extras)) = smith::module(seed) {
            let with_wasmi = !WASMI_ALONE_SMITH.contains(&seed);
            tally.add(&format!("module {seed}"), wasm, &extras, seed, LITTLE_FUEL, with_wasmi);
        }
    });
    tally.finish(cases, 1);
}

#[test]
fn a_peer_that_panics_or_lacks_something_is_reported() {
    let modes = Modes::all();
    let wasm = wat::parse_str(r#"(module (func (export "f") (result i32) (i32.const 1)))"#).unwrap();
    let script = ours::script(&modes.fueled[0].1, wasm, &[Extra::Threads], 0, FUEL, 1).unwrap();
    let peers = [
        Peer { name: "panics", lacks: &[], run: &|_| panic!("a defect") },
        Peer { name: "lacks", lacks: &[Extra::Threads], run: &|_| Err("no threads".to_string()) },
        Peer { name: "refuses", lacks: &[], run: &|_| Err("too large".to_string()) },
    ];
    let report = check(&modes, &script, &peers);
    assert_eq!(report.verdict, Verdict::Same { returned: 1, trapped: 0, thrown: 0 });
    let took: Vec<Took> = report.peers.into_iter().map(|(_, took)| took).collect();
    let panicked = Took::Panicked("a defect".to_string());
    assert_eq!(took, [panicked, Took::Lacks, Took::Refused("too large".to_string())]);
}
