//! Operators on values, variables and memories, to micro-operators.

use super::function::{Entry, Function, machine_type};
use super::region::{Home, NO_SOURCES, Source, one, two};
use super::{Step, Stop};
use crate::micro::{Access, MicroOp};
use crescendo_abi::Builtin;
use crescendo_module::{GlobalIdx, MemoryIdx, TableIdx};
use crescendo_semantics::translate::{Calls, Memories, Reach, Tier, Values, Variables};
use crescendo_semantics::{Kind, Op, Ty};
use wasmparser::{MemArg, MemArgTarget};

impl Tier for Function<'_, '_> {
    type Error = Stop;

    fn impossible(&self, message: &str) -> Stop {
        Function::impossible(self, message)
    }

    fn reach(&mut self) -> &mut Reach {
        &mut self.reach
    }

    fn charge(&mut self, weight: u8) {
        if let Some(run) = self.buffers.fuel_runs.last_mut() {
            *run = run.saturating_add(u32::from(weight));
        }
    }
}

impl Values for Function<'_, '_> {
    /// A value row, in its canonical form: constants on the right, subtraction of a constant as an addition, comparisons by
    /// "less" where both sides are equal in kind. Fewer forms need fewer handlers.
    fn value(&mut self, op: Op) -> Step {
        let row = op.row();
        let mut sources = [Source::None; 3];
        for i in (0..row.params.len()).rev() {
            sources[i] = self.pop()?.0;
        }
        let op = if self.options.fuse { canonical(op, &mut sources) } else { op };
        let result = row.result.ok_or_else(|| self.impossible("a value without a type"))?;
        let value = self.push_value(result);
        self.append(MicroOp::Value(op), sources, Some(value), []);
        Ok(())
    }

    /// Operands and results are in their canonical slots: a micro-operator has one result at most.
    fn wide(&mut self, op: Op) -> Step {
        let operands = op.row().params.len();
        let first =
            (self.height().checked_sub(operands)).ok_or_else(|| self.impossible("operands are missing"))?;
        for height in first..self.height() {
            self.flush_at(height)?;
        }
        self.append(MicroOp::Wide(op), NO_SOURCES, None, [u64::from(self.temp(first))]);
        self.truncate(first)?;
        self.push_slots(&[Ty::I64; 2]);
        Ok(())
    }

    fn constant(&mut self, ty: Ty, bits: u64) -> Step {
        self.push(Entry::Const(bits), ty);
        Ok(())
    }

    fn select(&mut self) -> Step {
        let (condition, op) = self.pop_condition(MicroOp::BrIf)?;
        let (mut if_zero, _) = self.pop()?;
        let (mut if_not, ty) = self.pop()?;
        if op == MicroOp::BrUnless {
            std::mem::swap(&mut if_zero, &mut if_not);
        }
        let value = self.push_value(ty);
        self.append(MicroOp::Select(ty), [if_not, if_zero, condition], Some(value), []);
        Ok(())
    }

    fn extract_lane(&mut self, op: Op, lane: u8) -> Step {
        let (vector, _) = self.pop()?;
        let value = self.push_value(op.row().result.unwrap_or(Ty::I32));
        self.append(MicroOp::ExtractLane(op, lane), one(vector), Some(value), []);
        Ok(())
    }

    fn replace_lane(&mut self, op: Op, lane: u8) -> Step {
        let (scalar, _) = self.pop()?;
        let (vector, _) = self.pop()?;
        let value = self.push_value(Ty::V128);
        self.append(MicroOp::ReplaceLane(op, lane), two(vector, scalar), Some(value), []);
        Ok(())
    }

    fn shuffle(&mut self, lanes: [u8; 16]) -> Step {
        let (second, _) = self.pop()?;
        let (first, _) = self.pop()?;
        let value = self.push_value(Ty::V128);
        let only = match (lanes.iter().all(|lane| *lane < 16), lanes.iter().all(|lane| *lane >= 16)) {
            _ if first == second => Some(first),
            (true, _) => Some(first),
            (_, true) => Some(second),
            _ => None,
        };
        if let Some(vector) = only {
            let bytes = halves(lanes.map(|lane| lane % 16));
            self.append(MicroOp::ShuffleOne, one(vector), Some(value), bytes);
            return Ok(());
        }
        // A byte of 128 takes nothing.
        let from_first = lanes.map(|lane| if lane < 16 { lane } else { 128 });
        let from_second = lanes.map(|lane| if lane < 16 { 128 } else { lane - 16 });
        let ([a, b], [c, d]) = (halves(from_first), halves(from_second));
        self.append(MicroOp::Shuffle, two(first, second), Some(value), [a, b, c, d]);
        Ok(())
    }

