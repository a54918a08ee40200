//! Tables in Markdown, and the machine and versions they are from.

use crate::loading::Loading;
use crate::measure::{Comparison, geometric_mean};
use std::process::Command;

/// The versions that the build used.
const LOCK: &str = include_str!("../Cargo.lock");

/// Prints the machine, the versions and how measurements were taken.
pub fn environment(repetitions: usize) {
    println!("- machine: {}, {} threads", cpu(), threads());
    println!("- load average before the run: {}", load_average());
    println!(
        "- versions: crescendo {}, wasmi {}, wasmtime {}, {}",
        version("crescendo"),
        version("wasmi"),
        version("wasmtime"),
        compiler()
    );
    println!("- repetitions: {repetitions}; numbers are medians (minimum..maximum)");
    println!();
}

/// Prints a table of comparisons, of a peer first and this engine second.
pub fn comparisons(title: &str, peer: &str, comparisons: &[Comparison]) {
    if comparisons.is_empty() {
        return;
    }
    println!("| {title} | {peer} ms | crescendo ms | {peer} / crescendo | result, output, memory |");
    println!("| --- | ---: | ---: | ---: | --- |");
    for case in comparisons {
        let verdict = match case.difference {
            None => format!("identical ({} KiB)", case.memory / 1024),
            Some(what) => format!("DIFFERENT: {what}"),
        };
        println!("| {} | {} | {} | {:.2} | {verdict} |", case.name, case.first, case.second, case.ratio);
    }
    println!("| geometric mean | | | {:.2} | |", geometric_mean(comparisons));
    println!();
}

/// Prints what loading and translating costs.
pub fn loadings(loadings: &[Loading]) {
    if loadings.is_empty() {
        return;
    }
    println!(
        "| translation | functions | wasm bytes | ms | ns / wasm byte | bytecode / wasm byte | map / wasm byte |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    for case in loadings {
        let per_byte = |bytes: usize| bytes as f64 / case.body_bytes as f64;
        println!(
            "| {} | {} | {} | {} | {:.1} | {:.2} | {:.2} |",
            case.name,
            case.functions,
            case.body_bytes,
            case.translated,
            case.nanoseconds_per_byte(),
            per_byte(case.bytecode_bytes),
            per_byte(case.map_bytes),
        );
    }
    println!();
    println!("| load, ms | crescendo unchecked | validated | on all threads | validated and translated |");
    println!("| --- | ---: | ---: | ---: | ---: |");
    for case in loadings {
        let both = case.validated.median() + case.translated.median();
        println!("| {} | {:.2} | {} | {} | {both:.1} |", case.name, case.lazy, case.validated, case.parallel);
    }
    println!();
    println!("| load, ms | wasmi unchecked | validated | validated and translated |");
    println!("| --- | ---: | ---: | ---: |");
    for case in loadings {
        println!(
            "| {} | {:.2} | {} | {} |",
            case.name, case.wasmi_lazy, case.wasmi_validated, case.wasmi_translated
        );
    }
    println!();
}

/// Prints the size of the handler table.
pub fn handlers() {
    let (count, bytes) = (crescendo_interp::HANDLER_COUNT, crescendo_interp::HANDLER_BYTES);
    println!("Handler table: {count} handlers, {bytes} bytes ({} KiB).", bytes / 1024);
}

fn cpu() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model.map_or("unknown processor", |(_, name)| name).to_string()
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn load_average() -> String {
    let averages = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    averages.split(' ').next().filter(|one| !one.is_empty()).unwrap_or("unknown").to_string()
}

/// The version of a package in the lock file.
fn version(package: &str) -> &'static str {
    let mut lines = LOCK.lines().skip_while(|line| *line != format!("name = \"{package}\""));
    let version = lines.nth(1).and_then(|line| line.strip_prefix("version = "));
    version.map_or("unknown", |version| version.trim_matches('"'))
}

fn compiler() -> String {
    let output = Command::new("rustc").arg("--version").output().map(|output| output.stdout);
    let version = output.ok().and_then(|version| String::from_utf8(version).ok()).unwrap_or_default();
    if version.is_empty() { "unknown compiler".to_string() } else { version.trim().to_string() }
}
