//! Counts which sequences of micro-operators programs have, to choose the superinstructions.

use super::region::Region;
use super::{Arena, ModuleEnv, Stop, TranslateError, TranslateOptions, attempt};
use crate::micro::{Key, MAX_FUSED, Root};
use crescendo_module::DefinedFuncIdx;
use std::collections::HashMap;

/// Weighted counts of sequences, by the text of their keys. A sequence weighs four times as much a loop level.
#[derive(Default)]
pub struct Census {
    counts: HashMap<Vec<u32>, f64>,
    keys: HashMap<u32, Key>,
}

/// Loop levels beyond which nothing counts more.
const MAX_DEPTH: u32 = 4;

impl Census {
    /// Counts the sequences of a function as the translator would form them if every handler existed.
    ///
    /// # Errors
    /// Those of [`super::translate`].
    pub fn function(
        &mut self,
        env: &ModuleEnv<'_>,
        func: DefinedFuncIdx,
        options: &TranslateOptions,
        arena: &mut Arena,
    ) -> Result<(), TranslateError> {
        match attempt(env, func, options, Root::Guarded, arena, Some(self)) {
            Ok(_) | Err(Stop::NeedsWide) => Ok(()),
            Err(Stop::Error(error)) => Err(error),
        }
    }

    pub(crate) fn region(&mut self, region: &Region, root: Root, loop_depth: u32) {
        if root != Root::Guarded {
            return;
        }
        let weight = 4f64.powi(loop_depth.min(MAX_DEPTH) as i32);
        let count = region.next_inst();
        let mut sequence = Vec::with_capacity(MAX_FUSED);
        for start in 0..count {
            sequence.clear();
            for at in start..count.min(start + MAX_FUSED as u32) {
                let key = region.key(at, start);
                let packed = key.pack();
                self.keys.insert(packed, key);
                sequence.push(packed);
                *self.counts.entry(sequence.clone()).or_default() += weight;
                if key.op.shape().ends {
                    break;
                }
            }
        }
    }

    /// The sequences and their weights, in no order.
    pub fn sequences(&self) -> impl Iterator<Item = (Vec<String>, f64)> + '_ {
        self.counts.iter().map(|(sequence, weight)| {
            (sequence.iter().filter_map(|packed| self.keys.get(packed)).map(Key::text).collect(), *weight)
        })
    }
}
