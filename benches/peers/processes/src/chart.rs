//! A plot with two logarithmic axes: [`Chart`].
//!
//! Draws lines or single marks, a grid at powers of ten, and a legend. Colours are readable on white and on black: the style sheet has
//! both and asks the reader's system which it prefers. What must not be told by colour alone is told by the form of the line, too.

use crate::svg::{Anchor, Svg};

/// Pictures are this wide.
const WIDTH: f64 = 820.0;
const HEIGHT: f64 = 520.0;
/// The plot's place in it, from the left and from above.
const LEFT: f64 = 74.0;
const TOP: f64 = 40.0;
const RIGHT: f64 = 610.0;
const BOTTOM: f64 = 462.0;
/// From one line of the legend to the next.
const LEGEND_STEP: f64 = 22.0;

/// Colours of series 0 to 7 and their dashes: light background, dark background, dashes.
const SERIES: [(&str, &str, &str); 8] = [
    ("#d1242f", "#ff7b72", ""),
    ("#0969da", "#58a6ff", ""),
    ("#1a7f37", "#56d364", ""),
    ("#8250df", "#d2a8ff", ""),
    ("#0969da", "#58a6ff", "6 4"),
    ("#9a6700", "#e3b341", "2 4"),
    ("#57606a", "#adbac7", "8 3 2 3"),
    ("#bf3989", "#f778ba", "1 3"),
];

/// A plot.
pub struct Chart {
    /// Stands above it.
    pub title: String,
    /// Below the horizontal axis.
    pub x_label: String,
    /// Beside the vertical axis.
    pub y_label: String,
    /// What is drawn, at most eight.
    pub series: Vec<Series>,
    /// How positions on the axes are named.
    pub x_unit: Unit,
    /// As for the horizontal axis.
    pub y_unit: Unit,
    /// Horizontal lines that mark a value, with their names.
    pub limits: Vec<(f64, String)>,
}

/// How numbers on an axis are written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Seconds, as µs, ms or s.
    Seconds,
    /// Plain numbers.
    Ratio,
}

/// Points of one colour.
pub struct Series {
    /// In the legend.
    pub name: String,
    /// Positive numbers, and a name for those that have one.
    pub points: Vec<(f64, f64, String)>,
    /// Whether they are connected.
    pub connected: bool,
}

/// A range of a logarithmic axis and where it lies.
struct Axis {
    low: f64,
    high: f64,
    start: f64,
    end: f64,
}

impl Axis {
    /// An axis for these values, with room on both sides.
    fn new(values: impl Iterator<Item = f64>, start: f64, end: f64) -> Axis {
        let (low, high) = values
            .fold((f64::MAX, f64::MIN_POSITIVE), |(low, high), value| (low.min(value), high.max(value)));
        if low > high {
            return Axis { low: 1.0, high: 10.0, start, end };
        }
        let room = (high / low).powf(0.03).max(1.05);
        Axis { low: low / room, high: high * room, start, end }
    }

    fn place(&self, value: f64) -> f64 {
        let part = (value / self.low).ln() / (self.high / self.low).ln();
        self.start + (self.end - self.start) * part
    }

    /// The values that get a line: powers of ten; twos and fives too if there are few.
    fn ticks(&self) -> Vec<f64> {
        let decades = (self.low.log10().floor() as i32)..=(self.high.log10().ceil() as i32);
        let within = |value: &f64| (self.low..=self.high).contains(value);
        let powers: Vec<f64> = decades.clone().map(|power| 10f64.powi(power)).filter(within).collect();
        if powers.len() >= 3 {
            return powers;
        }
        let all = decades.flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * 10f64.powi(power)));
        all.filter(within).collect()
    }
}

impl Chart {
    /// The picture.
    pub fn svg(&self) -> String {
        let all = || self.series.iter().flat_map(|series| &series.points);
        let x = Axis::new(all().map(|point| point.0), LEFT, RIGHT);
        let limits = self.limits.iter().map(|limit| limit.0);
        let y = Axis::new(all().map(|point| point.1).chain(limits), BOTTOM, TOP);
        let mut svg = Svg::new(WIDTH, HEIGHT, &style(), &self.title);
        svg.rectangle("paper", (0.0, 0.0), (WIDTH, HEIGHT));
        svg.label("title", (LEFT, TOP - 16.0), Anchor::Start, &self.title);
        self.axes(&mut svg, &x, &y);
        for (value, name) in &self.limits {
            let at = y.place(*value);
            svg.line("limit", &[(LEFT, at), (RIGHT, at)]);
            svg.label("note", (RIGHT - 4.0, at - 4.0), Anchor::End, name);
        }
        for (index, series) in self.series.iter().enumerate().rev() {
            draw(&mut svg, index, series, &x, &y);
        }
        self.legend(&mut svg);
        svg.finish()
    }

