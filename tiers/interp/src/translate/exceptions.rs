//! Throwing and catching.
//!
//! A `try` or `try_table` that nothing is thrown under costs nothing: it is a range of cells and a list of clauses beside the
//! bytecode. Regions end at its borders, so that each cell lies inside or outside. Whoever throws writes what the exception
//! carries to the slots where the clause's label expects it, and goes on at the clause's cell. All other operands that the
//! label expects are in their slots, because blocks settle what lies below them; hot locals are, because calls and throws
//! write them there, and have to be loaded into their registers again: out of line, behind the function's other cells.

use super::Step;
use super::function::{Entry, Function, Label, UNBOUND};
use super::region::{Home, NO_SOURCES, Source};
use crate::bytecode::{Clause, TryRange};
use crate::micro::{Form, Key, MicroOp};
use crate::translate::function::{ControlFrame, machine_type};
use crescendo_abi::Builtin;
use crescendo_module::TagIdx;
use crescendo_semantics::Ty;
use crescendo_semantics::translate::{CatchClause, Exceptions, FrameKind, Tier, rethrows};
use wasmparser::{BlockType, TryTable};

/// A clause before its cell is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PendingClause {
    /// Its `try`.
    owner: u32,
    clause: Clause,
    /// Where it goes on.
    target: Label,
    /// Out of line: what loads hot locals and goes to the target.
    landing: Landing,
    /// Byte offset of the operator that has the clause.
    offset: u32,
}

/// What stands between a clause and its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Landing {
    /// Nothing.
    None,
    /// Hot locals are loaded.
    Loads,
    /// The function returns what was caught.
    Returns,
}

impl Function<'_, '_> {
    /// Begins to protect the cells that follow. The region must have ended.
    fn open_try(&mut self) -> u32 {
        let parent = self.frames.last().and_then(|frame| frame.handler);
        let start = self.buffers.code.len();
        let range = TryRange { start, end: start, parent, next: parent, clauses: 0..0 };
        self.buffers.tries.push(range);
        self.buffers.tries.len() as u32 - 1
    }

    /// Ends the protection by a frame's `try`. The region must have ended.
    pub(crate) fn close_try(&mut self, frame: &ControlFrame<'_>) {
        if let Some(index) = frame.own_try {
            self.buffers.tries[index as usize].end = self.buffers.code.len();
        }
    }

    /// Adds a clause that branches to a label outside of its `try_table`, whose frame is not yet open.
    fn add_clause(&mut self, owner: u32, clause: CatchClause) -> Step {
        let frame = *self.frame(clause.label)?;
        let (slot, count, target, landing) = if frame.kind == FrameKind::Function {
            // Results are left from slot 0 on.
            (0, self.ty.result_slots() as u32, UNBOUND, Landing::Returns)
        } else {
            let slot = self.temp(frame.height);
            let landing = if self.hot_locals.is_empty() { Landing::None } else { Landing::Loads };
            let count = Self::branch_types(&frame).iter().map(|ty| ty.slots()).sum();
            (slot, count, self.branch_label(clause.label)?, landing)
        };
        self.reserve(slot + count);
        let carried = count.checked_sub(u32::from(clause.with_ref));
        let carried = carried.ok_or_else(|| self.impossible("a label takes less than is caught"))?;
        let ref_slot = clause.with_ref.then_some(slot + carried);
        let clause = Clause { tag: clause.tag, slot, ref_slot, cell: 0 };
        self.buffers.clauses.push(PendingClause { owner, clause, target, landing, offset: self.offset });
        Ok(())
    }

    /// Writes the cells between clauses and their targets, behind all of the function's operators.
    pub(crate) fn write_landings(&mut self) -> Step {
        for index in 0..self.buffers.clauses.len() {
            let pending = self.buffers.clauses[index];
            if pending.landing == Landing::None {
                continue;
            }
            self.offset = pending.offset;
            self.buffers.clauses[index].clause.cell = self.buffers.code.len();
            if pending.landing == Landing::Returns {
                self.write_caught_results(pending.clause.slot)?;
                continue;
            }
            for local in self.hot_locals.clone() {
                let hot = *self.local(local);
                let sources = [Form::Slot, Form::None, Form::None];
                let key = Key { op: MicroOp::Copy(hot.ty), sources, to_slot: false, to_reg: Some(hot.hot) };
                self.write_single(&key, &[hot.slot], pending.offset)?;
            }
            let handler = self.handler(MicroOp::Br)?;
            self.begin_marked_cell(handler);
            self.write_target(pending.target);
        }
        Ok(())
    }

    /// Returns results that are in their slots already.
    fn write_caught_results(&mut self, first: u32) -> Step {
        let ty = match self.ty.results() {
            [result] => Some(machine_type(*result)),
            _ => None,
        };
        let op = MicroOp::Return(ty);
        let handler = self.handler(op)?;
        self.begin_marked_cell(handler);
        if ty.is_some() {
            self.buffers.code.slot(first);
        }
        self.buffers.code.slot(self.record_slot);
        Ok(())
    }

