//! The share of processors that a thread of low priority gets.
//!
//! Others may keep all processors busy for as long as they like: the guest a single one, other programs the rest. Then the thread gets normal
//! priority, at times or for good, so that it does a part of its work.

use crescendo_code::ThreadNumber;
use std::time::{Duration, Instant};

/// How often a thread without work looks after the queue of low priority.
pub(super) const LOOK: Duration = Duration::from_millis(10);

/// What guests gain by a piece of work, less first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Gain {
    /// Better native code.
    Better,
    /// Native code for what is interpreted.
    First,
}

impl Gain {
    /// Of the time on the clock, the part that a thread with such work gets at least while others have none: 1 / this.
    ///
    /// Where a guest has a single processor, better code costs it time at once and saves some later. The smaller the part, the less it costs
    /// a guest that ends before that, and the longer one waits that goes on; whenever others have had work, counting begins anew. Raised until
    /// all was done, the programs of `benches/README.md` took longer on one processor of an EPYC by 1 / 0.97 (geometric mean of quickjs,
    /// sqlite, lua and cmark, each in two or three comparisons of 6 to 8 runs, single ones between 0.79 and 1.12), and six and ten times
    /// as much of the last two as long.
    fn least_share(self) -> u32 {
        match self {
            Gain::First => 4,
            Gain::Better => 8,
        }
    }
}

/// What others know of the one thread of a queue of low priority.
#[derive(Default)]
pub(super) struct Low {
    pub(super) worker: Option<ThreadNumber>,
    /// What it works on.
    working: Option<Gain>,
    /// Whether it has normal priority for a while.
    pub(super) raised: bool,
    seen: Seen,
}

/// Since when the thread's share is looked at, with the processor time that it had had then.
#[derive(Default)]
struct Seen(Option<(Instant, Duration)>);

impl Seen {
    /// Whether the thread is to have normal priority, which it has or has not, `now` that it has had this processor time.
    fn wants(&mut self, raised: bool, gain: Gain, now: Instant, time: Duration) -> bool {
        let Some((from, before)) = self.0 else {
            self.0 = Some((now, time));
            return raised;
        };
        let (elapsed, parts) = (now - from, gain.least_share());
        let too_little = time.saturating_sub(before) * parts < elapsed;
        if !raised && (too_little || elapsed >= LOOK * parts) {
            self.0 = Some((now, time));
        }
        // The first code of a function is made at once when its turn has come.
        too_little || (raised && gain == Gain::First)
    }
}

impl Low {
    /// The thread, which is the calling one, has taken work.
    pub(super) fn begin(&mut self, gain: Gain) {
        self.working = Some(gain);
    }

    /// The thread, which is the calling one, has nothing to do.
    pub(super) fn end(&mut self) {
        self.working = None;
        if std::mem::take(&mut self.raised) {
            crescendo_code::lower_thread_priority();
        }
    }

    /// Somebody has nothing else to do: gives the thread normal priority if it works and gets too little time, or takes that back.
    /// Whether it has work; `waiting` is what it has not taken yet.
    pub(super) fn look(&mut self, waiting: impl Iterator<Item = Gain>) -> bool {
        let Some(gain) = waiting.chain(self.working).max() else {
            self.seen = Seen::default();
            return false;
        };
        if let Some(worker) = self.worker
            && let Some(time) = worker.processor_time()
        {
            let wants = self.seen.wants(self.raised, gain, Instant::now(), time);
            match (self.raised, wants) {
                (false, true) => self.raised = crescendo_code::raise_thread_priority(worker),
                (true, false) => self.raised = !crescendo_code::lower_priority_of(worker),
                _ => {}
            }
        }
        true
    }

    /// Takes normal priority back: others have work again.
    pub(super) fn relax(&mut self) {
        self.seen = Seen::default();
        if let Some(worker) = self.worker.filter(|_| self.raised) {
            self.raised = !crescendo_code::lower_priority_of(worker);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a thread is raised at each look, every 10 ms, that gets this part of a processor if it is not and half of one if it is.
    fn looks(gain: Gain, part: u32, count: usize) -> Vec<bool> {
        let (mut seen, mut raised) = (Seen::default(), false);
        let (mut now, mut time) = (Instant::now(), Duration::ZERO);
        let look = |_| {
            now += LOOK;
            time += if raised { LOOK / 2 } else { LOOK / part };
            raised = seen.wants(raised, gain, now, time);
            raised
        };
        (0..count).map(look).collect()
    }

    #[test]
    fn who_gets_enough_is_not_raised() {
        assert_eq!(looks(Gain::First, 3, 50), [false; 50]);
        assert_eq!(looks(Gain::Better, 7, 50), [false; 50]);
    }

    #[test]
    fn for_first_code_a_thread_stays_raised() {
        let looks = looks(Gain::First, 100, 50);
        assert_eq!((looks[0], &looks[1..]), (false, &[true; 49][..]), "from the second look on");
    }

    #[test]
    fn for_better_code_a_thread_is_raised_at_times() {
        let looks = looks(Gain::Better, 1000, 100);
        let raised = looks.iter().filter(|raised| **raised).count() as u32;
        // It has half of the time while it is.
        let (part, wanted) = (raised * 50, 100 * 100 / Gain::Better.least_share());
        assert!(
            (wanted / 2..=wanted * 2).contains(&part),
            "{part} of 10,000 where {wanted} are due: {looks:?}"
        );
    }

    #[test]
    fn a_thread_that_had_much_does_not_wait_long_for_more() {
        let (mut seen, start) = (Seen::default(), Instant::now());
        let at = |looks: u32| start + LOOK * looks;
        let had = LOOK * 100;
        assert!(!seen.wants(false, Gain::Better, at(0), Duration::ZERO));
        assert!(!seen.wants(false, Gain::Better, at(100), had));
        let raised = (101..200).find(|looks| seen.wants(false, Gain::Better, at(*looks), had));
        assert_eq!(raised, Some(101));
    }
}
