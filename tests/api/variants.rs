//! Memories with and without guard regions: the same behaviour, whatever the system grants.

use crate::setup::{engines, instance, module};
use crescendo::{Config, Engine, Extern, Instance, Memory, MemoryType, Store, TrapCode};
use std::process::Command;

const TEXT: &str = r#"
    (module
        (memory (export "m") 1 3)
        (func (export "load") (param i32) (result i64) (i64.load offset=3 (local.get 0)))
        (func (export "far load") (param i32) (result i32) (i32.load8_u offset=0xffffffff (local.get 0)))
        (func (export "store") (param i32 i64) (i64.store (local.get 0) (local.get 1)))
        (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
        (func (export "size") (result i32) (memory.size))
        (func (export "grow and store") (result i64)
            (local $i i32)
            (loop $l
                (i64.store (local.get $i) (i64.const 0x0102030405060708))
                (drop (memory.grow (i32.const 1)))
                (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 0x10000))) (i32.const 0x30000))))
            (i64.add (i64.load (i32.const 0)) (i64.load (i32.const 0x20000))))
        (func (export "copy") (param i32 i32 i32) (memory.copy (local.get 0) (local.get 1) (local.get 2)))
        (func (export "fill") (param i32 i32 i32) (memory.fill (local.get 0) (local.get 1) (local.get 2))))
"#;

/// What every kind of memory must do.
fn check(mode: &str, engine: &Engine) {
    let mut store = Store::new(engine, ());
    let instance = Instance::new(&mut store, &module(engine, TEXT), &[]).unwrap();
    let code = |error: crescendo::Error| error.trap().unwrap().code();
    let load = instance.get_typed_func::<u32, i64>(&store, "load").unwrap();
    for (address, inside) in [
        (0, true),
        (0xfff5, true),
        (0xfff6, false),
        (0x1_0000, false),
        (0x7fff_ffff, false),
        (u32::MAX, false),
    ] {
        let loaded = load.call(&mut store, address);
        assert_eq!(loaded.is_ok(), inside, "{mode}: {address:#x}");
        if let Err(error) = loaded {
            let trap = error.trap().unwrap();
            assert_eq!((trap.code(), trap.func_index()), (TrapCode::MemoryOutOfBounds, Some(0)), "{mode}");
        }
    }
    let far = instance.get_typed_func::<u32, u32>(&store, "far load").unwrap();
    for address in [0, 1, 0x8000_0000, u32::MAX] {
        assert_eq!(code(far.call(&mut store, address).unwrap_err()), TrapCode::MemoryOutOfBounds, "{mode}");
    }
    // A store that reaches over the end writes nothing.
    let write = instance.get_typed_func::<(u32, i64), ()>(&store, "store").unwrap();
    assert_eq!(
        code(write.call(&mut store, (0xfffc, -1)).unwrap_err()),
        TrapCode::MemoryOutOfBounds,
        "{mode}"
    );
    let memory = instance.get_memory(&store, "m").unwrap();
    assert_eq!(memory.data(&store)[0xfff8..], [0; 8], "{mode}");

    let copy = instance.get_typed_func::<(u32, u32, u32), ()>(&store, "copy").unwrap();
    let fill = instance.get_typed_func::<(u32, u32, u32), ()>(&store, "fill").unwrap();
    fill.call(&mut store, (0x100, 0x1ff, 4)).unwrap();
    copy.call(&mut store, (0x102, 0x100, 4)).unwrap();
    assert_eq!(memory.data(&store)[0xff..0x107], [0, 255, 255, 255, 255, 255, 255, 0], "{mode}");
    for func in [copy, fill] {
        for (start, len) in [(0xffff, 2), (0x1_0001, 0), (1, u32::MAX)] {
            let error = func.call(&mut store, (start, 0, len)).unwrap_err();
            assert_eq!(code(error), TrapCode::MemoryOutOfBounds, "{mode}: {start:#x}, {len}");
        }
        func.call(&mut store, (0x1_0000, 0, 0)).unwrap();
    }

    let grow = instance.get_typed_func::<i32, i32>(&store, "grow").unwrap();
    assert_eq!(grow.call(&mut store, 0).unwrap(), 1, "{mode}");
    let both = instance.get_typed_func::<(), i64>(&store, "grow and store").unwrap();
    assert_eq!(both.call(&mut store, ()).unwrap(), 0x0204_0608_0a0c_0e10, "{mode}");
    assert_eq!(grow.call(&mut store, 1).unwrap(), -1, "{mode}");
    assert_eq!(memory.size(&store), 3, "{mode}");
    assert!(load.call(&mut store, 0x2_fff5).is_ok() && load.call(&mut store, 0x2_fff6).is_err(), "{mode}");
}

