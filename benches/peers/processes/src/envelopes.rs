//! Envelopes of whole processes: each point in all engines that are still fast enough.

use crate::engines::Engine;
use crate::measure::{self, Expectation, Outcome, Plan};
use crate::options::Options;
use crate::stage::Stage;
use crate::{report, write};
use crescendo_processes::Result;
use crescendo_processes::corpus::{Corpus, Envelope, Point};
use crescendo_processes::envelope::Curves;
use crescendo_processes::sample::Sample;

/// Runs of an engine that takes a second or more at a point.
const REPETITIONS: usize = 3;

/// An engine's line ends when the next point would take it longer than the limit: three times as long as this one, and a third of
/// that for the error.
const GROWTH: f64 = 4.0;

/// Measures the envelopes, prints their tables, and writes plots and CSV; answers what is wrong.
///
/// # Errors
///
/// If nothing can be measured at all.
pub fn run(
    corpus: &Corpus,
    engines: &[Engine],
    options: &Options,
    stage: &Stage,
    head: &str,
) -> Result<Vec<String>> {
    let named = |envelope: &&Envelope| {
        options.only.is_empty() || options.only.iter().any(|part| envelope.name.contains(part.as_str()))
    };
    let envelopes: Vec<&Envelope> = corpus.envelopes.iter().filter(named).collect();
    if envelopes.is_empty() {
        return Err("no envelope has such a name".into());
    }
    println!("{head}");
    let (mut problems, mut csv) = (Vec::new(), Curves::CSV_HEAD.to_string());
    for envelope in envelopes {
        let curves = measure_envelope(envelope, engines, options, stage, &mut problems)?;
        println!("{}", curves.markdown());
        csv.push_str(&curves.csv());
        write(&options.out, "envelope-processes.csv", &csv)?;
        write(&options.out, &format!("envelope-{}-processes.svg", envelope.name), &curves.svg())?;
    }
    if !problems.is_empty() {
        println!("**{} problems**\n\n- {}", problems.len(), problems.join("\n- "));
    }
    Ok(problems)
}

fn measure_envelope(
    envelope: &Envelope,
    engines: &[Engine],
    options: &Options,
    stage: &Stage,
    problems: &mut Vec<String>,
) -> Result<Curves> {
    let plan = Plan { repetitions: REPETITIONS, exactly: options.repetitions, limit: options.limit };
    let mut going = vec![true; engines.len()];
    let mut rows: Vec<(Point, Vec<Option<Sample>>)> = Vec::new();
    for point in envelope.points(options.longest) {
        eprintln!("{} {}", envelope.name, point.argument);
        let running: Vec<usize> = (0..engines.len()).filter(|index| going[*index]).collect();
        if running.is_empty() {
            break;
        }
        let job = stage.point(envelope, point)?;
        let taking_part: Vec<&Engine> = running.iter().map(|index| &engines[*index]).collect();
        let outcomes = measure::measure(&taking_part, &job, &Expectation::default(), &plan, stage)?;
        let mut times = vec![None; engines.len()];
        for (index, outcome) in running.into_iter().zip(outcomes) {
            if let Outcome::Failed(why) | Outcome::Refused(why) = &outcome {
                problems.push(format!("{} in {}: {why}", job.name, engines[index].kind.title()));
            }
            times[index] = report::wall(outcome);
            let seconds = times[index].as_ref().map(|sample| sample.median() / 1e3);
            going[index] = seconds.is_some_and(|seconds| seconds * GROWTH < options.limit.as_secs_f64());
        }
        rows.push((point, times));
    }
    Ok(Curves {
        envelope: envelope.clone(),
        what: "whole process",
        engines: engines.iter().map(|engine| engine.kind.title().to_string()).collect(),
        // Those that are compared come first.
        compared: engines.iter().filter(|engine| !engine.kind.is_beside()).count(),
        rows,
    })
}
