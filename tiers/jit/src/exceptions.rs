//! Throwing and catching.
//!
//! A call that a `try` or `try_table` protects is a `try_call`: on its second way, which only the engine takes, code goes on in
//! the landing block of the innermost one, with the number of the clause that catches. The landing block finds the clause's
//! block, or hands the number on to the landing block of the next `try` further out. A clause's block loads what the exception
//! carries from where the engine has put it, and branches to the clause's label. What the engine needs to know of a
//! function's clauses is in [`crate::Compiled`]; the tags are those of the context, which calls keep in the frame.

use crate::calls::Target;
use crate::error::{CompileError, Step};
use crate::flags::{self, Region};
use crate::function::{ControlFrame, Translator};
use crate::osr::slot_offset;
use crate::output::{Clause, Try};
use crate::signature::{clif_type_of, routine};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    Block, BlockArg, ExceptionTableData, ExceptionTableItem, ExceptionTag, Inst, InstBuilder, SigRef, Value,
    types,
};
use cranelift_codegen::isa::CallConv;
use cranelift_frontend::FunctionBuilder;
use crescendo_abi::{Builtin, TrapCode, VmContext, VmStoreContext};
use crescendo_module::TagIdx;
use crescendo_semantics::lower::clif_trap_code;
use crescendo_semantics::translate::{CatchClause, Control, Exceptions, FrameKind, rethrows};
use wasmparser::{BlockType, TryTable};

/// `try`s inside each other: a landing leads to that of the next one further out, and 20,000 of them take Cranelift 5 seconds.
const MAX_TRY_DEPTH: u32 = 1000;

/// A `try` or `try_table`.
#[derive(Debug)]
pub(crate) struct OpenTry {
    /// The one around it.
    parent: Option<u32>,
    /// The one whose clauses come after its own.
    next: Option<u32>,
    /// How many are around it.
    depth: u32,
    /// Takes the number of a clause; there once a call needs it.
    landing: Option<Block>,
    clauses: Vec<OpenClause>,
}

#[derive(Debug)]
struct OpenClause {
    clause: Clause,
    block: Block,
    /// The label that it branches to, as seen from outside; `None` if its code is in place.
    label: Option<u32>,
}

impl OpenTry {
    /// What the engine needs to know of it.
    pub(crate) fn closed(&self) -> Try {
        Try { clauses: self.clauses.iter().map(|open| open.clause).collect(), next: self.next }
    }
}

/// Where the results of a call are.
pub(crate) enum Returned {
    Inst(Inst),
    Block(Block),
}

impl Returned {
    pub(crate) fn result(&self, b: &FunctionBuilder<'_>, index: usize) -> Value {
        match self {
            Returned::Inst(call) => b.func.dfg.inst_results(*call)[index],
            Returned::Block(block) => b.block_params(*block)[index],
        }
    }
}

impl Translator<'_, '_> {
    /// The `try` that protects the code that is translated.
    pub(crate) fn handler(&self) -> Option<u32> {
        self.buffers.frames.last().and_then(|frame| frame.handler)
    }

    /// Calls with the listed values, and goes on where it returns.
    pub(crate) fn call_or_try(&mut self, signature: SigRef, callee: Target) -> Returned {
        let Some(index) = self.handler() else {
            return Returned::Inst(match callee {
                Target::Code(code) => self.b.ins().call(code, &self.buffers.values),
                Target::Entry(entry) => self.b.ins().call_indirect(signature, entry, &self.buffers.values),
            });
        };
        let landing = self.landing(index);
        let next = self.b.create_block();
        let count = self.b.func.dfg.signatures[signature].returns.len();
        self.buffers.block_args.clear();
        for result in 0..count {
            let ty = self.b.func.dfg.signatures[signature].returns[result].value_type;
            self.b.append_block_param(next, ty);
            self.buffers.block_args.push(BlockArg::TryCallRet(result as u32));
        }
        let returned = self.b.func.dfg.block_call(next, &self.buffers.block_args);
        let caught = self.b.func.dfg.block_call(landing, &[BlockArg::TryCallExn(0)]);
        let items = [
            ExceptionTableItem::Context(self.context),
            ExceptionTableItem::Tag(ExceptionTag::from_u32(index), caught),
        ];
        let table = ExceptionTableData::new(signature, returned, items);
        let table = self.b.func.dfg.exception_tables.push(table);
        match callee {
            Target::Code(code) => self.b.ins().try_call(code, &self.buffers.values, table),
            Target::Entry(entry) => self.b.ins().try_call_indirect(entry, &self.buffers.values, table),
        };
        self.b.seal_block(next);
        self.b.switch_to_block(next);
        Returned::Block(next)
    }

    fn landing(&mut self, index: u32) -> Block {
        if let Some(landing) = self.buffers.tries[index as usize].landing {
            return landing;
        }
        let landing = self.b.create_block();
        self.b.append_block_param(landing, types::I64);
        self.b.set_cold_block(landing);
        self.buffers.tries[index as usize].landing = Some(landing);
        landing
    }

