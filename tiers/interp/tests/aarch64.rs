//! The handlers for aarch64, generated and proved on whatever machine runs the tests.
//!
//! The build script's own files are compiled in here, so that what is tested is what a build for aarch64 runs.

#[path = "../build/a64/mod.rs"]
#[allow(dead_code, reason = "the build script uses the rest")]
mod a64;
#[path = "../build/control.rs"]
mod control;
#[path = "../build/forms.rs"]
mod forms;
#[path = "../build/generate.rs"]
mod generate;
#[path = "../src/micro.rs"]
#[allow(dead_code, reason = "the crate uses the rest")]
mod micro;
#[path = "../build/proof.rs"]
#[allow(dead_code, reason = "the build script uses the rest")]
mod proof;
#[path = "../build/sequences.rs"]
mod sequences;
#[path = "../build/table.rs"]
#[allow(dead_code, reason = "the build script uses the rest")]
mod table;
#[path = "../build/tiering.rs"]
mod tiering;
#[path = "../build/tree.rs"]
#[allow(dead_code, reason = "the build script uses the rest")]
mod tree;
#[path = "../build/values.rs"]
mod values;
#[path = "../build/x64/mod.rs"]
#[allow(dead_code, reason = "the build script uses the rest")]
mod x64;

use table::{Isa, Table};

/// The first superinstructions of the list: all of them take too long without optimization.
fn some_superinstructions() -> String {
    let list =
        concat!(include_str!("../superinstructions.txt"), include_str!("../superinstructions-vector.txt"));
    list.lines().step_by(20).collect::<Vec<_>>().join("\n")
}

#[test]
fn aarch64_handlers_are_generated_and_proved() {
    let table = Table::build(Isa::A64, &some_superinstructions());
    assert!(table.handlers > 1500, "{} handlers", table.handlers);
    assert!(!table.rows.is_empty());
    assert!(table.rows.is_sorted(), "trap rows are looked up by bisection");
    assert!(table.rows.iter().all(|(offset, ..)| (*offset as usize) < table.text.len() && offset % 4 == 0));
}

#[test]
fn the_same_list_gives_the_same_bytes() {
    let list: String = some_superinstructions().lines().take(40).collect::<Vec<_>>().join("\n");
    for isa in [Isa::X64, Isa::A64] {
        let (first, second) = (Table::build(isa, &list), Table::build(isa, &list));
        assert!(
            first.text == second.text
                && first.rows == second.rows
                && first.tree.bytes() == second.tree.bytes(),
            "{isa:?}"
        );
    }
}
