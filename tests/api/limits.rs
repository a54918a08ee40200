//! Limits of a store on memories, tables and instances.

use crate::setup::{engines, instance, module};
use crescendo::{
    Engine, Error, Func, Instance, Linker, Memory, MemoryType, RefType, ResourceLimiter, Result, Store,
    StoreLimits, StoreLimitsBuilder, Table, TableType,
};

const PAGE: usize = 1 << 16;

const GROWS: &str = r#"(module
    (memory 1 8)
    (table 1 8 funcref)
    (func (export "memory") (param i32) (result i32) local.get 0 memory.grow)
    (func (export "table") (param i32) (result i32) ref.null func local.get 0 table.grow))"#;

fn limited(engine: &Engine, limits: StoreLimitsBuilder) -> Store<StoreLimits> {
    let mut store = Store::new(engine, limits.build());
    store.limiter(|limits| limits);
    store
}

fn grow<T>(store: &mut Store<T>, instance: Instance, what: &str, delta: i32) -> Result<i32> {
    instance.get_typed_func::<i32, i32>(&mut *store, what)?.call(store, delta)
}

#[test]
fn growth_past_a_limit_gives_minus_one() {
    for (mode, engine) in engines() {
        let mut store = limited(&engine, StoreLimitsBuilder::new().memory_size(3 * PAGE).table_elements(3));
        let instance = instance(&mut store, GROWS);
        for what in ["memory", "table"] {
            for (delta, result) in [(1, 1), (2, -1), (1, 2), (0, 3), (1, -1), (-1, -1)] {
                assert_eq!(grow(&mut store, instance, what, delta).unwrap(), result, "{what} in mode {mode}");
            }
        }
    }
}

#[test]
fn growth_past_a_limit_is_an_error_on_request() {
    for (mode, engine) in engines() {
        let limits =
            StoreLimitsBuilder::new().memory_size(3 * PAGE).table_elements(3).trap_on_grow_failure(true);
        let mut store = limited(&engine, limits);
        let instance = instance(&mut store, GROWS);
        assert_eq!(grow(&mut store, instance, "memory", 2).unwrap(), 1, "{mode}");
        let error = grow(&mut store, instance, "memory", 1).unwrap_err();
        assert_eq!(format!("{error:#}"), "a memory of 262144 bytes, the store's limit is 196608", "{mode}");
        assert_eq!(error.backtrace().map(|backtrace| backtrace.frames().len()), Some(1), "{mode}");
        let error = grow(&mut store, instance, "table", 3).unwrap_err();
        assert_eq!(format!("{error:#}"), "a table of 4 elements, the store's limit is 3", "{mode}");
        assert_eq!(grow(&mut store, instance, "memory", 0).unwrap(), 3, "{mode}");
    }
}

#[test]
fn the_declared_maximum_holds_without_limits() {
    for (mode, engine) in engines() {
        let mut store = Store::new(&engine, ());
        let instance = instance(&mut store, GROWS);
        for what in ["memory", "table"] {
            for (delta, result) in [(8, -1), (7, 1), (1, -1), (0, 8)] {
                assert_eq!(grow(&mut store, instance, what, delta).unwrap(), result, "{what} in mode {mode}");
            }
        }
    }
}

#[test]
fn objects_of_the_host_are_limited_as_well() {
    let mut store =
        limited(&Engine::default(), StoreLimitsBuilder::new().memory_size(2 * PAGE).table_elements(2));
    assert!(Memory::new(&mut store, MemoryType::new(3, None)).is_err());
    let memory = Memory::new(&mut store, MemoryType::new(1, None)).unwrap();
    assert_eq!(memory.grow(&mut store, 1).unwrap(), 1);
    assert!(memory.grow(&mut store, 1).is_err());
    assert_eq!(memory.size(&store), 2);
    let ty = |minimum| TableType::new(RefType::FUNCREF, minimum, None);
    assert!(Table::new(&mut store, ty(3), None::<Func>.into()).is_err());
    let table = Table::new(&mut store, ty(1), None::<Func>.into()).unwrap();
    assert_eq!(table.grow(&mut store, 1, None::<Func>.into()).unwrap(), 1);
    assert!(table.grow(&mut store, 1, None::<Func>.into()).is_err());
    assert_eq!(table.size(&store), 2);
}

