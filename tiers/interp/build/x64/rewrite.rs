//! Rewrites frameless handlers for the machine that they run on; nothing but the instructions' encodings and places changes.
//!
//! - **Slots without an index.** Cranelift makes `[fp + r]` of a slot's place. Intel's cores pass a store's value on to a load in no
//!   time where both addresses are a register and a constant: a value that goes through a slot takes 1.2 cycles then, with an index
//!   7.1 (alone, on a Xeon of 2025). So `r` becomes the address first; on an EPYC that costs 1.8 % (`benches/README.md`). A caller's ip
//!   and fp are read as before: where they lie changes from call to call, and to expect them elsewhere costs more (fib 1.03 instead
//!   of 0.97).
//! - **The jump reads its cell.** `mov r10, [rdi + n]; add rdi, n; ...; jmp r10` is `add rdi, n; ...; jmp [rdi]`.
//! - **No holes.** What [`super::strip()`] leaves behind exits goes, and branches become short.
//!
//! Soundness: the prover sees the result only. That it does what the handler did follows from what is looked for: which registers are
//! read behind a place, and where branches lead; where that does not show that a rewrite is right, there is none.

use std::collections::{BTreeMap, BTreeSet};

use super::super::proof::ProofError;
use super::graph::{Graph, constant_target, successors};
use super::inst::{Base, CONTEXT, Effect, FP, Flow, IP, Inst, Mem, RBP, RSP, Reg, RegSet};
use super::strip::PADDING;
use crescendo_abi::regs::X64_INT_ARGS;

/// What the next handler or a caller may read: the arguments, the context, the result, and those that callees save.
const LIVE_AT_EXITS: RegSet = RegSet::of(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 14, 15]);
/// What the next handler may read.
const LIVE_AT_JUMPS: RegSet = RegSet::of(&X64_INT_ARGS).union(RegSet::of(&[CONTEXT]));
/// Constants are aligned to this.
const CONSTANT_ALIGN: usize = 16;

/// A handler that was rewritten.
pub struct Rewritten {
    /// Its code, which begins with its entry. Constants in it want it at a multiple of 16.
    pub code: Vec<u8>,
    /// Where the instructions are that were asked for.
    pub places: Vec<u32>,
    /// Bytes up to the end of the last jump to another cell: the rest runs when something traps.
    pub hot: usize,
    /// Whether there are constants.
    pub has_constants: bool,
}

/// An instruction on its way.
struct Piece {
    /// Offset before.
    at: usize,
    inst: Inst,
    /// What goes before it.
    before: Vec<u8>,
    bytes: Vec<u8>,
}

/// Rewrites a frameless handler that is entered at `entry`. `places` are offsets of instructions whose new ones are asked for.
///
/// # Errors
///
/// When the code cannot be followed.
///
/// # Panics
///
/// When a place is not that of an instruction.
pub fn rewrite(code: &[u8], entry: usize, places: &[u32]) -> Result<Rewritten, ProofError> {
    let graph = Graph::new(code, entry)?;
    let mut pieces: Vec<Piece> = (graph.insts.iter())
        .map(|(&at, &inst)| Piece { at, inst, before: Vec::new(), bytes: code[at..at + inst.len].to_vec() })
        .collect();
    let flows = Flows::new(&graph);
    for index in 0..pieces.len() {
        slot_without_index(&mut pieces, index, &flows);
    }
    for index in 0..pieces.len() {
        if pieces[index].inst.flow == Flow::JumpIndirect {
            jump_through_cell(&mut pieces, index, &flows);
        }
    }
    Ok(lay_out(code, &graph, &pieces, places))
}

/// What is known about the flow of a handler.
struct Flows {
    /// Offsets that branches lead to.
    targets: BTreeSet<usize>,
    /// Registers that are read behind an instruction before they are written.
    live: BTreeMap<usize, RegSet>,
}

