//! Counting calls and iterations.
//!
//! Counters are cells of their own, out of line: an entry cell before the function's entry, and one that branches back to a
//! loop's header pass. So code that is not counted any more costs nothing, or a jump, and no handler exists twice. When a
//! loop's counter has run out, the cells behind it write hot locals to their slots, which makes the frame canonical,
//! and ask for native code.

use super::Step;
use super::function::{CountedLoop, Function, Label};
use crate::bytecode::{ENTRY_OFFSET, Loop};
use crate::micro::{Form, Key, MicroOp};

impl Function<'_, '_> {
    /// Notes the loop that opens here; branches to its header go over a counter.
    pub(crate) fn count_loop(&mut self, header: Label) {
        if self.options.counting.is_none() {
            return;
        }
        let counted = self.new_label();
        let (offset, parent) = (self.offset, self.current_loop);
        self.current_loop = Some(self.buffers.loops.len() as u32);
        self.buffers.loops.push(CountedLoop { offset, parent, header, counted, branched: false });
        if let Some(frame) = self.frames.last_mut() {
            frame.branch_label = counted;
        }
    }

    /// The innermost open loop ends.
    pub(crate) fn leave_loop(&mut self) {
        if let Some(index) = self.current_loop {
            self.current_loop = self.buffers.loops[index as usize].parent;
        }
    }

    /// Notes that something branches to this label of a loop.
    pub(crate) fn branch_back(&mut self, label: Label) {
        // Branches go to an open loop, most often the innermost.
        let mut at = self.current_loop;
        while let Some(index) = at {
            let found = &mut self.buffers.loops[index as usize];
            if found.counted == label {
                found.branched = true;
                return;
            }
            at = found.parent;
        }
    }

    /// Writes the cells that count, behind all others.
    pub(crate) fn write_counters(&mut self) -> Step {
        if self.options.counting.is_none() {
            return Ok(());
        }
        self.offset = self.body.range().start as u32;
        let cross = self.handler(MicroOp::CountEntryCross)?;
        self.begin_marked_cell(cross);
        let entry = self.handler(MicroOp::CountEntry)?;
        self.counted_entry = Some(self.buffers.code.len());
        self.begin_marked_cell(entry);
        self.write_counter_address(0);
        let function_entry = self.new_label();
        self.buffers.labels[function_entry as usize] = ENTRY_OFFSET as u32;
        self.write_target(function_entry);
        for index in 0..self.buffers.loops.len() {
            let counted = self.buffers.loops[index];
            if counted.branched {
                self.write_loop_counter(index as u32, counted)?;
            }
        }
        Ok(())
    }

    fn write_loop_counter(&mut self, index: u32, counted: CountedLoop) -> Step {
        self.offset = counted.offset;
        self.buffers.code.align(8);
        self.bind(counted.counted);
        let handler = self.handler(MicroOp::CountLoop)?;
        self.begin_marked_cell(handler);
        self.write_counter_address(index + 1);
        self.write_target(counted.header);

        for (register, is_float) in [(1, false), (2, false), (1, true), (2, true)] {
            self.write_spill(register, is_float)?;
        }
        let handler = self.handler(MicroOp::LoopHot)?;
        self.begin_marked_cell(handler);
        let func = self.env.info.func_idx(self.func).as_u32();
        let frame_bytes = self.slot_bytes(self.max_slots)?;
        let code = &mut self.buffers.code;
        code.u32(func);
        code.u32(index);
        code.u32(frame_bytes);
        code.slot(self.record_slot);
        code.u64(crate::run::return_switch_cell().addr() as u64);
        let handler = self.handler(MicroOp::Br)?;
        self.begin_marked_cell(handler);
        self.write_target(counted.header);
        Ok(())
    }

    /// Writes a hot local to its slot, if the register holds one that the function sets.
    fn write_spill(&mut self, register: u8, is_float: bool) -> Step {
        let slot = self.hot_slots[usize::from(is_float)][usize::from(register) - 1];
        let found = (self.local_in(slot))
            .filter(|local| local.hot == register && local.ty.is_float() == is_float && local.assigned);
        let Some(local) = found else { return Ok(()) };
        let sources = [Form::Reg(register), Form::None, Form::None];
        let key = Key { op: MicroOp::Copy(local.ty), sources, to_slot: true, to_reg: None };
        self.write_single(&key, &[slot], self.offset)
    }

    /// What the bytecode says of its loops. `labels` are bound.
    pub(crate) fn loop_table(&self) -> Box<[Loop]> {
        let cell = |counted: &CountedLoop| match counted.branched {
            true => self.buffers.labels[counted.counted as usize],
            false => 0,
        };
        let table = self.buffers.loops.iter();
        table.map(|l| Loop { offset: l.offset, parent: l.parent, cell: cell(l) }).collect()
    }
}
