//! Proves that the signal handler will find at each trapping instruction of a handler what its row promises.
//!
//! Abstract interpretation as on x86-64: which registers and stack slots hold ip, fp, the context, the native stack pointer, the
//! frame pointer or the return address, plus a constant. The code is taken as it will be linked.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::super::proof::{Fault, ProofError, Value};
use super::decode::{Access, Effect, Flow, Inst, NOP, Reg, SP, Writeback, decode};

/// The register with ip, as `crescendo_abi::regs` says.
const IP: Reg = 2;
/// The register with fp.
const FP: Reg = 3;
/// The register with the context.
const CONTEXT: Reg = 21;
/// Native frame pointer.
const FRAME: Reg = 29;
/// Return address.
const LINK: Reg = 30;
/// What a call may overwrite: x0..x18 and the link register.
const CALL_CLOBBERS: u32 = 0x7_ffff | 1 << LINK;
/// Constants are aligned to at least this many bytes.
const CONSTANT_ALIGN: usize = 8;
/// Constants are aligned to at most this many bytes.
const MAX_ALIGN: usize = 16;

/// Values of the registers and of the 8-byte stack slots, by offset from the stack pointer at entry, before an instruction.
#[derive(Clone, PartialEq, Eq)]
struct State {
    regs: [Value; 32],
    slots: BTreeMap<i64, Value>,
}

type Graph = BTreeMap<usize, Inst>;

/// Proves a handler that is entered at `entry`. `traps` are the offsets of instructions that may trap, with their codes.
///
/// Proved is: every path ends in br, ret or the trap instruction, with stack pointer, frame pointer and link register as they were
/// at entry; at each row starts a reachable instruction that can fault with the row's code, and there x2 is ip, x3 is fp and
/// x21 is the context, unchanged since entry; each trap instruction has a row; all other bytes are padding or constants. A
/// `frameless` handler neither calls nor uses the stack pointer.
///
/// # Errors
///
/// The first thing that does not hold.
pub fn prove(code: &[u8], entry: usize, frameless: bool, traps: &[(u32, u8)]) -> Result<(), ProofError> {
    let graph = explore(code, entry)?;
    for (&at, inst) in &graph {
        if matches!(inst.flow, Flow::Call { direct } if direct || frameless) {
            return Err(ProofError::Call { at });
        }
        if frameless && uses_stack(inst) {
            return Err(ProofError::StackUse { at });
        }
    }
    check_leftovers(code, &graph)?;
    let states = solve(&graph, entry)?;
    for (&at, inst) in &graph {
        let kept = [(SP, Value::Stack(0)), (FRAME, Value::CallerFrame), (LINK, Value::ReturnAddress)];
        if inst.flow == Flow::Leave && kept.iter().any(|&(reg, value)| states[&at].get(reg) != value) {
            return Err(ProofError::FrameLeft { at });
        }
    }
    check_rows(&graph, &states, traps)
}

/// How an instruction can fault.
pub fn fault(inst: &Inst) -> Fault {
    match (inst.flow, inst.effect) {
        (Flow::Undefined, _) => Fault::Undefined,
        (_, Effect::Access(access)) if access.base != SP && access.base != FRAME => Fault::Memory,
        _ => Fault::Never,
    }
}

fn uses_stack(inst: &Inst) -> bool {
    let read = match inst.effect {
        Effect::Access(access) => access.base == SP,
        Effect::Add { src, .. } => src == SP,
        _ => false,
    };
    read || inst.writes & (1 << SP) != 0
}

fn successors(at: usize, inst: &Inst) -> [Option<i64>; 2] {
    let next = Some(at as i64 + 4);
    match inst.flow {
        Flow::Next | Flow::Call { .. } => [next, None],
        Flow::Jump(target) => [Some(target), None],
        Flow::Branch(target) => [next, Some(target)],
        Flow::Leave | Flow::Undefined => [None, None],
    }
}

/// The instructions that can be reached.
fn explore(code: &[u8], entry: usize) -> Result<Graph, ProofError> {
    let mut graph = Graph::new();
    let mut todo = vec![(entry, entry)];
    while let Some((at, from)) = todo.pop() {
        if graph.contains_key(&at) {
            continue;
        }
        if at >= code.len() {
            return Err(ProofError::RunsOffEnd { at: from });
        }
        if at % 4 != 0 {
            return Err(ProofError::Overlap { at });
        }
        if code[at..].starts_with(&[0; 4]) {
            return Err(ProofError::ReachesPadding { at });
        }
        let inst = decode(code, at)?;
        for target in successors(at, &inst).into_iter().flatten() {
            todo.push((usize::try_from(target).map_err(|_| ProofError::RunsOffEnd { at })?, at));
        }
        graph.insert(at, inst);
    }
    Ok(graph)
}

