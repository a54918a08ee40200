//! The registers in a signal's machine context, on aarch64: the handlers' ip, fp and context are x2, x3 and x21. And the
//! running code's stack pointer.

use crate::trap::{Landing, Registers};
use crescendo_abi::regs;
use libc::ucontext_t;
use std::arch::asm;
use std::ptr::with_exposed_provenance_mut;

const IP: usize = regs::A64_INT_ARGS[regs::IP] as usize;
const FP: usize = regs::A64_INT_ARGS[regs::FP] as usize;
const CONTEXT: usize = regs::A64_PINNED as usize;

/// Reads what the interrupted code's registers held.
pub(super) fn registers(machine: &ucontext_t) -> Registers {
    let machine = &machine.uc_mcontext;
    Registers {
        pc: machine.pc as usize,
        ip: with_exposed_provenance_mut(machine.regs[IP] as usize),
        fp: with_exposed_provenance_mut(machine.regs[FP] as usize),
        context: with_exposed_provenance_mut(machine.regs[CONTEXT] as usize),
        sp: machine.sp as usize,
        frame_pointer: with_exposed_provenance_mut(machine.regs[29] as usize),
    }
}

/// Makes the interrupted code go on at the landing when the signal handler returns.
pub(super) fn land(machine: &mut ucontext_t, landing: Landing) {
    machine.uc_mcontext.pc = landing.pc as u64;
    machine.uc_mcontext.sp = landing.sp as u64;
    if let Some([first, second]) = landing.arguments {
        machine.uc_mcontext.regs[0] = first as u64;
        machine.uc_mcontext.regs[1] = second as u64;
    }
}

/// The stack pointer in the function that this is inlined into.
///
/// The address of a local would not do: AddressSanitizer keeps locals whose address is taken on a heap of its own.
#[inline(always)] // One instruction, and its value is the caller's.
pub fn stack_pointer() -> usize {
    let pointer;
    // SAFETY: copies a register.
    unsafe { asm!("mov {}, sp", out(reg) pointer, options(nomem, nostack, preserves_flags)) };
    pointer
}

/// A CPU feature that handlers use and this machine does not have. The baseline is ARMv8.0-A, which every machine has.
pub fn missing_cpu_feature() -> Option<&'static str> {
    None
}
