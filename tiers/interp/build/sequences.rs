//! Which sequences of micro-operators have a handler by rule, whatever the lists have: those that every program is full of, in
//! all their forms. Formulas differ from program to program.

use crate::forms::Sequence;
use crate::micro::{Access, Form, Key, MicroOp, Root};
use crescendo_semantics::{Kind, Op};

const SLOT: Form = Form::Slot;
const R0: Form = Form::Reg(0);
const R1: Form = Form::Reg(1);
const R2: Form = Form::Reg(2);

/// All of them.
pub fn sequences() -> Vec<Sequence> {
    let mut sequences = float_chains();
    sequences.extend(loop_steps());
    sequences.extend(loads_at_sums());
    sequences.extend(multiply_adds());
    sequences.extend(dot_products());
    sequences.extend(dot_products_of_two_loads());
    sequences.extend(rotations());
    sequences
}

/// Two steps of `f64` arithmetic of which the second uses the first one's result: single steps made mandelbrot slower than
/// wasmi 2.0 (0.93 of its speed).
fn float_chains() -> Vec<Sequence> {
    let settled = [SLOT, R1, R2];
    let first_sources = |op| {
        let mut pairs: Vec<(Form, Form)> =
            settled.iter().flat_map(|a| settled.iter().map(|b| (*a, *b))).collect();
        pairs.extend(settled.iter().flat_map(|a| [(R0, *a), (*a, R0)]));
        if op == Op::F64Mul {
            pairs.extend(settled.iter().flat_map(|a| [(Form::Imm, *a), (*a, Form::Imm)]));
        }
        pairs
    };
    let inner = Form::Inner(0);
    let second_sources =
        || settled.iter().flat_map(|a| [(inner, *a), (*a, inner)]).chain([(inner, Form::Imm)]);
    let operators = [Op::F64Add, Op::F64Sub, Op::F64Mul];
    let step = |op, (a, b): (Form, Form), to| key(MicroOp::Value(op), [a, b, Form::None], to);
    let mut sequences = Vec::new();
    for first in operators {
        for sources in first_sources(first) {
            for second in operators {
                for others in second_sources() {
                    for to in PLACES {
                        let keys = vec![step(first, sources, Some(0)), step(second, others, to)];
                        sequences.push((Root::Guarded, keys));
                    }
                }
            }
        }
    }
    sequences
}

/// The ends of counting loops: a step of a local, a comparison with it, a branch.
fn loop_steps() -> Vec<Sequence> {
    const I32: [Op; 6] = [Op::I32Ne, Op::I32Eq, Op::I32LtS, Op::I32LtU, Op::I32GtS, Op::I32GtU];
    const I64: [Op; 6] = [Op::I64Ne, Op::I64Eq, Op::I64LtS, Op::I64LtU, Op::I64GtS, Op::I64GtU];
    let mut sequences = Vec::new();
    for (steps, compares, constant) in
        [([Op::I32Add, Op::I32Sub], I32, Form::Imm), ([Op::I64Add, Op::I64Sub], I64, Form::Imm32)]
    {
        for step in steps {
            // Where the local is: in a slot and, for the comparison, in the accumulator; or in a register.
            for (local, to_slot, register) in
                [(Form::Slot, true, 0), (Form::Reg(1), false, 1), (Form::Reg(2), false, 2)]
            {
                let add = Key {
                    op: MicroOp::Value(step),
                    sources: [local, constant, Form::None],
                    to_slot,
                    to_reg: Some(register),
                };
                for compare in compares {
                    for other in [Form::Slot, Form::Reg(1), Form::Reg(2), constant] {
                        let test = Key {
                            op: MicroOp::Value(compare),
                            sources: [Form::Inner(0), other, Form::None],
                            to_slot: false,
                            to_reg: None,
                        };
                        let branch = Key {
                            op: MicroOp::BrIf,
                            sources: [Form::Inner(1), Form::None, Form::None],
                            to_slot: false,
                            to_reg: None,
                        };
                        sequences.push((Root::Guarded, vec![add, test, branch]));
                    }
                }
            }
        }
    }
    sequences
}

/// Where a result may go: a slot or a register.
const PLACES: [Option<u8>; 4] = [None, Some(0), Some(1), Some(2)];

fn key(op: MicroOp, sources: [Form; 3], to: Option<u8>) -> Key {
    Key { op, sources, to_slot: to.is_none(), to_reg: to }
}

/// Loads from the sum of an address and a constant that the producer could not put into the access: the sum may wrap.
fn loads_at_sums() -> Vec<Sequence> {
    let mut sequences = Vec::new();
    for op in Op::ALL.iter().filter(|op| matches!(op.row().kind, Kind::Load { .. })) {
        for (address, to) in pairs([SLOT, R0, R1, R2], PLACES) {
            let sum = key(MicroOp::Value(Op::I32Add), [address, Form::Imm, Form::None], Some(0));
            let from_sum = [Form::Inner(0), Form::None, Form::None];
            let load = key(MicroOp::Load(*op, Access::Zero), from_sum, to);
            sequences.push((Root::Guarded, vec![sum, load]));
        }
    }
    sequences
}

