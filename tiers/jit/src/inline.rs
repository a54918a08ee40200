//! Callees that become a part of their callers' code.
//!
//! A call of a small function of the same module is replaced by the function's body: its locals are variables of the caller's
//! code, its params get the operands of the call, and its returns branch behind the call. What can be seen of it stays the same:
//! runs of fuel start where they would, and backtraces name the callee.
//!
//! Code with inlined calls belongs to several operators of several functions. [`Places`] lays all operators of a
//! compilation, in the order in which they are translated, on one line: the bodies of inlined callees lie behind their calls
//! and push away what follows. Without inlined calls a place is the byte offset in the module.

use crate::compiler::Request;
use crate::error::{CompileError, Step};
use crate::function::{Translator, Types};
use crate::output::InlinedCall;
use crate::signature::clif_type_of;
use cranelift_codegen::ir::{Block, Value};
use crescendo_module::{DefinedFuncIdx, FuncIdx, FuncType, Hints};
use crescendo_semantics::Ty;
use crescendo_semantics::lower::clif_type;
use crescendo_semantics::translate::{FrameKind, Reach};
use wasmparser::{FunctionBody, Operator};

/// Inlined calls inside each other.
const MAX_DEPTH: usize = 5;
/// How often a function is inlined into itself, directly or through others.
const MAX_RECURSION: usize = 1;
/// Locals of a function with a loop at most, params included, that is inlined into itself: both loops need registers for theirs.
/// Next to Wasmtime's time, with and without: `partitions` (4 locals) 0.67 and 1.01, `cliques` (5) 1.04 and 1.02.
const MAX_RECURSIVE_LOCALS: u32 = 4;
/// Bytes of bodies that are inlined into a function at least, if there are so many, and at most.
const LEAST_BUDGET: u32 = 1 << 10;
const MOST_BUDGET: u32 = 8 << 10;
/// How many times its own bytes a function grows between those.
const GROWTH: u32 = 2;

/// What the translation of a body needs to know that a call interrupts it for.
pub(crate) struct Body<'a> {
    pub(crate) func: FuncIdx,
    pub(crate) body: FunctionBody<'a>,
    pub(crate) ty: &'a FuncType,
    /// The variable of its first local.
    pub(crate) first_variable: u32,
    /// Its own frame, as an index.
    pub(crate) frame: usize,
    /// What can be reached in it.
    pub(crate) reach: Reach,
    /// The constant of the current run's fuel, which is known at the run's end, and its sum so far.
    pub(crate) fuel_run: Option<(Value, u32)>,
}

/// Where the operators of a compilation lie on one line.
#[derive(Default)]
pub(crate) struct Places {
    /// By start.
    segments: Vec<Segment>,
    calls: Vec<InlinedCall>,
}

/// A piece of a body without inlined calls.
struct Segment {
    /// Place of its start.
    start: u32,
    /// What an offset in the module and this make its place, modulo 2^32.
    shift: u32,
    /// The inlined call that it belongs to.
    call: Option<u32>,
}

impl Places {
    pub(crate) fn clear(&mut self) {
        self.segments.clear();
        self.calls.clear();
    }

    /// The place of an operator of the body that is translated.
    pub(crate) fn of(&self, offset: u32) -> u32 {
        self.segments.last().map_or(offset, |segment| offset.wrapping_add(segment.shift))
    }

    /// The offset of the operator at a place, and the inlined call that it belongs to.
    pub(crate) fn operator(&self, place: u32) -> (u32, Option<u32>) {
        let after = self.segments.partition_point(|segment| segment.start <= place);
        match after.checked_sub(1).map(|index| &self.segments[index]) {
            Some(segment) => (place.wrapping_sub(segment.shift), segment.call),
            None => (place, None),
        }
    }

    /// The inlined calls, outer ones before those inside.
    pub(crate) fn calls(&self) -> &[InlinedCall] {
        &self.calls
    }

