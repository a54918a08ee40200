//! How threads compete for processors.

/// The nice value of a thread of low priority, where it cannot be idle: beside a thread of normal priority on the same processor Linux gives
/// it a seventieth of the time. With 10, which gives it a tenth, a synthesis by yosys took 4.94 s instead of 4.70 s (medians of 7 alternating
/// runs on two cores, which the guest and a thread that compiles had to share with it).
const NICE: libc::c_int = 19;

/// Lets the calling thread run where others would not, from now on: others do not wait for it, and are placed on its processor as on
/// one without work. Where the system refuses, nothing changes.
pub fn lower_thread_priority() {
    if !schedule(libc::SCHED_IDLE) {
        // SAFETY: the call has no preconditions. On Linux 0 stands for the calling thread.
        unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) };
    }
}

/// Lets the thread that wakes the calling one go on, from now on, if there is no other processor.
pub fn never_preempt() {
    schedule(libc::SCHED_BATCH);
}

/// Changes how the calling thread is scheduled; whether the system did.
fn schedule(policy: libc::c_int) -> bool {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: on Linux 0 stands for the calling thread; the parameters live during the call, which only reads them.
    unsafe { libc::sched_setscheduler(0, policy, &parameters) == 0 }
}
