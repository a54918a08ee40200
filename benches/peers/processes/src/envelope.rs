//! Envelopes: time to finish over amount of work, one line an engine. [`Curves`] collects what either harness measures.

use crate::chart::{Chart, Series, Unit};
use crate::corpus::{Envelope, Point};
use crate::sample::Sample;
use std::fmt::Write;

/// The lines of one envelope.
pub struct Curves {
    /// The module.
    pub envelope: Envelope,
    /// What a time is: that of a process, or within one.
    pub what: &'static str,
    /// Names of the engines; the first is this one.
    pub engines: Vec<String>,
    /// How many of the engines, from the first on, are compared; the others are only drawn.
    pub compared: usize,
    /// Points in the order of their work, with the milliseconds of each engine that got so far.
    pub rows: Vec<(Point, Vec<Option<Sample>>)>,
}

impl Curves {
    /// This engine's time as a multiple of the shortest of the compared ones, its own included, and whose that is; and whether the
    /// two samples tie.
    fn ratio(&self, times: &[Option<Sample>]) -> Option<(f64, usize, bool)> {
        let own = times.first()?.as_ref()?;
        let compared = times.iter().enumerate().take(self.compared);
        let measured = compared.filter_map(|(index, time)| Some((index, time.as_ref()?)));
        let (index, best) = measured.min_by(|a, b| a.1.median().total_cmp(&b.1.median()))?;
        Some((own.median() / best.median(), index, index != 0 && own.ties_with(best)))
    }

    /// A table in Markdown, and this engine's worst ratio below it.
    pub fn markdown(&self) -> String {
        let mut text =
            format!("### {}, {} ({})\n\n", self.envelope.name, self.what, self.envelope.role.name());
        let _ = write!(text, "| work | argument |");
        for engine in &self.engines {
            let _ = write!(text, " {engine} ms |");
        }
        let _ = writeln!(text, " {} / lowest | lowest |", self.engines[0]);
        let _ = writeln!(text, "| ---: | ---: |{} ---: | --- |", " ---: |".repeat(self.engines.len()));
        let mut worst: Option<(f64, f64)> = None;
        for (point, times) in &self.rows {
            let _ = write!(text, "| {} | {} |", duration(point.work), point.argument);
            for time in times {
                match time {
                    Some(time) => {
                        let _ = write!(text, " {} |", milliseconds(time));
                    }
                    None => text.push_str(" – |"),
                }
            }
            match self.ratio(times) {
                Some((ratio, best, tie)) => {
                    let tie = if tie { ", a tie" } else { "" };
                    let _ = writeln!(text, " {ratio:.2} | {}{tie} |", self.engines[best]);
                    if worst.is_none_or(|(most, _)| ratio > most) {
                        worst = Some((ratio, point.work));
                    }
                }
                None => text.push_str(" – | – |\n"),
            }
        }
        if let Some((ratio, work)) = worst {
            let _ = write!(text, "\nFarthest from the lowest line: {ratio:.2} at {}.\n", duration(work));
        }
        text
    }

    /// The plot.
    pub fn svg(&self) -> String {
        let series = self.engines.iter().enumerate().map(|(index, name)| {
            let points = self.rows.iter().filter_map(|(point, times)| {
                let seconds = times[index].as_ref()?.median() / 1e3;
                let hint = format!("{name}: {} for {}", duration(seconds), duration(point.work));
                Some((point.work, seconds, hint))
            });
            Series { name: name.clone(), points: points.collect(), connected: true }
        });
        Chart {
            title: format!("{}: time to finish, {}", self.envelope.name, self.what),
            x_label: "amount of work: time of compiled code alone".into(),
            y_label: "time to finish, loading included".into(),
            series: series.collect(),
            x_unit: Unit::Seconds,
            y_unit: Unit::Seconds,
            limits: Vec::new(),
        }
        .svg()
    }