impl Flows {
    fn new(graph: &Graph) -> Flows {
        let jumps = graph.insts.values().filter_map(|inst| match inst.flow {
            Flow::Jump(target) | Flow::Branch(target) => usize::try_from(target).ok(),
            _ => None,
        });
        let mut flows = Flows { targets: jumps.collect(), live: BTreeMap::new() };
        let mut changed = true;
        while changed {
            changed = false;
            for (&at, inst) in graph.insts.iter().rev() {
                let after = match inst.flow {
                    Flow::JumpIndirect => LIVE_AT_JUMPS,
                    Flow::Return | Flow::Call { .. } => LIVE_AT_EXITS,
                    _ => successors(at, inst).into_iter().flatten().fold(RegSet::default(), |live, next| {
                        let next = next as usize;
                        let behind = flows.live.get(&next).copied().unwrap_or_default();
                        live.union(before(&graph.insts[&next], behind))
                    }),
                };
                changed |= flows.live.insert(at, after) != Some(after);
            }
        }
        flows
    }
}

/// The registers that must hold what they do before an instruction, if these must behind it.
fn before(inst: &Inst, after: RegSet) -> RegSet {
    let read = inst.mem.map_or(inst.reads, |mem| inst.reads.union(mem.regs()));
    after.without(inst.writes).union(read)
}

/// The register that is the offset of a slot in this memory operand.
fn slot_offset(mem: &Mem) -> Option<Reg> {
    let offset = match (mem.base, mem.index) {
        (Base::Reg(FP), Some((index, 1))) => index,
        (Base::Reg(base), Some((FP, 1))) => base,
        _ => return None,
    };
    // As the only register of an address r12 and r13 have another encoding, as have rsp and rbp.
    let plain = offset & 7 != RSP && offset & 7 != RBP;
    (plain && offset != FP && offset != IP).then_some(offset)
}

/// Makes an address of the offset in a register, if nothing but slots is found with it.
fn slot_without_index(pieces: &mut [Piece], index: usize, flows: &Flows) {
    let Some(offset) = pieces[index].inst.mem.as_ref().and_then(slot_offset) else { return };
    let Some(uses) = uses_of_offset(pieces, index, offset, flows) else { return };
    if uses.iter().any(|at| matches!(pieces[*at].inst.effect, Effect::Load { dst: IP | FP })) {
        return;
    }
    let shorter: Option<Vec<Vec<u8>>> = uses.iter().map(|at| without_index(&pieces[*at], offset)).collect();
    let Some(shorter) = shorter else { return };
    pieces[index].before = address_of_slot(offset);
    for (at, bytes) in uses.into_iter().zip(shorter) {
        let piece = &mut pieces[at];
        piece.bytes = bytes;
        if let Some(mem) = &mut piece.inst.mem {
            (mem.base, mem.index) = (Base::Reg(offset), None);
        }
    }
}

/// The instructions from `index` on that find slots with this offset, if nothing else is done with it before it is written, and
/// if fp stays what it is up to the last.
fn uses_of_offset(pieces: &[Piece], index: usize, offset: Reg, flows: &Flows) -> Option<Vec<usize>> {
    let mut uses = Vec::new();
    let mut fp_is_here = true;
    for (at, piece) in pieces.iter().enumerate().skip(index) {
        if at > index && flows.targets.contains(&piece.at) || piece.inst.reads.contains(offset) {
            return None;
        }
        if let Some(mem) = piece.inst.mem.filter(|mem| mem.regs().contains(offset)) {
            if !fp_is_here || slot_offset(&mem) != Some(offset) {
                return None;
            }
            uses.push(at);
        }
        if piece.inst.writes.contains(offset) {
            return Some(uses);
        }
        fp_is_here &= !piece.inst.writes.contains(FP);
        if piece.inst.flow != Flow::Next {
            return (!flows.live[&piece.at].contains(offset)).then_some(uses);
        }
    }
    None
}

/// lea offset, [rsi + offset]
fn address_of_slot(offset: Reg) -> Vec<u8> {
    let (high, low) = (offset >> 3, offset & 7);
    vec![0x48 | high << 2 | high << 1, 0x8d, low << 3 | 4, low << 3 | FP]
}

/// The instruction with the register as the only one of its address.
fn without_index(piece: &Piece, base: Reg) -> Option<Vec<u8>> {
    let at = piece.inst.modrm?;
    let mut result = piece.bytes.clone();
    match piece.inst.rex {
        Some(rex) => result[rex] = result[rex] & !3 | base >> 3,
        None if base >= 8 => return None,
        None => {}
    }
    // The byte behind it is there because of the index.
    result[at] = result[at] & !7 | base & 7;
    result.remove(at + 1);
    Some(result)
}

