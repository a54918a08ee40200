//! How threads compete for processors.

use std::mem::MaybeUninit;
use std::os::unix::thread::JoinHandleExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// The nice value of a thread of low priority, where it cannot be idle: beside a thread of normal priority on the same processor Linux gives
/// it a seventieth of the time. With 10, which gives it a tenth, a synthesis by yosys took 4.94 s instead of 4.70 s (medians of 7 alternating
/// runs on two cores, which the guest and a thread that compiles had to share with it).
const NICE: libc::c_int = 19;

/// Lets the calling thread run where others would not, from now on: others do not wait for it, and are placed on its processor as on
/// one without work. Where the system refuses, nothing changes.
///
/// When the process exits, by returning from `main` or by `exit`, its threads of low priority get normal priority (where they had only a
/// nice value they keep it): a process ends when the last of its threads does, for which that has to run once more, and beside programs
/// that do not stop it would wait for seconds. A thread that is lowered in that very moment may miss it, and the end is late.
pub fn lower_thread_priority() {
    Lowered::note();
    if !EXITING.load(Ordering::Relaxed) && !schedule(libc::SCHED_IDLE) {
        // SAFETY: the call has no preconditions. On Linux 0 stands for the calling thread.
        unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) };
    }
}

/// Lets the thread that wakes the calling one go on, from now on, if there is no other processor.
pub fn never_preempt() {
    schedule(libc::SCHED_BATCH);
}

/// As [`lower_thread_priority`], for a thread whose priority was raised again. Whether the system did.
pub fn lower_priority_of(thread: ThreadNumber) -> bool {
    !EXITING.load(Ordering::Relaxed) && schedule_thread(thread.0, libc::SCHED_IDLE)
}

/// Takes [`lower_thread_priority`] back for a thread, as far as [`never_preempt`] goes. Whether the system did.
pub fn raise_thread_priority(thread: ThreadNumber) -> bool {
    schedule_thread(thread.0, libc::SCHED_BATCH)
}

/// Whether the process is about to end.
static EXITING: AtomicBool = AtomicBool::new(false);

/// The process whose end is looked after.
static PROCESS: OnceLock<u32> = OnceLock::new();

/// The threads that are, or may be, of low priority. None of them is while it holds the lock: others would wait for it.
static LOWERED: Mutex<Vec<libc::pid_t>> = Mutex::new(Vec::new());

/// A thread among [`LOWERED`], until it ends: its number may be another one's then.
struct Lowered(libc::pid_t);

impl Lowered {
    /// Notes the calling thread, which is not of low priority yet.
    fn note() {
        thread_local!(static NOTED: Lowered = {
            PROCESS.get_or_init(|| {
                // SAFETY: the function lives as long as the program, and does not unwind. Where there is no room for it, the end is late.
                let _ = unsafe { libc::atexit(at_exit) };
                std::process::id()
            });
            let ThreadNumber(thread) = ThreadNumber::current();
            LOWERED.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
            Lowered(thread)
        });
        // A thread that is ending has no such values any more, and need not be noted.
        let _ = NOTED.try_with(|_| ());
    }
}

impl Drop for Lowered {
    fn drop(&mut self) {
        schedule(libc::SCHED_BATCH);
        LOWERED.lock().unwrap_or_else(PoisonError::into_inner).retain(|thread| *thread != self.0);
    }
}

extern "C" fn at_exit() {
    // In a child that was forked the threads, and perhaps the lock, are its parent's.
    if PROCESS.get() == Some(&std::process::id()) {
        EXITING.store(true, Ordering::Relaxed);
        raise_lowered();
    }
}

/// Gives all threads that were lowered normal priority.
fn raise_lowered() {
    for thread in LOWERED.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        raise_thread_priority(ThreadNumber(*thread));
    }
}

/// Changes how the calling thread is scheduled; whether the system did.
fn schedule(policy: libc::c_int) -> bool {
    // On Linux 0 stands for the calling thread.
    schedule_thread(0, policy)
}

fn schedule_thread(thread: libc::pid_t, policy: libc::c_int) -> bool {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: the parameters live during the call, which only reads them; a thread that has ended is an error.
    unsafe { libc::sched_setscheduler(thread, policy, &parameters) == 0 }
}

/// A thread, as the system numbers it.
#[derive(Clone, Copy, Debug)]
pub struct ThreadNumber(libc::pid_t);

impl ThreadNumber {
    /// The calling thread.
    pub fn current() -> ThreadNumber {
        // SAFETY: the call has no preconditions.
        ThreadNumber(unsafe { libc::gettid() })
    }

