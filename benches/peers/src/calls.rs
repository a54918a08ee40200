//! What crossing the border between host and guest costs, side by side: [`measure`].
//!
//! Compiled code next to Wasmtime's, interpreted code next to Wasmi's. The host's function is made by `func_wrap` and adds one; the
//! guest's export is called through `TypedFunc`, and adds one, too. Loops are part of what is measured, since a call alone is not
//! to be had.

use crate::Result;
use crate::engines::timed;
use crescendo::{Config, Tiering, TieringMode};
use crescendo_processes::sample::Sample;
use std::hint::black_box;

/// Calls that are timed as a whole.
const CALLS: u32 = 20_000;

/// Instances that are timed as a whole.
const INSTANCES: u32 = 300;

/// Times that each measurement is made before it counts.
const WARM_UP: usize = 5;

/// What is measured, in the order of the measurements.
const ROWS: [&str; 4] = [
    "guest's function, called by the host",
    "host's function, called by a guest",
    "store and instance, one call",
    "the same with a memory, one page touched",
];

/// `increment` for the host, `loop` calls the host's function and sums up.
const CALLING: &str = r#"(module
    (import "host" "increment" (func $increment (param i32) (result i32)))
    (func (export "increment") (param i32) (result i32)
        (i32.add (local.get 0) (i32.const 1)))
    (func (export "loop") (param $n i32) (result i32) (local $sum i32)
        (loop $next
            (local.set $sum (call $increment (local.get $sum)))
            (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (local.get $sum)))"#;

const SMALL: &str = r#"(module (func (export "increment") (param i32) (result i32)
    (i32.add (local.get 0) (i32.const 1))))"#;

const WITH_MEMORY: &str = r#"(module (memory 1) (func (export "increment") (param i32) (result i32)
    (i32.store (i32.const 0) (local.get 0))
    (i32.add (local.get 0) (i32.const 1))))"#;

/// Measures something once, and answers nanoseconds of processor time.
type Measurement = Box<dyn FnMut() -> Result<f64>>;

/// Nanoseconds of one of so many.
fn each(count: u32, work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let (done, elapsed, _) = timed(work);
    done?;
    Ok(elapsed.as_secs_f64() * 1e9 / f64::from(count))
}

/// Defines a function that prepares the measurements of [`ROWS`] for an engine; `$instantiate` is as in the adapters.
macro_rules! measurements {
    ($name:ident, $engine:ident, $instantiate:ident) => {
        fn $name(engine: &$engine::Engine) -> Result<[Measurement; ROWS.len()]> {
            let module = $engine::Module::new(engine, &wat::parse_str(CALLING)?)?;
            let mut linker = $engine::Linker::<u64>::new(engine);
            linker.func_wrap("host", "increment", |value: i32| value.wrapping_add(1))?;
            let prepare = || -> Result<_> {
                let mut store = $engine::Store::new(engine, 0);
                let instance = linker.$instantiate(&mut store, &module)?;
                Ok((store, instance))
            };
            let (mut store, instance) = prepare()?;
            let increment = instance.get_typed_func::<i32, i32>(&mut store, "increment")?;
            let from_host = move || {
                each(CALLS, || {
                    let mut sum = 0;
                    for _ in 0..CALLS {
                        sum = increment.call(&mut store, sum)?;
                    }
                    expect(sum)
                })
            };
            let (mut store, instance) = prepare()?;
            let all = instance.get_typed_func::<i32, i32>(&mut store, "loop")?;
            let to_host = move || each(CALLS, || expect(all.call(&mut store, CALLS as i32)?));
            let instances = |text: &str| -> Result<Measurement> {
                let module = $engine::Module::new(engine, &wat::parse_str(text)?)?;
                let linker = $engine::Linker::<u64>::new(engine);
                let engine = engine.clone();
                Ok(Box::new(move || {
                    each(INSTANCES, || {
                        for value in 0..INSTANCES as i32 {
                            let mut store = $engine::Store::new(&engine, 0);
                            let instance = linker.$instantiate(&mut store, &module)?;
                            let increment = instance.get_typed_func::<i32, i32>(&mut store, "increment")?;
                            black_box(increment.call(&mut store, value)?);
                        }
                        Ok(())
                    })
                }))
            };
            Ok([Box::new(from_host), Box::new(to_host), instances(SMALL)?, instances(WITH_MEMORY)?])
        }
    };
}

measurements!(crescendo, crescendo, instantiate);
measurements!(wasmtime, wasmtime, instantiate);
measurements!(wasmi, wasmi, instantiate_and_start);

/// All the calls were made.
fn expect(sum: i32) -> Result<()> {
    if sum == CALLS as i32 { Ok(()) } else { Err(format!("{CALLS} calls counted to {sum}").into()) }
}

/// Measures both tiers next to their peers, in turns, and prints a table of nanoseconds.
pub fn measure(repetitions: usize) -> Result<()> {
    let own = |mode| -> Result<_> {
        let mut config = Config::new();
        config.tiering(Tiering::new(mode));
        crescendo(&crescendo::Engine::new(&config)?)
    };
    println!("| compiled code, ns | wasmtime | crescendo | wasmtime / crescendo |");
    println!("| --- | ---: | ---: | ---: |");
    pair(wasmtime(&wasmtime::Engine::default())?, own(TieringMode::Eager)?, repetitions)?;
    println!("| interpreted code, ns | wasmi | crescendo | wasmi / crescendo |");
    println!("| --- | ---: | ---: | ---: |");
    pair(wasmi(&wasmi::Engine::default())?, own(TieringMode::InterpreterOnly)?, repetitions)
}

/// Measures a peer and this engine, and prints a line each.
fn pair(peer: [Measurement; ROWS.len()], own: [Measurement; ROWS.len()], repetitions: usize) -> Result<()> {
    for ((row, mut peer), mut own) in ROWS.into_iter().zip(peer).zip(own) {
        eprintln!("measuring: {row}");
        for _ in 0..WARM_UP {
            peer()?;
            own()?;
        }
        let (mut peers, mut owns) = (Vec::new(), Vec::new());
        for turn in 0..repetitions {
            if turn % 2 == 0 {
                peers.push(peer()?);
                owns.push(own()?);
            } else {
                owns.push(own()?);
                peers.push(peer()?);
            }
        }
        let ratios = peers.iter().zip(&owns).map(|(peer, own)| peer / own).collect();
        println!("| {row} | {} | {} | {:.2} |", Sample::new(peers), Sample::new(owns), Sample::new(ratios));
    }
    println!();
    Ok(())
}