    fn open_try(&mut self, kind: FrameKind, ty: BlockType) -> Step<u32> {
        let (params, results) = self.block_type(ty)?;
        let height = self.height_below(self.count(params))?;
        self.settle_operands(height);
        let next = self.block_with(results)?;
        let parent = self.handler();
        let depth = parent.map_or(0, |parent| self.buffers.tries[parent as usize].depth + 1);
        if depth > MAX_TRY_DEPTH {
            return Err(CompileError::TooLarge { limit: "nested tries" });
        }
        let index = self.buffers.tries.len() as u32;
        self.buffers.tries.push(OpenTry { parent, next: parent, depth, landing: None, clauses: Vec::new() });
        self.push_frame(kind, params, results, Some(next))?;
        let frame = self.top_frame()?;
        frame.handler = Some(index);
        frame.own_try = Some(index);
        Ok(index)
    }

    fn add_clause(&mut self, index: u32, tag: Option<u32>, with_ref: bool, label: Option<u32>) -> Block {
        let number = self.clause_count;
        self.clause_count += 1;
        let block = self.b.create_block();
        self.b.set_cold_block(block);
        let clause = Clause { tag, with_ref, number };
        self.buffers.tries[index as usize].clauses.push(OpenClause { clause, block, label });
        block
    }

    /// Pushes what was caught: below it, for a `catch`, the reference; above it, for a `try_table`.
    fn push_caught(&mut self, clause: &Clause, ref_first: bool) -> Step {
        let info = self.info;
        let ty = clause.tag.map(|tag| info.type_of_tag(TagIdx::new(tag)));
        let types = ty.map_or(&[][..], |ty| ty.params());
        let ref_slot = ty.map_or(0, |ty| ty.param_slots()) as u32;
        let place = self.load_store(VmStoreContext::THROWN);
        let flags = flags::place(self.b.func, Region::Slots);
        let load_ref = |t: &mut Self| {
            let reference = t.b.ins().load(types::I64, flags, place, slot_offset(ref_slot));
            t.push(reference);
        };
        if clause.with_ref && ref_first {
            load_ref(self);
        }
        let mut slot = 0;
        for ty in types {
            let value = self.b.ins().load(clif_type_of(*ty), flags, place, slot_offset(slot));
            self.push(value);
            slot += ty.slots() as u32;
        }
        if clause.with_ref && !ref_first {
            load_ref(self);
        }
        Ok(())
    }

    /// As [`Self::end_try`], where code goes on in the current block.
    pub(crate) fn end_try_between(&mut self, frame: &ControlFrame) -> Step {
        let Some(index) = frame.own_try else { return Ok(()) };
        if self.buffers.tries[index as usize].landing.is_none() {
            return Ok(());
        }
        let rest = self.b.create_block();
        self.b.ins().jump(rest, &[]);
        self.end_try(frame)?;
        self.b.seal_block(rest);
        self.b.switch_to_block(rest);
        Ok(())
    }

    /// Writes the landing of a `try` whose frame was closed, and the blocks of its clauses. The current block has ended.
    pub(crate) fn end_try(&mut self, frame: &ControlFrame) -> Step {
        let Some(index) = frame.own_try else { return Ok(()) };
        if self.buffers.tries[index as usize].landing.is_none() {
            // Nothing in it throws. The code of `catch`es is there all the same.
            for open in &self.buffers.tries[index as usize].clauses {
                if open.label.is_none() {
                    self.b.seal_block(open.block);
                }
            }
            return Ok(());
        }
        self.write_landing(index)?;
        for at in 0..self.buffers.tries[index as usize].clauses.len() {
            let OpenClause { clause, block, label } = self.buffers.tries[index as usize].clauses[at];
            self.b.seal_block(block);
            if let Some(label) = label {
                self.b.switch_to_block(block);
                let height = self.height();
                self.push_caught(&clause, false)?;
                self.branch_to(label)?;
                self.truncate(height);
            }
        }
        Ok(())
    }

    /// From a clause's number to its block.
    fn write_landing(&mut self, index: u32) -> Step {
        let landing = self.landing(index);
        self.b.seal_block(landing);
        self.b.switch_to_block(landing);
        let number = self.b.block_params(landing)[0];
        let next = self.buffers.tries[index as usize].next;
        let count = self.buffers.tries[index as usize].clauses.len();
        for at in 0..count {
            let OpenClause { clause, block, .. } = self.buffers.tries[index as usize].clauses[at];
            // No other number comes here.
            if (at + 1 == count && next.is_none()) || clause.tag.is_none() {
                self.b.ins().jump(block, &[]);
                return self.drop_clauses(index, at + 1);
            }
            let rest = self.b.create_block();
            self.b.set_cold_block(rest);
            let is_it = self.b.ins().icmp_imm_u(IntCC::Equal, number, i64::from(clause.number));
            self.b.ins().brif(is_it, block, &[], rest, &[]);
            self.b.seal_block(rest);
            self.b.switch_to_block(rest);
        }
        match next {
            Some(next) => {
                let next = self.landing(next);
                self.b.ins().jump(next, &[BlockArg::Value(number)]);
            }
            None => {
                self.b.ins().trap(clif_trap_code(TrapCode::UnreachableCodeReached));
            }
        }
        Ok(())
    }

