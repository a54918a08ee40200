//! The moment and the calling thread.

/// Nanoseconds of the system's monotonic clock, the one of `perf record -k mono`.
pub fn monotonic_nanoseconds() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a `timespec`, and every Linux has this clock.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// How much nicer to others a thread of low priority is: beside a thread of normal priority on the same processor it gets a tenth
/// of the time.
const NICE: libc::c_int = 19;

/// Lets the calling thread run where others would not, from now on. Where the system refuses, nothing changes.
pub fn lower_thread_priority() {
    // SAFETY: the call has no preconditions. On Linux 0 stands for the calling thread.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) };
}

/// The operating system's number of the calling thread.
pub fn thread_id() -> u32 {
    // SAFETY: the call has no preconditions.
    (unsafe { libc::gettid() }) as u32
}
