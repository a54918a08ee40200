//! What to do when a counter has run out.

use super::compile::{Target, compile};
use super::install::{finish, refuse};
use super::state::{LoopEntry, Stage};
use crate::module::{Module, WeakModule};
use crate::tiering::settings::{NEVER, TieringMode};
use crescendo_interp::{Bytecode, Variant};
use crescendo_jit::Scratch;
use crescendo_module::DefinedFuncIdx;
use std::time::Duration;

/// An outer loop is entered instead of an inner one when it has made one iteration for so many of the inner loop.
const INNER_PER_OUTER: u32 = 16;

/// How hot a function is whose counter of calls has run out; frames that are stuck in a loop come first.
const CALLED: u64 = 1;
const LOOPING: u64 = 2;

/// Frames of a function that native code took over, after which calls of the function are compiled too.
const LOOP_ENTRIES_FOR_CALLS: u64 = 2;

/// The counter of a function's calls has run out.
pub(crate) fn function_hot(module: &Module, variant: Variant, func: DefinedFuncIdx) {
    if let Some(bytecode) = module.code().get(variant, func) {
        bytecode.set_calls_left(NEVER);
    }
    request_calls(module, variant, func, CALLED);
}

/// Has a function compiled for its calls, if it is not on its way.
fn request_calls(module: &Module, variant: Variant, func: DefinedFuncIdx, heat: u64) {
    let Some(tiering) = module.engine().tiering() else { return };
    let target = Target { variant, func, at_loop: None };
    {
        let mut state = module.tiering().lock();
        let function = state.function(variant, func);
        if !matches!(function.stage, Stage::Interpreted) {
            return;
        }
        function.stage = Stage::Queued;
    }
    let info = module.info();
    if let Some(reason) =
        tiering.settings().refusal(info.func_idx(func).as_u32(), info.body_range(func).len())
    {
        return refuse(module, target, reason);
    }
    start(module, target, heat);
}

/// The counter of a loop's iterations has run out. Gives native code that takes the frame over, if there is some.
pub(crate) fn loop_hot(
    module: &Module,
    variant: Variant,
    func: DefinedFuncIdx,
    index: u32,
) -> Option<*const u8> {
    let tiering = module.engine().tiering()?;
    let bytecode = module.code().get(variant, func)?;
    let settings = tiering.settings();
    let info = module.info();
    if settings.refusal(info.func_idx(func).as_u32(), info.body_range(func).len()).is_some() {
        bytecode.stop_counting(index);
        return None;
    }
    if let Some(code) = ready(module, variant, func, index) {
        return Some(code);
    }
    let target = {
        let mut state = module.tiering().lock();
        let function = state.function(variant, func);
        let chosen = choose(bytecode, index, settings.iterations);
        // An outer loop that was asked for before may not come round again.
        let chosen = if function.loop_entry(chosen).is_some() { index } else { chosen };
        if let Some(entry) = function.loop_entry(chosen) {
            if matches!(entry.stage, Stage::Refused(_)) {
                bytecode.stop_counting(index);
            } else {
                bytecode.await_code(index);
            }
            return None;
        }
        let limit = Duration::from_millis(u64::from(settings.max_compile_millis));
        if function.loops.len() >= settings.max_loop_entries as usize || function.compile_time > limit {
            bytecode.stop_counting(index);
            return None;
        }
        function.loops.push(LoopEntry { index: chosen, stage: Stage::Queued, entries: 0 });
        bytecode.await_code(chosen);
        if chosen != index {
            bytecode.count_iterations(index, settings.iterations.saturating_mul(4).min(NEVER));
        }
        Target { variant, func, at_loop: Some(chosen) }
    };
    start(module, target, LOOPING);
    if settings.mode == TieringMode::Synchronous {
        return ready(module, variant, func, index);
    }
    None
}

/// The code that takes frames over at a loop, if it is compiled.
fn ready(module: &Module, variant: Variant, func: DefinedFuncIdx, index: u32) -> Option<*const u8> {
    let (code, entries) = {
        let mut state = module.tiering().lock();
        let entry = state.function(variant, func).loop_entry(index)?;
        let code = entry.stage.code()?.start();
        entry.entries += 1;
        (code, entry.entries)
    };
    if entries == LOOP_ENTRIES_FOR_CALLS {
        request_calls(module, variant, func, CALLED);
    }
    Some(code)
}

/// The loop at which to take over: the outermost around the hot one that iterates often enough.
fn choose(bytecode: &Bytecode, hot: u32, iterations: u32) -> u32 {
    let loops = bytecode.loops();
    let often = iterations.div_ceil(INNER_PER_OUTER);
    let mut chosen = hot;
    let mut at = hot;
    while let Some(parent) = loops.get(at as usize).and_then(|found| found.parent) {
        at = parent;
        if iterations.saturating_sub(bytecode.iterations_left(at)) >= often {
            chosen = at;
        }
    }
    chosen
}

/// Compiles now or later, as the mode says.
fn start(module: &Module, target: Target, heat: u64) {
    let Some(tiering) = module.engine().tiering() else { return };
    let weak: WeakModule = module.downgrade();
    let work = Box::new(move |scratch: &mut Scratch| {
        if let Some(module) = weak.upgrade() {
            let (result, elapsed) = compile(&module, target, scratch);
            finish(&module, target, result, elapsed);
        }
    });
    let started = match tiering.settings().mode {
        TieringMode::Dynamic => tiering.queue.push(heat, work).is_ok(),
        _ => tiering.queue.run(work),
    };
    if !started {
        refuse(module, target, "no thread can be started to compile it");
    }
}
