//! Contexts that dropped instances leave for new ones of the same module: [`ContextPool`].
//!
//! Most of the context of a large module are entry records, which are the same in all its instances but for the address of
//! the context. So a context that is used again has them already: writing the 46,473 records of yosys to fresh memory takes 0.9 ms.
//! Invariant: records of contexts in here are kept up to date by tiering as those of live instances are, since they stay
//! registered, and nothing else of the context means anything.

use crate::runtime::ZeroedBuffer;
use crescendo_interp::Variant;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many contexts of a module are kept at most.
const MOST: usize = 32;

/// Bytes of all of them, unless there are only two.
const MOST_BYTES: usize = 8 << 20;

/// The contexts of a module that no instance uses.
#[derive(Default)]
pub(crate) struct ContextPool {
    contexts: Mutex<Vec<(Variant, ZeroedBuffer)>>,
}

impl ContextPool {
    /// A context whose records are written, if there is one.
    pub(super) fn take(&self, variant: Variant) -> Option<ZeroedBuffer> {
        let mut contexts = self.lock();
        let at = contexts.iter().rposition(|(of, _)| *of == variant)?;
        Some(contexts.swap_remove(at).1)
    }

    /// Keeps a context of so many bytes unless there are enough: then it comes back.
    pub(super) fn give(&self, variant: Variant, context: ZeroedBuffer, bytes: usize) -> Option<ZeroedBuffer> {
        let mut contexts = self.lock();
        let more = contexts.len() + 1;
        if more > 2 && (more > MOST || more.saturating_mul(bytes) > MOST_BYTES) {
            return Some(context);
        }
        contexts.push((variant, context));
        None
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Variant, ZeroedBuffer)>> {
        self.contexts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
