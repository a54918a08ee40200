//! Tables in Markdown, lines of CSV, and the plot of ratios.

use crate::engines::{Engine, Kind};
use crate::measure::{Outcome, Times};
use crate::options::Options;
use crescendo_processes::chart::{Chart, Series, Unit};
use crescendo_processes::corpus::{Case, Group, Role};
use crescendo_processes::envelope::milliseconds;
use crescendo_processes::machine;
use crescendo_processes::sample::{Sample, geometric_mean};
use std::fmt::Write;

/// A case in all engines that take part.
pub struct Row {
    /// The case.
    pub case: Case,
    /// In the order of [`Kind::ALL`], without those that do not take part.
    pub outcomes: Vec<(Kind, Outcome)>,
}

/// This engine's time next to another one's.
pub struct Ratio {
    /// Of medians: below 1 this engine is faster.
    pub value: f64,
    /// The other one.
    pub to: Kind,
    /// Whether the difference lies inside the spread.
    pub tie: bool,
}

/// The most that this engine may take next to the best of its rivals in any case, and in the geometric mean.
const MOST: f64 = 1.10;
const MEAN: f64 = 0.75;
/// As [`MOST`] for node, which is to be beaten in the mean.
const MOST_OF_NODE: f64 = 1.25;

impl Row {
    fn is(&self, group: Group, role: Role) -> bool {
        (self.case.group, self.case.role) == (group, role)
    }

    fn outcome(&self, kind: Kind) -> Option<&Outcome> {
        self.outcomes.iter().find(|(other, _)| *other == kind).map(|(_, outcome)| outcome)
    }

    fn times(&self, kind: Kind) -> Option<&Times> {
        self.outcome(kind)?.times()
    }

    /// Next to the fastest of the rivals that ran it.
    pub fn to_best(&self) -> Option<Ratio> {
        let rivals = Kind::ALL.into_iter().filter(|kind| kind.is_rival());
        let times = rivals.filter_map(|kind| Some((kind, &self.times(kind)?.wall)));
        let (best, _) = times.min_by(|a, b| a.1.median().total_cmp(&b.1.median()))?;
        self.to(best)
    }

    /// Next to an engine.
    pub fn to(&self, kind: Kind) -> Option<Ratio> {
        let (own, other) = (&self.times(Kind::Crescendo)?.wall, &self.times(kind)?.wall);
        Some(Ratio { value: own.median() / other.median(), to: kind, tie: own.ties_with(other) })
    }

    /// What is wrong, a line for each engine.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for (kind, outcome) in &self.outcomes {
            match outcome {
                Outcome::Failed(why) => {
                    problems.push(format!("{} in {}: {why}", self.case.name, kind.title()))
                }
                Outcome::OverLimit if *kind == Kind::Crescendo => {
                    problems.push(format!("{} in crescendo: not done in time", self.case.name));
                }
                Outcome::Refused(why) if *kind == Kind::Crescendo => {
                    problems.push(format!("{} in crescendo: {why}", self.case.name));
                }
                _ => {}
            }
        }
        problems
    }
}

/// The head of every result: machine, versions, how it was measured. `floor` is the peak memory of a process that does nothing.
pub fn head(engines: &[Engine], left_out: &[String], options: &Options, floor: Option<f64>) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "- machine: {}, {} threads", machine::cpu(), machine::threads());
    let _ = writeln!(text, "- load average before the run: {}", machine::load_average());
    let mut versions: Vec<&str> = Vec::new();
    for engine in engines {
        // Wasmtime is there up to three times, this engine up to twice.
        if !versions.contains(&engine.version.as_str()) {
            versions.push(&engine.version);
        }
    }
    let _ = writeln!(text, "- versions: {}", versions.join("; "));
    let _ = writeln!(
        text,
        "- whole processes, wall time, medians (first..third quartile); a run is ended after {} s",
        options.limit.as_secs_f64()
    );
    if options.busy > 0 {
        let _ = writeln!(text, "- beside {} threads of another process that never stop", options.busy);
    }
    if let Some(floor) = floor {
        let _ =
            writeln!(text, "- peak memory of a process that does nothing, as measured here: {floor:.1} MiB");
    }
    if !left_out.is_empty() {
        let _ = writeln!(text, "- left out by options: {}", left_out.join(", "));
    }
    text
}

