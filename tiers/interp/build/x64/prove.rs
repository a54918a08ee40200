//! Proves that the signal handler will find at each trapping instruction of a handler what its row promises.
//!
//! Abstract interpretation over the reachable instructions: for each general register (and, in framed handlers, each stack
//! slot) it knows whether it holds ip, fp, the context or the native stack pointer, plus a constant. Where paths meet, what
//! differs is unknown. The code is taken as it will be linked, at an address that is a multiple of 16 if it has
//! 16-byte constants.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;

use super::super::proof::{Fault, ProofError, Value};
use super::decode::decode;
use super::graph::{FRAME_REGS, Graph, constant_target, successors, uses_stack};
use super::inst::{Base, CONTEXT, Effect, FP, Flow, IP, Inst, Mem, RBP, RSP, Reg, RegSet};

/// What a call may overwrite: rax rcx rdx rsi rdi r8..r11.
const CALL_CLOBBERS: RegSet = RegSet::of(&[0, 1, 2, 6, 7, 8, 9, 10, 11]);
/// Bytes of the only constant whose address is taken rather than read from: 8 rows of 16 equal bytes, the masks with which
/// Cranelift shifts vectors of bytes. A jump table, which would lead to code that is not proved, does not look like it.
const MASKS: usize = 128;
/// Constants are aligned to this many bytes or more.
const CONSTANT_ALIGN: usize = 8;
/// No run of zeros that aligns a constant is this long.
const MAX_ALIGN: usize = 16;

/// Values of the registers and of the 8-byte stack slots, by offset from the stack pointer at entry, before an instruction.
#[derive(Clone, PartialEq, Eq)]
struct State {
    regs: [Value; 16],
    slots: BTreeMap<i64, Value>,
}

/// Proves a handler that is entered at `entry`. `traps` are the offsets of instructions that may trap, with their codes.
///
/// Proved is: every path ends in an indirect jump, a return or ud2; at each row starts a reachable instruction that can fault with
/// the row's code, and there rdi is ip, rsi is fp and r15 is the context, unchanged since entry; each ud2 and each division has
/// a row; all other bytes are padding or constants. A `stripped` handler neither calls nor uses rsp, rbp or memory based
/// on them; another one leaves both at its exits as they were.
///
/// # Errors
///
/// The first thing that does not hold.
pub fn prove(code: &[u8], entry: usize, stripped: bool, traps: &[(u32, u8)]) -> Result<(), ProofError> {
    let graph = Graph::new(code, entry)?;
    for (&at, inst) in &graph.insts {
        if matches!(inst.flow, Flow::Call { direct } if direct || stripped) {
            return Err(ProofError::Call { at });
        }
        if stripped && uses_stack(inst) {
            return Err(ProofError::StackUse { at });
        }
    }
    check_leftovers(code, &graph)?;
    let states = solve(&graph, entry)?;
    for (&at, inst) in &graph.insts {
        let state = &states[&at];
        if matches!(inst.flow, Flow::JumpIndirect | Flow::Return)
            && (state.regs[RSP as usize] != Value::Stack(0) || state.regs[RBP as usize] != Value::CallerFrame)
        {
            return Err(ProofError::FrameLeft { at });
        }
    }
    check_rows(&graph, &states, traps)
}

/// How an instruction can fault.
pub fn fault(inst: &Inst) -> Fault {
    let accessed = |mem: Mem| (mem.read || mem.write) && mem.base != Base::Rip;
    let stack = |mem: Mem| matches!(mem.base, Base::Reg(base) if FRAME_REGS.contains(base));
    if inst.divides {
        Fault::Divide
    } else if inst.flow == Flow::Undefined {
        Fault::Undefined
    } else if inst.flow == Flow::Next && inst.mem.is_some_and(|mem| accessed(mem) && !stack(mem)) {
        Fault::Memory
    } else {
        Fault::Never
    }
}

