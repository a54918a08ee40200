//! Blocks, branches and returns.

use super::function::{ControlFrame, Entry, Function, Label, UNBOUND, machine_type};
use super::region::{Home, NO_SOURCES, Source, one};
use super::{Step, Stop};
use crate::micro::{ENTER_COUNTS, ENTER_LOOP, MicroOp};
use crescendo_module::TypeIdx;
use crescendo_semantics::translate::{Control, FrameKind};
use crescendo_semantics::{Op, Ty};
use wasmparser::{BlockType, BrTable};

/// What `br_if` and `if` branch on: a source that is compared with zero, and which case branches.
type Condition = (Source, MicroOp);

impl<'b> Function<'_, 'b> {
    /// The function's entry: its cell, its frame, its hot locals.
    pub(crate) fn begin(&mut self) -> Step {
        let params = self.ty.param_slots() as u32;
        let zeroed = self.local_slots() - params;
        let count = ENTER_COUNTS.into_iter().find(|count| u32::from(*count) >= zeroed).unwrap_or(ENTER_LOOP);
        // Zeroing may run beyond the locals: into the record, which is written after it, and the first temps.
        self.reserve(params + if count == ENTER_LOOP { zeroed } else { u32::from(count) });
        self.write_entry(count, params, zeroed)?;
        let mut results = bumpalo::collections::Vec::new_in(self.bump);
        for ty in self.ty.results() {
            results.push(machine_type(*ty));
        }
        let results = results.into_bump_slice();
        self.push_frame(FrameKind::Function, &[], results, UNBOUND)?;
        self.check_epoch();
        self.start_run();
        for index in 0..self.local_count() {
            let local = *self.local(index);
            if local.hot != 0 {
                // The entry has zeroed the slots of those that are no parameters.
                let is_param = local.slot < params;
                let in_slot = is_param || local.ty == Ty::V128;
                let source = if in_slot { Source::Slot(local.slot) } else { Source::Const(0) };
                self.load_hot_local(index, source)?;
            }
        }
        Ok(())
    }

    fn check_epoch(&mut self) {
        if self.options.epochs {
            self.append(MicroOp::Epoch, NO_SOURCES, None, []);
        }
    }

    /// Starts a straight-line run of operators that pays its fuel at its beginning.
    pub(crate) fn start_run(&mut self) {
        if self.options.fuel {
            let run = self.buffers.fuel_runs.len() as u32;
            self.buffers.fuel_runs.push(0);
            self.append(MicroOp::Fuel, NO_SOURCES, None, [u64::from(run)]);
        }
    }

    pub(crate) fn push_frame(
        &mut self,
        kind: FrameKind,
        params: &'b [Ty],
        results: &'b [Ty],
        else_label: Label,
    ) -> Step {
        let label = self.new_label();
        let height = (self.height().checked_sub(params.len()))
            .ok_or_else(|| self.impossible("a block's params are not on the stack"))?;
        let branch_label = label;
        let handler = self.frames.last().and_then(|frame| frame.handler);
        let branched = false;
        let frame = ControlFrame {
            kind,
            height,
            params,
            results,
            label,
            branch_label,
            else_label,
            handler,
            own_try: None,
            branched,
        };
        self.frames.push(frame);
        Ok(())
    }

    pub(crate) fn block_type(&self, ty: BlockType) -> Result<(&'b [Ty], &'b [Ty]), Stop> {
        let list = |types: &[crescendo_module::ValType]| -> Result<&'b [Ty], Stop> {
            let mut list = bumpalo::collections::Vec::with_capacity_in(types.len(), self.bump);
            for ty in types {
                list.push(machine_type(*ty));
            }
            Ok(list.into_bump_slice())
        };
        match ty {
            BlockType::Empty => Ok((&[], &[])),
            BlockType::Type(ty) => Ok((&[], self.bump.alloc_slice_copy(&[Ty::of(ty)]))),
            BlockType::FuncType(index) => {
                let ty = self.env.info.func_type(TypeIdx::new(index));
                Ok((list(ty.params())?, list(ty.results())?))
            }
        }
    }

    /// Pushes entries that are in their canonical slots.
    pub(crate) fn push_slots(&mut self, types: &[Ty]) {
        for ty in types {
            self.push(Entry::Slot, *ty);
        }
    }

    /// The frame that a branch of this depth leaves.
    pub(crate) fn frame(&self, depth: u32) -> Result<&ControlFrame<'b>, Stop> {
        let index = self.frames.len().checked_sub(depth as usize + 1);
        index.map(|index| &self.frames[index]).ok_or_else(|| self.impossible("a branch leaves the function"))
    }

    /// The label of a branch of this depth, which is now branched to.
    pub(crate) fn branch_label(&mut self, depth: u32) -> Result<Label, Stop> {
        let frame = *self.frame(depth)?;
        let index = self.frames.len() - 1 - depth as usize;
        self.frames[index].branched = true;
        if frame.kind == FrameKind::Loop {
            self.branch_back(frame.branch_label);
        }
        Ok(frame.branch_label)
    }

    /// The values that a branch to a frame carries.
    pub(crate) fn branch_types(frame: &ControlFrame<'b>) -> &'b [Ty] {
        if frame.kind == FrameKind::Loop { frame.params } else { frame.results }
    }

    /// Takes off the condition of a branch that is taken when it is not zero (`BrIf`) or zero (`BrUnless`).
    ///
    /// Negations are folded: `eqz` turns the branch round, and so does a comparison that has an opposite.
    pub(crate) fn pop_condition(&mut self, mut op: MicroOp) -> Result<Condition, Stop> {
        let (mut source, _) = self.pop()?;
        while let Source::Value(value) = source {
            let Some(at) = self.buffers.region.fresh_definition(value) else { break };
            if self.buffers.region.value(value).of_local || self.buffers.region.value(value).need_home {
                break;
            }
            let inst = self.buffers.region.insts[at as usize];
            match inst.op {
                MicroOp::Value(Op::I32Eqz) => {
                    source = inst.sources[0];
                    self.buffers.region.pop();
                    op = if op == MicroOp::BrIf { MicroOp::BrUnless } else { MicroOp::BrIf };
                    // The operand's last reader is gone; it is read again at once.
                    if let Source::Value(operand) = source {
                        self.buffers.region.unread(operand);
                    }
                }
                MicroOp::Value(compare) if op == MicroOp::BrUnless => {
                    if let Some(opposite) = opposite(compare) {
                        self.buffers.region.insts[at as usize].set_op(MicroOp::Value(opposite));
                        op = MicroOp::BrIf;
                    }
                    break;
                }
                _ => break,
            }
        }
        Ok((source, op))
    }

    fn branch_on(&mut self, (source, op): Condition, label: Label) {
        self.append(op, one(source), None, [u64::from(label)]);
    }

    /// Brings the values that a branch carries to where its target expects them. They stay on the stack.
    pub(crate) fn carry(&mut self, types: &[Ty], height: usize) -> Step {
        let first = self.height() - types.len();
        let mut target = self.temp(height);
        for (i, ty) in types.iter().enumerate() {
            if first == height {
                self.flush_at(first + i)?;
            } else {
                // Targets lie below their sources, so that going upwards overwrites nothing that is still needed.
                let (source, _) = self.source_at(first + i);
                self.copy(source, *ty, Home::Slot(target))?;
            }
            target += ty.slots();
        }
        Ok(())
    }

    fn branch_to(&mut self, depth: u32) -> Step {
        let frame = *self.frame(depth)?;
        if frame.kind == FrameKind::Function {
            return self.return_values();
        }
        self.carry(Self::branch_types(&frame), frame.height)?;
        let label = self.branch_label(depth)?;
        self.append(MicroOp::Br, NO_SOURCES, None, [u64::from(label)]);
        Ok(())
    }

    /// Branches on a condition; goes on in the same region where the branch moves nothing.
    pub(crate) fn branch_if(&mut self, condition: Condition, depth: u32) -> Step {
        let frame = *self.frame(depth)?;
        let types = Self::branch_types(&frame);
        let in_place = self.height() - types.len() == frame.height;
        if frame.kind != FrameKind::Function && (types.is_empty() || in_place) {
            if in_place {
                self.carry(types, frame.height)?;
            }
            let label = self.branch_label(depth)?;
            self.branch_on(condition, label);
        } else {
            // What the branch moves must not be moved when it is not taken: entries are settled before.
            self.flush()?;
            let (source, op) = condition;
            let op = if op == MicroOp::BrIf { MicroOp::BrUnless } else { MicroOp::BrIf };
            let skip = self.new_label();
            self.branch_on((source, op), skip);
            self.branch_to(depth)?;
            self.end_region()?;
            self.bind(skip);
        }
        self.start_run();
        Ok(())
    }

    /// Leaves the results where the caller finds them and returns.
    fn return_values(&mut self) -> Step {
        let count = self.ty.results().len();
        let record = u64::from(self.record_slot);
        let first =
            (self.height().checked_sub(count)).ok_or_else(|| self.impossible("results are missing"))?;
        match count {
            0 => self.append(MicroOp::Return(None), NO_SOURCES, None, [record]),
            1 => {
                let (source, ty) = self.source_at(first);
                self.append(MicroOp::Return(Some(ty)), one(source), None, [record]);
            }
            _ => {
                // Results may be locals that the copies overwrite: settle them in temps first.
                for height in first..self.height() {
                    self.flush_at(height)?;
                }
                let mut slot = 0;
                for height in first..self.height() {
                    let (source, ty) = self.source_at(height);
                    self.copy(source, ty, Home::Slot(slot))?;
                    slot += ty.slots();
                }
                self.append(MicroOp::Return(None), NO_SOURCES, None, [record]);
            }
        }
        Ok(())
    }

    /// After a micro-operator that never goes on.
    pub(crate) fn unreachable_from_here(&mut self) -> Step {
        self.end_region()?;
        let height = self.frame(0)?.height;
        self.truncate(height)?;
        self.reach.set(false);
        Ok(())
    }
}

