//! Operators to micro-operators.

use super::Step;
use super::function::{Entry, Function, machine_type};
use super::region::{Home, Source};
use crate::micro::{Access, MicroOp};
use crescendo_abi::Builtin;
use crescendo_module::{FuncIdx, GlobalIdx, MemoryIdx, TableIdx, TypeIdx};
use crescendo_semantics::{Kind, Op, Ty};
use wasmparser::{MemArg, MemArgTarget, Operator};

impl Function<'_, '_> {
    /// Translates one operator.
    pub(crate) fn operator(&mut self, operator: &Operator<'_>) -> Step {
        if !self.reachable {
            match operator {
                Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => {
                    self.dead_blocks += 1;
                    return Ok(());
                }
                Operator::Else if self.dead_blocks == 0 => {}
                Operator::End if self.dead_blocks == 0 => {}
                Operator::End => {
                    self.dead_blocks -= 1;
                    return Ok(());
                }
                _ => return Ok(()),
            }
        }
        let op = Op::from_operator(operator)
            .ok_or_else(|| self.impossible("an operator that is not supported"))?;
        let row = op.row();
        self.charge(row.weight);
        match row.kind {
            Kind::Value | Kind::Compare | Kind::Trapping => self.value(op),
            Kind::Load { .. } | Kind::Store { .. } => {
                let memarg =
                    Op::memarg(operator).ok_or_else(|| self.impossible("an access without a place"))?;
                self.access(op, &memarg)
            }
            Kind::Control => self.control(operator),
        }
    }

    fn control(&mut self, operator: &Operator<'_>) -> Step {
        match *operator {
            Operator::Unreachable => {
                self.append(MicroOp::Unreachable, &[], None, &[]);
                self.unreachable_from_here()
            }
            Operator::Nop => Ok(()),
            Operator::Block { blockty } => self.block(blockty),
            Operator::Loop { blockty } => self.loop_(blockty),
            Operator::If { blockty } => self.if_(blockty),
            Operator::Else => self.else_(),
            Operator::End => self.end(),
            Operator::Br { relative_depth } => self.br(relative_depth),
            Operator::BrIf { relative_depth } => self.br_if(relative_depth),
            Operator::BrTable { ref targets } => self.br_table(targets),
            Operator::BrOnNull { relative_depth } => self.br_on_null(relative_depth),
            Operator::BrOnNonNull { relative_depth } => self.br_on_non_null(relative_depth),
            Operator::Return => self.return_(),
            Operator::Call { function_index } => self.call_func(FuncIdx::new(function_index), false),
            Operator::ReturnCall { function_index } => self.call_func(FuncIdx::new(function_index), true),
            Operator::CallIndirect { type_index, table_index } => {
                self.call_indirect(TypeIdx::new(type_index), TableIdx::new(table_index), false)
            }
            Operator::ReturnCallIndirect { type_index, table_index } => {
                self.call_indirect(TypeIdx::new(type_index), TableIdx::new(table_index), true)
            }
            Operator::CallRef { type_index } => self.call_ref(TypeIdx::new(type_index), false),
            Operator::ReturnCallRef { type_index } => self.call_ref(TypeIdx::new(type_index), true),
            Operator::Drop => self.drop_entry().map(|_| ()),
            Operator::Select | Operator::TypedSelect { .. } => self.select(),
            Operator::LocalGet { local_index } => {
                self.push_local(local_index);
                Ok(())
            }
            Operator::LocalSet { local_index } => self.set_local(local_index, false),
            Operator::LocalTee { local_index } => self.set_local(local_index, true),
            Operator::I32Const { value } => self.constant(u64::from(value as u32), Ty::I32),
            Operator::I64Const { value } => self.constant(value as u64, Ty::I64),
            Operator::F32Const { value } => self.constant(u64::from(value.bits()), Ty::F32),
            Operator::F64Const { value } => self.constant(value.bits(), Ty::F64),
            Operator::RefNull { .. } => self.constant(0, Ty::I64),
            _ => self.variables(operator),
        }
    }

