//! The exceptions that a store holds, and which of them are still needed.
//!
//! A reference is a handle: the place in the table and the number of the exception that was there, so that a handle of one that
//! is gone is told from that of its successor. Exceptions are freed when the number of live ones has doubled since the last time.
//! Marking is conservative: any word of the value stack, of the native stack under wasm, of globals and of exception tables
//! that equals a handle keeps its exception. Invariant: whatever a guest can still read as a reference is in one of
//! those places, in the slots of an exception that is kept, in [`InFlight`], or pinned for the host, when an exception is made.

use super::{StoreHeader, StoreOpaque};
use crate::error::{Result, arguments, limit};
use crate::exn_ref::fields_of;
use crate::tag::TagRecord;
use crate::{Error, ExnRef, Tag, ThrownException};
use std::num::NonZeroU64;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Live exceptions below which nothing is freed.
const FIRST_THRESHOLD: usize = 1 << 10;

/// Most exceptions of a store.
const MOST: usize = 1 << 24;

/// The exceptions of a store.
pub(super) struct Exceptions {
    places: Vec<Place>,
    /// Places without an exception.
    free: Vec<u32>,
    /// Live exceptions at which unneeded ones are looked for.
    threshold: usize,
    /// The number of the next exception.
    next: u32,
}

struct Place {
    /// The number of the exception that is or was here.
    number: u32,
    exception: Option<Exception>,
    marked: bool,
}

struct Exception {
    tag: NonNull<TagRecord>,
    slots: Box<[u64]>,
}

/// An exception on its way from where it was thrown to where it is caught.
#[derive(Default)]
pub(crate) struct InFlight {
    pub(crate) tag: Option<NonNull<TagRecord>>,
    /// What it carries; in front of native code, its reference behind that.
    pub(crate) slots: Vec<u64>,
    /// The reference that was thrown; 0 for an exception that nobody has a reference to.
    pub(crate) reference: u64,
}

/// The exceptions that the host has references to, as handles; the last ones were given out last.
#[derive(Default)]
pub(crate) struct Pins {
    handles: Mutex<Vec<u64>>,
    /// Their number, for whoever only wants to know whether there are new ones.
    count: AtomicUsize,
}

impl Pins {
    fn push(&self, handle: u64) {
        let mut handles = self.handles.lock().unwrap_or_else(PoisonError::into_inner);
        // Hosts that look at one exception again and again are common.
        if !handles.iter().rev().take(16).any(|pin| *pin == handle) {
            handles.push(handle);
            self.count.store(handles.len(), Ordering::Relaxed);
        }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Ends the pins that were made since there were so many.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.handles.get_mut().unwrap_or_else(PoisonError::into_inner).truncate(len);
        *self.count.get_mut() = len;
    }
}

impl Exceptions {
    pub(super) fn new() -> Exceptions {
        Exceptions { places: Vec::new(), free: Vec::new(), threshold: FIRST_THRESHOLD, next: 0x5eed_0001 }
    }

