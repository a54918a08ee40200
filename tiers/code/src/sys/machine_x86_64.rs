//! The registers in a signal's machine context, on x86-64: the handlers' ip, fp and context are rdi, rsi and r15. And the
//! running code's stack pointer.

use crate::trap::{Landing, Registers};
use crescendo_abi::regs;
use libc::{REG_R15, REG_RBP, REG_RDI, REG_RIP, REG_RSI, REG_RSP, ucontext_t};
use std::arch::asm;
use std::ptr::with_exposed_provenance_mut;

// `ucontext_t` numbers registers in its own way, hence the names here; these hold them to the contract.
const _: () =
    assert!(regs::X64_INT_ARGS[regs::IP] == 7 && regs::X64_INT_ARGS[regs::FP] == 6 && regs::X64_PINNED == 15);

/// Reads what the interrupted code's registers held.
pub(super) fn registers(machine: &ucontext_t) -> Registers {
    let register = |index: libc::c_int| machine.uc_mcontext.gregs[index as usize] as usize;
    Registers {
        pc: register(REG_RIP),
        ip: with_exposed_provenance_mut(register(REG_RDI)),
        fp: with_exposed_provenance_mut(register(REG_RSI)),
        context: with_exposed_provenance_mut(register(REG_R15)),
        frame_pointer: with_exposed_provenance_mut(register(REG_RBP)),
        sp: register(REG_RSP),
    }
}

/// Makes the interrupted code go on at the landing when the signal handler returns.
pub(super) fn land(machine: &mut ucontext_t, landing: Landing) {
    machine.uc_mcontext.gregs[REG_RIP as usize] = landing.pc as libc::greg_t;
    machine.uc_mcontext.gregs[REG_RSP as usize] = landing.sp as libc::greg_t;
    if let Some([first, second]) = landing.arguments {
        machine.uc_mcontext.gregs[REG_RDI as usize] = first as libc::greg_t;
        machine.uc_mcontext.gregs[REG_RSI as usize] = second as libc::greg_t;
    }
}

/// The stack pointer in the function that this is inlined into.
///
/// The address of a local would not do: AddressSanitizer keeps locals whose address is taken on a heap of its own.
#[inline(always)] // One instruction, and its value is the caller's.
pub fn stack_pointer() -> usize {
    let pointer;
    // SAFETY: copies a register.
    unsafe { asm!("mov {}, rsp", out(reg) pointer, options(nomem, nostack, preserves_flags)) };
    pointer
}

/// A CPU feature that handlers use and this machine does not have. The baseline is x86-64-v2.
///
/// Asks the processor once: all of the baseline stands in one answer. `is_x86_feature_detected` asks for all that there is, and in a
/// virtual machine each question is answered by the host, in a microsecond or more.
pub fn missing_cpu_feature() -> Option<&'static str> {
    const BASELINE: [(&str, u32); 6] =
        [("cmpxchg16b", 13), ("popcnt", 23), ("sse3", 0), ("ssse3", 9), ("sse4.1", 19), ("sse4.2", 20)];
    let features = std::arch::x86_64::__cpuid(1).ecx;
    BASELINE.into_iter().find(|(_, bit)| features >> bit & 1 == 0).map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::missing_cpu_feature;

    #[test]
    fn the_baseline_is_what_the_standard_library_detects() {
        let detected = [
            ("cmpxchg16b", std::is_x86_feature_detected!("cmpxchg16b")),
            ("popcnt", std::is_x86_feature_detected!("popcnt")),
            ("sse3", std::is_x86_feature_detected!("sse3")),
            ("ssse3", std::is_x86_feature_detected!("ssse3")),
            ("sse4.1", std::is_x86_feature_detected!("sse4.1")),
            ("sse4.2", std::is_x86_feature_detected!("sse4.2")),
        ];
        let missing = detected.into_iter().find(|(_, present)| !present).map(|(name, _)| name);
        assert_eq!(missing_cpu_feature(), missing);
    }
}
