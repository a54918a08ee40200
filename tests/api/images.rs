//! Instances after the first, which may get their memories from images and their contexts from dropped instances: they start as
//! the first did, whatever those before them have done.

use crate::setup::{engines, modes, module};
use crescendo::{
    Engine, Extern, Func, Instance, Linker, Memory, MemoryType, Module, Ref, RefType, Store, StoreLimits,
    StoreLimitsBuilder, Table, TableType, TrapCode, Val,
};
use std::thread;

/// More than is copied, so that it is mapped.
const LARGE: usize = 300_000;

/// Data segments, by their first addresses.
type Segments = Vec<(usize, Vec<u8>)>;

fn bytes(len: usize, salt: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 7 + at / 251 + salt) as u8 | 1).collect()
}

/// Bytes as a string of the text format.
fn string(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("\\{byte:02x}")).collect()
}

/// Memories of several pages with data: what is copied, what is mapped, what overlaps, what has gaps.
fn cases() -> Vec<(&'static str, Segments)> {
    vec![
        ("low", vec![(1024, bytes(3000, 1))]),
        ("one byte, high", vec![(1 << 20, vec![1])]),
        ("some, high", vec![((1 << 20) - 1, bytes(5000, 2)), ((1 << 20) + 6000, bytes(9, 3))]),
        ("some, low and high", vec![(70_000, bytes(30_000, 2)), (40_000, bytes(50_000, 3)), (3, vec![5])]),
        ("much, from the start", vec![(0, bytes(LARGE, 4))]),
        ("much, in the middle", vec![(65_530, bytes(LARGE, 5)), (1 << 20, bytes(100, 6))]),
        (
            "overlapping",
            vec![(100_000, bytes(LARGE, 7)), (99_000, bytes(2000, 8)), (200_000, vec![0; 70_000])],
        ),
        ("the same twice", vec![(1 << 17, bytes(LARGE, 9)), (1 << 17, bytes(LARGE, 10))]),
        ("at the end", vec![((20 << 16) - LARGE, bytes(LARGE, 11)), (20 << 16, vec![])]),
        (
            "two large ones",
            vec![(1 << 19, bytes(LARGE, 12)), (4096, bytes(LARGE, 13)), (1 << 20, bytes(3, 1))],
        ),
        ("far apart", (1..20).map(|page| (page * 65_536 + 77, bytes(10, page))).collect()),
    ]
}

fn text(kind: &str, index: &str, segments: &Segments) -> String {
    let data = |(start, bytes): &(usize, Vec<u8>)| {
        format!("(data (i{index}.const {start}) \"{}\")\n", string(bytes))
    };
    let data: String = segments.iter().map(data).collect();
    format!("(module (memory (export \"m\") {kind}) {data} (data \"passive\"))")
}

/// What segments leave in a memory.
fn written(segments: &Segments, len: usize) -> Vec<u8> {
    let mut memory = vec![0; len];
    for (start, bytes) in segments {
        memory[*start..start + bytes.len()].copy_from_slice(bytes);
    }
    memory
}

#[test]
fn every_instance_starts_with_what_the_segments_say() {
    for (mode, engine) in engines() {
        for (name, segments) in cases() {
            for (kind, index) in [("20 40", "32"), ("i64 20", "64")] {
                let module = module(&engine, &text(kind, index, &segments));
                let expected = written(&segments, 20 << 16);
                for round in 0..4 {
                    // Several at once, of which one is used.
                    let mut store = Store::new(&engine, ());
                    let memories: Vec<Memory> = (0..3)
                        .map(|_| {
                            let instance = Instance::new(&mut store, &module, &[]).unwrap();
                            instance.get_memory(&store, "m").unwrap()
                        })
                        .collect();
                    let [first, second, third] = memories[..] else { unreachable!() };
                    assert!(second.data(&store) == expected, "{mode}, {name}, {kind}, round {round}");
                    second.data_mut(&mut store).fill(0xaa);
                    second.grow(&mut store, 2).unwrap();
                    second.data_mut(&mut store).fill(0xbb);
                    third.data_mut(&mut store)[round * 4096] ^= 1;
                    assert!(first.data(&store) == expected, "{mode}, {name}, {kind}, round {round}");
                }
            }
        }
    }
}

