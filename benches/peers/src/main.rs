//! Runs the same modules in this engine and in Wasmi, or with `--native` in Wasmtime, side by side in one process, and compares speed, output and memory.
//!
//! `peers [--repetitions N] [--no-loading] [--native] [--held-out] [FILTER…]`: the tables go to stdout as Markdown, progress to stderr.
//! Filters are parts of names of cases; `--held-out` takes those that the corpus holds out. With `--calls` crossings are
//! timed, with `--startup` the way from bytes to an instance. With `--envelope` the amount of work grows instead, and plots go to a folder. Ends with 1 when the engines differ in a
//! result, in what a program prints, or in a byte of the final memory.
//!
//! | module | what |
//! |---|---|
//! | [`calls`] | what crossing the border between host and guest costs |
//! | [`cases`] | the kernels and programs |
//! | [`engines`] | the engines behind one trait |
//! | [`startup`] | from bytes to an instance |
//! | [`wasi`] | what programs see of the world |
//! | [`measure`] | turns, medians, ratios |
//! | [`loading`] | costs of loading and translating |
//! | [`envelope`] | time to finish over amount of work |
//! | [`report`] | the tables |

mod calls;
mod cases;
mod engines;
mod envelope;
mod loading;
mod measure;
mod report;
mod startup;
mod wasi;

use crescendo_processes::root;
use engines::Contender;
use engines::crescendo::{Crescendo, Tiered};
use engines::wasmi::Wasmi;
use engines::wasmtime::{Wasmtime, Winch};
use envelope::Reach;
use measure::{Comparison, WarmUp};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Errors end the program with their message.
type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

const USAGE: &str = "peers [--repetitions N] [--no-loading] [--native] [--held-out] [FILTER…]
peers --calls [--repetitions N]
peers --startup [--repetitions N]
peers --envelope [--repetitions N] [--longest SECONDS] [--time-limit SECONDS] [--out FOLDER] [FILTER…]";

/// Before compiled code is measured: by then all that is hot is compiled, also what has to wait for it.
const WARM_UP: WarmUp = WarmUp { runs: 4, time: Duration::from_secs(1) };

/// Before interpreters are measured: all functions are translated.
const TRANSLATE: WarmUp = WarmUp { runs: 1, time: Duration::ZERO };

/// Runs of each engine, if no option says otherwise.
const REPETITIONS: usize = 11;

struct Options {
    repetitions: Option<usize>,
    loading: bool,
    /// Compiled code is compared, instead of interpreters.
    native: bool,
    /// The cases are those that the corpus holds out.
    held_out: bool,
    /// Calls between host and guest are measured, instead of cases.
    calls: bool,
    /// The way from bytes to an instance is measured, instead of cases.
    startup: bool,
    /// The amount of work grows.
    envelope: bool,
    /// Seconds: the largest amount of work, the longest run.
    longest: f64,
    limit: f64,
    out: PathBuf,
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
    let mut options = Options {
        repetitions: None,
        loading: true,
        native: false,
        held_out: false,
        calls: false,
        startup: false,
        envelope: false,
        longest: 100.0,
        limit: 300.0,
        out: root().join("benches/peers/target/processes"),
        filters: Vec::new(),
    };
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(USAGE);
        match arg.as_str() {
            "--repetitions" => {
                let number = value()?.parse().ok().filter(|number| *number > 0);
                options.repetitions = Some(number.ok_or(USAGE)?);
            }
            "--native" => (options.native, options.loading) = (true, false),
            "--held-out" => options.held_out = true,
            "--calls" => options.calls = true,
            "--startup" => options.startup = true,
            "--no-loading" => options.loading = false,
            "--envelope" => options.envelope = true,
            "--longest" => options.longest = value()?.parse()?,
            "--time-limit" => options.limit = value()?.parse()?,
            "--out" => options.out = value()?.into(),
            _ if arg.starts_with('-') => return Err(USAGE.into()),
            _ => options.filters.push(arg),
        }
    }
    Ok(options)
}

/// Answers whether the engines agree everywhere.
fn run(options: &Options) -> Result<bool> {
    if options.envelope {
        report::environment(
            "21 of what takes less than a second, 3 of other runs, if no option says otherwise",
        );
        let reach =
            Reach { longest: options.longest, limit: options.limit, repetitions: options.repetitions };
        return envelope::run(&reach, &options.filters, &options.out);
    }
    let repetitions = options.repetitions.unwrap_or(REPETITIONS);
    if options.calls || options.startup {
        report::environment(&format!("{repetitions}; numbers are medians (minimum..maximum)"));
        let measure = if options.calls { calls::measure } else { startup::measure };
        return measure(repetitions).map(|()| true);
    }
    let filters = &options.filters;
    let [kernels, vectors, throws, programs] = if options.held_out {
        [cases::held_out_kernels(filters)?, Vec::new(), Vec::new(), cases::held_out_programs(filters)?]
    } else {
        let throws = cases::throws(filters)?;
        [cases::kernels(filters)?, cases::vectors(filters)?, throws, cases::programs(filters)?]
    };
    if [&kernels, &vectors, &throws, &programs].into_iter().all(Vec::is_empty) {
        return Err("no case has such a name".into());
    }
    report::environment(&format!("{repetitions}; numbers are medians (minimum..maximum)"));
    // Winch takes fewer proposals than the others.
    let compiled = [(Contender::of::<Wasmtime>(), false), (Contender::of::<Winch>(), true)];
    let interpreted = [(Contender::of::<Wasmi>(), false)];
    let peers: &[_] = if options.native { &compiled } else { &interpreted };
    let (own, warm_up) = if options.native {
        (Contender::of::<Tiered>(), WARM_UP)
    } else {
        (Contender::of::<Crescendo>(), TRANSLATE)
    };
    // Exceptions are so much faster that a mean with them would say nothing of the rest.
    let (mut all, mut agree) = (Vec::new(), true);
    for (title, peers, cases) in [
        ("kernel", peers, &kernels),
        ("kernel with vectors", peers, &vectors),
        // Wasmi and Winch have none.
        ("exceptions", &compiled[..1], &throws),
        ("program", peers, &programs),
    ] {
        let compare = |case: &cases::Case| {
            eprintln!("running {}", case.name);
            measure::compare(case, peers, own, repetitions, warm_up)
        };
        let results: Vec<Comparison> = cases.iter().map(compare).collect::<Result<_>>()?;
        report::comparisons(title, &results);
        agree &= results.iter().all(|case| case.difference.is_none());
        if title != "exceptions" {
            all.extend(results);
        }
    }
    if !all.is_empty() {
        let means = peers.iter().map(|(peer, _)| format!("{} {}", peer.name, report::mean(&all, peer.name)));
        println!("Geometric means of all without exceptions: {}.\n", means.collect::<Vec<_>>().join(", "));
    }
    if options.loading {
        let loadings = programs.iter().map(|program| {
            eprintln!("loading {}", program.name);
            loading::measure(program, repetitions)
        });
        report::loadings(&loadings.collect::<Result<Vec<_>>>()?);
        report::handlers();
    }
    Ok(agree)
}
