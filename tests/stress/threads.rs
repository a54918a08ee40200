//! Lock-free code in guests, eight threads on one shared memory, functions and loops moving to native code at random moments.
//!
//! A bounded queue of many producers and consumers, which block by wait and notify, and work-stealing deques. Values may
//! neither get lost nor come twice nor overtake each other. Runs for two seconds, or as long as `CRESCENDO_STRESS_SECONDS`
//! says; a lost wakeup is a trap after ten seconds of waiting.

use crescendo::{
    Baseline, Config, Engine, Instance, MemoryType, Module, SharedMemory, Store, Tiering, TieringMode,
};
use std::sync::{Barrier, OnceLock};
use std::thread;
use std::time::Instant;

/// The queue of Dmitry Vyukov: a cell is free or full by its sequence number. 0 where the next value goes, 64 where it comes
/// from, 192 and 256 how often one was taken and put, 320 how many were taken in all, 1024 the cells.
const QUEUE: &str = r#"
    (module
        (import "host" "memory" (memory 1 1 shared))
        (func (export "init") (local $i i32)
            (loop $l
                (i32.atomic.store (call $cell (local.get $i)) (local.get $i))
                (br_if $l (i32.lt_u
                    (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 64)))))
        (func $cell (param $pos i32) (result i32)
            (i32.add (i32.const 1024) (i32.shl (i32.and (local.get $pos) (i32.const 63)) (i32.const 3))))
        (func $push (param $value i32) (result i32) (local $pos i32) (local $cell i32) (local $ahead i32)
            (loop $again
                (local.set $pos (i32.atomic.load (i32.const 0)))
                (local.set $cell (call $cell (local.get $pos)))
                (local.set $ahead (i32.sub (i32.atomic.load (local.get $cell)) (local.get $pos)))
                (if (i32.lt_s (local.get $ahead) (i32.const 0)) (then (return (i32.const 0))))
                (br_if $again (local.get $ahead))
                (br_if $again (i32.ne (local.get $pos) (i32.atomic.rmw.cmpxchg
                    (i32.const 0) (local.get $pos) (i32.add (local.get $pos) (i32.const 1))))))
            (i32.store offset=4 (local.get $cell) (local.get $value))
            (i32.atomic.store (local.get $cell) (i32.add (local.get $pos) (i32.const 1)))
            (i32.const 1))
        (func $pop (result i32) (local $pos i32) (local $cell i32) (local $ahead i32) (local $value i32)
            (loop $again
                (local.set $pos (i32.atomic.load (i32.const 64)))
                (local.set $cell (call $cell (local.get $pos)))
                (local.set $ahead (i32.sub
                    (i32.atomic.load (local.get $cell)) (i32.add (local.get $pos) (i32.const 1))))
                (if (i32.lt_s (local.get $ahead) (i32.const 0)) (then (return (i32.const -1))))
                (br_if $again (local.get $ahead))
                (br_if $again (i32.ne (local.get $pos) (i32.atomic.rmw.cmpxchg
                    (i32.const 64) (local.get $pos) (i32.add (local.get $pos) (i32.const 1))))))
            (local.set $value (i32.load offset=4 (local.get $cell)))
            (i32.atomic.store (local.get $cell) (i32.add (local.get $pos) (i32.const 64)))
            (local.get $value))
        (func $wait (param $place i32) (param $seen i32)
            (if (i32.eq (i32.const 2) (memory.atomic.wait32
                    (local.get $place) (local.get $seen) (i64.const 10_000_000_000)))
                (then (unreachable))))
        (func $wake (param $place i32)
            (drop (i32.atomic.rmw.add (local.get $place) (i32.const 1)))
            (drop (memory.atomic.notify (local.get $place) (i32.const 1))))
        (func (export "produce") (param $id i32) (param $count i32) (result i64)
            (local $i i32) (local $seen i32) (local $value i32) (local $sum i64)
            (loop $next
                (local.set $value (i32.or (i32.shl (local.get $id) (i32.const 24)) (local.get $i)))
                (loop $full
                    (local.set $seen (i32.atomic.load (i32.const 192)))
                    (if (i32.eqz (call $push (local.get $value)))
                        (then (call $wait (i32.const 192) (local.get $seen)) (br $full))))
                (call $wake (i32.const 256))
                (local.set $sum (i64.add (local.get $sum) (i64.extend_i32_u (local.get $value))))
                (br_if $next (i32.lt_u
                    (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $count))))
            (local.get $sum))
        ;; What came last from each producer is kept from $own on.
        (func (export "consume") (param $own i32) (param $total i32) (result i64)
            (local $seen i32) (local $value i32) (local $last i32) (local $sum i64)
            (loop $next
                (local.set $seen (i32.atomic.load (i32.const 256)))
                (if (i32.eq (i32.const -1) (local.tee $value (call $pop)))
                    (then
                        (if (i32.ge_u (i32.atomic.load (i32.const 320)) (local.get $total))
                            (then (return (local.get $sum))))
                        (call $wait (i32.const 256) (local.get $seen))
                        (br $next)))
                (call $wake (i32.const 192))
                (local.set $sum (i64.add (local.get $sum) (i64.extend_i32_u (local.get $value))))
                (local.set $last (i32.add
                    (local.get $own) (i32.shl (i32.shr_u (local.get $value) (i32.const 24)) (i32.const 2))))
                (if (i32.le_u
                        (i32.add (i32.and (local.get $value) (i32.const 0xffffff)) (i32.const 1))
                        (i32.load (local.get $last)))
                    (then (unreachable)))
                (i32.store (local.get $last)
                    (i32.add (i32.and (local.get $value) (i32.const 0xffffff)) (i32.const 1)))
                (if (i32.eq (local.get $total)
                        (i32.add (i32.atomic.rmw.add (i32.const 320) (i32.const 1)) (i32.const 1)))
                    (then
                        (drop (i32.atomic.rmw.add (i32.const 256) (i32.const 1)))
                        (drop (memory.atomic.notify (i32.const 256) (i32.const -1)))))
                (br $next))
            (unreachable)))
