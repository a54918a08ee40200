//! Operators on values and the operand stack.

use crate::error::{CompileError, Step};
use crate::function::Translator;
use cranelift_codegen::ir::{InstBuilder, Value};
use crescendo_abi::Builtin;
use crescendo_semantics::lower::{
    clif_type, constant, extract_lane, lower, lower_wide, multiply_add, replace_lane, shuffle,
};
use crescendo_semantics::translate::{Calls, Reach, Tier, Values};
use crescendo_semantics::{Op, Ty};

impl Tier for Translator<'_, '_> {
    type Error = CompileError;

    fn impossible(&self, message: &str) -> CompileError {
        Translator::impossible(self, message)
    }

    fn reach(&mut self) -> &mut Reach {
        &mut self.reach
    }

    fn charge(&mut self, weight: u8) {
        if let Some((_, sum)) = &mut self.fuel_run {
            *sum = sum.saturating_add(u32::from(weight));
        }
    }
}

impl Values for Translator<'_, '_> {
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

    fn extract_lane(&mut self, op: Op, lane: u8) -> Step {
        let vector = self.pop()?;
        let scalar = extract_lane(op, self, vector, lane);
        self.push(scalar);
        Ok(())
    }

    fn replace_lane(&mut self, op: Op, lane: u8) -> Step {
        let scalar = self.pop()?;
        let vector = self.pop()?;
        let vector = replace_lane(op, self, vector, lane, scalar);
        self.push(vector);
        Ok(())
    }

    fn shuffle(&mut self, lanes: [u8; 16]) -> Step {
        let second = self.pop()?;
        let first = self.pop()?;
        let vector = shuffle(self, first, second, lanes);
        self.push(vector);
        Ok(())
    }

    fn vector_constant(&mut self, bytes: [u8; 16]) -> Step {
        let vector = constant(self, clif_type(Ty::V128), bytes);
        self.push(vector);
        Ok(())
    }

    fn multiply_add(&mut self, lane: Ty, negated: bool) -> Step {
        if !self.fused {
            let numbers = [lane.bytes(), u32::from(negated)];
            return self.call_builtin(Builtin::MultiplyAdd, 3, Some(Ty::V128), numbers);
        }
        let sum = self.pop()?;
        let factor = self.pop()?;
        let first = self.pop()?;
        let vector = multiply_add(self, lane, negated, [first, factor, sum]);
        self.push(vector);
        Ok(())
    }

    fn wide(&mut self, op: Op) -> Step {
        let count = op.row().params.len();
        let mut operands = [Value::from_u32(0); 4];
        for operand in operands[..count].iter_mut().rev() {
            *operand = self.pop()?;
        }
        for result in lower_wide(op, self, &operands[..count]) {
            self.push(result);
        }
        Ok(())
    }

    fn constant(&mut self, ty: Ty, bits: u64) -> Step {
        let value = self.constant_of(clif_type(ty), bits);
        self.push(value);
        Ok(())
    }

    fn drop_(&mut self) -> Step {
        self.pop_condition().map(|_| ())
    }

    fn select(&mut self) -> Step {
        let condition = self.pop_condition()?;
        let if_zero = self.pop()?;
        let if_not = self.pop()?;
        let value = self.b.ins().select(condition, if_not, if_zero);
        self.push(value);
        Ok(())
    }
}