    fn vector_constant(&mut self, bytes: [u8; 16]) -> Step {
        let value = self.push_value(Ty::V128);
        self.append(MicroOp::V128Const, NO_SOURCES, Some(value), halves(bytes));
        Ok(())
    }

    fn multiply_add(&mut self, lane: Ty, negated: bool) -> Step {
        let numbers = [lane.bytes(), u32::from(negated)];
        self.call_builtin(Builtin::MultiplyAdd, 3, Some(Ty::V128), numbers)
    }

    fn drop_(&mut self) -> Step {
        self.drop_entry().map(|_| ())
    }
}

impl Variables for Function<'_, '_> {
    fn local_get(&mut self, local: u32) -> Step {
        self.push_local(local);
        Ok(())
    }

    fn local_set(&mut self, local: u32) -> Step {
        self.set_local(local, false)
    }

    fn local_tee(&mut self, local: u32) -> Step {
        self.set_local(local, true)
    }

    fn global_get(&mut self, global: u32) -> Step {
        let (ty, imported, offset) = self.global(GlobalIdx::new(global))?;
        self.nullary(MicroOp::GlobalGet(ty, imported), ty, [offset])
    }

    fn global_set(&mut self, global: u32) -> Step {
        let (ty, imported, offset) = self.global(GlobalIdx::new(global))?;
        let (value, _) = self.pop()?;
        self.append(MicroOp::GlobalSet(ty, imported), one(value), None, [offset]);
        Ok(())
    }

    fn ref_func(&mut self, func: u32) -> Step {
        let (is_imported, offset) = match func.checked_sub(self.env.info.imported_func_count()) {
            Some(defined) => (false, self.env.offsets.defined_func(defined)),
            None => (true, self.env.offsets.imported_func(func)),
        };
        self.nullary(MicroOp::RefFunc(is_imported), Ty::I64, [u64::from(offset)])
    }

    fn table_get(&mut self, table: u32) -> Step {
        let op = MicroOp::TableGet(self.table_index_ty(table));
        let (index, _) = self.pop()?;
        let value = self.push_value(Ty::I64);
        self.append(op, one(index), Some(value), [self.env.offsets.table(table).into()]);
        Ok(())
    }

    fn table_set(&mut self, table: u32) -> Step {
        let op = MicroOp::TableSet(self.table_index_ty(table));
        let (value, _) = self.pop()?;
        let (index, _) = self.pop()?;
        self.append(op, two(index, value), None, [self.env.offsets.table(table).into()]);
        Ok(())
    }

    fn table_size(&mut self, table: u32) -> Step {
        let ty = self.table_index_ty(table);
        self.nullary(MicroOp::TableSize(ty), ty, [self.env.offsets.table(table).into()])
    }

    fn table_index_ty(&self, table: u32) -> Ty {
        if self.env.info.table(TableIdx::new(table)).table64 { Ty::I64 } else { Ty::I32 }
    }
}

impl Memories for Function<'_, '_> {
    fn access(&mut self, op: Op, memarg: &MemArg) -> Step {
        let (access, extras) = self.place_of(memarg)?;
        match op.row().result {
            Some(result) => {
                let (address, _) = self.pop()?;
                let value = self.push_value(result);
                self.append(MicroOp::Load(op, access), one(address), Some(value), extras);
            }
            None => {
                let (value, _) = self.pop()?;
                let (address, _) = self.pop()?;
                self.append(MicroOp::Store(op, access), two(address, value), None, extras);
            }
        }
        Ok(())
    }

