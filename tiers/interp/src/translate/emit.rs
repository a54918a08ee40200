//! Regions to cells, and the link step.

use super::function::{Buffers, Function, Label, UNBOUND, invalid};
use super::region::{Home, InstId, Source};
use super::{Step, Stop, TranslateError};
use crate::bytecode::{Bytecode, Cells, Counter};
use crate::micro::{Extra, Form, Key, MAX_FUSED, MicroOp, PackedKey};
use crate::table::{Handler, Node};
use crescendo_abi::SLOT_SIZE;
use crescendo_semantics::Ty;

impl Buffers {
    /// Writes the address of a cell.
    fn write_target(&mut self, label: Label) {
        self.label_fixes.push((self.code.len(), label));
        self.code.u64(0);
    }

    /// Writes a micro-operator's extras.
    fn write_extras(&mut self, at: InstId, extras: &[Extra]) {
        let inst = &self.region.insts[at as usize];
        let is_fuel = inst.op == MicroOp::Fuel;
        let mut next = inst.extras as usize;
        let mut last = 0;
        for extra in extras {
            let count = if *extra == Extra::Targets { last as usize + 1 } else { 1 };
            for _ in 0..count {
                let value = self.region.extras[next];
                next += 1;
                last = value;
                match extra {
                    Extra::Slot => self.code.slot(value as u32),
                    Extra::U32 if is_fuel => {
                        self.fuel_fixes.push((self.code.len(), value as u32));
                        self.code.u32(0);
                    }
                    Extra::U32 => self.code.u32(value as u32),
                    Extra::U64 => self.code.u64(value),
                    Extra::Target | Extra::Targets => self.write_target(value as u32),
                }
            }
        }
    }
}

impl Function<'_, '_> {
    /// Writes the entry cell and the entry handler before it.
    pub(crate) fn write_entry(&mut self, count: u8, first_zeroed: u32, zeroed: u32) -> Step {
        let cross = self.handler(MicroOp::EnterCross(count))?;
        let enter = self.handler(MicroOp::Enter(count))?;
        let record = self.slot_bytes(self.record_slot)?;
        let first = self.slot_bytes(first_zeroed)?;
        let Buffers { code, map, .. } = &mut *self.buffers;
        code.begin(cross);
        map.push(code.begin(enter), self.offset);
        // The frame's size is known at the end of the function.
        code.u32(0);
        code.u32(record);
        code.u32(first);
        code.u32(zeroed);
        code.u64(crate::run::return_switch_cell().addr() as u64);
        Ok(())
    }

    pub(crate) fn handler(&self, op: MicroOp) -> Result<Handler, Stop> {
        Handler::single(self.root, op).ok_or_else(|| self.impossible("an operator has no handler"))
    }

    /// The byte offset of a slot; it fits 31 bits.
    pub(crate) fn slot_bytes(&self, slot: u32) -> Result<u32, Stop> {
        match slot.checked_mul(SLOT_SIZE as u32) {
            Some(bytes) if bytes <= i32::MAX as u32 => Ok(bytes),
            _ => Err(TranslateError::FrameTooLarge { slots: u64::from(slot) }.into()),
        }
    }

    pub(crate) fn new_label(&mut self) -> Label {
        self.buffers.labels.push(UNBOUND);
        self.buffers.labels.len() as Label - 1
    }

    /// Puts a label here. The region must have ended.
    pub(crate) fn bind(&mut self, label: Label) {
        debug_assert!(self.buffers.region.insts.is_empty());
        self.buffers.labels[label as usize] = self.buffers.code.len();
    }

    /// Writes the cells of the region and begins another.
    pub(crate) fn end_region(&mut self) -> Step {
        self.buffers.region.settle(self.options.fuse);
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
        self.buffers.code.check()
    }

