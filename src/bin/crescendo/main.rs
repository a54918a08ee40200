//! The command line of Crescendo: runs, checks and takes apart WebAssembly modules.
//!
//! | command | file |
//! |---|---|
//! | `run` | `run.rs`, with `invoke.rs` for `--invoke` |
//! | `validate`, `disas`, `compile` | `module.rs` |
//! | `wast` | `script.rs` |
//! | `inspect` | `inspect.rs` |
//!
//! `options.rs` declares the arguments, `output.rs` writes. Exit codes: 0, the guest's own, 1 for an error, 2 for wrong
//! usage, 134 for a trap. Invariant: neither files, arguments nor closed streams make the process panic.
#![forbid(unsafe_code)]

mod inspect;
mod invoke;
mod module;
mod options;
mod output;
mod run;
mod script;

use std::process::ExitCode;

use clap::Parser;

use options::{Cli, Command};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nobody reads what a closed stream was to get.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
        }
    };
    let outcome = match cli.command {
        Command::Run(options) => run::run(&options),
        Command::Validate(options) => module::validate(&options),
        Command::Wast(options) => script::run(&options),
        Command::Inspect(options) => inspect::inspect(&options),
        Command::Disas(options) => module::disassemble(&options),
        Command::Compile(options) => module::compile(&options),
    };
    match outcome {
        Ok(code) => code,
        Err(error) if output::is_closed(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::error(&error);
            ExitCode::FAILURE
        }
    }
}