    /// What the bytecode says of its `try`s. Labels are bound.
    pub(crate) fn try_tables(&mut self) -> (Box<[TryRange]>, Box<[Clause]>) {
        let buffers = &mut *self.buffers;
        // Stable: the clauses of a `try` stay in their order.
        buffers.clauses.sort_by_key(|pending| pending.owner);
        let mut clauses = Vec::with_capacity(buffers.clauses.len());
        for pending in &buffers.clauses {
            let mut clause = pending.clause;
            if pending.landing == Landing::None {
                clause.cell = buffers.labels[pending.target as usize];
            }
            clauses.push(clause);
        }
        for (index, range) in (0..).zip(&mut buffers.tries) {
            let before = |limit: u32| buffers.clauses.partition_point(|pending| pending.owner < limit) as u32;
            range.clauses = before(index)..before(index + 1);
        }
        (buffers.tries.as_slice().into(), clauses.into())
    }

    /// Ends the running code with a builtin that throws, with the topmost operands.
    fn throw_by(&mut self, builtin: Builtin, operands: usize, tag: u32) -> Step {
        let first =
            (self.height().checked_sub(operands)).ok_or_else(|| self.impossible("operands are missing"))?;
        for height in first..self.height() {
            self.flush_at(height)?;
        }
        self.spill_hot_locals()?;
        let args = self.temp(first);
        self.reserve(self.next_temp().max(args + 1));
        self.append(MicroOp::Builtin, NO_SOURCES, None, [builtin as u64, args.into(), tag.into(), 0]);
        self.unreachable_from_here()
    }

    /// Whether the code of `catch`es has an operand that wasm does not see; see [`rethrows`].
    fn keeps_caught(&mut self) -> Result<bool, super::Stop> {
        if self.rethrows.is_none() {
            self.rethrows = Some(rethrows(&self.body)?);
        }
        Ok(self.rethrows == Some(true))
    }

    fn open_protected(&mut self, kind: FrameKind, ty: BlockType, table: Option<&TryTable>) -> Step {
        let (params, results) = self.block_type(ty)?;
        self.flush()?;
        self.end_region()?;
        let index = self.open_try();
        for catch in table.iter().flat_map(|table| &table.catches) {
            self.add_clause(index, CatchClause::from(*catch))?;
        }
        self.push_frame(kind, params, results, UNBOUND)?;
        let top = self.frames.len() - 1;
        self.frames[top].handler = Some(index);
        self.frames[top].own_try = Some(index);
        Ok(())
    }
}

impl Exceptions for Function<'_, '_> {
    fn try_table(&mut self, table: &TryTable) -> Step {
        self.open_protected(FrameKind::TryTable, table.ty, Some(table))
    }

    fn throw(&mut self, tag: u32) -> Step {
        let operands = self.env.info.type_of_tag(TagIdx::new(tag)).params().len();
        self.throw_by(Builtin::Throw, operands, tag)
    }

    fn throw_ref(&mut self) -> Step {
        self.throw_by(Builtin::ThrowRef, 1, 0)
    }

    fn try_(&mut self, ty: BlockType) -> Step {
        self.open_protected(FrameKind::Try, ty, None)
    }

    fn catch(&mut self, tag: Option<u32>) -> Step {
        let frame = *self.frame(0)?;
        if self.reach.is_reachable() {
            self.carry(frame.results, frame.height)?;
            let label = self.branch_label(0)?;
            self.append(MicroOp::Br, NO_SOURCES, None, [u64::from(label)]);
            self.end_region()?;
        }
        let top = self.frames.len() - 1;
        if frame.kind == FrameKind::Try {
            self.close_try(&frame);
            self.frames[top].kind = FrameKind::Catch;
        }
        let owner = self.frames[top].own_try.ok_or_else(|| self.impossible("a catch without a try"))?;
        self.frames[top].handler = self.buffers.tries[owner as usize].parent;
        self.truncate(frame.height)?;
        let mut slot = self.temp(frame.height);
        let mut ref_slot = None;
        if self.keeps_caught()? {
            ref_slot = Some(slot);
            slot += 1;
            self.push_slots(&[Ty::I64]);
        }
        if let Some(tag) = tag {
            for ty in self.env.info.type_of_tag(TagIdx::new(tag)).params() {
                let ty = machine_type(*ty);
                self.push_slots(&[ty]);
            }
        }
        let target = self.new_label();
        self.bind(target);
        let clause = Clause { tag, slot, ref_slot, cell: 0 };
        let landing = Landing::None;
        self.buffers.clauses.push(PendingClause { owner, clause, target, landing, offset: self.offset });
        self.reload_hot_locals()?;
        self.reach().set(true);
        self.start_run();
        Ok(())
    }

    fn delegate(&mut self, depth: u32) -> Step {
        let next = self.frame(depth.saturating_add(1))?.handler;
        if let Some(index) = self.frame(0)?.own_try {
            self.buffers.tries[index as usize].next = next;
        }
        crescendo_semantics::translate::Control::end(self)
    }

    fn rethrow(&mut self, depth: u32) -> Step {
        let height = self.frame(depth)?.height;
        let source = Source::Slot(self.temp(height));
        let home = Home::Slot(self.next_temp());
        let value = self.copy(source, Ty::I64, home)?;
        self.push(Entry::Value(value), Ty::I64);
        self.throw_ref()
    }
}
