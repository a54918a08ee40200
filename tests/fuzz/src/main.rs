//! Runs generated modules in Crescendo, wasmi and wasmtime and reports where they differ.
//!
//! - `crescendo-fuzz [--generator own|smith|both] [--fast] --seeds A..B` compares. Each module runs in all modes of Crescendo
//!   and in both other engines; `--fast`: in two modes, by turns, and one other engine.
//! - `--print SEED` writes a program of the own generator, `--print-smith SEED` a module of wasm-smith.
//! - `--check FILE` compares one module; `--reduce FILE` makes a text module that differs smaller.

mod counts;
#[path = "../differential/mod.rs"]
mod differential;
mod reduce;
mod second_peer;

use counts::Counts;
use differential::check::Report;
use differential::generator::{self, Options, Random};
use differential::ours::{self, Mode, Modes};
use differential::{Extra, FUEL, LITTLE_FUEL, Peer, Script, Verdict, check, peer, smith};
use std::process::ExitCode;

/// The engines of a run.
struct Engines {
    modes: Modes,
    wasmi: wasmi::Engine,
    wasmtime: wasmtime::Engine,
    /// Two modes and one other engine for each module, not all.
    fast: bool,
}

impl Engines {
    fn check(&self, script: &Script, seed: u64) -> Report {
        let wasmi = |script: &Script| peer::run(&self.wasmi, script);
        let wasmtime = |script: &Script| second_peer::run(&self.wasmtime, script);
        let wasmi = Peer { name: "wasmi", lacks: peer::LACKS, run: &wasmi };
        let wasmtime = Peer { name: "wasmtime", lacks: &[], run: &wasmtime };
        if !self.fast {
            return check(&self.modes, script, &[wasmi, wasmtime]);
        }
        let mut random = Random::new(seed ^ 0xfa57);
        let modes = pair(&self.modes, &mut random);
        if !random.chance(FOR_WASMTIME) && !wasmi.may_lack(script) {
            let report = check(&modes, script, std::slice::from_ref(&wasmi));
            let differs = !matches!(report.verdict, Verdict::Same { .. } | Verdict::Skipped(_));
            // Whoever is wrong, it is worth the time to know.
            return if differs { check(&self.modes, script, &[wasmi, wasmtime]) } else { report };
        }
        check(&modes, script, &[wasmtime])
    }

    fn check_bytes(&self, wasm: Vec<u8>, extras: &[Extra], seed: u64, fuel: u64) -> Report {
        match ours::script(&self.modes.fueled[0].1, wasm, extras, seed, fuel, 2) {
            Ok(script) => self.check(&script, seed),
            Err(error) => Report::of(Verdict::Different(format!("{REFUSES}: {error}"))),
        }
    }

    fn check_text(&self, text: &str, extras: &[Extra], seed: u64) -> Report {
        match wat::parse_str(text) {
            Ok(wasm) => self.check_bytes(wasm, extras, seed, FUEL),
            Err(error) => Report::of(Verdict::Skipped(error.to_string())),
        }
    }

    fn check_own(&self, seed: u64) -> Report {
        let options = Options::of(seed);
        let extras = options.extras();
        let report = self.check_text(&generator::program(seed, options), &extras, seed);
        let (Verdict::Different(difference) | Verdict::PeerAlone(difference)) = &report.verdict else {
            return report;
        };
        if options.canonical_nans {
            return report;
        }
        // Engines may choose the bits of a NaN; only what stays without them counts.
        let text = generator::program(seed, Options { canonical_nans: true, ..options });
        let canonical = self.check_text(&text, &extras, seed);
        if let Verdict::Same { .. } = canonical.verdict {
            println!("own {seed}: only with the bits of NaNs: {difference}");
        }
        canonical
    }
}

