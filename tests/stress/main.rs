//! Threads × instances of shared modules × compiling at any moment × traps × deadlines × drops × a code budget that is too small.
//!
//! Every result is checked; at the end everything is dropped, and the memory has to come back. Runs for two seconds, or as
//! long as `CRESCENDO_STRESS_SECONDS` says.
//!
//! Under AddressSanitizer, with a nightly toolchain:
//!
//! ```text
//! ASAN_OPTIONS=quarantine_size_mb=16:max_free_fill_size=1048576 RUSTFLAGS=-Zsanitizer=address CRESCENDO_STRESS_SECONDS=180 \
//!     cargo +nightly test -p crescendo --test stress --target x86_64-unknown-linux-gnu
//! ```
//!
//! What lies in the quarantine counts as memory that has not come back: the default of 256 MiB is over the limit. Generated
//! code is not instrumented; that freed memory is overwritten makes its uses show.

use crescendo::{Baseline, Config, Engine, Error, Instance, Module, Store, Tiering, TieringMode, TrapCode};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Functions whose results are known, each reached in other ways. `$salt` makes modules differ.
const TEXT: &str = r#"
    (module
        (type $f (func (param i32) (result i32)))
        (memory (export "memory") 1 4)
        (table 4 funcref)
        (elem (i32.const 0) $sum $fib $double)
        (global $salt i32 (i32.const SALT))
        (func $sum (export "sum") (type $f) (local $i i32) (local $s i32)
            (loop $l
                (i32.store (i32.and (i32.shl (local.get $i) (i32.const 2)) (i32.const 0xfffc)) (local.get $i))
                (local.set $s (i32.add (local.get $s)
                    (i32.load (i32.and (i32.shl (local.get $i) (i32.const 2)) (i32.const 0xfffc)))))
                (br_if $l (i32.lt_u
                    (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get 0))))
            (i32.add (local.get $s) (global.get $salt)))
        (func $fib (export "fib") (type $f)
            (if (i32.lt_u (local.get 0) (i32.const 2)) (then (return (local.get 0))))
            (i32.add
                (call $fib (i32.sub (local.get 0) (i32.const 1)))
                (call_indirect (type $f) (i32.sub (local.get 0) (i32.const 2)) (i32.const 1))))
        (func $double (export "double") (type $f)
            (return_call $add (local.get 0) (local.get 0)))
        (func $add (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
        (func (export "indirect") (type $f)
            (call_indirect (type $f) (local.get 0) (i32.and (local.get 0) (i32.const 3))))
        (func (export "divide") (type $f) (i32.div_u (i32.const 100) (local.get 0)))
        (func (export "far") (type $f) (i32.load (i32.add (local.get 0) (i32.const 0x7fff0000))))
        (func $deep (export "deep") (type $f) (i32.add (i32.const 1) (call $deep (local.get 0))))
        (func (export "forever") (type $f) (loop $l (br $l)) (unreachable))
        (func (export "grow") (type $f) (memory.grow (local.get 0))))
"#;

fn fib(n: i32) -> i32 {
    let (mut a, mut b) = (0, 1);
    for _ in 0..n {
        (a, b) = (b, a + b);
    }
    a
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

struct Shared {
    engine: Engine,
    bytes: Vec<(i32, Vec<u8>)>,
    /// Modules that threads take instances of, and exchange for new ones.
    modules: Mutex<Vec<(i32, Module)>>,
    stop: AtomicBool,
    calls: AtomicU64,
}

impl Shared {
    fn new(tiering: Tiering) -> Shared {
        let mut config = Config::new();
        config.tiering(tiering).epoch_interruption(true).max_wasm_stack(256 << 10);
        let engine = Engine::new(&config).expect("the configuration is valid");
        let bytes: Vec<(i32, Vec<u8>)> = (0..6)
            .map(|salt| (salt, wat::parse_str(TEXT.replace("SALT", &salt.to_string())).expect("it is text")))
            .collect();
        let modules = bytes
            .iter()
            .map(|(salt, bytes)| (*salt, Module::new(&engine, bytes).expect("it is valid")))
            .collect();
        Shared {
            engine,
            bytes,
            modules: Mutex::new(modules),
            stop: AtomicBool::new(false),
            calls: AtomicU64::new(0),
        }
    }

    fn module(&self, random: &mut Random) -> (i32, Module) {
        let mut modules = self.modules.lock().expect("no thread failed");
        let at = random.below(modules.len() as u64) as usize;
        if random.below(16) == 0 {
            // The old one goes with its last instance, its code with it.
            let (salt, bytes) = &self.bytes[at];
            modules[at] = (*salt, Module::new(&self.engine, bytes).expect("it is valid"));
        }
        modules[at].clone()
    }

    fn work(&self, seed: u64) {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        while !self.stop.load(Ordering::Relaxed) {
            let mut store = Store::new(&self.engine, ());
            let instances: Vec<(i32, Instance)> = (0..1 + random.below(3))
                .map(|_| {
                    let (salt, module) = self.module(&mut random);
                    (salt, Instance::new(&mut store, &module, &[]).expect("it has no imports"))
                })
                .collect();
            for _ in 0..random.below(60) {
                let (salt, instance) = instances[random.below(instances.len() as u64) as usize];
                self.call(&mut store, instance, salt, &mut random);
                self.calls.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn call(&self, store: &mut Store<()>, instance: Instance, salt: i32, random: &mut Random) {
        let mut call = |name: &str, argument: i32, ticks: u64| -> Result<i32, TrapCode> {
            store.set_epoch_deadline(ticks);
            let func = instance.get_typed_func::<i32, i32>(&*store, name).expect("an export");
            let code = |error: Error| {
                assert!(!error.backtrace().expect("frames").frames().is_empty(), "{error}");
                error.trap().expect("a trap").code()
            };
            func.call(&mut *store, argument).map_err(code)
        };
        const LONG: u64 = 1 << 40;
        let n = random.below(2000) as i32 + 1;
        match random.below(16) {
            0..4 => assert_eq!(call("sum", n, LONG), Ok(n * (n - 1) / 2 + salt)),
            4..7 => assert_eq!(call("fib", n % 16, LONG), Ok(fib(n % 16))),
            7 | 8 => assert_eq!(call("double", n, LONG), Ok(2 * n)),
            9 => {
                let expected = match n & 3 {
                    0 => Ok(n * (n - 1) / 2 + salt),
                    1 => return,
                    2 => Ok(2 * n),
                    _ => Err(TrapCode::UninitializedElement),
                };
                assert_eq!(call("indirect", n, LONG), expected);
            }
            10 => assert_eq!(
                call("divide", n & 1, LONG),
                [Err(TrapCode::IntegerDivisionByZero), Ok(100)][n as usize & 1]
            ),
            11 => assert_eq!(call("far", n, LONG), Err(TrapCode::MemoryOutOfBounds)),
            12 => assert_eq!(call("deep", n, LONG), Err(TrapCode::StackOverflow)),
            13 => assert_eq!(call("forever", n, 1 + random.below(3)), Err(TrapCode::Interrupt)),
            14 => assert!(matches!(call("grow", 1, LONG), Ok(1..4 | -1))),
            _ => {
                // Interrupted or not: the one or the other.
                let result = call("sum", 100_000, 1);
                assert!(matches!(result, Ok(_) | Err(TrapCode::Interrupt)), "{result:?}");
            }
        }
    }
}

/// Resident bytes of the process.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").expect("Linux has it");
    let pages: usize = status.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a number");
    pages * 4096
}

fn stress(tiering: Tiering, seconds: f64) {
    let shared = Arc::new(Shared::new(tiering));
    let workers: Vec<_> = (0..8)
        .map(|seed| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || shared.work(seed + 1))
        })
        .collect();
    let start = Instant::now();
    let running = || workers.iter().any(|worker| !worker.is_finished());
    // On a busy machine it takes longer until there are enough calls to mean anything. Threads end early only if they fail.
    let enough = || shared.calls.load(Ordering::Relaxed) > 100;
    while start.elapsed().as_secs_f64() < seconds || (!enough() && running()) {
        std::thread::sleep(Duration::from_millis(1));
        shared.engine.increment_epoch();
    }
    shared.stop.store(true, Ordering::Relaxed);
    // Guests that wait for a deadline still need a clock.
    while running() {
        std::thread::sleep(Duration::from_millis(1));
        shared.engine.increment_epoch();
    }
    for worker in workers {
        worker.join().expect("every result was right");
    }
}

#[test]
fn nothing_is_lost_and_nothing_leaks() {
    let seconds: f64 =
        std::env::var("CRESCENDO_STRESS_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(2.0);
    let settings = || {
        let dynamic = || Tiering::new(TieringMode::Dynamic).workers(2);
        [
            dynamic().calls(5).iterations(50),
            dynamic().calls(1).iterations(1).code_budget(2_000).baseline(Baseline::Always),
            dynamic().calls(5).iterations(50).baseline(Baseline::Always),
            dynamic().calls(5).iterations(50).max_inlined_bytes(1 << 16),
            dynamic().calls(50).iterations(500).mask(|func| func % 3 != 1),
            Tiering::new(TieringMode::Synchronous).calls(3).iterations(10).code_budget(3_000),
            Tiering::new(TieringMode::Eager),
        ]
    };
    // The first round fills caches that stay: threads' stacks, the allocator's, the arena's index.
    for tiering in settings() {
        stress(tiering, seconds / 20.0);
    }
    let before = resident();
    for tiering in settings() {
        stress(tiering, seconds / 5.0);
    }
    // Threads that compile end when they have had no work for a while.
    std::thread::sleep(Duration::from_millis(300));
    let after = resident();
    assert!(after < before + (48 << 20), "{} KiB before, {} KiB after", before >> 10, after >> 10);
}
