//! Shared memories: stores on several threads, waiting, growing, linking; atomic operators in every mode.

use crate::setup::{engines, instance, modes, module};
use crescendo::{
    Config, Engine, Error, Extern, Instance, Linker, Memory, MemoryType, Module, SharedMemory, Store,
    TrapCode, UpdateDeadline, WaitResult,
};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const TEXT: &str = r#"
    (module
        (import "host" "memory" (memory 1 3 shared))
        (func (export "add") (param i32 i32) (result i32) (i32.atomic.rmw.add (local.get 0) (local.get 1)))
        (func (export "count") (param $n i32) (result i32) (local $i i32)
            ;; A lock at 64 guards an ordinary counter at 68.
            (loop $l
                (loop $lock
                    (br_if $lock (i32.atomic.rmw.cmpxchg (i32.const 64) (i32.const 0) (i32.const 1))))
                (i32.store (i32.const 68) (i32.add (i32.load (i32.const 68)) (i32.const 1)))
                (i32.atomic.store (i32.const 64) (i32.const 0))
                (br_if $l (i32.lt_u
                    (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $n))))
            (local.get $i))
        (func (export "wait") (param i32 i32 i64) (result i32)
            (memory.atomic.wait32 (local.get 0) (local.get 1) (local.get 2)))
        (func (export "wait64") (param i32 i64 i64) (result i32)
            (memory.atomic.wait64 offset=8 (local.get 0) (local.get 1) (local.get 2)))
        (func (export "notify") (param i32 i32) (result i32)
            (memory.atomic.notify (local.get 0) (local.get 1)))
        (func (export "until") (param i32) (result i32)
            (loop $l (br_if $l (i32.lt_u (memory.size) (local.get 0))))
            ;; The last byte of what is new.
            (i32.store8 (i32.sub (i32.shl (memory.size) (i32.const 16)) (i32.const 1)) (i32.const 7))
            (memory.size))
        (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
        (func (export "load") (param i32) (result i32) (i32.load (local.get 0)))
        (func (export "bulk") (param i32 i32 i32) (memory.copy (local.get 0) (local.get 1) (local.get 2))
            (memory.fill (local.get 1) (i32.const 9) (i32.const 3))
            (memory.init 0 (i32.const 200) (i32.const 1) (i32.const 2)))
        (data "abc"))
"#;

fn shared(engine: &Engine) -> (SharedMemory, Module) {
    (SharedMemory::new(engine, MemoryType::shared(1, 3)).unwrap(), module(engine, TEXT))
}

fn join(memory: &SharedMemory, module: &Module) -> (Store<()>, Instance) {
    let mut store = Store::new(module.engine(), ());
    let instance = Instance::new(&mut store, module, &[memory.clone().into()]).unwrap();
    (store, instance)
}

fn value(memory: &SharedMemory, address: usize) -> u32 {
    // SAFETY: the value is inside and aligned, and everybody accesses it atomically or has ended.
    unsafe { AtomicU32::from_ptr(memory.data()[address].get().cast()) }.load(Ordering::SeqCst)
}

fn code(error: Error) -> TrapCode {
    error.trap().expect("a trap").code()
}

#[test]
fn stores_on_several_threads_share_a_memory() {
    for (mode, engine) in engines() {
        let (memory, module) = shared(&engine);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let (mut store, instance) = join(&memory, &module);
                    let add = instance.get_typed_func::<(i32, i32), i32>(&store, "add").unwrap();
                    let count = instance.get_typed_func::<i32, i32>(&store, "count").unwrap();
                    for _ in 0..200 {
                        add.call(&mut store, (8, 3)).unwrap();
                    }
                    for n in [1, 100, 500] {
                        assert_eq!(count.call(&mut store, n).unwrap(), n);
                    }
                });
            }
        });
        assert_eq!((value(&memory, 8), value(&memory, 64), value(&memory, 68)), (2400, 0, 2404), "{mode}");
    }
}