/// All tables.
pub fn markdown(rows: &[Row], engines: &[Engine]) -> String {
    let kinds: Vec<Kind> = engines.iter().map(|engine| engine.kind).collect();
    let mut text = String::new();
    for (group, title) in GROUPS {
        let rows: Vec<&Row> = rows.iter().filter(|row| row.case.group == group).collect();
        if !rows.is_empty() {
            times_table(&mut text, title, &rows, &kinds);
        }
    }
    means_table(&mut text, rows);
    worst(&mut text, rows);
    quantity_table(&mut text, "processor time, ms", rows, &kinds, |times| milliseconds(&times.cpu));
    quantity_table(&mut text, "peak memory, MiB", rows, &kinds, |times| {
        format!("{:.1}", times.peak.median())
    });
    text
}

const GROUPS: [(Group, &str); 3] =
    [(Group::Program, "program"), (Group::Kernel, "kernel"), (Group::Yosys, "yosys")];

fn times_table(text: &mut String, title: &str, rows: &[&Row], kinds: &[Kind]) {
    let columns = || kinds.iter().map(|kind| kind.title());
    let _ = write!(text, "\n| {title} | set |");
    columns().for_each(|column| {
        let _ = write!(text, " {column} ms |");
    });
    let _ = writeln!(text, " / best | best | / node |");
    let _ = writeln!(text, "| --- | --- |{} ---: | --- | ---: |", " ---: |".repeat(kinds.len()));
    for row in rows {
        let _ = write!(text, "| {} | {} |", row.case.name, row.case.role.name());
        for (_, outcome) in &row.outcomes {
            let _ = write!(text, " {} |", cell(outcome));
        }
        let best = row.to_best();
        let _ = write!(
            text,
            " {} | {} |",
            written(best.as_ref()),
            best.as_ref().map_or("–", |best| best.to.title())
        );
        let _ = writeln!(text, " {} |", written(row.to(Kind::Node).as_ref()));
    }
}

fn cell(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Times(times) => milliseconds(&times.wall),
        Outcome::Refused(why) => format!("refuses it: {why}"),
        Outcome::OverLimit => "not done in time".to_string(),
        Outcome::Failed(why) => format!("FAILED: {why}"),
    }
}

fn written(ratio: Option<&Ratio>) -> String {
    match ratio {
        None => "–".to_string(),
        Some(ratio) if ratio.tie => format!("{:.2}, a tie", ratio.value),
        Some(ratio) => format!("{:.2}", ratio.value),
    }
}

