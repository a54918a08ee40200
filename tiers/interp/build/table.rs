//! The table of handlers: which there are, their text, the tree that finds them, their trap rows.

use crate::generate::{Compiled, Generator};
use crate::micro::{Access, Form, Key, MicroOp, Root};
use crate::{a64, x64};
use cranelift_codegen::isa::OwnedTargetIsa;
use cranelift_codegen::settings::{self, Configurable};
use crescendo_semantics::{Kind, Op, Ty};
use std::collections::{HashMap, HashSet};

/// An instruction set that handlers are generated for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    X64,
    A64,
}

impl Isa {
    /// Cranelift's code generator with the engine's CPU baseline.
    fn build(self) -> OwnedTargetIsa {
        let mut flags = settings::builder();
        for (name, value) in [
            ("opt_level", "speed"),
            ("enable_pinned_reg", "true"),
            // On x86-64 a tail call needs the frame; on aarch64 it would only get in the way.
            ("preserve_frame_pointers", if self == Isa::X64 { "true" } else { "false" }),
            ("is_pic", "true"),
            ("unwind_info", "false"),
            ("enable_probestack", "false"),
            ("enable_heap_access_spectre_mitigation", "false"),
            ("enable_table_access_spectre_mitigation", "false"),
            ("machine_code_cfg_info", "false"),
            ("enable_verifier", "false"),
        ] {
            flags.set(name, value).unwrap_or_else(|e| panic!("{name}: {e}"));
        }
        let triple = match self {
            Isa::X64 => "x86_64-unknown-linux-gnu",
            Isa::A64 => "aarch64-unknown-linux-gnu",
        };
        let mut isa =
            cranelift_codegen::isa::lookup_by_name(triple).unwrap_or_else(|e| panic!("{triple}: {e}"));
        if self == Isa::X64 {
            isa.enable("x86-64-v2").unwrap_or_else(|e| panic!("x86-64-v2: {e}"));
        }
        isa.finish(settings::Flags::new(flags)).unwrap_or_else(|e| panic!("{triple}: {e}"))
    }

    /// Removes a handler's frame if it has one that it does not need, and proves the handler. Gives its entry.
    fn check(self, handler: &mut Compiled) -> Result<usize, String> {
        let traps: Vec<(u32, u8)> = handler.traps.iter().map(|(at, code, _)| (*at, *code as u8)).collect();
        match self {
            Isa::X64 => {
                let (entry, frameless) = match x64::strip(&mut handler.code) {
                    Ok(stripped) => (stripped.entry, true),
                    Err(x64::WhyNot::Calls { .. } | x64::WhyNot::Spills { .. }) if handler.framed => {
                        (0, false)
                    }
                    Err(why) => return Err(why.to_string()),
                };
                x64::prove(&handler.code, entry, frameless, &traps).map_err(|e| e.to_string())?;
                Ok(entry)
            }
            Isa::A64 => {
                a64::prove(&handler.code, 0, !handler.framed, &traps).map_err(|e| e.to_string())?;
                Ok(0)
            }
        }
    }
}

/// Alignment of handlers, which is that of their constants.
const ALIGNMENT: usize = 16;

/// A sequence of micro-operators under a root.
type Sequence = (Root, Vec<Key>);

/// What makes two handlers one: what they do, the code, and offset, trap code and micro-operator of each trap. Handlers that
/// do different things with the same code stay two, for the sake of listings.
type Identity = (Vec<Key>, Vec<u8>, Vec<(u32, u8, u8)>);

/// Everything that the crate links.
pub struct Table {
    pub text: Vec<u8>,
    /// Offset in the text, trap code, micro-operator; by offset.
    pub rows: Vec<(u32, u8, u8)>,
    /// Open-addressing table of edges: node, packed key, target, place of the target's handler plus one.
    pub edges: Vec<[u32; 4]>,
    /// Different handlers.
    pub handlers: usize,
}