fn check_rows(graph: &Graph, states: &BTreeMap<usize, State>, traps: &[(u32, u8)]) -> Result<(), ProofError> {
    let mut rows = BTreeSet::new();
    for &(offset, code) in traps {
        let at = offset as usize;
        let Some(inst) = graph.get(&at) else { return Err(ProofError::StrayRow { at }) };
        if !fault(inst).fits(code) {
            return Err(ProofError::CannotFault { at, code });
        }
        for (register, reg, value) in
            [("x2", IP, Value::Ip(0)), ("x3", FP, Value::Fp(0)), ("x21", CONTEXT, Value::Context)]
        {
            let found = states[&at].get(reg);
            if found != value {
                return Err(ProofError::WrongRegister { at, register, found });
            }
        }
        rows.insert(at);
    }
    match graph.iter().find(|(at, inst)| fault(inst).needs_row() && !rows.contains(at)) {
        Some((&at, _)) => Err(ProofError::MissingRow { at }),
        None => Ok(()),
    }
}

/// The state before each reachable instruction: the least fixed point.
fn solve(graph: &Graph, entry: usize) -> Result<BTreeMap<usize, State>, ProofError> {
    let mut regs = [Value::Unknown; 32];
    for (reg, value) in [
        (IP, Value::Ip(0)),
        (FP, Value::Fp(0)),
        (CONTEXT, Value::Context),
        (SP, Value::Stack(0)),
        (FRAME, Value::CallerFrame),
        (LINK, Value::ReturnAddress),
    ] {
        regs[reg as usize] = value;
    }
    let mut states = BTreeMap::from([(entry, State { regs, slots: BTreeMap::new() })]);
    let mut todo = VecDeque::from([entry]);
    while let Some(at) = todo.pop_front() {
        let inst = &graph[&at];
        let mut state = states[&at].clone();
        state.step(at, inst)?;
        for next in successors(at, inst).into_iter().flatten() {
            let next = next as usize;
            let joined = states.get(&next).map_or_else(|| state.clone(), |known| known.join(&state));
            if states.get(&next) != Some(&joined) {
                states.insert(next, joined);
                todo.push_back(next);
            }
        }
    }
    Ok(states)
}

impl State {
    fn get(&self, reg: Reg) -> Value {
        self.regs[reg as usize]
    }

    fn join(&self, other: &State) -> State {
        let mut joined = self.clone();
        for (mine, theirs) in joined.regs.iter_mut().zip(other.regs) {
            *mine = mine.join(theirs);
        }
        joined.slots.retain(|slot, value| other.slots.get(slot) == Some(value));
        joined
    }

    /// Changes the state to the one behind the instruction.
    fn step(&mut self, at: usize, inst: &Inst) -> Result<(), ProofError> {
        let mut results = Vec::new();
        match inst.effect {
            Effect::Other | Effect::Constant { .. } => {}
            Effect::Add { dst, src, value } => results.push((dst, self.get(src).plus(value))),
            Effect::Access(access) => self.access(at, &access, &mut results)?,
        }
        let clobbered = inst.writes | if matches!(inst.flow, Flow::Call { .. }) { CALL_CLOBBERS } else { 0 };
        for reg in (0..32).filter(|reg| clobbered & 1 << reg != 0) {
            self.regs[reg] = Value::Unknown;
        }
        for (dst, value) in results {
            self.regs[dst as usize] = value;
        }
        match self.get(SP) {
            Value::Stack(bottom) => self.slots.retain(|&slot, _| slot >= bottom),
            _ => return Err(ProofError::StackUse { at }),
        }
        Ok(())
    }

    fn access(
        &mut self,
        at: usize,
        access: &Access,
        results: &mut Vec<(Reg, Value)>,
    ) -> Result<(), ProofError> {
        let base = self.get(access.base);
        let moved = access.offset.map_or(Value::Unknown, |offset| base.plus(offset));
        let address = if access.writeback == Writeback::Post { base } else { moved };
        if access.writeback != Writeback::None {
            self.regs[access.base as usize] = moved;
            results.push((access.base, moved));
        }
        let Value::Stack(slot) = address else {
            let blind = access.store && (access.base == SP || access.base == FRAME);
            return if blind { Err(ProofError::StackUse { at }) } else { Ok(()) };
        };
        let end = slot + access.size * access.count;
        if access.store {
            // Nothing above the entry's stack pointer is the handler's, nor is what lies below the stack pointer.
            if end > 0 || !matches!(self.get(SP), Value::Stack(bottom) if bottom <= slot) {
                return Err(ProofError::StackUse { at });
            }
            self.slots.retain(|&other, _| other + 8 <= slot || end <= other);
        }
        for (slot, reg) in (slot..).step_by(8).zip(access.regs).filter_map(|(slot, reg)| Some((slot, reg?))) {
            if access.store {
                let value = self.get(reg);
                self.slots.insert(slot, value);
            } else {
                results.push((reg, self.slots.get(&slot).copied().unwrap_or(Value::Unknown)));
            }
        }
        Ok(())
    }
}