/// Lets a jump read the address from the cell at ip itself, if that is where the register has it from.
fn jump_through_cell(pieces: &mut [Piece], jump: usize, flows: &Flows) {
    let target = pieces[jump].inst.reads;
    let mut added = 0;
    let is_target = |piece: &Piece| flows.targets.contains(&piece.at);
    if is_target(&pieces[jump]) || target.intersects(LIVE_AT_JUMPS) {
        return;
    }
    for at in (0..jump).rev() {
        let inst = &pieces[at].inst;
        if inst.flow != Flow::Next {
            return;
        }
        if let Effect::Load { dst } = inst.effect
            && RegSet::of(&[dst]) == target
        {
            let Some(Mem { base: Base::Reg(IP), index: None, disp, .. }) = inst.mem else { return };
            let Ok(disp) = i8::try_from(i64::from(disp) - added) else { return };
            pieces[jump].bytes = if disp == 0 { vec![0xff, 0x27] } else { vec![0xff, 0x67, disp as u8] };
            pieces[at].bytes.clear();
            return;
        }
        if inst.regs.intersects(target) {
            return;
        }
        match inst.effect {
            Effect::Add { dst: IP, value } => added += value,
            _ if inst.writes.contains(IP) => return,
            _ => {}
        }
        if is_target(&pieces[at]) {
            return;
        }
    }
}

/// Bytes of a short and of a long branch.
const fn branch_bytes(flow: Flow, short: bool) -> usize {
    match (flow, short) {
        (_, true) => 2,
        (Flow::Jump(_), false) => 5,
        _ => 6,
    }
}

/// Puts the pieces one behind the other and the constants behind them.
fn lay_out(code: &[u8], graph: &Graph, pieces: &[Piece], places: &[u32]) -> Rewritten {
    let mut short: Vec<bool> =
        pieces.iter().map(|piece| matches!(piece.inst.flow, Flow::Jump(_) | Flow::Branch(_))).collect();
    // Where each piece begins. Branches only grow, so this ends.
    let starts = loop {
        let mut starts = BTreeMap::new();
        let mut next = 0;
        for (piece, &short) in pieces.iter().zip(&short) {
            starts.insert(piece.at, next);
            next += match piece.inst.flow {
                flow @ (Flow::Jump(_) | Flow::Branch(_)) => branch_bytes(flow, short),
                _ => piece.before.len() + piece.bytes.len(),
            };
        }
        starts.insert(usize::MAX, next);
        let mut grown = false;
        for (piece, short) in pieces.iter().zip(&mut short) {
            if let Flow::Jump(target) | Flow::Branch(target) = piece.inst.flow
                && *short
            {
                let from = starts[&piece.at] + 2;
                *short = i8::try_from(starts[&(target as usize)] as i64 - from as i64).is_ok();
                grown |= !*short;
            }
        }
        if !grown {
            break starts;
        }
    };
    let end = starts[&usize::MAX];
    // The constants keep their distances from each other.
    let constants = pieces.iter().filter_map(|piece| {
        piece.inst.mem.as_ref().and_then(|mem| constant_target(piece.at, &piece.inst, mem))
    });
    let first = constants.min().map(|target| target as usize);
    let moved = first.map(|first| {
        let first = first / CONSTANT_ALIGN * CONSTANT_ALIGN;
        (first, end.next_multiple_of(CONSTANT_ALIGN))
    });
    let mut result = Vec::with_capacity(code.len());
    let mut found = BTreeMap::new();
    let mut hot = 0;
    for (piece, &short) in pieces.iter().zip(&short) {
        result.extend_from_slice(&piece.before);
        found.insert(piece.at, result.len() as u32);
        match piece.inst.flow {
            flow @ (Flow::Jump(target) | Flow::Branch(target)) => {
                let from = result.len() + branch_bytes(flow, short);
                let distance = starts[&(target as usize)] as i64 - from as i64;
                branch(&mut result, flow, &piece.bytes, short, distance);
            }
            _ => {
                let start = result.len();
                result.extend_from_slice(&piece.bytes);
                let target = piece.inst.mem.and_then(|mem| constant_target(piece.at, &piece.inst, &mem));
                if let (Some(target), Some((first, to)), Some(at)) = (target, moved, piece.inst.modrm) {
                    let distance = (target as usize - first + to) as i64 - result.len() as i64;
                    result[start + at + 1..start + at + 5].copy_from_slice(&(distance as i32).to_le_bytes());
                }
            }
        }
        if piece.inst.flow == Flow::JumpIndirect {
            hot = result.len();
        }
    }
    debug_assert_eq!(result.len(), end);
    if let Some((first, to)) = moved {
        result.resize(to, PADDING);
        // Of what lies before the first constant only its alignment is kept.
        result.extend(code[first..].iter().enumerate().map(
            |(at, byte)| {
                if first + at < graph.end() { 0 } else { *byte }
            },
        ));
    }
    let place = |place: &u32| found.get(&(*place as usize)).copied();
    Rewritten {
        places: (places.iter()).map(|at| place(at).expect("a place is that of an instruction")).collect(),
        code: result,
        hot,
        has_constants: moved.is_some(),
    }
}