    fn live(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// The place that a handle names, if its exception is there.
    fn index_of(&self, handle: u64) -> Option<usize> {
        let index = (handle as u32).checked_sub(1)? as usize;
        let place = self.places.get(index)?;
        (u64::from(place.number) == handle >> 32 && place.exception.is_some()).then_some(index)
    }

    fn insert(&mut self, exception: Exception) -> Result<NonZeroU64> {
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        let place = Place { number, exception: Some(exception), marked: false };
        let index = match self.free.pop() {
            Some(index) => {
                self.places[index as usize] = place;
                index
            }
            None if self.places.len() >= MOST => {
                return Err(limit!("{MOST} exceptions in a store, which cannot have more"));
            }
            None => {
                self.places.push(place);
                self.places.len() as u32 - 1
            }
        };
        let handle = u64::from(number) << 32 | u64::from(index + 1);
        NonZeroU64::new(handle).ok_or_else(|| crate::error::bug!("an exception has the handle 0"))
    }

    /// Keeps what words that may be handles lead to.
    fn mark(&mut self, words: impl IntoIterator<Item = u64>) {
        let mut pending: Vec<usize> = Vec::new();
        for word in words {
            pending.extend(self.index_of(word));
            while let Some(index) = pending.pop() {
                if std::mem::replace(&mut self.places[index].marked, true) {
                    continue;
                }
                if let Some(exception) = &self.places[index].exception {
                    pending.extend(exception.slots.iter().filter_map(|slot| self.index_of(*slot)));
                }
            }
        }
    }

    /// Frees what was not marked.
    fn sweep(&mut self) {
        for (index, place) in (0..).zip(&mut self.places) {
            if !std::mem::take(&mut place.marked) && place.exception.take().is_some() {
                self.free.push(index);
            }
        }
        self.threshold = FIRST_THRESHOLD.max(self.live() * 2);
    }
}

impl StoreOpaque {
    /// Makes an exception of a tag of the store with slots of the tag's types, and gives a handle.
    ///
    /// # Errors
    ///
    /// When there are too many.
    pub(crate) fn allocate_exception(
        &mut self,
        tag: NonNull<TagRecord>,
        slots: &[u64],
    ) -> Result<NonZeroU64> {
        if self.exceptions.live() >= self.exceptions.threshold {
            self.collect_exceptions(slots);
        }
        self.exceptions.insert(Exception { tag, slots: slots.into() })
    }

    /// The tag and the slots of an exception.
    ///
    /// # Errors
    ///
    /// When the handle is not that of an exception that is kept.
    pub(crate) fn exception(&self, handle: u64) -> Result<(NonNull<TagRecord>, &[u64])> {
        let found =
            self.exceptions.index_of(handle).and_then(|at| self.exceptions.places[at].exception.as_ref());
        match found {
            Some(exception) => Ok((exception.tag, &exception.slots)),
            None => Err(arguments!("the exception is not kept any more: its host function has returned")),
        }
    }

    /// Keeps an exception while the host may use it: until the running host function returns, or as long as the store.
    pub(crate) fn pin_exception(&self, handle: u64) {
        // SAFETY: the header lives as long as the store; the field synchronises itself.
        let pins = unsafe { &(*self.header.as_ptr()).pins };
        pins.push(handle);
    }

    /// See [`crate::Store::throw`].
    pub(super) fn throw<R>(&mut self, exception: ExnRef) -> Result<R> {
        let (record, slots) = self.exception(exception.to_slot(self.id())?)?;
        let slots = slots.to_vec();
        // SAFETY: the exceptions of a store have tags of the store.
        let tag = unsafe { Tag::from_record(self.id(), record) };
        // SAFETY: the slots of an exception have its tag's types.
        let fields = unsafe { fields_of(self, tag, &slots) }?;
        // SAFETY: the header lives as long as the store, which is borrowed exclusively.
        unsafe { (*self.header.as_ptr()).pending = Some((record, slots)) };
        Err(Error::host(ThrownException::new(tag, fields)))
    }

    /// See [`crate::Store::take_pending_exception`].
    pub(super) fn take_pending_exception(&mut self) -> Option<ExnRef> {
        // SAFETY: the header lives as long as the store, which is borrowed exclusively.
        let (tag, slots) = unsafe { (*self.header.as_ptr()).pending.take() }?;
        let handle = self.allocate_exception(tag, &slots).ok()?;
        ExnRef::from_slot(handle.get(), self)
    }

    /// See [`crate::Store::has_pending_exception`].
    pub(super) fn has_pending_exception(&self) -> bool {
        // SAFETY: the header lives as long as the store.
        unsafe { (*self.header.as_ptr()).pending.is_some() }
    }

    /// Frees the exceptions that nobody can refer to any more, but for those that some slots refer to.
    #[cold]
    fn collect_exceptions(&mut self, slots: &[u64]) {
        let Some(words) = self.native_words() else {
            // Later, from another place, it may go better.
            self.exceptions.threshold = self.exceptions.live().saturating_mul(2);
            return;
        };
        self.exceptions.mark(words.into_iter().chain(slots.iter().copied()));
        let header: *mut StoreHeader = self.header.as_ptr();
        self.mark_value_stack();
        self.mark_objects();
        // SAFETY: the header lives as long as the store, and only this thread uses it.
        let pins = unsafe { &mut (*header).pins };
        self.exceptions.mark(pins.handles.get_mut().unwrap_or_else(PoisonError::into_inner).iter().copied());
        // SAFETY: as above.
        let in_flight = unsafe { &(*header).in_flight };
        self.exceptions.mark(in_flight.slots.iter().copied().chain([in_flight.reference]));
        // SAFETY: as above.
        let pending = unsafe { &(*header).pending };
        self.exceptions.mark(pending.iter().flat_map(|(_, slots)| slots.iter().copied()));
        self.exceptions.sweep();
    }

