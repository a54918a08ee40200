//! Counts which sequences of micro-operators programs have, to choose the superinstructions.

use super::region::Region;
use super::{Arena, ModuleEnv, Stop, TranslateError, TranslateOptions, attempt};
use crate::micro::{Key, MAX_FUSED, MicroOp, PackedKey, Root};
use crescendo_module::DefinedFuncIdx;
use std::collections::{HashMap, HashSet};

/// Weighted counts of sequences of micro-operators. A sequence weighs four times as much a loop level.
///
/// A census first counts every sequence that a handler could run; with a set of handlers it counts those that the translator
/// would then use.
#[derive(Default)]
pub struct Census {
    counts: HashMap<Vec<PackedKey>, f64>,
    keys: HashMap<PackedKey, Key>,
    handlers: Option<HashSet<Vec<PackedKey>>>,
}

/// Loop levels beyond which nothing counts more.
const MAX_DEPTH: u32 = 4;

impl Census {
    /// A census of the sequences that the translator would use if these handlers, in the text of their keys, and one for
    /// each single micro-operator existed.
    pub fn with_handlers<'a>(&self, handlers: impl Iterator<Item = &'a [String]>) -> Census {
        let by_text: HashMap<String, PackedKey> =
            self.keys.iter().map(|(packed, key)| (key.text(), *packed)).collect();
        let packed = handlers.filter_map(|keys| keys.iter().map(|key| by_text.get(key).copied()).collect());
        Census { handlers: Some(packed.collect()), ..Census::default() }
    }

    /// Counts the sequences of a function.
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
        let mut start = 0;
        let mut sequence = Vec::with_capacity(MAX_FUSED);
        while start < count {
            sequence.clear();
            let mut longest = 1;
            for at in start..count.min(start + MAX_FUSED as u32) {
                let packed = region.key(at, start);
                let key = packed.with_op(region.insts[at as usize].op);
                self.keys.insert(packed, key);
                sequence.push(packed);
                match &self.handlers {
                    None => *self.counts.entry(sequence.clone()).or_default() += weight,
                    Some(handlers) if handlers.contains(&sequence) => longest = sequence.len(),
                    Some(_) => {}
                }
                // What calls Rust, or is entered or left in a way of its own, stands alone.
                if key.op.shape().ends || matches!(key.op, MicroOp::Builtin) {
                    break;
                }
            }
            if self.handlers.is_some() {
                sequence.truncate(longest);
                *self.counts.entry(sequence.clone()).or_default() += weight;
                start += longest as u32;
            } else {
                start += 1;
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