/// Multiplication and addition of the same lanes.
const MULTIPLY_ADD: [(Op, Op); 2] = [(Op::F32x4Mul, Op::F32x4Add), (Op::F64x2Mul, Op::F64x2Add)];

/// A product of vectors and its sum with another.
fn multiply_adds() -> Vec<Sequence> {
    let mut sequences = Vec::new();
    for (multiply, add) in MULTIPLY_ADD {
        for (first, second) in pairs([SLOT, R0, R1, R2], [SLOT, R0, R1, R2]) {
            let product = key(MicroOp::Value(multiply), [first, second, Form::None], Some(0));
            for (other, to) in pairs([SLOT, R1, R2], PLACES) {
                for sides in [[other, Form::Inner(0)], [Form::Inner(0), other]] {
                    let sum = key(MicroOp::Value(add), [sides[0], sides[1], Form::None], to);
                    sequences.push((Root::Guarded, vec![product, sum]));
                }
            }
        }
    }
    sequences
}

/// A vector's load.
fn load(access: Access, from: Form, to: Option<u8>) -> Key {
    key(MicroOp::Load(Op::V128Load, access), [from, Form::None, Form::None], to)
}

/// The step of a dot product: a load, perhaps from a sum, times a vector, added to another.
fn dot_products() -> Vec<Sequence> {
    let mut sequences = Vec::new();
    for address in [SLOT, R0, R1, R2] {
        let sum = key(MicroOp::Value(Op::I32Add), [address, Form::Imm, Form::None], Some(0));
        for loaded in [
            vec![load(Access::Zero, address, Some(0))],
            vec![load(Access::Offset, address, Some(0))],
            vec![sum, load(Access::Zero, Form::Inner(0), Some(0))],
        ] {
            let at = loaded.len() as u8;
            for (multiply, add) in MULTIPLY_ADD {
                for (factor, (other, to)) in pairs([SLOT, R1, R2], pairs([SLOT, R1, R2], PLACES)) {
                    let mut keys = loaded.clone();
                    let vector = [factor, Form::Inner(at - 1), Form::None];
                    keys.push(key(MicroOp::Value(multiply), vector, Some(0)));
                    keys.push(key(MicroOp::Value(add), [other, Form::Inner(at), Form::None], to));
                    sequences.push((Root::Guarded, keys));
                }
            }
        }
    }
    sequences
}

/// The step of a dot product as a whole: two loads, their product, and its sum with a vector that is updated.
fn dot_products_of_two_loads() -> Vec<Sequence> {
    const SUMS: [(Form, Option<u8>); 5] =
        [(SLOT, None), (R1, Some(1)), (R2, Some(2)), (SLOT, Some(1)), (R1, None)];
    let places = pairs([SLOT, R1, R2], [Access::Zero, Access::Offset]);
    let mut sequences = Vec::new();
    for (multiply, add) in MULTIPLY_ADD {
        let product = key(MicroOp::Value(multiply), [Form::Inner(0), Form::Inner(1), Form::None], Some(0));
        for ((first, second), (other, to)) in pairs(pairs(places.clone(), places.clone()), SUMS) {
            let loads = [load(first.1, first.0, None), load(second.1, second.0, Some(0))];
            let sum = key(MicroOp::Value(add), [other, Form::Inner(2), Form::None], to);
            sequences.push((Root::Guarded, vec![loads[0], loads[1], product, sum]));
        }
    }
    sequences
}

/// Each of the first with each of the others.
fn pairs<A: Copy, B: Copy>(
    first: impl IntoIterator<Item = A>,
    second: impl IntoIterator<Item = B>,
) -> Vec<(A, B)> {
    let second: Vec<B> = second.into_iter().collect();
    first.into_iter().flat_map(|a| second.iter().map(move |b| (a, *b)).collect::<Vec<_>>()).collect()
}

/// Lanes turned round by two shifts: of one the result is in a slot, of the other in the accumulator.
fn rotations() -> Vec<Sequence> {
    let mut sequences = Vec::new();
    for (left, right) in
        [(Op::I16x8Shl, Op::I16x8ShrU), (Op::I32x4Shl, Op::I32x4ShrU), (Op::I64x2Shl, Op::I64x2ShrU)]
    {
        for [first, second] in [[left, right], [right, left]] {
            for (vector, to) in pairs([SLOT, R0, R1, R2], PLACES) {
                let shift = |op, to| key(MicroOp::Value(op), [vector, Form::Imm, Form::None], to);
                let both = [Form::Inner(0), Form::Inner(1), Form::None];
                let or = key(MicroOp::Value(Op::V128Or), both, to);
                sequences.push((Root::Guarded, vec![shift(first, None), shift(second, Some(0)), or]));
            }
        }
    }
    sequences
}