    /// The processor time that the thread has had, if it is one of this process.
    pub fn processor_time(self) -> Option<Duration> {
        // As Linux numbers the clocks of threads: clock_getcpuclockid(3) and pthread_getcpuclockid(3) give the same.
        let clock = (!self.0 << 3) | 6;
        let mut time = MaybeUninit::<libc::timespec>::zeroed();
        // SAFETY: the call writes a time; a clock that is not there is an error.
        let known = unsafe { libc::clock_gettime(clock, time.as_mut_ptr()) == 0 };
        // SAFETY: a pair of integers, which were zeroed.
        let time = unsafe { time.assume_init() };
        known.then(|| Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
    }
}

/// The processors that a thread may run on.
#[derive(Clone, Copy)]
pub struct Processors(libc::cpu_set_t);

impl Processors {
    /// Those of the calling thread, if the system tells them.
    pub fn of_this_thread() -> Option<Processors> {
        let mut set = MaybeUninit::<libc::cpu_set_t>::zeroed();
        // SAFETY: 0 stands for the calling thread; the set has the size that is given.
        let known =
            unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), set.as_mut_ptr()) == 0 };
        // SAFETY: a set of bits, all of which were zeroed.
        known.then(|| Processors(unsafe { set.assume_init() }))
    }

    /// Lets the calling thread run on these.
    pub fn allow(&self) {
        set_processors(0, &self.0);
    }

    /// Lets another thread run on these but for the one on which the calling thread runs, if there are others.
    pub fn keep_away(&self, thread: ThreadNumber) {
        if let Some(others) = self.others() {
            set_processors(thread.0, &others);
        }
    }

    /// As [`Processors::keep_away`], for a thread that the calling one has just started.
    pub fn keep_new_away<R>(&self, thread: &JoinHandle<R>) {
        if let Some(others) = self.others() {
            let size = size_of::<libc::cpu_set_t>();
            // SAFETY: the handle's thread was not joined; the set has the size that is given and is only read.
            unsafe { libc::pthread_setaffinity_np(thread.as_pthread_t() as libc::pthread_t, size, &others) };
        }
    }

    /// These without the one on which the calling thread runs; `None` if there are no others.
    fn others(&self) -> Option<libc::cpu_set_t> {
        let mut others = self.0;
        // SAFETY: the call has no preconditions.
        let current = usize::try_from(unsafe { libc::sched_getcpu() }).ok()?;
        if current >= libc::CPU_SETSIZE as usize {
            return None;
        }
        // SAFETY: the set has a bit for this processor.
        unsafe { libc::CPU_CLR(current, &mut others) };
        // SAFETY: the set is only read.
        (unsafe { libc::CPU_COUNT(&others) } > 0).then_some(others)
    }
}

/// Where the system refuses, nothing changes.
fn set_processors(thread: libc::pid_t, set: &libc::cpu_set_t) {
    // SAFETY: the set has the size that is given and is only read; a thread that has ended is an error.
    unsafe { libc::sched_setaffinity(thread, size_of::<libc::cpu_set_t>(), set) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn a_thread_is_lowered_raised_and_its_time_known() {
        let policy = |thread: ThreadNumber| {
            // SAFETY: the call has no preconditions.
            unsafe { libc::sched_getscheduler(thread.0) }
        };
        let worker = std::thread::spawn(move || {
            let this = ThreadNumber::current();
            let normal = policy(this);
            lower_thread_priority();
            let lowered = policy(this);
            let raised = raise_thread_priority(this).then(|| policy(this));
            let again = lower_priority_of(this).then(|| policy(this));
            raise_lowered();
            let at_exit = policy(this);
            let before = this.processor_time().unwrap();
            let mut sum = 0u64;
            while this.processor_time().unwrap() <= before {
                sum = std::hint::black_box(sum + 1);
            }
            let noted = LOWERED.lock().unwrap().contains(&this.0);
            (this, noted, normal, lowered, raised, again, at_exit)
        });
        let (this, noted, normal, lowered, raised, again, at_exit) = worker.join().unwrap();
        assert_eq!(normal, libc::SCHED_OTHER);
        assert!(noted && !LOWERED.lock().unwrap().contains(&this.0), "until the thread ends");
        // Where the system refuses the one, it has the other.
        if lowered == libc::SCHED_IDLE {
            assert_eq!((raised, again), (Some(libc::SCHED_BATCH), Some(libc::SCHED_IDLE)));
            assert_eq!(at_exit, libc::SCHED_BATCH);
        } else {
            assert_eq!(lowered, libc::SCHED_OTHER);
        }
    }

    #[test]
    fn a_thread_is_kept_away_and_let_back() {
        let (send, receive) = mpsc::channel();
        let (go, gone) = mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            let all = Processors::of_this_thread().unwrap();
            send.send((ThreadNumber::current(), all)).unwrap();
            gone.recv().unwrap();
            let fewer = Processors::of_this_thread().unwrap();
            all.allow();
            let again = Processors::of_this_thread().unwrap();
            // SAFETY: the sets are only read.
            [all, fewer, again].map(|set| unsafe { libc::CPU_COUNT(&set.0) })
        });
        let (number, all) = receive.recv().unwrap();
        all.keep_away(number);
        go.send(()).unwrap();
        let [all, fewer, again] = thread.join().unwrap();
        assert_eq!((fewer, again), (if all > 1 { all - 1 } else { 1 }, all));
    }
}
