//! The identity of stores, and pointers that are valid in one store.
//!
//! A [`Stored`] is made when a store takes an object over and is worth nothing without that store: it gives its record out
//! against a borrow of the store only. Invariant: a record lives, at the same address, until its store is dropped, and no
//! two stores of a process have the same [`StoreId`].

use super::StoreOpaque;
use crate::error::{Error, Result, arguments};
use std::num::NonZeroU64;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

/// Names a store. Never given out twice in a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct StoreId(NonZeroU64);

impl StoreId {
    /// A new id.
    pub(super) fn allocate() -> StoreId {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        // 64 bits last for centuries at a store a nanosecond.
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        StoreId(NonZeroU64::new(id).unwrap_or(NonZeroU64::MAX))
    }
}

/// A record that one store owns.
pub(crate) struct Stored<R> {
    store: StoreId,
    record: NonNull<R>,
}

impl<R> Clone for Stored<R> {
    fn clone(&self) -> Stored<R> {
        *self
    }
}

impl<R> Copy for Stored<R> {}

impl<R> PartialEq for Stored<R> {
    fn eq(&self, other: &Stored<R>) -> bool {
        self.store == other.store && self.record == other.record
    }
}

impl<R> Eq for Stored<R> {}

impl<R> std::hash::Hash for Stored<R> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.record.hash(state);
    }
}

impl<R> std::fmt::Debug for Stored<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:p} in store {}", self.record, self.store.0)
    }
}

// SAFETY: `store` is a number. `record` is dereferenced only against a borrow of the store that it belongs to, and that
// borrow follows the rules of `Store`'s own `Send`.
unsafe impl<R> Send for Stored<R> {}
// SAFETY: as for `Send`; the handle itself has no interior.
unsafe impl<R> Sync for Stored<R> {}

impl<R> Stored<R> {
    /// Names a record of a store.
    ///
    /// # Safety
    ///
    /// `record` must be valid, and stay at its address, for as long as the store named `store` lives.
    pub(crate) unsafe fn new(store: StoreId, record: NonNull<R>) -> Stored<R> {
        Stored { store, record }
    }

    /// The store that the record belongs to.
    #[inline]
    pub(crate) fn store(self) -> StoreId {
        self.store
    }

    /// Whether the record belongs to this store.
    #[inline]
    pub(crate) fn belongs_to(self, store: &StoreOpaque) -> bool {
        self.store == store.id()
    }

    /// Checks that the record belongs to this store.
    #[inline]
    pub(crate) fn check(self, store: &StoreOpaque) -> Result<()> {
        if self.belongs_to(store) { Ok(()) } else { Err(wrong_store()) }
    }

    /// The record.
    ///
    /// # Panics
    ///
    /// When the record belongs to another store.
    #[inline]
    #[track_caller]
    pub(crate) fn get(self, store: &StoreOpaque) -> &R {
        self.assert(store);
        // SAFETY: the record lives as long as its store (`Stored::new`), which is borrowed.
        unsafe { self.record.as_ref() }
    }

    /// The record, to be changed.
    ///
    /// # Panics
    ///
    /// When the record belongs to another store.
    #[inline]
    #[track_caller]
    pub(crate) fn get_mut(mut self, store: &mut StoreOpaque) -> &mut R {
        self.assert(store);
        // SAFETY: the record lives as long as its store (`Stored::new`), which is borrowed exclusively.
        unsafe { self.record.as_mut() }
    }

    /// The record's address, which generated code uses.
    ///
    /// # Panics
    ///
    /// When the record belongs to another store.
    #[inline]
    #[track_caller]
    pub(crate) fn address(self, store: &StoreOpaque) -> NonNull<R> {
        self.assert(store);
        self.record
    }

    /// The record's address, without a look at its store.
    #[inline]
    pub(crate) fn address_unchecked(self) -> NonNull<R> {
        self.record
    }

    #[inline]
    #[track_caller]
    fn assert(self, store: &StoreOpaque) {
        assert!(self.belongs_to(store), "object used with a store that does not own it");
    }
}

/// The error for a handle that was used with a store that does not own it.
#[cold]
pub(crate) fn wrong_store() -> Error {
    arguments!("object used with a store that does not own it")
}

#[cfg(test)]
mod tests {
    use super::StoreId;

    #[test]
    fn ids_differ() {
        assert_ne!(StoreId::allocate(), StoreId::allocate());
    }
}
