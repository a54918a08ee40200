//! What is to be compiled, and the threads that do it.
//!
//! Hottest first. Threads are started when there is work and end when there has been none for a while, so that an idle engine
//! has none and no buffers of the compiler either. Jobs hold their modules weakly: what nobody can run any more is not compiled.

use super::low::{Gain, LOOK, Low};
use crescendo_code::{Processors, ThreadNumber};
use crescendo_jit::Scratch;
use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// How long a thread without work waits for more.
const IDLE: Duration = Duration::from_millis(100);

/// Bytes of a compiling thread's stack: Cranelift recurses in large functions.
pub(super) const COMPILER_STACK: usize = 8 << 20;

/// Work for a compiling thread.
pub(super) type Work = Box<dyn FnOnce(&mut Scratch) + Send>;

struct Job {
    heat: u64,
    /// Equally hot jobs are done in the order in which they came.
    number: u64,
    gain: Gain,
    work: Work,
}

impl Ord for Job {
    fn cmp(&self, other: &Job) -> Ordering {
        (self.heat, other.number).cmp(&(other.heat, self.number))
    }
}
impl PartialOrd for Job {
    fn partial_cmp(&self, other: &Job) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl PartialEq for Job {
    fn eq(&self, other: &Job) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Job {}

/// How threads compete with others for processors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Priority {
    Normal,
    /// They run where others would not.
    Low,
}

type AskMost = Box<dyn FnOnce() -> usize + Send>;

/// A queue of an engine.
#[derive(Clone)]
pub(super) struct Queue {
    shared: Arc<Shared>,
}

struct Shared {
    priority: Priority,
    /// How many threads work at once. The first of them asks: finding out takes the system 0.1 ms, for which nobody who adds work waits.
    most_workers: OnceLock<usize>,
    ask_most: Mutex<Option<AskMost>>,
    state: Mutex<State>,
    changed: Condvar,
    /// The queue of low priority that threads without work look after.
    behind: OnceLock<Queue>,
}

/// A thread that waits for work, and the processors that are its.
#[derive(Clone, Copy)]
struct Sleeper {
    thread: ThreadNumber,
    processors: Processors,
}

#[derive(Default)]
struct State {
    jobs: BinaryHeap<Job>,
    /// What is done when there are no jobs.
    idle: VecDeque<Work>,
    number: u64,
    workers: usize,
    waiting: usize,
    /// The thread that waits longest.
    sleeper: Option<Sleeper>,
    /// The processors of the thread that started the last one.
    processors: Option<Processors>,
    /// Whether somebody is about to call [`Queue::start_worker`].
    requested: bool,
    closed: bool,
    low: Low,
}

impl State {
    fn add_job(&mut self, gain: Gain, heat: u64, work: Work) {
        self.number += 1;
        self.jobs.push(Job { heat, number: self.number, gain, work });
    }
}

impl Queue {
    /// An empty queue without threads.
    pub(super) fn new(priority: Priority, most_workers: impl FnOnce() -> usize + Send + 'static) -> Queue {
        let ask_most = Mutex::new(Some(Box::new(most_workers) as AskMost));
        let (most_workers, state, changed) = (OnceLock::new(), Mutex::default(), Condvar::new());
        let behind = OnceLock::new();
        Queue { shared: Arc::new(Shared { priority, most_workers, ask_most, state, changed, behind }) }
    }

    /// Has threads without work look after a queue of low priority: see [`Queue::hurry`]. Only the first counts.
    pub(super) fn look_after(&self, behind: &Queue) {
        let _ = self.shared.behind.set(behind.clone());
    }

    /// Whether there is a thread.
    pub(super) fn has_worker(&self) -> bool {
        self.shared.state().workers > 0
    }

    /// Gives the thread of low priority normal priority, or takes that back: see [`Low::look`]. Whether there is work.
    fn hurry(&self) -> bool {
        let state = &mut *self.shared.state();
        state.low.look(state.jobs.iter().map(|job| job.gain))
    }

    /// Takes back what [`Queue::hurry`] did: others have work again.
    fn relax(&self) {
        self.shared.state().low.relax();
    }

    /// Adds work; it is done sooner the larger `heat` is. Gives it back when no thread can be started.
    pub(super) fn push(&self, heat: u64, work: Work) -> Result<(), Work> {
        self.add(work, |state, work| state.add_job(Gain::First, heat, work))
    }

    /// Adds work that is done when nothing else waits, and that nothing counts as waiting. Gives it back as [`Queue::push`] does.
    pub(super) fn push_idle(&self, work: Work) -> Result<(), Work> {
        self.add(work, |state, work| state.idle.push_back(work))
    }

