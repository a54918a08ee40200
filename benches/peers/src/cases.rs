//! What is run: the kernels of `benches/kernels` and the programs of `tests/programs`, or what the corpus holds out, each as a
//! [`Case`].
//!
//! Read at run time from the source tree, so that a kernel can be changed without a build.

use crate::Result;
use crate::wasi::World;
use crescendo_processes::checksum;
use crescendo_processes::corpus::{self, Corpus, Group, Role};

/// A module and what to do with it.
pub struct Case {
    /// The name in tables.
    pub name: String,
    /// The module in the binary format.
    pub wasm: Vec<u8>,
    /// How it is started.
    pub start: Start,
}

/// How a case is started.
pub enum Start {
    /// The export `run` is called with a number.
    Kernel {
        /// The argument, in the type that the export takes.
        argument: i64,
    },
    /// The export `_start` is called, with WASI.
    Program {
        /// The arguments after the program's name.
        args: Vec<String>,
        /// What the program can read.
        stdin: Vec<u8>,
        /// SHA-256 of what the program must write, where that is known.
        stdout: Option<String>,
    },
}

impl Case {
    /// What the guest sees when the case starts.
    pub fn world(&self) -> World {
        match &self.start {
            Start::Kernel { .. } => World::new(&[], &[]),
            Start::Program { args, stdin, .. } => {
                let args = args.iter().map(String::as_str);
                World::new(&[self.name.as_str()].into_iter().chain(args).collect::<Vec<_>>(), stdin)
            }
        }
    }

    /// Whether this is what the program must write to stdout.
    pub fn expects(&self, output: &[u8]) -> bool {
        match &self.start {
            Start::Program { stdout: Some(stdout), .. } => *stdout == checksum::of_bytes(output),
            _ => true,
        }
    }

    /// The export that is called, and its argument if it has one.
    pub fn call(&self) -> (&'static str, Option<i64>) {
        match self.start {
            Start::Kernel { argument } => ("run", Some(argument)),
            Start::Program { .. } => ("_start", None),
        }
    }
}

/// Names and arguments. An argument makes Wasmi 2.0 take 0.1 s to 0.3 s on a machine of 2024.
const KERNELS: [(&str, i64); 19] = [
    ("fib", 33),
    ("mutual", 75),
    ("sieve", 8_000_000),
    ("matrix", 256),
    ("indirect", 5_000_000),
    ("hash", 350),
    ("sha256", 25_000),
    ("nbody", 150_000),
    ("collatz", 200_000),
    ("copy", 500),
    ("search", 200),
    ("sort", 200_000),
    ("switch", 500_000),
    ("globals", 4_000_000),
    ("select", 5_000_000),
    ("mandelbrot", 900),
    ("list", 8_000),
    ("partitions", 66),
    ("cliques", 200),
];

/// As [`KERNELS`], with vectors.
const VECTORS: [(&str, i64); 3] = [("dot", 30_000), ("mixing", 800_000), ("convolution", 300)];

/// How many calls lie between a throw and its catch.
const THROW_DEPTHS: [i64; 4] = [0, 1, 10, 100];

/// How many exceptions are thrown.
const THROWS: i64 = 20_000;

/// Names, arguments, what is read and what must be written, the last two as files of `tests/programs`.
const PROGRAMS: [(&str, &[&str], Option<&str>, &str); 4] = [
    ("sqlite", &[], Some("workloads/sql100k.sql"), "expected/sql100k.txt"),
    ("lua", &[], Some("workloads/kernels.lua"), "expected/kernels.txt"),
    ("quickjs", &[], Some("workloads/suite.js"), "expected/suite.txt"),
    ("bzip2", &["selftest", "10000000"], None, "expected/bzip2.txt"),
];

/// The kernels of the corpus's folder, as [`KERNELS`]: most are held out.
const CORPUS: [(&str, i64); 18] = [
    ("levenshtein", 200),
    ("regex", 2_000),
    ("trees", 3_000),
    ("queens", 13),
    ("json", 500),
    ("blur", 80),
    ("words", 400_000),
    ("spectral", 500),
    ("paths", 120),
    ("huffman", 80),
    ("states", 4_000_000),
    ("utf8", 800),
    ("machine", 15_000),
    ("rays", 240),
    ("fannkuch", 500_000),
    ("life", 500),
    ("bignum", 140_000),
    ("fourier", 3_000),
];

