//! Removes native frames from handlers.
//!
//! Cranelift gives each function that makes a tail call a frame, which costs an interpreter half its speed. A frame in which
//! nothing lies but saved registers is of no use here, because the entry trampoline saves them all. The entry moves behind the
//! prologue, and at each exit the jump or return is copied over the start of the epilogue. No other byte moves, so that offsets
//! of traps, branches and constants stay as they are.
//!
//! Soundness: besides the prologue and the epilogues no reachable instruction mentions rsp or rbp, each epilogue restores exactly what
//! the prologue saved, and no branch leads into either. What differs is only the contents of saved registers after the exit.

use std::fmt;
use std::ops::Range;

use super::super::proof::ProofError;
use super::graph::{Graph, constant_target, successors, uses_stack};
use super::inst::{Base, Effect, Flow, Inst, Mem, RBP, RSP, Reg, RegSet};

/// Callee-saved registers other than rbp and the pinned r15: rbx, r12, r13, r14.
const SAVED: RegSet = RegSet::of(&[3, 12, 13, 14]);

/// int3.
pub const PADDING: u8 = 0xcc;

/// A handler without a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stripped {
    /// Offset of its first instruction; only padding lies before.
    pub entry: usize,
}

/// Why a handler keeps its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhyNot {
    /// It makes a call.
    Calls { at: usize },
    /// It uses the stack for more than saving registers.
    Spills { at: usize },
    /// Its frame is not of the shape that is known here: a fault of this module or a change in Cranelift.
    Shape { at: usize, reason: &'static str },
    /// Its code cannot be followed.
    Code(ProofError),
}

impl fmt::Display for WhyNot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            WhyNot::Calls { at } => write!(f, "call at {at:#x}"),
            WhyNot::Spills { at } => write!(f, "spill at {at:#x}"),
            WhyNot::Shape { at, reason } => write!(f, "{reason} at {at:#x}"),
            WhyNot::Code(error) => write!(f, "{error}"),
        }
    }
}

/// What a prologue does.
struct Frame {
    /// Offset behind the prologue.
    end: usize,
    /// Bytes subtracted from rsp.
    size: i64,
    /// Registers saved at rsp + 0, + 8, ...
    saves: Vec<Reg>,
}

/// Removes the frame of a handler that starts at offset 0. On an error the code is as before.
///
/// # Errors
///
/// When the handler needs its frame, or its code is not understood.
pub fn strip(code: &mut Vec<u8>) -> Result<Stripped, WhyNot> {
    let graph = Graph::new(code, 0).map_err(WhyNot::Code)?;
    if let Some((&at, _)) = graph.insts.iter().find(|(_, inst)| matches!(inst.flow, Flow::Call { .. })) {
        return Err(WhyNot::Calls { at });
    }
    let frame = match graph.insts.get(&0).map(|inst| inst.effect) {
        Some(Effect::Push { src: RBP }) => prologue(&graph)?,
        _ => Frame { end: 0, size: 0, saves: Vec::new() },
    };
    let mut epilogues = Vec::new();
    for (&at, inst) in &graph.insts {
        if frame.end > 0 && matches!(inst.flow, Flow::JumpIndirect | Flow::Return) {
            epilogues.push((epilogue(&graph, &frame, at, inst)?, at..at + inst.len));
        }
    }
    check_body(&graph, &frame, &epilogues)?;
    for (frame_part, exit) in epilogues {
        code.copy_within(exit.clone(), frame_part.start);
        code[frame_part.start + exit.len()..exit.end].fill(PADDING);
    }
    code[..frame.end].fill(PADDING);
    // Constants, if there are any, lie behind the last instruction; without them the code ends with the last exit.
    if graph.end() == code.len() {
        let end = Graph::new(code, frame.end).map_err(WhyNot::Code)?.end();
        code.truncate(end);
    }
    Ok(Stripped { entry: frame.end })
}

