//! Operators to Cranelift's instructions.

use crate::error::Step;
use crate::function::Translator;
use cranelift_codegen::ir::{InstBuilder, Value, types};
use crescendo_abi::Builtin;
use crescendo_module::{FuncIdx, MemoryIdx, TableIdx, TypeIdx};
use crescendo_semantics::lower::lower;
use crescendo_semantics::{Kind, Op};
use wasmparser::Operator;

impl Translator<'_, '_> {
    /// Translates one operator.
    pub(crate) fn operator(&mut self, operator: &Operator<'_>) -> Step {
        if !self.reachable {
            match operator {
                Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => {
                    self.dead_blocks += 1;
                    return Ok(());
                }
                Operator::Else | Operator::End if self.dead_blocks == 0 => {}
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

    /// A value row.
    fn value(&mut self, op: Op) -> Step {
        let count = op.row().params.len();
        let mut operands = [Value::from_u32(0); 3];
        for operand in operands[..count].iter_mut().rev() {
            // `eqz` of a comparison needs no integer in between.
            *operand = if op == Op::I32Eqz { self.pop_condition()? } else { self.pop()? };
        }
        let result = lower(op, self, &operands[..count]);
        let result = result.ok_or_else(|| self.impossible("a value without a lowering"))?;
        self.push(result);
        Ok(())
    }

    fn control(&mut self, operator: &Operator<'_>) -> Step {
        match *operator {
            Operator::Unreachable => self.unreachable(),
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
            _ => self.variable(operator),
        }
    }

    /// Operators on the stack, locals, constants and globals.
    fn variable(&mut self, operator: &Operator<'_>) -> Step {
        match *operator {
            Operator::Drop => self.pop_condition().map(|_| ()),
            Operator::Select | Operator::TypedSelect { .. } => self.select(),
            Operator::LocalGet { local_index } => {
                let variable = self.local(local_index)?;
                let value = self.b.use_var(variable);
                self.push(value);
                Ok(())
            }
            Operator::LocalSet { local_index } => {
                let value = self.pop()?;
                let variable = self.local(local_index)?;
                self.b.def_var(variable, value);
                Ok(())
            }
            Operator::LocalTee { local_index } => {
                let value = self.pop()?;
                let variable = self.local(local_index)?;
                self.b.def_var(variable, value);
                self.push(value);
                Ok(())
            }
            Operator::I32Const { value } => self.constant(types::I32, u64::from(value as u32)),
            Operator::I64Const { value } => self.constant(types::I64, value as u64),
            Operator::F32Const { value } => self.constant(types::F32, u64::from(value.bits())),
            Operator::F64Const { value } => self.constant(types::F64, value.bits()),
            Operator::RefNull { .. } => self.constant(types::I64, 0),
            Operator::RefFunc { function_index } => {
                self.ref_func(function_index);
                Ok(())
            }
            Operator::GlobalGet { global_index } => self.global_get(global_index),
            Operator::GlobalSet { global_index } => self.global_set(global_index),
            _ => self.storage(operator),
        }
    }

    /// Operators on tables and memories, but for loads and stores.
    fn storage(&mut self, operator: &Operator<'_>) -> Step {
        match *operator {
            Operator::TableGet { table } => self.table_get(table),
            Operator::TableSet { table } => self.table_set(table),
            Operator::TableSize { table } => {
                self.table_size(table);
                Ok(())
            }
            Operator::TableGrow { table } => {
                let ty = self.table_index_type(table);
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
                self.memory_size(mem);
                Ok(())
            }
            Operator::MemoryGrow { mem } => {
                let memory64 = self.info.memory(MemoryIdx::new(mem)).memory64;
                let ty = if memory64 { types::I64 } else { types::I32 };
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

    fn select(&mut self) -> Step {
        let condition = self.pop_condition()?;
        let if_zero = self.pop()?;
        let if_not = self.pop()?;
        let value = self.b.ins().select(condition, if_not, if_zero);
        self.push(value);
        Ok(())
    }

    fn constant(&mut self, ty: cranelift_codegen::ir::Type, bits: u64) -> Step {
        let value = self.constant_of(ty, bits);
        self.push(value);
        Ok(())
    }
}
