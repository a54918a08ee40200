//! Making room: code that makes way for other code, and when it may be freed.
//!
//! Code is taken out of the records first and freed when nobody can run it any more: when every store that was inside wasm
//! at that moment has returned to the host. A store says so with two plain writes a call ([`Activity`]); the thread that
//! retires code makes them visible with a barrier on all of the process's threads. Until then the code counts against
//! the budget.

use crescendo_code::NativeCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Says whether a store is inside wasm, and since when. The default says nothing to anybody.
#[derive(Debug, Default)]
pub(crate) struct Activity(Option<Arc<Shared>>);

/// What a store and whoever frees code share.
#[derive(Debug)]
struct Shared {
    /// The number of retirements before the store entered wasm, plus one; 0 outside.
    entered: AtomicU64,
    /// Retirements so far, of the engine.
    count: Arc<AtomicU64>,
}

/// Code that is no longer entered.
#[derive(Default)]
pub(super) struct Retired {
    /// Retirements so far.
    count: Arc<AtomicU64>,
    stores: Mutex<Stores>,
    waiting: Mutex<Vec<(u64, Arc<NativeCode>)>>,
}

/// The stores that have run wasm, and some that are gone.
#[derive(Default)]
struct Stores {
    list: Vec<Weak<Shared>>,
    /// How many stores were alive when those that are gone were last taken out.
    alive: usize,
}

impl Stores {
    /// Adds a store. The list is looked through when it has doubled, so that a store costs little however many there are.
    fn add(&mut self, store: Weak<Shared>) {
        if self.list.len() >= 2 * self.alive.max(8) {
            self.list.retain(|store| store.strong_count() > 0);
            self.alive = self.list.len();
        }
        self.list.push(store);
    }
}

impl Activity {
    /// The store enters wasm.
    #[inline]
    pub(crate) fn enter(&self) {
        if let Some(shared) = &self.0 {
            let now = shared.count.load(Ordering::Relaxed) + 1;
            shared.entered.store(now, Ordering::Relaxed);
            // The processor may still read records before others see the write; `Retired::free` has a barrier for that.
            std::sync::atomic::compiler_fence(Ordering::SeqCst);
        }
    }

    /// The store leaves wasm.
    #[inline]
    pub(crate) fn leave(&self) {
        if let Some(shared) = &self.0 {
            shared.entered.store(0, Ordering::Release);
        }
    }
}

impl Retired {
    /// Makes a store known.
    pub(super) fn add_store(&self) -> Activity {
        let shared = Arc::new(Shared { entered: AtomicU64::new(0), count: Arc::clone(&self.count) });
        self.stores.lock().unwrap_or_else(PoisonError::into_inner).add(Arc::downgrade(&shared));
        Activity(Some(shared))
    }

    /// Keeps code that was just taken out of all records until nobody runs it.
    pub(super) fn retire(&self, code: impl IntoIterator<Item = Arc<NativeCode>>) {
        let number = self.count.fetch_add(1, Ordering::SeqCst) + 1;
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.extend(code.into_iter().map(|code| (number, code)));
    }

    /// Frees what nobody runs any more, and gives the number of its bytes.
    pub(super) fn free(&self) -> usize {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.is_empty() || !crescendo_code::synchronize_threads() {
            return 0;
        }
        let stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        let inside =
            stores.list.iter().filter_map(Weak::upgrade).map(|store| store.entered.load(Ordering::Acquire));
        let oldest = inside.filter(|entered| *entered != 0).min().unwrap_or(u64::MAX);
        drop(stores);
        // A store that entered before retirement n has a number of n at most. What other code calls goes after that, which mostly
        // is younger.
        let mut freed = 0;
        loop {
            let before = freed;
            let mut kept = Vec::with_capacity(waiting.len());
            while let Some((number, code)) = waiting.pop() {
                if oldest <= number || Arc::strong_count(&code) > 1 {
                    kept.push((number, code));
                } else {
                    freed += code.len();
                }
            }
            kept.reverse();
            *waiting = kept;
            if freed == before {
                return freed;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crescendo_code::{NativeCall, NativeInfo};

    fn code() -> Arc<NativeCode> {
        code_that_calls(None)
    }

    fn code_that_calls(callee: Option<Arc<NativeCode>>) -> Arc<NativeCode> {
        let calls = [NativeCall { offset: 1, callee }];
        Arc::new(NativeCode::install(&[0xe8; 64], &calls, NativeInfo::default()).unwrap())
    }

    #[test]
    fn code_is_freed_when_all_stores_that_were_inside_have_left() {
        let retired = Retired::default();
        let (first, second) = (retired.add_store(), retired.add_store());
        first.enter();
        retired.retire([code()]);
        second.enter();
        assert_eq!(retired.free(), 0, "the first store was inside");
        retired.retire([code()]);
        first.leave();
        assert_eq!(
            retired.free(),
            64,
            "the second store came after the first retirement, but before the second"
        );
        second.leave();
        assert_eq!(retired.free(), 64);
        assert_eq!(retired.free(), 0);
    }

    #[test]
    fn code_that_other_code_calls_is_freed_after_that() {
        for callee_first in [true, false] {
            let retired = Retired::default();
            let callee = code();
            let caller = code_that_calls(Some(Arc::clone(&callee)));
            let (first, second) = if callee_first { (callee, caller) } else { (caller, callee) };
            retired.retire([first]);
            assert_eq!(retired.free(), if callee_first { 0 } else { 64 });
            retired.retire([second]);
            assert_eq!(retired.free(), if callee_first { 128 } else { 64 });
        }
    }

    #[test]
    fn a_store_that_is_gone_keeps_nothing() {
        let retired = Retired::default();
        let store = retired.add_store();
        store.enter();
        retired.retire([code()]);
        drop(store);
        assert_eq!(retired.free(), 64);
    }
}
