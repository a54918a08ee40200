//! Damaged and random bytes: an error or a module that runs, in both kinds of validation, and never a panic.

use crate::differential::generator::Random;
use crate::differential::ours::{kinds, to_val};
use crate::differential::{Kind, arguments};
use crate::{in_parallel, iterations};
use crescendo::{
    Config, Engine, ExternType, Linker, Module, Store, StoreLimits, StoreLimitsBuilder, Val, Validation,
};

/// Fuel of a call of a damaged module: enough to get somewhere, not to wait for.
const FUEL: u64 = 100_000;

fn engines() -> [Engine; 3] {
    let engine =
        |config: &mut Config| Engine::new(config.consume_fuel(true)).expect("the configuration is valid");
    [
        engine(&mut Config::new()),
        engine(Config::new().validation(Validation::Lazy)),
        engine(Config::new().validation(Validation::Lazy).signals_based_traps(false).fusion(false)),
    ]
}

/// Loads the bytes and, if they are a module, runs all of its functions that are exported.
fn exercise(engine: &Engine, bytes: &[u8], seed: u64) -> bool {
    let Ok(module) = Module::new(engine, bytes) else { return false };
    // What tools ask for must not panic either.
    let _ = (module.name().map(str::len), module.imports().len(), module.custom_sections().count());
    let limits = StoreLimitsBuilder::new().memory_size(16 << 20).table_elements(100_000).build();
    let mut store = Store::new(engine, limits);
    store.limiter(|limits: &mut StoreLimits| limits);
    let refuel = |store: &mut Store<StoreLimits>| store.set_fuel(FUEL).expect("fuel is on");
    refuel(&mut store);
    let mut linker = Linker::new(engine);
    linker.define_unknown_imports_as_traps(&module).expect("functions can be defined");
    let Ok(instance) = linker.instantiate(&mut store, &module) else { return true };
    let mut random = Random::new(seed);
    let exports: Vec<(String, ExternType)> =
        module.exports().map(|export| (export.name().to_string(), export.ty().clone())).collect();
    for (name, ty) in exports.iter().take(20) {
        let ExternType::Func(ty) = ty else { continue };
        let (Some(kinds), Some(func)) = (kinds(ty.params()), instance.get_func(&store, name)) else {
            continue;
        };
        let params: Vec<Val> = arguments(&kinds, &mut random).iter().map(to_val).collect();
        let mut results = vec![Val::I32(0); ty.results().len()];
        refuel(&mut store);
        if let Err(error) = func.call(&mut store, &params, &mut results) {
            assert!(!matches!(error.kind(), crescendo::ErrorKind::Bug(_)), "{error}");
            let _ = format!("{error:?}");
        }
    }
    true
}

/// Damages the bytes a little, near one place.
fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    let window = random.below(bytes.len());
    for _ in 0..*random.pick(&[1, 1, 1, 2, 3, 8]) {
        if bytes.is_empty() {
            return;
        }
        let at = (window + random.below(32)).min(bytes.len() - 1);
        match random.below(8) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 | 2 => bytes[at] = random.bits() as u8,
            3 => {
                bytes[at] = *random.pick(&[0, 1, 0x7f, 0x80, 0xff, 0x0b, 0x40, 0x20, 0x21, 0x0d, 0x0e, 0x10])
            }
            4 => bytes[at] = bytes[at].wrapping_add(*random.pick(&[1, 0xff])),
            5 => bytes.insert(at, random.bits() as u8),
            6 => {
                bytes.remove(at);
            }
            _ => {
                let end = (at + random.below(16)).min(bytes.len());
                let copy = bytes[at..end].to_vec();
                let to = (at + random.below(16)).min(bytes.len());
                bytes.splice(to..to, copy);
            }
        }
    }
}

