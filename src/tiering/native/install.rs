//! Making code visible to guests: entry records of instances, counters of loops.

use super::compile::{Failure, Target, compile, first_level, refusal};
use super::queue::COMPILER_STACK;
use super::state::{Function, Stage, State};
use crate::module::Module;
use crate::tiering::settings::{NEVER, TieringMode};
use crescendo_abi::{VmContext, VmFuncRef};
use crescendo_code::NativeCode;
use crescendo_interp::{Bytecode, Variant};
use crescendo_jit::{OptLevel, Scratch};
use crescendo_module::DefinedFuncIdx;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::time::Duration;

/// What callers find in an entry record.
#[derive(Clone, Copy)]
struct Entries {
    interpreter: *const u8,
    native: *const u8,
}

impl Entries {
    /// Writes the entries of a record.
    ///
    /// # Safety
    ///
    /// The record is alive.
    unsafe fn write(self, record: *mut VmFuncRef) {
        // SAFETY: the caller's promise; both fields are pointers.
        let native = unsafe { word(record, VmFuncRef::NATIVE) };
        native.store(self.native.cast_mut(), Ordering::Release);
        // SAFETY: as above.
        let entry = unsafe { word(record, VmFuncRef::ENTRY) };
        entry.store(self.interpreter.cast_mut(), Ordering::Release);
    }
}

/// A pointer in a record that guests read at any time.
///
/// # Safety
///
/// The record is alive for `'a`, and there is a pointer at the offset.
unsafe fn word<'a>(record: *mut VmFuncRef, offset: i32) -> &'a AtomicPtr<u8> {
    // SAFETY: the caller's promise; records are aligned, and whoever writes these fields does so atomically.
    unsafe { AtomicPtr::from_ptr(record.wrapping_byte_add(offset as usize).cast()) }
}

/// The entries of a function that is interpreted.
fn interpreted(entry: *const u8) -> Entries {
    Entries { interpreter: entry, native: crescendo_interp::native_stub() }
}

/// The entries of a compiled function; `None` if its signature has no thunks, which compiling it makes.
fn compiled(module: &Module, func: DefinedFuncIdx, code: &NativeCode) -> Option<Entries> {
    let info = module.info();
    let entry = module.engine().tiering()?.signatures().entry(info.func_type_id(info.func_idx(func)))?;
    Some(Entries { interpreter: entry, native: code.start() })
}

/// The record of a function in the instance with this context.
fn record_of(module: &Module, context: usize, func: DefinedFuncIdx) -> *mut VmFuncRef {
    let offset = module.offsets().defined_func(func.as_u32()) as usize;
    std::ptr::with_exposed_provenance_mut::<VmContext>(context).wrapping_byte_add(offset).cast()
}

/// Adds an instance, whose records are those of functions that nobody has called yet, and brings them up to date.
///
/// In [`TieringMode::Eager`] the first instance waits until everything is compiled.
///
/// # Safety
///
/// `context` is that of an instance of the module, whose records are all written, and [`super::ModuleTiering::remove_instance`] is
/// called before it is freed.
pub(crate) unsafe fn add_instance(module: &Module, context: *mut VmContext, variant: Variant) {
    let Some(tiering) = module.engine().tiering() else { return };
    if tiering.settings().mode == TieringMode::Eager {
        compile_all(module, variant);
    }
    let mut state = module.tiering().lock();
    state.instances.insert(context.expose_provenance(), variant);
    for (func, function) in state.functions(variant) {
        let entries = match &function.stage {
            Stage::Compiled(code, _) => compiled(module, *func, code),
            Stage::Refused(_) => {
                module.code().get(variant, *func).map(|bytecode| interpreted(bytecode.uncounted_entry()))
            }
            Stage::Interpreted | Stage::Queued | Stage::Compiling => None,
        };
        if let Some(entries) = entries {
            // SAFETY: the caller's promise.
            unsafe { entries.write(record_of(module, context.addr(), *func)) };
        }
    }
}

