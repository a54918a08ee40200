//! The address ranges in which a fault of native code is an out-of-bounds access of a guest.
//!
//! Interpreted code has its context in a register, where the signal handler finds the memories. Native code keeps it wherever
//! the compiler likes, so the handler asks this list. Handlers read at any moment: slots are leaked in chunks, reused and
//! never freed, and readers take no lock.

use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::{iter, ptr};

struct Slot {
    start: AtomicUsize,
    /// 0 while the slot is free.
    end: AtomicUsize,
}

struct Chunk {
    slots: [Slot; 64],
    next: AtomicPtr<Chunk>,
}

static FIRST: Chunk = Chunk::new();
static FREE: Mutex<Vec<&'static Slot>> = Mutex::new(Vec::new());

impl Chunk {
    const fn new() -> Chunk {
        Chunk {
            slots: [const { Slot { start: AtomicUsize::new(0), end: AtomicUsize::new(0) } }; 64],
            next: AtomicPtr::new(ptr::null_mut()),
        }
    }

    fn next(&self) -> Option<&'static Chunk> {
        // SAFETY: null, or a chunk that `GuardRange::new` leaked.
        unsafe { self.next.load(Ordering::Acquire).as_ref() }
    }

    fn all() -> impl Iterator<Item = &'static Chunk> {
        iter::successors(Some(&FIRST), |chunk| chunk.next())
    }
}

/// A range of addresses in which faults of native code are traps, while the value lives.
pub struct GuardRange {
    slot: &'static Slot,
}

impl GuardRange {
    /// Lists the range of `len` bytes from `start` on.
    pub fn new(start: *const u8, len: usize) -> GuardRange {
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = match free.pop() {
            Some(slot) => slot,
            None => Self::new_slot(&mut free),
        };
        slot.start.store(start.addr(), Ordering::Relaxed);
        slot.end.store(start.addr() + len, Ordering::Release);
        GuardRange { slot }
    }

    /// Adds slots to the free ones and takes one. Only one thread is here at a time.
    fn new_slot(free: &mut Vec<&'static Slot>) -> &'static Slot {
        static FIRST_TAKEN: AtomicUsize = AtomicUsize::new(0);
        let chunk = if FIRST_TAKEN.swap(1, Ordering::Relaxed) == 0 {
            &FIRST
        } else {
            let chunk: &'static Chunk = Box::leak(Box::new(Chunk::new()));
            if let Some(last) = Chunk::all().last() {
                last.next.store(ptr::from_ref(chunk).cast_mut(), Ordering::Release);
            }
            chunk
        };
        let [first, rest @ ..] = &chunk.slots;
        free.extend(rest);
        first
    }
}

impl Drop for GuardRange {
    fn drop(&mut self) {
        self.slot.end.store(0, Ordering::Release);
        FREE.lock().unwrap_or_else(PoisonError::into_inner).push(self.slot);
    }
}

/// Whether an address lies in a listed range. Async-signal-safe.
pub(crate) fn is_guarded(address: usize) -> bool {
    Chunk::all().flat_map(|chunk| &chunk.slots).any(|slot| {
        address < slot.end.load(Ordering::Acquire) && address >= slot.start.load(Ordering::Relaxed)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_guarded_while_their_range_lives() {
        let at = |address: usize| ptr::without_provenance::<u8>(address);
        let ranges: Vec<GuardRange> = (1..200).map(|i| GuardRange::new(at(i << 20), 4096)).collect();
        assert!((1..200).all(|i| is_guarded(i << 20) && is_guarded((i << 20) + 4095)));
        assert!(!is_guarded((3 << 20) + 4096) && !is_guarded((3 << 20) - 1) && !is_guarded(0));
        drop(ranges);
        assert!((1..200).all(|i| !is_guarded(i << 20)));
        let again = GuardRange::new(at(7 << 20), 1);
        assert!(is_guarded(7 << 20));
        drop(again);
    }
}
