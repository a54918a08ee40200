//! Guests that wait at an address of a shared memory: what `memory.atomic.wait` and `memory.atomic.notify` do.
//!
//! Each shared memory has a [`ParkingLot`]. A waiter compares the value and enters its queue under the lot's lock, and notifying
//! takes the lock too: whoever changes the value first and notifies then either is seen by the comparison or finds the
//! waiter. Waiters of an address wake in the order in which they came. A waiter only goes on when it was notified, its time is
//! up, or its store is interrupted; spurious wakeups of the system stay inside.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How waiting at an address of a shared memory ended. The numbers are what guests see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WaitResult {
    /// Somebody notified the address.
    Ok = 0,
    /// The value was not the expected one, and nobody waited.
    Mismatch = 1,
    /// The time was up.
    TimedOut = 2,
}

#[derive(Default)]
struct Waiter {
    /// Changes under the lot's lock.
    notified: AtomicBool,
    changed: Condvar,
}

/// Waiters by address. No queue is empty.
type Queues = HashMap<u64, VecDeque<Arc<Waiter>>>;

/// The waiters of one shared memory.
#[derive(Default)]
pub(crate) struct ParkingLot {
    queues: Mutex<Queues>,
}

/// What a waiter does from time to time; an error ends the wait.
pub(crate) struct Tick<'a, E> {
    pub(crate) period: Duration,
    pub(crate) run: &'a mut dyn FnMut() -> Result<(), E>,
}

impl ParkingLot {
    fn lock(&self) -> MutexGuard<'_, Queues> {
        // A queue is whole whenever the lock is free.
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits at an address if `is_expected`, no longer than the timeout.
    pub(crate) fn wait<E>(
        &self,
        address: u64,
        is_expected: impl FnOnce() -> bool,
        timeout: Option<Duration>,
        mut tick: Option<Tick<'_, E>>,
    ) -> Result<WaitResult, E> {
        // A time that no clock reaches is none.
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut queues = self.lock();
        if !is_expected() {
            return Ok(WaitResult::Mismatch);
        }
        let waiter = Arc::new(Waiter::default());
        queues.entry(address).or_default().push_back(Arc::clone(&waiter));
        loop {
            if waiter.notified.load(Ordering::Relaxed) {
                return Ok(WaitResult::Ok);
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                leave(&mut queues, address, &waiter);
                return Ok(WaitResult::TimedOut);
            }
            let period = tick.as_ref().map(|tick| tick.period);
            let pause = [left, period].into_iter().flatten().min();
            queues = match pause {
                None => waiter.changed.wait(queues).unwrap_or_else(PoisonError::into_inner),
                Some(pause) => {
                    waiter.changed.wait_timeout(queues, pause).unwrap_or_else(PoisonError::into_inner).0
                }
            };
            if let Some(tick) = &mut tick
                && !waiter.notified.load(Ordering::Relaxed)
            {
                // The host may run meanwhile, and notify.
                drop(queues);
                let outcome = (tick.run)();
                queues = self.lock();
                if let Err(stop) = outcome {
                    if waiter.notified.load(Ordering::Relaxed) {
                        // Whoever notified counts on somebody going on.
                        wake(&mut queues, address, 1);
                    } else {
                        leave(&mut queues, address, &waiter);
                    }
                    return Err(stop);
                }
            }
        }
    }

    /// Wakes the first `count` waiters of an address; answers how many there were.
    pub(crate) fn notify(&self, address: u64, count: u32) -> u32 {
        wake(&mut self.lock(), address, count)
    }
}

fn wake(queues: &mut Queues, address: u64, count: u32) -> u32 {
    let Some(queue) = queues.get_mut(&address) else { return 0 };
    let mut woken = 0;
    while woken < count
        && let Some(waiter) = queue.pop_front()
    {
        waiter.notified.store(true, Ordering::Relaxed);
        waiter.changed.notify_one();
        woken += 1;
    }
    if queue.is_empty() {
        queues.remove(&address);
    }
    woken
}

fn leave(queues: &mut Queues, address: u64, waiter: &Arc<Waiter>) {
    if let Some(queue) = queues.get_mut(&address) {
        queue.retain(|other| !Arc::ptr_eq(other, waiter));
        if queue.is_empty() {
            queues.remove(&address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ParkingLot, Tick, WaitResult};
    use crescendo_abi::TrapCode;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread;
    use std::time::Duration;

    const SHORT: Option<Duration> = Some(Duration::from_millis(1));

    fn wait(lot: &ParkingLot, expected: bool, timeout: Option<Duration>) -> WaitResult {
        lot.wait::<TrapCode>(8, || expected, timeout, None).unwrap()
    }

    fn waiters(lot: &ParkingLot, address: u64) -> usize {
        lot.lock().get(&address).map_or(0, |queue| queue.len())
    }

    #[test]
    fn waits_end_in_their_three_ways() {
        let lot = ParkingLot::default();
        assert_eq!(wait(&lot, false, None), WaitResult::Mismatch);
        assert_eq!(wait(&lot, true, SHORT), WaitResult::TimedOut);
        assert_eq!(wait(&lot, true, Some(Duration::ZERO)), WaitResult::TimedOut);
        assert_eq!(lot.notify(8, u32::MAX), 0);
        thread::scope(|scope| {
            let waits = [0; 3].map(|_| scope.spawn(|| wait(&lot, true, Some(Duration::MAX))));
            while waiters(&lot, 8) < 3 {
                thread::yield_now();
            }
            assert_eq!(
                (lot.notify(16, 9), lot.notify(8, 0), lot.notify(8, 2), lot.notify(8, 9)),
                (0, 0, 2, 1)
            );
            for wait in waits {
                assert_eq!(wait.join().unwrap(), WaitResult::Ok);
            }
        });
        assert!(lot.lock().is_empty());
    }

    #[test]
    fn an_interrupted_wait_leaves_no_waiter_behind() {
        let lot = ParkingLot::default();
        let mut ticks = 0;
        let mut run = || {
            ticks += 1;
            if ticks < 3 { Ok(()) } else { Err(TrapCode::Interrupt) }
        };
        let tick = Tick { period: Duration::from_millis(1), run: &mut run };
        assert!(lot.wait(0, || true, None, Some(tick)).is_err());
        assert_eq!((ticks, waiters(&lot, 0)), (3, 0));
        // Notified between the tick and its end: the next waiter goes on in its place.
        let mut run = || {
            assert_eq!(lot.notify(0, 1), 1);
            Err(TrapCode::Interrupt)
        };
        let tick = Tick { period: Duration::from_millis(1), run: &mut run };
        assert!(lot.wait(0, || true, None, Some(tick)).is_err());
    }

    #[test]
    fn no_notification_is_lost() {
        let (lot, value) = (ParkingLot::default(), AtomicU32::new(0));
        thread::scope(|scope| {
            scope.spawn(|| {
                for round in 0..1000 {
                    while value.load(Ordering::SeqCst) == round {
                        let expected = || value.load(Ordering::SeqCst) == round;
                        let result = lot.wait::<TrapCode>(0, expected, None, None);
                        assert_ne!(result.unwrap(), WaitResult::TimedOut);
                    }
                }
            });
            for round in 1..=1000 {
                value.store(round, Ordering::SeqCst);
                lot.notify(0, 1);
                if round % 7 == 0 {
                    thread::yield_now();
                }
            }
        });
    }
}
