//! How long a guest stands still when its functions become hot: `cargo bench --bench pauses`.
//!
//! A module of many functions, each with a loop, calls the host all the time; the longest time between two calls is what a
//! guest would notice. In the interpreter it is the machine's own noise, in `Dynamic` that and what the engine does on the
//! guest's thread, in `Synchronous` it is the compiler.

use crescendo::{Config, Engine, Instance, Module, Store, Tiering, TieringMode};
use std::fmt::Write;
use std::time::{Duration, Instant};

const FUNCTIONS: usize = 300;
const ROUNDS: i32 = 400;

fn text() -> String {
    let mut text = String::from("(module (import \"\" \"tick\" (func $tick))\n");
    for n in 0..FUNCTIONS {
        let _ = write!(
            text,
            "(func $f{n} (param i32) (result i32) (local i32 i32)
                (loop $l
                    (local.set 1 (i32.add (local.get 1) (i32.xor (local.get 0) (i32.const {n}))))
                    (call $tick)
                    (br_if $l (i32.lt_u
                        (local.tee 2 (i32.add (local.get 2) (i32.const 1))) (i32.const 20))))
                (local.get 1))\n"
        );
    }
    text.push_str("(func (export \"run\") (param i32) (result i32) (local i32)\n");
    for n in 0..FUNCTIONS {
        let _ = writeln!(text, "(local.set 1 (i32.add (local.get 1) (call $f{n} (local.get 0))))");
    }
    text.push_str("(local.get 1)))");
    text
}

/// The longest gaps between calls of the host, longest first.
fn gaps(mode: TieringMode) -> Vec<Duration> {
    let engine = Engine::new(Config::new().tiering(Tiering::new(mode).calls(50).iterations(500)))
        .expect("the configuration is valid");
    let bytes = wat::parse_str(text()).expect("it is text");
    let module = Module::new(&engine, bytes).expect("it is valid");
    let ticks: Vec<Duration> = Vec::with_capacity(FUNCTIONS * 20 * ROUNDS as usize);
    let mut store = Store::new(&engine, (Instant::now(), ticks));
    let tick =
        crescendo::Func::wrap(&mut store, |mut caller: crescendo::Caller<'_, (Instant, Vec<Duration>)>| {
            let (last, gaps) = caller.data_mut();
            let now = Instant::now();
            gaps.push(now - *last);
            *last = now;
        });
    let instance = Instance::new(&mut store, &module, &[tick.into()]).expect("its import is there");
    let run = instance.get_typed_func::<i32, i32>(&store, "run").expect("it is exported");
    store.data_mut().0 = Instant::now();
    for round in 0..ROUNDS {
        run.call(&mut store, round).expect("it returns");
    }
    let mut gaps = store.into_data().1;
    gaps.sort_unstable_by(|a, b| b.cmp(a));
    gaps
}

fn main() {
    println!("| mode | longest gap | 10th | 100th | 1,000th | median |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: |");
    for mode in [TieringMode::InterpreterOnly, TieringMode::Dynamic, TieringMode::Synchronous] {
        for _ in 0..3 {
            let gaps = gaps(mode);
            let at = |n: usize| gaps[n];
            println!(
                "| {mode:?} | {:?} | {:?} | {:?} | {:?} | {:?} |",
                at(0),
                at(9),
                at(99),
                at(999),
                at(gaps.len() / 2)
            );
        }
    }
}
