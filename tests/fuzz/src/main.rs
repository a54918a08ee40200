//! Runs generated modules in Crescendo, wasmi and wasmtime and reports where they differ.
//!
//! `crescendo-fuzz [--generator own|smith|both] --seeds A..B` compares; `--print SEED` writes a program of the own generator, `--print-smith SEED` one of wasm-smith;
//! `--check FILE` compares one module; `--reduce FILE` makes a text module that differs smaller.

#[path = "../differential/mod.rs"]
mod differential;
mod reduce;
mod second_peer;

use differential::generator::{self, Options};
use differential::ours::{self, Modes};
use differential::{FUEL, LITTLE_FUEL, Script, Verdict, check, peer, smith};
use std::process::ExitCode;

/// The engines of a run.
struct Engines {
    modes: Modes,
    wasmi: wasmi::Engine,
    wasmtime: wasmtime::Engine,
}

impl Engines {
    fn check(&self, script: &Script) -> Verdict {
        let wasmi = |script: &Script| peer::run(&self.wasmi, script);
        let wasmtime = |script: &Script| second_peer::run(&self.wasmtime, script);
        check(&self.modes, script, &[("wasmi", &wasmi), ("wasmtime", &wasmtime)])
    }

    fn check_bytes(&self, wasm: Vec<u8>, common: bool, seed: u64, fuel: u64) -> Verdict {
        match ours::script(&self.modes.fueled[0].1, wasm, common, seed, fuel, 2) {
            Ok(script) => self.check(&script),
            Err(error) => Verdict::Skipped(error.to_string()),
        }
    }

    fn check_text(&self, text: &str, common: bool, seed: u64) -> Verdict {
        match wat::parse_str(text) {
            Ok(wasm) => self.check_bytes(wasm, common, seed, FUEL),
            Err(error) => Verdict::Skipped(error.to_string()),
        }
    }
}

#[derive(Default)]
struct Counts {
    same: usize,
    returned: usize,
    trapped: usize,
    skipped: usize,
    alone: usize,
    different: usize,
}

impl Counts {
    /// Counts a verdict and prints it if it is interesting; gives whether it is a difference.
    fn add(&mut self, what: &str, seed: u64, verdict: Verdict) -> bool {
        match verdict {
            Verdict::Same { returned, trapped } => {
                self.same += 1;
                self.returned += returned;
                self.trapped += trapped;
            }
            Verdict::Skipped(reason) => {
                self.skipped += 1;
                if self.skipped <= 10 {
                    println!("{what} {seed}: skipped: {reason}");
                }
            }
            Verdict::PeerAlone(difference) => {
                self.alone += 1;
                println!("{what} {seed}: a peer alone: {difference}");
            }
            Verdict::Different(difference) => {
                self.different += 1;
                println!("{what} {seed}: DIFFERENT: {difference}");
                return true;
            }
        }
        false
    }
}

fn run_seeds(engines: &Engines, seeds: std::ops::Range<u64>, own: bool, smiths: bool) -> bool {
    let mut counts = [Counts::default(), Counts::default()];
    for seed in seeds.clone() {
        if own {
            let options = Options::of(seed);
            let text = generator::program(seed, options);
            let mut verdict = engines.check_text(&text, !options.references, seed);
            if matches!(verdict, Verdict::Different(_)) && !options.canonical_nans {
                // Engines may choose the bits of a NaN; only what stays without them counts.
                let text = generator::program(seed, Options { canonical_nans: true, ..options });
                let canonical = engines.check_text(&text, !options.references, seed);
                if matches!(canonical, Verdict::Same { .. })
                    && let Verdict::Different(difference) = &verdict
                {
                    println!("own {seed}: only with the bits of NaNs: {difference}");
                }
                verdict = canonical;
            }
            counts[0].add("own", seed, verdict);
        }
        if smiths && let Some(wasm) = smith::module(seed) {
            counts[1].add("smith", seed, engines.check_bytes(wasm, true, seed, LITTLE_FUEL));
        }
        if (seed + 1).is_multiple_of(1000) {
            println!("… {}", seed + 1);
        }
    }
    for (what, counts) in ["own", "smith"].iter().zip(&counts) {
        println!(
            "{what} {seeds:?}: {} same ({} calls returned, {} trapped), {} skipped, {} peer alone, {} different",
            counts.same, counts.returned, counts.trapped, counts.skipped, counts.alone, counts.different
        );
    }
    counts.iter().all(|counts| counts.different == 0)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).map(String::as_str)
    };
    let number = |text: &str| text.parse::<u64>().ok();
    let engines = Engines { modes: Modes::all(), wasmi: peer::engine(), wasmtime: second_peer::engine() };
    if let Some(seed) = value("--print").and_then(number) {
        print!("{}", generator::program(seed, Options::of(seed)));
        return ExitCode::SUCCESS;
    }
    if let Some(seed) = value("--print-smith").and_then(number) {
        let wasm = smith::module(seed).unwrap_or_default();
        print!("{}", wasmprinter::print_bytes(wasm).unwrap_or_default());
        return ExitCode::SUCCESS;
    }
    let seed = value("--seed").and_then(number).unwrap_or(0);
    if let Some(file) = value("--check") {
        let verdict = wat::parse_file(file)
            .map_err(|error| error.to_string())
            .map(|wasm| engines.check_bytes(wasm, false, seed, FUEL));
        println!("{verdict:?}");
        return ExitCode::SUCCESS;
    }
    if let Some(file) = value("--reduce") {
        let wasm = wat::parse_file(file).expect("the file is a module");
        let text = wasmprinter::print_bytes(&wasm).expect("the module can be printed");
        let kind = |text: &str| std::mem::discriminant(&engines.check_text(text, false, seed));
        let wanted = kind(&text);
        let differs = |text: &str| kind(text) == wanted;
        print!("{}", reduce::reduce(&text, &differs));
        return ExitCode::SUCCESS;
    }
    let seeds = value("--seeds").and_then(|text| {
        let (start, end) = text.split_once("..")?;
        Some(number(start)?..number(end)?)
    });
    let Some(seeds) = seeds else {
        eprintln!("usage: crescendo-fuzz [--generator own|smith|both] --seeds A..B");
        return ExitCode::from(2);
    };
    let which = value("--generator").unwrap_or("both");
    if run_seeds(&engines, seeds, which != "smith", which != "own") {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
