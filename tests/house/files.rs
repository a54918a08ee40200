//! The form of source files: size, opening, names.

use super::{files_below, read, report};
use std::path::PathBuf;

/// Most lines of a source file.
const MOST_LINES: usize = 800;

/// Files that are tables of rows, which may have more lines.
const TABLES: &[&str] = &["tiers/semantics/src/rows.rs"];

/// Most lines of a table of rows.
const MOST_TABLE_LINES: usize = 1200;

/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &["utils", "util", "common", "misc", "helpers", "helper"];

fn sources() -> Vec<PathBuf> {
    let all = ["src", "tiers", "tests", "benches"].into_iter().flat_map(files_below);
    all.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

#[test]
fn files_are_of_readable_size() {
    let mut problems = Vec::new();
    for path in sources() {
        let path = path.display().to_string();
        let lines = read(&path).lines().count();
        let most = if TABLES.contains(&path.as_str()) { MOST_TABLE_LINES } else { MOST_LINES };
        if lines > most {
            problems.push(format!("{path}: {lines} lines, more than {most}"));
        }
    }
    report(&problems);
}

#[test]
fn files_open_with_what_they_are() {
    let problems = sources().into_iter().map(|path| path.display().to_string());
    let problems: Vec<String> = problems
        .filter(|path| !read(path).starts_with("//! "))
        .map(|path| format!("{path}: does not open with `//!`"))
        .collect();
    report(&problems);
}

#[test]
fn names_say_something() {
    let problems: Vec<String> = ["src", "tiers", "tests", "benches"]
        .into_iter()
        .flat_map(files_below)
        .filter(|path| {
            let named = |part: &std::ffi::OsStr| EMPTY_NAMES.iter().any(|name| part == *name);
            path.file_stem().is_some_and(named) || path.components().any(|part| named(part.as_os_str()))
        })
        .map(|path| path.display().to_string())
        .collect();
    report(&problems);
}

#[test]
fn tables_of_rows_exist() {
    let missing: Vec<&&str> = TABLES.iter().filter(|path| !super::root().join(path).exists()).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
