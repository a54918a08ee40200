//! Which locals stay in registers.
//!
//! Two integer and two float or vector locals per function, by how often they are read and written, eight times as much a loop level. A
//! call makes every hot local go to its slot and back, so a local must be worth more than the calls. Functions without
//! loops have none.
//!
//! Speed with none, with one and with two of each, two being 1: sqlite 0.76, 0.85; quickjs 0.84, 0.92; lua 0.79, 0.89; the superinstructions were
//! chosen with two. There is no third register left.

use super::Step;
use super::function::Function;
use crescendo_semantics::body::{Brief, Operators};

/// How much more a loop level counts; deeper levels than six count as six.
const LOOP_FACTOR: u64 = 8;
const MAX_DEPTH: u32 = 6;

/// The first byte of the operator `loop`.
const LOOP: u8 = 0x03;

/// What an operator counts within so many loops.
fn weight_at(depth: u32) -> u64 {
    LOOP_FACTOR.pow(depth.min(MAX_DEPTH))
}

impl Function<'_, '_> {
    pub(crate) fn choose_hot_locals(&mut self) -> Step {
        let mut operators = Operators::new(&self.body)?;
        // Most functions have no loop, and many of them no such byte anywhere.
        if !operators.bytes().contains(&LOOP) {
            return Ok(());
        }
        let mut weights = std::mem::take(&mut self.buffers.weights);
        weights.clear();
        weights.resize(self.local_count() as usize, Weight::default());
        // The open blocks; of loops the depth outside.
        let mut blocks: bumpalo::collections::Vec<'_, Option<u32>> = bumpalo::vec![in self.bump; None];
        let (mut depth, mut weight) = (0, 1);
        let (mut loops, mut calls) = (0, 0u64);
        let mut count = |local: u32, weight: u64, assigned: bool| {
            if let Some(found) = weights.get_mut(local as usize) {
                found.uses = found.uses.saturating_add(weight);
                found.assigned |= assigned;
            }
        };
        while !operators.eof() {
            match operators.brief()? {
                Brief::LocalGet(local) => count(local, weight, false),
                Brief::LocalSet(local) => count(local, weight, true),
                Brief::Block => blocks.push(None),
                Brief::Loop => {
                    blocks.push(Some(depth));
                    depth += 1;
                    weight = weight_at(depth);
                    loops += 1;
                }
                Brief::End => {
                    if let Some(Some(outside)) = blocks.pop() {
                        depth = outside;
                        weight = weight_at(depth);
                    }
                }
                Brief::Call(_) | Brief::OtherCall => calls = calls.saturating_add(weight),
                Brief::Other => {}
            }
        }
        for (index, weight) in weights.iter().enumerate() {
            self.local_mut(index as u32).assigned = weight.assigned;
        }
        if loops > 0 {
            self.pick(&weights, calls);
        }
        self.buffers.weights = weights;
        Ok(())
    }

    fn pick(&mut self, weights: &[Weight], calls: u64) {
        // A call costs a store and a load of each hot local.
        let worth = calls.saturating_mul(2).saturating_add(LOOP_FACTOR);
        for float in [false, true] {
            for register in [1u8, 2] {
                let best = (weights.iter().enumerate())
                    .filter(|(index, weight)| {
                        let local = self.local(*index as u32);
                        weight.uses > worth && local.hot == 0 && local.ty.is_float() == float
                    })
                    .max_by_key(|(index, weight)| (weight.uses, std::cmp::Reverse(*index)));
                let Some((index, _)) = best else { break };
                self.local_mut(index as u32).hot = register;
                self.hot_locals.push(index as u32);
                self.hot_slots[usize::from(float)][usize::from(register) - 1] = self.local(index as u32).slot;
            }
        }
    }
}

/// What a function does with a local.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weight {
    /// Weighted reads and writes.
    uses: u64,
    /// Whether it is written.
    assigned: bool,
}