    /// In builds that count regions, writes a cell that counts what follows up to the next way out, and gives where that ends.
    fn count_region(&mut self, at: InstId, count: InstId) -> Result<InstId, Stop> {
        #[cfg(feature = "count-regions")]
        if self.census.is_none() && self.options.fuse {
            let handler = self.handler(MicroOp::CountRegion)?;
            self.begin_marked_cell(handler);
            let func = self.env.info.func_idx(self.func).as_u32();
            self.buffers.code.u64(super::regions::counter(func, self.region_number, at));
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
                let cell = self.buffers.code.begin(handler);
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
        let cell = self.buffers.code.begin(handler);
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
        let Buffers { code, map, .. } = &mut *self.buffers;
        map.push(code.begin(handler), offset);
        for slot in slots {
            code.slot(*slot);
        }
        Ok(())
    }

    /// Begins a cell of one micro-operator that no region has.
    pub(crate) fn begin_marked_cell(&mut self, handler: Handler) {
        let cell = self.buffers.code.begin(handler);
        self.buffers.map.push(cell, self.offset);
    }

    /// Writes the address of a cell.
    pub(crate) fn write_target(&mut self, label: Label) {
        self.buffers.write_target(label);
    }

    /// Writes the address of a counter: 0 is the function's, the loops' follow.
    pub(crate) fn write_counter_address(&mut self, counter: u32) {
        self.buffers.counter_fixes.push((self.buffers.code.len(), counter));
        self.buffers.code.u64(0);
    }

    /// Writes the operands of a micro-operator, in the order of its shape.
    fn write_operands(&mut self, cell: u32, at: InstId, key: PackedKey) -> Step {
        let Buffers { region, code, map, .. } = &mut *self.buffers;
        let inst = &region.insts[at as usize];
        map.push(cell, inst.offset);
        let slot_of = |home: Home, ty: Option<Ty>| match home {
            Home::Slot(slot) => slot,
            Home::Hot(register) => {
                self.hot_slots[usize::from(ty.is_some_and(Ty::is_float))][usize::from(register) - 1]
            }
        };
        for i in 0..3 {
            let ty = inst.shape.sources[i];
            match (key.source(i as u32), inst.sources[i]) {
                (Form::None, _) => break,
                (Form::Reg(_) | Form::Inner(_), _) => {}
                (Form::Slot, Source::Slot(slot)) => code.slot(slot),
                (Form::Slot, Source::Value(id)) => code.slot(slot_of(region.value(id).home, ty)),
                (Form::Slot, Source::Hot(register)) => code.slot(slot_of(Home::Hot(register), ty)),
                (Form::Imm, Source::Const(bits)) if matches!(ty, Some(Ty::I64 | Ty::F64)) => code.u64(bits),
                (Form::Imm | Form::Imm32, Source::Const(bits)) => code.u32(bits as u32),
                _ => return Err(self.impossible("a form that its operand cannot have")),
            }
        }
        let (extras, result, result_type) = (inst.shape.extras, inst.result, inst.shape.result);
        if !extras.is_empty() {
            self.buffers.write_extras(at, extras);
        }
        if key.goes_to_slot() {
            let Some(id) = result else {
                return Err(self.impossible("a result without a value"));
            };
            let Buffers { region, code, .. } = &mut *self.buffers;
            code.slot(slot_of(region.value(id).home, result_type));
        }
        Ok(())
    }

    /// Fills in what was not known before the end: the frame's size, fuel, the addresses of cells.
    pub(crate) fn link(mut self) -> Result<Bytecode, Stop> {
        let frame_bytes = self.slot_bytes(self.max_slots)?;
        self.check_size()?;
        self.buffers.code.check()?;
        let loops = self.loop_table();
        let counters = self.new_counters(loops.len());
        let (tries, clauses) = self.try_tables();
        let buffers = self.buffers;
        let cells = Cells::new(buffers.code.bytes().len());
        let base = cells.start().addr() as u64;
        let code = &mut buffers.code;
        code.patch(FRAME_SIZE_AT, &frame_bytes.to_le_bytes());
        for (at, run) in &buffers.fuel_fixes {
            code.patch(*at, &buffers.fuel_runs[*run as usize].to_le_bytes());
        }
        for (at, label) in &buffers.label_fixes {
            let target = buffers.labels[*label as usize];
            if target == UNBOUND {
                return Err(invalid(self.offset as usize, "a label is not bound"));
            }
            code.patch(*at, &(base + u64::from(target)).to_le_bytes());
        }
        for (at, counter) in &buffers.counter_fixes {
            let address = (&raw const counters[*counter as usize]).addr() as u64;
            code.patch(*at, &address.to_le_bytes());
        }
        cells.write(buffers.code.bytes());
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