    /// Operators on globals, tables and memories.
    fn variables(&mut self, operator: &Operator<'_>) -> Step {
        match *operator {
            Operator::GlobalGet { global_index } => {
                let (ty, imported, offset) = self.global(GlobalIdx::new(global_index))?;
                self.nullary(MicroOp::GlobalGet(ty, imported), ty, offset)
            }
            Operator::GlobalSet { global_index } => {
                let (ty, imported, offset) = self.global(GlobalIdx::new(global_index))?;
                let (value, _) = self.pop()?;
                self.append(MicroOp::GlobalSet(ty, imported), &[value], None, &[offset]);
                Ok(())
            }
            Operator::RefFunc { function_index } => {
                let imported = self.env.info.imported_func_count();
                let (is_imported, offset) = match function_index.checked_sub(imported) {
                    Some(defined) => (false, self.env.offsets.defined_func(defined)),
                    None => (true, self.env.offsets.imported_func(function_index)),
                };
                self.nullary(MicroOp::RefFunc(is_imported), Ty::I64, u64::from(offset))
            }
            Operator::TableGet { table } => {
                let (ty, offset) = self.table(table);
                let (index, _) = self.pop()?;
                let value = self.push_value(Ty::I64);
                self.append(MicroOp::TableGet(ty), &[index], Some(value), &[offset]);
                Ok(())
            }
            Operator::TableSet { table } => {
                let (ty, offset) = self.table(table);
                let (value, _) = self.pop()?;
                let (index, _) = self.pop()?;
                self.append(MicroOp::TableSet(ty), &[index, value], None, &[offset]);
                Ok(())
            }
            Operator::TableSize { table } => {
                let (ty, offset) = self.table(table);
                self.nullary(MicroOp::TableSize(ty), ty, offset)
            }
            Operator::TableGrow { table } => {
                let (ty, _) = self.table(table);
                self.call_builtin(Builtin::TableGrow, 2, Some(ty), table, 0)
            }
            Operator::TableFill { table } => self.call_builtin(Builtin::TableFill, 3, None, table, 0),
            Operator::TableCopy { dst_table, src_table } => {
                self.call_builtin(Builtin::TableCopy, 3, None, dst_table, src_table)
            }
            Operator::TableInit { elem_index, table } => {
                self.call_builtin(Builtin::TableInit, 3, None, table, elem_index)
            }
            Operator::ElemDrop { elem_index } => self.call_builtin(Builtin::ElemDrop, 0, None, elem_index, 0),
            Operator::MemorySize { mem } => {
                let ty = self.memory_index_type(mem);
                let offset = u64::from(self.env.offsets.memory(mem));
                self.nullary(MicroOp::MemorySize(ty), ty, offset)
            }
            Operator::MemoryGrow { mem } => {
                let ty = self.memory_index_type(mem);
                self.call_builtin(Builtin::MemoryGrow, 1, Some(ty), mem, 0)
            }
            Operator::MemoryFill { mem } => self.call_builtin(Builtin::MemoryFill, 3, None, mem, 0),
            Operator::MemoryCopy { dst_mem, src_mem } => {
                self.call_builtin(Builtin::MemoryCopy, 3, None, dst_mem, src_mem)
            }
            Operator::MemoryInit { data_index, mem } => {
                self.call_builtin(Builtin::MemoryInit, 3, None, mem, data_index)
            }
            Operator::DataDrop { data_index } => self.call_builtin(Builtin::DataDrop, 0, None, data_index, 0),
            _ => Err(self.impossible("an operator that is not translated")),
        }
    }

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
        self.append(MicroOp::Value(op), &sources[..row.params.len()], Some(value), &[]);
        Ok(())
    }

    fn access(&mut self, op: Op, memarg: &MemArg) -> Step {
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
        let both = [memory, memarg.offset];
        let extras = match access {
            Access::Zero => &[][..],
            Access::Offset => &both[1..],
            Access::Indexed | Access::Checked32 | Access::Checked64 => &both[..],
        };
        match op.row().result {
            Some(result) => {
                let (address, _) = self.pop()?;
                let value = self.push_value(result);
                self.append(MicroOp::Load(op, access), &[address], Some(value), extras);
            }
            None => {
                let (value, _) = self.pop()?;
                let (address, _) = self.pop()?;
                self.append(MicroOp::Store(op, access), &[address, value], None, extras);
            }
        }
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
        self.append(MicroOp::Select(ty), &[if_not, if_zero, condition], Some(value), &[]);
        Ok(())
    }

    fn constant(&mut self, bits: u64, ty: Ty) -> Step {
        self.push(Entry::Const(bits), ty);
        Ok(())
    }

    /// A micro-operator without sources and one extra.
    fn nullary(&mut self, op: MicroOp, ty: Ty, extra: u64) -> Step {
        let value = self.push_value(ty);
        self.append(op, &[], Some(value), &[extra]);
        Ok(())
    }

    fn global(&self, index: GlobalIdx) -> Result<(Ty, bool, u64), super::Stop> {
        let ty = machine_type(self.env.info.global(index).content)?;
        let imported = self.env.info.imported_global_count();
        Ok(match index.as_u32().checked_sub(imported) {
            Some(defined) => (ty, false, u64::from(self.env.offsets.defined_global(defined))),
            None => (ty, true, u64::from(self.env.offsets.imported_global(index.as_u32()))),
        })
    }

    /// The index type of a table and where the context points to it.
    fn table(&self, index: u32) -> (Ty, u64) {
        let ty = if self.env.info.table(TableIdx::new(index)).table64 { Ty::I64 } else { Ty::I32 };
        (ty, u64::from(self.env.offsets.table(index)))
    }

    fn memory_index_type(&self, index: u32) -> Ty {
        if self.env.info.memory(MemoryIdx::new(index)).memory64 { Ty::I64 } else { Ty::I32 }
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

    /// Brings the topmost entry to its slot, so that both ways of a branch find it there.
    fn settle_reference(&mut self) -> Step {
        self.top()?;
        self.flush_at(self.height() - 1)
    }

    fn top_source(&mut self) -> Result<(Source, Ty), super::Stop> {
        self.top()?;
        Ok(self.source_at(self.height() - 1))
    }

    /// A condition that lies above the whole stack while it is tested.
    fn is_null(&mut self, reference: Source) -> Source {
        let slot = self.temp(self.height() + 1);
        self.reserve(slot + 1);
        let value = self.buffers.region.define(Ty::I32, Home::Slot(slot));
        self.append(MicroOp::Value(Op::RefIsNull), &[reference], Some(value), &[]);
        Source::Value(value)
    }
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
        Op::I32Add
        | Op::I32Mul
        | Op::I32And
        | Op::I32Or
        | Op::I32Xor
        | Op::I32Eq
        | Op::I32Ne
        | Op::I64Add
        | Op::I64Mul
        | Op::I64And
        | Op::I64Or
        | Op::I64Xor
        | Op::I64Eq
        | Op::I64Ne
            if first > second =>
        {
            sources.swap(0, 1);
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
