//! What further instances cost, in time and in memory: `cargo bench --bench instances`.
//!
//! One iteration makes a store and an instance of a module that is loaded already, perhaps calls a function that touches
//! memory, and drops both. Before that come tables of resident bytes, of instances and of modules: how much a process grows
//! by when it has so many more of them, by /proc/self/smaps_rollup (Linux only). Each cell is measured by a process of its
//! own, so that none finds memory that another has left. `CRESCENDO_BENCH_MODULE` may name one more module in the binary
//! format; its imports are functions that trap.

mod setup;

use crescendo::{Config, Engine, InstancePre, Module, Store, Validation};
use criterion::Criterion;
use std::hint::black_box;
use std::process::Command;

/// Names one more module.
const MODULE: &str = "CRESCENDO_BENCH_MODULE";

/// Names the cell of the table that a process is to measure: a row's number and a column.
const CELL: &str = "CRESCENDO_BENCH_CELL";

/// What an instance is made of.
struct Case {
    name: String,
    wasm: Vec<u8>,
    /// An export without parameters and results that is called in each instance.
    call: Option<&'static str>,
    /// How many instances and modules are made to find out how much memory one takes.
    instances: usize,
    modules: usize,
}

impl Case {
    fn small(name: &str, text: &str, call: Option<&'static str>) -> Case {
        let wasm = setup::binary(text);
        Case { name: name.to_string(), wasm, call, instances: 1000, modules: 1000 }
    }

    fn large(name: &str, wasm: Vec<u8>) -> Case {
        // 200 MB of bytes at most, but two modules at least.
        let modules = (200_000_000 / wasm.len()).clamp(2, 20);
        Case { name: name.to_string(), wasm, call: None, instances: 100, modules }
    }
}

fn cases() -> Vec<Case> {
    let plain = r#"(module (func (export "call")))"#;
    let memory = r#"
        (module
            (memory (export "memory") 1)
            (func (export "call") (i32.store (i32.const 1024) (i32.const 1))))"#;
    // 1 MiB of data: none of its pages stays zero.
    let data =
        format!("(module (memory (export \"memory\") 16) (data (i32.const 0) \"{}\"))", "c".repeat(1 << 20));
    let mut cases = vec![
        Case::small("without memory", plain, None),
        Case::small("without memory, one call", plain, Some("call")),
        Case::small("memory, untouched", memory, None),
        Case::small("memory, one call that touches a page", memory, Some("call")),
        Case { instances: 100, modules: 20, ..Case::small("1 MiB of data", &data, None) },
    ];
    cases.extend(["lua", "sqlite"].map(|name| Case::large(name, setup::program(name))));
    if let Some(path) = std::env::var_os(MODULE) {
        let wasm = std::fs::read(&path).unwrap_or_else(|error| panic!("{MODULE}: {error}"));
        cases.push(Case::large("yours", wasm));
    }
    cases
}

/// A loaded module, and what its instances are given.
struct Loaded {
    engine: Engine,
    pre: InstancePre<()>,
    call: Option<&'static str>,
}

impl Loaded {
    fn new(case: &Case) -> Loaded {
        let engine = engine();
        let module = Module::new(&engine, &case.wasm).expect("a valid module");
        let pre = setup::linker(&module).instantiate_pre(&module).expect("all imports are there");
        // The first instance: what is called is translated by then.
        let loaded = Loaded { engine, pre, call: case.call };
        drop(loaded.instance());
        loaded
    }

    /// A further instance, in a store of its own.
    fn instance(&self) -> Store<()> {
        let mut store = Store::new(&self.engine, ());
        let instance = self.pre.instantiate(&mut store).expect("an instance");
        if let Some(name) = self.call {
            let call = instance.get_typed_func::<(), ()>(&store, name).expect("it is exported");
            call.call(&mut store, ()).expect("it returns");
        }
        store
    }
}

/// The default settings, but nothing is validated ahead: that is the question of `startup.rs`.
fn engine() -> Engine {
    setup::engine(Config::new().validation(Validation::Lazy))
}

fn instances(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("instances");
    for case in cases() {
        let mut loaded = None;
        group.bench_function(&case.name, |bencher| {
            let loaded = loaded.get_or_insert_with(|| Loaded::new(&case));
            bencher.iter(|| black_box(loaded.instance()));
        });
    }
    group.finish();
}

/// Bytes of memory that this process has; `None` where the system does not say. `statm` and `status` say it faster, but only to
/// within some pages a thread.
fn resident() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<usize>().ok()? * 1024)
}

/// How much the process grows by with each of so many things.
fn growth<R>(count: usize, mut make: impl FnMut() -> R) -> Option<usize> {
    // The first one may need what the others share.
    let first = make();
    let mut kept = Vec::with_capacity(count);
    let before = resident()?;
    kept.extend((0..count).map(|_| make()));
    let grown = resident()?.saturating_sub(before);
    drop((first, black_box(kept)));
    Some(grown / count)
}

/// A cell of the table, measured in this process, which does nothing else.
fn measure(case: &Case, column: &str) -> Option<usize> {
    if column == "instance" {
        let loaded = Loaded::new(case);
        return growth(case.instances, || loaded.instance());
    }
    let engine = engine();
    growth(case.modules, || Module::new(&engine, &case.wasm).expect("a valid module"))
}

/// Prints how much memory instances and modules take.
fn print_resident() {
    println!("| resident bytes | an instance | a module | bytes of wasm |");
    println!("| --- | ---: | ---: | ---: |");
    let executable = std::env::current_exe().expect("a program has a path");
    for (number, case) in cases().iter().enumerate() {
        let cell = |column: &str| {
            let output = Command::new(&executable).env(CELL, format!("{number} {column}")).output();
            let output = output.expect("a process");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8_lossy(&output.stdout).trim().to_string()
        };
        println!("| {} | {} | {} | {} |", case.name, cell("instance"), cell("module"), case.wasm.len());
    }
    println!();
}

fn main() {
    if let Ok(cell) = std::env::var(CELL) {
        let (number, column) = cell.split_once(' ').expect("a number and a column");
        let case = &cases()[number.parse::<usize>().expect("a number")];
        match measure(case, column) {
            Some(bytes) => println!("{bytes}"),
            None => println!("unknown"),
        }
        return;
    }
    let mut criterion = setup::criterion();
    // `cargo bench` says so; tests and lists of benchmarks do not.
    if std::env::args().any(|argument| argument == "--bench") {
        print_resident();
    }
    instances(&mut criterion);
    criterion.final_summary();
}