#[test]
fn guests_wait_until_they_are_notified_or_their_time_is_up() {
    for (mode, engine) in engines() {
        let (memory, module) = shared(&engine);
        let (mut store, instance) = join(&memory, &module);
        let wait = instance.get_typed_func::<(i32, i32, i64), i32>(&store, "wait").unwrap();
        let wait64 = instance.get_typed_func::<(i32, i64, i64), i32>(&store, "wait64").unwrap();
        let notify = instance.get_typed_func::<(i32, i32), i32>(&store, "notify").unwrap();
        assert_eq!(wait.call(&mut store, (0, 1, -1)).unwrap(), 1, "{mode}");
        let start = Instant::now();
        assert_eq!(wait.call(&mut store, (0, 0, 2_000_000)).unwrap(), 2, "{mode}");
        assert_eq!(wait64.call(&mut store, (0, 0, 0)).unwrap(), 2, "{mode}");
        assert!(start.elapsed() >= Duration::from_millis(2), "{mode}");
        assert_eq!(wait64.call(&mut store, (8, -1, -1)).unwrap(), 1, "{mode}");
        assert_eq!(code(wait.call(&mut store, (2, 0, 0)).unwrap_err()), TrapCode::UnalignedAtomic);
        assert_eq!(code(wait64.call(&mut store, (4, 0, 0)).unwrap_err()), TrapCode::UnalignedAtomic);
        assert_eq!(code(wait.call(&mut store, (0x10000, 0, 0)).unwrap_err()), TrapCode::MemoryOutOfBounds);
        assert_eq!(code(notify.call(&mut store, (-4, 0)).unwrap_err()), TrapCode::MemoryOutOfBounds);
        assert_eq!(notify.call(&mut store, (0, -1)).unwrap(), 0);
        // The host and a guest wake a guest, on another thread and in another store.
        for host in [true, false] {
            thread::scope(|scope| {
                let waiting = scope.spawn(|| {
                    let (mut store, instance) = join(&memory, &module);
                    let wait = instance.get_typed_func::<(i32, i32, i64), i32>(&store, "wait").unwrap();
                    wait.call(&mut store, (16, 0, -1)).unwrap()
                });
                let mut woken = 0;
                while woken == 0 {
                    woken = if host {
                        memory.atomic_notify(16, 1).unwrap()
                    } else {
                        notify.call(&mut store, (16, 5)).unwrap().cast_unsigned()
                    };
                    thread::yield_now();
                }
                assert_eq!((woken, waiting.join().unwrap()), (1, 0), "{mode}");
            });
        }
        assert_eq!(memory.atomic_wait32(0, 0, Some(Duration::ZERO)).unwrap(), WaitResult::TimedOut);
        assert_eq!(memory.atomic_wait64(0, 5, None).unwrap(), WaitResult::Mismatch);
        assert_eq!(memory.atomic_wait64(4, 5, None).unwrap_err().code(), TrapCode::UnalignedAtomic);
    }
}

#[test]
fn a_memory_grows_while_another_thread_uses_it() {
    for (mode, engine) in engines() {
        for by_guest in [true, false] {
            let (memory, module) = shared(&engine);
            let base = memory.data().as_ptr();
            thread::scope(|scope| {
                let running = scope.spawn(|| {
                    let (mut store, instance) = join(&memory, &module);
                    let until = instance.get_typed_func::<i32, i32>(&store, "until").unwrap();
                    until.call(&mut store, 3).unwrap()
                });
                let (mut store, instance) = join(&memory, &module);
                let grow = instance.get_typed_func::<i32, i32>(&store, "grow").unwrap();
                for size in [1, 2] {
                    thread::sleep(Duration::from_millis(2));
                    let old = if by_guest {
                        grow.call(&mut store, 1).unwrap().into()
                    } else {
                        memory.grow(1).unwrap() as i64
                    };
                    assert_eq!(old, size, "{mode}");
                }
                assert_eq!(running.join().unwrap(), 3, "{mode}");
                assert_eq!(grow.call(&mut store, 1).unwrap(), -1, "{mode}");
                let load = instance.get_typed_func::<i32, i32>(&store, "load").unwrap();
                assert_eq!(load.call(&mut store, 0x2fffc).unwrap(), 7 << 24, "{mode}");
                assert_eq!(code(load.call(&mut store, 0x2fffd).unwrap_err()), TrapCode::MemoryOutOfBounds);
            });
            assert!(memory.grow(1).is_err());
            assert_eq!((memory.size(), memory.data_size(), memory.data().as_ptr()), (3, 3 << 16, base));
        }
    }
}