fn check_rows(graph: &Graph, states: &BTreeMap<usize, State>, traps: &[(u32, u8)]) -> Result<(), ProofError> {
    let mut rows = BTreeSet::new();
    for &(offset, code) in traps {
        let at = offset as usize;
        let Some(inst) = graph.insts.get(&at) else { return Err(ProofError::StrayRow { at }) };
        if !fault(inst).fits(code) {
            return Err(ProofError::CannotFault { at, code });
        }
        let wanted = [("rdi", IP, Value::Ip(0)), ("rsi", FP, Value::Fp(0)), ("r15", CONTEXT, Value::Context)];
        for (register, reg, value) in wanted {
            let found = states[&at].regs[reg as usize];
            if found != value {
                return Err(ProofError::WrongRegister { at, register, found });
            }
        }
        rows.insert(at);
    }
    match graph.insts.iter().find(|(at, inst)| fault(inst).needs_row() && !rows.contains(at)) {
        Some((&at, _)) => Err(ProofError::MissingRow { at }),
        None => Ok(()),
    }
}

/// The state before each reachable instruction: the least fixed point.
fn solve(graph: &Graph, entry: usize) -> Result<BTreeMap<usize, State>, ProofError> {
    let mut regs = [Value::Unknown; 16];
    regs[IP as usize] = Value::Ip(0);
    regs[FP as usize] = Value::Fp(0);
    regs[CONTEXT as usize] = Value::Context;
    regs[RSP as usize] = Value::Stack(0);
    regs[RBP as usize] = Value::CallerFrame;
    let mut states = BTreeMap::from([(entry, State { regs, slots: BTreeMap::new() })]);
    let mut todo = VecDeque::from([entry]);
    while let Some(at) = todo.pop_front() {
        let inst = &graph.insts[&at];
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
    fn join(&self, other: &State) -> State {
        let mut joined = self.clone();
        for (mine, theirs) in joined.regs.iter_mut().zip(other.regs) {
            *mine = mine.join(theirs);
        }
        joined.slots.retain(|slot, value| other.slots.get(slot) == Some(value));
        joined
    }

    fn get(&self, reg: Reg) -> Value {
        self.regs[reg as usize]
    }

    /// Value of the address of a memory operand, where it is a known register plus a constant.
    fn address(&self, mem: &Mem) -> Value {
        match (mem.base, mem.index) {
            (Base::Reg(base), None) => self.get(base).plus(i64::from(mem.disp)),
            _ => Value::Unknown,
        }
    }

    /// A store of `size` bytes at an offset from the stack pointer at entry. The return address and what lies above it are
    /// not the handler's, nor is anything below the stack pointer.
    fn store(&mut self, at: usize, slot: i64, size: i64, value: Value) -> Result<(), ProofError> {
        let Value::Stack(bottom) = self.get(RSP) else { return Err(ProofError::StackUse { at }) };
        if slot < bottom || slot + size > 0 {
            return Err(ProofError::StackUse { at });
        }
        self.slots.retain(|&other, _| other + 8 <= slot || slot + size <= other);
        if size == 8 && value != Value::Unknown {
            self.slots.insert(slot, value);
        }
        Ok(())
    }

    fn load(&self, slot: i64) -> Value {
        self.slots.get(&slot).copied().unwrap_or(Value::Unknown)
    }

    /// Changes the state to the one behind the instruction.
    fn step(&mut self, at: usize, inst: &Inst) -> Result<(), ProofError> {
        let stack_error = ProofError::StackUse { at };
        let address = inst.mem.map_or(Value::Unknown, |mem| self.address(&mem));
        if let Some(mem) = inst.mem.filter(|mem| mem.write) {
            let value = if let Effect::Store { src } = inst.effect { self.get(src) } else { Value::Unknown };
            match address {
                Value::Stack(slot) => self.store(at, slot, i64::from(mem.size), value)?,
                _ if matches!(mem.base, Base::Reg(base) if FRAME_REGS.contains(base)) => {
                    return Err(stack_error);
                }
                _ => {}
            }
        }
        let result = match inst.effect {
            Effect::Other | Effect::Store { .. } => None,
            Effect::Move { dst, src } => Some((dst, self.get(src))),
            Effect::Add { dst, value } => Some((dst, self.get(dst).plus(value))),
            Effect::Address { dst } => Some((dst, address)),
            Effect::Load { dst } => match address {
                Value::Stack(slot) => Some((dst, self.load(slot))),
                _ => Some((dst, Value::Unknown)),
            },
            Effect::Push { src } => {
                let (value, top) = (self.get(src), self.get(RSP).plus(-8));
                self.regs[RSP as usize] = top;
                let Value::Stack(slot) = top else { return Err(stack_error) };
                self.store(at, slot, 8, value)?;
                None
            }
            Effect::Pop { dst } => {
                let Value::Stack(slot) = self.get(RSP) else { return Err(stack_error) };
                self.regs[RSP as usize] = Value::Stack(slot + 8);
                Some((dst, self.load(slot)))
            }
        };
        let followed = matches!(inst.effect, Effect::Push { .. } | Effect::Pop { .. });
        for reg in inst.writes.iter() {
            // A call pushes the return address and its callee pops it.
            let kept = reg == RSP && (followed || matches!(inst.flow, Flow::Call { .. } | Flow::Return));
            if !kept {
                self.regs[reg as usize] = Value::Unknown;
            }
        }
        if let Some((dst, value)) = result {
            self.regs[dst as usize] = value;
        }
        if matches!(inst.flow, Flow::Call { .. }) {
            for reg in CALL_CLOBBERS.iter() {
                self.regs[reg as usize] = Value::Unknown;
            }
        }
        if let Value::Stack(bottom) = self.get(RSP) {
            self.slots.retain(|&slot, _| slot >= bottom);
        }
        Ok(())
    }
}

/// Proves that what is not reachable is padding or constants behind the code.
fn check_leftovers(code: &[u8], graph: &Graph) -> Result<(), ProofError> {
    let mut end = 0;
    for (&at, inst) in &graph.insts {
        check_padding(code, end..at)?;
        end = at + inst.len;
    }
    let mut constant = vec![false; code.len()];
    for (&at, inst) in &graph.insts {
        let Some(mem) = inst.mem else { continue };
        let Some(target) = constant_target(at, inst, &mem) else { continue };
        let taken = matches!(inst.effect, Effect::Address { .. });
        let size = if taken { MASKS } else { usize::from(mem.size) };
        let Ok(start) = usize::try_from(target) else { return Err(ProofError::BadConstant { at }) };
        let misaligned = mem.aligned && start % size != 0;
        if size == 0 || mem.write || inst.flow != Flow::Next || start < end || misaligned {
            return Err(ProofError::BadConstant { at });
        }
        let bytes = code.get(start..start + size).ok_or(ProofError::BadConstant { at })?;
        if taken && !bytes.chunks(16).all(|row| row.iter().all(|byte| *byte == row[0])) {
            return Err(ProofError::BadConstant { at });
        }
        // An instruction may read the lower half of a larger constant.
        constant[start..(start + size).next_multiple_of(CONSTANT_ALIGN).min(code.len())].fill(true);
    }
    let first = constant.iter().position(|&read| read).unwrap_or(code.len());
    let last = constant.iter().rposition(|&read| read).map_or(end, |at| at + 1);
    let mut zeros = 0;
    for at in padding_end(code, end..first)..last {
        zeros = if constant[at] { 0 } else { zeros + 1 };
        if zeros > 0 && code[at] != 0 || zeros >= MAX_ALIGN {
            return Err(ProofError::Leftover { at });
        }
    }
    // Cranelift fills a scalar constant up to a vector with zeros.
    let filled = if last > end { last.next_multiple_of(MAX_ALIGN).min(code.len()) } else { last };
    if let Some(odd) = code[last..filled].iter().position(|byte| *byte != 0) {
        return check_padding(code, last + odd..code.len());
    }
    check_padding(code, filled..code.len())
}

/// Proves that these bytes are padding.
fn check_padding(code: &[u8], range: Range<usize>) -> Result<(), ProofError> {
    let at = padding_end(code, range.clone());
    if at == range.end { Ok(()) } else { Err(ProofError::Leftover { at }) }
}

/// Offset of the first byte in the range that is neither int3 nor part of a nop.
fn padding_end(code: &[u8], range: Range<usize>) -> usize {
    let mut at = range.start;
    while at < range.end
        && let Ok(inst) = decode(&code[..range.end], at)
        && (inst.nop || inst.flow == Flow::Breakpoint)
    {
        at += inst.len;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::super::bytes;
    use super::*;

    fn frameless(text: &str, traps: &[(u32, u8)]) -> Result<(), ProofError> {
        prove(&bytes(text), 0, true, traps)
    }

    fn framed(text: &str, traps: &[(u32, u8)]) -> Result<(), ProofError> {
        prove(&bytes(text), 0, false, traps)
    }

    fn wrong(at: usize, register: &'static str, found: Value) -> Result<(), ProofError> {
        Err(ProofError::WrongRegister { at, register, found })
    }

    #[test]
    fn load_then_dispatch() {
        // mov eax, [rdx + rax]; mov r10, [rdi + 8]; add rdi, 8; jmp r10
        let text = "8b 04 02 4c 8b 57 08 48 83 c7 08 41 ff e2";
        assert_eq!(frameless(text, &[(0, 2)]), Ok(()));
        assert_eq!(frameless(text, &[]), Ok(()), "accesses may have no row");
        assert_eq!(frameless(text, &[(1, 2)]), Err(ProofError::StrayRow { at: 1 }));
        assert_eq!(frameless(text, &[(7, 2)]), Err(ProofError::CannotFault { at: 7, code: 2 }));
        assert_eq!(frameless(text, &[(0, 8)]), Err(ProofError::CannotFault { at: 0, code: 8 }));
        assert_eq!(framed(text, &[(0, 2)]), Ok(()));
    }

    #[test]
    fn moved_registers_at_a_row() {
        assert_eq!(frameless("48 83 c7 08 8b 02 ff e0", &[(4, 2)]), wrong(4, "rdi", Value::Ip(8)));
        assert_eq!(frameless("48 8d 77 08 8b 02 ff e0", &[(4, 2)]), wrong(4, "rsi", Value::Ip(8)));
        assert_eq!(frameless("89 ff 8b 02 ff e0", &[(2, 2)]), wrong(2, "rdi", Value::Unknown));
        assert_eq!(frameless("49 89 c7 8b 02 ff e0", &[(3, 2)]), wrong(3, "r15", Value::Unknown));
        // There and back: add rdi, 8; lea rax, [rdi - 8]; mov rdi, rax
        assert_eq!(frameless("48 83 c7 08 48 8d 47 f8 48 89 c7 8b 02 ff e0", &[(11, 2)]), Ok(()));
    }

    #[test]
    fn paths_join() {
        // je over add rdi, 8
        assert_eq!(frameless("74 04 48 83 c7 08 8b 02 ff e0", &[(6, 2)]), wrong(6, "rdi", Value::Unknown));
        // A loop that moves rdi: the first visit alone would be fine.
        assert_eq!(frameless("8b 02 48 83 c7 08 75 f8 ff e0", &[(0, 2)]), wrong(0, "rdi", Value::Unknown));
        // A loop that does not.
        assert_eq!(frameless("8b 02 48 83 c0 08 75 f8 ff e0", &[(0, 2)]), Ok(()));
    }

    #[test]
    fn loops_of_cmpxchg_may_fault_at_each_access() {
        // mov eax, [rdx]; again: mov ecx, eax; and ecx, r8d; lock cmpxchg [rdx], ecx; jne again; dispatch
        let text = "8b 02 89 c1 44 21 c1 f0 0f b1 0a 75 f5 4c 8b 57 08 48 83 c7 08 41 ff e2";
        assert_eq!(frameless(text, &[(0, 2), (7, 2)]), Ok(()));
        assert_eq!(frameless(text, &[(4, 2)]), Err(ProofError::CannotFault { at: 4, code: 2 }));
        // With rdi for the result of the operator.
        let text = "8b 02 89 c7 44 21 c7 f0 0f b1 3a 75 f5 ff e0";
        assert_eq!(frameless(text, &[(0, 2)]), Ok(()));
        assert_eq!(frameless(text, &[(7, 2)]), wrong(7, "rdi", Value::Unknown));
        // mfence after a store.
        assert_eq!(frameless("89 0a 0f ae f0 ff e0", &[(0, 2)]), Ok(()));
    }

    #[test]
    fn explicit_traps_and_divisions_need_rows() {
        assert_eq!(frameless("74 02 0f 0b c3", &[]), Err(ProofError::MissingRow { at: 2 }));
        assert_eq!(frameless("74 02 0f 0b c3", &[(2, 7)]), Ok(()));
        assert_eq!(frameless("99 f7 f9 c3", &[]), Err(ProofError::MissingRow { at: 1 }));
        assert_eq!(frameless("99 f7 f9 c3", &[(1, 8)]), Ok(()));
        assert_eq!(frameless("99 f7 f9 c3", &[(1, 2)]), Err(ProofError::CannotFault { at: 1, code: 2 }));
    }

    #[test]
    fn paths_must_leave() {
        assert_eq!(frameless("90", &[]), Err(ProofError::RunsOffEnd { at: 0 }));
        assert_eq!(frameless("74 10 c3", &[]), Err(ProofError::RunsOffEnd { at: 0 }));
        assert_eq!(frameless("74 f0 c3", &[]), Err(ProofError::RunsOffEnd { at: 0 }));
        assert_eq!(frameless("90 cc", &[]), Err(ProofError::ReachesPadding { at: 1 }));
        assert_eq!(frameless("74 01 b8 c3 00 00 00 c3", &[]), Err(ProofError::Overlap { at: 3 }));
        assert!(matches!(frameless("0f 05", &[]), Err(ProofError::Decode(_))));
    }

    #[test]
    fn frameless_code_leaves_the_stack_alone() {
        assert_eq!(frameless("50 58 c3", &[]), Err(ProofError::StackUse { at: 0 }));
        assert_eq!(frameless("48 8b 04 24 c3", &[]), Err(ProofError::StackUse { at: 0 }));
        assert_eq!(frameless("48 8b 45 00 c3", &[]), Err(ProofError::StackUse { at: 0 }));
        assert_eq!(frameless("48 89 e0 c3", &[]), Err(ProofError::StackUse { at: 0 }));
        assert_eq!(frameless("ff d0 c3", &[]), Err(ProofError::Call { at: 0 }));
    }

    #[test]
    fn leftovers() {
        assert_eq!(frameless("c3 cc 66 90 0f 1f 00 cc", &[]), Ok(()));
        assert_eq!(frameless("c3 c3", &[]), Err(ProofError::Leftover { at: 1 }));
        assert_eq!(frameless("c3 00", &[]), Err(ProofError::Leftover { at: 1 }));
        assert_eq!(frameless("eb 01 c3 c3", &[]), Err(ProofError::Leftover { at: 2 }));
        assert_eq!(prove(&bytes("cc cc c3"), 2, true, &[]), Ok(()));
        assert_eq!(prove(&bytes("cc c3 c3"), 2, true, &[]), Err(ProofError::Leftover { at: 1 }));
    }

    #[test]
    fn constants() {
        let pool = "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 80";
        // andps xmm0, [rip + 9]; ret; padding; constant at 16
        assert_eq!(
            frameless(&format!("0f 54 05 09 00 00 00 c3 cc cc 00 00 00 00 00 00 {pool}"), &[]),
            Ok(())
        );
        let bad = Err(ProofError::BadConstant { at: 0 });
        // Misaligned, cut off, inside of the code, written, jumped to.
        assert_eq!(frameless(&format!("0f 54 05 01 00 00 00 c3 {pool}"), &[]), bad);
        assert_eq!(frameless("0f 54 05 09 00 00 00 c3 00 00 00 00 00 00 00 00 01", &[]), bad);
        assert_eq!(frameless("8b 05 fe ff ff ff c3", &[]), bad);
        assert_eq!(frameless("89 05 02 00 00 00 c3 cc 01 02 03 04", &[]), bad);
        assert_eq!(frameless("ff 25 00 00 00 00 01 02 03 04 05 06 07 08", &[]), bad);
        // Bytes behind the constant that nobody reads; too many zeros before it.
        let read = "8b 05 02 00 00 00 c3 cc 01 02 03 04";
        assert_eq!(frameless(read, &[]), Ok(()));
        assert_eq!(frameless(&format!("{read} 05 06 07 08"), &[]), Ok(()), "the upper half of a constant");
        assert_eq!(frameless(&format!("{read} 05 06 07 08 c3"), &[]), Err(ProofError::Leftover { at: 16 }));
        let far = "8b 05 11 00 00 00 c3 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 01 02 03 04";
        assert_eq!(frameless(far, &[]), Err(ProofError::Leftover { at: 22 }));
        // A constant cannot fault.
        assert_eq!(frameless(read, &[(0, 2)]), Err(ProofError::CannotFault { at: 0, code: 2 }));
    }

    #[test]
    fn tables_of_masks_are_constants_and_jump_tables_are_not() {
        // lea rax, [rip + 9]; ret
        let mut code = bytes("48 8d 05 09 00 00 00 c3 00 00 00 00 00 00 00 00");
        code.extend((0..8).flat_map(|row| [0xff << row; 16]));
        assert_eq!(prove(&code, 0, true, &[]), Ok(()));
        code[17] = 0;
        assert_eq!(prove(&code, 0, true, &[]), Err(ProofError::BadConstant { at: 0 }));
        code.truncate(32);
        assert_eq!(prove(&code, 0, true, &[]), Err(ProofError::BadConstant { at: 0 }));
    }

    const ENTER: &str = "55 48 89 e5 48 83 ec 10 ";
    const LEAVE: &str = "48 83 c4 10 48 89 ec 5d ";

    #[test]
    fn spills_are_followed_through_calls() {
        // mov [rsp], rdi; mov [rsp + 8], rsi; call rax; mov rdi, [rsp]; mov rsi, [rsp + 8]; mov eax, [rdx]
        let spill = "48 89 3c 24 48 89 74 24 08 ff d0 ";
        let reload = "48 8b 3c 24 48 8b 74 24 08 ";
        let tail = format!("8b 02 {LEAVE}41 ff e2");
        assert_eq!(framed(&format!("{ENTER}{spill}{reload}{tail}"), &[(28, 2)]), Ok(()));
        assert_eq!(framed(&format!("{ENTER}{spill}{tail}"), &[(19, 2)]), wrong(19, "rdi", Value::Unknown));
        // movups [rsp + 4], xmm0 overwrites half of both.
        let overwrite = "0f 11 44 24 04 ";
        assert_eq!(framed(&format!("{ENTER}{spill}{reload}{tail}"), &[(28, 2)]), Ok(()));
        let text = format!("{ENTER}{}{overwrite}{reload}{tail}", "48 89 3c 24 48 89 74 24 08 ");
        assert_eq!(
            framed(&text, &[]),
            Err(ProofError::FrameLeft { at: 41 }),
            "rbp's slot is overwritten too"
        );
        assert_eq!(framed(&text, &[(31, 2)]), Err(ProofError::FrameLeft { at: 41 }));
        let text = format!("{ENTER}48 89 3c 24 c7 44 24 04 00 00 00 00 48 8b 3c 24 {tail}");
        assert_eq!(framed(&text, &[(24, 2)]), wrong(24, "rdi", Value::Unknown));
    }

    #[test]
    fn frames_are_taken_down() {
        assert_eq!(framed(&format!("{ENTER}{LEAVE}c3"), &[]), Ok(()));
        assert_eq!(framed(&format!("{ENTER}48 89 ec 5d c3"), &[]), Ok(()));
        assert_eq!(framed(&format!("{ENTER}c3"), &[]), Err(ProofError::FrameLeft { at: 8 }));
        assert_eq!(framed("55 48 89 e5 48 83 c4 08 c3", &[]), Err(ProofError::FrameLeft { at: 8 }));
        assert_eq!(framed("55 58 c3", &[]), Ok(()));
        assert_eq!(framed("55 48 89 44 24 00 5d c3", &[]), Err(ProofError::FrameLeft { at: 7 }));
        assert_eq!(framed("48 89 44 24 08 c3", &[]), Err(ProofError::StackUse { at: 0 }));
        assert_eq!(framed("48 83 e4 f0 50 58 c3", &[]), Err(ProofError::StackUse { at: 4 }));
        assert_eq!(framed("e8 00 00 00 00 c3", &[]), Err(ProofError::Call { at: 0 }));
    }
}