"#;

/// Deques of Chase and Lev: thread $t's at 4096 * (t + 1): top, at 64 bottom, at 128 its tasks. A task is a depth, and makes
/// two of the depth below; 0 counts how many of depth 0 there were.
const STEALING: &str = r#"
    (module
        (import "host" "memory" (memory 1 1 shared))
        (func $deque (param $t i32) (result i32)
            (i32.shl (i32.add (local.get $t) (i32.const 1)) (i32.const 12)))
        (func $place (param $d i32) (param $at i32) (result i32)
            (i32.add (local.get $d) (i32.shl (i32.and (local.get $at) (i32.const 255)) (i32.const 2))))
        (func $push (param $d i32) (param $task i32) (local $b i32)
            (local.set $b (i32.atomic.load offset=64 (local.get $d)))
            (i32.atomic.store offset=128 (call $place (local.get $d) (local.get $b)) (local.get $task))
            (i32.atomic.store offset=64 (local.get $d) (i32.add (local.get $b) (i32.const 1))))
        (func $take (param $d i32) (result i32) (local $b i32) (local $top i32) (local $task i32)
            (local.set $b (i32.sub (i32.atomic.load offset=64 (local.get $d)) (i32.const 1)))
            (i32.atomic.store offset=64 (local.get $d) (local.get $b))
            (local.set $top (i32.atomic.load (local.get $d)))
            (local.set $task (i32.const -1))
            (if (i32.le_s (local.get $top) (local.get $b))
                (then
                    (local.set $task (i32.atomic.load offset=128 (call $place (local.get $d) (local.get $b))))
                    (if (i32.lt_s (local.get $top) (local.get $b)) (then (return (local.get $task))))
                    ;; The last one: thieves may be faster.
                    (if (i32.ne (local.get $top) (i32.atomic.rmw.cmpxchg (local.get $d)
                            (local.get $top) (i32.add (local.get $top) (i32.const 1))))
                        (then (local.set $task (i32.const -1))))))
            (i32.atomic.store offset=64 (local.get $d) (i32.add (local.get $b) (i32.const 1)))
            (local.get $task))
        (func $steal (param $d i32) (result i32) (local $top i32) (local $task i32)
            (local.set $top (i32.atomic.load (local.get $d)))
            (atomic.fence)
            (if (i32.ge_s (local.get $top) (i32.atomic.load offset=64 (local.get $d)))
                (then (return (i32.const -1))))
            (local.set $task (i32.atomic.load offset=128 (call $place (local.get $d) (local.get $top))))
            (select (local.get $task) (i32.const -1)
                (i32.eq (local.get $top) (i32.atomic.rmw.cmpxchg (local.get $d)
                    (local.get $top) (i32.add (local.get $top) (i32.const 1))))))
        (func (export "work") (param $t i32) (param $depth i32) (result i64)
            (local $task i32) (local $done i64) (local $random i32) (local $all i64)
            (local.set $all (i64.shl (i64.const 1) (i64.extend_i32_u (local.get $depth))))
            (local.set $random (i32.mul (i32.add (local.get $t) (i32.const 1)) (i32.const 0x9e3779b9)))
            (local.set $task (select (local.get $depth) (i32.const -1) (i32.eqz (local.get $t))))
            (loop $next
                (if (i32.eq (local.get $task) (i32.const -1))
                    (then
                        (local.set $task (call $take (call $deque (local.get $t))))
                        (if (i32.eq (local.get $task) (i32.const -1))
                            (then
                                (if (i64.eq (i64.atomic.load (i32.const 0)) (local.get $all))
                                    (then (return (local.get $done))))
                                (local.set $random (i32.add
                                    (i32.mul (local.get $random) (i32.const 1664525)) (i32.const 1013904223)))
                                (local.set $task (call $steal (call $deque
                                    (i32.shr_u (local.get $random) (i32.const 29)))))
                                (br $next)))))
                (loop $split
                    (if (local.get $task)
                        (then
                            (local.set $task (i32.sub (local.get $task) (i32.const 1)))
                            (call $push (call $deque (local.get $t)) (local.get $task))
                            (br $split))))
                (drop (i64.atomic.rmw.add (i32.const 0) (i64.const 1)))
                (local.set $done (i64.add (local.get $done) (i64.const 1)))
                (local.set $task (i32.const -1))
                (br $next))
            (unreachable)))