#[test]
fn memories_without_images_get_their_segments_too() {
    let segments = vec![(65_000, bytes(LARGE, 1)), (100_000, bytes(70_000, 2))];
    let expected = written(&segments, 20 << 16);
    let mut config = crescendo::Config::new();
    config.memory_reservation(false);
    let mut all = modes();
    all.push(("no reservations", config));
    for (mode, config) in all {
        let engine = Engine::new(&config).unwrap();
        let shared = module(&engine, &text("20 40 shared", "32", &segments));
        let plain = module(&engine, &text("20 40", "32", &segments));
        for round in 0..3 {
            let mut store = Store::new(&engine, ());
            let instance = Instance::new(&mut store, &shared, &[]).unwrap();
            let memory = instance.get_shared_memory(&store, "m").unwrap();
            // SAFETY: no guest runs, so nobody else reads or writes the bytes.
            let read: Vec<u8> = memory.data().iter().map(|byte| unsafe { *byte.get() }).collect();
            assert!(read == expected, "{mode}, shared, round {round}");
            // SAFETY: as above.
            memory.data().iter().for_each(|byte| unsafe { *byte.get() = 3 });
            let instance = Instance::new(&mut store, &plain, &[]).unwrap();
            let memory = instance.get_memory(&store, "m").unwrap();
            assert!(memory.data(&store) == expected, "{mode}, round {round}");
            memory.data_mut(&mut store).fill(3);
        }
    }
}

#[test]
fn a_module_with_several_memories_has_an_image_for_each() {
    let (a, b) = (bytes(LARGE, 1), bytes(100_000, 2));
    let text = format!(
        r#"(module (memory (export "a") 6) (memory (export "b") 4 5) (memory (export "c") 1)
            (data (memory 1) (i32.const 70000) "{}") (data (memory 0) (i32.const 0) "{}")
            (data (memory 2) (i32.const 5) "five"))"#,
        string(&b),
        string(&a)
    );
    for (mode, engine) in engines() {
        let module = module(&engine, &text);
        for round in 0..4 {
            let mut store = Store::new(&engine, ());
            let instance = Instance::new(&mut store, &module, &[]).unwrap();
            let memory = |name| instance.get_memory(&store, name).unwrap();
            let memories = ["a", "b", "c"].map(memory);
            assert!(memories[0].data(&store)[..LARGE] == a, "{mode}, round {round}");
            assert!(memories[0].data(&store)[LARGE..].iter().all(|byte| *byte == 0), "{mode}, round {round}");
            assert!(memories[1].data(&store)[70_000..170_000] == b, "{mode}, round {round}");
            assert_eq!(memories[2].data(&store)[4..10], *b"\0five\0", "{mode}, round {round}");
            memories.iter().for_each(|memory| memory.data_mut(&mut store).fill(9));
        }
    }
}

fn code(error: &crescendo::Error) -> TrapCode {
    error.trap().unwrap_or_else(|| panic!("not a trap: {error}")).code()
}

/// A module whose instances leave a function in an imported table before they fail: it loads from the instance's memory.
fn failing(elements: &str, data: &str) -> String {
    format!(
        r#"(module (import "h" "t" (table 4 funcref)) (memory 20)
            (func $load (param i32) (result i32) (i32.load8_u (local.get 0)))
            (elem (i32.const 1) $load) {elements}
            (data (i32.const 100000) "{}") (data (i32.const 400000) "before") {data}
            (data (i32.const 5) "after") (data (i32.const 100000) "\ff"))"#,
        string(&bytes(LARGE, 1))
    )
}

