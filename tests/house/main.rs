//! The rules of the house: what ARCHITECTURE.md promises about paths, imports and the form of files.
//!
//! Looks at the working tree only, with the standard library only. A rule that a file breaks is one line of a failure, so
//! that a run shows all of them at once.

mod documents;
mod files;
mod manifests;

use std::path::{Path, PathBuf};

/// The top of the working tree.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file's text, by its path from the root.
fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Whether a folder of this name has what is built, or what `benches/corpus/fetch.sh` fetches.
fn foreign(name: &std::ffi::OsStr) -> bool {
    name == "target" || name == "fetched"
}

/// The files below a folder, as paths from the root, sorted. Folders of foreign files are left out.
fn files_below(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = root().join(&folder).read_dir() else { continue };
        for entry in entries {
            let entry = entry.unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
            let path = folder.join(entry.file_name());
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && !foreign(&entry.file_name()) => folders.push(path),
                Ok(kind) if kind.is_file() => found.push(path),
                _ => {}
            }
        }
    }
    found.sort();
    found
}

/// Fails with one line per problem.
#[track_caller]
fn report(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}
