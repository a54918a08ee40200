//! Compiling one function: validated body in, executable code out.

use super::callees::KnownCallees;
use super::engine::EngineTiering;
use super::failed::failed;
use super::profiling::{self, ProfilingStrategy};
use crate::error::{Error, Result};
use crate::module::Module;
use crate::tiering::settings::{Baseline, Tiering};
use crescendo_code::{
    NativeCall, NativeClause, NativeCode, NativeInfo, NativeInlined, NativeInlinedCall, NativeLanding,
    NativeLocation, NativeTrap, NativeTry, thread_nanoseconds,
};
use crescendo_interp::Variant;
use crescendo_jit::{Compiled, Entry, OptLevel, Request, Scratch, UnknownCallees};
use crescendo_module::DefinedFuncIdx;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

/// Why a function got no code.
#[derive(Debug)]
pub(super) enum Failure {
    /// The engine's code budget is used up, which passes.
    NoRoom,
    /// It never gets any.
    Final(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Final(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::NoRoom => f.write_str("the engine's code budget is used up"),
            Failure::Final(error) => error.fmt(f),
        }
    }
}

/// What is to be compiled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target {
    pub(super) variant: Variant,
    pub(super) func: DefinedFuncIdx,
    /// The loop at which the code is entered, by its index; the function's start without.
    pub(super) at_loop: Option<u32>,
}

/// How the code of a target is optimised that it gets first. `busy` says whether others wait or would have to.
pub(super) fn first_level(tiering: &EngineTiering, target: Target, busy: bool) -> OptLevel {
    let baseline = match tiering.settings().baseline {
        Baseline::Never => false,
        Baseline::WhenBusy => busy,
        Baseline::Always => true,
    };
    // A frame that native code has taken over never moves on to other code.
    if baseline && target.at_loop.is_none() { OptLevel::None } else { OptLevel::Speed }
}

/// Why a function must not be compiled, if it must not.
pub(super) fn refusal(module: &Module, settings: &Tiering, func: DefinedFuncIdx) -> Option<&'static str> {
    let info = module.info();
    let locals = info.declared_locals(module.bytes(), func) as usize;
    settings.refusal(info.func_idx(func).as_u32(), info.body_range(func).len(), locals)
}

/// Compiles a function and puts it where it can run, thunks for what it calls included; with the processor time that it took.
pub(super) fn compile(
    module: &Module,
    target: Target,
    opt_level: OptLevel,
    scratch: &mut Scratch,
) -> (Result<Arc<NativeCode>, Failure>, Duration) {
    let started = thread_nanoseconds();
    // A defect of the compiler costs the function its native code, not the guest its life.
    let result = catch_unwind(AssertUnwindSafe(|| try_compile(module, target, opt_level, scratch)));
    let result = result.unwrap_or_else(|_| {
        // No test may pass because the interpreter helps out.
        if cfg!(debug_assertions) {
            std::process::abort();
        }
        *scratch = Scratch::new();
        Err(Error::msg("the compiler panicked").into())
    });
    let elapsed = Duration::from_nanos(thread_nanoseconds() - started);
    tracing::debug!(
        target: "crescendo::tiering",
        func = module.info().func_idx(target.func).as_u32(),
        at_loop = target.at_loop,
        ?opt_level,
        bytes = result.as_ref().map_or(0, |code| code.len()),
        error = result.as_ref().err().map(tracing::field::display),
        ?elapsed,
        "compiled"
    );
    (result, elapsed)
}

