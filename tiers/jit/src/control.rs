//! Blocks, branches and returns.
//!
//! What is reachable, and where runs of fuel start, is decided exactly as the interpreter's translator does
//! it: remaining fuel is the same in all tiers.

use crate::error::{CompileError, Step};
use crate::flags::{self, Region};
use crate::function::{ControlFrame, Translator, Types};
use crate::osr::slot_offset;
use crate::signature::slots_of;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{Block, BlockCall, InstBuilder, JumpTableData, Value, types};
use crescendo_abi::{ExitStatus, TrapCode};
use crescendo_semantics::translate::{Control, FrameKind};
use wasmparser::{BlockType, BrTable};

/// Loops inside each other: Cranelift's time grows with the square of their number, and 3,000 take it more than a minute.
const MAX_LOOP_DEPTH: usize = 400;

impl Translator<'_, '_> {
    pub(crate) fn push_frame(
        &mut self,
        kind: FrameKind,
        params: Types,
        results: Types,
        target: Option<Block>,
    ) -> Step {
        let height = self.height_below(self.count(params))?;
        let saved = self.buffers.saved.len();
        let handler = self.handler();
        let frame = ControlFrame {
            kind,
            height,
            params,
            results,
            target,
            otherwise: None,
            saved,
            branched: false,
            handler,
            own_try: None,
            piece: None,
        };
        self.buffers.frames.push(frame);
        Ok(())
    }

    /// Goes over to the other side of an `if`, whose params are on the stack again.
    fn switch_side(&mut self, frame: &ControlFrame) -> Step {
        let otherwise = frame.otherwise.ok_or_else(|| self.impossible("an else without an if"))?;
        self.b.switch_to_block(otherwise);
        self.truncate(frame.height);
        self.buffers.stack.extend_from_slice(&self.buffers.saved[frame.saved..]);
        self.buffers.saved.truncate(frame.saved);
        Ok(())
    }

    /// The frame that a branch of this depth leaves.
    pub(crate) fn frame(&mut self, depth: u32) -> Step<&mut ControlFrame> {
        match self.buffers.frames.len().checked_sub(depth as usize + 1) {
            Some(index) => Ok(&mut self.buffers.frames[index]),
            None => Err(self.impossible("a branch leaves the function")),
        }
    }

    pub(crate) fn top_frame(&mut self) -> Step<&mut ControlFrame> {
        self.frame(0)
    }

    /// Where a branch of this depth goes, which is now branched to, and how many values it carries. `None`
    /// for a return.
    pub(crate) fn branch_target(&mut self, depth: u32) -> Step<Option<(Block, usize)>> {
        let frame = self.frame(depth)?;
        frame.branched = true;
        let ControlFrame { kind, params, results, target, .. } = *frame;
        let types = if kind == FrameKind::Loop { params } else { results };
        Ok(target.map(|target| (target, self.count(types))))
    }

    /// Ends the block with a branch. The values that it carries stay on the stack.
    pub(crate) fn branch_to(&mut self, depth: u32) -> Step {
        match self.branch_target(depth)? {
            None => self.return_values(),
            Some((target, count)) => {
                self.list_block_args(count)?;
                self.b.ins().jump(target, &self.buffers.block_args);
                Ok(())
            }
        }
    }

    /// Whether the running operator is likely to find its condition true, if the module says so.
    fn branch_hint(&self) -> Option<bool> {
        let (func, hints) = self.hints()?;
        hints.branch(func, self.offset - self.body.range().start as u32)
    }

    /// Branches if the condition is not zero; `likely` is the module's hint.
    fn branch_if(&mut self, condition: Value, depth: u32, likely: Option<bool>) -> Step {
        let rest = self.b.create_block();
        match self.branch_target(depth)? {
            Some((target, count)) => {
                self.list_block_args(count)?;
                if likely == Some(false) {
                    // The target itself may be reached in likelier ways.
                    let unlikely = self.b.create_block();
                    self.b.set_cold_block(unlikely);
                    self.b.ins().brif(condition, unlikely, &[], rest, &[]);
                    self.b.seal_block(unlikely);
                    self.b.switch_to_block(unlikely);
                    self.b.ins().jump(target, &self.buffers.block_args);
                } else {
                    self.b.ins().brif(condition, target, &self.buffers.block_args, rest, &[]);
                }
            }
            None => {
                // Integers are made of conditions once, for both ways.
                self.list_block_args(self.ty.results().len())?;
                let leave = self.b.create_block();
                if likely == Some(false) {
                    self.b.set_cold_block(leave);
                }
                self.b.ins().brif(condition, leave, &[], rest, &[]);
                self.b.seal_block(leave);
                self.b.switch_to_block(leave);
                self.return_values()?;
            }
        }
        if likely == Some(true) {
            self.b.set_cold_block(rest);
        }
        self.b.seal_block(rest);
        self.b.switch_to_block(rest);
        self.start_run();
        Ok(())
    }

