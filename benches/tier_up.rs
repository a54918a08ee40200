//! How long until native code runs: `cargo bench --bench tier_up`.
//!
//! The default mode and thresholds, by size of the function. `calls`: until the calls of a function enter native code, which
//! the host learns by asking after each of them; `loop`: until a frame is taken over that is in a loop, which a function of
//! the host learns that the loop calls every 64 iterations. Each once from the first call on and once from the moment when
//! the function is hot; the second is about what the compiler takes, with the way to its thread and back. One iteration is
//! one fresh module.
//!
//! Most of a function's body lies behind a condition that does not hold, so that it is compiled but costs the interpreter
//! nothing. In an engine of its own (`first in its engine`) the compiler and the thunks are made, too.

mod setup;

use crescendo::{Caller, Engine, Linker, Module, Store, TieringReport};
use criterion::{BenchmarkId, Criterion, SamplingMode};
use setup::Tier;
use std::fmt::Write;
use std::time::{Duration, Instant};

/// Bytes of function bodies, about. Over 16 KiB baseline code comes first, from a thread of low priority.
const SIZES: [(&str, usize); 4] =
    [("100 B", 100), ("1 KB", 1 << 10), ("10 KB", 10 << 10), ("20 KB", 20 << 10)];

/// The default thresholds of [`crescendo::Tiering`].
const CALLS: i32 = 500;
const ITERATIONS: i32 = 10_000;

/// After how many iterations a loop calls the host.
const ITERATIONS_A_LOOK: i32 = 64;

/// What is given up on: nothing takes so long.
const TOO_LONG: Duration = Duration::from_secs(60);

/// When a function was called first, hot, and run by native code.
#[derive(Clone, Copy)]
struct Moments {
    first: Instant,
    hot: Instant,
    native: Instant,
}

/// Where a measurement begins.
#[derive(Clone, Copy)]
enum From {
    FirstCall,
    Hot,
}

impl Moments {
    fn latency(self, from: From) -> Duration {
        self.native - if matches!(from, From::FirstCall) { self.first } else { self.hot }
    }
}

