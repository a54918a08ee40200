//! What dropped stores leave for new ones: value stacks and the reservations of guarded memories. An engine has one pool.
//!
//! Making a reservation, giving it access and taking it away again are calls of the system that take some microseconds each;
//! a store that finds both in the pool takes about one in all. Invariants: what is in the pool takes little memory
//! ([`WARM_STACK`], [`WARM_MEMORY`], copied parts of images), and memories are their images, those without are zero.

use super::image::{ImageRun, MemoryImage};
use super::memory::GUARDED_RESERVATION;
use crescendo_code::{GuardRange, Reservation, ValueStack};
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many stacks, and how many memories, are kept at most. A memory is 8 GiB of address space.
const MOST: usize = 32;

/// Bytes of a stack that stay as they are: the next store is faster for not having to touch them first.
const WARM_STACK: usize = 16 << 10;

/// A stack is trimmed when there is something to see above, or by turns: a frame may be larger than what is looked at.
const TRIMMED_BY_TURNS: usize = 64;

/// Bytes of a memory that are overwritten with zeros; the rest is given back. On a virtual AMD EPYC overwriting
/// them takes 0.7 µs, giving them back and touching one page of them anew 2.7 µs.
pub(super) const WARM_MEMORY: usize = 64 << 10;

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
    /// What is in the memory when nothing else is.
    image: Option<Arc<MemoryImage>>,
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

    /// A memory of `bytes`, which are the image, or zeros when there is none or the system refuses it; see
    /// [`GuardedMemory::has_image`]. The image lies in so many bytes.
    ///
    /// # Errors
    ///
    /// The operating system's error.
    pub(super) fn take_memory(
        &self,
        bytes: usize,
        image: Option<&Arc<MemoryImage>>,
    ) -> io::Result<GuardedMemory> {
        let kept = {
            let mut memories = lock(&self.memories);
            let find = |fits: &dyn Fn(&GuardedMemory) -> bool| memories.iter().rposition(fits);
            // One that is ready, one that has to change its size, one that has to lose another image.
            let found = find(&|memory| memory.is_image(image) && memory.committed == bytes)
                .or_else(|| find(&|memory| memory.is_image(image)))
                .or_else(|| find(&|memory| memory.image.is_none()))
                .or(memories.len().checked_sub(1));
            found.map(|at| memories.swap_remove(at))
        };
        let mut memory = match kept {
            Some(memory) if memory.is_image(image) => memory,
            Some(memory) => memory.without_image()?,
            None => GuardedMemory::new()?,
        };
        memory.resize(bytes)?;
        match image {
            Some(image) if !memory.has_image() => memory.with_image(image).or_else(|_: io::Error| {
                let mut memory = GuardedMemory::new()?;
                memory.resize(bytes)?;
                Ok(memory)
            }),
            _ => Ok(memory),
        }
    }

    /// Takes a memory back.
    pub(super) fn give_memory(&self, mut memory: GuardedMemory) {
        if memory.clear().is_ok() {
            keep(&self.memories, memory);
        }
    }

    /// An image is not used any more: what holds its bytes is given back.
    pub(crate) fn forget_image(&self, image: &Arc<MemoryImage>) {
        let with_image: Vec<_> =
            lock(&self.memories).extract_if(.., |memory| memory.is_image(Some(image))).collect();
        for memory in with_image {
            if let Ok(memory) = memory.without_image() {
                keep(&self.memories, memory);
            }
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
        Ok(GuardedMemory { reservation, committed: 0, image: None, range })
    }

    /// Makes all bytes what they were at first: the image's, and zero elsewhere.
    fn clear(&mut self) -> io::Result<()> {
        let image = self.image.clone();
        let runs = || image.iter().flat_map(|image| image.runs());
        // Writing to mapped pages would copy them.
        let mapped =
            runs().find_map(|(range, run)| matches!(run, ImageRun::Mapped(..)).then_some(range.start));
        let mut done = WARM_MEMORY.min(self.committed).min(mapped.unwrap_or(usize::MAX));
        // SAFETY: so many bytes are accessible, and whoever gives a memory back was its only user.
        unsafe { self.base().write_bytes(0, done) };
        for (range, run) in runs() {
            // What lies between copied runs is given back, and mapped runs with it.
            let ImageRun::Copied(bytes) = run else { continue };
            self.give_back(done..range.start)?;
            // SAFETY: an image lies in the accessible part, which never gets smaller than that.
            unsafe { self.copy(range.start, bytes) };
            done = done.max(range.end);
        }
        self.give_back(done..self.committed)
    }

    /// Gives the memory of pages back, if there are any in the range.
    fn give_back(&mut self, range: Range<usize>) -> io::Result<()> {
        if range.is_empty() { Ok(()) } else { self.reservation.zero(range) }
    }

    /// Writes bytes.
    ///
    /// # Safety
    ///
    /// They are accessible, and nobody else uses the memory.
    unsafe fn copy(&mut self, start: usize, bytes: &[u8]) {
        let target = self.base().wrapping_add(start);
        // SAFETY: the caller's promise; an image's own bytes lie elsewhere.
        unsafe { target.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    }

    /// Whether the bytes started as an image's.
    pub(super) fn has_image(&self) -> bool {
        self.image.is_some()
    }

    /// Overwrites what the image has put into the memory with zeros.
    pub(super) fn wipe_image(&mut self) {
        for (range, _) in self.image.clone().iter().flat_map(|image| image.runs()) {
            // SAFETY: an image lies in the accessible part, and the caller has the memory alone.
            unsafe { self.base().wrapping_add(range.start).write_bytes(0, range.len()) };
        }
    }

    /// Whether the bytes started as this image's, or as zeros for none.
    fn is_image(&self, image: Option<&Arc<MemoryImage>>) -> bool {
        match (&self.image, image) {
            (Some(own), Some(other)) => Arc::ptr_eq(own, other),
            (own, other) => own.is_none() && other.is_none(),
        }
    }

    /// Puts an image into a memory of zeros that has room for it.
    ///
    /// # Errors
    ///
    /// The operating system's error; the reservation is left alone for ever then, since parts of it may be in other hands.
    fn with_image(mut self, image: &Arc<MemoryImage>) -> io::Result<GuardedMemory> {
        debug_assert!(
            image.runs().all(|(range, _)| range.end <= self.committed),
            "the image lies in the memory"
        );
        for (range, run) in image.runs() {
            match run {
                // SAFETY: the image lies in the accessible part, and the caller has the memory alone.
                ImageRun::Copied(bytes) => unsafe { self.copy(range.start, bytes) },
                ImageRun::Mapped(file, offset) => {
                    if let Err(error) = self.reservation.map_image(range, file, offset) {
                        std::mem::forget(self);
                        return Err(error);
                    }
                }
            }
        }
        self.image = Some(Arc::clone(image));
        Ok(self)
    }

    /// Makes a memory that is its image, and nothing else, a memory of zeros.
    ///
    /// # Errors
    ///
    /// As for [`GuardedMemory::with_image`].
    fn without_image(mut self) -> io::Result<GuardedMemory> {
        let Some(image) = self.image.take() else { return Ok(self) };
        for (range, run) in image.runs() {
            let outcome = match run {
                ImageRun::Copied(_) => self.reservation.zero(range),
                ImageRun::Mapped(..) => self.reservation.unmap_image(range),
            };
            if let Err(error) = outcome {
                std::mem::forget(self);
                return Err(error);
            }
        }
        Ok(self)
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
            let memory = pool.take_memory(bytes, None).unwrap();
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
        let memories: Vec<_> = (0..2 * MOST).map(|_| pool.take_memory(1 << 16, None).unwrap()).collect();
        memories.into_iter().for_each(|memory| pool.give_memory(memory));
        assert_eq!(lock(&pool.memories).len(), MOST);
    }
}
