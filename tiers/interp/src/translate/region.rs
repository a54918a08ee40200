//! A region: micro-operators from one label to the next, before they become cells.
//!
//! The translator appends micro-operators whose sources name values, slots, constants or hot locals. When the region ends,
//! [`Region::settle`] decides which values pass from cell to cell in the accumulator. Everything here is flat
//! vectors that are reused from region to region.

use crate::micro::{Form, MAX_FUSED, MicroOp, PackedKey, Shape};
use crescendo_semantics::Ty;

/// Index of a value in its region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ValueId(u32);

/// Index of a micro-operator in its region.
pub(crate) type InstId = u32;

/// The definition of a value that was there when the region began: the result of a call.
const BEFORE: InstId = u32::MAX;

/// Where a micro-operator takes an operand from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Source {
    None,
    Value(ValueId),
    Slot(u32),
    Const(u64),
    Hot(u8),
}

pub(crate) const NO_SOURCES: [Source; 3] = [Source::None; 3];

pub(crate) const fn one(source: Source) -> [Source; 3] {
    [source, Source::None, Source::None]
}

pub(crate) const fn two(first: Source, second: Source) -> [Source; 3] {
    [first, second, Source::None]
}

/// Where a value lives when it is in no accumulator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Home {
    Slot(u32),
    /// A register of a hot local: 1 or 2.
    Hot(u8),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Value {
    def: InstId,
    /// One behind the last micro-operator that reads it; 0 when nobody does.
    used_until: InstId,
    ty: Ty,
    pub(crate) home: Home,
    /// Whether its home must hold it. Of a local's value [`Region::settle`] says it.
    pub(crate) need_home: bool,
    /// Whether it is the value of a local.
    pub(crate) of_local: bool,
    /// Whether its local is set again in this region with no way out in between.
    pub(crate) overwritten: bool,
    accumulator: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Inst {
    /// What to do, and what follows from it: [`Inst::set_op`] changes the three together.
    pub(crate) op: MicroOp,
    pub(crate) shape: Shape,
    /// The key in a handler that starts here: forms of sources that are no values from the start, the rest by [`Region::settle`].
    key: PackedKey,
    pub(crate) sources: [Source; 3],
    /// How many micro-operators before this one the value of a source is defined; [`FAR`] if it is none, or if it is too far for one handler.
    distances: [u8; 3],
    /// Whether any source is a value.
    has_values: bool,
    /// Whether the result is in the accumulator for the branch right behind only: in one handler with the branch it needs no place, and a
    /// comparison no number. That saves three of thirteen instructions.
    for_branch: bool,
    pub(crate) result: Option<ValueId>,
    /// Start of its extras in [`Region::extras`]; as many as the shape says.
    pub(crate) extras: u32,
    /// Byte offset of the operator in the module.
    pub(crate) offset: u32,
}

/// No distance within a handler.
const FAR: u8 = u8::MAX;
const _: () = assert!(MAX_FUSED < FAR as usize);

impl Inst {
    fn new(op: MicroOp, sources: [Source; 3], result: Option<ValueId>, extras: u32, offset: u32) -> Inst {
        let shape = op.shape();
        let mut key = PackedKey::new(op.number());
        let mut has_values = false;
        for (i, source) in sources.iter().enumerate() {
            let form = match source {
                Source::None => break,
                Source::Value(_) => {
                    has_values = true;
                    continue;
                }
                Source::Slot(_) => Form::Slot,
                Source::Hot(r) => Form::Reg(*r),
                Source::Const(c)
                    if *c as i64 == i64::from(*c as i32) && shape.sources[i] == Some(Ty::I64) =>
                {
                    Form::Imm32
                }
                Source::Const(_) => Form::Imm,
            };
            key = key.with_source(i as u32, form);
        }
        let distances = [FAR; 3];
        Inst { op, shape, key, sources, distances, has_values, for_branch: false, result, extras, offset }
    }

    /// Does something else with the same operands.
    pub(crate) fn set_op(&mut self, op: MicroOp) {
        *self = Inst::new(op, self.sources, self.result, self.extras, self.offset);
    }

    fn is_exit(&self) -> bool {
        matches!(self.op, MicroOp::BrIf | MicroOp::BrUnless)
    }
}

/// The micro-operators since the last label.
#[derive(Default)]
pub(crate) struct Region {
    pub(crate) insts: Vec<Inst>,
    pub(crate) extras: Vec<u64>,
    values: Vec<Value>,
    /// The last conditional branch.
    last_exit: Option<InstId>,
}

impl Region {
    pub(crate) fn clear(&mut self) {
        self.insts.clear();
        self.extras.clear();
        self.values.clear();
        self.last_exit = None;
    }

    /// The id of the next micro-operator. A region is cut long before 2^32.
    pub(crate) fn next_inst(&self) -> InstId {
        self.insts.len() as InstId
    }

    /// A value that the next micro-operator defines.
    pub(crate) fn define(&mut self, ty: Ty, home: Home) -> ValueId {
        self.add_value(self.next_inst(), ty, home)
    }

    /// A value that is in the accumulator, and in its home, when the region begins.
    pub(crate) fn define_before(&mut self, ty: Ty, home: Home) -> ValueId {
        debug_assert!(self.insts.is_empty());
        self.add_value(BEFORE, ty, home)
    }

    fn add_value(&mut self, def: InstId, ty: Ty, home: Home) -> ValueId {
        let id = ValueId(self.values.len() as u32);
        self.values.push(Value {
            def,
            used_until: 0,
            ty,
            home,
            need_home: false,
            of_local: false,
            overwritten: false,
            accumulator: false,
        });
        id
    }

    pub(crate) fn value(&self, id: ValueId) -> &Value {
        &self.values[id.0 as usize]
    }

    pub(crate) fn value_mut(&mut self, id: ValueId) -> &mut Value {
        &mut self.values[id.0 as usize]
    }

    /// Appends a micro-operator whose extras begin at `extras`.
    pub(crate) fn push(
        &mut self,
        op: MicroOp,
        sources: [Source; 3],
        result: Option<ValueId>,
        extras: u32,
        offset: u32,
    ) {
        let inst = Inst::new(op, sources, result, extras, offset);
        let at = self.next_inst();
        if inst.has_values {
            for source in inst.sources {
                if let Source::Value(id) = source {
                    self.value_mut(id).used_until = at + 1;
                }
            }
        }
        if inst.is_exit() {
            self.last_exit = Some(at);
        }
        self.insts.push(inst);
    }

    /// The last micro-operator, if it defines this value and nobody has read the value yet.
    pub(crate) fn fresh_definition(&self, id: ValueId) -> Option<InstId> {
        let value = self.value(id);
        let last = self.next_inst().checked_sub(1)?;
        (value.def == last && value.used_until == 0).then_some(last)
    }

    /// Takes back the last micro-operator, whose result is not used. Its source is up for use again.
    pub(crate) fn pop(&mut self) -> Option<Inst> {
        let inst = self.insts.pop()?;
        self.extras.truncate(inst.extras as usize);
        if let Some(id) = inst.result {
            self.value_mut(id).def = BEFORE;
        }
        Some(inst)
    }

    /// Forgets the reads of a value that is not a local's: its only reader was taken back.
    pub(crate) fn unread(&mut self, id: ValueId) {
        if !self.value(id).of_local {
            self.value_mut(id).used_until = 0;
        }
    }

    /// Marks that a local's value is replaced; `old` need not reach its slot if nothing can leave the region in between.
    pub(crate) fn overwrite(&mut self, old: ValueId) {
        let last_exit = self.last_exit;
        let value = self.value_mut(old);
        if value.def != BEFORE && last_exit.is_none_or(|exit| exit <= value.def) {
            value.overwritten = true;
        }
    }

    /// Ends the region: decides which values are in an accumulator from their definition to their last use, and completes the keys.
    ///
    /// One accumulator for integers, one for floats. Of two values that overlap the one with the nearer last use wins,
    /// except that a local's value, whose slot is there anyway, gives way to any other.
    ///
    /// Without `use_accumulators` no value is in one, and all are at home: bytecode that is not fused, and bytecode with wide
    /// slots, for which there are no handlers with registers.
    pub(crate) fn settle(&mut self, use_accumulators: bool) {
        if use_accumulators {
            self.assign_accumulators();
        }
        for value in &mut self.values {
            // Without an accumulator a value that is read must be at home; a local's value that is overwritten unread
            // need not.
            let read_at_home = value.used_until != 0 && !value.accumulator;
            value.need_home =
                (if value.of_local { !value.overwritten } else { value.need_home }) | read_at_home;
        }
        self.complete_keys(use_accumulators);
    }

    fn assign_accumulators(&mut self) {
        let mut holders: [Option<usize>; 2] = [None, None];
        for index in 0..self.values.len() {
            let value = self.values[index];
            let Home::Slot(_) = value.home else { continue };
            // What was there before is defined before 0: a use by the first micro-operator counts.
            if value.used_until <= value.def.wrapping_add(1) {
                continue;
            }
            let holder = &mut holders[usize::from(value.ty.is_float())];
            let takes = match *holder {
                None => true,
                Some(other) => {
                    let held = &self.values[other];
                    let free = value.def != BEFORE && held.used_until <= value.def + 1;
                    let evicts = match (value.of_local, held.of_local) {
                        (true, false) => false,
                        (false, true) => true,
                        _ => value.used_until <= held.used_until,
                    };
                    if !free && evicts {
                        self.values[other].accumulator = false;
                    }
                    free || evicts
                }
            };
            if takes {
                *holder = Some(index);
                self.values[index].accumulator = true;
            }
        }
    }

    /// Gives the keys the forms of values and the places of results. Operands of vector operators for which their order does not
    /// matter come in the order of their forms where operators are fused.
    fn complete_keys(&mut self, order_vectors: bool) {
        let Region { insts, values, .. } = self;
        let mut next_is_exit = false;
        for at in (0..insts.len()).rev() {
            let inst = &mut insts[at];
            if inst.has_values {
                for i in 0..3 {
                    let Source::Value(id) = inst.sources[i] else { continue };
                    let value = &values[id.0 as usize];
                    let form = match value.home {
                        Home::Hot(r) => Form::Reg(r),
                        Home::Slot(_) if value.accumulator => Form::Reg(0),
                        Home::Slot(_) => Form::Slot,
                    };
                    inst.key = inst.key.with_source(i as u32, form);
                    if value.def != BEFORE {
                        inst.distances[i] = (at as u32 - value.def).min(u32::from(FAR)) as u8;
                    }
                }
            }
            if order_vectors && inst.shape.sources[0] == Some(Ty::V128) && inst.op.orders_by_form() {
                let (first, second) = (inst.key.source(0), inst.key.source(1));
                if second < first {
                    inst.sources.swap(0, 1);
                    inst.distances.swap(0, 1);
                    inst.key = inst.key.replace_source(0, second).replace_source(1, first);
                }
            }
            if let Some(id) = inst.result {
                let value = &values[id.0 as usize];
                inst.key = match value.home {
                    Home::Hot(r) => inst.key.to_reg(r),
                    // A result that nobody wants still needs a place.
                    Home::Slot(_) if !value.accumulator => inst.key.to_slot(),
                    Home::Slot(_) if value.need_home => inst.key.to_slot().to_reg(0),
                    Home::Slot(_) => {
                        inst.for_branch = next_is_exit && value.used_until == at as u32 + 2;
                        inst.key.to_reg(0)
                    }
                };
            }
            next_is_exit = inst.is_exit();
        }
    }

    /// The key of a micro-operator in a handler whose first micro-operator is `start`.
    ///
    /// It does not depend on where the handler ends: a result goes to the accumulator even if only the same handler
    /// reads it, which costs a register move and lets handlers be found step by step.
    pub(crate) fn key(&self, at: InstId, start: InstId) -> PackedKey {
        let inst = &self.insts[at as usize];
        let mut key = inst.key;
        let position = (at - start) as u8;
        if inst.has_values && position != 0 {
            for (i, distance) in inst.distances.into_iter().enumerate() {
                if distance <= position {
                    key = key.replace_source(i as u32, Form::Inner(position - distance));
                }
            }
        }
        key
    }

    /// Whether a micro-operator's result is in the accumulator for the branch right behind it only.
    pub(crate) fn is_for_branch(&self, at: InstId) -> bool {
        self.insts[at as usize].for_branch
    }

    /// One behind the next conditional branch.
    #[cfg(feature = "count-regions")]
    pub(crate) fn next_exit(&self, at: InstId) -> Option<InstId> {
        (at..self.next_inst()).find(|at| self.insts[*at as usize].is_exit()).map(|at| at + 1)
    }

    /// The slot that holds, or may hold, a source that is in a register.
    pub(crate) fn home_slot(&self, source: Source, hot_slots: [u32; 2]) -> Option<u32> {
        match source {
            Source::Hot(r) => Some(hot_slots[usize::from(r) - 1]),
            Source::Value(id) => match self.value(id).home {
                Home::Slot(slot) => Some(slot),
                Home::Hot(r) => Some(hot_slots[usize::from(r) - 1]),
            },
            Source::None | Source::Slot(_) | Source::Const(_) => None,
        }
    }
}
