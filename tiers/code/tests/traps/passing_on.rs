//! What is not a trap reaches the handler that was installed before.

use crate::guest::{Code, Guest, in_child};
use crescendo_code::install_trap_handlers;
use libc::{SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, c_int, c_void, siginfo_t};
use std::os::unix::process::ExitStatusExt;
use std::process::Output;
use std::sync::atomic::{AtomicI32, Ordering};
use std::{hint, mem, ptr};

fn assert_killed(output: &Output, signal: c_int) {
    assert_eq!(
        output.status.signal(),
        Some(signal),
        "{:?}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}

fn assert_exited(output: &Output, code: i32) {
    assert_eq!(
        output.status.code(),
        Some(code),
        "{:?}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}

fn set_action(signal: c_int, handler: usize, flags: c_int) {
    // SAFETY: zeros are a valid `sigaction`.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = handler;
    action.sa_flags = flags;
    // SAFETY: `action` is valid, and the tests give handlers that fit the flags.
    assert_eq!(unsafe { libc::sigaction(signal, &action, ptr::null_mut()) }, 0);
}

fn send(signal: c_int) {
    // SAFETY: no preconditions.
    unsafe { libc::raise(signal) };
}

/// An address that is mapped nowhere and belongs to no guard region.
const NOWHERE: usize = 1 << 20;

extern "C" fn exit_with_signal(signal: c_int) {
    // SAFETY: no preconditions.
    unsafe { libc::_exit(100 + signal) }
}

static LAST: AtomicI32 = AtomicI32::new(0);
static COUNT: AtomicI32 = AtomicI32::new(0);

extern "C" fn count(signal: c_int) {
    LAST.store(signal, Ordering::Relaxed);
    COUNT.fetch_add(1, Ordering::Relaxed);
}

extern "C" fn exit_if_told_all(signal: c_int, info: *mut siginfo_t, machine: *mut c_void) {
    // SAFETY: the handler is called with valid arguments.
    let info = unsafe { &*info };
    // SAFETY: a fault's information has an address.
    let address = unsafe { info.si_addr() };
    let told = signal == SIGSEGV && address.addr() == NOWHERE && !machine.is_null();
    // SAFETY: no preconditions.
    unsafe { libc::_exit(if told { 42 } else { 43 }) }
}

extern "C" fn skip_load(_: c_int, _: *mut siginfo_t, machine: *mut c_void) {
    // SAFETY: the handler is called with the machine context, which is its own until it returns.
    let machine = unsafe { &mut *machine.cast::<libc::ucontext_t>() };
    machine.uc_mcontext.gregs[libc::REG_RIP as usize] += 3;
}

#[test]
fn a_fault_outside_guard_regions_kills() {
    let output = in_child("passing_on::a_fault_outside_guard_regions_kills", || {
        Guest::new().run(Code::Load, NOWHERE);
    });
    assert_killed(&output, SIGSEGV);
}

#[test]
fn a_fault_behind_the_guard_region_kills() {
    let output = in_child("passing_on::a_fault_behind_the_guard_region_kills", || {
        let mut guest = Guest::new();
        let end = guest.guard_end(0);
        guest.run(Code::Load, end);
    });
    assert_killed(&output, SIGSEGV);
}

#[test]
fn a_fault_in_an_unguarded_memory_kills() {
    let output = in_child("passing_on::a_fault_in_an_unguarded_memory_kills", || {
        let mut guest = Guest::new();
        let address = guest.guard_end(0) - 8;
        assert_eq!(guest.run(Code::Load, address), guest.expected(Code::Load));
        guest.unguard(0);
        guest.run(Code::Load, address);
    });
    assert_killed(&output, SIGSEGV);
}

#[test]
fn a_fault_at_a_pc_without_a_row_kills() {
    let output = in_child("passing_on::a_fault_at_a_pc_without_a_row_kills", || {
        let mut guest = Guest::new();
        let address = guest.guard_end(0) - 8;
        guest.run(Code::LoadWithoutRow, address);
    });
    assert_killed(&output, SIGSEGV);
}

#[test]
fn a_wild_access_through_a_record_kills() {
    let output = in_child("passing_on::a_wild_access_through_a_record_kills", || {
        Guest::new().run(Code::LoadNull, NOWHERE);
    });
    assert_killed(&output, SIGSEGV);
}

#[test]
fn an_address_that_is_none_kills() {
    let output = in_child("passing_on::an_address_that_is_none_kills", || {
        // The kernel reports address 0 for it, with another code.
        Guest::new().run(Code::LoadNull, 1 << 63);
    });
    assert_killed(&output, SIGSEGV);
}

#[test]
fn a_signal_that_was_sent_kills_at_once() {
    let output = in_child("passing_on::a_signal_that_was_sent_kills_at_once", || {
        Guest::new();
        send(SIGFPE);
    });
    assert_killed(&output, SIGFPE);
}

#[test]
fn a_sent_sigsegv_kills_at_once() {
    let output = in_child("passing_on::a_sent_sigsegv_kills_at_once", || {
        set_action(SIGSEGV, libc::SIG_DFL, 0);
        Guest::new();
        send(SIGSEGV);
    });
    assert_killed(&output, SIGSEGV);
}

#[test]
fn a_handler_with_information_is_called() {
    let output = in_child("passing_on::a_handler_with_information_is_called", || {
        set_action(SIGSEGV, exit_if_told_all as *const () as usize, libc::SA_SIGINFO);
        Guest::new().run(Code::Load, NOWHERE);
    });
    assert_exited(&output, 42);
}

#[test]
fn a_handler_without_information_is_called() {
    let output = in_child("passing_on::a_handler_without_information_is_called", || {
        set_action(SIGSEGV, exit_with_signal as *const () as usize, 0);
        Guest::new().run(Code::Load, NOWHERE);
    });
    assert_exited(&output, 100 + SIGSEGV);
}

#[test]
fn a_handler_of_each_signal_is_called() {
    let output = in_child("passing_on::a_handler_of_each_signal_is_called", || {
        let signals = [SIGSEGV, SIGBUS, SIGILL, SIGFPE];
        for signal in signals {
            set_action(signal, count as *const () as usize, 0);
        }
        Guest::new();
        for (sent, signal) in (1..).zip(signals) {
            send(signal);
            assert_eq!(LAST.load(Ordering::Relaxed), signal);
            assert_eq!(COUNT.load(Ordering::Relaxed), sent);
        }
    });
    assert_exited(&output, 0);
}

#[test]
fn a_handler_may_repair_the_fault() {
    let output = in_child("passing_on::a_handler_may_repair_the_fault", || {
        set_action(SIGSEGV, skip_load as *const () as usize, libc::SA_SIGINFO);
        let mut guest = Guest::new();
        assert_eq!(guest.run(Code::Load, NOWHERE), None);
        let address = guest.guard_end(0) - 8;
        assert_eq!(guest.run(Code::Load, address), guest.expected(Code::Load));
        assert_eq!(guest.run(Code::Load, NOWHERE), None);
    });
    assert_exited(&output, 0);
}

#[test]
fn a_handler_for_one_signal_is_called_once() {
    let output = in_child("passing_on::a_handler_for_one_signal_is_called_once", || {
        let flags = libc::SA_SIGINFO | libc::SA_RESETHAND;
        set_action(SIGSEGV, skip_load as *const () as usize, flags);
        let mut guest = Guest::new();
        assert_eq!(guest.run(Code::Load, NOWHERE), None);
        println!("repaired");
        guest.run(Code::Load, NOWHERE);
    });
    assert_killed(&output, SIGSEGV);
    assert!(String::from_utf8_lossy(&output.stdout).contains("repaired"));
}

#[test]
fn the_default_action_kills() {
    let output = in_child("passing_on::the_default_action_kills", || {
        set_action(SIGSEGV, libc::SIG_DFL, 0);
        Guest::new().run(Code::Load, NOWHERE);
    });
    assert_killed(&output, SIGSEGV);
}

#[test]
fn an_ignored_signal_is_ignored_only_if_sent() {
    let output = in_child("passing_on::an_ignored_signal_is_ignored_only_if_sent", || {
        set_action(SIGSEGV, libc::SIG_IGN, 0);
        let mut guest = Guest::new();
        send(SIGSEGV);
        let address = guest.guard_end(0) - 8;
        assert_eq!(guest.run(Code::Load, address), guest.expected(Code::Load));
        println!("ignored");
        guest.run(Code::Load, NOWHERE);
    });
    assert_killed(&output, SIGSEGV);
    assert!(String::from_utf8_lossy(&output.stdout).contains("ignored"));
}

#[test]
fn installing_twice_does_not_chain_to_itself() {
    let output = in_child("passing_on::installing_twice_does_not_chain_to_itself", || {
        Guest::new();
        install_trap_handlers().unwrap();
        Guest::new().run(Code::Load, NOWHERE);
    });
    assert_killed(&output, SIGSEGV);
}

#[expect(unconditional_recursion, reason = "the test is about the overflow")]
fn overflow(depth: u64) -> u64 {
    let words = hint::black_box([depth; 64]);
    overflow(depth + 1) + words[7]
}

#[test]
fn rust_still_reports_a_stack_overflow() {
    let output = in_child("passing_on::rust_still_reports_a_stack_overflow", || {
        let mut guest = Guest::new();
        assert_eq!(guest.run(Code::Unreachable, 0), guest.expected(Code::Unreachable));
        let deep = std::thread::Builder::new().name("deep".into()).spawn(|| {
            Guest::new().run(Code::Unreachable, 0);
            overflow(0)
        });
        let _ = deep.unwrap().join();
    });
    assert_killed(&output, SIGABRT);
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("'deep'") && message.contains("has overflowed its stack"), "{message}");
}