"#;

const THREADS: i32 = 8;

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// A configuration under which code becomes hot at another moment each time.
fn config(random: &mut Random) -> Config {
    let (calls, iterations) = (1 + random.below(60) as u32, 1 + random.below(2000) as u32);
    let mode = match random.below(8) {
        0 => TieringMode::InterpreterOnly,
        1 => TieringMode::Eager,
        2 | 3 => TieringMode::Synchronous,
        _ => TieringMode::Dynamic,
    };
    let skipped = random.below(12) as u32;
    let tiering = Tiering::new(mode).calls(calls).iterations(iterations).mask(move |func| func != skipped);
    let baseline = [Baseline::Never, Baseline::WhenBusy, Baseline::Always][random.below(3) as usize];
    let inlined = [0, 160, 1 << 16][random.below(3) as usize];
    let tiering = tiering.baseline(baseline).max_inlined_bytes(inlined);
    let mut config = Config::new();
    config.tiering(tiering).fusion(random.below(4) != 0).signals_based_traps(random.below(4) != 0);
    config
}

/// Calls a function on each of eight threads at once and gives the results.
fn on_all_threads(
    memory: &SharedMemory,
    module: &Module,
    call: impl Fn(i32) -> (&'static str, i32, i32) + Sync,
) -> Vec<i64> {
    let barrier = Barrier::new(THREADS as usize);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|number| {
                let (call, barrier) = (&call, &barrier);
                scope.spawn(move || {
                    let mut store = Store::new(module.engine(), ());
                    let instance = Instance::new(&mut store, module, &[memory.clone().into()]).unwrap();
                    let (name, first, second) = call(number);
                    let func = instance.get_typed_func::<(i32, i32), i64>(&store, name).unwrap();
                    barrier.wait();
                    func.call(&mut store, (first, second)).unwrap_or_else(|error| panic!("{name}: {error}"))
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("the thread did its work")).collect()
    })
}

fn binary(text: &'static str, cell: &'static OnceLock<Vec<u8>>) -> &'static [u8] {
    cell.get_or_init(|| wat::parse_str(text).expect("it is text"))
}

fn queue(random: &mut Random) {
    static BINARY: OnceLock<Vec<u8>> = OnceLock::new();
    let config = config(random);
    let engine = Engine::new(&config).unwrap();
    let module = Module::new(&engine, binary(QUEUE, &BINARY)).unwrap();
    let memory = SharedMemory::new(&engine, MemoryType::shared(1, 1)).unwrap();
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[memory.clone().into()]).unwrap();
    instance.get_typed_func::<(), ()>(&store, "init").unwrap().call(&mut store, ()).unwrap();
    let count = 1 + random.below(3000) as i32;
    let producers = 1 + random.below(7) as i32;
    let sums = on_all_threads(&memory, &module, |thread| match thread < producers {
        true => ("produce", thread, count),
        false => ("consume", 4096 + 64 * thread, count * producers),
    });
    let (produced, consumed) = sums.split_at(producers as usize);
    assert_eq!(produced.iter().sum::<i64>(), consumed.iter().sum::<i64>(), "{config:?}");
}

fn stealing(random: &mut Random) {
    static BINARY: OnceLock<Vec<u8>> = OnceLock::new();
    let config = config(random);
    let engine = Engine::new(&config).unwrap();
    let module = Module::new(&engine, binary(STEALING, &BINARY)).unwrap();
    let memory = SharedMemory::new(&engine, MemoryType::shared(1, 1)).unwrap();
    let depth = 6 + random.below(9) as i32;
    let done = on_all_threads(&memory, &module, |thread| ("work", thread, depth));
    assert_eq!(done.iter().sum::<i64>(), 1 << depth, "{config:?}");
}

fn rounds(seed: u64, round: fn(&mut Random)) {
    let seconds: f64 =
        std::env::var("CRESCENDO_STRESS_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(2.0);
    let mut random = Random(seed);
    let start = Instant::now();
    while start.elapsed().as_secs_f64() < seconds / 2.0 {
        round(&mut random);
    }
}

#[test]
fn a_queue_neither_loses_nor_doubles_nor_reorders() {
    rounds(0x1234_5678_9abc_def1, queue);
}

#[test]
fn stolen_work_is_done_once() {
    rounds(0xfedc_ba98_7654_3211, stealing);
}
