//! Runs the corpus as whole processes: this engine's command line, those of Wasmtime and Wasmi, and node, in turns.
//!
//! Tables go to stdout as Markdown, progress to stderr, CSV and plots to a folder. All checksums of the corpus are compared before
//! anything runs. Ends with 1 when an engine does not do what the manifest says, or engines differ.
//!
//! | module | what |
//! |---|---|
//! | [`options`] | the command line |
//! | [`engines`] | the engines' command lines |
//! | [`stage`] | the folder in which processes run |
//! | [`child`] | one process, its time and memory |
//! | [`measure`] | turns, repetitions, what must come out |
//! | [`envelopes`] | growing amounts of work |
//! | [`report`] | tables, CSV, the plot of ratios |

mod child;
mod engines;
mod envelopes;
mod measure;
mod options;
mod report;
mod stage;

use crescendo_processes::Result;
use crescendo_processes::corpus::{Case, Corpus, Group};
use engines::{Engine, Kind};
use measure::{Expectation, Plan};
use options::{Mode, Options};
use report::Row;
use stage::Stage;
use std::path::Path;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    if std::env::args().any(|arg| arg == "--help") {
        println!("{}", options::USAGE);
        return ExitCode::SUCCESS;
    }
    match options::options(std::env::args().skip(1)).and_then(|options| run(&options)) {
        Ok(problems) if problems.is_empty() => ExitCode::SUCCESS,
        Ok(problems) => {
            eprintln!("error: {} problems\n{}", problems.len(), problems.join("\n"));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Answers what is wrong with what was measured.
fn run(options: &Options) -> Result<Vec<String>> {
    let corpus = Corpus::load()?;
    let cases = corpus.cases.iter().filter(|case| wanted(case, &options.only));
    let (absent, cases): (Vec<&Case>, Vec<&Case>) =
        cases.partition(|case| case.is_fetched() && !options.fetched);
    if options.mode == Mode::List {
        cases.iter().for_each(|case| println!("{}\t{:?}\t{}", case.name, case.group, case.role.name()));
        return Ok(Vec::new());
    }
    corpus.verify(options.fetched)?;
    if options.mode == Mode::Check {
        println!("{} files have their checksums", corpus.files.len());
        return Ok(Vec::new());
    }
    let is_part = |kind: &Kind| match kind {
        Kind::Interpreter => options.interpreter,
        kind => !options.without.contains(kind),
    };
    let taking_part = Kind::ALL.into_iter().filter(is_part);
    let find =
        |kind: Kind| Engine::find(kind, options.programs.get(kind.program()).map(|path| path.as_path()));
    let stage = Stage::new()?;
    let copied = |kind| find(kind)?.copy_to(&stage.programs());
    let engines: Vec<Engine> = taking_part.map(copied).collect::<Result<_>>()?;
    std::fs::create_dir_all(&options.out)?;
    // They end with this process.
    for _ in 0..options.busy {
        std::thread::spawn(|| {
            loop {
                std::hint::spin_loop();
            }
        });
    }
    let mut left_out: Vec<String> = options.without.iter().map(|kind| kind.title().to_string()).collect();
    if options.mode == Mode::Envelopes {
        let head = report::head(&engines, &left_out, options, None);
        return envelopes::run(&corpus, &engines, options, &stage, &head);
    }
    if cases.is_empty() {
        return Err("no case has such a name".into());
    }
    left_out.extend(absent.iter().map(|case| case.name.clone()));
    let floor = child::run(&mut Command::new("true"), stage.folder(), None, options.limit)?.peak as f64
        / f64::from(1 << 20);
    let head = report::head(&engines, &left_out, options, Some(floor));
    print!("{head}");
    let mut rows = Vec::new();
    for (index, case) in cases.iter().enumerate() {
        eprintln!("{}/{}: {}", index + 1, cases.len(), case.name);
        rows.push(measure_case(case, &engines, options, &stage)?);
        // What was measured so far is not lost if the run is broken off.
        write(&options.out, "processes.csv", &report::csv(&head, &rows))?;
    }
    print!("{}", report::markdown(&rows, &engines));
    write(&options.out, "ratios.svg", &report::ratios_plot(&rows))?;
    let problems: Vec<String> = rows.iter().flat_map(Row::problems).collect();
    if !problems.is_empty() {
        println!("\n**{} problems**\n\n- {}", problems.len(), problems.join("\n- "));
    }
    Ok(problems)
}

/// Whether a case is asked for: by a part of its name, its group or its set.
fn wanted(case: &Case, only: &[String]) -> bool {
    let group = match case.group {
        Group::Kernel => "kernel",
        Group::Program => "program",
        Group::Yosys => "yosys",
    };
    only.is_empty()
        || only
            .iter()
            .any(|part| case.name.contains(part.as_str()) || part == group || part == case.role.name())
}

fn measure_case(case: &Case, engines: &[Engine], options: &Options, stage: &Stage) -> Result<Row> {
    let expected = Expectation {
        result: case.result.clone(),
        stdout: case.stdout.clone(),
        writes: case.writes.clone(),
        refused: case.refused.clone(),
    };
    let plan = Plan { repetitions: case.repetitions, exactly: options.repetitions, limit: options.limit };
    let all: Vec<&Engine> = engines.iter().collect();
    let outcomes = measure::measure(&all, &stage.case(case)?, &expected, &plan, stage)?;
    let outcomes = engines.iter().map(|engine| engine.kind).zip(outcomes).collect();
    Ok(Row { case: case.clone(), outcomes })
}

fn write(folder: &Path, name: &str, text: &str) -> Result<()> {
    let path = folder.join(name);
    std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()).into())
}