/// What a row belongs to.
type Set = (&'static str, fn(&Row) -> bool);

/// The sets that have means of their own.
const SETS: [Set; 9] = [
    ("programs that train", |row| row.is(Group::Program, Role::Trains)),
    ("programs held out", |row| row.is(Group::Program, Role::HeldOut)),
    ("kernels that train", |row| row.is(Group::Kernel, Role::Trains)),
    ("kernels held out", |row| row.is(Group::Kernel, Role::HeldOut)),
    ("yosys", |row| row.case.group == Group::Yosys),
    ("all that trains", |row| row.case.role == Role::Trains),
    ("all held out", |row| row.case.role == Role::HeldOut),
    ("all but programs held out", |row| !row.is(Group::Program, Role::HeldOut)),
    ("all", |_| true),
];

/// Geometric means of sets of rows.
fn means_table(text: &mut String, rows: &[Row]) {
    let _ = writeln!(
        text,
        "\n| geometric means | cases | / best of wasmtime cold, Winch cold, wasmi | cases | / node |"
    );
    let _ = writeln!(text, "| --- | ---: | ---: | ---: | ---: |");
    for (name, belongs) in SETS {
        if !rows.iter().any(belongs) {
            continue;
        }
        let set = || rows.iter().filter(|row| belongs(row));
        let mean = |ratios: Vec<Ratio>| {
            let count = ratios.len();
            let mean = geometric_mean(ratios.into_iter().map(|ratio| ratio.value));
            format!("{count} | {}", mean.map_or("–".to_string(), |mean| format!("{mean:.3}")))
        };
        let best = mean(set().filter_map(Row::to_best).collect());
        let node = mean(set().filter_map(|row| row.to(Kind::Node)).collect());
        let _ = writeln!(text, "| {name} | {best} | {node} |");
    }
}

/// The cases in which this engine is behind, the worst first.
fn worst(text: &mut String, rows: &[Row]) {
    let to_best: Vec<_> = rows.iter().filter_map(|row| Some((row, row.to_best()?))).collect();
    let to_node: Vec<_> = rows.iter().filter_map(|row| Some((row, row.to(Kind::Node)?))).collect();
    let _ = writeln!(
        text,
        "\nTargets: geometric mean to the best {MEAN} at most, {MOST} in each case; node: 1 and {MOST_OF_NODE}."
    );
    for (what, mut ratios, most) in [("the best", to_best, MOST), ("node", to_node, MOST_OF_NODE)] {
        ratios.retain(|(_, ratio)| ratio.value > 1.0);
        ratios.sort_by(|a, b| b.1.value.total_cmp(&a.1.value));
        let over = ratios.iter().filter(|(_, ratio)| ratio.value > most).count();
        let _ = writeln!(
            text,
            "\nSlower than {what}: {} cases, {over} of them by more than {most}.\n",
            ratios.len()
        );
        for (row, ratio) in ratios {
            let over = if ratio.value > most { " — over the limit" } else { "" };
            let _ = writeln!(
                text,
                "- {} ({}): {} to {}{over}",
                row.case.name,
                row.case.role.name(),
                written(Some(&ratio)),
                ratio.to.title()
            );
        }
    }
}

/// A table of another quantity than wall time.
fn quantity_table(
    text: &mut String,
    title: &str,
    rows: &[Row],
    kinds: &[Kind],
    quantity: fn(&Times) -> String,
) {
    let _ = write!(text, "\n| {title} |");
    kinds.iter().for_each(|kind| {
        let _ = write!(text, " {} |", kind.title());
    });
    let _ = writeln!(text, "\n| --- |{}", " ---: |".repeat(kinds.len()));
    for row in rows {
        let _ = write!(text, "| {} |", row.case.name);
        for (_, outcome) in &row.outcomes {
            let _ = write!(text, " {} |", outcome.times().map_or("–".to_string(), quantity));
        }
        let _ = writeln!(text);
    }
}

/// Every run on a line of its own, behind the head as comments; what is no run has a line that says why.
pub fn csv(head: &str, rows: &[Row]) -> String {
    let mut text: String = head.lines().map(|line| format!("# {line}\n")).collect();
    text.push_str("case,group,set,engine,run,wall_ms,user_ms,system_ms,peak_kib,outcome\n");
    for row in rows {
        let case = &row.case;
        let name = format!("\"{}\",{:?},{}", case.name, case.group, case.role.name()).to_lowercase();
        for (kind, outcome) in &row.outcomes {
            let why = match outcome {
                Outcome::Times(times) => {
                    for (index, run) in times.runs.iter().enumerate() {
                        let [wall, user, system] =
                            [run.wall, run.user, run.system].map(|time| time.as_secs_f64() * 1e3);
                        let peak = run.peak / 1024;
                        let _ = writeln!(
                            text,
                            "{name},{},{index},{wall:.4},{user:.3},{system:.3},{peak},ran",
                            kind.name()
                        );
                    }
                    continue;
                }
                Outcome::Refused(why) => format!("refused: {why}"),
                Outcome::OverLimit => "not done in time".to_string(),
                Outcome::Failed(why) => format!("failed: {why}"),
            };
            let _ = writeln!(text, "{name},{},,,,,,\"{}\"", kind.name(), why.replace('"', "'"));
        }
    }
    text
}

/// Ratios to the best rival over this engine's time, a mark for each case.
pub fn ratios_plot(rows: &[Row]) -> String {
    let sets = [
        ("kernels that train", Group::Kernel, Role::Trains),
        ("kernels held out", Group::Kernel, Role::HeldOut),
        ("programs held out", Group::Program, Role::HeldOut),
        ("programs that train", Group::Program, Role::Trains),
        ("yosys", Group::Yosys, Role::Trains),
    ];
    let series = sets.map(|(name, group, role)| {
        let rows = rows.iter().filter(|row| row.is(group, role));
        let points = rows.filter_map(|row| {
            let (ratio, own) = (row.to_best()?, row.times(Kind::Crescendo)?.wall.median());
            let hint = format!("{}: {:.2} of {}", row.case.name, ratio.value, ratio.to.title());
            Some((own / 1e3, ratio.value, hint))
        });
        Series { name: name.to_string(), points: points.collect(), connected: false }
    });
    Chart {
        title: "Time of whole processes next to the best of wasmtime cold, Winch cold and wasmi".into(),
        x_label: "this engine's time".into(),
        y_label: "this engine's time / the best one's".into(),
        series: series.into(),
        x_unit: Unit::Seconds,
        y_unit: Unit::Ratio,
        limits: vec![(1.0, "equal".into()), (MOST, format!("{MOST:.2}"))],
    }
    .svg()
}

/// The samples of wall time, for plots.
pub fn wall(outcome: Outcome) -> Option<Sample> {
    match outcome {
        Outcome::Times(times) => Some(times.wall),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::child::Run;
    use std::time::Duration;

    fn times(milliseconds: f64) -> Outcome {
        let wall = Duration::from_secs_f64(milliseconds / 1e3);
        let sample = || Sample::new(vec![milliseconds]);
        let runs = vec![Run { wall, user: wall, system: Duration::ZERO, peak: 1 << 20, status: None }];
        Outcome::Times(Times { wall: sample(), cpu: sample(), peak: sample(), runs })
    }

    fn row(name: &str, outcomes: Vec<(Kind, Outcome)>) -> Row {
        let case = Case {
            name: name.into(),
            group: Group::Kernel,
            role: Role::HeldOut,
            module: String::new(),
            argument: Some(1),
            result: Some(String::new()),
            args: Vec::new(),
            stdin: None,
            stdout: None,
            folders: Vec::new(),
            writes: Default::default(),
            repetitions: 1,
            refused: Default::default(),
        };
        Row { case, outcomes }
    }

    #[test]
    fn the_best_is_a_rival_that_ran() {
        let row = row(
            "a",
            vec![
                (Kind::Crescendo, times(3.0)),
                (Kind::Wasmtime, times(4.0)),
                (Kind::Winch, Outcome::Refused("no".into())),
                (Kind::Wasmi, Outcome::OverLimit),
                (Kind::Cached, times(1.0)),
                (Kind::Node, times(2.0)),
            ],
        );
        let best = row.to_best().expect("one rival ran");
        assert_eq!((best.value, best.to), (0.75, Kind::Wasmtime));
        assert_eq!(row.to(Kind::Node).map(|ratio| ratio.value), Some(1.5));
        assert!(row.problems().is_empty());
        let (text, file) = (markdown(std::slice::from_ref(&row), &[]), csv("- head", &[row]));
        assert!(text.contains("refuses it: no") && text.contains("not done in time"), "{text}");
        assert!(text.contains("| all | 1 | 0.750 | 1 | 1.500 |"), "{text}");
        assert!(text.contains("- a (held-out): 1.50 to node — over the limit"), "{text}");
        assert!(file.starts_with("# - head\n") && file.contains("winch,,,,,,\"refused: no\""), "{file}");
    }

    #[test]
    fn failures_are_problems() {
        let failed = || Outcome::Failed("wrong".into());
        let outcomes = vec![(Kind::Crescendo, Outcome::OverLimit), (Kind::Wasmi, failed())];
        assert_eq!(row("a", outcomes).problems().len(), 2);
        let refused = vec![(Kind::Crescendo, Outcome::Refused("no".into()))];
        assert_eq!(row("a", refused).problems().len(), 1);
    }
}