/// A module with the exports `call`, a function, and `loop`, which calls `look` of the host until that does not answer 0.
fn generate(size: usize) -> Vec<u8> {
    let mut body = String::new();
    // Each of these takes 28 to 30 bytes.
    for number in 0..size / 29 {
        let _ = write!(
            body,
            "(if (i32.lt_s (local.get $sum) (i32.const {})) (then
                (local.set $sum (i32.xor (i32.mul (local.get $sum) (i32.const {})) (local.get $n))))
             (else (local.set $sum (i32.shr_u (local.get $sum) (i32.const {})))))",
            1000 + number,
            77_777 + number,
            number % 31
        );
    }
    let body = format!("(if (local.get $rest) (then {body}))");
    setup::binary(&format!(
        "(module
            (import \"host\" \"look\" (func $look (param i32) (result i32)))
            (func (export \"call\") (param $n i32) (param $rest i32) (result i32)
                (local $sum i32)
                {body}
                (i32.add (local.get $sum) (local.get $n)))
            (func (export \"loop\") (param $rest i32) (result i32)
                (local $n i32) (local $sum i32)
                (loop $next
                    {body}
                    (local.set $n (i32.add (local.get $n) (i32.const 1)))
                    (br_if $next (i32.and (local.get $n) (i32.const {})))
                    (br_if $next (i32.eqz (call $look (local.get $n)))))
                (local.get $n)))",
        ITERATIONS_A_LOOK - 1
    ))
}

/// What the host keeps while a loop runs.
struct Watch {
    module: Module,
    hot: Option<Instant>,
    native: Option<Instant>,
}

/// Whether a call of the only function that was called enters native code.
fn calls_are_native(report: &TieringReport) -> bool {
    let [function] = report.functions.as_slice() else { return false };
    ["baseline", "compiled"].contains(&function.state.as_str())
}

/// Whether a frame was taken over.
fn frame_is_native(report: &TieringReport) -> bool {
    report.functions.iter().flat_map(|function| &function.loops).any(|entry| entry.entries > 0)
}

/// The function of the host that the loop calls: looks at the module, from the moment on when the loop is hot.
fn look(mut caller: Caller<'_, Option<Watch>>, iterations: i32) -> i32 {
    if iterations <= ITERATIONS {
        return 0;
    }
    let watch = caller.data_mut().as_mut().expect("a loop runs");
    let hot = *watch.hot.get_or_insert_with(Instant::now);
    if !frame_is_native(&watch.module.tiering_report()) {
        assert!(hot.elapsed() < TOO_LONG, "{}", watch.module.tiering_report());
        return 0;
    }
    watch.native = Some(Instant::now());
    1
}

/// Calls a function of a fresh module until native code runs.
fn calls(engine: &Engine, wasm: &[u8]) -> Moments {
    let (module, mut store, instance) = fresh(engine, wasm);
    let call = instance.get_typed_func::<(i32, i32), i32>(&store, "call").expect("it is exported");
    let mut count = 0;
    let mut call = || {
        count += 1;
        assert_eq!(call.call(&mut store, (count, 0)).expect("it returns"), count);
    };
    let first = Instant::now();
    (1..CALLS).for_each(|_| call());
    // The next call is the one that asks for the compiler.
    let hot = Instant::now();
    loop {
        call();
        let report = module.tiering_report();
        if calls_are_native(&report) {
            break;
        }
        assert!(hot.elapsed() < TOO_LONG, "{report}");
    }
    call();
    let native = Instant::now();
    setup::settle(&module);
    Moments { first, hot, native }
}

/// Runs a loop of a fresh module until native code has taken over.
fn frame(engine: &Engine, wasm: &[u8]) -> Moments {
    let (module, mut store, instance) = fresh(engine, wasm);
    let run = instance.get_typed_func::<i32, i32>(&store, "loop").expect("it is exported");
    *store.data_mut() = Some(Watch { module: module.clone(), hot: None, native: None });
    let first = Instant::now();
    let iterations = run.call(&mut store, 0).expect("it returns");
    assert_eq!(iterations % ITERATIONS_A_LOOK, 0);
    setup::settle(&module);
    let watch = store.into_data().expect("it was set");
    Moments {
        first,
        hot: watch.hot.expect("the loop was hot"),
        native: watch.native.expect("it was taken over"),
    }
}

fn fresh(engine: &Engine, wasm: &[u8]) -> (Module, Store<Option<Watch>>, crescendo::Instance) {
    let module = Module::new(engine, wasm).expect("a valid module");
    let mut store = Store::new(engine, None);
    let mut linker = Linker::new(engine);
    linker.func_wrap("host", "look", look).expect("a new name");
    let instance = linker.instantiate(&mut store, &module).expect("its import is there");
    (module, store, instance)
}

fn tier_up(criterion: &mut Criterion) {
    let Some(engine) = Tier::Dynamic.engine() else {
        eprintln!("nothing is compiled on this machine");
        return;
    };
    type Measure = fn(&Engine, &[u8]) -> Moments;
    let ways: [(&str, Measure); 2] = [("calls", calls), ("loop", frame)];
    for (way, measure) in ways {
        for (start, from) in [("first call", From::FirstCall), ("hot", From::Hot)] {
            let mut group = criterion.benchmark_group(format!("tier_up/{way} from {start}"));
            // Iterations take up to a tenth of a second, and none depends on how many came before.
            group.sampling_mode(SamplingMode::Flat).sample_size(15);
            for (name, size) in SIZES {
                let wasm = generate(size);
                group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
                    bencher.iter_custom(|modules| {
                        (0..modules).map(|_| measure(&engine, &wasm).latency(from)).sum()
                    });
                });
            }
            let wasm = generate(SIZES[0].1);
            group.bench_function("100 B, first in its engine", |bencher| {
                bencher.iter_custom(|modules| {
                    let engines = (0..modules).filter_map(|_| Tier::Dynamic.engine());
                    engines.map(|engine| measure(&engine, &wasm).latency(from)).sum()
                });
            });
            group.finish();
        }
    }
}

fn main() {
    let mut criterion = setup::criterion();
    tier_up(&mut criterion);
    criterion.final_summary();
}
