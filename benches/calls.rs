//! What a call costs, in nanoseconds: `cargo bench --bench calls`.
//!
//! One iteration is one call of a function that adds its two parameters. Calls by a guest are made in a loop of the guest,
//! whose own cost stands beside them as `no call`; those by the host in a loop of the host. Each stands under who calls: the
//! host, or a loop in the interpreter or in native code. Callees are native or interpreted functions of the same instance or
//! of another one, and the host's. The sum that a loop gives is checked.

mod setup;

use crescendo::{Config, Engine, FuncType, Instance, Linker, Module, Store, TypedFunc, Val, ValType};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion};
use setup::Tier;
use std::fmt::Write;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Functions that guests import; callees have the next indices, here and in the module of the other instance.
const IMPORTS: u32 = 3;

/// Callees that are all the same, for calls with many targets.
const CALLEES: u32 = 8;

/// Most calls that one call of a loop makes.
const MOST_CALLS: u64 = 1 << 20;

/// The name of a loop, and an expression of `$sum` and `$n` that stands for their sum.
const LOOPS: [(&str, &str); 8] = [
    ("no call", "(i32.add (local.get $sum) (local.get $n))"),
    ("direct", "(call $callee0 (local.get $sum) (local.get $n))"),
    ("indirect", "(call_indirect (type $add) (local.get $sum) (local.get $n) (i32.const 0))"),
    (
        "indirect, 8 targets",
        "(call_indirect (type $add) (local.get $sum) (local.get $n) (i32.and (local.get $n) (i32.const 7)))",
    ),
    ("by reference", "(call_ref $add (local.get $sum) (local.get $n) (global.get $reference))"),
    ("other instance", "(call $other (local.get $sum) (local.get $n))"),
    ("host, func_wrap", "(call $wrapped (local.get $sum) (local.get $n))"),
    ("host, func_new", "(call $untyped (local.get $sum) (local.get $n))"),
];

/// The callees, `callee0` to `callee7`.
fn callees() -> String {
    (0..CALLEES).fold(String::new(), |mut text, number| {
        let _ = write!(
            text,
            "(func $callee{number} (export \"callee{number}\") (param i32 i32) (result i32)
                (i32.add (local.get 0) (local.get 1)))"
        );
        text
    })
}

