//! Tables in Markdown, and the machine and versions they are from.

use crate::loading::Loading;
use crate::measure::{Comparison, Measured, geometric_mean};
use crescendo_processes::machine;

/// The versions that the build used.
const LOCK: &str = include_str!("../Cargo.lock");

/// Prints the machine, the versions and how often measurements were taken.
pub fn environment(repetitions: &str) {
    println!("- machine: {}, {} threads", machine::cpu(), machine::threads());
    println!("- load average before the run: {}", machine::load_average());
    println!(
        "- versions: crescendo {}, wasmi {}, wasmtime {}, {}",
        version("crescendo"),
        version("wasmi"),
        version("wasmtime"),
        machine::compiler()
    );
    println!("- repetitions: {repetitions}");
    println!();
}

/// Prints a table of comparisons: the peers and this engine, then ratios to each peer.
pub fn comparisons(title: &str, comparisons: &[Comparison]) {
    let Some(first) = comparisons.first() else { return };
    let peers: Vec<&str> = first.peers.iter().map(|peer| peer.name).collect();
    let times: String = peers.iter().map(|peer| format!(" {peer} ms |")).collect();
    let ratios: String = peers.iter().map(|peer| format!(" {peer} / crescendo |")).collect();
    println!("| {title} |{times} crescendo ms |{ratios} result, output, memory |");
    println!("| --- |{} --- |", " ---: |".repeat(2 * peers.len() + 1));
    for case in comparisons {
        let verdict = match case.difference {
            None => format!("identical ({} KiB)", case.memory / 1024),
            Some(what) => format!("DIFFERENT: {what}"),
        };
        let times: String = case.peers.iter().map(|peer| format!(" {} |", time(peer))).collect();
        let ratios: String = case.peers.iter().map(|peer| format!(" {} |", ratio(peer))).collect();
        println!("| {} |{times} {} |{ratios} {verdict} |", case.name, case.own);
    }
    let means: String = peers.iter().map(|peer| format!(" {} |", mean(comparisons, peer))).collect();
    println!("| geometric mean |{}{means} |", " |".repeat(peers.len() + 1));
    println!();
}

/// The geometric mean of ratios to a peer, with two digits.
pub fn mean<'a>(comparisons: impl IntoIterator<Item = &'a Comparison>, peer: &str) -> String {
    geometric_mean(comparisons, peer).map_or("–".to_string(), |mean| format!("{mean:.2}"))
}

fn time(peer: &Measured) -> String {
    match &peer.outcome {
        Ok((time, _)) => time.to_string(),
        Err(reason) => format!("refuses it: {reason}"),
    }
}

fn ratio(peer: &Measured) -> String {
    peer.outcome.as_ref().map_or("–".to_string(), |(_, ratio)| format!("{ratio:.2}"))
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

/// The version of a package in the lock file.
fn version(package: &str) -> &'static str {
    let mut lines = LOCK.lines().skip_while(|line| *line != format!("name = \"{package}\""));
    let version = lines.nth(1).and_then(|line| line.strip_prefix("version = "));
    version.map_or("unknown", |version| version.trim_matches('"'))
}
