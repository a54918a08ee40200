//! The bytecode of a module: what was translated so far, by function and by variant.
//!
//! Shared by all instances of the module, in all stores and threads. Readers take no lock: a function's cell is null, or
//! points to bytecode that stays until the module is dropped. When two threads translate the same function at once, the one
//! that comes second drops its work.

use crescendo_interp::{Bytecode, Variant};
use crescendo_module::DefinedFuncIdx;
use std::collections::BTreeMap;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

/// The bytecode of one module.
pub(crate) struct CodeTable {
    functions: u32,
    guarded: OnceLock<VariantCode>,
    checked: OnceLock<VariantCode>,
}

/// The bytecode of one variant.
struct VariantCode {
    /// One cell per defined function. The pointers are into the allocations of `translated`.
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
        let cell = self.variant(variant).cells.get(func.index())?;
        // SAFETY: null, or points to an allocation that lives as long as `self` and is not changed.
        unsafe { cell.load(Ordering::Acquire).as_ref() }
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
        if cell.load(Ordering::Acquire).is_null() {
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