impl Control for Function<'_, '_> {
    fn unreachable(&mut self) -> Step {
        self.append(MicroOp::Unreachable, NO_SOURCES, None, []);
        self.unreachable_from_here()
    }

    /// The reference stays unless it is null.
    fn br_on_null(&mut self, depth: u32) -> Step {
        self.settle_reference()?;
        let (reference, ty) = self.pop()?;
        let condition = self.is_null(reference);
        self.branch_if((condition, MicroOp::BrIf), depth)?;
        self.push_slots(&[ty]);
        Ok(())
    }

    /// The reference is carried to the target; it is gone when it is null.
    fn br_on_non_null(&mut self, depth: u32) -> Step {
        self.settle_reference()?;
        let (reference, _) = self.top_source()?;
        let condition = self.is_null(reference);
        self.branch_if((condition, MicroOp::BrUnless), depth)?;
        self.drop_entry().map(|_| ())
    }

    fn block(&mut self, ty: BlockType) -> Step {
        let (params, results) = self.block_type(ty)?;
        self.flush()?;
        self.push_frame(FrameKind::Block, params, results, UNBOUND)
    }

    fn loop_(&mut self, ty: BlockType) -> Step {
        let (params, results) = self.block_type(ty)?;
        self.flush()?;
        self.end_region()?;
        self.push_frame(FrameKind::Loop, params, results, UNBOUND)?;
        let label = self.frame(0)?.label;
        self.bind(label);
        self.loop_depth += 1;
        self.count_loop(label);
        self.check_epoch();
        self.start_run();
        Ok(())
    }

