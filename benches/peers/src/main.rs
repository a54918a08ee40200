//! Runs the same modules in this engine and in Wasmi, or with `--native` in Wasmtime, side by side in one process, and compares speed, output and memory.
//!
//! `peers [--repetitions N] [--no-loading] [--native] [FILTER…]`: the tables go to stdout as Markdown, progress to stderr. Filters are parts
//! of names of cases. Ends with 1 when the engines differ in a result, in what a program prints, or in a byte of the final memory.
//!
//! | module | what |
//! |---|---|
//! | [`cases`] | the kernels and programs |
//! | [`engines`] | the engines behind one trait |
//! | [`wasi`] | what programs see of the world |
//! | [`measure`] | turns, medians, ratios |
//! | [`loading`] | costs of loading and translating |
//! | [`report`] | the tables |

mod cases;
mod engines;
mod loading;
mod measure;
mod report;
mod wasi;

use engines::crescendo::{Crescendo, Tiered};
use engines::wasmi::Wasmi;
use engines::wasmtime::Wasmtime;
use measure::Comparison;
use std::process::ExitCode;

/// Errors end the program with their message.
type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

const USAGE: &str = "peers [--repetitions N] [--no-loading] [--native] [FILTER…]";

/// Runs before compiled code is measured: by then all that is hot is compiled.
const WARM_UP: usize = 4;

struct Options {
    repetitions: usize,
    loading: bool,
    /// Compiled code is compared, instead of interpreters.
    native: bool,
    filters: Vec<String>,
}

fn main() -> ExitCode {
    match options(std::env::args().skip(1)).and_then(|options| run(&options)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("error: the engines differ");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn options(mut args: impl Iterator<Item = String>) -> Result<Options> {
    let mut options = Options { repetitions: 11, loading: true, native: false, filters: Vec::new() };
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--repetitions" => {
                let number = args.next().and_then(|number| number.parse().ok());
                options.repetitions = number.filter(|number| *number > 0).ok_or(USAGE)?;
            }
            "--native" => (options.native, options.loading) = (true, false),
            "--no-loading" => options.loading = false,
            _ if arg.starts_with('-') => return Err(USAGE.into()),
            _ => options.filters.push(arg),
        }
    }
    Ok(options)
}

/// Answers whether the engines agree everywhere.
fn run(options: &Options) -> Result<bool> {
    let kernels = cases::kernels(&options.filters)?;
    let vectors = cases::vectors(&options.filters)?;
    let throws = cases::throws(&options.filters)?;
    let programs = cases::programs(&options.filters)?;
    if [&kernels, &vectors, &throws, &programs].into_iter().all(Vec::is_empty) {
        return Err("no case has such a name".into());
    }
    report::environment(options.repetitions);
    let peer = if options.native { "wasmtime" } else { "wasmi" };
    // Exceptions are so much faster that a mean with them would say nothing of the rest.
    let (mut all, mut agree) = (Vec::new(), true);
    for (title, peer, cases) in [
        ("kernel", peer, &kernels),
        ("kernel with vectors", peer, &vectors),
        ("exceptions", "wasmtime", &throws),
        ("program", peer, &programs),
    ] {
        let compare = |case: &cases::Case| {
            eprintln!("running {}", case.name);
            match (options.native, peer) {
                (true, _) => measure::compare::<Wasmtime, Tiered>(case, options.repetitions, WARM_UP),
                (false, "wasmi") => measure::compare::<Wasmi, Crescendo>(case, options.repetitions, 1),
                (false, _) => measure::compare::<Wasmtime, Crescendo>(case, options.repetitions, 1),
            }
        };
        let results: Vec<Comparison> = cases.iter().map(compare).collect::<Result<_>>()?;
        report::comparisons(title, peer, &results);
        agree &= results.iter().all(|case| case.difference.is_none());
        if title != "exceptions" {
            all.extend(results);
        }
    }
    if !all.is_empty() {
        println!("Geometric mean of all without exceptions: {:.2}.\n", measure::geometric_mean(&all));
    }
    if options.loading {
        let loadings = programs.iter().map(|program| {
            eprintln!("loading {}", program.name);
            loading::measure(program, options.repetitions)
        });
        report::loadings(&loadings.collect::<Result<Vec<_>>>()?);
        report::handlers();
    }
    Ok(agree)
}
