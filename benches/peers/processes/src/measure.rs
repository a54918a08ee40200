//! A case in all engines: [`measure`], runs in turns, each checked.
//!
//! A first run of each engine warms the files' pages and shows how long it takes; it counts if it took a second or more. Then the engines
//! take turns, and who begins changes each time. One that needs fewer runs than another has them spread over the whole time.

use crate::child::{self, Run};
use crate::engines::{Engine, Kind};
use crate::stage::{Job, Stage};
use crescendo_processes::sample::Sample;
use crescendo_processes::{Result, checksum};
use std::collections::BTreeMap;
use std::time::Duration;

/// Runs that take less than this are repeated more often.
const SHORT: Duration = Duration::from_secs(1);

/// How often those are.
pub const SHORT_REPETITIONS: usize = 21;

/// Longest reason in a table, in characters.
const REASON: usize = 110;

/// What a run must leave behind. Without result and stdout, what the first run prints is expected of all others.
#[derive(Clone, Debug, Default)]
pub struct Expectation {
    /// A kernel's result, as printed.
    pub result: Option<String>,
    /// SHA-256 of stdout.
    pub stdout: Option<String>,
    /// Files on the stage, with their SHA-256.
    pub writes: BTreeMap<String, String>,
    /// Engines that refuse the module, and a part of what they say.
    pub refused: BTreeMap<String, String>,
}

/// How often and how long.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Runs of an engine that takes a second or more.
    pub repetitions: usize,
    /// Runs of any engine, instead of what follows from its time.
    pub exactly: Option<usize>,
    /// When a run is ended.
    pub limit: Duration,
}

/// What became of a case in an engine.
pub enum Outcome {
    /// It ran, as often as it should.
    Times(Times),
    /// The engine does not take the module, as the manifest says.
    Refused(String),
    /// A run did not end in time.
    OverLimit,
    /// Something is wrong.
    Failed(String),
}

/// All runs of a case in an engine.
pub struct Times {
    /// Milliseconds on the wall.
    pub wall: Sample,
    /// Milliseconds of processor time.
    pub cpu: Sample,
    /// MiB of memory at the most.
    pub peak: Sample,
    /// One by one, in the order in which they ran.
    pub runs: Vec<Run>,
}

impl Outcome {
    /// The times, if it ran.
    pub fn times(&self) -> Option<&Times> {
        match self {
            Outcome::Times(times) => Some(times),
            _ => None,
        }
    }
}

/// An engine in the middle of a case.
enum State {
    Running(Vec<Run>, Duration),
    Done(Outcome),
}

/// Runs a job in all engines; one outcome for each.
///
/// # Errors
///
/// If processes cannot be made. What they do is an outcome.
pub fn measure(
    engines: &[&Engine],
    job: &Job,
    expected: &Expectation,
    plan: &Plan,
    stage: &Stage,
) -> Result<Vec<Outcome>> {
    let mut states = Vec::new();
    let mut expected = expected.clone();
    for engine in engines {
        states.push(match attempt(engine, job, &expected, plan, stage)? {
            Ok(run) => {
                if expected.stdout.is_none() && expected.result.is_none() {
                    expected.result =
                        Some(String::from_utf8_lossy(&stage.read("stdout")?).trim().to_string());
                }
                // The first run of all fills the cache.
                let counts = run.wall >= SHORT && engine.kind != Kind::Cached;
                State::Running(if counts { vec![run] } else { Vec::new() }, run.wall)
            }
            Err(outcome) => State::Done(outcome),
        });
    }
    for round in 0.. {
        let most = states.iter().filter_map(|state| plan.missing(state).map(|(wanted, _)| wanted)).max();
        let Some(most) = most else { break };
        for turn in 0..engines.len() {
            let index = (turn + round) % engines.len();
            let Some((wanted, have)) = plan.missing(&states[index]) else { continue };
            if have > (round + 1) * wanted / most {
                continue;
            }
            match attempt(engines[index], job, &expected, plan, stage)? {
                Ok(run) => states[index].push(run),
                Err(outcome) => states[index] = State::Done(outcome),
            }
        }
    }
    Ok(states.into_iter().map(State::finish).collect())
}

impl Plan {
    /// How many runs an engine should have and how many it has, if that is fewer.
    fn missing(&self, state: &State) -> Option<(usize, usize)> {
        let State::Running(runs, shortest) = state else { return None };
        let adaptive =
            if *shortest < SHORT { self.repetitions.max(SHORT_REPETITIONS) } else { self.repetitions };
        let wanted = self.exactly.unwrap_or(adaptive);
        (runs.len() < wanted).then_some((wanted, runs.len()))
    }
}

impl State {
    fn push(&mut self, run: Run) {
        if let State::Running(runs, shortest) = self {
            *shortest = run.wall.min(*shortest);
            runs.push(run);
        }
    }

