//! Engines on one case: [`compare`].
//!
//! Noise is met in three ways. The engines take turns, and who begins changes each time, so that a slow minute of the machine
//! hits all. Ratios are of neighbours in time, and the median of them counts. Every number comes with its range.

use crate::Result;
use crate::cases::Case;
use crate::engines::{Contender, End, Outcome, Run};
use crescendo_processes::sample::{self, Sample};
use std::time::Duration;

/// Engines on one case.
pub struct Comparison {
    /// The case.
    pub name: String,
    /// The others.
    pub peers: Vec<Measured>,
    /// Milliseconds of this engine.
    pub own: Sample,
    /// Bytes of memory that were compared.
    pub memory: usize,
    /// Where the engines, or the program and what it should print, differ.
    pub difference: Option<&'static str>,
}

/// A peer on one case.
pub struct Measured {
    /// The peer.
    pub name: &'static str,
    /// Its milliseconds, and they as a multiple of this engine's of each turn; or why it does not take the module.
    pub outcome: Result<(Sample, Sample), String>,
}

/// A loaded module and what its runs took.
struct Turns {
    name: &'static str,
    module: Box<dyn Run>,
    milliseconds: Vec<f64>,
}

impl Turns {
    fn run(&self, case: &Case) -> Result<Outcome> {
        self.module.run(case).map_err(|error| format!("{} in {}: {error}", case.name, self.name).into())
    }
}

/// What comes before the runs that count.
#[derive(Clone, Copy)]
pub struct WarmUp {
    /// Runs of each engine, one at least.
    pub runs: usize,
    /// Processor time of this engine's, without the first.
    pub time: Duration,
}

/// Runs a case `repetitions` times in all engines, after runs to warm up that are compared and not timed. `own` is this engine;
/// of the peers those whose `may_refuse` is set may refuse to load the module.
pub fn compare(
    case: &Case,
    peers: &[(Contender, bool)],
    own: Contender,
    repetitions: usize,
    warm_up: WarmUp,
) -> Result<Comparison> {
    let (mut turns, mut refusals) = (Vec::new(), Vec::new());
    for (contender, may_refuse) in peers.iter().copied().chain([(own, false)]) {
        match (contender.load)(&case.wasm) {
            Ok(module) => turns.push(Turns { name: contender.name, module, milliseconds: Vec::new() }),
            Err(error) if may_refuse => refusals.push((contender.name, reason(error.as_ref()))),
            Err(error) => return Err(format!("{} in {}: {error}", case.name, contender.name).into()),
        }
    }
    let expected = turns[0].run(case)?.end;
    let mut difference = None;
    for engine in &turns[1..] {
        difference = difference.or(expected.difference(&engine.run(case)?.end));
    }
    if !case.expects(&expected.stdout) {
        difference = Some("expected stdout");
    }
    let (mut runs, mut spent) = (1, Duration::ZERO);
    while runs < warm_up.runs || spent < warm_up.time {
        for (index, engine) in turns.iter().enumerate() {
            let outcome = engine.run(case)?;
            difference = difference.or(expected.difference(&outcome.end));
            // This engine is the last.
            spent += if index == turns.len() - 1 { outcome.elapsed } else { Duration::ZERO };
        }
        runs += 1;
    }
    for repetition in 0..repetitions {
        let mut ends: Vec<End> = Vec::new();
        for turn in 0..turns.len() {
            let index = (turn + repetition) % turns.len();
            let outcome = turns[index].run(case)?;
            turns[index].milliseconds.push(milliseconds(outcome.elapsed));
            ends.push(outcome.end);
        }
        difference = difference.or(ends.windows(2).find_map(|pair| pair[0].difference(&pair[1])));
    }
    Ok(Comparison {
        name: case.name.clone(),
        peers: peers.iter().map(|(peer, _)| measured(peer.name, &turns, &refusals)).collect(),
        own: Sample::new(turns[turns.len() - 1].milliseconds.clone()),
        memory: expected.memory.len(),
        difference,
    })
}

/// A peer's part of the turns, this engine's being the last of them.
fn measured(name: &'static str, turns: &[Turns], refusals: &[(&'static str, String)]) -> Measured {
    let own = &turns[turns.len() - 1];
    let outcome = match turns.iter().find(|engine| engine.name == name) {
        Some(peer) => {
            let ratios =
                peer.milliseconds.iter().zip(&own.milliseconds).map(|(peer, own)| peer / own).collect();
            Ok((Sample::new(peer.milliseconds.clone()), Sample::new(ratios)))
        }
        None => Err(refusals
            .iter()
            .find(|refusal| refusal.0 == name)
            .map_or(String::new(), |refusal| refusal.1.clone())),
    };
    Measured { name, outcome }
}

/// The innermost cause of an error, fit for a cell of a table.
fn reason(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string().replace(['\n', '|'], " ")
}

/// The geometric mean of the medians of ratios to a peer, over the cases that it takes.
pub fn geometric_mean<'a>(comparisons: impl IntoIterator<Item = &'a Comparison>, peer: &str) -> Option<f64> {
    let measured = comparisons.into_iter().filter_map(|case| case.peers.iter().find(|one| one.name == peer));
    sample::geometric_mean(measured.filter_map(|one| Some(one.outcome.as_ref().ok()?.1.median())))
}

/// A duration in milliseconds.
pub fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