    /// Forgets the clauses of a `try_table` that are never asked, since one before them takes everything.
    fn drop_clauses(&mut self, index: u32, kept: usize) -> Step {
        let clauses = &mut self.buffers.tries[index as usize].clauses;
        for open in clauses.iter().skip(kept) {
            if open.label.is_none() {
                self.b.seal_block(open.block);
            }
        }
        clauses.truncate(kept);
        Ok(())
    }

    /// Ends the running code with a builtin that throws, with the topmost operands.
    fn throw_by(&mut self, builtin: Builtin, operands: usize, tag: u32) -> Step {
        self.buffers.values.clear();
        self.append_values(operands)?;
        let slots = self.slots_below(self.height()) - self.slots_below(self.height_below(operands)?);
        let slot = self.shared_slot(self.builtin_slots, slots.max(1) as usize);
        self.builtin_slots = Some(slot);
        let args = self.b.ins().stack_addr(types::I64, slot, 0);
        self.store_slots(Region::Frame, args, 0);
        // It never returns, so that the convention matters for its arguments only, for which both are the same.
        let signature = match self.routines.throw {
            Some(signature) => signature,
            None => {
                let mut signature = routine(5, false);
                signature.call_conv = CallConv::Tail;
                self.b.import_signature(signature)
            }
        };
        self.routines.throw = Some(signature);
        let (a, b) = (self.word(tag.into()), self.word(0));
        let builtins = self.context_pointer(VmContext::BUILTINS as u32);
        let function = self.b.ins().load(types::I64, flags::constant(), builtins, builtin as i32 * 8);
        let callee = self.word(self.options.support.builtin as u64);
        self.buffers.values.clear();
        self.buffers.values.extend([self.context, args, a, b, function]);
        self.call_or_try(signature, Target::Entry(callee));
        self.b.ins().trap(clif_trap_code(TrapCode::UnreachableCodeReached));
        self.unreachable_from_here()
    }

    /// Whether the code of `catch`es has an operand that wasm does not see; see [`rethrows`].
    fn keeps_caught(&mut self) -> Step<bool> {
        if self.rethrows.is_none() {
            self.rethrows = Some(rethrows(&self.body)?);
        }
        Ok(self.rethrows == Some(true))
    }
}

impl Exceptions for Translator<'_, '_> {
    fn try_table(&mut self, table: &TryTable) -> Step {
        for catch in &table.catches {
            // The labels are branched to, whether anything is thrown or not: where runs of fuel start must not depend on it.
            self.branch_target(CatchClause::from(*catch).label)?;
        }
        let index = self.open_try(FrameKind::TryTable, table.ty)?;
        for catch in &table.catches {
            let CatchClause { tag, with_ref, label } = CatchClause::from(*catch);
            self.add_clause(index, tag, with_ref, Some(label));
        }
        Ok(())
    }

    fn throw(&mut self, tag: u32) -> Step {
        let operands = self.info.type_of_tag(TagIdx::new(tag)).params().len();
        self.throw_by(Builtin::Throw, operands, tag)
    }

    fn throw_ref(&mut self) -> Step {
        self.throw_by(Builtin::ThrowRef, 1, 0)
    }

    fn try_(&mut self, ty: BlockType) -> Step {
        self.open_try(FrameKind::Try, ty).map(|_| ())
    }

    fn catch(&mut self, tag: Option<u32>) -> Step {
        if self.reach.is_reachable() {
            self.branch_to(0)?;
        }
        let frame = *self.top_frame()?;
        let index = frame.own_try.ok_or_else(|| self.impossible("a catch without a try"))?;
        let parent = self.buffers.tries[index as usize].parent;
        let top = self.top_frame()?;
        top.kind = FrameKind::Catch;
        top.handler = parent;
        self.truncate(frame.height);
        let with_ref = self.keeps_caught()?;
        let block = self.add_clause(index, tag, with_ref, None);
        self.b.switch_to_block(block);
        self.push_caught(&Clause { tag, with_ref, number: 0 }, true)?;
        self.reach.set(true);
        self.start_run();
        Ok(())
    }

    fn delegate(&mut self, depth: u32) -> Step {
        let next = self.frame(depth.saturating_add(1))?.handler;
        if let Some(index) = self.top_frame()?.own_try {
            self.buffers.tries[index as usize].next = next;
        }
        self.end()
    }

    fn rethrow(&mut self, depth: u32) -> Step {
        let height = self.frame(depth)?.height;
        let reference = self.operand_at(height);
        self.push(reference);
        self.throw_ref()
    }
}