#[test]
fn instances_that_fail_keep_what_came_before_and_nothing_else() {
    let large = bytes(LARGE, 1);
    let start = [i32::from(large[0]), i32::from(large[LARGE - 1]), i32::from(b'b'), 0];
    let cases = [
        ("", r#"(data (i32.const 0x13ffff) "xy")"#, TrapCode::MemoryOutOfBounds, start),
        ("", r#"(data (i32.const -1) "")"#, TrapCode::MemoryOutOfBounds, start),
        ("(elem (i32.const 4) $load)", "", TrapCode::TableOutOfBounds, [0; 4]),
    ];
    for (mode, engine) in engines() {
        for (elements, data, trap, expected) in cases {
            let module = module(&engine, &failing(elements, data));
            for round in 0..4 {
                let mut store = Store::new(&engine, ());
                let ty = TableType::new(RefType::FUNCREF, 4, None);
                let table = Table::new(&mut store, ty, Ref::Func(None)).unwrap();
                let error = Instance::new(&mut store, &module, &[table.into()]).unwrap_err();
                assert_eq!(code(&error), trap, "{mode}, round {round}");
                let load = table.get(&store, 1).unwrap().unwrap_func().unwrap();
                let load = load.typed::<i32, i32>(&store).unwrap();
                let places = [100_000, 100_000 + LARGE as i32 - 1, 400_000, 5];
                let found = places.map(|place| load.call(&mut store, place).unwrap());
                assert_eq!(found, expected, "{mode}, {trap:?}, round {round}");
            }
        }
    }
}

#[test]
fn offsets_that_imports_decide_are_not_in_images() {
    let text = format!(
        r#"(module (import "h" "g" (global $g i32)) (memory (export "m") 20)
            (data (i32.const 100000) "{0}") (data (global.get $g) "here")
            (data (i32.const 100002) "x"))"#,
        string(&bytes(LARGE, 1))
    );
    for (mode, engine) in engines() {
        let module = module(&engine, &text);
        for place in [0, 100_000, 100_001, 500_000, (20 << 16) - 4] {
            let mut store = Store::new(&engine, ());
            let ty = crescendo::GlobalType::new(crescendo::ValType::I32, false);
            let global = crescendo::Global::new(&mut store, ty, Val::I32(place as i32)).unwrap();
            let instance = Instance::new(&mut store, &module, &[global.into()]).unwrap();
            let segments =
                vec![(100_000, bytes(LARGE, 1)), (place, b"here".to_vec()), (100_002, b"x".to_vec())];
            let memory = instance.get_memory(&store, "m").unwrap();
            assert!(memory.data(&store) == written(&segments, 20 << 16), "{mode}, at {place}");
        }
    }
}

#[test]
fn imported_memories_are_written_to_and_keep_what_they_have() {
    let exporting = text("20", "32", &vec![(100_000, bytes(LARGE, 1))]);
    let importing = format!(
        r#"(module (import "h" "m" (memory 1)) (memory $own (export "own") 10)
            (data (memory $own) (i32.const 70000) "{0}") (data (i32.const 100001) "{0}")
            (data (memory $own) (i32.const 70001) "own"))"#,
        string(&bytes(200_000, 2))
    );
    let segments = vec![(100_000, bytes(LARGE, 1)), (100_001, bytes(200_000, 2))];
    let own = vec![(70_000, bytes(200_000, 2)), (70_001, b"own".to_vec())];
    for (mode, engine) in engines() {
        let (exporting, importing) = (module(&engine, &exporting), module(&engine, &importing));
        for round in 0..4 {
            let mut store = Store::new(&engine, ());
            let memory = Instance::new(&mut store, &exporting, &[]).unwrap();
            let memory = memory.get_memory(&store, "m").unwrap();
            memory.write(&mut store, 7, b"kept").unwrap();
            for _ in 0..2 {
                let instance = Instance::new(&mut store, &importing, &[memory.into()]).unwrap();
                let mut expected = written(&segments, 20 << 16);
                expected[7..11].copy_from_slice(b"kept");
                assert!(memory.data(&store) == expected, "{mode}, round {round}");
                let memory = instance.get_memory(&store, "own").unwrap();
                assert!(memory.data(&store) == written(&own, 10 << 16), "{mode}, round {round}");
            }
        }
    }
}

#[test]
fn segments_in_images_are_dropped_and_passive_ones_are_not() {
    let text = format!(
        r#"(module (memory (export "m") 20)
            (data $active (i32.const 100000) "{}") (data $passive "passive")
            (func (export "active") (param i32) (memory.init $active (i32.const 0) (i32.const 0) (local.get 0)))
            (func (export "passive") (memory.init $passive (i32.const 100000) (i32.const 0) (i32.const 7)))
            (func (export "drop") (data.drop $passive) (data.drop $active)))"#,
        string(&bytes(LARGE, 1))
    );
    for (mode, engine) in engines() {
        let module = module(&engine, &text);
        for round in 0..4 {
            let mut store = Store::new(&engine, ());
            let instance = Instance::new(&mut store, &module, &[]).unwrap();
            let active = instance.get_typed_func::<i32, ()>(&store, "active").unwrap();
            active.call(&mut store, 0).unwrap();
            let error = active.call(&mut store, 1).unwrap_err();
            assert_eq!(code(&error), TrapCode::MemoryOutOfBounds, "{mode}, round {round}");
            let call = |store: &mut Store<()>, name: &str| {
                let func = instance.get_typed_func::<(), ()>(&*store, name).unwrap();
                func.call(store, ())
            };
            call(&mut store, "passive").unwrap();
            let memory = instance.get_memory(&store, "m").unwrap();
            assert_eq!(memory.data(&store)[100_000..100_007], *b"passive", "{mode}, round {round}");
            call(&mut store, "drop").unwrap();
            let error = call(&mut store, "passive").unwrap_err();
            assert_eq!(code(&error), TrapCode::MemoryOutOfBounds, "{mode}, round {round}");
        }
    }
}

