//! What dropped stores leave for new ones: value stacks and the reservations of guarded memories. An engine has one pool.
//!
//! Making a reservation, giving it access and taking it away again are calls of the system that take some microseconds each;
//! a store that finds both in the pool takes about one in all. Invariants: what is in the pool takes little memory
//! ([`WARM_STACK`], [`WARM_MEMORY`]), and memories are zero.

use super::memory::GUARDED_RESERVATION;
use crescendo_code::{GuardRange, Reservation, ValueStack};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many stacks, and how many memories, are kept at most. A memory is 8 GiB of address space.
const MOST: usize = 32;

/// Bytes of a stack that stay as they are: the next store is faster for not having to touch them first.
const WARM_STACK: usize = 16 << 10;

/// A stack is trimmed when there is something to see above, or by turns: a frame may be larger than what is looked at.
const TRIMMED_BY_TURNS: usize = 64;

/// Bytes of a memory that are overwritten with zeros; the rest is given back. On the machine of `benches/README.md` overwriting
/// them takes 0.7 µs, giving them back and touching one page of them anew 2.7 µs.
const WARM_MEMORY: usize = 64 << 10;

/// See the module's page.
#[derive(Default)]
pub(crate) struct Pool {
    stacks: Mutex<Vec<ValueStack>>,
    /// Stacks that were given so far.
    given: AtomicUsize,
    memories: Mutex<Vec<GuardedMemory>>,
}

/// A reservation that no address of a 32-bit memory leads out of.
pub(crate) struct GuardedMemory {
    reservation: Reservation,
    /// Bytes from the start on that are accessible.
    committed: usize,
    #[expect(
        dead_code,
        reason = "its drop ends the entry in the list of ranges where faults of native code are traps"
    )]
    range: GuardRange,
}

impl Pool {
    /// A stack of `bytes`, which is the same for all stores of an engine. What earlier stores left in it means nothing.
    ///
    /// # Errors
    ///
    /// The operating system's error.
    pub(crate) fn take_stack(&self, bytes: usize) -> io::Result<ValueStack> {
        let kept = lock(&self.stacks).pop();
        kept.map_or_else(|| ValueStack::new(bytes), Ok)
    }

    /// Takes a stack back.
    pub(crate) fn give_stack(&self, mut stack: ValueStack) {
        let turn = self.given.fetch_add(1, Ordering::Relaxed) % TRIMMED_BY_TURNS == TRIMMED_BY_TURNS - 1;
        if (!turn && stack.is_unused_from(WARM_STACK)) || stack.trim(WARM_STACK).is_ok() {
            keep(&self.stacks, stack);
        }
    }

    /// A memory of `bytes` zeros.
    ///
    /// # Errors
    ///
    /// The operating system's error.
    pub(super) fn take_memory(&self, bytes: usize) -> io::Result<GuardedMemory> {
        let kept = {
            let mut memories = lock(&self.memories);
            let fits = memories.iter().rposition(|memory| memory.committed == bytes);
            fits.or(memories.len().checked_sub(1)).map(|at| memories.swap_remove(at))
        };
        let mut memory = kept.map_or_else(GuardedMemory::new, Ok)?;
        memory.resize(bytes)?;
        Ok(memory)
    }

    /// Takes a memory back.
    pub(super) fn give_memory(&self, mut memory: GuardedMemory) {
        if memory.clear().is_ok() {
            keep(&self.memories, memory);
        }
    }
}

/// Adds to a list unless it is long enough.
fn keep<R>(list: &Mutex<Vec<R>>, resource: R) {
    let mut list = lock(list);
    if list.len() < MOST {
        list.push(resource);
    }
}

fn lock<R>(list: &Mutex<Vec<R>>) -> MutexGuard<'_, Vec<R>> {
    list.lock().unwrap_or_else(PoisonError::into_inner)
}

impl GuardedMemory {
    /// A memory of no bytes.
    fn new() -> io::Result<GuardedMemory> {
        let reservation = Reservation::reserve(GUARDED_RESERVATION)?;
        let range = GuardRange::new(reservation.base(), reservation.len());
        Ok(GuardedMemory { reservation, committed: 0, range })
    }

    /// Makes all bytes zero.
    fn clear(&mut self) -> io::Result<()> {
        let warm = WARM_MEMORY.min(self.committed);
        // SAFETY: so many bytes are accessible, and whoever gives a memory back was its only user.
        unsafe { self.base().write_bytes(0, warm) };
        if warm == self.committed { Ok(()) } else { self.reservation.zero(warm..self.committed) }
    }

    /// The address of byte 0.
    pub(super) fn base(&self) -> *mut u8 {
        self.reservation.base()
    }

    /// Bytes of address space.
    pub(super) fn reserved(&self) -> usize {
        self.reservation.len()
    }

    /// Makes `bytes` accessible, a multiple of 64 KiB, and no more. New ones are zero.
    ///
    /// # Errors
    ///
    /// The operating system's error; then it is as it was, or smaller.
    pub(super) fn resize(&mut self, bytes: usize) -> io::Result<()> {
        if bytes > self.committed {
            self.reservation.commit(self.committed..bytes)?;
        } else if bytes < self.committed {
            self.reservation.decommit(bytes..self.committed)?;
        }
        self.committed = bytes;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_come_back_zero_and_of_the_size_that_was_asked_for() {
        let pool = Pool::default();
        for bytes in [1 << 16, 3 << 16, 3 << 16, 1 << 16, 0, 2 << 16] {
            let memory = pool.take_memory(bytes).unwrap();
            assert_eq!((memory.committed, lock(&pool.memories).len()), (bytes, 0));
            // SAFETY: so many bytes are accessible, and nobody else has the memory.
            let contents = unsafe { std::slice::from_raw_parts_mut(memory.base(), bytes) };
            assert!(contents.iter().all(|byte| *byte == 0), "{bytes}");
            contents.fill(7);
            pool.give_memory(memory);
        }
    }

    #[test]
    fn a_stack_that_was_deep_gives_its_pages_back() {
        let pool = Pool::default();
        let stack = pool.take_stack(1 << 20).unwrap();
        let deep: *mut u64 = stack.base().wrapping_byte_add(WARM_STACK + 64);
        // SAFETY: the place lies in the stack, which nobody else has.
        unsafe { deep.write(1) };
        pool.give_stack(stack);
        assert!(pool.take_stack(1 << 20).unwrap().is_unused_from(WARM_STACK));
    }

    #[test]
    fn the_pool_does_not_grow_for_ever() {
        let pool = Pool::default();
        let stacks: Vec<_> = (0..2 * MOST).map(|_| pool.take_stack(1 << 16).unwrap()).collect();
        stacks.into_iter().for_each(|stack| pool.give_stack(stack));
        assert_eq!(lock(&pool.stacks).len(), MOST);
        let memories: Vec<_> = (0..2 * MOST).map(|_| pool.take_memory(1 << 16).unwrap()).collect();
        memories.into_iter().for_each(|memory| pool.give_memory(memory));
        assert_eq!(lock(&pool.memories).len(), MOST);
    }
}
