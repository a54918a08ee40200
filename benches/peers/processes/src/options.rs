//! The command line of this program.

use crate::engines::Kind;
use crescendo_processes::Result;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// How it is called.
pub const USAGE: &str = "\
processes [OPTION]…: runs the corpus as whole processes and prints tables in Markdown

  --crescendo PATH, --wasmtime PATH, --wasmi PATH, --node PATH
                      the engines' command lines; else target/release/crescendo, and PATH
  --without ENGINE    leaves one out: wasmtime, winch, wasmi, wasmtime-cached, node
  --interpreter       measures this engine in its mode that compiles nothing, too
  --busy N            runs beside N threads that never stop, as a machine with other work has them
  --without-fetched   leaves out what needs packages from registries
  --only PART         cases with this in their names, or whose group (kernel, program, yosys) or set (trains, held-out) it is
  --repetitions N     runs of each engine; else 21 if it takes less than a second, and what the manifest says
  --time-limit S      ends a run after so many seconds; else 300
  --envelope          grows the amount of work instead, for all envelopes of the manifest
  --longest S         the largest amount of work of an envelope, in seconds of compiled code; else 100
  --out FOLDER        where CSV and plots go; else target/processes of this workspace
  --check             compares the checksums and ends
  --list              names the cases and ends
  --help              prints this and ends";

/// What the command line asks for.
#[derive(Debug)]
pub struct Options {
    /// Programs by the names of their options.
    pub programs: BTreeMap<String, PathBuf>,
    /// Engines that do not take part.
    pub without: Vec<Kind>,
    /// Whether this engine takes part a second time, in its mode that compiles nothing.
    pub interpreter: bool,
    /// Threads that never stop.
    pub busy: usize,
    /// Whether fetched packages take part.
    pub fetched: bool,
    /// Parts of names.
    pub only: Vec<String>,
    /// Runs of each engine, whatever it takes.
    pub repetitions: Option<usize>,
    /// When a run is ended.
    pub limit: Duration,
    /// What is done.
    pub mode: Mode,
    /// Seconds of compiled code at the end of an envelope.
    pub longest: f64,
    /// Where files go.
    pub out: PathBuf,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Cases are measured.
    Cases,
    /// Envelopes are.
    Envelopes,
    /// Nothing is measured.
    Check,
    /// Names are printed.
    List,
}

/// Reads the command line.
///
/// # Errors
///
/// The usage, if it cannot be understood.
pub fn options(mut args: impl Iterator<Item = String>) -> Result<Options> {
    let mut options = Options {
        programs: BTreeMap::new(),
        without: Vec::new(),
        interpreter: false,
        busy: 0,
        fetched: true,
        only: Vec::new(),
        repetitions: None,
        limit: Duration::from_secs(300),
        mode: Mode::Cases,
        longest: 100.0,
        out: crescendo_processes::root().join("benches/peers/target/processes"),
    };
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value\n\n{USAGE}"));
        match arg.as_str() {
            "--crescendo" | "--wasmtime" | "--wasmi" | "--node" => {
                options.programs.insert(arg[2..].to_string(), value()?.into());
            }
            "--without" => options.without.push(rival(&value()?)?),
            "--interpreter" => options.interpreter = true,
            "--busy" => options.busy = value()?.parse()?,
            "--without-fetched" => options.fetched = false,
            "--only" => options.only.push(value()?),
            "--repetitions" => {
                let count = value()?.parse().ok().filter(|count| *count > 0);
                options.repetitions = Some(count.ok_or(USAGE)?);
            }
            "--time-limit" => options.limit = Duration::try_from_secs_f64(value()?.parse()?)?,
            "--longest" => options.longest = value()?.parse()?,
            "--out" => options.out = value()?.into(),
            "--envelope" => options.mode = Mode::Envelopes,
            "--check" => options.mode = Mode::Check,
            "--list" => options.mode = Mode::List,
            _ => return Err(format!("{arg}: no such option\n\n{USAGE}").into()),
        }
    }
    Ok(options)
}

/// An engine that may be left out.
fn rival(name: &str) -> Result<Kind> {
    let mut others = Kind::ALL.into_iter().filter(|kind| !kind.is_own());
    others.find(|kind| kind.name() == name).ok_or_else(|| format!("{name}: no such engine\n\n{USAGE}").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Options> {
        options(line.split_whitespace().map(String::from))
    }

    #[test]
    fn options_are_read() {
        let options = read("--wasmi w --without node --only a --only b --repetitions 3 --time-limit 0.5")
            .expect("options");
        assert_eq!(options.programs["wasmi"], PathBuf::from("w"));
        assert_eq!((options.without, options.only.len()), (vec![Kind::Node], 2));
        assert_eq!((options.repetitions, options.limit), (Some(3), Duration::from_millis(500)));
        assert_eq!((options.mode, options.fetched), (Mode::Cases, true));
        assert_eq!((options.interpreter, options.busy), (false, 0));
        let options = read("--busy 2 --interpreter").expect("options");
        assert_eq!((options.interpreter, options.busy), (true, 2));
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        for line in [
            "--wrong",
            "--only",
            "--repetitions 0",
            "--without crescendo",
            "--without x",
            "--time-limit -1",
            "--busy -1",
        ] {
            assert!(read(line).is_err(), "{line}");
        }
    }
}