#[test]
fn limiters_are_asked_for_memories_with_images() {
    let segments = vec![(100_000, bytes(LARGE, 1))];
    for (mode, engine) in engines() {
        let module = module(&engine, &text("20", "32", &segments));
        for round in 0..5 {
            let bytes = if round % 2 == 0 { 20 << 16 } else { (20 << 16) - 1 };
            let limits = StoreLimitsBuilder::new().memory_size(bytes).build();
            let mut store = Store::new(&engine, limits);
            store.limiter(|limits: &mut StoreLimits| limits);
            let instance = Instance::new(&mut store, &module, &[]);
            assert_eq!(instance.is_ok(), round % 2 == 0, "{mode}, round {round}");
            let Ok(instance) = instance else { continue };
            let memory = instance.get_memory(&store, "m").unwrap();
            assert!(memory.data(&store) == written(&segments, 20 << 16), "{mode}, round {round}");
            assert!(memory.grow(&mut store, 1).is_err(), "{mode}");
        }
    }
}

#[test]
fn images_go_with_their_module() {
    let large: Segments = vec![(100_000, bytes(LARGE, 1)), (1 << 20, bytes(10, 2))];
    let other: Segments = vec![(300_000, bytes(LARGE, 3)), (70_000, bytes(10, 4))];
    for (mode, engine) in engines() {
        let texts = [&large, &other, &vec![]].map(|segments| text("20", "32", segments));
        for _ in 0..3 {
            let mut kept = None;
            for (text, segments) in texts.iter().zip([&large, &other, &vec![]]) {
                let module = module(&engine, text);
                for round in 0..3 {
                    let mut store = Store::new(&engine, ());
                    let instance = Instance::new(&mut store, &module, &[]).unwrap();
                    let memory = instance.get_memory(&store, "m").unwrap();
                    assert!(memory.data(&store) == written(segments, 20 << 16), "{mode}, round {round}");
                    memory.data_mut(&mut store)[round..].fill(5);
                    if round == 2 {
                        kept.get_or_insert((store, memory));
                    }
                }
            }
            // Its module is held by the instance only.
            let (mut store, memory) = kept.unwrap();
            assert!(memory.data(&store)[2..].iter().all(|byte| *byte == 5), "{mode}");
            memory.data_mut(&mut store).fill(6);
        }
    }
}

/// A module with what a context holds: functions that call each other, tables, globals.
const STATEFUL: &str = r#"
    (module
        (import "h" "add" (func $add (param i32 i32) (result i32)))
        (type $op (func (param i32) (result i32)))
        (global $count (export "count") (mut i32) (i32.const 40))
        (global $ref (mut funcref) (ref.func $double))
        (global $v (mut v128) (v128.const i64x2 1 2))
        (table $t (export "t") 4 8 funcref)
        (elem (table $t) (i32.const 0) func $double $square)
        (elem $e func $square)
        (memory 1)
        (func $double (type $op) (call $add (local.get 0) (local.get 0)))
        (func $square (type $op) (i32.mul (local.get 0) (local.get 0)))
        (func (export "run") (param i32 i32) (result i32)
            (local $i i32)
            (global.set $count (i32.add (global.get $count) (i32.const 1)))
            (loop $l
                (local.set 1 (call_indirect $t (type $op) (local.get 1) (local.get 0)))
                (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 3))))
            (i32.add (local.get 1) (global.get $count)))
        (func (export "spoil")
            (global.set $ref (ref.null func))
            (global.set $v (v128.const i64x2 3 4))
            (global.set $count (i32.const 1000))
            (table.set $t (i32.const 0) (ref.func $square))
            (drop (table.grow $t (ref.func $double) (i32.const 3)))
            (elem.drop $e)
            (i32.store (i32.const 8) (i32.const 1)))
        (func (export "untouched") (result i32)
            (table.init $t $e (i32.const 3) (i32.const 0) (i32.const 1))
            (i32.add
                (i32.add (ref.is_null (global.get $ref)) (i32.load (i32.const 8)))
                (i32.add
                    (i32x4.extract_lane 0 (i32x4.eq (global.get $v) (v128.const i32x4 1 0 2 0)))
                    (table.size $t)))))
