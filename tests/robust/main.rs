//! Nothing that comes in makes the process panic, abort or hang, and what a module does is the same in every mode and in
//! another engine.
//!
//! Seeds are fixed, so a run always does the same. The number of cases is meant for every run of the tests;
//! `CRESCENDO_FUZZ_ITERATIONS=100000` runs that many of each kind.

#[path = "../fuzz/differential/mod.rs"]
mod differential;
mod extremes;
mod mutations;
mod programs;
mod vectors;

/// How many cases of a kind to run.
fn iterations(default: u64) -> u64 {
    let set = std::env::var("CRESCENDO_FUZZ_ITERATIONS").ok();
    set.and_then(|count| count.parse().ok()).unwrap_or(default)
}

/// Runs the cases on all processors. A case that panics is named.
fn in_parallel(cases: u64, case: impl Fn(u64) + Sync) {
    let next = std::sync::atomic::AtomicU64::new(0);
    let workers = std::thread::available_parallelism().map_or(2, |count| count.get());
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if at >= cases {
                        break;
                    }
                    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| case(at)));
                    if let Err(panic) = outcome {
                        eprintln!("in case {at}:");
                        std::panic::resume_unwind(panic);
                    }
                }
            });
        }
    });
}