fn shape(at: usize, reason: &'static str) -> WhyNot {
    WhyNot::Shape { at, reason }
}

/// A memory operand at rsp plus a constant.
fn stack_slot(mem: Option<Mem>) -> Option<i32> {
    mem.filter(|mem| mem.base == Base::Reg(RSP) && mem.index.is_none()).map(|mem| mem.disp)
}

/// push rbp; mov rbp, rsp; [sub rsp, size; mov [rsp], r; mov [rsp + 8], r; ...]
fn prologue(graph: &Graph) -> Result<Frame, WhyNot> {
    let at = |at: usize| graph.insts.get(&at).copied();
    let mut end = at(0).map_or(0, |push| push.len);
    match at(end) {
        Some(inst) if inst.effect == (Effect::Move { dst: RBP, src: RSP }) => end += inst.len,
        _ => return Err(shape(end, "no frame pointer is set up")),
    }
    let mut frame = Frame { end, size: 0, saves: Vec::new() };
    if let Some(inst) = at(end)
        && let Effect::Add { dst: RSP, value } = inst.effect
    {
        frame.size = -value;
        frame.end += inst.len;
    }
    while frame.size > 0
        && let Some(inst) = at(frame.end)
        && let Effect::Store { src } = inst.effect
        && SAVED.contains(src)
        && !frame.saves.contains(&src)
        && stack_slot(inst.mem) == Some(8 * frame.saves.len() as i32)
    {
        frame.saves.push(src);
        frame.end += inst.len;
    }
    // Saved registers lie above spill slots: if there are any, the first store is not at rsp + 0 or the frame is larger.
    let needed = (8 * frame.saves.len() as i64 + 15) / 16 * 16;
    if frame.size != needed { Err(WhyNot::Spills { at: frame.end }) } else { Ok(frame) }
}

/// The part of the code that tears the frame down before the exit at `exit`:
/// [mov r, [rsp]; mov r, [rsp + 8]; ...; add rsp, size]; mov rsp, rbp; pop rbp.
fn epilogue(graph: &Graph, frame: &Frame, exit: usize, inst: &Inst) -> Result<Range<usize>, WhyNot> {
    let mut expected = Vec::new();
    for (slot, &dst) in frame.saves.iter().enumerate() {
        expected.push((Effect::Load { dst }, Some(8 * slot as i32)));
    }
    if frame.size > 0 {
        expected.push((Effect::Add { dst: RSP, value: frame.size }, None));
    }
    expected.push((Effect::Move { dst: RSP, src: RBP }, None));
    expected.push((Effect::Pop { dst: RBP }, None));

    let mut before = graph.insts.range(..exit).rev();
    let mut start = exit;
    for (effect, slot) in expected.into_iter().rev() {
        let Some((&at, found)) = before.next() else { return Err(shape(start, "no epilogue")) };
        if at + found.len != start || found.flow != Flow::Next || found.effect != effect {
            return Err(shape(at, "unexpected instruction in an epilogue"));
        }
        if slot.is_some() && stack_slot(found.mem) != slot {
            return Err(shape(at, "register restored from another slot than it was saved to"));
        }
        start = at;
    }
    let mut restored = RegSet::of(&frame.saves);
    restored.insert(RBP);
    let relative = inst.mem.is_some_and(|mem| mem.base == Base::Rip);
    if inst.flow == Flow::JumpIndirect
        && (inst.regs.intersects(restored) || inst.regs.contains(RSP) || relative)
    {
        return Err(shape(exit, "exit depends on the epilogue"));
    }
    Ok(start..exit)
}