    fn axes(&self, svg: &mut Svg, x: &Axis, y: &Axis) {
        for tick in x.ticks() {
            let at = x.place(tick);
            svg.line("grid", &[(at, TOP), (at, BOTTOM)]);
            svg.label("tick", (at, BOTTOM + 18.0), Anchor::Middle, &written(tick, self.x_unit));
        }
        for tick in y.ticks() {
            let at = y.place(tick);
            svg.line("grid", &[(LEFT, at), (RIGHT, at)]);
            svg.label("tick", (LEFT - 8.0, at + 4.0), Anchor::End, &written(tick, self.y_unit));
        }
        svg.line("frame", &[(LEFT, TOP), (LEFT, BOTTOM), (RIGHT, BOTTOM)]);
        svg.label("axis", ((LEFT + RIGHT) / 2.0, BOTTOM + 42.0), Anchor::Middle, &self.x_label);
        svg.rising_label("axis", (18.0, (TOP + BOTTOM) / 2.0), &self.y_label);
    }

    fn legend(&self, svg: &mut Svg) {
        for (index, series) in self.series.iter().enumerate() {
            let at = TOP + 10.0 + LEGEND_STEP * index as f64;
            let class = class(index);
            if series.connected {
                svg.line(&format!("line {class}"), &[(RIGHT + 14.0, at), (RIGHT + 44.0, at)]);
            }
            svg.dot(&format!("dot {class}"), (RIGHT + 29.0, at), 3.0, &series.name);
            svg.label("tick", (RIGHT + 52.0, at + 4.0), Anchor::Start, &series.name);
        }
    }
}

fn draw(svg: &mut Svg, index: usize, series: &Series, x: &Axis, y: &Axis) {
    let class = class(index);
    let places: Vec<(f64, f64)> = series.points.iter().map(|(a, b, _)| (x.place(*a), y.place(*b))).collect();
    if series.connected {
        svg.line(&format!("line {class}"), &places);
    }
    for (place, (.., name)) in places.into_iter().zip(&series.points) {
        svg.dot(&format!("dot {class}"), place, 3.0, name);
    }
}

fn class(index: usize) -> String {
    format!("s{}", index % SERIES.len())
}

/// A number of an axis.
fn written(value: f64, unit: Unit) -> String {
    let plain = |value: f64| {
        if value >= 0.999 { format!("{value:.0}") } else { format!("{}", (value * 1e6).round() / 1e6) }
    };
    match unit {
        Unit::Ratio => plain(value),
        Unit::Seconds if value < 0.999e-3 => format!("{} µs", plain(value * 1e6)),
        Unit::Seconds if value < 0.999 => format!("{} ms", plain(value * 1e3)),
        Unit::Seconds => format!("{} s", plain(value)),
    }
}

/// The style sheet, for light and dark.
fn style() -> String {
    let mut light = String::from(
        "text{font:12px system-ui,sans-serif;fill:#1f2328}.title{font-size:14px;font-weight:600}.note{font-size:11px}\
         .paper{fill:#fff}.grid{stroke:#d0d7de;stroke-width:1;fill:none}.frame{stroke:#59636e;stroke-width:1;fill:none}\
         .limit{stroke:#59636e;stroke-width:1;stroke-dasharray:3 3}.line{fill:none;stroke-width:2}.dot{stroke:none}",
    );
    let mut dark = String::from(
        "text{fill:#e6edf3}.paper{fill:#0d1117}.grid{stroke:#30363d}.frame,.limit{stroke:#8d96a0}",
    );
    for (index, (on_white, on_black, dashes)) in SERIES.iter().enumerate() {
        light.push_str(&format!(".line.s{index}{{stroke:{on_white};stroke-dasharray:{}}}", or_none(dashes)));
        light.push_str(&format!(".dot.s{index}{{fill:{on_white}}}"));
        dark.push_str(&format!(".line.s{index}{{stroke:{on_black}}}.dot.s{index}{{fill:{on_black}}}"));
    }
    format!("{light}@media (prefers-color-scheme:dark){{{dark}}}")
}

fn or_none(dashes: &str) -> &str {
    if dashes.is_empty() { "none" } else { dashes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_are_logarithmic() {
        let axis = Axis { low: 1.0, high: 100.0, start: 0.0, end: 10.0 };
        assert_eq!(axis.place(10.0), 5.0);
        assert_eq!(axis.ticks(), [1.0, 10.0, 100.0]);
        let narrow = Axis { low: 0.9, high: 6.0, start: 0.0, end: 10.0 };
        assert_eq!(narrow.ticks(), [1.0, 2.0, 5.0]);
    }

    #[test]
    fn times_have_units() {
        let written = |value| written(value, Unit::Seconds);
        assert_eq!([1e-5, 1e-3, 0.02, 1.0, 100.0].map(written), ["10 µs", "1 ms", "20 ms", "1 s", "100 s"]);
    }

    #[test]
    fn a_chart_without_points_is_a_picture() {
        let chart = Chart {
            title: "nothing".into(),
            x_label: String::new(),
            y_label: String::new(),
            series: Vec::new(),
            x_unit: Unit::Seconds,
            y_unit: Unit::Ratio,
            limits: Vec::new(),
        };
        assert!(!chart.svg().contains("NaN"));
    }
}