/// Brings the record of a function up to date that an instance has called for the first time.
///
/// # Safety
///
/// The record is that of the function in a live instance of the module.
pub(crate) unsafe fn link(
    module: &Module,
    record: *mut VmFuncRef,
    variant: Variant,
    func: DefinedFuncIdx,
    bytecode: &Bytecode,
) {
    let state = module.tiering().lock();
    let entries = match state.functions(variant).get(&func).map(|function| &function.stage) {
        Some(Stage::Compiled(code, _)) => compiled(module, func, code),
        Some(Stage::Refused(_)) => Some(interpreted(bytecode.uncounted_entry())),
        _ => None,
    };
    let entries = entries.unwrap_or(interpreted(bytecode.entry()));
    // SAFETY: the caller's promise.
    unsafe { entries.write(record) };
}

/// Writes the entries of a function into the records of all instances.
fn publish(module: &Module, state: &State, variant: Variant, func: DefinedFuncIdx, entries: Entries) {
    for (context, _) in state.instances.iter().filter(|(_, other)| **other == variant) {
        // SAFETY: registered instances are alive, which the lock on the state ensures.
        unsafe { entries.write(record_of(module, *context, func)) };
    }
}

/// Takes over what a compilation has come to.
pub(super) fn finish(
    module: &Module,
    target: Target,
    opt_level: OptLevel,
    result: Result<Arc<NativeCode>, Failure>,
    elapsed: Duration,
) {
    let Target { variant, func, at_loop } = target;
    let stage = match result {
        Ok(code) => Stage::Compiled(code, opt_level),
        Err(Failure::NoRoom) => Stage::Interpreted,
        Err(Failure::Final(error)) => Stage::Refused(error.to_string()),
    };
    let bytecode = module.code().get(variant, func);
    let mut state = module.tiering().lock();
    let function = state.function(variant, func);
    function.compile_time += elapsed;
    if let (Stage::Compiled(..), Some(bytecode)) = (&stage, bytecode) {
        ask_again(module, function, bytecode);
    }
    match at_loop {
        None => {
            let mut unused = None;
            match (&function.stage, &stage) {
                // Code that is there is kept unless there is better.
                (Stage::Compiled(_, OptLevel::Speed), _) => unused = { stage }.take_code(),
                (Stage::Compiled(..), Stage::Interpreted | Stage::Refused(_)) => {}
                _ => {
                    let mut before = std::mem::replace(&mut function.stage, stage);
                    unused = before.take_code();
                }
            }
            let entries = match &function.stage {
                Stage::Compiled(code, _) => compiled(module, func, code),
                // It may be hot again when there is room.
                Stage::Interpreted => {
                    if let (Some(bytecode), Some(tiering)) = (bytecode, module.engine().tiering()) {
                        // The call that asked counts again, and must not ask again.
                        bytecode.set_calls_left(tiering.settings().calls.max(2));
                    }
                    None
                }
                _ => bytecode.map(|bytecode| interpreted(bytecode.uncounted_entry())),
            };
            if let Some(entries) = entries {
                publish(module, &state, variant, func, entries);
            }
            if let Some(tiering) = module.engine().tiering() {
                tiering.retire(unused);
            }
        }
        Some(index) => {
            if matches!(stage, Stage::Interpreted) {
                function.loops.retain(|entry| entry.index != index);
                if let (Some(bytecode), Some(tiering)) = (bytecode, module.engine().tiering()) {
                    bytecode.count_iterations(index, tiering.settings().iterations);
                }
                return;
            }
            let ready = matches!(stage, Stage::Compiled(..));
            if let Some(entry) = function.loop_entry(index) {
                entry.stage = stage;
            }
            // The next iteration finds out.
            match bytecode {
                Some(bytecode) if ready => bytecode.set_ready(index),
                Some(bytecode) => bytecode.stop_counting(index),
                None => {}
            }
        }
    }
}

