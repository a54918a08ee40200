//! Counts which sequences of micro-operators programs have, to choose the superinstructions.
//!
//! Micro-operators a dispatch, in what sqlite, lua, quickjs, bzip2 and yosys run with the workloads of the corpus:
//!
//! | list | sqlite | lua | quickjs | bzip2 | yosys |
//! |---|---|---|---|---|---|
//! | rules only | 1.03 | 1.02 | 1.02 | 1.04 | 1.03 |
//! | 3,300, 3 long, of four modules by loop level | 1.39 | 1.92 | 1.56 | 2.02 | 1.62 |
//! | 6,000, 5 long, by loop level and counts | 3.35 | 3.36 | 3.07 | 3.86 | 3.17 |
//! | 14,000, 5 long, by loop level and counts | 3.56 | 3.51 | 3.29 | 3.90 | 3.53 |
//!
//! What a list gains for other programs, by lists that yosys had no part in, run by yosys: 12,000 pairs by loop level of nine modules 1.67;
//! 6,000 and 12,000 sequences, 5 long, of eight modules by loop level 1.86 and 1.97, with counts of four of them 1.87 and 1.97. Counts of
//! four alone: 12,000 pairs 1.65, 9,000 sequences of up to 4, 5 and 6 1.84, 1.88 and 1.89. Choosing cells with the fewest dispatches a region
//! instead of the longest handler at each place saves 0.4 % of them at most.
//!
//! More handlers cost hardly any speed: with 14,000 instead of 6,000 sqlite takes 0.93 of the time, the held-out programs 0.92, bzip2 1.03.
//!
//! With 41 modules and the kernels, 18,000: what had counts keeps its numbers nearly (3.44, 3.41, 3.09, 3.88, 3.29), seven modules that no
//! list was chosen by have 1.62 to 2.09 instead of 1.55 to 1.94, by loop level. Of 14,000, 18,000 and 24,000 such the time is the same in programs,
//! but short runs take 1.00, 1.01 and 1.04 of that of the list before, since the tree is larger. Without hot locals, and with offset 0 as any
//! other, there are fewer different keys and more sequences are known (yosys 2.42 instead of 2.00 by lists of other modules), but yosys takes 1.02
//! of the time.

use super::region::{InstId, Region};
use super::{Arena, ModuleEnv, Stop, TranslateError, TranslateOptions, attempt};
use crate::micro::{Key, MAX_FUSED, MicroOp, PackedKey, Root};
use crescendo_module::DefinedFuncIdx;
use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

/// How often parts of regions run: by function, region and micro-operator, as a build with the feature `count-regions` says.
pub type Runs = HashMap<(u32, u32, u32), u64>;

/// The keys of a handler, in order; the rest is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sequence([PackedKey; MAX_FUSED]);

/// The micro-operators of a module's regions with their weights.
///
/// A micro-operator weighs what its region runs, or, where that is not known, four times as much a loop level.
#[derive(Default)]
pub struct Census {
    regions: Vec<Vec<Step>>,
    runs: Option<Runs>,
    func: u32,
}

/// A micro-operator of a region, and those behind it that could be in one handler with it.
struct Step {
    weight: f64,
    /// The keys in a handler that starts here.
    keys: [PackedKey; MAX_FUSED],
    /// Which of them need no place for their result in a handler that goes on.
    for_branch: [bool; MAX_FUSED],
}

/// Loop levels beyond which nothing counts more.
const MAX_DEPTH: u32 = 4;

impl Sequence {
    /// How many micro-operators it has.
    pub fn length(&self) -> usize {
        self.0.iter().take_while(|key| **key != PackedKey::default()).count()
    }

    /// As the list of superinstructions has it.
    pub fn text(&self) -> String {
        let keys = self.0[..self.length()].iter();
        let key = |key: &PackedKey| key.number().and_then(|n| by_number().get(&n)).map(|op| key.with_op(*op));
        keys.filter_map(key).map(|key| key.text()).collect::<Vec<_>>().join(" ")
    }

    /// Reads what [`Sequence::text`] wrote.
    pub fn parse(text: &str) -> Option<Sequence> {
        static BY_NAME: OnceLock<HashMap<String, MicroOp>> = OnceLock::new();
        let by_name = BY_NAME.get_or_init(|| MicroOp::all().into_iter().map(|op| (op.name(), op)).collect());
        let mut sequence = Sequence::default();
        for (at, word) in text.split(' ').enumerate() {
            *sequence.0.get_mut(at)? = Key::parse(word, |name| by_name.get(name).copied())?.pack();
        }
        Some(sequence)
    }
}

fn by_number() -> &'static HashMap<u16, MicroOp> {
    static BY_NUMBER: OnceLock<HashMap<u16, MicroOp>> = OnceLock::new();
    BY_NUMBER.get_or_init(|| MicroOp::all().into_iter().map(|op| (op.number(), op)).collect())
}

impl Step {
    /// The handler of this and the next micro-operators.
    fn sequence(&self, length: usize) -> Sequence {
        let mut keys = [PackedKey::default(); MAX_FUSED];
        for (at, key) in keys.iter_mut().enumerate().take(length) {
            let inside = at + 1 < length;
            *key = if inside && self.for_branch[at] { self.keys[at].without_place() } else { self.keys[at] };
        }
        Sequence(keys)
    }