/// Proves that what is not reachable is padding or constants behind the code.
fn check_leftovers(code: &[u8], graph: &Graph) -> Result<(), ProofError> {
    let mut constant = vec![false; code.len()];
    let end = graph.last_key_value().map_or(0, |(&at, _)| at + 4);
    for (&at, inst) in graph {
        constant[at..at + 4].fill(true);
        let Effect::Constant { target, size } = inst.effect else { continue };
        let start = usize::try_from(target).unwrap_or(0);
        let bytes = constant.get_mut(start..start + size).filter(|_| start >= end);
        bytes.ok_or(ProofError::BadConstant { at })?.fill(true);
        // An instruction may read the lower half of a larger constant.
        let granule = (start + size).next_multiple_of(CONSTANT_ALIGN).min(code.len());
        constant[start..granule].fill(true);
    }
    let mut zeros = 0;
    let mut at = 0;
    while at < code.len() {
        if constant[at] {
            (zeros, at) = (0, at + 1);
        } else if code[at..].starts_with(&NOP.to_le_bytes()) {
            (zeros, at) = (0, at + 4);
        } else if code[at] == 0 && zeros < MAX_ALIGN {
            (zeros, at) = (zeros + 1, at + 1);
        } else {
            return Err(ProofError::Leftover { at });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::code;
    use super::super::decode::TRAP;
    use super::*;

    const RET: u32 = 0xd65f_03c0;
    /// br x8
    const BR: u32 = 0xd61f_0100;
    /// ldr w0, [x4, x0]
    const LOAD: u32 = 0xb860_6880;
    /// add x2, x2, #8
    const ADVANCE: u32 = 0x9100_2042;
    /// b.eq to the second next instruction
    const SKIP: u32 = 0x5400_0040;
    /// stp x29, x30, [sp, #-16]!; mov x29, sp; sub sp, sp, #16
    const ENTER: [u32; 3] = [0xa9bf_7bfd, 0x9100_03fd, 0xd100_43ff];
    /// add sp, sp, #16; ldp x29, x30, [sp], #16
    const LEAVE: [u32; 2] = [0x9100_43ff, 0xa8c1_7bfd];
    /// str x2, [sp]; str x3, [sp, #8]; blr x8
    const SPILL_AND_CALL: [u32; 3] = [0xf900_03e2, 0xf900_07e3, 0xd63f_0100];
    /// ldr x2, [sp]; ldr x3, [sp, #8]
    const RELOAD: [u32; 2] = [0xf940_03e2, 0xf940_07e3];

    fn frameless(words: &[u32], traps: &[(u32, u8)]) -> Result<(), ProofError> {
        prove(&code(words), 0, true, traps)
    }

    fn framed(parts: &[&[u32]], traps: &[(u32, u8)]) -> Result<(), ProofError> {
        prove(&code(&parts.concat()), 0, false, traps)
    }

    fn wrong(at: usize, register: &'static str, found: Value) -> Result<(), ProofError> {
        Err(ProofError::WrongRegister { at, register, found })
    }

    #[test]
    fn rows() {
        assert_eq!(frameless(&[LOAD, ADVANCE, BR], &[(0, 2)]), Ok(()));
        assert_eq!(frameless(&[LOAD, ADVANCE, BR], &[]), Ok(()));
        assert_eq!(frameless(&[ADVANCE, LOAD, BR], &[(4, 2)]), wrong(4, "x2", Value::Ip(8)));
        assert_eq!(frameless(&[ADVANCE, 0xd100_2042, LOAD, BR], &[(8, 2)]), Ok(()));
        assert_eq!(frameless(&[0xaa02_03e0, ADVANCE, 0xaa00_03e2, LOAD, BR], &[(12, 2)]), Ok(()));
        assert_eq!(frameless(&[0xaa02_03f5, LOAD, BR], &[(4, 2)]), wrong(4, "x21", Value::Ip(0)));
        assert_eq!(frameless(&[SKIP, ADVANCE, LOAD, BR], &[(8, 2)]), wrong(8, "x2", Value::Unknown));
        assert_eq!(frameless(&[LOAD, BR], &[(2, 2)]), Err(ProofError::StrayRow { at: 2 }));
        assert_eq!(frameless(&[LOAD, BR], &[(0, 8)]), Err(ProofError::CannotFault { at: 0, code: 8 }));
        assert_eq!(frameless(&[ADVANCE, BR], &[(0, 2)]), Err(ProofError::CannotFault { at: 0, code: 2 }));
        assert_eq!(frameless(&[SKIP, TRAP, BR], &[]), Err(ProofError::MissingRow { at: 4 }));
        assert_eq!(frameless(&[SKIP, TRAP, BR], &[(4, 8)]), Ok(()));
    }

    #[test]
    fn exclusive_loops_may_fault_at_each_access() {
        // again: ldaxr w0, [x1]; and w6, w0, w4; stlxr w5, w6, [x1]; cbnz w5, again
        let again = [0x885f_fc20, 0x0a04_0006, 0x8805_fc26, 0x35ff_ffa5, ADVANCE, BR];
        assert_eq!(frameless(&again, &[(0, 2), (8, 2)]), Ok(()));
        assert_eq!(frameless(&again, &[(4, 2)]), Err(ProofError::CannotFault { at: 4, code: 2 }));
        // With x2 for the status.
        let again = [0x885f_fc20, 0x0a04_0006, 0x8802_fc26, 0x35ff_ffa2, BR];
        assert_eq!(frameless(&again, &[(0, 2)]), wrong(0, "x2", Value::Unknown));
    }

    #[test]
    fn paths_and_leftovers() {
        assert_eq!(frameless(&[NOP], &[]), Err(ProofError::RunsOffEnd { at: 0 }));
        assert_eq!(frameless(&[NOP, 0], &[]), Err(ProofError::ReachesPadding { at: 4 }));
        assert_eq!(frameless(&[RET, 0, NOP, 0], &[]), Ok(()));
        assert_eq!(frameless(&[RET, RET], &[]), Err(ProofError::Leftover { at: 4 }));
        assert_eq!(frameless(&[RET, 0, 0, 0, 0, 0], &[]), Err(ProofError::Leftover { at: 20 }));
        // ldr d0, 8 bytes on; 4 bytes on, into the code; beyond the end
        assert_eq!(frameless(&[0x5c00_0040, RET, 1, 2], &[]), Ok(()));
        assert_eq!(frameless(&[0x5c00_0040, RET, 1, 2, 3], &[]), Err(ProofError::Leftover { at: 16 }));
        assert_eq!(frameless(&[0x5c00_0020, RET, 1, 2], &[]), Err(ProofError::BadConstant { at: 0 }));
        assert_eq!(frameless(&[0x5c00_0040, RET, 1], &[]), Err(ProofError::BadConstant { at: 0 }));
    }

    #[test]
    fn frames() {
        let tail: &[u32] = &[LEAVE[0], LEAVE[1], BR];
        assert_eq!(framed(&[&ENTER, tail], &[]), Ok(()));
        assert_eq!(frameless(&ENTER, &[]), Err(ProofError::RunsOffEnd { at: 8 }));
        assert_eq!(frameless(&[ENTER[0], BR], &[]), Err(ProofError::StackUse { at: 0 }));
        assert_eq!(frameless(&[0xd63f_0100, BR], &[]), Err(ProofError::Call { at: 0 }));
        assert_eq!(framed(&[&ENTER, &[BR]], &[]), Err(ProofError::FrameLeft { at: 12 }));
        assert_eq!(framed(&[&[0xd63f_0100, RET]], &[]), Err(ProofError::FrameLeft { at: 4 }));
        assert_eq!(framed(&[&[0xf900_03e2, RET]], &[]), Err(ProofError::StackUse { at: 0 }));
        assert_eq!(framed(&[&ENTER, &SPILL_AND_CALL, &RELOAD, &[LOAD], tail], &[(32, 2)]), Ok(()));
        let lost = framed(&[&ENTER, &SPILL_AND_CALL, &[LOAD], tail], &[(24, 2)]);
        assert_eq!(lost, wrong(24, "x2", Value::Unknown));
        // str w0, [sp, #4] overwrites half of a spilled register.
        let half = framed(&[&ENTER, &SPILL_AND_CALL, &[0xb900_07e0], &RELOAD, &[LOAD], tail], &[(36, 2)]);
        assert_eq!(half, wrong(36, "x2", Value::Unknown));
    }
}
