//! The documents at the top name things that exist.

use super::{read, report, root};
use crescendo::Proposal;
use std::path::Path;

/// Endings that make a word in backticks a path, even without a slash.
const EXTENSIONS: &[&str] =
    &["md", "rs", "toml", "txt", "wasm", "wat", "wast", "sh", "lua", "js", "sql", "c"];

/// The spans in backticks of a text, code blocks left out.
fn code_spans(text: &str) -> Vec<(usize, &str)> {
    let mut spans = Vec::new();
    let mut in_block = false;
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        } else if !in_block {
            spans.extend(line.split('`').skip(1).step_by(2).map(|span| (number + 1, span)));
        }
    }
    spans
}

/// The paths that a span names: words with a slash or an ending that files of ours have.
fn paths(span: &str) -> impl Iterator<Item = &str> {
    span.split_whitespace().filter(|word| {
        let looks_like_code = word.contains("::") || word.contains("//") || word.starts_with('-');
        let extension = Path::new(word).extension().and_then(|extension| extension.to_str());
        let is_file = extension.is_some_and(|extension| EXTENSIONS.contains(&extension));
        !looks_like_code && (word.contains('/') || is_file)
    })
}

/// Whether a path from the root exists; of one with a `*` the folder before it.
fn exists(path: &str) -> bool {
    let path = match path.split_once('*') {
        Some((before, _)) => before.rsplit_once('/').map_or("", |(folder, _)| folder),
        None => path,
    };
    root().join(path).exists()
}

/// The targets of a text's links.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target)
}

/// A heading's name in links.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

#[test]
fn architecture_names_only_paths_that_exist() {
    let text = read("ARCHITECTURE.md");
    let mut problems = Vec::new();
    let mut named = 0;
    for (line, span) in code_spans(&text) {
        for path in paths(span) {
            named += 1;
            if !exists(path) {
                problems.push(format!("ARCHITECTURE.md:{line}: {path} does not exist"));
            }
        }
    }
    report(&problems);
    assert!(named > 50, "only {named} paths found: is the search broken?");
}

#[test]
fn links_lead_somewhere() {
    let mut problems = Vec::new();
    for document in ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"] {
        let text = read(document);
        for link in links(&text).filter(|link| !link.contains("://")) {
            let (path, fragment) = link.split_once('#').map_or((link, None), |(path, f)| (path, Some(f)));
            if !root().join(path).exists() {
                problems.push(format!("{document}: {link} does not exist"));
                continue;
            }
            let Some(fragment) = fragment else { continue };
            let target = if path.is_empty() { text.clone() } else { read(path) };
            let mut headings = target.lines().filter_map(|line| line.strip_prefix('#'));
            if !headings.any(|heading| anchor(heading.trim_start_matches('#')) == fragment) {
                problems.push(format!("{document}: {link} names no heading"));
            }
        }
    }
    report(&problems);
}

/// The first code block after a line that contains `marker`.
fn block_after<'a>(text: &'a str, marker: &str) -> Vec<&'a str> {
    let mut lines = text.lines().skip_while(|line| !line.contains(marker)).skip(1);
    lines.by_ref().find(|line| line.starts_with("```"));
    lines.take_while(|line| !line.starts_with("```")).collect()
}

#[test]
fn the_readme_embeds_the_example_that_is_tested() {
    let library = read("src/lib.rs");
    let documentation: String = library
        .lines()
        .map_while(|line| line.strip_prefix("//!"))
        .map(|line| format!("{}\n", line.strip_prefix(' ').unwrap_or(line)))
        .collect();
    let tested = block_after(&documentation, "# Flow");
    assert!(tested.len() > 5, "src/lib.rs has an example under `Flow`");
    assert_eq!(block_after(&read("README.md"), "<!-- example -->"), tested);
}

#[test]
fn the_readme_has_the_commands_that_ci_runs() {
    let readme = read("README.md");
    let test = block_after(&readme, "<!-- test -->");
    assert_eq!(test.len(), 1, "one command");
    assert!(test[0].starts_with("cargo test --workspace"), "{}", test[0]);
    assert!(read(".ci/run").contains("<!-- test -->"), "CI takes the command from the README");
    let run = block_after(&readme, "<!-- run -->");
    assert!(run.first().is_some_and(|line| line.starts_with("cargo run --release")), "{run:?}");
    let words = run.iter().flat_map(|line| line.split_whitespace());
    let programs: Vec<_> = words.filter(|word| word.starts_with("tests/")).collect();
    assert!(
        !programs.is_empty() && programs.iter().all(|word| exists(word.split("::").next().unwrap_or(word)))
    );
}

#[test]
fn the_readme_lists_the_proposals() {
    let readme = read("README.md");
    let mut problems = Vec::new();
    for (list, supported) in [(Proposal::SUPPORTED, true), (Proposal::REFUSED, false)] {
        for proposal in list {
            let row = readme.lines().find_map(|line| {
                let mut cells = line.split('|').map(str::trim).skip(1);
                (cells.next() == Some(proposal.name())).then(|| cells.next().unwrap_or_default())
            });
            match (row, supported) {
                (Some("yes"), true) | (Some("no") | None, false) => {}
                (row, _) => problems.push(format!("README.md: {}: {row:?}", proposal.name())),
            }
        }
    }
    report(&problems);
}
