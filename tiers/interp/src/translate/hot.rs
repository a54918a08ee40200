//! Which locals stay in registers.
//!
//! Two integer and two float or vector locals per function, by how often they are read and written, eight times as much a loop level. A
//! call makes every hot local go to its slot and back, so a local must be worth more than the calls. Functions without
//! loops have none.

use super::Step;
use super::function::Function;
use wasmparser::Operator;

/// How much more a loop level counts; deeper levels than six count as six.
const LOOP_FACTOR: u64 = 8;
const MAX_DEPTH: u32 = 6;

impl Function<'_, '_> {
    pub(crate) fn choose_hot_locals(&mut self) -> Step {
        let mut reader = self.body.get_operators_reader()?;
        let mut weights = std::mem::take(&mut self.buffers.weights);
        weights.clear();
        weights.resize(self.local_count() as usize, 0);
        let mut blocks = bumpalo::collections::Vec::new_in(self.bump);
        let (mut depth, mut loops, mut calls, mut weight) = (0u32, 0u32, 0u64, 1u64);
        let weight_at = |depth: u32| LOOP_FACTOR.pow(depth.min(MAX_DEPTH));
        while !reader.eof() {
            match reader.read()? {
                Operator::Loop { .. } => {
                    blocks.push(true);
                    depth += 1;
                    loops += 1;
                    weight = weight_at(depth);
                }
                Operator::Block { .. }
                | Operator::If { .. }
                | Operator::TryTable { .. }
                | Operator::Try { .. } => blocks.push(false),
                Operator::Delegate { .. } => drop(blocks.pop()),
                Operator::End if blocks.pop() == Some(true) => {
                    depth -= 1;
                    weight = weight_at(depth);
                }
                Operator::LocalGet { local_index } => {
                    weights[local_index as usize] = weights[local_index as usize].saturating_add(weight);
                }
                Operator::LocalSet { local_index } | Operator::LocalTee { local_index } => {
                    weights[local_index as usize] = weights[local_index as usize].saturating_add(weight);
                    self.local_mut(local_index).assigned = true;
                }
                Operator::Call { .. } | Operator::CallIndirect { .. } | Operator::CallRef { .. } => {
                    calls = calls.saturating_add(weight);
                }
                _ => {}
            }
        }
        if loops > 0 {
            self.pick(&weights, calls);
        }
        self.buffers.weights = weights;
        Ok(())
    }

    fn pick(&mut self, weights: &[u64], calls: u64) {
        // A call costs a store and a load of each hot local.
        let worth = calls.saturating_mul(2).saturating_add(LOOP_FACTOR);
        for float in [false, true] {
            for register in [1u8, 2] {
                let best = (weights.iter().enumerate())
                    .filter(|(index, weight)| {
                        let local = self.local(*index as u32);
                        **weight > worth && local.hot == 0 && local.ty.is_float() == float
                    })
                    .max_by_key(|(index, weight)| (**weight, std::cmp::Reverse(*index)));
                let Some((index, _)) = best else { break };
                self.local_mut(index as u32).hot = register;
                self.hot_locals.push(index as u32);
                self.hot_slots[usize::from(float)][usize::from(register) - 1] = self.local(index as u32).slot;
            }
        }
    }
}