#[test]
fn a_shared_memory_of_an_instance_is_linked_into_others() {
    let text = r#"(module (memory (export "memory") 1 3 shared) (data (i32.const 4) "\05\00\00\00"))"#;
    for (mode, engine) in engines() {
        let user = module(&engine, TEXT);
        let mut store = Store::new(&engine, ());
        let owner = instance(&mut store, text);
        assert!(owner.get_memory(&store, "memory").is_none());
        let memory = owner.get_shared_memory(&store, "memory").unwrap();
        assert_eq!(memory.ty(), MemoryType::shared(1, 3));
        assert_eq!(value(&memory, 4), 5);
        let mut linker = Linker::new(&engine);
        linker.instance(&mut store, "host", owner).unwrap();
        let second = linker.instantiate(&mut store, &user).unwrap();
        let add = second.get_typed_func::<(i32, i32), i32>(&store, "add").unwrap();
        assert_eq!(add.call(&mut store, (4, 2)).unwrap(), 5, "{mode}");
        // It outlives the store that made it, and moves to another one.
        drop(store);
        let mut store = Store::new(&engine, ());
        let mut linker = Linker::new(&engine);
        linker.define(&store, "host", "memory", memory.clone()).unwrap();
        let third = linker.instantiate(&mut store, &user).unwrap();
        let add = third.get_typed_func::<(i32, i32), i32>(&store, "add").unwrap();
        assert_eq!(add.call(&mut store, (4, 0)).unwrap(), 7, "{mode}");
        let bulk = third.get_typed_func::<(i32, i32, i32), ()>(&store, "bulk").unwrap();
        bulk.call(&mut store, (101, 4, 9)).unwrap();
        assert_eq!((value(&memory, 100), value(&memory, 4), value(&memory, 200)), (7 << 8, 0x090909, 0x6362));
        assert_eq!(code(bulk.call(&mut store, (0xffff, 0, 2)).unwrap_err()), TrapCode::MemoryOutOfBounds);
    }
}

#[test]
fn imports_match_by_size_maximum_and_sharing() {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let plain = Memory::new(&mut store, MemoryType::new(1, Some(3))).unwrap();
    let make = |ty| Extern::from(SharedMemory::new(&engine, ty).unwrap());
    let user = module(&engine, TEXT);
    let grown = SharedMemory::new(&engine, MemoryType::shared(0, 2)).unwrap();
    assert_eq!(grown.grow(1).unwrap(), 0);
    for (item, fits) in [
        (make(MemoryType::shared(1, 3)), true),
        (grown.into(), true),
        (make(MemoryType::shared(1, 4)), false),
        (make(MemoryType::shared(0, 3)), false),
        (plain.into(), false),
    ] {
        let ty = item.ty(&store);
        assert_eq!(Instance::new(&mut store, &user, &[item]).is_ok(), fits, "{ty}");
    }
    let foreign = SharedMemory::new(&Engine::default(), MemoryType::shared(1, 3)).unwrap();
    assert!(Instance::new(&mut store, &user, &[foreign.into()]).is_err());
    assert!(Memory::new(&mut store, MemoryType::shared(1, 3)).is_err());
    for ty in [
        MemoryType::new(1, Some(3)),
        MemoryType { maximum: None, ..MemoryType::shared(1, 3) },
        MemoryType::shared(3, 1),
        MemoryType::shared(1, 65537),
    ] {
        assert!(SharedMemory::new(&engine, ty).is_err(), "{ty}");
    }
    let off = Engine::new(Config::new().shared_memory(false)).unwrap();
    let error = SharedMemory::new(&off, MemoryType::shared(1, 3)).unwrap_err();
    assert!(error.to_string().contains("Config::shared_memory"), "{error}");
    let own = module(&off, "(module (memory 1 1 shared))");
    assert!(Instance::new(Store::new(&off, ()), &own, &[]).is_err());
}

