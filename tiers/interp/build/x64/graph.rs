//! The instructions of a handler that can be reached from its entry.

use std::collections::BTreeMap;

use super::super::proof::ProofError;
use super::decode::decode;
use super::inst::{Base, Flow, Inst, Mem, RBP, RSP, RegSet};

/// rsp and rbp.
pub const FRAME_REGS: RegSet = RegSet::of(&[RSP, RBP]);

/// Reachable instructions by their offsets. They do not overlap and every path among them ends in an instruction that leaves.
pub struct Graph {
    /// The instructions, ascending.
    pub insts: BTreeMap<usize, Inst>,
}

impl Graph {
    /// Decodes everything that can be reached from `entry`.
    ///
    /// # Errors
    ///
    /// When a path meets an unknown encoding, padding, another instruction's middle or the end of the code.
    pub fn new(code: &[u8], entry: usize) -> Result<Graph, ProofError> {
        let mut insts = BTreeMap::new();
        let mut todo = vec![(entry, entry)];
        while let Some((at, from)) = todo.pop() {
            if insts.contains_key(&at) {
                continue;
            }
            if at >= code.len() {
                return Err(ProofError::RunsOffEnd { at: from });
            }
            let inst = decode(code, at)?;
            if inst.flow == Flow::Breakpoint {
                return Err(ProofError::ReachesPadding { at });
            }
            for target in successors(at, &inst).into_iter().flatten() {
                let target = usize::try_from(target).map_err(|_| ProofError::RunsOffEnd { at })?;
                todo.push((target, at));
            }
            insts.insert(at, inst);
        }
        let mut end = 0;
        for (&at, inst) in &insts {
            if at < end {
                return Err(ProofError::Overlap { at });
            }
            end = at + inst.len;
        }
        Ok(Graph { insts })
    }

    /// Offset behind the last instruction.
    pub fn end(&self) -> usize {
        self.insts.last_key_value().map_or(0, |(&at, inst)| at + inst.len)
    }
}

/// Where control can go next inside of the code.
pub fn successors(at: usize, inst: &Inst) -> [Option<i64>; 2] {
    let next = Some((at + inst.len) as i64);
    match inst.flow {
        Flow::Next | Flow::Call { .. } => [next, None],
        Flow::Jump(target) => [Some(target), None],
        Flow::Branch(target) => [next, Some(target)],
        Flow::JumpIndirect | Flow::Return | Flow::Undefined | Flow::Breakpoint => [None, None],
    }
}

/// Whether the instruction does anything with the native stack or its registers; a return does not count.
pub fn uses_stack(inst: &Inst) -> bool {
    inst.flow != Flow::Return && inst.regs.intersects(FRAME_REGS)
}

/// Offset in the code that a rip-relative operand of the instruction at `at` means.
pub fn constant_target(at: usize, inst: &Inst, mem: &Mem) -> Option<i64> {
    (mem.base == Base::Rip).then(|| (at + inst.len) as i64 + i64::from(mem.disp))
}
