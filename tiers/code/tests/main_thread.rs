//! What is special about the main thread: its stack's bounds depend on a limit of the process.
//!
//! Runs without the test harness, which runs tests in threads of their own. Starts itself anew for each case.

use crescendo_code::{ensure_thread_ready, install_trap_handlers, native_stack_bounds, stack_pointer};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Output};
use std::{env, hint, io};

const MIB: usize = 1 << 20;

fn main() {
    match env::var("CRESCENDO_CASE").as_deref() {
        Err(_) => start_cases(),
        Ok("bounds") => print_bounds(),
        Ok("overflow") => {
            install_trap_handlers().unwrap();
            ensure_thread_ready().unwrap();
            overflow(0);
        }
        Ok(case) => panic!("no case {case}"),
    }
}

fn start_cases() {
    // The program's arguments and environment lie above; at most a page below is a guard.
    for limit in [8 * MIB, 64 * MIB] {
        let len = bounds_under(limit as libc::rlim_t);
        assert!(len <= limit && len > limit / 2, "{len} bytes under a limit of {limit}");
    }
    assert_eq!(bounds_under(libc::RLIM_INFINITY), 1 << 30);

    let output = start("overflow", (8 * MIB) as libc::rlim_t);
    assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{output:?}");
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("'main'") && message.contains("has overflowed its stack"), "{message}");
    println!("main thread: ok");
}

/// Starts this program for one case, under a limit of its stack's bytes.
fn start(case: &str, limit: libc::rlim_t) -> Output {
    let mut command = Command::new(env::current_exe().unwrap());
    command.env("CRESCENDO_CASE", case);
    let set_limits = move || {
        set_limit(libc::RLIMIT_CORE, 0)?;
        set_limit(libc::RLIMIT_STACK, limit)
    };
    // SAFETY: the closure makes system calls only.
    unsafe { command.pre_exec(set_limits) };
    command.output().unwrap()
}

fn set_limit(resource: libc::__rlimit_resource_t, soft: libc::rlim_t) -> io::Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is an `rlimit`.
    if unsafe { libc::getrlimit(resource, &mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    limit.rlim_cur = soft;
    // SAFETY: as above.
    if unsafe { libc::setrlimit(resource, &limit) } != 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn bounds_under(limit: libc::rlim_t) -> usize {
    let output = start("bounds", limit);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).trim().parse().unwrap()
}

fn print_bounds() {
    let bounds = native_stack_bounds().unwrap();
    assert!((bounds.low..bounds.high).contains(&stack_pointer()), "{bounds:x?}");
    println!("{}", bounds.high - bounds.low);
}

#[expect(unconditional_recursion, reason = "the test is about the overflow")]
fn overflow(depth: u64) -> u64 {
    let words = hint::black_box([depth; 64]);
    overflow(depth + 1) + words[7]
}
