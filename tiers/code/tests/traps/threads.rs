//! Alternate stacks, signal masks, and many threads at once.

use crate::guest::{Code, Guest, in_child};
use crescendo_code::ensure_thread_ready;
use libc::c_void;
use std::sync::Barrier;
use std::{fs, mem, ptr, thread};

fn alternate_stack() -> libc::stack_t {
    let mut stack = libc::stack_t { ss_sp: ptr::null_mut(), ss_flags: 0, ss_size: 0 };
    // SAFETY: asks only; the pointer is to a `stack_t`.
    assert_eq!(unsafe { libc::sigaltstack(ptr::null(), &mut stack) }, 0);
    stack
}

fn set_alternate_stack(start: *mut c_void, len: usize) {
    let ss_flags = if len == 0 { libc::SS_DISABLE } else { 0 };
    let stack = libc::stack_t { ss_sp: start, ss_flags, ss_size: len };
    // SAFETY: callers pass memory that outlives its use as a stack.
    assert_eq!(unsafe { libc::sigaltstack(&stack, ptr::null_mut()) }, 0);
}

/// Runs `body` on a thread that Rust knows nothing of.
fn on_c_thread(body: fn()) {
    extern "C" fn start(body: *mut c_void) -> *mut c_void {
        // SAFETY: `on_c_thread` passes a `fn()`.
        let body = unsafe { mem::transmute::<*mut c_void, fn()>(body) };
        body();
        ptr::null_mut()
    }
    let mut id = 0;
    // SAFETY: `start` keeps the contract of a thread's function.
    let created = unsafe { libc::pthread_create(&mut id, ptr::null(), start, body as *mut c_void) };
    assert_eq!(created, 0);
    // SAFETY: the thread exists and is joined once.
    assert_eq!(unsafe { libc::pthread_join(id, ptr::null_mut()) }, 0);
}

fn minimum() -> usize {
    // SAFETY: no preconditions.
    (unsafe { libc::getauxval(libc::AT_MINSIGSTKSZ) } as usize).max(libc::MINSIGSTKSZ)
}

#[test]
fn a_thread_without_an_alternate_stack_gets_one() {
    on_c_thread(|| {
        assert_ne!(alternate_stack().ss_flags & libc::SS_DISABLE, 0);
        let mut guest = Guest::new();
        let code = Code::UnreachableWithoutStack;
        assert_eq!(guest.run(code, 0), guest.expected(code));
        let stack = alternate_stack();
        assert!(stack.ss_flags & libc::SS_DISABLE == 0 && stack.ss_size >= 64 << 10, "{}", stack.ss_size);
        ensure_thread_ready().unwrap();
        assert_eq!(alternate_stack().ss_sp, stack.ss_sp);
    });
}

#[test]
fn traps_work_on_the_native_stack_too() {
    on_c_thread(|| {
        let mut guest = Guest::new();
        for code in [Code::Unreachable, Code::DivideByZero] {
            assert_eq!(guest.run_unprepared(code, 0), guest.expected(code));
        }
    });
}

#[test]
fn a_sufficient_alternate_stack_is_kept() {
    let mut own = vec![0_u8; 256 << 10];
    let start = own.as_mut_ptr().cast();
    let len = own.len();
    let before = alternate_stack();
    set_alternate_stack(start, len);
    ensure_thread_ready().unwrap();
    let mut guest = Guest::new();
    let code = Code::UnreachableWithoutStack;
    assert_eq!(guest.run(code, 0), guest.expected(code));
    assert_eq!((alternate_stack().ss_sp, alternate_stack().ss_size), (start, len));
    set_alternate_stack(before.ss_sp, before.ss_size);
}

#[test]
fn an_alternate_stack_that_is_too_small_is_replaced() {
    on_c_thread(|| {
        let mut small = vec![0_u8; minimum() + 1024];
        set_alternate_stack(small.as_mut_ptr().cast(), small.len());
        let mut guest = Guest::new();
        let code = Code::UnreachableWithoutStack;
        assert_eq!(guest.run(code, 0), guest.expected(code));
        assert_ne!(alternate_stack().ss_sp, small.as_mut_ptr().cast());
        assert!(small.iter().all(|byte| *byte == 0));
    });
}

