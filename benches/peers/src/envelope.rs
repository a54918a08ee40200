//! Envelopes in one process: from a module's bytes to the end of its run, in a new engine each time.
//!
//! No process is started and no file is read, so that small amounts of work show what loading, compiling and entering cost. Settings are
//! those of all runs, which are the defaults but for the stack.

use crate::Result;
use crate::cases::{Case, Start};
use crate::engines::crescendo::Tiered;
use crate::engines::wasmi::Wasmi;
use crate::engines::wasmtime::{Wasmtime, Winch};
use crate::engines::{Contender, End};
use crate::measure::milliseconds;
use crescendo_processes::corpus::{Corpus, Envelope, Point, binary};
use crescendo_processes::envelope::Curves;
use crescendo_processes::sample::Sample;
use std::path::Path;
use std::time::Instant;

/// Runs at a point that take less than a second, and others.
const SHORT_REPETITIONS: usize = 21;
const LONG_REPETITIONS: usize = 3;
const SHORT: f64 = 1000.0;

/// An engine's line ends when the next point, three times as far, would take longer than the limit, with a third for the error.
const GROWTH: f64 = 4.0;

/// How far envelopes go.
pub struct Reach {
    /// The largest amount of work, in seconds of compiled code.
    pub longest: f64,
    /// The longest run, in seconds.
    pub limit: f64,
    /// Runs at each point, whatever they take.
    pub repetitions: Option<usize>,
}

/// Measures the envelopes of the corpus, prints their tables, and writes plots and CSV; answers whether the engines agree.
pub fn run(reach: &Reach, filters: &[String], out: &Path) -> Result<bool> {
    let corpus = Corpus::load()?;
    corpus.verify(false)?;
    let named = |envelope: &&Envelope| {
        filters.is_empty() || filters.iter().any(|filter| envelope.name.contains(filter.as_str()))
    };
    let envelopes: Vec<&Envelope> = corpus.envelopes.iter().filter(named).collect();
    if envelopes.is_empty() {
        return Err("no envelope has such a name".into());
    }
    std::fs::create_dir_all(out)?;
    let (mut agree, mut csv) = (true, Curves::CSV_HEAD.to_string());
    for envelope in envelopes {
        let curves = measure_envelope(envelope, reach, &mut agree)?;
        println!("{}", curves.markdown());
        csv.push_str(&curves.csv());
        std::fs::write(out.join("envelope-in-process.csv"), &csv)?;
        std::fs::write(out.join(format!("envelope-{}-in-process.svg", envelope.name)), curves.svg())?;
    }
    Ok(agree)
}

fn measure_envelope(envelope: &Envelope, reach: &Reach, agree: &mut bool) -> Result<Curves> {
    let engines = [
        Contender::of::<Tiered>(),
        Contender::of::<Wasmtime>(),
        Contender::of::<Winch>(),
        Contender::of::<Wasmi>(),
    ];
    let wasm = binary(&envelope.module)?;
    let mut going = [true; 4];
    let mut rows: Vec<(Point, Vec<Option<Sample>>)> = Vec::new();
    for point in envelope.points(reach.longest) {
        if going == [false; 4] {
            break;
        }
        eprintln!("{} {}", envelope.name, point.argument);
        let start = match envelope.stdin(point.argument)? {
            Some(stdin) => Start::Program { args: Vec::new(), stdin, stdout: None },
            None => Start::Kernel { argument: point.argument },
        };
        let case = Case { name: envelope.name.clone(), wasm: wasm.clone(), start };
        let times = measure_point(&case, &engines, &going, reach, agree)?;
        for (index, times) in times.iter().enumerate() {
            going[index] = times.as_ref().is_some_and(|times| times.median() / 1e3 * GROWTH < reach.limit);
        }
        rows.push((point, times));
    }
    Ok(Curves {
        envelope: envelope.clone(),
        what: "in one process",
        engines: engines.iter().map(|engine| engine.name.to_string()).collect(),
        compared: engines.len(),
        rows,
    })
}

/// A point in all engines that are still going, in turns.
fn measure_point(
    case: &Case,
    engines: &[Contender; 4],
    going: &[bool; 4],
    reach: &Reach,
    agree: &mut bool,
) -> Result<Vec<Option<Sample>>> {
    let mut taken: [Vec<f64>; 4] = Default::default();
    let mut expected: Option<End> = None;
    for round in 0.. {
        let mut ran = false;
        for turn in 0..engines.len() {
            let index = (turn + round) % engines.len();
            let shortest = taken[index].iter().copied().fold(f64::MAX, f64::min);
            let adaptive = if shortest < SHORT || taken[index].is_empty() {
                SHORT_REPETITIONS
            } else {
                LONG_REPETITIONS
            };
            if !going[index] || taken[index].len() >= reach.repetitions.unwrap_or(adaptive) {
                continue;
            }
            ran = true;
            let start = Instant::now();
            let outcome = (engines[index].load)(&case.wasm).and_then(|module| module.run(case));
            let outcome =
                outcome.map_err(|error| format!("{} in {}: {error}", case.name, engines[index].name))?;
            taken[index].push(milliseconds(outcome.done - start));
            let expected = expected.get_or_insert_with(|| outcome.end.clone());
            if let Some(what) = expected.difference(&outcome.end) {
                println!(
                    "**DIFFERENT**: {} {:?} in {}: {what}\n",
                    case.name,
                    case.call().1,
                    engines[index].name
                );
                *agree = false;
            }
        }
        if !ran {
            break;
        }
    }
    Ok(taken.into_iter().map(|times| (!times.is_empty()).then(|| Sample::new(times))).collect())
}