impl Table {
    /// Generates every handler.
    ///
    /// # Panics
    /// When a handler cannot be compiled or proved: the build must not go on.
    pub fn build(isa: Isa, superinstructions: &str) -> Table {
        let mut sequences = base();
        sequences.extend(register_forms());
        let needed = sequences.len();
        sequences.extend(float_chains());
        sequences.extend(loop_steps());
        let known: HashSet<Sequence> = sequences.iter().cloned().collect();
        sequences.extend(parse(superinstructions).into_iter().filter(|sequence| !known.contains(sequence)));
        let (sequences, compiled) = compile(isa, sequences, needed);
        let mut text = Vec::new();
        let mut rows = Vec::new();
        let mut places = Vec::new();
        let mut seen: HashMap<Identity, u32> = HashMap::new();
        for ((handler, entry), (_, keys)) in compiled.into_iter().zip(&sequences) {
            let traps: Vec<(u32, u8, u8)> = (handler.traps.iter())
                .map(|(at, code, micro_op)| (*at - entry as u32, *code as u8, *micro_op))
                .collect();
            // The same code for two sequences, such as one without slots under two roots, is kept once.
            let identity = (keys.clone(), handler.code[entry..].to_vec(), traps);
            let place = *seen.entry(identity).or_insert_with_key(|(_, code, traps)| {
                // The offset modulo the alignment stays what Cranelift laid constants out for.
                let shift = entry % ALIGNMENT;
                let start = (text.len() + ALIGNMENT - shift).next_multiple_of(ALIGNMENT) + shift - ALIGNMENT;
                text.resize(start, 0xcc);
                text.extend_from_slice(code);
                rows.extend(traps.iter().map(|(at, code, micro_op)| (start as u32 + at, *code, *micro_op)));
                start as u32
            });
            places.push(place);
        }
        rows.sort_unstable();
        let edges = tree(&sequences, &places);
        Table { text, rows, edges, handlers: seen.len() }
    }
}

/// Compiles the sequences, on two threads, in order.
///
/// The first `needed` must all be sound. A superinstruction that Cranelift gives a frame or for which it moves ip away before
/// a trap is left out: the translator then uses its parts. More than one in fifty is a fault of the list or of this script.
fn compile(isa: Isa, sequences: Vec<Sequence>, needed: usize) -> (Vec<Sequence>, Vec<(Compiled, usize)>) {
    let chunk = sequences.len().div_ceil(THREADS);
    let results: Vec<Result<(Compiled, usize), String>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (sequences.chunks(chunk))
            .map(|part| {
                scope.spawn(move || {
                    let mut generator = Generator::new(isa.build());
                    let one = |(root, keys): &Sequence| {
                        let mut handler = generator.handler(*root, keys);
                        let entry = isa.check(&mut handler).map_err(|error| {
                            let text: Vec<String> = keys.iter().map(Key::text).collect();
                            format!("{isa:?} {root:?} {}: {error}\n{:02x?}", text.join(" "), handler.code)
                        })?;
                        Ok((handler, entry))
                    };
                    part.iter().map(one).collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|t| t.join().unwrap_or_else(|e| std::panic::resume_unwind(e))).collect()
    });
    let total = sequences.len();
    let mut kept = (Vec::new(), Vec::new());
    let mut last_error = String::new();
    for (index, (sequence, result)) in sequences.into_iter().zip(results).enumerate() {
        match result {
            Ok(handler) => {
                kept.0.push(sequence);
                kept.1.push(handler);
            }
            Err(error) if index < needed => panic!("{error}"),
            Err(error) => last_error = error,
        }
    }
    let left_out = total - kept.0.len();
    assert!(
        left_out * 50 <= total,
        "{left_out} of {total} handlers cannot be proved, the last: {last_error}"
    );
    kept
}

const THREADS: usize = 2;

/// The handlers that every root has: each micro-operator with its sources in slots, and in narrow roots also in the cell.
fn base() -> Vec<Sequence> {
    let mut sequences = Vec::new();
    for root in Root::ALL {
        for op in MicroOp::all() {
            if belongs(root, op) {
                base_forms(root, op, &mut sequences);
            }
        }
    }
    sequences
}

fn belongs(root: Root, op: MicroOp) -> bool {
    match op {
        MicroOp::Load(_, access) | MicroOp::Store(_, access) | MicroOp::Atomic(_, access) => {
            root.checked() == matches!(access, Access::Checked32 | Access::Checked64)
        }
        // Static cells, the same for all.
        MicroOp::Halt
        | MicroOp::ReturnSwitch
        | MicroOp::Untranslated
        | MicroOp::UntranslatedCross
        | MicroOp::HostCall
        | MicroOp::EnterNative
        | MicroOp::EnterNativeCross => root == Root::Guarded,
        _ => true,
    }
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
        for register in 0..if ty == Ty::V128 { 1 } else { 3 } {
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
            | MicroOp::Shuffle
            | MicroOp::V128Const => (Kind::Value, op.shape().sources),
            MicroOp::BrIf | MicroOp::BrUnless | MicroOp::BrTable => (Kind::Control, op.shape().sources),
            MicroOp::Return(Some(_)) | MicroOp::Call(_) => (Kind::Control, op.shape().sources),
            _ => continue,
        };
        for first in source_forms(sources[0]) {
            // A 64-bit constant does not always fit 32 bits; canonical operators have it second.
            let long = (sources[1] == Some(Ty::I64)).then_some(Form::Imm);
            for second in source_forms(sources[1]).into_iter().chain(long) {
                for third in source_forms(sources[2]) {
                    let plain = Key { sources: [first, second, third], ..Key::all_slots(op) };
                    with_results(plain, kind, &mut sequences);
                }
            }
        }
    }
    sequences.sort();
    sequences.dedup();
    let base: HashSet<Sequence> = base().into_iter().collect();
    sequences.retain(|sequence| !base.contains(sequence));
    sequences
}

