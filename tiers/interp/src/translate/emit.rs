//! Regions to cells, and the link step.

use super::function::{Function, Label, UNBOUND};
use super::region::{Home, Inst, InstId, Source};
use super::{Step, Stop, TranslateError};
use crate::bytecode::{Bytecode, Cells, Counter};
use crate::micro::{Extra, Form, Key, MAX_FUSED, MicroOp, PackedKey};
use crate::table::{Handler, Node};
use crescendo_abi::SLOT_SIZE;
use crescendo_semantics::Ty;

impl Function<'_, '_> {
    /// Writes the entry cell and the entry handler before it.
    pub(crate) fn write_entry(&mut self, count: u8, first_zeroed: u32, zeroed: u32) -> Step {
        let cross = self.handler(MicroOp::EnterCross(count))?;
        let enter = self.handler(MicroOp::Enter(count))?;
        self.write_u64(cross.address());
        self.buffers.map.push(self.buffers.code.len() as u32, self.offset);
        self.write_u64(enter.address());
        // The frame's size is known at the end of the function.
        self.write_u32(0);
        let record = self.slot_bytes(self.record_slot)?;
        self.write_u32(record);
        let first = self.slot_bytes(first_zeroed)?;
        self.write_u32(first);
        self.write_u32(zeroed);
        self.write_u64(crate::run::return_switch_cell().addr() as u64);
        Ok(())
    }

    pub(crate) fn handler(&self, op: MicroOp) -> Result<Handler, Stop> {
        Handler::single(self.root, op).ok_or_else(|| self.impossible("an operator has no handler"))
    }

    /// The byte offset of a slot; it fits 31 bits.
    pub(crate) fn slot_bytes(&self, slot: u32) -> Result<u32, Stop> {
        match slot.checked_mul(SLOT_SIZE as u32) {
            Some(bytes) if bytes <= i32::MAX as u32 => Ok(bytes),
            _ => Err(Stop::Error(TranslateError::FrameTooLarge { slots: u64::from(slot) })),
        }
    }

    pub(crate) fn new_label(&mut self) -> Label {
        self.buffers.labels.push(UNBOUND);
        self.buffers.labels.len() as Label - 1
    }

    /// Puts a label here. The region must have ended.
    pub(crate) fn bind(&mut self, label: Label) {
        debug_assert!(self.buffers.region.insts.is_empty());
        self.buffers.labels[label as usize] = self.buffers.code.len() as u32;
    }

    /// Writes the cells of the region and begins another.
    pub(crate) fn end_region(&mut self) -> Step {
        self.buffers.region.assign_accumulators(self.options.fuse);
        let count = self.buffers.region.next_inst();
        if let Some(census) = self.census.as_deref_mut() {
            census.region(&self.buffers.region, self.region_number, self.loop_depth);
        }
        let mut at = 0;
        while at < count {
            let end = self.count_region(at, count)?;
            while at < end {
                at += self.write_cell(at, end)?;
            }
        }
        self.next_region();
        Ok(())
    }

    /// In builds that count regions, writes a cell that counts what follows up to the next way out, and gives where that ends.
    fn count_region(&mut self, at: InstId, count: InstId) -> Result<InstId, Stop> {
        #[cfg(feature = "count-regions")]
        if self.census.is_none() && self.options.fuse {
            let handler = self.handler(MicroOp::CountRegion)?;
            self.begin_marked_cell(handler);
            let func = self.env.info.func_idx(self.func).as_u32();
            self.write_u64(super::regions::counter(func, self.region_number, at));
            return Ok(self.buffers.region.next_exit(at).unwrap_or(count));
        }
        let _ = at;
        Ok(count)
    }

    /// Writes the cell that starts with a micro-operator and gives how many it takes in: as many as a handler does.
    fn write_cell(&mut self, start: InstId, count: InstId) -> Result<u32, Stop> {
        let most = if self.options.fuse { MAX_FUSED as u32 } else { 1 };
        let mut node = Node::root(self.root);
        let mut found = None;
        let mut keys = [PackedKey::default(); MAX_FUSED];
        for at in start..count.min(start + most) {
            let mut key = self.buffers.region.key(at, start);
            if self.buffers.region.is_for_branch(at) {
                // A handler that ends here leaves the result to the next cell; one that goes on does not.
                if let Some(handler) = node.child(key).and_then(Node::handler) {
                    found = Some((handler, at + 1));
                }
                key = key.without_place();
            }
            keys[(at - start) as usize] = key;
            let Some(next) = node.child(key) else { break };
            node = next;
            if let Some(handler) = node.handler() {
                found = Some((handler, at + 1));
            }
        }
        match found {
            Some((handler, end)) => {
                let cell = self.begin_cell(handler);
                for (at, key) in (start..end).zip(&keys) {
                    self.write_operands(cell, at, *key)?;
                }
                Ok(end - start)
            }
            None => {
                self.write_through_slots(start)?;
                Ok(1)
            }
        }
    }

