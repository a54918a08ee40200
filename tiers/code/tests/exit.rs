//! How a process ends that has a thread of low priority: this file runs itself again, as the process that ends.

use crescendo_code::lower_thread_priority;
use std::process::Command;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::mpsc;

const NAME: &str = "threads_of_low_priority_do_not_hold_up_the_end";
const ENDS: &str = "CRESCENDO_TEST_ENDS";
/// Exit codes: the thread had low priority and has not, has it still, never had it.
const RAISED: i32 = 40;
const LOW: i32 = 41;
const NEVER_LOW: i32 = 42;

static THREAD: AtomicI32 = AtomicI32::new(0);

fn policy() -> i32 {
    // SAFETY: the call has no preconditions.
    unsafe { libc::sched_getscheduler(THREAD.load(Ordering::Relaxed)) }
}

/// Functions for the end are called in reverse order: this one, which was there first, after that of the crate.
extern "C" fn last() {
    let code = if policy() == libc::SCHED_IDLE { LOW } else { RAISED };
    // SAFETY: the call ends the process.
    unsafe { libc::_exit(code) }
}

fn end() -> ! {
    // SAFETY: the function lives as long as the program, and does not unwind.
    assert_eq!(unsafe { libc::atexit(last) }, 0);
    let (lowered, wait) = mpsc::channel();
    std::thread::spawn(move || {
        // SAFETY: the call has no preconditions.
        THREAD.store(unsafe { libc::gettid() }, Ordering::Relaxed);
        lower_thread_priority();
        let _ = lowered.send(());
        loop {
            std::thread::park();
        }
    });
    wait.recv().unwrap();
    if policy() != libc::SCHED_IDLE {
        // SAFETY: the call ends the process.
        unsafe { libc::_exit(NEVER_LOW) }
    }
    std::process::exit(0)
}

#[test]
fn threads_of_low_priority_do_not_hold_up_the_end() {
    if std::env::var_os(ENDS).is_some() {
        end();
    }
    let own = std::env::current_exe().unwrap();
    let status = Command::new(own).args(["--exact", NAME]).env(ENDS, "1").status().unwrap();
    let refused = std::thread::spawn(|| {
        let parameters = libc::sched_param { sched_priority: 0 };
        // SAFETY: the parameters live during the call, which only reads them.
        unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &parameters) != 0 }
    });
    // Where the system refuses low priority no thread has it.
    let expected = if refused.join().unwrap() { NEVER_LOW } else { RAISED };
    assert_eq!(status.code(), Some(expected), "{LOW} is a thread that still has low priority");
}