    fn if_(&mut self, ty: BlockType) -> Step {
        let (params, results) = self.block_type(ty)?;
        let condition = self.pop_condition(MicroOp::BrUnless)?;
        self.flush()?;
        let else_label = self.new_label();
        self.branch_on(condition, else_label);
        self.push_frame(FrameKind::If, params, results, else_label)?;
        self.start_run();
        Ok(())
    }

    fn else_(&mut self) -> Step {
        if self.reach.is_reachable() {
            self.flush()?;
            let label = self.branch_label(0)?;
            self.append(MicroOp::Br, NO_SOURCES, None, [u64::from(label)]);
            self.end_region()?;
        }
        let frame = *self.frame(0)?;
        self.bind(frame.else_label);
        self.truncate(frame.height)?;
        self.push_slots(frame.params);
        let top = self.frames.len() - 1;
        self.frames[top].kind = FrameKind::Else;
        self.reach.set(true);
        self.start_run();
        Ok(())
    }

    fn end(&mut self) -> Step {
        let frame = *self.frame(0)?;
        if frame.kind == FrameKind::Function {
            if self.reach.is_reachable() {
                self.return_()?;
            }
            self.frames.pop();
            return Ok(());
        }
        if self.reach.is_reachable() {
            if frame.kind == FrameKind::Catch {
                // There may be an operand below that wasm does not see.
                self.carry(frame.results, frame.height)?;
            } else {
                self.flush()?;
            }
            self.end_region()?;
        }
        if matches!(frame.kind, FrameKind::Try | FrameKind::TryTable) {
            self.close_try(&frame);
        }
        let join = self.reach.join(frame.kind, frame.branched);
        if join.skipped {
            self.bind(frame.else_label);
        }
        if frame.kind == FrameKind::Loop {
            self.loop_depth -= 1;
            self.leave_loop();
        } else {
            self.bind(frame.label);
        }
        self.frames.pop();
        self.truncate(frame.height)?;
        self.push_slots(frame.results);
        self.reach.set(join.is_reachable());
        if join.starts_run() {
            self.start_run();
        }
        Ok(())
    }