    fn branch_table(&mut self, index: Value, table: &BrTable<'_>, depths: &mut Vec<u32>) -> Step {
        for target in table.targets() {
            depths.push(target?);
        }
        if depths.is_empty() {
            return self.branch_to(table.default());
        }
        let mut targets: Vec<BlockCall> = Vec::with_capacity(depths.len());
        for depth in depths.iter() {
            let target = self.table_target(*depth)?;
            targets.push(self.b.func.dfg.block_call(target, &[]));
        }
        let default = self.table_target(table.default())?;
        let default = self.b.func.dfg.block_call(default, &[]);
        let table_data = JumpTableData::new(default, &targets);
        let jump_table = self.b.create_jump_table(table_data);
        depths.push(table.default());
        // Values are turned into arguments once, before the ways part.
        self.settle_table_args(depths)?;
        self.b.ins().br_table(index, jump_table);
        for depth in depths.iter() {
            if let Some(piece) = self.frame(*depth)?.piece.take() {
                self.b.seal_block(piece);
                self.b.switch_to_block(piece);
                self.branch_to(*depth)?;
            }
        }
        Ok(())
    }

    /// Where a `br_table` goes for a depth: straight to its target, or to a piece of code that carries the
    /// values there.
    fn table_target(&mut self, depth: u32) -> Step<Block> {
        let piece = match self.branch_target(depth)? {
            Some((target, 0)) => return Ok(target),
            _ => self.frame(depth)?.piece,
        };
        match piece {
            Some(piece) => Ok(piece),
            None => {
                let piece = self.b.create_block();
                self.frame(depth)?.piece = Some(piece);
                Ok(piece)
            }
        }
    }

    /// Makes integers of the conditions among the operands that the pieces of a table carry.
    fn settle_table_args(&mut self, depths: &[u32]) -> Step {
        let mut most = 0;
        for depth in depths {
            if self.frame(*depth)?.piece.is_some() {
                let count = match self.branch_target(*depth)? {
                    Some((_, count)) => count,
                    None => self.ty.results().len(),
                };
                most = most.max(count);
            }
        }
        self.list_block_args(most)
    }

    /// Returns the topmost operands, which stay.
    fn return_values(&mut self) -> Step {
        self.buffers.values.clear();
        self.append_values(self.ty.results().len())?;
        if let Some(takeover) = &self.takeover {
            let fp = takeover.fp;
            self.store_slots(Region::Slots, fp, 0);
            return self.leave_takeover(ExitStatus::Return);
        }
        match self.results {
            Some(place) => {
                self.store_slots(Region::Slots, place, 0);
                self.b.ins().return_(&[]);
            }
            None => {
                self.b.ins().return_(&self.buffers.values);
            }
        }
        Ok(())
    }

    /// Leaves code that has taken over a frame.
    pub(crate) fn leave_takeover(&mut self, status: ExitStatus) -> Step {
        let status = self.b.ins().iconst(types::I64, status as i64);
        self.b.ins().return_(&[status]);
        Ok(())
    }

    /// Stores the listed values to slots from the `first` behind an address on; an `i32` is zero-extended.
    pub(crate) fn store_slots(&mut self, region: Region, base: Value, first: u32) {
        let mut slot = first;
        for i in 0..self.buffers.values.len() {
            let value = self.buffers.values[i];
            let value = self.wide(value);
            let flags = flags::place(self.b.func, region);
            self.b.ins().store(flags, value, base, slot_offset(slot));
            slot += slots_of(self.type_of_value(value));
        }
    }

    /// After an operator that never goes on.
    pub(crate) fn unreachable_from_here(&mut self) -> Step {
        let height = self.frame(0)?.height;
        self.truncate(height);
        self.reach.set(false);
        Ok(())
    }
}

impl Control for Translator<'_, '_> {
    fn unreachable(&mut self) -> Step {
        if let Some(block) = self.b.current_block()
            && self.b.func.layout.first_inst(block).is_none()
        {
            self.b.set_cold_block(block);
        }
        // Cranelift makes conditional traps of branches to a block that only traps, which then trap at the
        // branch's offset. This instruction is one too many for that, and no code.
        self.b.ins().sequence_point();
        self.trap(TrapCode::UnreachableCodeReached);
        self.unreachable_from_here()
    }

    fn block(&mut self, ty: BlockType) -> Step {
        let (params, results) = self.block_type(ty)?;
        let height = self.height_below(self.count(params))?;
        self.settle_operands(height);
        let next = self.block_with(results)?;
        self.push_frame(FrameKind::Block, params, results, Some(next))
    }

