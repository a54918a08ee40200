//! Who may import whom, checked in the manifests.

use super::{files_below, read, report};
use std::path::Path;

/// A crate's manifest, what it may import of ours at run time, and what its build script may import.
///
/// Tests and examples may import what the crate itself may, and what [`IN_TESTS`] has.
const CRATES: &[(&str, &[&str], &[&str])] = &[
    ("tiers/abi", &[], &[]),
    ("tiers/module", &[], &[]),
    ("tiers/code", &["abi"], &[]),
    ("tiers/semantics", &["abi"], &[]),
    ("tiers/interp", &["abi", "code", "module", "semantics"], &["abi", "semantics"]),
    ("tiers/jit", &["abi", "module", "semantics"], &[]),
    (".", &["abi", "code", "interp", "jit", "module"], &[]),
    ("src/wasi", &["crescendo"], &[]),
    ("src/wast", &["crescendo"], &[]),
    ("src/bin/crescendo", &["crescendo", "wasi", "wast"], &[]),
];

/// What tests import beyond: those of the whole engine go through the rows.
const IN_TESTS: (&str, &str) = (".", "semantics");

/// Most features that a crate may have; `default` would count.
const MOST_FEATURES: usize = 4;

/// The keys of a manifest's section, with their values.
fn section<'a>(manifest: &'a str, name: &str) -> Vec<(&'a str, &'a str)> {
    let header = format!("[{name}]");
    let lines = manifest.lines().skip_while(|line| *line != header).skip(1);
    lines
        .take_while(|line| !line.starts_with('['))
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.trim(), value.trim()))
        .collect()
}

/// A crate of ours by its short name, from a dependency's key.
fn ours(key: &str) -> Option<&str> {
    let name = key.split('.').next().unwrap_or(key);
    match name {
        "crescendo" => Some(name),
        _ => name.strip_prefix("crescendo-"),
    }
}

fn manifest(folder: &str) -> String {
    read(&format!("{folder}/Cargo.toml"))
}

#[test]
fn crates_import_only_what_they_may() {
    let mut problems = Vec::new();
    for (folder, run_time, build_time) in CRATES {
        let text = manifest(folder);
        for (name, allowed) in
            [("dependencies", run_time), ("dev-dependencies", run_time), ("build-dependencies", build_time)]
        {
            for (key, _) in section(&text, name) {
                if let Some(import) = ours(key)
                    && !allowed.contains(&import)
                    && !(name == "dev-dependencies" && (*folder, import) == IN_TESTS)
                {
                    problems.push(format!("{folder}/Cargo.toml: [{name}] imports {import}"));
                }
            }
        }
    }
    report(&problems);
}

#[test]
fn dependencies_stand_in_plain_sections() {
    // `[dependencies.name]` and `[target.….dependencies]` would slip past the other tests.
    let mut problems = Vec::new();
    for (folder, ..) in CRATES {
        let text = manifest(folder);
        let headers = text.lines().filter(|line| line.starts_with('[') && line.contains("dependencies"));
        let plain =
            ["[dependencies]", "[dev-dependencies]", "[build-dependencies]", "[workspace.dependencies]"];
        problems.extend(
            headers
                .filter(|header| !plain.contains(header))
                .map(|header| format!("{folder}/Cargo.toml: {header}")),
        );
    }
    report(&problems);
}

#[test]
fn every_member_of_the_workspace_has_a_rule() {
    let workspace = manifest(".");
    let members = workspace.split_once("members = [").and_then(|(_, rest)| rest.split_once(']'));
    let (members, _) = members.expect("the workspace has members");
    let members: Vec<&str> = members.split('"').skip(1).step_by(2).collect();
    let mut ruled: Vec<&str> =
        CRATES.iter().map(|(folder, ..)| *folder).filter(|folder| *folder != ".").collect();
    let mut listed = members.clone();
    listed.sort_unstable();
    ruled.sort_unstable();
    assert_eq!(listed, ruled);
    let stray: Vec<String> = ["src", "tiers"]
        .iter()
        .flat_map(|folder| files_below(folder))
        .filter(|path| path.ends_with("Cargo.toml"))
        .filter(|path| !members.iter().any(|member| path.parent() == Some(Path::new(member))))
        .map(|path| format!("{} is no member", path.display()))
        .collect();
    report(&stray);
}

#[test]
fn the_compiler_stays_out_of_what_embedders_run() {
    // Cranelift is for build scripts and for the compiler tier; `semantics` has it behind its feature `lower`, the root crate
    // behind its feature `cranelift`.
    let mut problems = Vec::new();
    for (folder, ..) in CRATES.iter().filter(|(folder, ..)| *folder != "tiers/jit") {
        for (key, value) in section(&manifest(folder), "dependencies") {
            let cranelift = key.starts_with("cranelift") && !value.contains("optional = true");
            let tier = ours(key) == Some("jit") && !value.contains("optional = true");
            let lowerings = ours(key) == Some("semantics") && value.contains("lower");
            if cranelift || tier || lowerings {
                problems.push(format!("{folder}/Cargo.toml: {key} = {value}"));
            }
        }
    }
    report(&problems);
}

#[test]
fn crates_have_few_features_and_the_lints_of_the_workspace() {
    let mut problems = Vec::new();
    for (folder, ..) in CRATES {
        let text = manifest(folder);
        let features = section(&text, "features").len();
        if features > MOST_FEATURES {
            problems.push(format!("{folder}/Cargo.toml: {features} features"));
        }
        if !section(&text, "lints").contains(&("workspace", "true")) {
            problems.push(format!("{folder}/Cargo.toml: does not take the lints of the workspace"));
        }
    }
    report(&problems);
}

#[test]
fn only_code_calls_the_operating_system() {
    let mut problems = Vec::new();
    for (folder, ..) in CRATES.iter().filter(|(folder, ..)| *folder != "tiers/code") {
        for (key, _) in section(&manifest(folder), "dependencies") {
            if ours(key).is_none()
                && ["libc", "rustix", "nix"].contains(&key.split('.').next().unwrap_or(key))
            {
                problems.push(format!("{folder}/Cargo.toml: {key}"));
            }
        }
    }
    report(&problems);
}