    /// Branches without condition; the code that follows is unreachable.
    fn br(&mut self, depth: u32) -> Step {
        self.branch_to(depth)?;
        self.unreachable_from_here()
    }

    fn br_if(&mut self, depth: u32) -> Step {
        let condition = self.pop_condition(MicroOp::BrIf)?;
        self.branch_if(condition, depth)
    }

    fn br_table(&mut self, table: &BrTable<'_>) -> Step {
        let mut depths = bumpalo::collections::Vec::with_capacity_in(table.len() as usize + 1, self.bump);
        for target in table.targets() {
            depths.push(target?);
        }
        depths.push(table.default());
        let (index, _) = self.pop()?;
        let mut simple = true;
        for depth in &depths {
            let frame = self.frame(*depth)?;
            simple &= frame.kind != FrameKind::Function && Self::branch_types(frame).is_empty();
        }
        let mut extras = bumpalo::collections::Vec::with_capacity_in(depths.len() + 1, self.bump);
        extras.push(depths.len() as u64 - 1);
        if simple {
            for depth in &depths {
                extras.push(u64::from(self.branch_label(*depth)?));
            }
            self.append_with(MicroOp::BrTable, one(index), &extras);
        } else {
            // Each depth gets a piece of code that moves the values and branches on.
            self.flush()?;
            let mut pieces: bumpalo::collections::Vec<'_, (u32, Label)> =
                bumpalo::collections::Vec::new_in(self.bump);
            let mut by_depth: bumpalo::collections::Vec<'_, Label> = bumpalo::collections::Vec::from_iter_in(
                std::iter::repeat_n(UNBOUND, self.frames.len()),
                self.bump,
            );
            for depth in &depths {
                let piece = &mut by_depth[*depth as usize];
                if *piece == UNBOUND {
                    *piece = self.buffers.labels.len() as Label;
                    self.buffers.labels.push(UNBOUND);
                    pieces.push((*depth, *piece));
                }
                extras.push(u64::from(*piece));
            }
            self.append_with(MicroOp::BrTable, one(index), &extras);
            self.end_region()?;
            for (depth, label) in pieces {
                self.bind(label);
                self.branch_to(depth)?;
                self.end_region()?;
            }
        }
        self.unreachable_from_here()
    }

    /// `return`, and the end of the function.
    fn return_(&mut self) -> Step {
        self.return_values()?;
        self.unreachable_from_here()
    }
}

/// The comparison that holds exactly when this one does not; floats have none, because of NaN.
fn opposite(op: Op) -> Option<Op> {
    Some(match op {
        Op::I32Eq => Op::I32Ne,
        Op::I32Ne => Op::I32Eq,
        Op::I32LtS => Op::I32GeS,
        Op::I32LtU => Op::I32GeU,
        Op::I32GtS => Op::I32LeS,
        Op::I32GtU => Op::I32LeU,
        Op::I32LeS => Op::I32GtS,
        Op::I32LeU => Op::I32GtU,
        Op::I32GeS => Op::I32LtS,
        Op::I32GeU => Op::I32LtU,
        Op::I64Eq => Op::I64Ne,
        Op::I64Ne => Op::I64Eq,
        Op::I64LtS => Op::I64GeS,
        Op::I64LtU => Op::I64GeU,
        Op::I64GtS => Op::I64LeS,
        Op::I64GtU => Op::I64LeU,
        Op::I64LeS => Op::I64GtS,
        Op::I64LeU => Op::I64GtU,
        Op::I64GeS => Op::I64LtS,
        Op::I64GeU => Op::I64LtU,
        _ => return None,
    })
}
