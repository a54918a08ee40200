//! How threads compete for processors.

/// The nice value of a thread of low priority: beside a thread of normal priority on the same processor Linux gives it a
/// seventieth of the time. With 10, which gives it a tenth, a synthesis by yosys took 4.94 s instead of 4.70 s (medians of 7 alternating
/// runs on two cores, which the guest and a thread that compiles had to share with it).
const NICE: libc::c_int = 19;

/// Lets the calling thread run where others would not, from now on. Where the system refuses, nothing changes.
pub fn lower_thread_priority() {
    // SAFETY: the call has no preconditions. On Linux 0 stands for the calling thread.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) };
}
