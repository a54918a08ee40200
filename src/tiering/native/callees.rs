//! Which calls are inlined: [`Callees`].

use super::compile::refusal;
use super::state::Stage;
use crate::module::Module;
use crate::tiering::settings::{Tiering, TieringMode};
use crescendo_interp::Variant;
use crescendo_jit::Inlining;
use crescendo_module::DefinedFuncIdx;
use std::fmt;

/// How many times smaller a function has to be that is not known to be called often.
const SELDOM_CALLED: usize = 4;

/// What is known of the functions that a function calls.
pub(super) struct Callees<'a> {
    module: &'a Module,
    variant: Variant,
    settings: &'a Tiering,
}

impl<'a> Callees<'a> {
    pub(super) fn new(module: &'a Module, variant: Variant, settings: &'a Tiering) -> Callees<'a> {
        Callees { module, variant, settings }
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

impl Inlining for Callees<'_> {
    fn most_bytes(&self, callee: DefinedFuncIdx) -> usize {
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
}

impl fmt::Debug for Callees<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callees").field("variant", &self.variant).finish_non_exhaustive()
    }
}