    /// The lane goes through a scalar.
    fn access_lane(&mut self, op: Op, memarg: &MemArg, lane: u8) -> Step {
        let (bytes, loads) = match op.row().kind {
            Kind::LoadLane { bytes } => (bytes, true),
            Kind::StoreLane { bytes } => (bytes, false),
            _ => return Err(self.impossible("a row that accesses no lane")),
        };
        let (load, store, replace, extract) = match bytes {
            1 => (Op::I32Load8U, Op::I32Store8, Op::I8x16ReplaceLane, Op::I8x16ExtractLaneU),
            2 => (Op::I32Load16U, Op::I32Store16, Op::I16x8ReplaceLane, Op::I16x8ExtractLaneU),
            4 => (Op::I32Load, Op::I32Store, Op::I32x4ReplaceLane, Op::I32x4ExtractLane),
            _ => (Op::I64Load, Op::I64Store, Op::I64x2ReplaceLane, Op::I64x2ExtractLane),
        };
        if !loads {
            self.extract_lane(extract, lane)?;
            return self.access(store, memarg);
        }
        // The scalar lies above both operands until it is in its lane.
        let (access, extras) = self.place_of(memarg)?;
        let slot = self.next_temp();
        self.reserve(slot + 1);
        let (vector, _) = self.pop()?;
        let (address, _) = self.pop()?;
        let scalar = self.buffers.region.define(load.row().result.unwrap_or(Ty::I32), Home::Slot(slot));
        self.append(MicroOp::Load(load, access), one(address), Some(scalar), extras);
        let value = self.push_value(Ty::V128);
        let sources = two(vector, Source::Value(scalar));
        self.append(MicroOp::ReplaceLane(replace, lane), sources, Some(value), []);
        Ok(())
    }

    /// Operands that are constants go to their slots: there are handlers for slots only.
    fn atomic(&mut self, op: Op, memarg: &MemArg) -> Step {
        let MemArgTarget::Memory(index) = memarg.target else {
            return Err(self.impossible("an access to something else than a memory"));
        };
        let count = op.row().params.len();
        let first =
            (self.height().checked_sub(count)).ok_or_else(|| self.impossible("operands are missing"))?;
        let mut sources = [Source::None; 3];
        for i in (0..count).rev() {
            if matches!(self.entry_at(first + i).0, Entry::Const(_)) {
                self.flush_at(first + i)?;
            }
            sources[i] = self.pop()?.0;
        }
        let is_64 = self.env.info.memory(MemoryIdx::new(index)).memory64;
        let access = match (self.root.checked(), is_64) {
            (true, true) => Access::Checked64,
            (true, false) => Access::Checked32,
            (false, false) => Access::Indexed,
            (false, true) => return Err(self.impossible("a 64-bit memory without checks")),
        };
        let extras = [u64::from(self.env.offsets.memory(index)), memarg.offset];
        let value = op.row().result.map(|result| self.push_value(result));
        self.append(MicroOp::Atomic(op, access), sources, value, extras);
        Ok(())
    }

    fn fence(&mut self) -> Step {
        self.append(MicroOp::Fence, NO_SOURCES, None, []);
        Ok(())
    }

    fn memory_size(&mut self, memory: u32) -> Step {
        let ty = self.memory_index_ty(memory);
        let log2 = self.env.info.memory(MemoryIdx::new(memory)).page_size_log2;
        let place = self.env.offsets.memory(memory);
        self.nullary(MicroOp::MemorySize(ty), ty, [place.into(), log2.into()])
    }

    fn memory_index_ty(&self, memory: u32) -> Ty {
        if self.env.info.memory(MemoryIdx::new(memory)).memory64 { Ty::I64 } else { Ty::I32 }
    }
}

impl Function<'_, '_> {
    /// How an access finds its place, and what its cell holds of it: as much as the shape says.
    fn place_of(&self, memarg: &MemArg) -> Result<(Access, [u64; 2]), Stop> {
        let MemArgTarget::Memory(index) = memarg.target else {
            return Err(self.impossible("an access to something else than a memory"));
        };
        let memory = u64::from(self.env.offsets.memory(index));
        let is_64 = self.env.info.memory(MemoryIdx::new(index)).memory64;
        let access = match (self.root.checked(), is_64, index, memarg.offset) {
            (true, true, ..) => Access::Checked64,
            (true, false, ..) => Access::Checked32,
            (false, false, 0, 0) => Access::Zero,
            (false, false, 0, _) => Access::Offset,
            (false, false, ..) => Access::Indexed,
            (false, true, ..) => return Err(self.impossible("a 64-bit memory without checks")),
        };
        Ok((
            access,
            match access {
                Access::Zero | Access::Offset => [memarg.offset, 0],
                Access::Indexed | Access::Checked32 | Access::Checked64 => [memory, memarg.offset],
            },
        ))
    }

