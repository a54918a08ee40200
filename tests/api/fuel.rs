//! Fuel: charged as guests run, and the same in every mode.

use crate::setup::{modes, module};
use crescendo::{Config, Engine, Instance, Store, TrapCode};

fn fueled() -> Vec<(&'static str, Engine)> {
    let engine = |mut config: Config| Engine::new(config.consume_fuel(true)).unwrap();
    modes().into_iter().map(|(name, config)| (name, engine(config))).collect()
}

const TEXT: &str = r#"
    (module
        (memory 1)
        (func (export "loop") (param i32)
            (loop $l (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
        (func (export "forever") (loop $l (br $l)))
        (func (export "fill") (param i32) (memory.fill (i32.const 0) (i32.const 1) (local.get 0)))
        (func $recurse (export "recurse") (param i32)
            (if (local.get 0) (then (call $recurse (i32.sub (local.get 0) (i32.const 1)))))))
"#;

#[test]
fn fuel_is_the_same_in_every_mode() {
    let mut used = Vec::new();
    for (mode, engine) in fueled() {
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module(&engine, TEXT), &[]).unwrap();
        let mut costs = Vec::new();
        for (name, n) in [("loop", 1), ("loop", 1000), ("fill", 0), ("fill", 0x10000), ("recurse", 100)] {
            store.set_fuel(1_000_000).unwrap();
            instance.get_typed_func::<i32, ()>(&store, name).unwrap().call(&mut store, n).unwrap();
            costs.push(1_000_000 - store.get_fuel().unwrap());
        }
        assert!(
            costs[1] > costs[0] + 999 && costs[3] > costs[2] + 999 && costs[4] > 100,
            "{mode}: {costs:?}"
        );
        used.push(costs);
    }
    assert!(used.iter().all(|costs| *costs == used[0]), "{used:?}");
}

#[test]
fn a_guest_without_fuel_stops_at_the_same_place_in_every_mode() {
    let mut ends = Vec::new();
    for (mode, engine) in fueled() {
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module(&engine, TEXT), &[]).unwrap();
        let forever = instance.get_typed_func::<(), ()>(&store, "forever").unwrap();
        let looping = instance.get_typed_func::<i32, ()>(&store, "loop").unwrap();
        let mut places = Vec::new();
        for fuel in [0, 1, 2, 3, 10, 999, 1000, 1001] {
            for run in 0..2 {
                store.set_fuel(fuel).unwrap();
                let result =
                    if run == 0 { forever.call(&mut store, ()) } else { looping.call(&mut store, 1 << 30) };
                let error = result.unwrap_err();
                let trap = error.trap().unwrap();
                assert_eq!(trap.code(), TrapCode::OutOfFuel, "{mode}");
                places.push((trap.module_offset(), store.get_fuel().unwrap()));
            }
        }
        ends.push(places);
    }
    assert!(ends.iter().all(|places| *places == ends[0]), "{ends:?}");
}

#[test]
fn fuel_needs_an_engine_that_consumes_it() {
    let mut store = Store::new(&Engine::default(), ());
    assert!(store.set_fuel(1).is_err() && store.get_fuel().is_err());
    let mut store = Store::new(&fueled().remove(0).1, ());
    assert_eq!(store.get_fuel().unwrap(), 0);
    store.set_fuel(u64::MAX).unwrap();
    assert_eq!(store.get_fuel().unwrap(), i64::MAX as u64);
}
