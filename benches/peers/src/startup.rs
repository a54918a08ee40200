//! How long it takes from the bytes of a module to an instance, side by side with Wasmi: [`measure`].
//!
//! Generated modules of 1 KB to 69 MB of function bodies, the same ones in every run. Bodies are left unchecked until they are called,
//! or all are validated; nothing is translated in either engine. Engines are there already; what was made is dropped behind the clock.

#[path = "../../setup/generated.rs"]
mod generated;

use crate::Result;
use crate::engines::{crescendo as ours, wasmi as theirs};
use crescendo::Validation;
use crescendo_processes::sample::Sample;
use std::hint::black_box;
use std::time::{Duration, Instant};
use wasmi::CompilationMode;

/// Bytes of function bodies of the modules.
const SIZES: [(&str, usize); 6] = [
    ("1 KB", 1 << 10),
    ("10 KB", 10 << 10),
    ("100 KB", 100 << 10),
    ("1 MB", 1 << 20),
    ("10 MB", 10 << 20),
    ("69 MB", 69 << 20),
];

/// The work that is timed as a whole, in bytes of bodies, and the most instances of it.
const WORK: usize = 1 << 20;
const MOST: usize = 200;

/// Measures all sizes in turns, and prints a table of microseconds.
pub fn measure(repetitions: usize) -> Result<()> {
    println!(
        "| from bytes to an instance, µs | wasmi `Lazy` | crescendo lazy | crescendo / wasmi | wasmi `LazyTranslation` | crescendo eager | crescendo / wasmi |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    for (name, size) in SIZES {
        eprintln!("starting {name}");
        let wasm = generated::generate(size);
        let count = (WORK / size).clamp(1, MOST);
        let lazy = pair(&wasm, Validation::Lazy, CompilationMode::Lazy, count, repetitions)?;
        let eager = pair(&wasm, Validation::Eager, CompilationMode::LazyTranslation, count, repetitions)?;
        println!("| {name} | {lazy} | {eager} |");
    }
    println!();
    Ok(())
}

/// Cells of a table: Wasmi, this engine, and the ratio of neighbours.
fn pair(
    wasm: &[u8],
    validation: Validation,
    mode: CompilationMode,
    count: usize,
    repetitions: usize,
) -> Result<String> {
    let (own, peer) = (ours::engine(validation)?, theirs::engine(mode));
    let start_own = || {
        let module = crescendo::Module::new(&own, wasm)?;
        let mut store = crescendo::Store::new(&own, ());
        let instance = crescendo::Instance::new(&mut store, &module, &[])?;
        Ok((black_box(instance), store, module))
    };
    let linker = wasmi::Linker::<()>::new(&peer);
    let start_peer = || {
        let module = wasmi::Module::new(&peer, wasm)?;
        let mut store = wasmi::Store::new(&peer, ());
        let instance = linker.instantiate_and_start(&mut store, &module)?;
        Ok((black_box(instance), store, module))
    };
    let (mut owns, mut peers) = (Vec::new(), Vec::new());
    for repetition in 0..=repetitions {
        let (own, peer) = if repetition % 2 == 0 {
            let own = each(count, start_own)?;
            (own, each(count, start_peer)?)
        } else {
            let peer = each(count, start_peer)?;
            (each(count, start_own)?, peer)
        };
        // The first turn warms up.
        if repetition > 0 {
            owns.push(own);
            peers.push(peer);
        }
    }
    let ratios = owns.iter().zip(&peers).map(|(own, peer)| own / peer).collect();
    Ok(format!("{} | {} | {:.2}", Sample::new(peers), Sample::new(owns), Sample::new(ratios)))
}

/// Microseconds of one of so many.
fn each<R>(count: usize, step: impl Fn() -> Result<R>) -> Result<f64> {
    let mut elapsed = Duration::ZERO;
    for _ in 0..count {
        let start = Instant::now();
        let made = step()?;
        elapsed += start.elapsed();
        drop(made);
    }
    Ok(elapsed.as_secs_f64() * 1e6 / count as f64)
}