    /// Goes on with an operator at an offset, of an inlined call or the function itself, right behind a place.
    fn go_on(&mut self, place: u32, offset: u32, call: Option<u32>) {
        let start = place + 1;
        self.segments.push(Segment { start, shift: start.wrapping_sub(offset), call });
    }

    fn current_call(&self) -> Option<u32> {
        self.segments.last().and_then(|segment| segment.call)
    }
}

impl<'a> Translator<'_, 'a> {
    /// How many bytes may be inlined into a function.
    pub(crate) fn inlining_budget(request: &Request<'_>) -> u32 {
        let bytes = u32::try_from(request.info.body_range(request.func).len()).unwrap_or(u32::MAX);
        bytes.saturating_mul(GROWTH).clamp(LEAST_BUDGET, MOST_BUDGET)
    }

    /// Whether a call of this function is inlined.
    pub(crate) fn inlines(&mut self, callee: FuncIdx) -> Step<bool> {
        let Some(defined) = self.info.defined_func(callee) else { return Ok(false) };
        let bytes = self.info.body_range(defined).len();
        // Up to the loop at which a frame is taken over, code only runs again if an outer loop comes round.
        let entered = self.takeover.as_ref().is_none_or(|takeover| takeover.reached);
        let end = u64::from(self.buffers.places.of(self.offset)) + bytes as u64 + u64::from(MOST_BUDGET);
        let callers = || self.callers.iter().map(|caller| caller.func).chain([self.func]);
        if !entered
            || self.callers.len() >= MAX_DEPTH
            || callers().filter(|caller| *caller == callee).count() > MAX_RECURSION
            || bytes > self.inline_budget as usize
            || end > u64::from(u32::MAX / 2)
            || bytes > self.callees.most_inlined_bytes(defined)
        {
            return Ok(false);
        }
        let recursive = callers().any(|caller| caller == callee);
        self.can_be_inlined(defined, recursive)
    }

    /// Whether the body has only operators that mean the same inside of another body. One that is inlined into itself must be small
    /// if it has a loop.
    fn can_be_inlined(&self, callee: DefinedFuncIdx, recursive: bool) -> Step<bool> {
        let params = self.info.type_of_func(self.info.func_idx(callee)).params().len() as u32;
        let locals = self.info.declared_locals(self.bytes, callee).saturating_add(params);
        for operator in self.info.func_body(self.bytes, callee).get_operators_reader()? {
            match operator? {
                Operator::ReturnCall { .. }
                | Operator::ReturnCallIndirect { .. }
                | Operator::ReturnCallRef { .. }
                | Operator::TryTable { .. }
                | Operator::Try { .. } => return Ok(false),
                Operator::Loop { .. } if recursive && locals > MAX_RECURSIVE_LOCALS => return Ok(false),
                _ => {}
            }
        }
        Ok(true)
    }

    /// Replaces the arguments on the stack by the results of a call, whose body is translated here.
    pub(crate) fn inline_call(&mut self, callee: FuncIdx) -> Step {
        let Some(defined) = self.info.defined_func(callee) else {
            return Err(self.impossible("an imported function has no body"));
        };
        let call_offset = self.offset;
        let place = self.buffers.places.of(call_offset);
        let caller_call = self.buffers.places.current_call();
        let range = self.info.body_range(defined);
        self.inline_budget -= range.len() as u32;
        let index = self.buffers.places.calls.len() as u32;
        self.buffers.places.calls.push(InlinedCall {
            func_index: callee.as_u32(),
            call_offset,
            caller: caller_call,
        });
        self.buffers.places.go_on(place, range.start as u32, Some(index));
        let caller = self.enter_inlined(callee, defined)?;
        self.callers.push(caller);
        self.translate_body()?;
        let last = self.buffers.places.of(range.end as u32);
        if let Some(caller) = self.callers.pop() {
            self.leave_inlined(caller);
        }
        self.buffers.places.go_on(last, call_offset + 1, caller_call);
        self.set_offset(call_offset);
        Ok(())
    }

    /// Starts on a callee's body. Gives what is left behind.
    fn enter_inlined(&mut self, callee: FuncIdx, defined: DefinedFuncIdx) -> Step<Body<'a>> {
        let ty = self.info.type_of_func(callee);
        let body = self.info.func_body(self.bytes, defined);
        self.set_offset(body.range().start as u32);
        self.buffers.values.clear();
        self.append_values(ty.params().len())?;
        let height = self.height_below(ty.params().len())?;
        self.truncate(height);
        let results = Types::ResultsOf(self.info.func_type_idx(callee));
        let next = self.block_with(results)?;
        let first_variable = self.define_inlined_locals(ty, &body)?;
        let caller = Body {
            func: std::mem::replace(&mut self.func, callee),
            body: std::mem::replace(&mut self.body, body),
            ty: std::mem::replace(&mut self.ty, ty),
            first_variable: std::mem::replace(&mut self.first_variable, first_variable),
            frame: std::mem::replace(&mut self.function_frame, self.buffers.frames.len()),
            reach: std::mem::take(&mut self.reach),
            fuel_run: self.fuel_run.take(),
        };
        self.push_frame(FrameKind::Function, Types::Empty, results, Some(next))?;
        self.start_run();
        Ok(caller)
    }

    /// Goes on with the caller behind the call.
    fn leave_inlined(&mut self, caller: Body<'a>) {
        self.finish_run();
        let Body { func, body, ty, first_variable, frame, reach, fuel_run } = caller;
        (self.func, self.body, self.ty) = (func, body, ty);
        (self.first_variable, self.function_frame) = (first_variable, frame);
        (self.reach, self.fuel_run) = (reach, fuel_run);
    }

    /// Makes variables of a callee's locals. Gives the first.
    fn define_inlined_locals(&mut self, ty: &FuncType, body: &FunctionBody<'a>) -> Step<u32> {
        if self.widens {
            self.buffers.widening.survey(self.info, body)?;
        }
        let (mut first, mut local) = (None, ty.params().len());
        for (index, ty) in ty.params().iter().enumerate() {
            let variable = self.declare_local_variable(index, clif_type_of(*ty));
            self.define_local(variable, self.buffers.values[index]);
            first.get_or_insert(variable);
        }
        for declared in body.get_locals_reader()? {
            let (n, ty) = declared?;
            if n == 0 {
                continue;
            }
            let ty = clif_type(Ty::of(ty));
            let zero = self.constant_of(ty, 0);
            for _ in 0..n {
                let variable = self.declare_local_variable(local, ty);
                self.define_local(variable, zero);
                local += 1;
                first.get_or_insert(variable);
            }
        }
        Ok(first.map_or(0, |variable| variable.as_u32()))
    }

    /// At the end of an inlined body: goes on behind the call, with the results on the stack.
    pub(crate) fn end_inlined(&mut self, next: Block) -> Step {
        let frame = *self.top_frame()?;
        if self.reach.is_reachable() {
            if !frame.branched {
                // Nothing else comes here: the results stay where they are.
                self.buffers.frames.pop();
                return Ok(());
            }
            self.branch_to(0)?;
        }
        self.buffers.frames.pop();
        self.truncate(frame.height);
        // Without a way here the caller's code is translated all the same, as other tiers do.
        self.b.seal_block(next);
        self.b.switch_to_block(next);
        self.push_block_params(next);
        Ok(())
    }

    /// The module's hints for the body that is translated, if they count.
    pub(crate) fn hints(&self) -> Option<(FuncIdx, &'a Hints)> {
        self.hints.map(|hints| (self.func, hints))
    }

    /// The depth of a branch that returns.
    pub(crate) fn return_depth(&self) -> Result<u32, CompileError> {
        let frames = self.buffers.frames.len();
        match frames.checked_sub(self.function_frame + 1) {
            Some(depth) => Ok(depth as u32),
            None => Err(self.impossible("the function's frame is closed")),
        }
    }
}