    fn loop_(&mut self, ty: BlockType) -> Step {
        let (params, results) = self.block_type(ty)?;
        let count = self.count(params);
        let height = self.height_below(count)?;
        self.settle_operands(height);
        let header = self.block_with(params)?;
        self.list_block_args(count)?;
        self.b.ins().jump(header, &self.buffers.block_args);
        self.enter_target(header, height);
        self.b.switch_to_block(header);
        self.truncate(height);
        self.push_block_params(header);
        self.push_frame(FrameKind::Loop, params, results, Some(header))?;
        let frames = &self.buffers.frames;
        if frames.len() > MAX_LOOP_DEPTH
            && frames.iter().filter(|frame| frame.kind == FrameKind::Loop).count() > MAX_LOOP_DEPTH
        {
            return Err(CompileError::TooLarge { limit: "nested loops" });
        }
        self.check_epoch();
        self.start_run();
        Ok(())
    }

    fn if_(&mut self, ty: BlockType) -> Step {
        let (params, results) = self.block_type(ty)?;
        let condition = self.pop_condition()?;
        let count = self.count(params);
        let height = self.height_below(count)?;
        self.settle_operands(height);
        let next = self.block_with(results)?;
        let (then, otherwise) = (self.b.create_block(), self.b.create_block());
        match self.branch_hint() {
            Some(true) => self.b.set_cold_block(otherwise),
            Some(false) => self.b.set_cold_block(then),
            None => {}
        }
        // Integers are made of conditions once, for both sides.
        for at in height..height + count {
            self.operand_at(at);
        }
        self.b.ins().brif(condition, then, &[], otherwise, &[]);
        self.b.seal_block(then);
        self.b.seal_block(otherwise);
        self.push_frame(FrameKind::If, params, results, Some(next))?;
        let params = &self.buffers.stack[height..];
        self.buffers.saved.extend_from_slice(params);
        self.top_frame()?.otherwise = Some(otherwise);
        self.b.switch_to_block(then);
        self.start_run();
        Ok(())
    }

    fn else_(&mut self) -> Step {
        if self.reach.is_reachable() {
            self.branch_to(0)?;
        }
        let frame = *self.frame(0)?;
        self.switch_side(&frame)?;
        self.top_frame()?.kind = FrameKind::Else;
        self.reach.set(true);
        self.start_run();
        Ok(())
    }

    fn end(&mut self) -> Step {
        let frame = *self.frame(0)?;
        if frame.kind == FrameKind::Function {
            if let Some(next) = frame.target {
                return self.end_inlined(next);
            }
            if self.reach.is_reachable() {
                self.return_()?;
            }
            self.buffers.frames.pop();
            return Ok(());
        }
        let join = self.reach.join(frame.kind, frame.branched);
        if let (FrameKind::Loop, Some(header)) = (frame.kind, frame.target) {
            self.b.seal_block(header);
        }
        let is_plain = matches!(frame.kind, FrameKind::Block | FrameKind::Loop | FrameKind::TryTable);
        if join.falls_through && is_plain && !join.branched {
            // Nothing else comes here: the results stay where they are.
            self.buffers.frames.pop();
            return self.end_try_between(&frame);
        }
        if join.falls_through {
            self.branch_to(0)?;
        }
        if join.skipped {
            // An `if` without `else` goes on here when its condition is zero, with its params for results.
            self.switch_side(&frame)?;
            self.branch_to(0)?;
        }
        self.buffers.frames.pop();
        self.truncate(frame.height);
        self.end_try(&frame)?;
        self.reach.set(join.is_reachable());
        if !join.is_reachable() {
            return Ok(());
        }
        let next = frame.target.ok_or_else(|| self.impossible("a block without an end"))?;
        self.b.seal_block(next);
        self.b.switch_to_block(next);
        self.push_block_params(next);
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
        let condition = self.pop_condition()?;
        let likely = self.branch_hint();
        self.branch_if(condition, depth, likely)
    }

    fn br_table(&mut self, table: &BrTable<'_>) -> Step {
        let index = self.pop()?;
        let mut depths = std::mem::take(&mut self.buffers.depths);
        depths.clear();
        let result = self.branch_table(index, table, &mut depths);
        self.buffers.depths = depths;
        result?;
        self.unreachable_from_here()
    }

    /// The reference stays unless it is null.
    fn br_on_null(&mut self, depth: u32) -> Step {
        let reference = self.pop()?;
        let null = self.b.ins().icmp_imm_s(IntCC::Equal, reference, 0);
        self.branch_if(null, depth, None)?;
        self.push(reference);
        Ok(())
    }

    /// The reference is carried to the target; it is gone when it is null.
    fn br_on_non_null(&mut self, depth: u32) -> Step {
        let top = self.height_below(1)?;
        let reference = self.operand_at(top);
        let present = self.b.ins().icmp_imm_s(IntCC::NotEqual, reference, 0);
        self.branch_if(present, depth, None)?;
        self.pop().map(|_| ())
    }

    /// `return`, and the end of the function.
    fn return_(&mut self) -> Step {
        self.branch_to(self.return_depth()?)?;
        self.unreachable_from_here()
    }
}