    /// The words of the native stack under wasm; `None` if they cannot be read.
    fn native_words(&self) -> Option<Vec<u64>> {
        // SAFETY: the header lives as long as the store, and only this thread uses it.
        let mut transition = unsafe { (*self.header.as_ptr()).vm.transitions };
        let mut outermost = None;
        while !transition.is_null() {
            outermost = Some(transition);
            // SAFETY: the chain's links are on the native stack of runs that have not ended.
            transition = unsafe { (*transition).prev };
        }
        let mut words = Vec::new();
        if let Some(outermost) = outermost {
            // The host made the outermost crossing. Its own address would not do: it need not be on the stack (see `stack_pointer`).
            // SAFETY: as above.
            let high = unsafe { (*outermost).run_sp.addr() };
            // SAFETY: it lies on the stack of the calls that led here.
            let scanned = unsafe { crescendo_code::scan_native_stack(high, &mut |word| words.push(word)) };
            if !scanned {
                return None;
            }
        }
        Some(words)
    }

    fn mark_value_stack(&mut self) {
        let Some(stack) = &self.value_stack else { return };
        // SAFETY: the header lives as long as the store, and only this thread uses it.
        let header = unsafe { self.header.as_ref() };
        let top = header.vm.value_top.max(header.frame_end);
        let used = (top.addr().saturating_sub(stack.base().addr()) / 8).min(stack.len() / 8);
        let base = stack.base();
        self.exceptions.mark((0..used).map(|index| {
            // SAFETY: the slots from the base to the limit can be read.
            unsafe { base.wrapping_add(index).read_volatile() }
        }));
    }

    fn mark_objects(&mut self) {
        for table in &self.tables.0 {
            // SAFETY: a store's tables live as long as the store, and only this thread uses them.
            let table = unsafe { table.as_ref() };
            if table.declared_type().element.is_exn() {
                self.exceptions.mark(table.elements().iter().copied());
            }
        }
        for global in &self.globals.0 {
            // SAFETY: as for tables.
            self.exceptions.mark(unsafe { global.as_ref() }.slots);
        }
        for instance in &self.instances.0 {
            // SAFETY: as for tables.
            let instance = unsafe { instance.as_ref() };
            self.exceptions.mark(instance.exception_globals());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Exception, Exceptions};
    use crate::tag::TagRecord;
    use std::ptr::NonNull;

    fn exception(slots: &[u64]) -> Exception {
        Exception { tag: NonNull::<TagRecord>::dangling(), slots: slots.into() }
    }

    #[test]
    fn what_is_reachable_stays_and_handles_are_not_reused() {
        let mut all = Exceptions::new();
        let inner = all.insert(exception(&[])).unwrap().get();
        let outer = all.insert(exception(&[1, inner])).unwrap().get();
        let other = all.insert(exception(&[outer])).unwrap().get();
        all.mark([0, 7, outer]);
        all.sweep();
        assert_eq!(all.live(), 2);
        assert!(all.index_of(inner).is_some() && all.index_of(outer).is_some());
        assert_eq!(all.index_of(other), None);
        let next = all.insert(exception(&[])).unwrap().get();
        assert_eq!(next as u32, other as u32, "the place is used again");
        assert_eq!(all.index_of(other), None);
        all.sweep();
        assert_eq!(all.live(), 0);
    }

    #[test]
    fn long_chains_are_marked_without_recursion() {
        let mut all = Exceptions::new();
        let mut last = 0;
        for _ in 0..100_000 {
            last = all.insert(exception(&[last])).unwrap().get();
        }
        all.mark([last]);
        all.sweep();
        assert_eq!(all.live(), 100_000);
    }
}