/// Two modes, drawn from all pairs of which the first interprets.
fn pair(modes: &Modes, random: &mut Random) -> Modes {
    let interpreters: Vec<&Mode> = modes.fueled.iter().filter(|(_, engine)| !engine.compiles()).collect();
    let first = *random.pick(&interpreters);
    let others: Vec<&Mode> = modes.fueled.iter().filter(|mode| mode.0 != first.0).collect();
    let at = random.below(others.len() + modes.unfueled.len());
    match others.get(at) {
        Some(&second) => Modes { fueled: vec![first.clone(), second.clone()], unfueled: Vec::new() },
        None => {
            let second = modes.unfueled[at - others.len()].clone();
            Modes { fueled: vec![first.clone()], unfueled: vec![second] }
        }
    }
}

/// What is wrong with a module that was generated and is refused.
const REFUSES: &str = "Crescendo refuses it";

/// How many percent of the modules that both other engines can run are for wasmtime, in a fast run: compiling takes its time.
const FOR_WASMTIME: usize = 25;

fn run_seeds(engines: &Engines, seeds: std::ops::Range<u64>, own: bool, smiths: bool) -> bool {
    let (mut owns, mut modules) = (Counts::default(), Counts::default());
    let mut none = 0;
    let start = std::time::Instant::now();
    for seed in seeds.clone() {
        if own {
            owns.add("own", seed, engines.check_own(seed));
        }
        if smiths {
            match smith::module(seed) {
                Some((wasm, extras)) => {
                    let report = engines.check_bytes(wasm, &extras, seed, LITTLE_FUEL);
                    modules.add("smith", seed, report);
                }
                None => none += 1,
            }
        }
        if (seed + 1).is_multiple_of(1000) {
            println!("… {} after {:.0} s", seed + 1, start.elapsed().as_secs_f64());
        }
    }
    println!(
        "seeds {seeds:?}: {:.1} s; {none} of them make no module of wasm-smith",
        start.elapsed().as_secs_f64()
    );
    if own {
        owns.print("own");
    }
    if smiths {
        modules.print("smith");
    }
    owns.different + modules.different == 0
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).map(String::as_str)
    };
    let number = |text: &str| text.parse::<u64>().ok();
    let engines = Engines {
        modes: Modes::all(),
        wasmi: peer::engine(),
        wasmtime: second_peer::engine(),
        fast: arguments.iter().any(|argument| argument == "--fast"),
    };
    if let Some(seed) = value("--print").and_then(number) {
        print!("{}", generator::program(seed, Options::of(seed)));
        return ExitCode::SUCCESS;
    }
    if let Some(seed) = value("--print-smith").and_then(number) {
        let (wasm, _) = smith::module(seed).unwrap_or_default();
        print!("{}", wasmprinter::print_bytes(wasm).unwrap_or_default());
        return ExitCode::SUCCESS;
    }
    let seed = value("--seed").and_then(number).unwrap_or(0);
    if let Some(file) = value("--check") {
        let verdict = wat::parse_file(file)
            .map_err(|error| error.to_string())
            .map(|wasm| engines.check_bytes(wasm, peer::LACKS, seed, FUEL));
        println!("{verdict:#?}");
        return ExitCode::SUCCESS;
    }
    if let Some(file) = value("--reduce") {
        let wasm = wat::parse_file(file).expect("the file is a module");
        let text = wasmprinter::print_bytes(&wasm).expect("the module can be printed");
        let verdict = |text: &str| engines.check_text(text, peer::LACKS, seed).verdict;
        let wanted = std::mem::discriminant(&verdict(&text));
        let differs = |text: &str| {
            let verdict = verdict(text);
            let refused = matches!(&verdict, Verdict::Different(why) if why.starts_with(REFUSES));
            !refused && std::mem::discriminant(&verdict) == wanted
        };
        print!("{}", reduce::reduce(&text, &differs));
        return ExitCode::SUCCESS;
    }
    let seeds = value("--seeds").and_then(|text| {
        let (start, end) = text.split_once("..")?;
        Some(number(start)?..number(end)?)
    });
    let Some(seeds) = seeds else {
        eprintln!("usage: crescendo-fuzz [--generator own|smith|both] [--fast] --seeds A..B");
        return ExitCode::from(2);
    };
    let which = value("--generator").unwrap_or("both");
    if run_seeds(&engines, seeds, which != "smith", which != "own") {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