    /// A micro-operator without sources.
    fn nullary<const N: usize>(&mut self, op: MicroOp, ty: Ty, extras: [u64; N]) -> Step {
        let value = self.push_value(ty);
        self.append(op, NO_SOURCES, Some(value), extras);
        Ok(())
    }

    fn global(&self, index: GlobalIdx) -> Result<(Ty, bool, u64), Stop> {
        let ty = machine_type(self.env.info.global(index).content);
        let imported = self.env.info.imported_global_count();
        Ok(match index.as_u32().checked_sub(imported) {
            Some(defined) => (ty, false, u64::from(self.env.offsets.defined_global(defined))),
            None => (ty, true, u64::from(self.env.offsets.imported_global(index.as_u32()))),
        })
    }

    /// Brings the topmost entry to its slot, so that both ways of a branch find it there.
    pub(crate) fn settle_reference(&mut self) -> Step {
        self.top()?;
        self.flush_at(self.height() - 1)
    }

    pub(crate) fn top_source(&mut self) -> Result<(Source, Ty), Stop> {
        self.top()?;
        Ok(self.source_at(self.height() - 1))
    }

    /// A condition that lies above the whole stack while it is tested.
    pub(crate) fn is_null(&mut self, reference: Source) -> Source {
        let slot = self.next_temp() + 1;
        self.reserve(slot + 1);
        let value = self.buffers.region.define(Ty::I32, Home::Slot(slot));
        self.append(MicroOp::Value(Op::RefIsNull), one(reference), Some(value), []);
        Source::Value(value)
    }
}

/// A vector's bytes as the two numbers that a cell holds.
fn halves(bytes: [u8; 16]) -> [u64; 2] {
    let all = u128::from_le_bytes(bytes);
    [all as u64, (all >> 64) as u64]
}

/// How late in a canonical order a source comes.
fn rank(source: &Source) -> u8 {
    match source {
        Source::Value(_) => 0,
        Source::Hot(_) => 1,
        Source::Slot(_) | Source::None => 2,
        Source::Const(_) => 3,
    }
}

/// Rewrites an operator and its sources to an equal one that fewer handlers are needed for.
fn canonical(op: Op, sources: &mut [Source; 3]) -> Op {
    let (first, second) = (rank(&sources[0]), rank(&sources[1]));
    match op {
        // Vectors are put in order when their forms are known: `Region::complete_keys`.
        _ if op.commutes() && op.row().result != Some(Ty::V128) => {
            if first > second {
                sources.swap(0, 1);
            }
            op
        }
        Op::I32Sub => match sources[1] {
            Source::Const(c) => {
                sources[1] = Source::Const(u64::from((c as u32).wrapping_neg()));
                Op::I32Add
            }
            _ => op,
        },
        Op::I64Sub => match sources[1] {
            Source::Const(c) => {
                sources[1] = Source::Const(c.wrapping_neg());
                Op::I64Add
            }
            _ => op,
        },
        _ if op.row().kind != Kind::Compare => op,
        _ => match mirrored(op) {
            Some((other, prefers_other)) if first > second || (first == second && prefers_other) => {
                sources.swap(0, 1);
                other
            }
            _ => op,
        },
    }
}

/// The comparison with its sides changed, and whether it is the preferred one of the two.
fn mirrored(op: Op) -> Option<(Op, bool)> {
    const PAIRS: &[(Op, Op)] = &[
        (Op::I32LtS, Op::I32GtS),
        (Op::I32LtU, Op::I32GtU),
        (Op::I32LeS, Op::I32GeS),
        (Op::I32LeU, Op::I32GeU),
        (Op::I64LtS, Op::I64GtS),
        (Op::I64LtU, Op::I64GtU),
        (Op::I64LeS, Op::I64GeS),
        (Op::I64LeU, Op::I64GeU),
        (Op::F32Lt, Op::F32Gt),
        (Op::F32Le, Op::F32Ge),
        (Op::F64Lt, Op::F64Gt),
        (Op::F64Le, Op::F64Ge),
    ];
    PAIRS.iter().find_map(|&(less, greater)| match op {
        _ if op == less => Some((greater, false)),
        _ if op == greater => Some((less, true)),
        _ => None,
    })
}
