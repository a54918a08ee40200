//! The bytecode of a module: what was translated so far, by function and by variant.
//!
//! Shared by all instances of the module, in all stores and threads. Readers take no lock: a function's cell is null, or
//! points to bytecode that stays until the module is dropped. A thread claims the function that it translates; another one that needs it
//! waits for a moment, then translates it too, and the one that comes second drops its work.

use crescendo_interp::{Bytecode, Variant};
use crescendo_module::DefinedFuncIdx;
use std::collections::BTreeMap;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

/// In the cell of a function that some thread translates.
const CLAIMED: *mut Bytecode = ptr::without_provenance_mut(1);

/// How often a thread looks again whether another one is done: 50 µs, about.
const SPINS: u32 = 2_000;

/// The bytecode of one module.
pub(crate) struct CodeTable {
    functions: u32,
    guarded: OnceLock<VariantCode>,
    checked: OnceLock<VariantCode>,
}

/// The bytecode of one variant.
struct VariantCode {
    /// One cell per defined function: null, [`CLAIMED`], or a pointer into the allocations of `translated`.
    cells: Box<[AtomicPtr<Bytecode>]>,
    /// By the address of its first byte.
    translated: RwLock<BTreeMap<usize, Translated>>,
}

struct Translated {
    func: DefinedFuncIdx,
    bytecode: Arc<Bytecode>,
}

impl CodeTable {
    /// A table for a module that defines so many functions.
    pub(crate) fn new(functions: u32) -> CodeTable {
        CodeTable { functions, guarded: OnceLock::new(), checked: OnceLock::new() }
    }

    /// The bytecode of a function, if it was translated.
    #[inline]
    pub(crate) fn get(&self, variant: Variant, func: DefinedFuncIdx) -> Option<&Bytecode> {
        let bytecode = self.variant(variant).cells.get(func.index())?.load(Ordering::Acquire);
        if bytecode == CLAIMED {
            return None;
        }
        // SAFETY: null, or points to an allocation that lives as long as `self` and is not changed.
        unsafe { bytecode.as_ref() }
    }

    /// Claims a function that is not translated yet. `false` when another thread has done it.
    pub(crate) fn claim(&self, variant: Variant, func: DefinedFuncIdx) -> bool {
        let cell = self.variant(variant).cells.get(func.index());
        cell.is_some_and(|cell| {
            cell.compare_exchange(ptr::null_mut(), CLAIMED, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        })
    }

    /// Gives a claim back: the function could not be translated.
    pub(crate) fn give_back(&self, variant: Variant, func: DefinedFuncIdx) {
        if let Some(cell) = self.variant(variant).cells.get(func.index()) {
            // If it fails, somebody else has translated the function.
            let _ = cell.compare_exchange(CLAIMED, ptr::null_mut(), Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Waits for a moment for a function that is claimed; as long as translating it takes, about.
    pub(crate) fn wait(&self, variant: Variant, func: DefinedFuncIdx) -> Option<&Bytecode> {
        let cell = self.variant(variant).cells.get(func.index())?;
        for _ in 0..SPINS {
            if cell.load(Ordering::Relaxed) != CLAIMED {
                break;
            }
            std::hint::spin_loop();
        }
        self.get(variant, func)
    }

    /// Adds a function's bytecode, unless another thread was faster; answers what is in the table now. `None` for a function
    /// that the module does not have.
    pub(crate) fn insert(
        &self,
        variant: Variant,
        func: DefinedFuncIdx,
        bytecode: Bytecode,
    ) -> Option<&Bytecode> {
        let code = self.variant(variant);
        let cell = code.cells.get(func.index())?;
        let mut translated = code.translated.write().unwrap_or_else(PoisonError::into_inner);
        let known = cell.load(Ordering::Acquire);
        if known.is_null() || known == CLAIMED {
            let bytecode = Arc::new(bytecode);
            let address = Arc::as_ptr(&bytecode).cast_mut();
            translated.insert(bytecode.address_range().start, Translated { func, bytecode });
            cell.store(address, Ordering::Release);
        }
        drop(translated);
        self.get(variant, func)
    }

    /// The function whose bytecode contains the address `ip`.
    pub(crate) fn find(&self, variant: Variant, ip: *const u8) -> Option<(DefinedFuncIdx, &Bytecode)> {
        let code = self.variant(variant);
        let translated = code.translated.read().unwrap_or_else(PoisonError::into_inner);
        let (_, found) = translated.range(..=ip.addr()).next_back()?;
        if !found.bytecode.address_range().contains(&ip.addr()) {
            return None;
        }
        let func = found.func;
        drop(translated);
        Some((func, self.get(variant, func)?))
    }

    fn variant(&self, variant: Variant) -> &VariantCode {
        let code = match variant {
            Variant::Guarded => &self.guarded,
            Variant::Checked => &self.checked,
        };
        code.get_or_init(|| VariantCode {
            cells: (0..self.functions).map(|_| AtomicPtr::new(ptr::null_mut())).collect(),
            translated: RwLock::new(BTreeMap::new()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_claimed_once_until_the_claim_is_given_back() {
        let (table, func) = (CodeTable::new(2), DefinedFuncIdx::new(1));
        assert!(table.claim(Variant::Guarded, func));
        assert!(!table.claim(Variant::Guarded, func));
        assert!(table.get(Variant::Guarded, func).is_none());
        assert!(table.wait(Variant::Guarded, func).is_none(), "who waits too long does it");
        assert!(table.claim(Variant::Checked, func), "variants are claimed apart");
        assert!(table.claim(Variant::Guarded, DefinedFuncIdx::new(0)));
        table.give_back(Variant::Guarded, func);
        assert!(table.claim(Variant::Guarded, func));
        assert!(!table.claim(Variant::Guarded, DefinedFuncIdx::new(2)), "there is no such function");
    }
}
