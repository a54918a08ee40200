//! Generates the handlers, proves each, and writes what the crate links.
//!
//! Out: `handlers.bin`, the text; `tree.bin`, the tree that finds handlers; `table.rs`, the trap rows and counts. The same
//! sources give the same bytes.

#[allow(dead_code, reason = "one instruction set is used at a time")]
mod a64;
mod control;
mod forms;
mod generate;
#[path = "../src/micro.rs"]
#[allow(dead_code, reason = "the crate uses the rest")]
mod micro;
#[allow(dead_code, reason = "one instruction set is used at a time")]
mod proof;
mod sequences;
mod table;
mod tiering;
mod tree;
mod values;
#[allow(dead_code, reason = "one instruction set is used at a time")]
mod x64;

use crescendo_abi::TrapCode;
use std::fmt::Write;
use std::path::Path;
use std::{env, fs};

const _: () = assert!(
    proof::DIVIDE_CODES[0] == TrapCode::IntegerOverflow as u8
        && proof::DIVIDE_CODES[1] == TrapCode::IntegerDivisionByZero as u8
);

/// The superinstructions: those of scalars, and those with a vector among their operands.
const LISTS: [&str; 2] = ["superinstructions.txt", "superinstructions-vector.txt"];

fn main() {
    for path in ["build", "src/micro.rs"].iter().chain(&LISTS) {
        println!("cargo::rerun-if-changed={path}");
    }
    let isa = match env::var("CARGO_CFG_TARGET_ARCH").as_deref() {
        Ok("x86_64") => table::Isa::X64,
        Ok("aarch64") => table::Isa::A64,
        other => panic!("Crescendo has no handlers for {other:?}: it runs on x86_64 and aarch64"),
    };
    let lists = LISTS.map(|path| fs::read_to_string(path).expect("the lists are part of the crate"));
    let started = std::time::Instant::now();
    let table = table::Table::build(isa, &lists.concat());
    let out = env::var_os("OUT_DIR").expect("cargo sets OUT_DIR");
    let out = Path::new(&out);
    let write = |name: &str, bytes: &[u8]| {
        fs::write(out.join(name), bytes).unwrap_or_else(|error| panic!("cannot write {name}: {error}"));
    };
    write("handlers.bin", &table.text);
    write("tree.bin", &table.tree.bytes());
    let mut source = String::new();
    let _ = writeln!(
        source,
        "/// The blocks of the roots' children.\nconst ROOTS: [u32; {}] = {:?};",
        table.tree.roots.len(),
        table.tree.roots
    );
    let _ = writeln!(
        source,
        "/// How many different handlers there are.\npub const HANDLER_COUNT: usize = {};",
        table.handlers
    );
    let _ = writeln!(
        source,
        "/// Bytes of the handlers' text.\npub const HANDLER_BYTES: usize = {};",
        table.text.len()
    );
    let _ = writeln!(source, "static TRAP_ROWS: [TrapRow; {}] = [", table.rows.len());
    for (offset, code, micro_op) in &table.rows {
        let _ = writeln!(source, "TrapRow {{ offset: {offset}, code: {code}, micro_op: {micro_op} }},");
    }
    source.push_str("];\n");
    write("table.rs", source.as_bytes());
    // For whoever measures: visible with `cargo build -vv`.
    println!("{} handlers, {} bytes, {:?}", table.handlers, table.text.len(), started.elapsed());
}
