//! A system that refuses executable memory: everything is interpreted, and all is as before.

use crate::{sharing, stack, tiering};
use std::process::Command;

/// Set in the process that runs under the filter.
const ALONE: &str = "CRESCENDO_TEST_REFUSED";

/// Offsets in `seccomp_data`: the number of the call, and the low half of its third argument.
const CALL: u32 = 0;
const THIRD_ARGUMENT: u32 = 32;

/// Makes the kernel refuse every mapping and every change of protection that asks for execution, for this thread and those that it
/// starts from now on.
fn refuse_executable_memory() {
    let statement = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let jump = |code: u32, k: u32, jt: u8, jf: u8| libc::sock_filter { code: code as u16, jt, jf, k };
    let load = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    let equal = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    let has_bit = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;
    let answer = libc::BPF_RET | libc::BPF_K;
    let mut program = [
        statement(load, CALL),
        jump(equal, libc::SYS_mmap as u32, 1, 0),
        jump(equal, libc::SYS_mprotect as u32, 0, 3),
        statement(load, THIRD_ARGUMENT),
        jump(has_bit, libc::PROT_EXEC as u32, 0, 1),
        statement(answer, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        statement(answer, libc::SECCOMP_RET_ALLOW),
    ];
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: the call has no memory arguments.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }, 0);
    // SAFETY: `filter` points to a program, which the kernel copies.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter) }, 0);
}

#[test]
fn without_executable_memory_everything_is_interpreted() {
    if std::env::var_os(ALONE).is_none() {
        let status = Command::new(std::env::current_exe().expect("a test has a file"))
            .args([
                "refused::without_executable_memory_everything_is_interpreted",
                "--exact",
                "--test-threads=1",
            ])
            .env(ALONE, "1")
            .status()
            .expect("the test can be started");
        assert!(status.success(), "{status}");
        return;
    }
    refuse_executable_memory();
    tiering::interpreted_where_code_is_refused();
    tiering::mutual_tail_calls_take_constant_stack_in_every_mix();
    tiering::deep_mutual_recursion_ends_in_a_trap_in_every_mix();
    tiering::backtraces_through_mixed_frames_are_those_of_the_interpreter();
    tiering::loops_in_loops_are_taken_over_in_the_middle();
    tiering::a_deadline_ends_guests_in_every_mode();
    sharing::imports_of_all_kinds_are_shared();
    stack::endless_recursion_is_a_trap();
}