/// Lets the loops of a function that wait for code be counted anew, when there is other code of the function: the frames that
/// asked may have come to it. Those that have not ask once more. What it gains stands
/// in ARCHITECTURE.md.
fn ask_again(module: &Module, function: &mut Function, bytecode: &Bytecode) {
    let Some(tiering) = module.engine().tiering() else { return };
    function.loops.retain(|entry| {
        let waits = matches!(entry.stage, Stage::Queued);
        if waits {
            bytecode.count_iterations(entry.index, tiering.settings().iterations);
        }
        !waits
    });
}

/// Takes a function's code away, if it has any: it is interpreted and counted again. The code may still be running.
pub(super) fn evict(module: &Module, target: Target) -> Option<Arc<NativeCode>> {
    let Target { variant, func, at_loop } = target;
    let settings = module.engine().tiering()?.settings();
    let bytecode = module.code().get(variant, func);
    let mut state = module.tiering().lock();
    let function = state.function(variant, func);
    if let Some(index) = at_loop {
        let at = function.loops.iter().position(|entry| entry.index == index)?;
        let code = function.loops[at].stage.take_code()?;
        function.loops.remove(at);
        if let Some(bytecode) = bytecode {
            bytecode.count_iterations(index, settings.iterations);
        }
        return Some(code);
    }
    let code = function.stage.take_code()?;
    let entry = match bytecode {
        Some(bytecode) => {
            bytecode.set_calls_left(settings.calls);
            bytecode.entry()
        }
        None => crescendo_interp::untranslated_entry(),
    };
    publish(module, &state, variant, func, interpreted(entry));
    Some(code)
}

/// Ends the counting of a function's calls, in all instances.
pub(super) fn refuse(module: &Module, target: Target, reason: &str) {
    let bytecode = module.code().get(target.variant, target.func);
    let mut state = module.tiering().lock();
    state.function(target.variant, target.func).stage = Stage::Refused(reason.to_string());
    if let Some(bytecode) = bytecode {
        bytecode.set_calls_left(NEVER);
        let entries = interpreted(bytecode.uncounted_entry());
        publish(module, &state, target.variant, target.func, entries);
    }
}

/// Compiles every function of a module for a kind of instance, once, on all processors.
fn compile_all(module: &Module, variant: Variant) {
    if std::mem::replace(&mut module.tiering().lock().eager[variant as usize], true) {
        return;
    }
    let Some(tiering) = module.engine().tiering() else { return };
    let info = module.info();
    let funcs: Vec<DefinedFuncIdx> = info.defined_funcs().collect();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut scratch = Scratch::new();
        while let Some(func) = funcs.get(next.fetch_add(1, Ordering::Relaxed)) {
            compile_beforehand(module, Target { variant, func: *func, at_loop: None }, &mut scratch);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..tiering.settings().processors().min(funcs.len()) {
            // Without threads everything is interpreted.
            let builder = std::thread::Builder::new().name("crescendo-compile".to_string());
            let _ = builder.stack_size(COMPILER_STACK).spawn_scoped(scope, work);
        }
    });
}

fn compile_beforehand(module: &Module, target: Target, scratch: &mut Scratch) {
    let Some(tiering) = module.engine().tiering() else { return };
    let info = module.info();
    if let Some(reason) = refusal(module, tiering.settings(), target.func) {
        return refuse(module, target, reason);
    }
    // What is not valid is for its first caller to see.
    let valid = module.engine().with_scratch(|scratch| {
        info.validate_body(module.bytes(), target.func, &mut scratch.validator).is_ok()
    });
    if valid {
        let opt_level = first_level(tiering, target, false);
        let (result, elapsed) = compile(module, target, opt_level, scratch);
        finish(module, target, opt_level, result, elapsed);
    }
}
