//! What to do when a counter has run out.

use super::compile::{Target, compile, first_level, refusal};
use super::engine::{EngineTiering, LARGE};
use super::install::{finish, refuse};
use super::low::Gain;
use super::state::{LoopEntry, Stage};
use crate::module::{Module, WeakModule};
use crate::tiering::settings::{NEVER, TieringMode};
use crescendo_interp::{Bytecode, Variant};
use crescendo_jit::{OptLevel, Scratch};
use crescendo_module::{DefinedFuncIdx, Priority};
use std::time::Duration;

/// An outer loop is entered instead of an inner one when it has made one iteration for so many of the inner loop.
const INNER_PER_OUTER: u32 = 16;

/// How hot a function is whose counter of calls has run out once, and one with a frame that is in a loop; see [`rank`].
const CALLED: u64 = 1 << 20;
const LOOPING: u64 = 2 << 20;

/// How hot a function with baseline code counts as, to be optimised: what is still interpreted gains more.
const HAS_BASELINE: u64 = CALLED >> 4;

/// How often heat is doubled at most while a function waits for the compiler.
const MOST_DOUBLINGS: u32 = 12;

/// Bytes of body that compiling a function costs in addition to those that it has.
const BYTES_A_FUNCTION: u32 = 64;

/// Calls of a function after which a hot loop has the function compiled for its calls instead of for the frame that runs: soon
/// there will be another. A frame that stays in the loop is taken over later. Kernels of the corpus that run for some milliseconds
/// had up to eight entries at loops compiled that no frame ever used.
const CALLS_FOR_CALLS: u32 = 8;

/// How many times as many iterations a loop then makes before it is asked about again.
const MORE_ITERATIONS: u32 = 4;

/// Frames of a function that native code took over, after which calls of the function are compiled too.
const LOOP_ENTRIES_FOR_CALLS: u64 = 2;

/// The counter of a function's calls has run out.
pub(crate) fn function_hot(module: &Module, variant: Variant, func: DefinedFuncIdx) {
    if let Some(bytecode) = module.code().get(variant, func) {
        bytecode.set_calls_left(NEVER);
    }
    request_calls(module, variant, func);
}

