//! How often regions run: in builds with the feature `count-regions`, for choosing superinstructions.
//!
//! Counters are of the whole process and never freed. A region is counted at its start and behind each conditional branch.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// A counter with its function, region and micro-operator.
type Counted = (u32, u32, u32, &'static AtomicU64);

static COUNTERS: Mutex<Vec<Counted>> = Mutex::new(Vec::new());

/// The address of a new counter.
pub(crate) fn counter(func: u32, region: u32, at: u32) -> u64 {
    let counter: &'static AtomicU64 = Box::leak(Box::default());
    COUNTERS.lock().unwrap_or_else(PoisonError::into_inner).push((func, region, at, counter));
    counter.as_ptr().expose_provenance() as u64
}

/// Function, region, micro-operator from which on it counts, and count, of all functions that were translated; of a process with
/// one module.
pub fn region_counts() -> Vec<(u32, u32, u32, u64)> {
    let counters = COUNTERS.lock().unwrap_or_else(PoisonError::into_inner);
    counters.iter().map(|(func, region, at, n)| (*func, *region, *at, n.load(Ordering::Relaxed))).collect()
}