#[test]
fn a_module_that_starts_past_a_limit_is_refused() {
    for (mode, engine) in engines() {
        let cases = [
            ("(module (memory 2))", StoreLimitsBuilder::new().memory_size(PAGE)),
            ("(module (table 2 funcref))", StoreLimitsBuilder::new().table_elements(1)),
            ("(module (memory 1) (memory 1))", StoreLimitsBuilder::new().memories(1)),
            ("(module (table 1 funcref) (table 1 funcref))", StoreLimitsBuilder::new().tables(1)),
            ("(module)", StoreLimitsBuilder::new().instances(0)),
        ];
        for (text, limits) in cases {
            let mut store = limited(&engine, limits);
            let module = module(&engine, text);
            let linker = Linker::new(&engine);
            assert!(linker.instantiate(&mut store, &module).is_err(), "{text} in mode {mode}");
        }
    }
}

#[test]
fn instances_are_counted() {
    let engine = Engine::default();
    let mut store = limited(&engine, StoreLimitsBuilder::new().instances(2));
    let module = module(&engine, "(module)");
    let linker = Linker::new(&engine);
    linker.instantiate(&mut store, &module).unwrap();
    linker.instantiate(&mut store, &module).unwrap();
    let error = linker.instantiate(&mut store, &module).unwrap_err().to_string();
    assert!(error.contains('2') && error.contains("instances"), "{error}");
}

/// Notes what it is asked, and answers from a script.
#[derive(Default)]
struct Script {
    asked: Vec<(&'static str, usize, usize, Option<usize>)>,
    failed: Vec<String>,
    error: Option<&'static str>,
}

impl Script {
    fn ask(
        &mut self,
        what: &'static str,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool> {
        self.asked.push((what, current, desired, maximum));
        match self.error {
            Some(message) => Err(Error::msg(message)),
            None => Ok(true),
        }
    }
}

impl ResourceLimiter for Script {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        self.ask("memory", current, desired, maximum)
    }

    fn memory_grow_failed(&mut self, error: Error) -> Result<()> {
        self.failed.push(error.to_string());
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        self.ask("table", current, desired, maximum)
    }

    fn table_grow_failed(&mut self, error: Error) -> Result<()> {
        self.failed.push(error.to_string());
        Ok(())
    }
}

#[test]
fn a_limiter_hears_sizes_in_bytes_and_elements() {
    for (mode, engine) in engines() {
        let mut store = Store::new(&engine, Script::default());
        store.limiter(|script| script);
        let instance = instance(&mut store, GROWS);
        let mut asked = std::mem::take(&mut store.data_mut().asked);
        asked.sort_unstable();
        assert_eq!(asked, [("memory", 0, PAGE, Some(8 * PAGE)), ("table", 0, 1, Some(8))], "{mode}");
        grow(&mut store, instance, "memory", 2).unwrap();
        grow(&mut store, instance, "table", 2).unwrap();
        let asked = std::mem::take(&mut store.data_mut().asked);
        assert_eq!(asked, [("memory", PAGE, 3 * PAGE, Some(8 * PAGE)), ("table", 1, 3, Some(8))], "{mode}");

        // Yes from the limiter does not lift the declared maximum, and it is told.
        assert_eq!(grow(&mut store, instance, "memory", 6).unwrap(), -1, "{mode}");
        assert_eq!(grow(&mut store, instance, "table", 6).unwrap(), -1, "{mode}");
        assert_eq!(store.data().failed.len(), 2, "{mode}: {:?}", store.data().failed);
    }
}

#[test]
fn an_error_of_a_limiter_comes_out_of_the_call() {
    for (mode, engine) in engines() {
        let mut store = Store::new(&engine, Script::default());
        store.limiter(|script| script);
        let instance = instance(&mut store, GROWS);
        store.data_mut().error = Some("the host has had enough");
        for what in ["memory", "table"] {
            let error = grow(&mut store, instance, what, 1).unwrap_err();
            assert_eq!(format!("{error:#}"), "the host has had enough", "{what} in mode {mode}");
        }
        store.data_mut().error = None;
        assert_eq!(grow(&mut store, instance, "memory", 1).unwrap(), 1, "{mode}");
    }
}
