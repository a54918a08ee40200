//! Repeated measurements: [`Sample`], and two engines on one case, [`compare`].
//!
//! Noise is met in three ways. The engines take turns, and who begins changes each time, so that a slow minute of the machine
//! hits both. Ratios are of neighbours in time, and the median of them counts. Every number comes with its range.

use crate::Result;
use crate::cases::{Case, Start};
use crate::engines::{Peer, Run};
use std::fmt;
use std::time::Duration;

/// Repeated measurements of one quantity; never empty.
pub struct Sample {
    sorted: Vec<f64>,
}

impl Sample {
    /// A sample of these numbers, of which there is one at least.
    pub fn new(mut numbers: Vec<f64>) -> Sample {
        assert!(!numbers.is_empty(), "a sample needs a measurement");
        numbers.sort_by(f64::total_cmp);
        Sample { sorted: numbers }
    }

    /// The middle one, or the mean of the two in the middle.
    pub fn median(&self) -> f64 {
        let middle = self.sorted.len() / 2;
        if self.sorted.len() % 2 == 1 {
            self.sorted[middle]
        } else {
            (self.sorted[middle - 1] + self.sorted[middle]) / 2.0
        }
    }

    /// The smallest one.
    pub fn min(&self) -> f64 {
        self.sorted[0]
    }

    /// The largest one.
    pub fn max(&self) -> f64 {
        self.sorted[self.sorted.len() - 1]
    }
}

/// The median and the range, with the precision that the formatter asks for.
impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(1);
        write!(f, "{:.digits$} ({:.digits$}..{:.digits$})", self.median(), self.min(), self.max())
    }
}

/// Two engines on one case.
pub struct Comparison {
    /// The case.
    pub name: String,
    /// Milliseconds of the first engine.
    pub first: Sample,
    /// Milliseconds of the second engine.
    pub second: Sample,
    /// Time of the first engine as a multiple of the second one's, of each pair.
    pub ratio: Sample,
    /// Bytes of memory that were compared.
    pub memory: usize,
    /// Where the engines, or the program and what it should print, differ.
    pub difference: Option<&'static str>,
}

/// Runs a case `repetitions` times in both engines, after `warm_up` runs in each that are compared and not timed.
pub fn compare<A: Peer, B: Peer>(case: &Case, repetitions: usize, warm_up: usize) -> Result<Comparison> {
    let within = |engine: &str, error| format!("{} in {engine}: {error}", case.name);
    let first = A::load(&case.wasm).map_err(|error| within(A::NAME, error))?;
    let second = B::load(&case.wasm).map_err(|error| within(B::NAME, error))?;
    let run_first = || first.run(case).map_err(|error| within(A::NAME, error));
    let run_second = || second.run(case).map_err(|error| within(B::NAME, error));

    let (expected, found) = (run_first()?.end, run_second()?.end);
    let mut difference = expected.difference(&found);
    if let Start::Program { stdout, .. } = &case.start
        && found.stdout != *stdout
    {
        difference = Some("expected stdout");
    }
    let memory = found.memory.len();
    drop((expected, found));
    for _ in 1..warm_up {
        difference = difference.or(run_first()?.end.difference(&run_second()?.end));
    }

    let (mut firsts, mut seconds) = (Vec::new(), Vec::new());
    for repetition in 0..repetitions {
        let (a, b) = if repetition % 2 == 0 {
            let a = run_first()?;
            (a, run_second()?)
        } else {
            let b = run_second()?;
            (run_first()?, b)
        };
        difference = difference.or(a.end.difference(&b.end));
        firsts.push(milliseconds(a.elapsed));
        seconds.push(milliseconds(b.elapsed));
    }
    let ratios = firsts.iter().zip(&seconds).map(|(a, b)| a / b).collect();
    Ok(Comparison {
        name: case.name.clone(),
        first: Sample::new(firsts),
        second: Sample::new(seconds),
        ratio: Sample::new(ratios),
        memory,
        difference,
    })
}

/// The geometric mean of the medians of ratios.
pub fn geometric_mean<'a>(comparisons: impl IntoIterator<Item = &'a Comparison>) -> f64 {
    let logarithms: Vec<f64> = comparisons.into_iter().map(|case| case.ratio.median().ln()).collect();
    (logarithms.iter().sum::<f64>() / logarithms.len() as f64).exp()
}

/// A duration in milliseconds.
pub fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