/// Runs damaged forms of a module; gives how many were still modules.
fn damage(original: &[u8], cases: u64, salt: u64) -> usize {
    let engines = engines();
    let valid = std::sync::atomic::AtomicUsize::new(0);
    in_parallel(cases, |case| {
        let mut random = Random::new(case ^ salt << 32);
        let mut bytes = original.to_vec();
        if random.chance(10) {
            bytes.truncate(random.below(bytes.len()));
        } else {
            mutate(&mut bytes, &mut random);
        }
        if exercise(&engines[0], &bytes, case) {
            valid.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
        exercise(&engines[case as usize % 2 + 1], &bytes, case);
    });
    valid.into_inner()
}

#[test]
fn damaged_programs_never_panic() {
    for (salt, name, cases) in [(1, "bzip2", 600), (2, "lua", 150)] {
        let path = format!("{}/tests/programs/{name}.wasm", env!("CARGO_MANIFEST_DIR"));
        let original = std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let cases = iterations(cases);
        let valid = damage(&original, cases, salt);
        assert!(valid as u64 * 20 >= cases, "{name}: only {valid} of {cases} were still modules");
    }
}

#[test]
fn damaged_small_modules_never_panic() {
    for (salt, text) in SMALL.iter().enumerate() {
        let original = wat::parse_str(text).expect("the text is well-formed");
        let cases = iterations(1000);
        let valid = damage(&original, cases, 100 + salt as u64);
        assert!(valid as u64 * 50 >= cases, "module {salt}: only {valid} of {cases} were still modules");
    }
}

#[test]
fn random_bytes_never_panic() {
    let engines = engines();
    in_parallel(iterations(5000), |case| {
        let mut random = Random::new(case ^ 0xbeef_0000);
        let mut bytes = b"\0asm\x01\0\0\0".to_vec();
        match random.below(3) {
            // Anything after the header.
            0 => bytes.extend((0..random.below(200)).map(|_| random.bits() as u8)),
            // Sections with random contents.
            1 => {
                for _ in 0..random.between(1, 8) {
                    let len = random.below(40);
                    bytes.extend([random.below(14) as u8, len as u8]);
                    bytes.extend((0..len).map(|_| random.bits() as u8));
                }
            }
            // A function with a random body.
            _ => {
                let len = random.between(1, 100);
                bytes.extend(b"\x01\x06\x01\x60\x01\x7f\x01\x7f\x03\x02\x01\x00\x05\x03\x01\x00\x01\x07\x05\x01\x01f\x00\x00");
                bytes.extend([10, len as u8 + 4, 1, len as u8 + 2, 0]);
                bytes.extend((0..len).map(|_| *random.pick(LIKELY)));
                bytes.push(0x0b);
            }
        }
        for engine in &engines {
            exercise(engine, &bytes, case);
        }
    });
}

#[test]
fn kinds_are_those_of_arguments() {
    assert_eq!(kinds([crescendo::ValType::I32, crescendo::ValType::F64]), Some(vec![Kind::I32, Kind::F64]));
}

/// Bytes that mean something in a body.
const LIKELY: &[u8] = &[
    0, 0, 0, 1, 2, 3, 4, 5, 0x0b, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x10, 0x11, 0x1a, 0x1b, 0x20, 0x20, 0x20,
    0x21, 0x22, 0x23, 0x28, 0x36, 0x3f, 0x40, 0x40, 0x41, 0x41, 0x42, 0x45, 0x6a, 0x6b, 0x7c, 0x7f, 0x7f,
    0xa7, 0xac, 0xd0, 0xd1, 0xfc,
];

/// Modules that have a bit of everything.
const SMALL: &[&str] = &[
    r#"(module $all
        (type $t (func (param i32) (result i32)))
        (import "host" "f" (func $host (param i32 f64) (result i64)))
        (import "host" "g" (func (param externref)))
        (memory (export "memory") 1 3)
        (table $table (export "table") 4 10 funcref)
        (table 2 externref)
        (global $g (export "g") (mut i64) (i64.const 42))
        (global f32 (f32.const 1.5))
        (elem (table $table) (i32.const 1) func $double $loop)
        (elem $passive func $double)
        (elem declare func $host)
        (data (i32.const 16) "some bytes")
        (data $later "later")
        (start $begin)
        (func $begin (i32.store (i32.const 0) (i32.const 7)))
        (func $double (export "double") (type $t) (i32.mul (local.get 0) (i32.const 2)))
        (func $loop (export "loop") (type $t) (local $sum i32)
            (loop $again
                (local.set $sum (i32.add (local.get $sum) (i32.load8_u (local.get 0))))
                (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
            (local.get $sum))
        (func (export "indirect") (param i32) (result i32)
            (call_indirect $table (type $t) (i32.const 5) (local.get 0)))
        (func (export "host") (result i64) (call $host (i32.const 1) (f64.const 2)))
        (func (export "bulk") (param i32)
            (memory.init $later (local.get 0) (i32.const 0) (i32.const 5))
            (memory.copy (i32.const 100) (local.get 0) (i32.const 50))
            (memory.fill (i32.const 200) (i32.const 1) (i32.const 20))
            (table.init $table $passive (i32.const 2) (i32.const 0) (i32.const 1))
            (data.drop $later) (elem.drop $passive)
            (drop (memory.grow (i32.const 1)))
            (drop (table.grow $table (ref.null func) (i32.const 2))))
        (func (export "switch") (param i32) (result i32)
            (block $a (block $b (block $c (br_table $a $b $c (local.get 0))) (return (i32.const 1))) (return (i32.const 2)))
            (i32.const 3)))"#,
    r#"(module
        (type $f (func (param i64 i64) (result i64)))
        (memory i64 1 2) (memory $m 1 1)
        (global $depth (mut i32) (i32.const 0))
        (table funcref (elem $fac))
        (func $fac (export "fac") (type $f)
            (if (result i64) (i64.eqz (local.get 0))
                (then (local.get 1))
                (else (return_call $fac
                    (i64.sub (local.get 0) (i64.const 1))
                    (i64.mul (local.get 0) (local.get 1))))))
        (func (export "ref") (param i64) (result i64)
            (call_ref $f (local.get 0) (i64.const 1) (ref.func $fac)))
        (func (export "null") (param (ref null $f)) (result i32)
            (block $none
                (br_on_null $none (local.get 0)) (drop) (return (i32.const 1)))
            (i32.const 0))
        (func (export "values") (param i32 f32 f64) (result f64 i32)
            (loop (param) (result f64 i32)
                (f64.store (i64.const 8) (local.get 2))
                (f32.store $m (i32.const 8) (local.get 1))
                (f64.add (f64.load (i64.const 8)) (f64.promote_f32 (local.get 1)))
                (i32.trunc_sat_f64_s (f64.load (i64.const 8)))
                (br_if 0 (i32.and (local.tee 0 (i32.shr_u (local.get 0) (i32.const 1))) (i32.const 1)) )))
        (func $deep (export "deep") (param i32) (result i32)
            (if (result i32) (local.get 0)
                (then (i32.add (call $deep (i32.sub (local.get 0) (i32.const 1))) (i32.const 1)))
                (else (i32.const 0)))))"#,
    r#"(module
        (func (export "numbers") (param i32 i64 f32 f64) (result i32 i64 f32 f64)
            (local $i i32) (local $j i32) (local $a f64) (local $b f64)
            (local.set $i (i32.const 20))
            (loop $outer
                (local.set $j (i32.const 10))
                (loop $inner
                    (local.set $a (f64.add (local.get $a) (f64.mul (local.get $b) (local.get 3))))
                    (local.set $b (f64.sub (local.get $b) (f64.convert_i32_s (local.get $j))))
                    (local.set 1 (i64.rotl (i64.xor (local.get 1) (i64.extend_i32_u (local.get 0))) (i64.const 7)))
                    (local.set 0 (select (i32.popcnt (local.get 0)) (i32.wrap_i64 (local.get 1)) (local.get $j)))
                    (br_if $inner (local.tee $j (i32.sub (local.get $j) (i32.const 1)))))
                (br_if $outer (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))
            (i32.div_s (local.get 0) (i32.or (local.get $i) (i32.const 1)))
            (local.get 1)
            (f32.demote_f64 (local.get $a))
            (local.get $b)))"#,
];
