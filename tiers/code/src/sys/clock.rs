//! What profilers want to know of the moment, and what work has cost.

/// Nanoseconds of the system's monotonic clock, the one of `perf record -k mono`.
pub fn monotonic_nanoseconds() -> u64 {
    nanoseconds(libc::CLOCK_MONOTONIC)
}

/// Nanoseconds that the calling thread has had a processor.
pub fn thread_nanoseconds() -> u64 {
    nanoseconds(libc::CLOCK_THREAD_CPUTIME_ID)
}

fn nanoseconds(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a `timespec`, and every Linux has these clocks.
    unsafe { libc::clock_gettime(clock, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// The operating system's number of the calling thread.
pub fn thread_id() -> u32 {
    // SAFETY: the call has no preconditions.
    (unsafe { libc::gettid() }) as u32
}
