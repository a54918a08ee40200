//! The command `wast`.

use std::process::ExitCode;

use crescendo::Result;
use crescendo_wast::{Options, Report};

use crate::options::Wast;
use crate::{module, output};

/// Runs each script and prints a line for it; fails when a directive failed.
pub(crate) fn run(options: &Wast) -> Result<ExitCode> {
    let config = options.mode.config();
    let judge = Options { may_miss: options.skip.clone(), ..Options::default() };
    let mut success = true;
    for file in &options.files {
        let name = file.display().to_string();
        let text = module::read_text(file)?;
        let report = crescendo_wast::run(&config, &name, &text, &judge);
        success &= report.is_success();
        print(&name, &report)?;
    }
    Ok(if success { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(name: &str, report: &Report) -> Result<()> {
    let Report { passed, failed, skipped } = report;
    output::print(|out| {
        write!(out, "{name}: {passed} passed, {} failed", failed.len())?;
        if !skipped.is_empty() {
            write!(out, ", {} skipped", skipped.len())?;
        }
        writeln!(out)?;
        for failure in failed {
            writeln!(out, "{name}:{failure}")?;
        }
        Ok(())
    })
}