/// Writes a jump or a branch with the condition of the one it was.
fn branch(code: &mut Vec<u8>, flow: Flow, was: &[u8], short: bool, distance: i64) {
    let condition = match was {
        [0x0f, second, ..] => second & 15,
        [first, ..] => first & 15,
        [] => 0,
    };
    match (flow, short) {
        (Flow::Jump(_), true) => code.push(0xeb),
        (Flow::Jump(_), false) => code.push(0xe9),
        (_, true) => code.push(0x70 | condition),
        (_, false) => code.extend([0x0f, 0x80 | condition]),
    }
    if short {
        code.push(distance as i8 as u8);
    } else {
        code.extend((distance as i32).to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::super::bytes;
    use super::*;

    fn rewritten(text: &str) -> Vec<u8> {
        rewrite(&bytes(text), 0, &[]).expect("code that can be followed").code
    }

    fn unchanged(text: &str) {
        assert_eq!(rewritten(text), bytes(text));
    }

    #[test]
    fn a_slot_is_read_and_written_without_an_index() {
        // movzx rax, word [rdi + 8]; mov eax, [rsi + rax]; movzx r10, word [rdi + 10]; mov [rsi + r10], eax; jmp [rdi]
        let before = "48 0f b7 47 08  8b 04 06  4c 0f b7 57 0a  42 89 04 16  ff 27";
        let after = "48 0f b7 47 08  48 8d 04 06 8b 00  4c 0f b7 57 0a  4e 8d 14 16 41 89 02  ff 27";
        assert_eq!(rewritten(before), bytes(after));
        // With a displacement, and with an opcode of three bytes: mov [rsi + rax + 8], rcx; pextrd [rsi + rax], xmm1, 2
        let before = "48 89 4c 06 08  66 0f 3a 16 0c 06 02  ff 27";
        assert_eq!(rewritten(before), bytes("48 8d 04 06  48 89 48 08  66 0f 3a 16 08 02  ff 27"));
    }

    #[test]
    fn an_offset_that_is_wanted_stays_one() {
        // mov rcx, [rsi + rcx] at which the next handler's register is the offset is fine; mov eax, [rsi + rcx] is not: rcx is live.
        assert_eq!(rewritten("48 8b 0c 0e  ff 27"), bytes("48 8d 0c 0e  48 8b 09  ff 27"));
        unchanged("8b 04 0e  ff 27");
        // The offset is data: mov [rsi + rax], eax. It is added to something else: mov ecx, [rsi + rax]; mov ecx, [rdx + rax]
        unchanged("89 04 06  ff 27");
        unchanged("8b 0c 06  8b 0c 02  ff 27");
        // fp is another one at the second, which may be rewritten alone: mov [rsi + rax], ecx; add rsi, 8; mov [rsi + rax], ecx
        let second = "89 0c 06  48 83 c6 08  48 8d 04 06  89 08  ff 27";
        assert_eq!(rewritten("89 0c 06  48 83 c6 08  89 0c 06  ff 27"), bytes(second));
        // It is read where a branch leads: mov [rsi + rax], ecx; je +2; jmp [rdi]; mov r8, rax; jmp [rdi]
        unchanged("89 0c 06  74 02  ff 27  49 89 c0  ff 27");
        // A branch comes in between: mov [rsi + rax], ecx; mov [rsi + rax], edx; test ecx, ecx; je to the second
        unchanged("89 0c 06  89 14 06  85 c9  74 f9  ff 27");
        // cmove reads what it may not write: mov ecx, [rsi + rax]; cmove eax, ecx
        unchanged("8b 0c 06  0f 44 c1  89 04 06  ff 27");
        // rax is the result: mov ecx, [rsi + rax]; ret
        unchanged("8b 0c 06  c3");
    }

    #[test]
    fn a_callers_ip_and_fp_are_read_as_before() {
        unchanged("48 8b 3c 06  48 8b 74 06 08  ff 27");
    }

    #[test]
    fn the_jump_reads_its_cell() {
        // mov r10, [rdi + 16]; add rdi, 16; jmp r10
        assert_eq!(rewritten("4c 8b 57 10  48 83 c7 10  41 ff e2"), bytes("48 83 c7 10  ff 27"));
        assert_eq!(rewritten("4c 8b 57 10  48 83 c7 08  41 ff e2"), bytes("48 83 c7 08  ff 67 08"));
        // mov rdi, [rdi + 8]; mov r10, [rdi]; jmp r10
        assert_eq!(rewritten("48 8b 7f 08  4c 8b 17  41 ff e2"), bytes("48 8b 7f 08  ff 27"));
        // What comes between reads it, writes it, or makes another ip of it; it is not from the cell.
        unchanged("4c 8b 57 10  4d 89 d0  41 ff e2");
        unchanged("4c 8b 57 10  49 83 c2 01  41 ff e2");
        unchanged("4c 8b 57 10  48 89 cf  41 ff e2");
        unchanged("4c 8b 56 10  48 83 c7 10  41 ff e2");
        unchanged("4e 8b 14 07  41 ff e2");
        // A register that the next handler finds: mov r8, [rdi]; jmp r8
        unchanged("4c 8b 07  41 ff e0");
        // A branch leads between them: test r9d, r9d; je to the jump
        unchanged("45 85 c9  74 03  4c 8b 17  41 ff e2");
    }

    #[test]
    fn holes_go_and_branches_become_short() {
        // je +9 (long), jmp [rdi] with padding, ud2, whose place is asked for
        let code = bytes("0f 84 09 00 00 00  ff 27  cc cc cc cc cc cc cc  0f 0b");
        let result = rewrite(&code, 0, &[15]).expect("code that can be followed");
        assert_eq!(result.code, bytes("74 02  ff 27  0f 0b"));
        assert_eq!((result.places, result.hot, result.has_constants), (vec![4], 4, false));
        // What is too far stays long, backwards too.
        let mut far = bytes("0f 85 80 00 00 00");
        far.extend([0x90; 128]);
        far.extend(bytes("0f 85 74 ff ff ff ff 27"));
        unchanged(&far.iter().map(|byte| format!("{byte:02x} ")).collect::<String>());
        // A place is that of the access and not of what comes before it.
        let code = bytes("42 89 04 16  ff 27");
        assert_eq!(rewrite(&code, 0, &[0]).expect("code that can be followed").places, [4]);
    }

    #[test]
    fn constants_are_found_where_they_are_moved() {
        // xorpd xmm0, [rip + 20] at 4, read from 32; jmp [rdi]
        let mut code = bytes("cc cc cc cc  66 0f 57 05 14 00 00 00  ff 27");
        code.resize(32, 0xcc);
        code.extend(1..=16);
        let result = rewrite(&code, 4, &[]).expect("code that can be followed");
        let mut expected = bytes("66 0f 57 05 08 00 00 00  ff 27");
        expected.resize(16, 0xcc);
        expected.extend(1..=16);
        assert_eq!(result.code, expected);
        assert!(result.has_constants);
    }
}
