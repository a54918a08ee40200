//! Which handlers of single micro-operators there are by rule: the forms of each.

use crate::micro::{Access, Form, Key, MicroOp, Root};
use crescendo_semantics::{Kind, Op, Ty};
use std::collections::HashSet;

/// A sequence of micro-operators under a root.
pub type Sequence = (Root, Vec<Key>);

/// What translation relies on, and the register forms of single micro-operators. Without each of these the build fails.
pub fn needed() -> Vec<Sequence> {
    let mut sequences = base();
    let known: HashSet<Sequence> = sequences.iter().cloned().collect();
    let mut registers = register_forms();
    registers.extend(vector_forms());
    registers.sort();
    registers.dedup();
    registers.retain(|sequence| !known.contains(sequence));
    sequences.extend(registers);
    sequences
}

/// The handlers that every root has: each micro-operator with its sources in slots, and in narrow roots also in the cell.
fn base() -> Vec<Sequence> {
    let mut sequences = Vec::new();
    for root in Root::ALL {
        for op in MicroOp::all() {
            if root.has(op) {
                base_forms(root, op, &mut sequences);
            }
        }
    }
    sequences
}

fn base_forms(root: Root, op: MicroOp, sequences: &mut Vec<Sequence>) {
    let types = op.shape().sources;
    let choices = types.map(|ty| match ty {
        None => vec![Form::None],
        // No cell holds a vector as an operand of another micro-operator.
        Some(Ty::V128) => vec![Form::Slot],
        Some(_) if root.wide() && !matches!(op, MicroOp::Copy(_)) => vec![Form::Slot],
        // Every form of each would be as many handlers as all others, for operators that take tens of cycles.
        Some(_) if matches!(op, MicroOp::Atomic(..)) => vec![Form::Slot],
        Some(Ty::I64) => vec![Form::Slot, Form::Imm, Form::Imm32],
        Some(_) => vec![Form::Slot, Form::Imm],
    });
    let plain = Key::all_slots(op);
    for a in &choices[0] {
        for b in &choices[1] {
            for c in &choices[2] {
                sequences.push((root, vec![Key { sources: [*a, *b, *c], ..plain }]));
            }
        }
    }
    // Copies between slots and registers, through which everything without a handler of its own goes.
    if let (MicroOp::Copy(ty), Root::Guarded | Root::Checked) = (op, root) {
        let forms: &[Form] = match ty {
            Ty::I64 => &[Form::Slot, Form::Imm, Form::Imm32],
            Ty::V128 => &[Form::Slot],
            _ => &[Form::Slot, Form::Imm],
        };
        for register in 0..3 {
            let to = |source| Key {
                op,
                sources: [source, Form::None, Form::None],
                to_slot: false,
                to_reg: Some(register),
            };
            sequences.extend(forms.iter().map(|form| (root, vec![to(*form)])));
            let spill = Key { to_slot: true, to_reg: None, ..to(Form::Reg(register)) };
            sequences.push((root, vec![spill]));
        }
    }
}

/// Register forms of the guarded root, whatever the list of superinstructions has: a form without a handler costs two to five
/// dispatches instead of one, which made programs unlike those of the list slower than without registers (mandelbrot 0.47,
/// collatz 0.67 of wasmi 2.0).
///
/// Sources may be slots, registers or constants, results may go to a slot or a register; a comparison comes with a branch on
/// it, too.
fn register_forms() -> Vec<Sequence> {
    let mut sequences = Vec::new();
    for op in MicroOp::all() {
        let (kind, sources) = match op {
            MicroOp::Value(row) => (row.row().kind, op.shape().sources),
            MicroOp::Load(row, Access::Zero | Access::Offset) => (row.row().kind, op.shape().sources),
            MicroOp::Store(row, Access::Zero | Access::Offset) => (row.row().kind, op.shape().sources),
            MicroOp::Copy(_)
            | MicroOp::GlobalGet(..)
            | MicroOp::GlobalSet(..)
            | MicroOp::ExtractLane(..)
            | MicroOp::ReplaceLane(..)
            | MicroOp::Shuffle
            | MicroOp::ShuffleOne
            | MicroOp::V128Const => (Kind::Value, op.shape().sources),
            MicroOp::BrIf | MicroOp::BrUnless | MicroOp::BrTable => (Kind::Control, op.shape().sources),
            MicroOp::Return(Some(_)) | MicroOp::Call(_) => (Kind::Control, op.shape().sources),
            _ => continue,
        };
        for first in source_forms(sources[0]) {
            // A 64-bit constant does not always fit 32 bits; canonical operators have it second.
            let long = (sources[1] == Some(Ty::I64)).then_some(Form::Imm);
            for second in source_forms(sources[1]).into_iter().chain(long) {
                // A register does not hold a vector and a float at once.
                let same = matches!(first, Form::Reg(_)) && first == second;
                if same && sources[0] == Some(Ty::V128) && matches!(sources[1], Some(Ty::F32 | Ty::F64))
                    || op.orders_by_form() && second < first
                {
                    continue;
                }
                for third in source_forms(sources[2]) {
                    let plain = Key { sources: [first, second, third], ..Key::all_slots(op) };
                    with_results(plain, kind, &mut sequences);
                }
            }
        }
    }
    sequences
}