"#;

fn use_stateful(mode: &str, engine: &Engine, module: &Module, salt: i32) {
    let mut store = Store::new(engine, salt);
    let add =
        Func::wrap(&mut store, |caller: crescendo::Caller<'_, i32>, a: i32, b: i32| a + b + *caller.data());
    let instances = [0, 1].map(|_| Instance::new(&mut store, module, &[Extern::from(add)]).unwrap());
    for instance in instances {
        let untouched = instance.get_typed_func::<(), i32>(&store, "untouched").unwrap();
        assert_eq!(untouched.call(&mut store, ()).unwrap(), 3, "{mode}");
        let run = instance.get_typed_func::<(i32, i32), i32>(&store, "run").unwrap();
        for call in 1..20 {
            let doubled = run.call(&mut store, (0, 1)).unwrap();
            assert_eq!(doubled, 8 + 7 * salt + 40 + 2 * call - 1, "{mode}");
            assert_eq!(run.call(&mut store, (1, 2)).unwrap(), 256 + 40 + 2 * call, "{mode}");
            assert_eq!(code(&run.call(&mut store, (2, 2)).unwrap_err()), TrapCode::UninitializedElement);
            let count = instance.get_global(&store, "count").unwrap();
            count.set(&mut store, Val::I32(40 + 2 * call)).unwrap();
        }
        let spoil = instance.get_typed_func::<(), ()>(&store, "spoil").unwrap();
        spoil.call(&mut store, ()).unwrap();
        assert_eq!(code(&untouched.call(&mut store, ()).unwrap_err()), TrapCode::TableOutOfBounds, "{mode}");
    }
}

#[test]
fn contexts_of_dropped_instances_are_as_new() {
    for (mode, engine) in engines() {
        let module = module(&engine, STATEFUL);
        (0..8).for_each(|salt| use_stateful(mode, &engine, &module, salt));
    }
}

#[test]
fn threads_make_and_drop_instances_of_the_same_modules() {
    let cases: Vec<(String, Segments)> =
        cases().into_iter().map(|(_, segments)| (text("20 40", "32", &segments), segments)).collect();
    for (mode, engine) in engines() {
        if mode.contains("eager") || mode.contains("functions") {
            continue;
        }
        let stateful = module(&engine, STATEFUL);
        let modules: Vec<_> = cases
            .iter()
            .map(|(text, segments)| (module(&engine, text), written(segments, 20 << 16)))
            .collect();
        thread::scope(|scope| {
            for number in 0..4 {
                let (engine, modules, stateful) = (&engine, &modules, &stateful);
                scope.spawn(move || {
                    let mut kept = Vec::new();
                    for round in 0..40 {
                        let (module, expected) = &modules[(round * 5 + number * 3) % modules.len()];
                        let mut store = Store::new(engine, ());
                        let instance = Linker::new(engine).instantiate(&mut store, module).unwrap();
                        let memory = instance.get_memory(&store, "m").unwrap();
                        assert!(memory.data(&store) == expected, "{mode}, round {round}");
                        let from = (round * 100_003) % (20 << 16);
                        memory.data_mut(&mut store)[from..].fill(number as u8);
                        if round % 8 == 0 {
                            use_stateful(mode, engine, stateful, number as i32);
                        }
                        kept.push(store);
                        if kept.len() > 3 {
                            kept.swap_remove(round % 4);
                        }
                    }
                });
            }
        });
    }
}

#[test]
fn more_instances_at_once_than_are_kept_for_later() {
    let segments = vec![(100_000, bytes(LARGE, 1))];
    let engine = Engine::default();
    let module = module(&engine, &text("20", "32", &segments));
    let expected = written(&segments, 20 << 16);
    for _ in 0..2 {
        let stores: Vec<_> = (0..70)
            .map(|salt| {
                let mut store = Store::new(&engine, ());
                let instance = Instance::new(&mut store, &module, &[]).unwrap();
                let memory = instance.get_memory(&store, "m").unwrap();
                assert!(memory.data(&store) == expected);
                memory.data_mut(&mut store).fill(salt);
                (store, memory, salt)
            })
            .collect();
        assert!(
            stores.iter().all(|(store, memory, salt)| memory.data(store).iter().all(|byte| byte == salt))
        );
    }
    let zero = Memory::new(&mut Store::new(&engine, ()), MemoryType::new(20, None));
    assert!(zero.is_ok());
}
