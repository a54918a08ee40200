//! The frame of an interpreted function on the value stack.
//!
//! ```text
//! fp ─► params | locals | (unused) | record | temps …     (8-byte slots, the stack grows upwards)
//!                                    └ return ip, caller's fp, real return ip, caller's context
//! ```
//!
//! Local `i` lies in slot `i`. The callee's params are the caller's outgoing temps: a call copies nothing. Results are left
//! from the frame's first slot on; a single result is in the accumulator as well (see [`crate::regs`]). Where native code or the host
//! has left it, handlers load the accumulator from the whole slot, so that both zero-extend an `i32` there. The record starts
//! behind the larger of locals and results, so that results do not overwrite it while the return still reads it.
//!
//! The record's last two words are written only when the caller belongs to another context: the return ip is then the
//! return-switch cell, which restores the caller's context and goes on at the real return ip.

/// Slots that a frame's record takes.
pub const RECORD_SLOTS: u32 = 4;
/// Byte offset inside the record: where the caller goes on.
pub const RECORD_RETURN_IP: i32 = 0;
/// Byte offset inside the record: the caller's frame.
pub const RECORD_CALLER_FP: i32 = 8;
/// Byte offset inside the record: where the caller goes on after its context is restored.
pub const RECORD_REAL_RETURN_IP: i32 = 16;
/// Byte offset inside the record: the caller's context.
pub const RECORD_CALLER_CONTEXT: i32 = 24;

/// The slot where a frame's record starts, from the slots of its locals (params included) and of its results.
pub const fn record_slot(locals: u32, results: u32) -> u32 {
    if locals > results { locals } else { results }
}

/// The canonical slot of the operand at a height, in slots, above an empty operand stack.
pub const fn temp_slot(record_slot: u32, height: u32) -> u32 {
    record_slot + RECORD_SLOTS + height
}
