//! Variables of `i32` locals that hold 64 bits.

use crate::function::Translator;
use cranelift_codegen::entity::{SecondaryMap, packed_option::PackedOption};
use cranelift_codegen::ir::{Block, InstBuilder, InstructionData, Opcode, Value, types};
use cranelift_frontend::Variable;

impl Translator<'_, '_> {
    /// Zero-extends an `i32`; other values as they are.
    pub(crate) fn wide(&mut self, value: Value) -> Value {
        if self.type_of_value(value) != types::I32 {
            return value;
        }
        match self.buffers.widening.wholes[value].within(self.b.current_block()) {
            Some(whole) => whole,
            None => self.b.ins().uextend(types::I64, value),
        }
    }

    /// Gives a local's variable a value.
    pub(crate) fn define_local(&mut self, variable: Variable, value: Value) {
        if !self.buffers.widening.is_wide(variable) {
            return self.b.def_var(variable, value);
        }
        if let Some(whole) = self.loaded_wide(value) {
            return self.b.def_var(variable, whole);
        }
        let whole = self.wide(value);
        let (block, widening) = (self.b.current_block(), &mut self.buffers.widening);
        if widening.halves[whole].value.is_none() {
            widening.wholes[value] = Known::new(whole, block);
            widening.halves[whole] = Known::new(value, None);
        }
        self.b.def_var(variable, whole);
    }

    /// Turns the load that has just made a value into one that extends, which costs nothing. Gives the extended value, which is all
    /// that is left.
    fn loaded_wide(&mut self, value: Value) -> Option<Value> {
        let inst = self.b.func.layout.last_inst(self.b.current_block()?)?;
        let dfg = &mut self.b.func.dfg;
        let &InstructionData::Load { opcode: Opcode::Load, arg, flags, offset } = &dfg.insts[inst] else {
            return None;
        };
        if dfg.first_result(inst) != value {
            return None;
        }
        dfg.clear_results(inst);
        dfg.insts[inst] = InstructionData::Load { opcode: Opcode::Uload32, arg, flags, offset };
        dfg.make_inst_results(inst, types::I64);
        Some(dfg.first_result(inst))
    }

    /// The `i32` of a wide variable's value.
    pub(crate) fn half(&mut self, whole: Value) -> Value {
        let block = self.b.current_block();
        if let Some(half) = self.buffers.widening.halves[whole].within(block) {
            return half;
        }
        let half = self.b.ins().ireduce(types::I32, whole);
        self.buffers.widening.wholes[half] = Known::new(whole, None);
        self.buffers.widening.halves[whole] = Known::new(half, block);
        half
    }
}

/// Variables of `i32` locals that hold 64 bits, of which the upper ones are zero: addresses that go around a loop need not be
/// extended in each iteration. Next to variables of 32 bits twenty kernels take 0.974 of the time in geometric mean, `sort`, `search` and
/// `regex` 0.95. Only optimised code has them, since extending is an instruction otherwise.
#[derive(Default)]
pub(crate) struct Widening {
    /// By variable.
    wide: Vec<bool>,
    /// Zero-extended values by their lower halves.
    wholes: SecondaryMap<Value, Known>,
    /// The reverse.
    halves: SecondaryMap<Value, Known>,
}

/// A value that belongs to another one, if there is one.
#[derive(Clone, Copy, Default)]
struct Known {
    value: PackedOption<Value>,
    /// Where it may be used if it was made of the other one, which may be there without it; everywhere if the other was made of it.
    block: PackedOption<Block>,
}

impl Known {
    fn new(value: Value, block: Option<Block>) -> Known {
        Known { value: value.into(), block: block.into() }
    }

    fn within(self, block: Option<Block>) -> Option<Value> {
        let holds = self.block.is_none() || self.block == block.into();
        self.value.expand().filter(|_| holds)
    }
}

impl Widening {
    pub(crate) fn clear(&mut self) {
        self.wide.clear();
        self.wholes.clear();
        self.halves.clear();
    }

    /// Adds a variable.
    pub(crate) fn push(&mut self, is_wide: bool) {
        self.wide.push(is_wide);
    }

    pub(crate) fn is_wide(&self, variable: Variable) -> bool {
        self.wide[variable.as_u32() as usize]
    }
}
