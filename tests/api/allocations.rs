//! Typed calls allocate nothing.

use crate::setup::{engines, module};
use crescendo::{Caller, Linker, Store};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counting each thread's allocations.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call goes on to the system's allocator unchanged; counting does not allocate, since the counter is
// initialised by a constant and needs no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[test]
fn typed_calls_allocate_nothing() {
    for (mode, engine) in engines() {
        let mut store = Store::new(&engine, 0_u64);
        let mut linker = Linker::new(&engine);
        let sum = |mut caller: Caller<'_, u64>, a: i32, b: i64, c: f32, d: f64| {
            *caller.data_mut() += 1;
            (f64::from(a) + b as f64 + f64::from(c) + d, a)
        };
        linker.func_wrap("host", "sum", sum).unwrap();
        let module = module(
            &engine,
            r#"(module
                (import "host" "sum" (func $sum (param i32 i64 f32 f64) (result f64 i32)))
                (func (export "sum") (param i32 i64 f32 f64) (result f64 i32)
                    local.get 0 local.get 1 local.get 2 local.get 3 call $sum))"#,
        );
        let instance = linker.instantiate(&mut store, &module).unwrap();
        let func = instance.get_typed_func::<(i32, i64, f32, f64), (f64, i32)>(&mut store, "sum").unwrap();
        // The first call translates the function and makes the stacks, the second makes it hot where that takes two; those of a
        // function that waits for the compiler may say how hot it is by now.
        let mut first = 2;
        for _ in 0..first {
            assert_eq!(func.call(&mut store, (1, 2, 3.0, 4.0)).unwrap(), (10.0, 1));
        }
        let waits = |state: &str| ["queued", "being compiled"].contains(&state);
        while module.tiering_report().functions.iter().any(|function| waits(&function.state)) {
            std::thread::sleep(std::time::Duration::from_millis(1));
            func.call(&mut store, (1, 2, 3.0, 4.0)).unwrap();
            first += 1;
        }
        let before = COUNT.with(Cell::get);
        for number in 0..100 {
            func.call(&mut store, (number, 2, 3.0, 4.0)).unwrap();
        }
        assert_eq!(COUNT.with(Cell::get) - before, 0, "{mode}");
        assert_eq!(*store.data(), 100 + first, "{mode}");
    }
}