#[test]
fn the_handlers_take_no_more_than_what_threads_are_asked_to_have() {
    const PATTERN: u8 = 0xa5;
    const HANDLER_BYTES: usize = if cfg!(debug_assertions) { 12 << 10 } else { 4 << 10 };
    thread::spawn(|| {
        let rust = alternate_stack();
        let mut own = vec![PATTERN; 64 << 10];
        set_alternate_stack(own.as_mut_ptr().cast(), own.len());
        let mut guest = Guest::new();
        let address = guest.guard_end(1) - 8;
        for code in [Code::UnreachableWithoutStack, Code::DivideByZero, Code::Load] {
            assert_eq!(guest.run(code, address), guest.expected(code));
        }
        let used = own.iter().position(|byte| *byte != PATTERN).map_or(0, |lowest| own.len() - lowest);
        set_alternate_stack(rust.ss_sp, rust.ss_size);
        println!(
            "alternate stack: {used} bytes used, Rust's has {}, the kernel's least is {}",
            rust.ss_size,
            minimum()
        );
        // What `ensure_thread_ready` asks for.
        assert!(used <= minimum() + HANDLER_BYTES, "{used} bytes used");
    })
    .join()
    .unwrap();
}

#[test]
fn alternate_stacks_are_freed_with_their_threads() {
    let output = in_child("threads::alternate_stacks_are_freed_with_their_threads", || {
        let mappings = || fs::read_to_string("/proc/self/maps").unwrap().lines().count();
        let trap = || {
            on_c_thread(|| {
                let mut guest = Guest::new();
                assert!(guest.run(Code::UnreachableWithoutStack, 0).is_some());
            })
        };
        trap();
        let before = mappings();
        (0..200).for_each(|_| trap());
        let after = mappings();
        assert!(after <= before + 10, "{before} mappings before, {after} after");
    });
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn blocked_signals_are_let_through() {
    thread::spawn(|| {
        // SAFETY: zeros are a valid set.
        let mut all: libc::sigset_t = unsafe { mem::zeroed() };
        // SAFETY: `all` is a set.
        unsafe { libc::sigfillset(&mut all) };
        // SAFETY: `all` is a set; the old one is not asked for.
        assert_eq!(unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &all, ptr::null_mut()) }, 0);
        let mut guest = Guest::new();
        for _ in 0..2 {
            for code in [Code::Unreachable, Code::DivideOverflow, Code::LoadNull] {
                assert_eq!(guest.run(code, 0), guest.expected(code));
            }
        }
    })
    .join()
    .unwrap();
}

#[test]
fn a_thread_may_trap_while_its_locals_are_destroyed() {
    struct TrapOnDrop;
    impl Drop for TrapOnDrop {
        fn drop(&mut self) {
            let mut guest = Guest::new();
            assert_eq!(guest.run(Code::Unreachable, 0), guest.expected(Code::Unreachable));
        }
    }
    thread_local!(static LAST: TrapOnDrop = const { TrapOnDrop });
    on_c_thread(|| {
        LAST.with(|_| ());
        // Destroyed before `LAST`, whose destructor was registered earlier or later, depending on the platform: both work.
        assert!(Guest::new().run(Code::DivideByZero, 0).is_some());
    });
    on_c_thread(|| LAST.with(|_| ()));
}

#[test]
fn many_threads_trap_at_once() {
    const THREADS: usize = 16;
    let barrier = Barrier::new(THREADS);
    thread::scope(|scope| {
        for index in 0..THREADS {
            let barrier = &barrier;
            scope.spawn(move || {
                let mut guest = Guest::new();
                let address = guest.guard_end(index % 2) - 8;
                let codes = [
                    Code::Load,
                    Code::Unreachable,
                    Code::DivideByZero,
                    Code::LoadLater,
                    Code::DivideOverflow,
                ];
                barrier.wait();
                for round in 0..1_000 {
                    let code = codes[(index + round) % codes.len()];
                    assert_eq!(
                        guest.run(code, address),
                        guest.expected(code),
                        "thread {index}, round {round}"
                    );
                }
            });
        }
    });
}