    /// Writes a micro-operator whose key has no handler: its result goes through a slot and, if that is not enough, so do
    /// sources in registers.
    fn write_through_slots(&mut self, at: InstId) -> Step {
        let inst = self.buffers.region.insts[at as usize];
        let key = self.buffers.region.key(at, at).with_op(inst.op);
        let types = inst.shape.sources;
        let mut plain = key;
        if inst.result.is_some() {
            plain.to_slot = true;
            plain.to_reg = None;
        }
        let has_handler =
            |key: &Key| Node::root(self.root).child(key.pack()).is_some_and(|node| node.handler().is_some());
        if !has_handler(&plain) {
            for (i, ty) in types.into_iter().enumerate() {
                let Form::Reg(register) = key.sources[i] else { continue };
                let ty = ty.ok_or_else(|| self.impossible("a source without a type"))?;
                let slot = self.home_of(inst.sources[i], ty)?;
                let spill = Key {
                    op: MicroOp::Copy(ty),
                    sources: [Form::Reg(register), Form::None, Form::None],
                    to_slot: true,
                    to_reg: None,
                };
                // An operand that is there twice needs one copy. Float and integer registers have the same forms.
                let twice = (0..i).any(|j| key.sources[j] == key.sources[i] && types[j] == Some(ty));
                if !twice {
                    self.write_single(&spill, &[slot], inst.offset)?;
                }
                plain.sources[i] = Form::Slot;
            }
        }
        let result = inst.result.map(|id| *self.buffers.region.value(id));
        let result_type = inst.shape.result;
        let handler = Node::root(self.root).child(plain.pack()).and_then(Node::handler);
        let handler = handler.ok_or_else(|| self.impossible(&format!("no handler for {}", plain.text())))?;
        let cell = self.begin_cell(handler);
        self.write_operands(cell, at, plain.pack())?;
        if let (Some(register), Some(value), Some(ty)) = (key.to_reg, result, result_type) {
            let slot = match value.home {
                Home::Slot(slot) => slot,
                Home::Hot(register) => self.hot_slot(register, ty),
            };
            let fill = Key {
                op: MicroOp::Copy(ty),
                sources: [Form::Slot, Form::None, Form::None],
                to_slot: false,
                to_reg: Some(register),
            };
            self.write_single(&fill, &[slot], inst.offset)?;
        }
        Ok(())
    }

    fn hot_slot(&self, register: u8, ty: Ty) -> u32 {
        self.hot_slots[usize::from(ty.is_float())][usize::from(register) - 1]
    }

    fn home_of(&self, source: Source, ty: Ty) -> Result<u32, Stop> {
        let hot = self.hot_slots[usize::from(ty.is_float())];
        self.buffers.region.home_slot(source, hot).ok_or_else(|| self.impossible("a register without a home"))
    }

    /// Writes a cell of one copy.
    pub(crate) fn write_single(&mut self, key: &Key, slots: &[u32], offset: u32) -> Step {
        let handler = Node::root(self.root).child(key.pack()).and_then(Node::handler);
        let handler = handler.ok_or_else(|| self.impossible(&format!("no handler for {}", key.text())))?;
        let cell = self.begin_cell(handler);
        self.buffers.map.push(cell, offset);
        for slot in slots {
            self.write_slot(*slot)?;
        }
        Ok(())
    }

    /// Begins a cell of one micro-operator that no region has.
    pub(crate) fn begin_marked_cell(&mut self, handler: Handler) {
        let cell = self.begin_cell(handler);
        self.buffers.map.push(cell, self.offset);
    }

    /// Writes the address of a cell.
    pub(crate) fn write_target(&mut self, label: Label) {
        self.buffers.label_fixes.push((self.buffers.code.len() as u32, label));
        self.write_u64(0);
    }

    /// Writes the address of a counter: 0 is the function's, the loops' follow.
    pub(crate) fn write_counter_address(&mut self, counter: u32) {
        self.buffers.counter_fixes.push((self.buffers.code.len() as u32, counter));
        self.write_u64(0);
    }

    fn begin_cell(&mut self, handler: Handler) -> u32 {
        let cell = self.buffers.code.len() as u32;
        self.write_u64(handler.address());
        cell
    }

