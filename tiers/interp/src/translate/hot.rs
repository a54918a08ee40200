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
use wasmparser::{FrameKind, FrameStack, VisitOperator, VisitSimdOperator};

/// How much more a loop level counts; deeper levels than six count as six.
const LOOP_FACTOR: u64 = 8;
const MAX_DEPTH: u32 = 6;

/// The first byte of the operator `loop`.
const LOOP: u8 = 0x03;

impl Function<'_, '_> {
    pub(crate) fn choose_hot_locals(&mut self) -> Step {
        let mut reader = self.body.get_binary_reader_for_operators()?;
        let operators = reader.original_position() as usize..self.body.range().end as usize;
        // Most functions have no loop, and many of them no such byte anywhere.
        if !self.env.bytes.get(operators).unwrap_or_default().contains(&LOOP) {
            return Ok(());
        }
        let mut weights = std::mem::take(&mut self.buffers.weights);
        weights.clear();
        weights.resize(self.local_count() as usize, Weight::default());
        let blocks = bumpalo::vec![in self.bump; FrameKind::Block];
        let mut census = LocalCensus { weights, blocks, depth: 0, loops: 0, calls: 0, weight: 1 };
        while !reader.eof() {
            reader.visit_operator(&mut census)?;
        }
        let LocalCensus { weights, loops, calls, .. } = census;
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

/// Reads the operators of a valid function for what counts here; the others are decoded and no more.
struct LocalCensus<'b> {
    weights: Vec<Weight>,
    /// The open blocks, the function's first.
    blocks: bumpalo::collections::Vec<'b, FrameKind>,
    depth: u32,
    loops: u32,
    /// Weighted calls.
    calls: u64,
    /// What an operator counts here.
    weight: u64,
}

impl LocalCensus<'_> {
    fn set_depth(&mut self, depth: u32) {
        self.depth = depth;
        self.weight = LOOP_FACTOR.pow(depth.min(MAX_DEPTH));
    }

    fn open_loop(&mut self) {
        self.blocks.push(FrameKind::Loop);
        self.loops += 1;
        self.set_depth(self.depth + 1);
    }

    fn close(&mut self) {
        if self.blocks.pop() == Some(FrameKind::Loop) {
            self.set_depth(self.depth - 1);
        }
    }

    /// What comes is another part of the innermost block.
    fn go_on_as(&mut self, kind: FrameKind) {
        if let Some(innermost) = self.blocks.last_mut() {
            *innermost = kind;
        }
    }

    fn count_use(&mut self, local: u32, assigned: bool) {
        if let Some(weight) = self.weights.get_mut(local as usize) {
            weight.uses = weight.uses.saturating_add(self.weight);
            weight.assigned |= assigned;
        }
    }

    fn count_call(&mut self) {
        self.calls = self.calls.saturating_add(self.weight);
    }
}

/// The methods of a visitor that does something for a few operators only.
macro_rules! visit {
    ($(@$proposal:ident $op:ident $({ $($arg:ident: $argty:ty),* })? => $visit:ident ($($ann:tt)*))*) => {
        $(visit!(@one $op $visit $({ $($arg: $argty),* })?);)*
    };
    (@one Loop $visit:ident { $blockty:ident: $ty:ty }) => {
        fn $visit(&mut self, _: $ty) {
            self.open_loop();
        }
    };
    (@one Block $visit:ident { $blockty:ident: $ty:ty }) => { visit!(@block Block $visit $ty); };
    (@one If $visit:ident { $blockty:ident: $ty:ty }) => { visit!(@block If $visit $ty); };
    (@one Try $visit:ident { $blockty:ident: $ty:ty }) => { visit!(@block LegacyTry $visit $ty); };
    (@one TryTable $visit:ident { $table:ident: $ty:ty }) => { visit!(@block TryTable $visit $ty); };
    (@block $kind:ident $visit:ident $ty:ty) => {
        fn $visit(&mut self, _: $ty) {
            self.blocks.push(FrameKind::$kind);
        }
    };
    (@one Else $visit:ident) => {
        fn $visit(&mut self) {
            self.go_on_as(FrameKind::Else);
        }
    };
    (@one Catch $visit:ident { $tag:ident: $ty:ty }) => {
        fn $visit(&mut self, _: $ty) {
            self.go_on_as(FrameKind::LegacyCatch);
        }
    };
    (@one CatchAll $visit:ident) => {
        fn $visit(&mut self) {
            self.go_on_as(FrameKind::LegacyCatchAll);
        }
    };
    (@one Delegate $visit:ident { $depth:ident: $ty:ty }) => {
        fn $visit(&mut self, _: $ty) {
            self.close();
        }
    };
    (@one End $visit:ident) => {
        fn $visit(&mut self) {
            self.close();
        }
    };
    (@one LocalGet $visit:ident { $local:ident: $ty:ty }) => {
        fn $visit(&mut self, local: $ty) {
            self.count_use(local, false);
        }
    };
    (@one LocalSet $visit:ident { $local:ident: $ty:ty }) => { visit!(@assign $visit $ty); };
    (@one LocalTee $visit:ident { $local:ident: $ty:ty }) => { visit!(@assign $visit $ty); };
    (@assign $visit:ident $ty:ty) => {
        fn $visit(&mut self, local: $ty) {
            self.count_use(local, true);
        }
    };
    (@one Call $visit:ident { $func:ident: $ty:ty }) => { visit!(@call $visit $ty); };
    (@one CallRef $visit:ident { $func:ident: $ty:ty }) => { visit!(@call $visit $ty); };
    (@one CallIndirect $visit:ident { $func:ident: $ty:ty, $table:ident: $tablety:ty }) => {
        visit!(@call $visit $ty, $tablety);
    };
    (@call $visit:ident $($ty:ty),*) => {
        fn $visit(&mut self, $(_: $ty),*) {
            self.count_call();
        }
    };
    (@one $op:ident $visit:ident $({ $($arg:ident: $argty:ty),* })?) => {
        fn $visit(&mut self $(, $(_: $argty),*)?) {}
    };
}

impl FrameStack for LocalCensus<'_> {
    fn current_frame(&self) -> Option<FrameKind> {
        self.blocks.last().copied()
    }
}

impl<'a> VisitOperator<'a> for LocalCensus<'_> {
    type Output = ();

    fn simd_visitor(&mut self) -> Option<&mut dyn VisitSimdOperator<'a, Output = ()>> {
        Some(self)
    }

    wasmparser::for_each_visit_operator!(visit);
}

impl<'a> VisitSimdOperator<'a> for LocalCensus<'_> {
    wasmparser::for_each_visit_simd_operator!(visit);
}
