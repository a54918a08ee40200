//! What profilers want to know of the moment.

/// Nanoseconds of the system's monotonic clock, the one of `perf record -k mono`.
pub fn monotonic_nanoseconds() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a `timespec`, and every Linux has this clock.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// The operating system's number of the calling thread.
pub fn thread_id() -> u32 {
    // SAFETY: the call has no preconditions.
    (unsafe { libc::gettid() }) as u32
}