    /// Writes the operands of a micro-operator, in the order of its shape.
    fn write_operands(&mut self, cell: u32, at: InstId, key: PackedKey) -> Step {
        let inst = self.buffers.region.insts[at as usize];
        self.buffers.map.push(cell, inst.offset);
        let shape = inst.shape;
        for (i, source) in inst.sources.into_iter().enumerate() {
            let form = key.source(i as u32);
            match form {
                Form::None | Form::Reg(_) | Form::Inner(_) => {}
                Form::Slot => {
                    let slot = match source {
                        Source::Slot(slot) => slot,
                        source => self.home_of(source, shape.sources[i].unwrap_or(Ty::I64))?,
                    };
                    self.write_slot(slot)?;
                }
                Form::Imm | Form::Imm32 => {
                    let Source::Const(bits) = source else {
                        return Err(self.impossible("an immediate that is no constant"));
                    };
                    let wide = form == Form::Imm && matches!(shape.sources[i], Some(Ty::I64 | Ty::F64));
                    if wide { self.write_u64(bits) } else { self.write_u32(bits as u32) }
                }
            }
        }
        self.write_extras(&inst, shape.extras)?;
        if key.goes_to_slot() {
            let slot = match inst.result.map(|id| self.buffers.region.value(id).home) {
                Some(Home::Slot(slot)) => slot,
                Some(Home::Hot(register)) => self.hot_slot(register, shape.result.unwrap_or(Ty::I64)),
                None => return Err(self.impossible("a result without a value")),
            };
            self.write_slot(slot)?;
        }
        Ok(())
    }

    fn write_extras(&mut self, inst: &Inst, extras: &[Extra]) -> Step {
        let mut next = inst.extras as usize;
        let mut last = 0;
        for extra in extras {
            let count = if *extra == Extra::Targets { last as usize + 1 } else { 1 };
            for _ in 0..count {
                let value = self.buffers.region.extras[next];
                next += 1;
                last = value;
                match extra {
                    Extra::Slot => self.write_slot(value as u32)?,
                    Extra::U32 if inst.op == MicroOp::Fuel => {
                        self.buffers.fuel_fixes.push((self.buffers.code.len() as u32, value as u32));
                        self.write_u32(0);
                    }
                    Extra::U32 => self.write_u32(value as u32),
                    Extra::U64 => self.write_u64(value),
                    Extra::Target | Extra::Targets => self.write_target(value as u32),
                }
            }
        }
        Ok(())
    }

    pub(crate) fn write_slot(&mut self, slot: u32) -> Step {
        let bytes = self.slot_bytes(slot)?;
        if self.root.wide() {
            self.write_u32(bytes);
        } else {
            let narrow = u16::try_from(bytes).map_err(|_| Stop::NeedsWide)?;
            self.buffers.code.extend_from_slice(&narrow.to_le_bytes());
        }
        Ok(())
    }

    pub(crate) fn write_u32(&mut self, value: u32) {
        self.buffers.code.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn write_u64(&mut self, value: u64) {
        self.buffers.code.extend_from_slice(&value.to_le_bytes());
    }

    /// Fills in what was not known before the end: the frame's size, fuel, the addresses of cells.
    pub(crate) fn link(mut self) -> Result<Bytecode, Stop> {
        let frame_bytes = self.slot_bytes(self.max_slots)?;
        if self.buffers.code.len() > self.code_limit {
            return Err(Stop::Error(TranslateError::TooLarge { limit: self.code_limit }));
        }
        let loops = self.loop_table();
        let counters = self.new_counters(loops.len());
        let (tries, clauses) = self.try_tables();
        let buffers = self.buffers;
        let cells = Cells::new(buffers.code.len());
        let base = cells.start().addr() as u64;
        let code = &mut buffers.code;
        let mut patch =
            |at: u32, bytes: &[u8]| code[at as usize..at as usize + bytes.len()].copy_from_slice(bytes);
        patch(FRAME_SIZE_AT, &frame_bytes.to_le_bytes());
        for (at, run) in &buffers.fuel_fixes {
            patch(*at, &buffers.fuel_runs[*run as usize].to_le_bytes());
        }
        for (at, label) in &buffers.label_fixes {
            let target = buffers.labels[*label as usize];
            if target == UNBOUND {
                return Err(Stop::Error(TranslateError::Invalid {
                    offset: self.offset as usize,
                    message: "a label is not bound".to_string(),
                }));
            }
            patch(*at, &(base + u64::from(target)).to_le_bytes());
        }
        for (at, counter) in &buffers.counter_fixes {
            let address = (&raw const counters[*counter as usize]).addr() as u64;
            patch(*at, &address.to_le_bytes());
        }
        cells.write(&buffers.code);
        Ok(Bytecode {
            code: cells,
            map: buffers.map.bytes.as_slice().into(),
            root: self.root,
            record_slot: self.record_slot,
            frame_slots: self.max_slots,
            body_offset: self.body.range().start as u32,
            counters,
            counted_entry: self.counted_entry,
            loops,
            tries,
            clauses,
        })
    }

    /// The function's counter and those of so many loops.
    fn new_counters(&self, loops: usize) -> Box<[Counter]> {
        let Some(counting) = self.options.counting else { return Box::default() };
        let iterations = std::iter::repeat_n(counting.iterations, loops);
        std::iter::once(counting.calls).chain(iterations).map(Counter::new).collect()
    }
}

/// Where the entry cell holds the frame's size: behind two handlers.
const FRAME_SIZE_AT: u32 = 16;
