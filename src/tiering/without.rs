//! Tiering in a build without the feature `cranelift`: everything is interpreted.

use crate::module::Module;
use crate::{Config, TieringReport};
use crescendo_abi::{VmContext, VmFuncRef};
use crescendo_interp::{Bytecode, Variant};
use crescendo_module::DefinedFuncIdx;

/// No engine has a compiler.
pub(crate) enum EngineTiering {}

impl EngineTiering {
    pub(crate) fn new(_config: &Config) -> Option<EngineTiering> {
        None
    }

    pub(crate) fn add_store(&self) -> Activity {
        match *self {}
    }

    pub(crate) fn thunk_tables(&self) -> [*const *const u8; 3] {
        match *self {}
    }
}

/// Nothing waits for stores to leave wasm.
#[derive(Default)]
pub(crate) struct Activity;

impl Activity {
    pub(crate) fn enter(&self) {}

    pub(crate) fn leave(&self) {}
}

/// A module without native code.
pub(crate) struct ModuleTiering;

impl ModuleTiering {
    pub(crate) fn new() -> ModuleTiering {
        ModuleTiering
    }

    pub(crate) fn remove_instance(&self, _context: *mut VmContext) {}

    pub(crate) fn release(&mut self, _engine: &EngineTiering) {}
}

pub(crate) fn called_first(_module: &Module, _variant: Variant, _func: DefinedFuncIdx) {}

pub(crate) fn function_hot(_module: &Module, _variant: Variant, _func: DefinedFuncIdx) {}

pub(crate) fn loop_hot(
    _module: &Module,
    _variant: Variant,
    _func: DefinedFuncIdx,
    _index: u32,
) -> Option<*const u8> {
    None
}

/// # Safety
///
/// None here; the other build has conditions.
pub(crate) unsafe fn add_instance(_module: &Module, _context: *mut VmContext, _variant: Variant) {}

/// Gives the record of a function its bytecode.
///
/// # Safety
///
/// The record is alive, and only this thread uses it.
pub(crate) unsafe fn link(
    _module: &Module,
    record: *mut VmFuncRef,
    _variant: Variant,
    _func: DefinedFuncIdx,
    bytecode: &Bytecode,
) {
    // SAFETY: the caller's promise.
    unsafe { (*record).entry = bytecode.entry() };
}

impl Module {
    /// What tiering has done with the module so far: nothing, in a build without the feature `cranelift`.
    pub fn tiering_report(&self) -> TieringReport {
        TieringReport::default()
    }
}