    /// Lines of a CSV file: envelope, what, work in seconds, argument, engine, median, quartiles and count, times in milliseconds.
    pub fn csv(&self) -> String {
        let mut text = String::new();
        for (point, times) in &self.rows {
            for (engine, time) in self.engines.iter().zip(times) {
                let Some(time) = time else { continue };
                let (first, third) = time.quartiles();
                let _ = writeln!(
                    text,
                    "{},{},{:e},{},{engine},{:.4},{first:.4},{third:.4},{}",
                    self.envelope.name,
                    self.what,
                    point.work,
                    point.argument,
                    time.median(),
                    time.count()
                );
            }
        }
        text
    }

    /// The first line for [`Curves::csv`].
    pub const CSV_HEAD: &str =
        "envelope,what,work_s,argument,engine,median_ms,first_quartile_ms,third_quartile_ms,runs\n";
}

/// The median and the quartiles, with digits as the size asks for.
pub fn milliseconds(sample: &Sample) -> String {
    let (first, third) = sample.quartiles();
    let digits = match sample.median() {
        median if median < 10.0 => 2,
        median if median < 1000.0 => 1,
        _ => 0,
    };
    format!("{:.digits$} ({first:.digits$}..{third:.digits$})", sample.median())
}

/// A time with two or three digits.
pub fn duration(seconds: f64) -> String {
    let (value, unit) = match seconds {
        seconds if seconds < 0.9995e-3 => (seconds * 1e6, "µs"),
        seconds if seconds < 0.9995 => (seconds * 1e3, "ms"),
        _ => (seconds, "s"),
    };
    let digits = if value < 9.95 { 1 } else { 0 };
    let text = format!("{value:.digits$}");
    format!("{} {unit}", text.strip_suffix(".0").unwrap_or(&text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::Role;

    fn curves(compared: usize) -> Curves {
        let envelope = Envelope {
            name: "kernel".into(),
            role: Role::HeldOut,
            module: String::new(),
            nanoseconds: 1.0,
            stdin: None,
        };
        let sample = |time: f64| Some(Sample::new(vec![time]));
        let rows = vec![
            (Point { argument: 10, work: 1e-5 }, vec![sample(2.0), sample(4.0), sample(1.0)]),
            (Point { argument: 30, work: 3e-5 }, vec![sample(3.0), sample(2.0), None]),
        ];
        let engines = ["own", "peer", "other"].map(String::from).to_vec();
        Curves { envelope, what: "whole process", engines, compared, rows }
    }

    #[test]
    fn the_ratio_is_to_the_lowest_of_those_compared() {
        let ratios = |curves: Curves| -> Vec<_> {
            curves
                .rows
                .iter()
                .map(|(_, times)| curves.ratio(times).map(|(ratio, best, _)| (ratio, best)))
                .collect()
        };
        assert_eq!(ratios(curves(2)), [Some((1.0, 0)), Some((1.5, 1))]);
        assert_eq!(ratios(curves(3)), [Some((2.0, 2)), Some((1.5, 1))]);
    }

    #[test]
    fn tables_and_files_have_every_point() {
        let curves = curves(2);
        let table = curves.markdown();
        assert!(
            table.contains("| 30 µs | 30 | 3.00 (3.00..3.00) | 2.00 (2.00..2.00) | – | 1.50 | peer |"),
            "{table}"
        );
        assert!(table.contains("1.50 at 30 µs"), "{table}");
        assert_eq!(curves.csv().lines().count(), 5);
        assert_eq!(
            curves.svg().matches("<polyline class=\"line").count(),
            6,
            "three lines, and three in the legend"
        );
    }

    #[test]
    fn times_are_written_short() {
        let times = [1e-5, 3.16e-4, 0.0012, 0.5, 1.0, 31.6].map(duration);
        assert_eq!(times, ["10 µs", "316 µs", "1.2 ms", "500 ms", "1 s", "32 s"]);
    }
}