fn try_compile(
    module: &Module,
    target: Target,
    opt_level: OptLevel,
    scratch: &mut Scratch,
) -> Result<Arc<NativeCode>, Failure> {
    let Some(tiering) = module.engine().tiering() else {
        return Err(Error::msg("the engine only interprets").into());
    };
    if !tiering.has_room() {
        return Err(Failure::NoRoom);
    }
    let entry = match target.at_loop {
        None => Entry::Call,
        Some(index) => {
            let bytecode = module.bytecode(target.variant, target.func)?;
            let Some(found) = bytecode.loops().get(index as usize) else {
                return Err(crate::error::bug!("the function has no loop {index}").into());
            };
            Entry::Osr { loop_offset: found.offset }
        }
    };
    let callees = KnownCallees::new(module, target.variant, tiering.settings());
    let request = Request {
        opt_level,
        callees: if opt_level == OptLevel::None { &UnknownCallees } else { &callees },
        info: module.info(),
        bytes: module.bytes(),
        offsets: module.offsets(),
        func: target.func,
        variant: target.variant,
        entry,
    };
    let compiled = tiering.compiler()?.compile(scratch, &request).map_err(failed)?;
    // Code for a loop is entered from its function's frame, without a thunk.
    let own =
        target.at_loop.is_none().then(|| module.info().func_type_id(module.info().func_idx(target.func)));
    tiering.ensure_thunks(module.engine().types(), own, &compiled.called, scratch)?;
    let code = Arc::new(install(module, target.func, &compiled, &callees)?);
    let profiler = module.engine().config().profiler;
    if profiler != ProfilingStrategy::None {
        profiling::note(profiler, &name(module, target, opt_level), &code);
    }
    tiering.add_code(module, target, code.len());
    Ok(code)
}

/// A function's name for profilers.
fn name(module: &Module, target: Target, opt_level: OptLevel) -> String {
    let index = module.info().func_idx(target.func).as_u32();
    let name = module.func_name(index).map_or_else(|| format!("func[{index}]"), str::to_string);
    match (target.at_loop, opt_level) {
        (Some(at_loop), _) => format!("wasm::{name} (loop {at_loop})"),
        (None, OptLevel::None) => format!("wasm::{name} (baseline)"),
        (None, OptLevel::Speed) => format!("wasm::{name}"),
    }
}

fn install(
    module: &Module,
    func: DefinedFuncIdx,
    compiled: &Compiled,
    callees: &KnownCallees<'_>,
) -> Result<NativeCode> {
    let calls = compiled.calls.iter().map(|call| {
        let callee = call.callee.map(|callee| callees.code(callee)).transpose()?;
        Ok(NativeCall { offset: call.offset, callee })
    });
    let traps = compiled.traps.iter().map(|trap| NativeTrap { offset: trap.offset, code: trap.code });
    let mut inlined: Vec<NativeInlined> = Vec::new();
    for place in &compiled.locations {
        if inlined.last().and_then(|last| last.call) != place.inlined {
            inlined.push(NativeInlined { offset: place.offset, call: place.inlined });
        }
    }
    let inlined_calls = compiled.inlined.iter().map(|call| NativeInlinedCall {
        func_index: call.func_index,
        call_offset: call.call_offset,
        caller: call.caller,
    });
    let locations = compiled.locations.iter();
    let locations = locations.map(|place| NativeLocation { offset: place.offset, wasm: place.wasm });
    let landings = compiled.landings.iter().map(|landing| NativeLanding {
        return_offset: landing.return_offset,
        offset: landing.offset,
        frame_bytes: landing.frame_bytes,
        context_at: landing.context_at,
        innermost: landing.innermost,
    });
    let mut clauses = Vec::new();
    let mut tries = Vec::with_capacity(compiled.tries.len());
    for found in &compiled.tries {
        let first = clauses.len() as u32;
        clauses.extend(found.clauses.iter().map(|clause| NativeClause {
            tag: clause.tag,
            with_ref: clause.with_ref,
            number: clause.number,
        }));
        tries.push(NativeTry { clauses: first..clauses.len() as u32, next: found.next });
    }
    let info = NativeInfo {
        module: module.id(),
        func_index: module.info().func_idx(func).as_u32(),
        traps: traps.collect(),
        locations: locations.collect(),
        inlined: inlined.into(),
        inlined_calls: inlined_calls.collect(),
        landings: landings.collect(),
        tries: tries.into(),
        clauses: clauses.into(),
    };
    Ok(NativeCode::install(&compiled.code, &calls.collect::<Result<Vec<_>>>()?, info)?)
}