#[test]
fn memories_behave_alike_in_all_modes() {
    for (mode, engine) in engines() {
        check(mode, &engine);
    }
    check("no reservations", &Engine::new(Config::new().memory_reservation(false)).unwrap());
    check(
        "no reservations, unfused",
        &Engine::new(Config::new().memory_reservation(false).fusion(false)).unwrap(),
    );
}

/// Lengths of copies that are constants in the code: each way to divide them, and the first that is a call.
const LENGTHS: [usize; 17] = [1, 2, 3, 5, 7, 8, 12, 15, 16, 17, 24, 31, 33, 48, 63, 64, 65];

fn bulk_text() -> String {
    use std::fmt::Write as _;
    let mut text = r#"(module (memory (export "memory") 1)"#.to_string();
    let lengths = LENGTHS.map(|len| (len.to_string(), format!("(i32.const {len})")));
    for (name, len) in lengths.iter().chain(&[("any".to_string(), "(local.get 2)".to_string())]) {
        for op in ["copy", "fill"] {
            let args = "(local.get 0) (local.get 1)";
            writeln!(text, r#"(func (export "{op} {name}") (param i32 i32 i32) (memory.{op} {args} {len}))"#)
                .unwrap();
        }
        writeln!(text, r#"(func (export "clear {name}") (param i32 i32 i32) (memory.fill (local.get 0) (i32.const 0) {len}))"#)
            .unwrap();
    }
    text + ")"
}

#[test]
fn bulk_operators_behave_alike_in_all_modes() {
    const SIZE: usize = 0x1_0000;
    let start: Vec<u8> = (0..SIZE).map(|at| (at * 7 + at / 251) as u8).collect();
    for (mode, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let instance = instance(&mut store, &bulk_text());
        let memory = instance.get_memory(&store, "memory").unwrap();
        for len in LENGTHS {
            for name in [len.to_string(), "any".to_string()] {
                let mut check = |op: &str, to: usize, other: usize| {
                    memory.data_mut(&mut store).copy_from_slice(&start);
                    let func = instance
                        .get_typed_func::<(u32, u32, u32), ()>(&store, &format!("{op} {name}"))
                        .unwrap();
                    let result = func.call(&mut store, (to as u32, other as u32, len as u32));
                    let what = format!("{mode}: {op} {name} {to:#x} {other:#x} {len}");
                    let outside = to + len > SIZE || op == "copy" && other + len > SIZE;
                    let mut expected = start.clone();
                    match op {
                        _ if outside => {}
                        "copy" => expected.copy_within(other..other + len, to),
                        "fill" => expected[to..to + len].fill(other as u8),
                        _ => expected[to..to + len].fill(0),
                    }
                    match result {
                        Ok(()) => assert!(!outside, "{what}"),
                        Err(error) => {
                            assert_eq!(error.trap().unwrap().code(), TrapCode::MemoryOutOfBounds, "{what}");
                            assert!(outside, "{what}");
                        }
                    }
                    assert!(memory.data(&store) == &expected[..], "{what}");
                };
                // Apart, overlapping from either side, at the end, and just, or far, outside.
                for (to, from) in [(100, 300), (101, 100), (100, 101), (200, 200), (107, 100), (100, 116)] {
                    check("copy", to, from);
                }
                let last = SIZE - len;
                for (to, from) in [(last, 5), (5, last), (last + 1, 5), (5, last + 1), (0xffff_fff0, 5)] {
                    check("copy", to, from);
                }
                check("copy", 5, u32::MAX as usize);
                for to in [0, 33, last, last + 1, SIZE - 1, SIZE, u32::MAX as usize] {
                    check("fill", to, 0x1a7);
                    check("clear", to, 0);
                }
            }
        }
        let none = [
            ("copy any", 0x1_0000, 0x1_0000, true),
            ("copy any", 0x1_0001, 0, false),
            ("fill any", 0x1_0001, 0, false),
        ];
        for (name, to, other, works) in none {
            let func = instance.get_typed_func::<(u32, u32, u32), ()>(&store, name).unwrap();
            assert_eq!(func.call(&mut store, (to, other, 0)).is_ok(), works, "{mode}: {name} of nothing");
        }
    }
}

#[test]
fn an_instance_with_one_checked_memory_checks_all() {
    let text = r#"
        (module
            (import "h" "wide" (memory i64 1))
            (import "h" "narrow" (memory 1))
            (memory 1)
            (func (export "wide") (param i64) (result i32) (i32.load 0 (local.get 0)))
            (func (export "narrow") (param i32) (result i32) (i32.load 1 (local.get 0)))
            (func (export "own") (param i32) (result i32) (i32.load 2 (local.get 0))))
    "#;
    for (mode, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let wide = Memory::new(&mut store, MemoryType::new64(1, None)).unwrap();
        let narrow = Memory::new(&mut store, MemoryType::new(1, None)).unwrap();
        let imports: [Extern; 2] = [wide.into(), narrow.into()];
        let instance = Instance::new(&mut store, &module(&engine, text), &imports).unwrap();
        let code = |error: crescendo::Error| error.trap().unwrap().code();
        let func = instance.get_typed_func::<u64, u32>(&store, "wide").unwrap();
        assert_eq!(func.call(&mut store, 0xfffc).unwrap(), 0, "{mode}");
        for address in [0xfffd, 1 << 32, u64::MAX, u64::MAX - 3] {
            assert_eq!(
                code(func.call(&mut store, address).unwrap_err()),
                TrapCode::MemoryOutOfBounds,
                "{mode}"
            );
        }
        for name in ["narrow", "own"] {
            let func = instance.get_typed_func::<u32, u32>(&store, name).unwrap();
            assert_eq!(func.call(&mut store, 0xfffc).unwrap(), 0, "{mode}, {name}");
            for address in [0xfffd, u32::MAX] {
                let error = func.call(&mut store, address).unwrap_err();
                assert_eq!(code(error), TrapCode::MemoryOutOfBounds, "{mode}, {name}");
            }
        }
    }
}

/// Set in a process that runs one of these tests alone, in circumstances of its own.
const ALONE: &str = "CRESCENDO_TEST_ALONE";

/// Runs a test of this file again, in a process of its own in which [`ALONE`] is set, after the shell command `before`.
fn run_alone(test: &str, before: &str) {
    let status = Command::new("sh")
        .args(["-c", &format!("{before} && exec \"$0\" \"$@\"")])
        .arg(std::env::current_exe().unwrap())
        .args([&format!("variants::{test}"), "--exact", "--test-threads=1"])
        .env(ALONE, "1")
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
}

#[test]
fn without_signals_everything_is_a_trap_as_well() {
    if std::env::var_os(ALONE).is_none() {
        return run_alone("without_signals_everything_is_a_trap_as_well", "true");
    }
    // No engine of this process installs signal handlers.
    for fusion in [true, false] {
        let engine = Engine::new(Config::new().signals_based_traps(false).fusion(fusion)).unwrap();
        check("no signals", &engine);
        let text = r#"
            (module
                (type $t (func (result i32)))
                (table 3 funcref) (elem (i32.const 0) $wrong $deep)
                (func $wrong (param i32))
                (func $deep (result i32) (call $deep))
                (func (export "unreachable") (param i32) (result i32) unreachable)
                (func (export "divide") (param i32) (result i32) (i32.div_s (i32.const 0x80000000) (local.get 0)))
                (func (export "remainder") (param i32) (result i32) (i32.rem_s (i32.const 0x80000000) (local.get 0)))
                (func (export "truncate") (param i32) (result i32) (i32.trunc_f32_s (f32.reinterpret_i32 (local.get 0))))
                (func (export "indirect") (param i32) (result i32) (call_indirect (type $t) (local.get 0)))
                (func (export "ref") (param i32) (result i32) (call_ref $t (ref.null $t))))
        "#;
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module(&engine, text), &[]).unwrap();
        for (name, argument, code) in [
            ("unreachable", 0, TrapCode::UnreachableCodeReached),
            ("divide", 0, TrapCode::IntegerDivisionByZero),
            ("divide", -1, TrapCode::IntegerOverflow),
            ("remainder", 0, TrapCode::IntegerDivisionByZero),
            ("truncate", 0x7fc0_0000, TrapCode::BadConversionToInteger),
            ("truncate", 0x7f00_0000, TrapCode::IntegerOverflow),
            ("indirect", 0, TrapCode::IndirectCallTypeMismatch),
            ("indirect", 1, TrapCode::StackOverflow),
            ("indirect", 2, TrapCode::UninitializedElement),
            ("indirect", 3, TrapCode::UndefinedElement),
            ("ref", 0, TrapCode::NullFunctionReference),
        ] {
            let func = instance.get_typed_func::<i32, i32>(&store, name).unwrap();
            let error = func.call(&mut store, argument).unwrap_err();
            assert_eq!(error.trap().unwrap().code(), code, "{name} {argument}");
        }
        let func = instance.get_typed_func::<i32, i32>(&store, "remainder").unwrap();
        assert_eq!(func.call(&mut store, -1).unwrap(), 0);
    }
}

#[test]
fn a_limited_address_space_forces_checked_memories() {
    if std::env::var_os(ALONE).is_none() {
        // 2 GiB of addresses: no reservation of 8 GiB fits.
        return run_alone("a_limited_address_space_forces_checked_memories", "ulimit -v 2097152");
    }
    let engine = Engine::default();
    check("limited", &engine);
    // A memory that the limit has no room for is an error, not the end of the process.
    let mut store = Store::new(&engine, ());
    assert!(Memory::new(&mut store, MemoryType::new(65_536, None)).is_err());
    let small = Memory::new(&mut store, MemoryType::new(1, None)).unwrap();
    assert!(small.grow(&mut store, 60_000).is_err());
    assert_eq!(small.grow(&mut store, 3).unwrap(), 1);
}

#[test]
fn many_memories_can_be_reserved_at_once() {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let module = module(&engine, TEXT);
    for _ in 0..200 {
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        let load = instance.get_typed_func::<u32, i64>(&store, "load").unwrap();
        assert!(load.call(&mut store, u32::MAX).is_err());
    }
}

#[test]
fn what_a_dropped_store_leaves_is_zero_and_no_larger_than_asked_for() {
    for (mode, engine) in engines() {
        for pages in [3_u32, 1, 0, 2, 2] {
            let text = format!(
                r#"(module (memory {pages} 4)
                    (func (export "load") (param i32) (result i32) (i32.load (local.get 0)))
                    (func (export "fill") (param i32)
                        (memory.fill (i32.const 0) (i32.const 7) (local.get 0)))
                    (func (export "grow") (result i32) (memory.grow (i32.const 1))))"#
            );
            let mut store = Store::new(&engine, ());
            let instance = instance(&mut store, &text);
            let load = instance.get_typed_func::<i32, i32>(&store, "load").unwrap();
            let fill = instance.get_typed_func::<i32, ()>(&store, "fill").unwrap();
            let grow = instance.get_typed_func::<(), i32>(&store, "grow").unwrap();
            let end = pages as i32 * 65536;
            for at in (0..end).step_by(4096) {
                assert_eq!(load.call(&mut store, at).unwrap(), 0, "{mode}, {pages} pages, at {at}");
            }
            for behind in [end - 3, end, end + 65536, i32::MAX, -1] {
                let error = load.call(&mut store, behind).unwrap_err();
                assert_eq!(error.trap().unwrap().code(), TrapCode::MemoryOutOfBounds, "{mode}, at {behind}");
            }
            assert_eq!(grow.call(&mut store, ()).unwrap(), pages as i32);
            assert_eq!(load.call(&mut store, end + 65532).unwrap(), 0, "{mode}");
            fill.call(&mut store, end + 65536).unwrap();
        }
    }
}