#[test]
fn a_deadline_interrupts_a_guest_that_waits() {
    for (mode, config) in modes() {
        let engine = Engine::new(config.clone().epoch_interruption(true)).unwrap();
        let (memory, module) = shared(&engine);
        let (mut store, instance) = join(&memory, &module);
        let wait = instance.get_typed_func::<(i32, i32, i64), i32>(&store, "wait").unwrap();
        store.set_epoch_deadline(1);
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(5));
                engine.increment_epoch();
            });
            let error = wait.call(&mut store, (0, 0, -1)).unwrap_err();
            assert!(!error.backtrace().unwrap().frames().is_empty(), "{mode}");
            assert_eq!(code(error), TrapCode::Interrupt, "{mode}");
        });
        assert_eq!(memory.atomic_notify(0, 1).unwrap(), 0, "{mode}: nobody waits any more");
        // A callback may let it go on.
        store.set_epoch_deadline(1);
        let notified = memory.clone();
        store.epoch_deadline_callback(move |_| {
            notified.atomic_notify(4, 1).unwrap();
            Ok(UpdateDeadline::Continue(0))
        });
        engine.increment_epoch();
        assert_eq!(wait.call(&mut store, (4, 0, -1)).unwrap(), 0, "{mode}");
    }
}

#[test]
fn atomic_operators_check_alignment_first_and_cut_to_their_width() {
    let mut text = "(module (memory 1)".to_string();
    let widths = [
        ("i32", "", "", 4),
        ("i64", "", "", 8),
        ("i32", "8", "_u", 1),
        ("i32", "16", "_u", 2),
        ("i64", "8", "_u", 1),
        ("i64", "16", "_u", 2),
        ("i64", "32", "_u", 4),
    ];
    let operators = ["add", "sub", "and", "or", "xor", "xchg", "cmpxchg"];
    for (ty, width, suffix, bytes) in widths {
        // Sources and results in registers, slots and constants.
        text += &format!(
            r#"(func (export "load {ty}{width}") (param i32) (result {ty}) ({ty}.atomic.load{width}{suffix} offset={bytes} (local.get 0)))
               (func (export "store {ty}{width}") (param i32 {ty}) (result {ty})
                   ({ty}.atomic.store{width} offset={bytes} (local.get 0) ({ty}.add (local.get 1) ({ty}.const 1)))
                   ({ty}.load{width}{suffix} offset={bytes} (local.get 0)))"#
        );
        for operator in operators {
            let expected = if operator == "cmpxchg" { format!("({ty}.const -1)") } else { String::new() };
            text += &format!(
                r#"(func (export "{operator} {ty}{width}") (param i32 {ty}) (result i64 i64) (local {ty})
                       ({ty}.store{width} offset={bytes} (local.get 0) ({ty}.const -1))
                       (local.set 2 ({ty}.atomic.rmw{width}.{operator}{suffix} offset={bytes}
                           (i32.add (local.get 0) (i32.const 0)) {expected} (local.get 1)))
                       (i64.extend_i32_u (i32.wrap_i64 {get}))
                       {load})"#,
                get = if ty == "i64" {
                    "(local.get 2)".to_string()
                } else {
                    "(i64.extend_i32_u (local.get 2))".to_string()
                },
                load = if ty == "i64" {
                    format!("(i64.load{width}{suffix} offset={bytes} (local.get 0))")
                } else {
                    format!("(i64.extend_i32_u (i32.load{width}{suffix} offset={bytes} (local.get 0)))")
                },
            );
        }
    }
    text += r#"(func (export "wait") (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const 0))))
               (func (export "notify") (result i32) (atomic.fence) (memory.atomic.notify (i32.const 0) (i32.const 1))))"#;
    for (mode, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let instance = instance(&mut store, &text);
        for (ty, width, _, bytes) in widths {
            let max = if bytes == 8 { u64::MAX } else { (1 << (8 * bytes)) - 1 };
            let argument = 0x1122_3344_5566_7788u64;
            for operator in operators {
                let name = format!("{operator} {ty}{width}");
                let results = |store: &mut Store<()>, address: i32| {
                    if ty == "i64" {
                        let func = instance.get_typed_func::<(i32, u64), (u64, u64)>(&*store, &name).unwrap();
                        func.call(store, (address, argument))
                    } else {
                        let func = instance.get_typed_func::<(i32, u32), (u64, u64)>(&*store, &name).unwrap();
                        func.call(store, (address, argument as u32))
                    }
                };
                let operand = argument & max;
                let new = match operator {
                    "add" => max.wrapping_add(operand) & max,
                    "sub" => max - operand,
                    "and" | "xchg" | "cmpxchg" => operand,
                    "or" => max,
                    _ => max ^ operand,
                };
                let old = max & 0xffff_ffff;
                assert_eq!(results(&mut store, 16).unwrap(), (old, new), "{mode}: {name}");
                if bytes > 1 {
                    // The plain store before it is not aligned either, and outside of the memory it is what traps.
                    assert_eq!(
                        code(results(&mut store, 17).unwrap_err()),
                        TrapCode::UnalignedAtomic,
                        "{mode}: {name}"
                    );
                }
                assert_eq!(
                    code(results(&mut store, 0x10000).unwrap_err()),
                    TrapCode::MemoryOutOfBounds,
                    "{mode}: {name}"
                );
            }
            let trap = |store: &mut Store<()>, address: i32| {
                let name = format!("load {ty}{width}");
                let func = instance.get_func(&*store, &name).unwrap();
                let mut result = [if ty == "i64" { 0i64.into() } else { 0i32.into() }];
                code(func.call(store, &[address.into()], &mut result).unwrap_err())
            };
            let first = if bytes == 1 { TrapCode::MemoryOutOfBounds } else { TrapCode::UnalignedAtomic };
            assert_eq!(trap(&mut store, 0x1_0001), first, "{mode}: {ty}{width}");
            assert_eq!(trap(&mut store, 0x1_0000), TrapCode::MemoryOutOfBounds, "{mode}: {ty}{width}");
            let name = format!("store {ty}{width}");
            if ty == "i64" {
                let store_ = instance.get_typed_func::<(i32, u64), u64>(&store, &name).unwrap();
                assert_eq!(
                    store_.call(&mut store, (24, argument)).unwrap(),
                    (argument + 1) & max,
                    "{mode}: {name}"
                );
            } else {
                let store_ = instance.get_typed_func::<(i32, u32), u32>(&store, &name).unwrap();
                let expected = (argument + 1) & max & 0xffff_ffff;
                assert_eq!(
                    u64::from(store_.call(&mut store, (24, argument as u32)).unwrap()),
                    expected,
                    "{mode}: {name}"
                );
            }
        }
        let wait = instance.get_typed_func::<(), ()>(&store, "wait").unwrap();
        assert_eq!(code(wait.call(&mut store, ()).unwrap_err()), TrapCode::ExpectedSharedMemory, "{mode}");
        let notify = instance.get_typed_func::<(), i32>(&store, "notify").unwrap();
        assert_eq!(notify.call(&mut store, ()).unwrap(), 0, "{mode}");
    }
}
