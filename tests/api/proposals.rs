//! Proposals that are off at first: wide arithmetic, pages of one byte; and all of them with frames of wide slots.

use crate::setup::{instance, modes};
use crescendo::{Config, Engine, Memory, MemoryType, Module, Store, TrapCode};

fn engines() -> Vec<(&'static str, Engine)> {
    let allow = |mut config: Config| {
        config.wasm_wide_arithmetic(true).wasm_custom_page_sizes(true);
        Engine::new(&config).unwrap()
    };
    modes().into_iter().map(|(mode, config)| (mode, allow(config))).collect()
}

#[test]
fn proposals_outside_of_the_standard_are_off_at_first() {
    for text in ["(module (func unreachable i64.mul_wide_u drop drop))", "(module (memory 1 (pagesize 1)))"] {
        let bytes = wat::parse_str(text).unwrap();
        let error = Module::new(&Engine::default(), &bytes).unwrap_err().to_string();
        assert!(error.contains("is switched off"), "{error}");
        assert!(Module::new(&engines()[0].1, &bytes).is_ok());
    }
}

#[test]
fn wide_arithmetic_takes_operands_from_everywhere() {
    let text = r#"
        (module
            (func (export "add") (param i64 i64 i64 i64) (result i64 i64)
                (i64.add128 (local.get 0) (local.get 1) (local.get 2) (local.get 3)))
            (func (export "sub") (param i64 i64 i64 i64) (result i64 i64)
                (i64.sub128 (local.get 0) (local.get 1) (local.get 2) (local.get 3)))
            (func (export "mul_s") (param i64 i64) (result i64 i64)
                (i64.mul_wide_s (local.get 0) (local.get 1)))
            (func (export "mul_u") (param i64 i64) (result i64 i64)
                (i64.mul_wide_u (local.get 0) (local.get 1)))
            ;; The n-th Fibonacci number in 128 bits: operands in registers, constants, results of the step before.
            (func (export "fib") (param $n i32) (result i64 i64) (local $al i64) (local $ah i64) (local $bl i64) (local $bh i64)
                (local $l i64) (local $h i64)
                (local.set $bl (i64.const 1))
                (loop $next
                    (i64.add128 (local.get $al) (local.get $ah) (local.get $bl) (local.get $bh))
                    (local.set $h) (local.set $l)
                    (local.set $al (local.get $bl)) (local.set $ah (local.get $bh))
                    (local.set $bl (local.get $l)) (local.set $bh (local.get $h))
                    (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
                (i64.sub128 (i64.add128 (local.get $al) (local.get $ah) (i64.const 1) (i64.const 0))
                    (i64.const 1) (i64.const 0))))
    "#;
    const EDGES: [i128; 7] = [0, 1, -1, i128::MIN, i128::MAX, 1 << 64, (1 << 64) - 1];
    let halves = |value: i128| (value as i64, (value >> 64) as i64);
    for (mode, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let instance = instance(&mut store, text);
        for left in EDGES {
            for right in EDGES {
                let ((a, b), (c, d)) = (halves(left), halves(right));
                for (name, expected) in [("add", left.wrapping_add(right)), ("sub", left.wrapping_sub(right))]
                {
                    let func =
                        instance.get_typed_func::<(i64, i64, i64, i64), (i64, i64)>(&store, name).unwrap();
                    assert_eq!(
                        func.call(&mut store, (a, b, c, d)).unwrap(),
                        halves(expected),
                        "{mode}: {name}"
                    );
                }
                let unsigned = u128::from(b as u64) * u128::from(c as u64);
                for (name, expected) in
                    [("mul_s", i128::from(b) * i128::from(c)), ("mul_u", unsigned.cast_signed())]
                {
                    let func = instance.get_typed_func::<(i64, i64), (i64, i64)>(&store, name).unwrap();
                    assert_eq!(func.call(&mut store, (b, c)).unwrap(), halves(expected), "{mode}: {name}");
                }
            }
        }
        let fib = instance.get_typed_func::<i32, (i64, i64)>(&store, "fib").unwrap();
        let (mut a, mut b) = (0i128, 1i128);
        (0..150).for_each(|_| (a, b) = (b, a + b));
        assert_eq!(fib.call(&mut store, 150).unwrap(), halves(a), "{mode}");
    }
}

#[test]
fn a_memory_of_small_pages_ends_at_its_last_byte() {
    let text = r#"
        (module
            (memory (export "memory") 100 300 (pagesize 1))
            (memory 1)
            (func (export "size") (result i32) (memory.size))
            (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
            (func (export "load") (param i32) (result i32) (i32.load8_u (local.get 0)))
            (func (export "load4") (param i32) (result i32) (i32.load offset=1 (local.get 0)))
            (func (export "other") (param i32) (result i32) (i32.load8_u 1 (local.get 0))))
    "#;
    for (mode, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let instance = instance(&mut store, text);
        let call = |store: &mut Store<()>, name: &str, argument: i32| {
            let func = instance.get_typed_func::<i32, i32>(&*store, name).unwrap();
            func.call(store, argument).map_err(|error| error.trap().unwrap().code())
        };
        let size = instance.get_typed_func::<(), i32>(&store, "size").unwrap();
        const OUTSIDE: Result<i32, TrapCode> = Err(TrapCode::MemoryOutOfBounds);
        assert_eq!(size.call(&mut store, ()).unwrap(), 100, "{mode}");
        assert_eq!((call(&mut store, "load", 99), call(&mut store, "load", 100)), (Ok(0), OUTSIDE), "{mode}");
        assert_eq!(
            (call(&mut store, "load4", 95), call(&mut store, "load4", 96)),
            (Ok(0), OUTSIDE),
            "{mode}"
        );
        assert_eq!(
            (call(&mut store, "other", 65535), call(&mut store, "other", 65536)),
            (Ok(0), OUTSIDE),
            "{mode}"
        );
        assert_eq!(
            (call(&mut store, "grow", 150), call(&mut store, "grow", 51)),
            (Ok(100), Ok(-1)),
            "{mode}"
        );
        assert_eq!(
            (call(&mut store, "load", 249), call(&mut store, "load", 250)),
            (Ok(0), OUTSIDE),
            "{mode}"
        );
        let memory = instance.get_memory(&store, "memory").unwrap();
        assert_eq!((memory.page_size(&store), memory.page_size_log2(&store)), (1, 0));
        assert_eq!(
            (memory.size(&store), memory.data_size(&store), memory.grow(&mut store, 50).unwrap()),
            (250, 250, 250)
        );
        assert_eq!(memory.ty(&store).to_string(), "(memory 100 300 (pagesize 1))");
    }
}

#[test]
fn memory_types_are_described_step_by_step() {
    let small = MemoryType::builder().min(3).max(Some(70_000)).page_size_log2(0).build().unwrap();
    assert_eq!(
        (small.page_size(), small.minimum(), small.maximum(), small.is_64()),
        (1, 3, Some(70_000), false)
    );
    let mut store = Store::new(&Engine::default(), ());
    let memory = Memory::new(&mut store, small).unwrap();
    assert_eq!(memory.data_size(&store), 3);
    for (name, result) in [
        ("page size", MemoryType::builder().page_size_log2(12).build()),
        ("bytes", MemoryType::builder().min(1 << 32).page_size_log2(0).build()),
        ("pages", MemoryType::builder().min(65537).build()),
        ("maximum", MemoryType::builder().min(2).max(Some(1)).build()),
        ("shared", MemoryType::builder().min(2).shared(true).build()),
    ] {
        assert!(result.is_err(), "{name}");
    }
    assert!(MemoryType::builder().memory64(true).min(1 << 48).build().is_ok());
    assert!(Memory::new(&mut store, MemoryType { page_size_log2: 5, ..MemoryType::new(1, None) }).is_err());
}

/// More locals than slots of 16 bits reach.
#[test]
fn every_new_operator_works_with_wide_slots() {
    let locals = "i64 ".repeat(9000);
    let text = format!(
        r#"(module
            (memory $own 100 (pagesize 1))
            (memory $shared 1 2 shared)
            (func (export "wide") (param i64 i32) (result i64) (local {locals})
                (local.set 9000 (i64.mul (local.get 0) (i64.const 3)))
                (i64.add128 (local.get 0) (local.get 9000) (local.get 9000) (i64.const -1))
                (i64.mul_wide_u)
                (local.set 8999)
                (drop)
                (i64.sub128 (local.get 8999) (local.get 0) (local.get 9000) (local.get 0))
                (i64.add)
                (drop (i64.atomic.rmw.add $shared offset=8 (local.get 1) (local.get 0)))
                (drop (i64.atomic.rmw.cmpxchg $shared (i32.const 8) (local.get 0) (local.get 9000)))
                (i64.atomic.store $shared (i32.const 16) (i64.const 5))
                (atomic.fence)
                (i64.add (i64.atomic.load $shared offset=8 (local.get 1)))
                (i64.add (i64.atomic.load $shared (i32.const 16)))
                (i64.add (i64.extend_i32_u (memory.size $own)))
                (i64.add (i64.extend_i32_u (memory.size $shared)))
                (i64.add (i64.extend_i32_u (memory.atomic.notify $shared (i32.const 0) (i32.const 1))))))"#
    );
    for (mode, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let instance = instance(&mut store, &text);
        let wide = instance.get_typed_func::<(i64, i32), i64>(&store, "wide").unwrap();
        let n = 0x1234_5678_9abc_def0u64;
        let m = n.wrapping_mul(3);
        let pair = |low: u64, high: u64| u128::from(high) << 64 | u128::from(low);
        let sum = pair(n, m).wrapping_add(pair(m, u64::MAX));
        let product = u128::from(sum as u64) * u128::from((sum >> 64) as u64);
        let difference = pair((product >> 64) as u64, n).wrapping_sub(pair(m, n));
        // The upper half of the difference and the lower one are added, then what lies below and in the memories.
        let total = (difference as u64).wrapping_add((difference >> 64) as u64);
        let total = total.wrapping_add(m).wrapping_add(5 + 100 + 1).cast_signed();
        assert_eq!(wide.call(&mut store, (n.cast_signed(), 0)).unwrap(), total, "{mode}");
    }
}
