//! Filling in a [`TieringReport`].

use super::state::{Function, Stage};
use crate::module::Module;
use crate::tiering::report::{FunctionReport, LoopReport, TieringReport};
use crescendo_interp::Variant;
use crescendo_jit::OptLevel;
use crescendo_module::DefinedFuncIdx;
use std::fmt;
use std::time::Duration;

impl Module {
    /// What tiering has done with the module so far. Functions that were never called do not appear.
    ///
    /// # Examples
    ///
    /// ```
    /// # use crescendo::{Engine, Module};
    /// # fn main() -> crescendo::Result<()> {
    /// let module = Module::new(&Engine::default(), b"\0asm\x01\0\0\0")?;
    /// assert!(module.tiering_report().functions.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    pub fn tiering_report(&self) -> TieringReport {
        let state = self.tiering().lock();
        let mut functions = Vec::new();
        for variant in [Variant::Guarded, Variant::Checked] {
            for func in self.info().defined_funcs() {
                let known = state.functions(variant).get(&func);
                if known.is_some() || self.was_called(variant, func) {
                    functions.push(self.report_of(variant, func, known));
                }
            }
        }
        functions.sort_by_key(|function| function.func_index);
        TieringReport { functions }
    }

    /// Whether a function was called, which one may not have been that was translated ahead.
    fn was_called(&self, variant: Variant, func: DefinedFuncIdx) -> bool {
        let counts = self.engine().tiering().is_some_and(|tiering| tiering.settings().counts());
        self.code().get(variant, func).is_some() && (!counts || self.heat(variant, func) > 0)
    }

    fn report_of(&self, variant: Variant, func: DefinedFuncIdx, known: Option<&Function>) -> FunctionReport {
        let index = self.info().func_idx(func).as_u32();
        let bytecode = self.code().get(variant, func);
        let loops = known.into_iter().flat_map(|function| &function.loops).map(|entry| LoopReport {
            offset: bytecode
                .and_then(|bytecode| bytecode.loops().get(entry.index as usize))
                .map_or(0, |found| found.offset),
            state: entry.stage.to_string(),
            entries: entry.entries,
        });
        FunctionReport {
            func_index: index,
            name: self.func_name(index).map(str::to_string),
            wasm_bytes: self.info().body_range(func).len(),
            state: known
                .map_or_else(|| Stage::Interpreted.to_string(), |function| function.stage.to_string()),
            heat: self.heat(variant, func),
            compile_time: known.map_or(Duration::ZERO, |function| function.compile_time),
            code_bytes: known.map_or(0, Function::code_bytes),
            loops: loops.collect(),
        }
    }

    /// Calls and iterations that counters have seen. A counter that was stopped has seen all it was set to.
    fn heat(&self, variant: Variant, func: DefinedFuncIdx) -> u64 {
        let Some(bytecode) = self.code().get(variant, func) else { return 0 };
        let Some(tiering) = self.engine().tiering().filter(|tiering| tiering.settings().counts()) else {
            return 0;
        };
        let seen = |set: u32, left: u32| u64::from(if left > set { set } else { set - left });
        let settings = tiering.settings();
        let loops = 0..bytecode.loops().len() as u32;
        let iterations: u64 =
            loops.map(|index| seen(settings.iterations, bytecode.iterations_left(index))).sum();
        seen(settings.calls, bytecode.calls_left()) + iterations
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stage::Interpreted => f.write_str("interpreted"),
            Stage::Queued => f.write_str("queued"),
            Stage::Compiling => f.write_str("being compiled"),
            Stage::Compiled(_, OptLevel::None) => f.write_str("baseline"),
            Stage::Compiled(_, OptLevel::Speed) => f.write_str("compiled"),
            Stage::Refused(reason) => write!(f, "refused: {reason}"),
        }
    }
}