    fn most(&self) -> usize {
        Sequence(self.keys).length()
    }

    /// How many micro-operators the longest handler up to a length takes in.
    fn longest(&self, length: usize, handlers: &HashSet<Sequence>) -> usize {
        (2..=length).rev().find(|n| handlers.contains(&self.sequence(*n))).unwrap_or(1)
    }
}

impl Census {
    /// A census of a program of which is known what runs how often; all else weighs nothing.
    pub fn of_runs(runs: Runs) -> Census {
        Census { runs: Some(runs), ..Census::default() }
    }

    /// Takes in a function.
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
        self.func = env.info.func_idx(func).as_u32();
        match attempt(env, func, options, Root::Guarded, arena, Some(self)) {
            Ok(_) | Err(Stop::NeedsWide) => Ok(()),
            Err(Stop::Error(error)) => Err(*error),
        }
    }

    pub(crate) fn region(&mut self, region: &Region, number: u32, loop_depth: u32) {
        let count = region.next_inst();
        let runs = |at: InstId| self.runs.as_ref().map(|runs| runs.get(&(self.func, number, at)).copied());
        let mut weight = match runs(0) {
            None => 4f64.powi(loop_depth.min(MAX_DEPTH) as i32),
            Some(n) => n.unwrap_or(0) as f64,
        };
        if weight == 0.0 {
            return;
        }
        let mut steps = Vec::with_capacity(count as usize);
        for start in 0..count {
            if let Some(Some(n)) = runs(start) {
                weight = n as f64;
            }
            let mut keys = [PackedKey::default(); MAX_FUSED];
            let mut for_branch = [false; MAX_FUSED];
            for at in start..count.min(start + MAX_FUSED as u32) {
                let place = (at - start) as usize;
                keys[place] = region.key(at, start);
                for_branch[place] = region.is_for_branch(at);
                // What calls Rust, or is entered or left in a way of its own, stands alone.
                let op = region.insts[at as usize].op;
                if op.shape().ends || matches!(op, MicroOp::Builtin) {
                    break;
                }
            }
            steps.push(Step { weight, keys, for_branch });
        }
        self.regions.push(steps);
    }

    /// The weight of all micro-operators.
    pub fn total(&self) -> f64 {
        self.regions.iter().flatten().map(|step| step.weight).sum()
    }

    /// How often the translator's cells would be dispatched with these handlers.
    pub fn dispatches(&self, handlers: &HashSet<Sequence>) -> f64 {
        let mut dispatches = 0.0;
        for steps in &self.regions {
            let mut start = 0;
            while let Some(step) = steps.get(start) {
                dispatches += step.weight;
                start += step.longest(step.most(), handlers);
            }
        }
        dispatches
    }

    /// What each sequence up to a length would save, a dispatch having the weight of what is dispatched: wherever it is, or, with
    /// handlers, where the translator would use it. A handler of a single micro-operator saves what it is used for.
    pub fn savings(&self, length: usize, handlers: Option<&HashSet<Sequence>>) -> HashMap<Sequence, f64> {
        let mut savings = HashMap::new();
        for steps in &self.regions {
            let mut start = 0;
            while start < steps.len() {
                let step = &steps[start];
                let most = step.most().min(length);
                let lengths = match handlers {
                    None => 1..=most,
                    Some(handlers) => {
                        let used = step.longest(most, handlers);
                        used..=used
                    }
                };
                for n in lengths.clone() {
                    // What lies behind a branch runs as often as it is reached.
                    let saved: f64 = steps[start..start + n].iter().skip(1).map(|step| step.weight).sum();
                    let saved = if n == 1 { step.weight } else { saved };
                    *savings.entry(step.sequence(n)).or_default() += saved;
                }
                start += if handlers.is_some() { *lengths.end() } else { 1 };
            }
        }
        savings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_round_trip() {
        for text in [
            "i32.add(s,i)>s,r0 i32.lt_s(@0,r1) br_if(@1)",
            "i64.load(r2)>r1",
            "f64.mul(r0,s)>r0 f64.add(@0,i)>s",
        ] {
            let sequence = Sequence::parse(text).expect("a sequence");
            assert_eq!(sequence.text(), text);
            assert_eq!(sequence.length(), text.split(' ').count());
        }
        assert_eq!(Sequence::parse("i32.add(s"), None);
        assert_eq!(Sequence::parse(&["br()"; MAX_FUSED + 1].join(" ")), None, "too long for a handler");
    }

    #[test]
    fn a_result_for_a_branch_has_no_place_inside_a_handler() {
        let parse = |text| Sequence::parse(text).expect("a sequence").0;
        let step = Step {
            weight: 1.0,
            keys: parse("i32.eq(s,s)>r0 br_if(@0) br()"),
            for_branch: [true, false, false, false, false],
        };
        assert_eq!(step.sequence(1).text(), "i32.eq(s,s)>r0");
        assert_eq!(step.sequence(2).text(), "i32.eq(s,s) br_if(@0)");
    }
}