    fn add(&self, work: Work, place: impl FnOnce(&mut State, Work)) -> Result<(), Work> {
        let mut state = self.shared.state();
        let most_workers = self.shared.most_workers.get().copied().unwrap_or(1);
        if state.waiting == 0
            && state.workers < most_workers
            && !self.spawn(&mut state, Processors::of_this_thread())
            && state.workers == 0
        {
            return Err(work);
        }
        place(&mut state, work);
        let sleeper =
            state.sleeper.filter(|_| state.waiting == 1 && self.shared.priority == Priority::Normal);
        if let Some(sleeper) = sleeper {
            // A virtual machine's idle processor may look busy to the system, which then wakes the thread here: it would wait until
            // the next tick. The thread is still there and takes its processors back afterwards: it needs the lock for both.
            sleeper.processors.keep_away(sleeper.thread);
        }
        drop(state);
        self.shared.changed.notify_one();
        Ok(())
    }

    /// Starts a thread, if the system lets us.
    fn spawn(&self, state: &mut State, processors: Option<Processors>) -> bool {
        let shared = Arc::clone(&self.shared);
        let builder =
            std::thread::Builder::new().name("crescendo-compile".to_string()).stack_size(COMPILER_STACK);
        let Ok(thread) = builder.spawn(move || shared.work(processors)) else { return false };
        if let Some(processors) = processors.filter(|_| self.shared.priority == Priority::Normal) {
            processors.keep_new_away(&thread);
        }
        state.workers += 1;
        state.processors = processors;
        true
    }

    /// Whether the caller has to see to it that [`Queue::start_worker`] is called: there is no thread yet. Once until it is called.
    pub(super) fn requests_worker(&self) -> bool {
        let mut state = self.shared.state();
        state.workers == 0 && !std::mem::replace(&mut state.requested, true)
    }

    /// Adds work without starting a thread for it.
    pub(super) fn push_for_worker(&self, gain: Gain, heat: u64, work: Work) {
        self.shared.state().add_job(gain, heat, work);
        self.shared.changed.notify_one();
    }

    /// The processors that threads may run on, if one was started.
    pub(super) fn processors(&self) -> Option<Processors> {
        self.shared.state().processors
    }

    /// Starts a thread if there is none, which may run on these processors. Gives all that waits back where the system does not let us.
    pub(super) fn start_worker(&self, processors: Option<Processors>) -> Vec<(u64, Work)> {
        let mut state = self.shared.state();
        state.requested = false;
        if state.workers > 0 || state.closed || self.spawn(&mut state, processors) {
            return Vec::new();
        }
        state.jobs.drain().map(|job| (job.heat, job.work)).collect()
    }

    /// Whether no work waits, but for what is done when none does.
    pub(super) fn is_empty(&self) -> bool {
        self.shared.state().jobs.is_empty()
    }

    /// Has work done by another thread, whose stack is large enough whatever the caller's is, and waits for it. `false` when no
    /// thread can be started.
    pub(super) fn run(&self, work: Work) -> bool {
        let (done, wait) = std::sync::mpsc::sync_channel(1);
        let work = move |scratch: &mut Scratch| {
            work(scratch);
            // The receiver waits below.
            let _ = done.send(());
        };
        self.push(u64::MAX, Box::new(work)).is_ok() && wait.recv().is_ok()
    }

