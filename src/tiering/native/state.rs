//! What a module's functions have become: [`ModuleTiering`].

use super::ahead::Ahead;
use super::engine::EngineTiering;
use crescendo_abi::VmContext;
use crescendo_code::NativeCode;
use crescendo_interp::Variant;
use crescendo_jit::OptLevel;
use crescendo_module::DefinedFuncIdx;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The native code of a module, and the instances whose records lead to it.
pub(crate) struct ModuleTiering {
    state: Mutex<State>,
    pub(super) ahead: Ahead,
}

/// What the module's lock protects.
#[derive(Default)]
pub(super) struct State {
    /// The live instances by the addresses of their contexts.
    pub(super) instances: HashMap<usize, Variant>,
    guarded: BTreeMap<DefinedFuncIdx, Function>,
    checked: BTreeMap<DefinedFuncIdx, Function>,
    /// Whether all functions of a variant were compiled beforehand.
    pub(super) eager: [bool; 2],
}

/// A function that was hot once.
#[derive(Default)]
pub(super) struct Function {
    pub(super) stage: Stage,
    pub(super) loops: Vec<LoopEntry>,
    /// The loops whose frames were not taken over when they were hot first.
    pub(super) put_off: Vec<u32>,
    /// How often the counter of calls has run out since the function was queued.
    pub(super) times_hot: u32,
    /// Time that all compilations of the function took.
    pub(super) compile_time: Duration,
}

/// Where a function is on its way.
#[derive(Debug, Default)]
pub(super) enum Stage {
    /// It runs in the interpreter.
    #[default]
    Interpreted,
    /// It runs in the interpreter and waits for the compiler.
    Queued,
    /// It runs in the interpreter, and the compiler is at work.
    Compiling,
    /// Calls of it enter native code.
    Compiled(Arc<NativeCode>, OptLevel),
    /// It stays in the interpreter, for this reason.
    Refused(String),
}

/// A loop at which native code takes over.
pub(super) struct LoopEntry {
    /// The loop, by its index in the bytecode.
    pub(super) index: u32,
    pub(super) stage: Stage,
    /// How often a frame was taken over.
    pub(super) entries: u64,
}

impl ModuleTiering {
    pub(crate) fn new() -> ModuleTiering {
        ModuleTiering { state: Mutex::default(), ahead: Ahead::default() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets an instance: nobody writes its records after this.
    pub(crate) fn remove_instance(&self, context: *mut VmContext) {
        self.lock().instances.remove(&context.addr());
    }

    /// Gives the code's bytes back to the engine's budget; the code itself is freed with `self`.
    pub(crate) fn release(&mut self, engine: &EngineTiering) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        let functions = state.guarded.values().chain(state.checked.values());
        engine.remove_code(functions.map(Function::code_bytes).sum());
    }
}

impl State {
    pub(super) fn functions(&self, variant: Variant) -> &BTreeMap<DefinedFuncIdx, Function> {
        match variant {
            Variant::Guarded => &self.guarded,
            Variant::Checked => &self.checked,
        }
    }

    pub(super) fn function(&mut self, variant: Variant, func: DefinedFuncIdx) -> &mut Function {
        let functions = match variant {
            Variant::Guarded => &mut self.guarded,
            Variant::Checked => &mut self.checked,
        };
        functions.entry(func).or_default()
    }
}

impl Function {
    /// Bytes of all native code of the function.
    pub(super) fn code_bytes(&self) -> usize {
        self.stage.code_bytes() + self.loops.iter().map(|entry| entry.stage.code_bytes()).sum::<usize>()
    }

    /// The entry at a loop.
    pub(super) fn loop_entry(&mut self, index: u32) -> Option<&mut LoopEntry> {
        self.loops.iter_mut().find(|entry| entry.index == index)
    }
}

impl Stage {
    /// Takes the code out; the function is interpreted from then on.
    pub(super) fn take_code(&mut self) -> Option<Arc<NativeCode>> {
        match std::mem::take(self) {
            Stage::Compiled(code, _) => Some(code),
            other => {
                *self = other;
                None
            }
        }
    }

    pub(super) fn code(&self) -> Option<&Arc<NativeCode>> {
        match self {
            Stage::Compiled(code, _) => Some(code),
            _ => None,
        }
    }

    fn code_bytes(&self) -> usize {
        self.code().map_or(0, |code| code.len())
    }
}