/// The forms that a source of this type may have.
fn source_forms(ty: Option<Ty>) -> Vec<Form> {
    let constant = if ty == Some(Ty::I64) { Form::Imm32 } else { Form::Imm };
    match ty {
        None => vec![Form::None],
        // No local that holds a vector stays in a register.
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
                add(vec![to_reg(0), Key { op, sources, to_slot: false, to_reg: None }]);
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

/// Two steps of `f64` arithmetic of which the second uses the first one's result, whatever the list of superinstructions has:
/// formulas differ from program to program, and single steps made mandelbrot slower than wasmi 2.0 (0.93 of its speed).
fn float_chains() -> Vec<Sequence> {
    const R0: Form = Form::Reg(0);
    let settled = [Form::Slot, Form::Reg(1), Form::Reg(2)];
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
    let key = |op, (a, b): (Form, Form), to_reg: Option<u8>| Key {
        op: MicroOp::Value(op),
        sources: [a, b, Form::None],
        to_slot: to_reg.is_none(),
        to_reg,
    };
    let mut sequences = Vec::new();
    for first in operators {
        for sources in first_sources(first) {
            for second in operators {
                for others in second_sources() {
                    for to in [Some(0), Some(1), Some(2), None] {
                        let keys = vec![key(first, sources, Some(0)), key(second, others, to)];
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
                            to_reg: Some(0),
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

/// Reads the list of superinstructions: a sequence a line, `#` begins a comment.
fn parse(list: &str) -> Vec<Sequence> {
    let by_name: HashMap<String, MicroOp> = MicroOp::all().into_iter().map(|op| (op.name(), op)).collect();
    let mut sequences = Vec::new();
    for line in list.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let keys: Option<Vec<Key>> =
            line.split(' ').map(|word| Key::parse(word, |name| by_name.get(name).copied())).collect();
        let keys = keys.unwrap_or_else(|| panic!("not a sequence of micro-operators: {line}"));
        sequences.push((Root::Guarded, keys));
    }
    sequences
}

/// The tree of sequences as a table of edges. The first nodes are the roots.
fn tree(sequences: &[Sequence], places: &[u32]) -> Vec<[u32; 4]> {
    let mut nodes: HashMap<(u32, u32), u32> = HashMap::new();
    let mut order: Vec<(u32, u32)> = Vec::new();
    let mut handlers: HashMap<u32, u32> = HashMap::new();
    let mut next = Root::ALL.len() as u32;
    for ((root, keys), place) in sequences.iter().zip(places) {
        let mut node = *root as u32;
        for key in keys {
            let edge = (node, key.pack());
            node = *nodes.entry(edge).or_insert_with(|| {
                order.push(edge);
                next += 1;
                next - 1
            });
        }
        handlers.insert(node, *place);
    }
    let mut table = vec![[0u32; 4]; (order.len() * 2).next_power_of_two()];
    for edge in order {
        let target = nodes[&edge];
        let mut at = edge_hash(edge.0, edge.1) as usize & (table.len() - 1);
        while table[at][1] != 0 {
            at = (at + 1) & (table.len() - 1);
        }
        table[at] = [edge.0, edge.1, target, handlers.get(&target).map_or(0, |place| place + 1)];
    }
    table
}

/// Where an edge is looked for first; the crate's `table.rs` has the same function.
fn edge_hash(node: u32, key: u32) -> u64 {
    let mixed = (u64::from(node) << 32 | u64::from(key)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed >> 32
}