/// A module with callees, and with all loops as exports.
fn caller() -> String {
    let names = (0..CALLEES).fold(String::new(), |names, number| format!("{names} $callee{number}"));
    let loops = LOOPS.iter().fold(String::new(), |mut text, (name, expression)| {
        let _ = write!(
            text,
            "(func (export \"{name}\") (param $n i32) (result i32)
                (local $sum i32)
                (loop $next
                    (local.set $sum {expression})
                    (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
                (local.get $sum))"
        );
        text
    });
    format!(
        "(module
            (type $add (func (param i32 i32) (result i32)))
            (import \"host\" \"wrapped\" (func $wrapped (type $add)))
            (import \"host\" \"untyped\" (func $untyped (type $add)))
            (import \"other\" \"callee0\" (func $other (type $add)))
            (table funcref (elem {names}))
            (global $reference (mut (ref null $add)) (ref.func $callee0))
            {} {loops})",
        callees()
    )
}

/// Whether a function is a callee, by its index in either module.
fn is_callee(func: u32) -> bool {
    (IMPORTS..IMPORTS + CALLEES).contains(&func)
}

/// Instances of both modules.
struct Guests {
    store: Store<()>,
    caller: Instance,
}

impl Guests {
    fn new(engine: &Engine) -> Guests {
        let module = |text: &str| Module::new(engine, setup::binary(text)).expect("a valid module");
        let other = module(&format!("(module {} {})", "(func)".repeat(IMPORTS as usize), callees()));
        let mut store = Store::new(engine, ());
        let mut linker = Linker::new(engine);
        let instance = linker.instantiate(&mut store, &other).expect("it imports nothing");
        linker.instance(&mut store, "other", instance).expect("new names");
        linker.func_wrap("host", "wrapped", i32::wrapping_add).expect("a new name");
        let ty = FuncType::new([ValType::I32, ValType::I32], [ValType::I32]);
        let add = |_: crescendo::Caller<'_, ()>, params: &[Val], results: &mut [Val]| {
            results[0] = Val::I32(params[0].unwrap_i32().wrapping_add(params[1].unwrap_i32()));
            Ok(())
        };
        linker.func_new("host", "untyped", ty, add).expect("a new name");
        let caller = linker.instantiate(&mut store, &module(&caller())).expect("all imports are there");
        Guests { store, caller }
    }

    /// Checks where loops and callees run. Functions that nobody has called yet are in no report of an interpreter.
    fn assert_native(&self, loops: bool, callees: bool) {
        let report = self.caller.module(&self.store).tiering_report();
        for function in &report.functions {
            let expected = if is_callee(function.func_index) { callees } else { loops };
            assert_eq!(function.state == "compiled", expected, "{report}");
        }
        assert_eq!(!report.functions.is_empty(), loops || callees, "{report}");
    }

    fn typed<P: crescendo::WasmParams, R: crescendo::WasmResults>(&self, name: &str) -> TypedFunc<P, R> {
        self.caller.get_typed_func(&self.store, name).expect("an export of this type")
    }

    /// The time of so many calls by a loop of the guest.
    fn time_loop(&mut self, run: TypedFunc<i32, i32>, calls: u64) -> Duration {
        let mut spent = Duration::ZERO;
        let mut left = calls;
        while left > 0 {
            let now = left.min(MOST_CALLS);
            left -= now;
            let started = Instant::now();
            let sum = run.call(&mut self.store, black_box(now as i32)).expect("it returns");
            spent += started.elapsed();
            assert_eq!(sum, (now * (now + 1) / 2) as i32);
        }
        spent
    }

    /// The time of so many calls by the host through a [`TypedFunc`].
    fn time_typed(&mut self, calls: u64) -> Duration {
        let callee = self.typed::<(i32, i32), i32>("callee0");
        let started = Instant::now();
        let mut sum = 0;
        for _ in 0..calls {
            sum = callee.call(&mut self.store, black_box((sum, 1))).expect("it returns");
        }
        let spent = started.elapsed();
        assert_eq!(sum, calls as i32);
        spent
    }

    /// The time of so many calls by the host through [`crescendo::Func::call`].
    fn time_untyped(&mut self, calls: u64) -> Duration {
        let callee = self.caller.get_func(&self.store, "callee0").expect("it is exported");
        let started = Instant::now();
        let mut sum = [Val::I32(0)];
        for _ in 0..calls {
            let params = black_box([Val::I32(sum[0].unwrap_i32()), Val::I32(1)]);
            callee.call(&mut self.store, &params, &mut sum).expect("it returns");
        }
        let spent = started.elapsed();
        assert_eq!(sum[0].unwrap_i32(), calls as i32);
        spent
    }
}

/// An engine whose loops and callees are native or interpreted; `None` without a compiler for this machine.
fn engine(native_loops: bool, native_callees: bool) -> Option<Engine> {
    if !native_loops && !native_callees {
        return Tier::Interpreter.engine();
    }
    let mask = move |func| if is_callee(func) { native_callees } else { native_loops };
    let engine = setup::engine(Config::new().tiering(Tier::Native.settings().mask(mask)));
    engine.compiles().then_some(engine)
}

fn guest_loops(
    group: &mut BenchmarkGroup<'_, WallTime>,
    guests: &mut Guests,
    suffix: &str,
    wanted: fn(&str) -> bool,
) {
    for (name, _) in LOOPS.iter().filter(|(name, _)| wanted(name)) {
        let run = guests.typed(name);
        group.bench_function(format!("{name}{suffix}"), |bencher| {
            bencher.iter_custom(|calls| guests.time_loop(run, calls));
        });
    }
}

/// Whether a loop calls a function of a guest.
fn has_guest_callee(name: &str) -> bool {
    name != "no call" && !name.starts_with("host")
}

fn calls(criterion: &mut Criterion) {
    for native in [false, true] {
        let Some(engine) = engine(native, native) else { continue };
        let mut guests = Guests::new(&engine);
        guests.assert_native(native, native);
        let name = if native { Tier::Native.name() } else { Tier::Interpreter.name() };
        let mut group = criterion.benchmark_group(format!("calls/{name}"));
        guest_loops(&mut group, &mut guests, "", |_| true);
        group.finish();
        let mut group = criterion.benchmark_group("calls/host");
        group.bench_function(format!("TypedFunc::call, {name}"), |bencher| {
            bencher.iter_custom(|calls| guests.time_typed(calls));
        });
        group.bench_function(format!("Func::call, {name}"), |bencher| {
            bencher.iter_custom(|calls| guests.time_untyped(calls));
        });
        group.finish();
    }
    for native in [false, true] {
        let Some(engine) = engine(native, !native) else { continue };
        let mut guests = Guests::new(&engine);
        guests.assert_native(native, !native);
        let (name, callee) = if native { ("native", "interpreted") } else { ("interpreter", "native") };
        let mut group = criterion.benchmark_group(format!("calls/{name}"));
        guest_loops(&mut group, &mut guests, &format!(", {callee} callee"), has_guest_callee);
        group.finish();
    }
}

fn main() {
    let mut criterion = setup::criterion();
    calls(&mut criterion);
    criterion.final_summary();
}
