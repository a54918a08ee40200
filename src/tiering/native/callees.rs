//! Which calls are inlined, and which go straight to code: [`KnownCallees`].

use super::compile::refusal;
use super::state::Stage;
use crate::error::{Result, bug};
use crate::module::Module;
use crate::tiering::settings::{Tiering, TieringMode};
use crescendo_code::NativeCode;
use crescendo_interp::Variant;
use crescendo_jit::{Callees, OptLevel};
use crescendo_module::DefinedFuncIdx;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// How many times smaller a function has to be that is not known to be called often.
const SELDOM_CALLED: usize = 4;

/// What is known of the functions that a function calls.
pub(super) struct KnownCallees<'a> {
    module: &'a Module,
    variant: Variant,
    settings: &'a Tiering,
    /// The code of functions that were asked for, none of which is freed while this is alive.
    codes: RefCell<BTreeMap<DefinedFuncIdx, Arc<NativeCode>>>,
}

impl<'a> KnownCallees<'a> {
    pub(super) fn new(module: &'a Module, variant: Variant, settings: &'a Tiering) -> KnownCallees<'a> {
        KnownCallees { module, variant, settings, codes: RefCell::default() }
    }

    /// The code of a function that had some when the compiler asked.
    ///
    /// # Errors
    ///
    /// When it had none, which is a defect of the compiler.
    pub(super) fn code(&self, callee: DefinedFuncIdx) -> Result<Arc<NativeCode>> {
        let code = self.codes.borrow().get(&callee).cloned();
        code.ok_or_else(|| bug!("a call goes straight to defined function {callee}, which has no code"))
    }

    /// Whether a function has been called half as often as it takes to compile it.
    fn is_hot(&self, callee: DefinedFuncIdx, calls_left: u32) -> bool {
        let calls = self.settings.calls;
        if calls.saturating_sub(calls_left) >= calls / 2 {
            return true;
        }
        let state = self.module.tiering().lock();
        let function = state.functions(self.variant).get(&callee);
        function.is_some_and(|function| !matches!(function.stage, Stage::Interpreted | Stage::Refused(_)))
    }
}

impl Callees for KnownCallees<'_> {
    fn most_inlined_bytes(&self, callee: DefinedFuncIdx) -> usize {
        let (info, most) = (self.module.info(), self.settings.max_inlined_bytes as usize);
        let bytes = info.body_range(callee).len();
        if bytes > most || refusal(self.module, self.settings, callee).is_some() {
            return 0;
        }
        // What has bytecode is valid, and has been called unless its counter is as it was.
        if let Some(bytecode) = self.module.code().get(self.variant, callee) {
            let calls_left = bytecode.calls_left();
            return match self.is_hot(callee, calls_left) {
                true => most,
                false if calls_left == self.settings.calls => 0,
                false => most / SELDOM_CALLED,
            };
        }
        let beforehand = self.settings.mode == TieringMode::Eager;
        let valid = beforehand
            && self.module.engine().with_scratch(|scratch| {
                info.validate_body(self.module.bytes(), callee, &mut scratch.validator).is_ok()
            });
        if valid { most / SELDOM_CALLED } else { 0 }
    }

    /// Code that nothing better replaces. It may still be taken out of the records to make room, and goes on here.
    fn has_code(&self, callee: DefinedFuncIdx) -> bool {
        let mut codes = self.codes.borrow_mut();
        if codes.contains_key(&callee) {
            return true;
        }
        let state = self.module.tiering().lock();
        let stage = state.functions(self.variant).get(&callee).map(|function| &function.stage);
        let Some(Stage::Compiled(code, OptLevel::Speed)) = stage else { return false };
        codes.insert(callee, Arc::clone(code));
        true
    }
}

impl fmt::Debug for KnownCallees<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KnownCallees").field("variant", &self.variant).finish_non_exhaustive()
    }
}
