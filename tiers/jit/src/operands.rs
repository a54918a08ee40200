//! The operand stack.
//!
//! Operands are values, or variables where different ways lead to different values (`osr.rs`). A comparison's
//! result stays the condition that it is (`i8`) until somebody needs the integer.

use crate::error::Step;
use crate::function::{Operand, Translator};
use crate::signature::slots_of;
use cranelift_codegen::ir::immediates::{Ieee32, Ieee64};
use cranelift_codegen::ir::{BlockArg, InstBuilder, Type, Value, types};
use crescendo_semantics::lower::constant;

impl Translator<'_, '_> {
    pub(crate) fn push(&mut self, value: Value) {
        self.has_vectors |= self.type_of_value(value).is_vector();
        self.buffers.stack.push(Operand::Value(value));
    }

    fn resolve(&mut self, operand: Operand) -> Value {
        match operand {
            Operand::Value(value) => value,
            Operand::Variable(variable, _) => self.b.use_var(variable),
        }
    }

    /// Takes the topmost operand off, a comparison's result as its condition.
    pub(crate) fn pop_condition(&mut self) -> Step<Value> {
        let popped = self.buffers.stack.pop();
        self.settled = self.settled.min(self.height());
        match popped {
            Some(operand) => Ok(self.resolve(operand)),
            None => Err(self.impossible("the operand stack is empty")),
        }
    }

    /// Takes the topmost operand off.
    pub(crate) fn pop(&mut self) -> Step<Value> {
        let value = self.pop_condition()?;
        Ok(self.integer(value))
    }

    /// The type of the operand at a height.
    pub(crate) fn type_at(&self, height: usize) -> Type {
        match self.buffers.stack[height] {
            Operand::Value(value) => self.type_of_value(value),
            Operand::Variable(_, ty) => ty,
        }
    }

    /// Slots that the operands below a height take in an interpreted frame.
    pub(crate) fn slots_below(&self, height: usize) -> u32 {
        if self.has_vectors { (0..height).map(|at| slots_of(self.type_at(at))).sum() } else { height as u32 }
    }

    /// Drops operands down to a height.
    pub(crate) fn truncate(&mut self, height: usize) {
        self.buffers.stack.truncate(height);
        self.settled = self.settled.min(height);
    }

    /// The integer that a condition stands for; other values as they are.
    pub(crate) fn integer(&mut self, value: Value) -> Value {
        if self.type_of_value(value) == types::I8 { self.b.ins().uextend(types::I32, value) } else { value }
    }

    /// The value of the operand at a height, which stays.
    pub(crate) fn operand_at(&mut self, height: usize) -> Value {
        let operand = self.buffers.stack[height];
        let value = self.resolve(operand);
        let integer = self.integer(value);
        if integer != value {
            self.buffers.stack[height] = Operand::Value(integer);
        }
        integer
    }

    /// The height of the lowest of the topmost operands.
    pub(crate) fn height_below(&self, operands: usize) -> Step<usize> {
        self.height().checked_sub(operands).ok_or_else(|| self.impossible("operands are missing"))
    }

    /// Lists the topmost operands, which stay, as arguments of a branch.
    pub(crate) fn list_block_args(&mut self, count: usize) -> Step {
        let first = self.height_below(count)?;
        self.buffers.block_args.clear();
        for height in first..first + count {
            let value = self.operand_at(height);
            self.buffers.block_args.push(BlockArg::Value(value));
        }
        Ok(())
    }

    /// Appends the topmost operands, which stay, to the list of values.
    pub(crate) fn append_values(&mut self, count: usize) -> Step {
        let first = self.height_below(count)?;
        for height in first..first + count {
            let value = self.operand_at(height);
            self.buffers.values.push(value);
        }
        Ok(())
    }

    /// A constant of a type, by its bits.
    pub(crate) fn constant_of(&mut self, ty: Type, bits: u64) -> Value {
        match ty {
            types::F32 => self.b.ins().f32const(Ieee32::with_bits(bits as u32)),
            types::F64 => self.b.ins().f64const(Ieee64::with_bits(bits)),
            types::I32 => self.b.ins().iconst(types::I32, i64::from(bits as u32)),
            _ if ty.is_vector() => constant(self, ty, u128::from(bits).to_le_bytes()),
            _ => self.b.ins().iconst(ty, bits as i64),
        }
    }
}