/// Has a function compiled for its calls, or sooner than it would be if it waits already. While it waits its calls are counted
/// on.
fn request_calls(module: &Module, variant: Variant, func: DefinedFuncIdx) {
    let Some(tiering) = module.engine().tiering() else { return };
    let settings = tiering.settings();
    let waiting_counts = settings.mode == TieringMode::Dynamic;
    let target = Target { variant, func, at_loop: None };
    let heat = {
        let mut state = module.tiering().lock();
        let function = state.function(variant, func);
        match function.stage {
            Stage::Interpreted => function.times_hot = 0,
            // The place that it has in the queue is left behind.
            Stage::Queued if waiting_counts => {}
            _ => return,
        }
        function.stage = Stage::Queued;
        let doublings = function.times_hot;
        function.times_hot += 1;
        if let Some(bytecode) =
            module.code().get(variant, func).filter(|_| waiting_counts && doublings < MOST_DOUBLINGS)
        {
            // A call that asks is counted again, and must not ask again.
            let again = (u64::from(settings.calls) << doublings).clamp(2, NEVER.into());
            bytecode.set_calls_left(again as u32);
        }
        CALLED << doublings.min(MOST_DOUBLINGS)
    };
    if let Some(reason) = refusal(module, settings, func) {
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
    if refusal(module, settings, func).is_some() {
        bytecode.stop_counting(index);
        return None;
    }
    if let Some(code) = ready(module, variant, func, index) {
        return Some(code);
    }
    // A guest that waits for the compiler gains at once by code for the frame that runs.
    if settings.mode == TieringMode::Dynamic && is_for_calls(module, variant, func, index, bytecode) {
        bytecode.count_iterations(index, settings.iterations.saturating_mul(MORE_ITERATIONS).min(NEVER));
        request_calls(module, variant, func);
        return None;
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
        // An entry that came when its frame had left the loop does not count: one that stays in the function has another loop.
        // `brotli` with quality 11: 1.54 -> 1.17 s; one function of it had three such entries and was interpreted for 0.6 s.
        let counts = |entry: &&LoopEntry| entry.stage.code().is_none() || entry.entries > 0;
        let entries = function.loops.iter().filter(counts).count();
        if entries >= settings.max_loop_entries as usize || function.compile_time > limit {
            bytecode.stop_counting(index);
            return None;
        }
        function.loops.push(LoopEntry { index: chosen, stage: Stage::Queued, entries: 0 });
        bytecode.await_code(chosen);
        if chosen != index {
            bytecode.count_iterations(index, settings.iterations.saturating_mul(MORE_ITERATIONS).min(NEVER));
        }
        Target { variant, func, at_loop: Some(chosen) }
    };
    start(module, target, LOOPING);
    if settings.mode == TieringMode::Synchronous {
        return ready(module, variant, func, index);
    }
    None
}

/// Whether a hot loop is reason to compile its function for calls: it is called often, and the loop has not been asked about before.
fn is_for_calls(
    module: &Module,
    variant: Variant,
    func: DefinedFuncIdx,
    index: u32,
    bytecode: &Bytecode,
) -> bool {
    let Some(tiering) = module.engine().tiering() else { return false };
    let calls = tiering.settings().calls;
    let mut state = module.tiering().lock();
    let function = state.function(variant, func);
    let was_hot = !matches!(function.stage, Stage::Interpreted);
    let called_often = was_hot || calls.saturating_sub(bytecode.calls_left()) >= CALLS_FOR_CALLS;
    if !called_often || matches!(function.stage, Stage::Refused(_)) || function.put_off.contains(&index) {
        return false;
    }
    function.put_off.push(index);
    true
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
        request_calls(module, variant, func);
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

/// When to compile a hot function: the larger number first. What the module says counts most, then heat by what the compiler's
/// time costs, which is about the body's size: the largest function of yosys takes three seconds, in which a thousand others
/// would stay interpreted (a synthesis took 11 to 31 s by heat alone, 5 s so). Heat doubles with the calls while a function waits.
fn rank(module: &Module, func: DefinedFuncIdx, heat: u64) -> u64 {
    let bytes = u32::try_from(module.info().body_range(func).len()).unwrap_or(u32::MAX);
    let worth = heat / u64::from(bytes.saturating_add(BYTES_A_FUNCTION));
    u64::from(urgency(module, func)) << 32 | worth.min(u32::MAX.into())
}

/// Which functions to compile first by the hints of their module: the larger number. Those with a priority
/// come first, those that run once last; then counts how often the operators inside run, and how much the function is called
/// indirectly.
fn urgency(module: &Module, func: DefinedFuncIdx) -> u32 {
    let hints = module.info().hints(module.bytes());
    let func = module.info().func_idx(func);
    // Without a hint every operator runs once a call.
    let inside = u32::from(hints.highest_frequency(func).unwrap_or(32).min(127)) + hints.largest_part(func);
    match hints.priority(func) {
        Some(priority) if priority.optimization == Some(Priority::RUNS_ONCE) => 0,
        Some(priority) => {
            let place = |number: u32| 0xff - number.min(0xff);
            1 << 24
                | place(priority.optimization.unwrap_or(0xff)) << 16
                | place(priority.compilation) << 8
                | inside
        }
        None => 1 << 8 | inside,
    }
}

/// Compiles now or later, as the mode says.
fn start(module: &Module, target: Target, heat: u64) {
    let Some(tiering) = module.engine().tiering() else { return };
    let weak: WeakModule = module.downgrade();
    let work = Box::new(move |scratch: &mut Scratch| {
        if let Some(module) = weak.upgrade()
            && begin(&module, target)
        {
            compile_now(&module, target, scratch);
        }
    });
    let started = match tiering.settings().mode {
        TieringMode::Dynamic => {
            let bytes = module.info().body_range(target.func).len();
            tiering.push(bytes, rank(module, target.func, heat), work).is_ok()
        }
        _ => tiering.queue.run(work),
    };
    if !started {
        refuse(module, target, "no thread can be started to compile it");
    }
}

/// Compiles a target and makes its code visible.
fn compile_now(module: &Module, target: Target, scratch: &mut Scratch) {
    let Some(tiering) = module.engine().tiering() else { return };
    let dynamic = tiering.settings().mode == TieringMode::Dynamic;
    let bytes = module.info().body_range(target.func).len();
    let busy = dynamic && (bytes > LARGE || !tiering.queue.is_empty());
    let opt_level = first_level(tiering, target, busy);
    let (result, elapsed) = compile(module, target, opt_level, scratch);
    let has_code = result.is_ok();
    finish(module, target, opt_level, result, elapsed);
    if has_code && dynamic && opt_level == OptLevel::None {
        optimise_later(module, tiering, target);
    }
}

/// Has a function with baseline code compiled once more when there is nothing better to do.
fn optimise_later(module: &Module, tiering: &EngineTiering, target: Target) {
    let weak: WeakModule = module.downgrade();
    let work = Box::new(move |scratch: &mut Scratch| {
        if let Some(module) = weak.upgrade()
            && may_optimise(&module, target)
        {
            let (result, elapsed) = compile(&module, target, OptLevel::Speed, scratch);
            finish(&module, target, OptLevel::Speed, result, elapsed);
        }
    });
    // Without a thread the function keeps the code that it has.
    let _ = tiering.push_background(Gain::Better, rank(module, target.func, HAS_BASELINE), work);
}

/// Whether a function still has baseline code and may be compiled once more.
fn may_optimise(module: &Module, target: Target) -> bool {
    let Some(tiering) = module.engine().tiering() else { return false };
    let limit = Duration::from_millis(u64::from(tiering.settings().max_compile_millis));
    let mut state = module.tiering().lock();
    let function = state.function(target.variant, target.func);
    matches!(function.stage, Stage::Compiled(_, OptLevel::None)) && function.compile_time <= limit
}

/// Whether a target that has come up in the queue is still to be compiled: it may have had several places, or been
/// forgotten.
fn begin(module: &Module, target: Target) -> bool {
    let mut state = module.tiering().lock();
    let function = state.function(target.variant, target.func);
    let stage = match target.at_loop {
        None => &mut function.stage,
        Some(index) => match function.loop_entry(index) {
            Some(entry) => &mut entry.stage,
            None => return false,
        },
    };
    let waits = matches!(stage, Stage::Queued);
    if waits {
        *stage = Stage::Compiling;
    }
    waits
}

#[cfg(test)]
mod tests {
    use super::{CALLED, LOOPING, MOST_DOUBLINGS, rank};
    use crate::{Engine, Module};
    use crescendo_module::DefinedFuncIdx;

    /// Functions in the order in which they are compiled when all become hot at once.
    fn order(section: &str, contents: &[u8]) -> Vec<u32> {
        // Type `(func)`, four functions without operators, and the section before the code.
        let mut bytes = b"\0asm\x01\0\0\0\x01\x04\x01\x60\x00\x00\x03\x05\x04\x00\x00\x00\x00".to_vec();
        bytes.extend([0, (1 + section.len() + contents.len()) as u8, section.len() as u8]);
        bytes.extend_from_slice(section.as_bytes());
        bytes.extend_from_slice(contents);
        bytes.extend_from_slice(b"\x0a\x0d\x04\x02\x00\x0b\x02\x00\x0b\x02\x00\x0b\x02\x00\x0b");
        let module = Module::new(&Engine::default(), &bytes).unwrap();
        let mut order: Vec<u32> = (0..4).collect();
        // As the queue does: the hotter, then the earlier.
        order.sort_by_key(|func| {
            let func = DefinedFuncIdx::new(*func);
            assert!(rank(&module, func, CALLED) < rank(&module, func, LOOPING));
            std::cmp::Reverse(rank(&module, func, CALLED))
        });
        order
    }

    #[test]
    fn more_calls_make_up_for_a_larger_body() {
        let large = format!("(func {})", "(drop (i32.const 1)) ".repeat(200));
        let wasm = wat::parse_str(format!("(module {large} (func))")).unwrap();
        let module = Module::new(&Engine::default(), wasm).unwrap();
        let place = |func, heat| rank(&module, DefinedFuncIdx::new(func), heat);
        assert!(place(0, CALLED) < place(1, CALLED));
        assert!(place(0, CALLED << 5) > place(1, CALLED));
        assert!(place(0, CALLED << MOST_DOUBLINGS) > place(0, CALLED << 5));
    }

    #[test]
    fn hints_order_what_is_equally_hot() {
        let cases: [(&str, &[u8], [u32; 4]); 7] = [
            ("none", b"", [0, 1, 2, 3]),
            // Compilation priorities 5 of function 1, 2 of function 3.
            ("metadata.code.compilation_priority", b"\x02\x01\x01\0\x01\x05\x03\x01\0\x01\x02", [3, 1, 0, 2]),
            // The optimization priority counts more: 9 and 8. Function 0 runs once.
            (
                "metadata.code.compilation_priority",
                b"\x03\0\x01\0\x02\0\x7f\x01\x01\0\x02\x05\x08\x03\x01\0\x02\x02\x09",
                [1, 3, 2, 0],
            ),
            // Something in function 2 runs 16 times a call, something in function 1 never.
            ("metadata.code.instr_freq", b"\x02\x01\x01\x01\x01\0\x02\x01\x01\x01\x24", [2, 0, 3, 1]),
            ("metadata.code.call_targets", b"\x01\0\x01\x01\x04\x03\x40\x02\x10", [3, 2, 0, 1]),
            ("compilationHints", b"\x04\0\0\x02\x01", [2, 0, 1, 3]),
            // A malformed section says nothing.
            ("compilationHints", b"\x03\0\0\x02\x01", [0, 1, 2, 3]),
        ];
        for (section, contents, expected) in cases {
            assert_eq!(order(section, contents), expected, "{section} {contents:x?}");
        }
    }
}