/// The forms that a source of this type may have.
fn source_forms(ty: Option<Ty>) -> Vec<Form> {
    let constant = if ty == Some(Ty::I64) { Form::Imm32 } else { Form::Imm };
    match ty {
        None => vec![Form::None],
        // Those with locals in registers come from the list: there are too many operators.
        Some(Ty::V128) => vec![Form::Slot, Form::Reg(0)],
        Some(_) => vec![Form::Slot, Form::Reg(0), Form::Reg(1), Form::Reg(2), constant],
    }
}

/// Adds the key with each place that its result may go to.
fn with_results(plain: Key, kind: Kind, sequences: &mut Vec<Sequence>) {
    let constants = plain.sources.iter().filter(|form| matches!(form, Form::Imm | Form::Imm32)).count();
    let operands = plain.sources.iter().filter(|form| **form != Form::None).count();
    if constants == operands && operands > 1 {
        return;
    }
    let mut add = |keys: Vec<Key>| sequences.push((Root::Guarded, keys));
    let to_reg = |register| Key { to_slot: false, to_reg: Some(register), ..plain };
    if plain.op.shape().result.is_none() {
        return add(vec![plain]);
    }
    add(vec![plain]);
    add(vec![to_reg(0)]);
    if kind == Kind::Compare {
        for op in [MicroOp::BrIf, MicroOp::BrUnless] {
            // An integer comparison is turned round instead; `eqz` and `is_null` are, too, or have no opposite.
            let has_opposite = operands == 2 && !plain.op.shape().sources[0].is_some_and(Ty::is_float);
            if op == MicroOp::BrIf || !has_opposite {
                let sources = [Form::Inner(0), Form::None, Form::None];
                let test = Key { to_slot: false, ..plain };
                add(vec![test, Key { op, sources, to_slot: false, to_reg: None }]);
            }
        }
        return;
    }
    if plain.op.shape().result != Some(Ty::V128) {
        add(vec![to_reg(1)]);
        add(vec![to_reg(2)]);
    }
    let hot = plain.sources.iter().any(|form| matches!(form, Form::Reg(1 | 2)));
    if !hot {
        add(vec![Key { to_slot: true, to_reg: Some(0), ..plain }]);
    }
}

/// Register forms of vector operators whose operands or results are locals in registers. All operators with one vector have
/// them, of those with two the everyday ones: all would be another 8,000 handlers. The list has those that programs use beyond.
fn vector_forms() -> Vec<Sequence> {
    const EVERYDAY: &[Op] = &[
        Op::V128And,
        Op::V128AndNot,
        Op::V128Or,
        Op::V128Xor,
        Op::I8x16Add,
        Op::I8x16Sub,
        Op::I16x8Add,
        Op::I16x8Sub,
        Op::I16x8Mul,
        Op::I32x4Add,
        Op::I32x4Sub,
        Op::I32x4Mul,
        Op::I64x2Add,
        Op::I64x2Sub,
        Op::I64x2Mul,
        Op::F32x4Add,
        Op::F32x4Sub,
        Op::F32x4Mul,
        Op::F32x4Div,
        Op::F64x2Add,
        Op::F64x2Sub,
        Op::F64x2Mul,
        Op::F64x2Div,
    ];
    const VECTORS: [Form; 4] = [Form::Slot, Form::Reg(0), Form::Reg(1), Form::Reg(2)];
    let mut sequences = Vec::new();
    for op in MicroOp::all() {
        let shape = op.shape();
        let Some(result) = shape.result else { continue };
        let vectors = shape.sources.iter().filter(|source| **source == Some(Ty::V128)).count();
        let has_forms = match op {
            MicroOp::Value(op) => vectors < 2 || EVERYDAY.contains(&op),
            MicroOp::Load(_, Access::Zero | Access::Offset)
            | MicroOp::Copy(_)
            | MicroOp::ShuffleOne
            | MicroOp::V128Const => true,
            MicroOp::ExtractLane(op, _) => op.row().result != Some(Ty::I32) || op == Op::I32x4ExtractLane,
            _ => false,
        };
        if !has_forms || (vectors == 0 && result != Ty::V128) {
            continue;
        }
        let forms = |ty: Option<Ty>| match ty {
            Some(Ty::V128) => VECTORS.to_vec(),
            // A number of bits to shift by, a scalar to repeat, an address.
            Some(ty) if vectors > 0 && !ty.is_float() => vec![Form::Slot, Form::Reg(0), Form::Imm],
            ty => source_forms(ty),
        };
        for first in forms(shape.sources[0]) {
            for second in forms(shape.sources[1]) {
                if op.orders_by_form() && second < first {
                    continue;
                }
                let sources = [first, second, Form::None];
                let to = |to_slot, to_reg| Key { op, sources, to_slot, to_reg };
                let places = [to(true, None), to(false, Some(0)), to(false, Some(1)), to(false, Some(2))];
                sequences.extend(places.into_iter().map(|key| (Root::Guarded, vec![key])));
            }
        }
    }
    sequences
}