    fn finish(self) -> Outcome {
        match self {
            State::Done(outcome) => outcome,
            State::Running(runs, _) => {
                let sample = |number: fn(&Run) -> f64| Sample::new(runs.iter().map(number).collect());
                Outcome::Times(Times {
                    wall: sample(|run| run.wall.as_secs_f64() * 1e3),
                    cpu: sample(|run| run.cpu().as_secs_f64() * 1e3),
                    peak: sample(|run| run.peak as f64 / f64::from(1 << 20)),
                    runs,
                })
            }
        }
    }
}

/// Runs a job once and looks at what it left.
fn attempt(
    engine: &Engine,
    job: &Job,
    expected: &Expectation,
    plan: &Plan,
    stage: &Stage,
) -> Result<Result<Run, Outcome>> {
    stage.prepare(job)?;
    let mut command = engine.command(&job.start(), &stage.cache_settings());
    let run = child::run(&mut command, stage.folder(), job.stdin.as_deref(), plan.limit)?;
    let refusal = expected.refused.get(engine.kind.name());
    let stderr = String::from_utf8_lossy(&stage.read("stderr")?).into_owned();
    Ok(match (run.status, refusal) {
        (None, _) => Err(Outcome::OverLimit),
        (Some(status), None) if status.success() => match difference(expected, stage)? {
            None => Ok(run),
            Some(difference) => Err(Outcome::Failed(difference)),
        },
        (Some(status), Some(part)) if !status.success() && stderr.contains(part) => {
            Err(Outcome::Refused(reason(&stderr)))
        }
        (Some(status), Some(part)) => Err(Outcome::Failed(format!(
            "should be refused with `{part}`, but ends with {status}: {}",
            reason(&stderr)
        ))),
        (Some(status), None) => Err(Outcome::Failed(format!("{status}: {}", reason(&stderr)))),
    })
}

/// What a successful run left that it should not, if anything.
fn difference(expected: &Expectation, stage: &Stage) -> Result<Option<String>> {
    let stdout = stage.read("stdout")?;
    if let Some(result) = &expected.result {
        let printed = String::from_utf8_lossy(&stdout);
        if printed.trim() != result {
            return Ok(Some(format!("result {} instead of {result}", shortened(printed.trim()))));
        }
    }
    let files = expected.writes.iter().map(|(name, sum)| (name.as_str(), sum));
    for (name, sum) in expected.stdout.iter().map(|sum| ("stdout", sum)).chain(files) {
        let Ok(bytes) = stage.read(name) else { return Ok(Some(format!("{name} was not written"))) };
        let found = checksum::of_bytes(&bytes);
        if found != *sum {
            return Ok(Some(format!(
                "{name} of {} bytes has checksum {found} instead of {sum}",
                bytes.len()
            )));
        }
    }
    Ok(None)
}

/// Why an engine failed, in a line: the last thing that it says before a backtrace, which is the innermost cause.
fn reason(stderr: &str) -> String {
    let lines = stderr.lines().map(str::trim).take_while(|line| !line.starts_with("Stack backtrace"));
    let said = lines.filter(|line| !line.is_empty() && !line.starts_with("warning:"));
    shortened(said.last().unwrap_or("no reason given"))
}

/// The beginning of a text, fit for a cell of a table.
fn shortened(text: &str) -> String {
    let text = text.replace(['\n', '|'], " ");
    if text.chars().count() <= REASON {
        text
    } else {
        format!("{}…", text.chars().take(REASON).collect::<String>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_the_innermost_cause() {
        let stderr = "Error: failed to compile\n\nCaused by:\n    exceptions are off\n\nStack backtrace:\n   0: main\n";
        assert_eq!(reason(stderr), "exceptions are off");
        assert_eq!(reason("warning: experimental\n"), "no reason given");
        assert_eq!(reason(&"é|".repeat(200)), format!("{}…", "é ".repeat(55)));
    }

    #[test]
    fn short_runs_are_repeated_more_often() {
        let state = |runs: usize, shortest| {
            let run = Run { wall: shortest, user: shortest, system: shortest, peak: 1, status: None };
            State::Running(vec![run; runs], shortest)
        };
        let plan = Plan { repetitions: 5, exactly: None, limit: SHORT };
        assert_eq!(plan.missing(&state(3, Duration::from_millis(10))), Some((21, 3)));
        assert_eq!(plan.missing(&state(3, Duration::from_secs(2))), Some((5, 3)));
        assert_eq!(plan.missing(&state(5, Duration::from_secs(2))), None);
        let plan = Plan { exactly: Some(2), ..plan };
        assert_eq!(plan.missing(&state(1, Duration::from_millis(10))), Some((2, 1)));
    }
}