/// Proves that nothing but the frame's own instructions uses the stack and that no branch or constant refers into them.
fn check_body(
    graph: &Graph,
    frame: &Frame,
    epilogues: &[(Range<usize>, Range<usize>)],
) -> Result<(), WhyNot> {
    let in_frame = |at: usize| at < frame.end || epilogues.iter().any(|(part, _)| part.contains(&at));
    // The start of an epilogue may be a target: the exit is moved there.
    let moved =
        |at: usize| at < frame.end || epilogues.iter().any(|(part, exit)| part.start < at && at < exit.end);
    for (&at, inst) in &graph.insts {
        if !in_frame(at) && uses_stack(inst) {
            return Err(WhyNot::Spills { at });
        }
        let jumps = matches!(inst.flow, Flow::Jump(_) | Flow::Branch(_));
        for target in successors(at, inst).into_iter().flatten().filter(|_| jumps) {
            if usize::try_from(target).is_ok_and(moved) {
                return Err(shape(at, "branch into a prologue or epilogue"));
            }
        }
        let constant = inst.mem.as_ref().and_then(|mem| constant_target(at, inst, mem));
        if constant.is_some_and(|target| target < graph.end() as i64) {
            return Err(shape(at, "constant inside of the code"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::bytes;
    use super::*;

    const ENTER: &str = "55 48 89 e5 ";
    const LEAVE: &str = "48 89 ec 5d ";
    /// sub rsp, 16; mov [rsp], rbx; mov [rsp + 8], r12
    const SAVE: &str = "48 83 ec 10 48 89 1c 24 4c 89 64 24 08 ";
    /// mov rbx, [rsp]; mov r12, [rsp + 8]; add rsp, 16
    const RESTORE: &str = "48 8b 1c 24 4c 8b 64 24 08 48 83 c4 10 ";

    fn code(parts: &[&str]) -> Vec<u8> {
        bytes(&parts.concat())
    }

    fn refused(parts: &[&str]) -> WhyNot {
        let before = code(parts);
        let mut after = before.clone();
        let why = strip(&mut after).expect_err("the handler needs its frame");
        assert_eq!(before, after, "refused code is unchanged");
        why
    }

    fn is_shape(why: WhyNot) -> bool {
        matches!(why, WhyNot::Shape { .. })
    }

    #[test]
    fn plain_frame() {
        let mut code = code(&[ENTER, "4c 8b 17 ", LEAVE, "41 ff e2"]);
        assert_eq!(strip(&mut code), Ok(Stripped { entry: 4 }));
        assert_eq!(code, bytes("cc cc cc cc 4c 8b 17 41 ff e2"));
    }

    #[test]
    fn saved_registers_and_return_at_the_end() {
        let body = "48 8b 5f 08 48 85 db 74 17 ";
        let mut code = code(&[ENTER, SAVE, body, RESTORE, LEAVE, "41 ff e2 90 90 90 ", RESTORE, LEAVE, "c3"]);
        assert_eq!(strip(&mut code), Ok(Stripped { entry: 17 }));
        let mut expected = vec![0xcc; 17];
        expected.extend(bytes(body));
        expected.extend(bytes("41 ff e2"));
        expected.resize(17 + 9 + 20, 0xcc);
        expected.extend(bytes("90 90 90 c3"));
        assert_eq!(code, expected);
    }

    #[test]
    fn no_frame_and_trap_only() {
        let mut bare = bytes("4c 8b 17 41 ff e2");
        assert_eq!(strip(&mut bare), Ok(Stripped { entry: 0 }));
        let mut trap = code(&[ENTER, "0f 0b"]);
        assert_eq!(strip(&mut trap), Ok(Stripped { entry: 4 }));
        assert_eq!(trap, bytes("cc cc cc cc 0f 0b"));
    }

    #[test]
    fn constants_stay_where_they_are() {
        // movsd xmm0, [rip + 12], read from offset 24
        let mut code = code(&[
            ENTER,
            "f2 0f 10 05 0c 00 00 00 ",
            LEAVE,
            "ff e0 00 00 00 00 00 00 ",
            "01 02 03 04 05 06 07 08",
        ]);
        let before = code.clone();
        assert_eq!(strip(&mut code), Ok(Stripped { entry: 4 }));
        assert_eq!(code.len(), before.len());
        assert_eq!(code[18..], before[18..]);
        assert_eq!(code[12..18], bytes("ff e0 cc cc cc cc"));
    }

    #[test]
    fn jump_that_ends_like_padding_is_kept() {
        // jmp [rax - 52]
        let mut code = code(&[ENTER, LEAVE, "ff 60 cc"]);
        assert_eq!(strip(&mut code), Ok(Stripped { entry: 4 }));
        assert_eq!(code, bytes("cc cc cc cc ff 60 cc"));
    }

    #[test]
    fn calls_and_spills_keep_the_frame() {
        assert_eq!(refused(&[ENTER, "ff d0 ", LEAVE, "c3"]), WhyNot::Calls { at: 4 });
        // A spill behind the saves, whose store looks like a save.
        let spill = "48 83 ec 20 48 89 5c 24 10 4c 89 24 24 ";
        assert!(matches!(refused(&[ENTER, spill, "48 83 c4 20 ", LEAVE, "c3"]), WhyNot::Spills { .. }));
        // A third save that is none: the frame has no room for it.
        let third = "4c 89 6c 24 10 ";
        assert_eq!(refused(&[ENTER, SAVE, third, RESTORE, LEAVE, "c3"]), WhyNot::Spills { at: 22 });
        assert_eq!(refused(&[ENTER, "48 8b 45 10 ", LEAVE, "c3"]), WhyNot::Spills { at: 4 });
        assert_eq!(refused(&["48 8b 04 24 c3"]), WhyNot::Spills { at: 0 });
        // A red zone without a frame.
        assert_eq!(refused(&[ENTER, "48 89 44 24 f8 ", LEAVE, "c3"]), WhyNot::Spills { at: 4 });
        // lea rax, [rsp]
        assert_eq!(refused(&[ENTER, "48 8d 04 24 ", LEAVE, "c3"]), WhyNot::Spills { at: 4 });
    }

    #[test]
    fn unexpected_shapes_are_refused() {
        assert!(is_shape(refused(&[ENTER, "c3"])));
        assert!(is_shape(refused(&["55 90 ", LEAVE, "c3"])));
        assert!(is_shape(refused(&[ENTER, SAVE, LEAVE, "c3"])));
        let swapped = "4c 8b 24 24 48 8b 5c 24 08 48 83 c4 10 ";
        assert!(is_shape(refused(&[ENTER, SAVE, swapped, LEAVE, "c3"])));
        let other_slot = "48 8b 5c 24 08 4c 8b 64 24 08 48 83 c4 10 ";
        assert!(is_shape(refused(&[ENTER, SAVE, other_slot, LEAVE, "c3"])));
        // One of two exits without an epilogue.
        assert!(is_shape(refused(&[ENTER, "74 05 ", LEAVE, "c3 c3"])));
        // A branch to the pop of an epilogue.
        assert!(is_shape(refused(&[ENTER, "74 03 ", LEAVE, "c3"])));
        // A branch back into the prologue.
        assert!(is_shape(refused(&[ENTER, SAVE, "74 f1 ", RESTORE, LEAVE, "c3"])));
        // jmp rbx, which the epilogue restores; jmp [rsp]; jmp [rip]
        assert!(is_shape(refused(&[ENTER, SAVE, RESTORE, LEAVE, "ff e3"])));
        assert!(is_shape(refused(&[ENTER, LEAVE, "ff 24 24"])));
        assert!(is_shape(refused(&[ENTER, LEAVE, "ff 25 00 00 00 00"])));
    }

    #[test]
    fn code_that_cannot_be_followed() {
        assert!(matches!(
            refused(&[ENTER, "c5 f8 58 c1 ", LEAVE, "c3"]),
            WhyNot::Code(ProofError::Decode(_))
        ));
        assert!(matches!(refused(&[ENTER, "90"]), WhyNot::Code(ProofError::RunsOffEnd { at: 4 })));
    }
}
