//! Repeated measurements of one quantity: [`Sample`].

use std::fmt;

/// Repeated measurements; never empty.
#[derive(Clone, Debug)]
pub struct Sample {
    sorted: Vec<f64>,
}

impl Sample {
    /// A sample of these numbers.
    ///
    /// # Panics
    ///
    /// Without any.
    pub fn new(mut numbers: Vec<f64>) -> Sample {
        assert!(!numbers.is_empty(), "a sample needs a measurement");
        numbers.sort_by(f64::total_cmp);
        Sample { sorted: numbers }
    }

    /// How many measurements these are.
    pub fn count(&self) -> usize {
        self.sorted.len()
    }

    /// The middle one, or the mean of the two in the middle.
    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// The smallest one.
    pub fn min(&self) -> f64 {
        self.sorted[0]
    }

    /// The largest one.
    pub fn max(&self) -> f64 {
        self.sorted[self.sorted.len() - 1]
    }

    /// The first and the third quartile.
    pub fn quartiles(&self) -> (f64, f64) {
        (self.quantile(0.25), self.quantile(0.75))
    }

    /// Whether the halves in the middle of both samples overlap, so that which is smaller may be chance.
    pub fn ties_with(&self, other: &Sample) -> bool {
        let (a, b) = (self.quartiles(), other.quartiles());
        a.0 <= b.1 && b.0 <= a.1
    }

    /// The number below which a part of the measurements lies, interpolated between neighbours.
    fn quantile(&self, part: f64) -> f64 {
        let at = part * (self.sorted.len() - 1) as f64;
        let (below, above) = (at.floor() as usize, at.ceil() as usize);
        self.sorted[below] + (self.sorted[above] - self.sorted[below]) * (at - at.floor())
    }
}

/// The median and the range, with the precision that the formatter asks for.
impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(1);
        write!(f, "{:.digits$} ({:.digits$}..{:.digits$})", self.median(), self.min(), self.max())
    }
}

/// The geometric mean; none of nothing.
pub fn geometric_mean(numbers: impl IntoIterator<Item = f64>) -> Option<f64> {
    let logarithms: Vec<f64> = numbers.into_iter().map(f64::ln).collect();
    (!logarithms.is_empty()).then(|| (logarithms.iter().sum::<f64>() / logarithms.len() as f64).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_quartiles() {
        let sample = Sample::new(vec![4.0, 1.0, 3.0, 2.0, 5.0]);
        assert_eq!((sample.median(), sample.quartiles()), (3.0, (2.0, 4.0)));
        assert_eq!(Sample::new(vec![1.0, 2.0]).median(), 1.5);
        assert_eq!(Sample::new(vec![7.0]).quartiles(), (7.0, 7.0));
    }

    #[test]
    fn samples_tie_when_their_middles_overlap() {
        let sample = |numbers: &[f64]| Sample::new(numbers.to_vec());
        assert!(sample(&[1.0, 2.0, 3.0, 4.0, 9.0]).ties_with(&sample(&[3.5, 4.0, 5.0, 6.0, 7.0])));
        assert!(!sample(&[1.0, 2.0, 3.0, 4.0, 9.0]).ties_with(&sample(&[3.5, 5.0, 6.0, 7.0, 8.0])));
    }

    #[test]
    fn geometric_means() {
        assert_eq!(geometric_mean([]), None);
        let mean = geometric_mean([0.5, 2.0, 8.0]).expect("there are numbers");
        assert!((mean - 2.0).abs() < 1e-12);
    }
}
