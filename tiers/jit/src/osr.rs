//! Taking over an interpreted frame at a loop header.
//!
//! The whole body is translated, from a block that nothing leads to; the entry block leads to the target
//! loop's header instead. What comes before the loop and no outer loop repeats is dead, and Cranelift removes
//! it.
//!
//! The target's header thus has a second way in, on which the operators that pushed the operands below the
//! loop have not run. So, up to the target, operands below an open block become variables: defined where the
//! block opens and, for those below the target, in the entry block by a load from their canonical slots. The
//! frontend merges the two wherever they meet.

use crate::error::Step;
use crate::flags::{self, Region};
use crate::function::{Operand, Translator};
use crate::signature::slots_of;
use cranelift_codegen::ir::{Block, BlockArg, InstBuilder, SourceLoc, Value};
use cranelift_frontend::Variable;
use crescendo_abi::SLOT_SIZE;
use crescendo_abi::frame::{record_slot, temp_slot};
use wasmparser::Operator;

/// What code that takes over a frame knows of it.
pub(crate) struct Takeover {
    /// Offset of the target loop.
    pub(crate) loop_offset: u32,
    /// The interpreted frame.
    pub(crate) fp: Value,
    /// Slot of the frame's record.
    pub(crate) record_slot: u32,
    /// The block that leads to the target's header.
    entry: Block,
    /// Whether the target has been translated.
    pub(crate) reached: bool,
}

/// The byte offset of a slot. Frames have less than 2 GiB: there are at most 50,000 locals, and fewer
/// operands than bytes in a body.
pub(crate) fn slot_offset(slot: u32) -> i32 {
    (slot as usize * SLOT_SIZE) as i32
}

impl Translator<'_, '_> {
    /// Loads the locals in the entry block, and goes on in the block that nothing leads to.
    pub(crate) fn begin_takeover(&mut self, loop_offset: u32, fp: Value) -> Step {
        let read = self.read_locals()?;
        self.b.set_srcloc(SourceLoc::new(loop_offset));
        let flags = flags::place(self.b.func, Region::Slots);
        let mut slot = 0;
        for (index, is_read) in read.into_iter().enumerate() {
            let ty = self.buffers.locals[index];
            let value = if is_read {
                self.b.ins().load(ty, flags, fp, slot_offset(slot))
            } else {
                self.constant_of(ty, 0)
            };
            self.define_local(Variable::from_u32(index as u32), value);
            slot += slots_of(ty);
        }
        let (entry, start) = (self.b.create_block(), self.b.create_block());
        self.b.ins().jump(entry, &[]);
        self.b.seal_block(entry);
        self.b.seal_block(start);
        self.b.switch_to_block(start);
        self.set_offset(self.offset);
        let record_slot = record_slot(slot, self.ty.result_slots() as u32);
        self.takeover = Some(Takeover { loop_offset, fp, record_slot, entry, reached: false });
        Ok(())
    }

    /// Which locals the function reads: the others need not be loaded.
    fn read_locals(&self) -> Step<Vec<bool>> {
        let mut read = vec![false; self.buffers.locals.len()];
        for operator in self.body.get_operators_reader()? {
            if let Operator::LocalGet { local_index } = operator? {
                read[local_index as usize] = true;
            }
        }
        Ok(read)
    }

    /// Before a block opens: makes variables of the operands below it, if the target may lie inside.
    pub(crate) fn settle_operands(&mut self, height: usize) {
        // An inlined body has none of the loops that may be the target.
        if !self.callers.is_empty() || self.takeover.as_ref().is_none_or(|takeover| takeover.reached) {
            return;
        }
        for at in self.settled..height {
            if let Operand::Value(_) = self.buffers.stack[at] {
                let value = self.operand_at(at);
                let ty = self.type_of_value(value);
                let variable = self.declare_variable(ty);
                self.b.def_var(variable, value);
                self.buffers.stack[at] = Operand::Variable(variable, ty);
            }
        }
        self.settled = self.settled.max(height);
    }

    /// At a loop whose header has just been jumped to: if it is the target, leads the entry there as well.
    pub(crate) fn enter_target(&mut self, header: Block, height: usize) {
        let Some(takeover) = &mut self.takeover else { return };
        if takeover.reached || takeover.loop_offset != self.offset {
            return;
        }
        takeover.reached = true;
        let (entry, fp, record_slot) = (takeover.entry, takeover.fp, takeover.record_slot);
        self.b.switch_to_block(entry);
        let flags = flags::place(self.b.func, Region::Slots);
        let mut slot = temp_slot(record_slot, 0);
        for at in 0..height {
            if let Operand::Variable(variable, ty) = self.buffers.stack[at] {
                let value = self.b.ins().load(ty, flags, fp, slot_offset(slot));
                self.b.def_var(variable, value);
            }
            slot += slots_of(self.type_at(at));
        }
        let mut args = std::mem::take(&mut self.buffers.block_args);
        args.clear();
        for i in 0..self.b.block_params(header).len() {
            let ty = self.type_of_value(self.b.block_params(header)[i]);
            args.push(BlockArg::Value(self.b.ins().load(ty, flags, fp, slot_offset(slot))));
            slot += slots_of(ty);
        }
        self.b.ins().jump(header, &args);
        self.buffers.block_args = args;
    }
}