    /// Drops what is not done yet, and lets the threads end.
    pub(super) fn close(&self) {
        let jobs = {
            let mut state = self.shared.state();
            state.closed = true;
            (std::mem::take(&mut state.jobs), std::mem::take(&mut state.idle))
        };
        self.shared.changed.notify_all();
        drop(jobs);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a thread does that may run on these processors.
    fn work(&self, processors: Option<Processors>) {
        if self.priority == Priority::Low {
            // Before others go first.
            self.state().low.worker = Some(ThreadNumber::current());
            crescendo_code::lower_thread_priority();
        } else {
            crescendo_code::never_preempt();
        }
        // Who has started this thread holds the lock while it keeps it away, and may have been kept away from some processors itself.
        drop(self.state());
        if let Some(processors) = processors {
            processors.allow();
        }
        let ask_most = self.ask_most.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(ask_most) = ask_most {
            let _ = self.most_workers.set(ask_most().max(1));
        }
        let sleeper = processors.map(|processors| Sleeper { thread: ThreadNumber::current(), processors });
        let mut scratch = Scratch::new();
        while let Some(work) = self.next(sleeper) {
            work(&mut scratch);
        }
    }

    /// Waits for work; `None` when the thread is to end.
    fn next(&self, sleeper: Option<Sleeper>) -> Option<Work> {
        let mut state = self.state();
        let mut idle_since = Instant::now();
        loop {
            let job = state.jobs.pop().map(|job| (job.gain, job.work));
            if let Some((gain, work)) = job.or_else(|| Some((Gain::First, state.idle.pop_front()?))) {
                state.low.begin(gain);
                if let Some(behind) = self.behind.get() {
                    behind.relax();
                }
                return Some(work);
            }
            state.low.end();
            let mut timed_out = state.closed;
            if !timed_out {
                state.waiting += 1;
                state.sleeper = state.sleeper.or(sleeper);
                let wait = if self.behind.get().is_some() { LOOK } else { IDLE };
                let (again, timeout) =
                    self.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner);
                state = again;
                state.waiting -= 1;
                state.sleeper = None;
                if let Some(sleeper) = sleeper.filter(|_| self.priority == Priority::Normal) {
                    sleeper.processors.allow();
                }
                timed_out = timeout.timed_out() && state.jobs.is_empty() && state.idle.is_empty();
                if let Some(behind) = self.behind.get().filter(|_| timed_out) {
                    if behind.hurry() {
                        idle_since = Instant::now();
                    }
                    timed_out = idle_since.elapsed() >= IDLE;
                }
            }
            if timed_out {
                state.workers -= 1;
                state.low.worker = None;
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn hottest_first_then_in_order() {
        let queue = Queue::new(Priority::Low, || 1);
        let (send, receive) = mpsc::channel();
        let (release, gate) = mpsc::channel::<()>();
        let (begin, begun) = mpsc::channel();
        let first = send.clone();
        let work: Work = Box::new(move |_| {
            let _ = begin.send(());
            let _ = gate.recv();
            let _ = first.send(0);
        });
        assert!(queue.push(100, work).is_ok());
        begun.recv().unwrap();
        let last = send.clone();
        assert!(queue.push_idle(Box::new(move |_| last.send(9).unwrap_or(()))).is_ok());
        assert!(queue.is_empty(), "idle work does not wait");
        for (heat, name) in [(0, 0), (1, 1), (5, 2), (5, 3), (9, 4)] {
            let send = send.clone();
            assert!(queue.push(heat, Box::new(move |_| send.send(name).unwrap_or(()))).is_ok());
        }
        drop(send);
        release.send(()).unwrap();
        assert_eq!(receive.iter().collect::<Vec<_>>(), [0, 4, 2, 3, 1, 0, 9]);
    }

    #[test]
    fn work_without_a_thread_waits_until_one_is_started() {
        let queue = Queue::new(Priority::Low, || 1);
        assert!(queue.requests_worker());
        assert!(!queue.requests_worker(), "one request is enough");
        let (send, receive) = mpsc::channel();
        for number in 0..2 {
            let send = send.clone();
            queue.push_for_worker(Gain::First, 1, Box::new(move |_| send.send(number).unwrap_or(())));
        }
        assert_eq!(receive.try_recv(), Err(mpsc::TryRecvError::Empty));
        assert!(queue.start_worker(Processors::of_this_thread()).is_empty());
        assert_eq!([receive.recv(), receive.recv()], [Ok(0), Ok(1)]);
        assert!(!queue.requests_worker(), "there is a thread");
        queue.push_for_worker(Gain::First, 1, Box::new(move |_| send.send(2).unwrap_or(())));
        assert_eq!(receive.recv(), Ok(2));
    }

    #[test]
    fn a_thread_without_work_looks_after_the_one_of_low_priority() {
        let (queue, behind) = (Queue::new(Priority::Normal, || 1), Queue::new(Priority::Low, || 1));
        queue.look_after(&behind);
        assert!(!behind.hurry(), "there is nothing to do");
        // Work that waits gets no processor time, as if others had it all.
        let (release, gate) = mpsc::channel::<()>();
        assert!(behind.push(1, Box::new(move |_| gate.recv().unwrap_or(()))).is_ok());
        assert!(queue.push(1, Box::new(|_| ())).is_ok());
        let raised = |expected: bool| {
            for _ in 0..500 {
                if behind.shared.state().low.raised == expected {
                    return true;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            false
        };
        assert!(raised(true), "nobody has looked");
        assert!(queue.has_worker(), "who looks stays as long as there is work");
        assert!(queue.push(1, Box::new(|_| ())).is_ok());
        assert!(raised(false), "others have work");
        assert!(raised(true), "and are done");
        release.send(()).unwrap();
        assert!(raised(false), "there is nothing to do");
        assert!(!behind.hurry());
    }

    #[test]
    fn threads_end_when_the_queue_is_closed() {
        let queue = Queue::new(Priority::Normal, || 2);
        let (send, receive) = mpsc::channel();
        assert!(queue.push(1, Box::new(move |_| send.send(()).unwrap_or(()))).is_ok());
        receive.recv().unwrap();
        queue.close();
        for _ in 0..200 {
            if queue.shared.state().workers == 0 {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("a thread did not end");
    }
}