/// The kernels whose names contain one of the filters; all of them without a filter.
pub fn kernels(filters: &[String]) -> Result<Vec<Case>> {
    let wanted = KERNELS.iter().filter(|(name, _)| matches(name, filters));
    let mut cases: Vec<Case> =
        wanted.map(|&(name, argument)| kernel(name, name, argument)).collect::<Result<_>>()?;
    cases.extend(corpus_kernels(Role::Trains, filters)?);
    Ok(cases)
}

/// As [`kernels`], those with vectors.
pub fn vectors(filters: &[String]) -> Result<Vec<Case>> {
    let wanted = VECTORS.iter().filter(|(name, _)| matches(name, filters));
    wanted.map(|&(name, argument)| kernel(name, name, argument)).collect()
}

/// As [`kernels`], exceptions thrown over stacks of several depths. Wasmi has none.
pub fn throws(filters: &[String]) -> Result<Vec<Case>> {
    let named = THROW_DEPTHS.map(|depth| (format!("throw, {depth} frames between"), depth));
    let wanted = named.iter().filter(|(name, _)| matches(name, filters));
    wanted.map(|(name, depth)| kernel(name, "throw", depth << 32 | THROWS)).collect()
}

fn kernel(name: &str, file: &str, argument: i64) -> Result<Case> {
    let wasm = corpus::binary(&format!("benches/kernels/{file}.wat"))?;
    Ok(Case { name: name.to_string(), wasm, start: Start::Kernel { argument } })
}

/// As [`kernels`], those that the corpus holds out.
pub fn held_out_kernels(filters: &[String]) -> Result<Vec<Case>> {
    corpus_kernels(Role::HeldOut, filters)
}

fn corpus_kernels(role: Role, filters: &[String]) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for case in of_role(role, Group::Kernel, filters)? {
        let argument = CORPUS.iter().find(|(name, _)| *name == case.name);
        let &(_, argument) = match (argument, role) {
            (Some(found), _) => found,
            // Those of the other folder.
            (None, Role::Trains) => continue,
            (None, Role::HeldOut) => return Err(format!("{} has no argument", case.name).into()),
        };
        let wasm = corpus::binary(&case.module)?;
        cases.push(Case { name: case.name, wasm, start: Start::Kernel { argument } });
    }
    Ok(cases)
}

/// As [`programs`], those that the corpus holds out and that need no folders.
pub fn held_out_programs(filters: &[String]) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for case in
        of_role(Role::HeldOut, Group::Program, filters)?.into_iter().filter(|case| case.folders.is_empty())
    {
        let stdin = case.stdin.as_deref().map_or(Ok(Vec::new()), read)?;
        let start = Start::Program { args: case.args, stdin, stdout: case.stdout };
        cases.push(Case { name: case.name, wasm: corpus::binary(&case.module)?, start });
    }
    Ok(cases)
}

fn of_role(role: Role, group: Group, filters: &[String]) -> Result<Vec<corpus::Case>> {
    let cases = Corpus::load()?.cases.into_iter();
    let wanted =
        |case: &corpus::Case| case.role == role && case.group == group && matches(&case.name, filters);
    Ok(cases.filter(wanted).collect())
}

/// The programs whose names contain one of the filters; all of them without a filter.
pub fn programs(filters: &[String]) -> Result<Vec<Case>> {
    let wanted = PROGRAMS.iter().filter(|(name, ..)| matches(name, filters));
    wanted
        .map(|&(name, args, stdin, stdout)| {
            let read = |file: &str| read(&format!("tests/programs/{file}"));
            let stdin = stdin.map_or(Ok(Vec::new()), read)?;
            let stdout = Some(checksum::of_bytes(&read(stdout)?));
            let args = args.iter().map(ToString::to_string).collect();
            let wasm = read(&format!("{name}.wasm"))?;
            Ok(Case { name: name.to_string(), wasm, start: Start::Program { args, stdin, stdout } })
        })
        .collect()
}

fn matches(name: &str, filters: &[String]) -> bool {
    filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str()))
}

/// A file by its path from the root of the source tree.
fn read(from_root: &str) -> Result<Vec<u8>> {
    std::fs::read(corpus::path(from_root)).map_err(|error| format!("{from_root}: {error}").into())
}
