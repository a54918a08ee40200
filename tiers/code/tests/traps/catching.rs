//! What is a trap, and what the store shows of it.

use crate::guest::{Code, Guest};
use crescendo_code::page_size;

#[test]
fn code_that_does_not_trap_returns() {
    let mut guest = Guest::new();
    assert_eq!(guest.run(Code::Return, 0), None);
    let base = guest.base(0);
    assert_eq!(guest.run(Code::Load, base), None);
}

#[test]
fn explicit_traps_and_divisions_fill_the_store() {
    let mut guest = Guest::new();
    for code in [Code::Unreachable, Code::DivideByZero, Code::DivideOverflow] {
        assert_eq!(guest.run(code, 0), guest.expected(code), "{code:?}");
    }
}

#[test]
fn accesses_in_a_guard_region_trap() {
    let mut guest = Guest::new();
    for memory in 0..2 {
        let first = guest.base(memory) + page_size();
        let last = guest.guard_end(memory) - 8;
        // The third begins inside the memory and ends in the guard region.
        for address in [first, last, first - 1] {
            for code in [Code::Load, Code::LoadLater] {
                assert_eq!(guest.run(code, address), guest.expected(code), "{code:?} at {address:#x}");
            }
        }
    }
}

#[test]
fn loads_through_null_trap() {
    let mut guest = Guest::new();
    assert_eq!(guest.run(Code::LoadNull, 0), guest.expected(Code::LoadNull));
}

#[test]
fn a_trap_needs_no_usable_native_stack() {
    let mut guest = Guest::new();
    let code = Code::UnreachableWithoutStack;
    assert_eq!(guest.run(code, 0), guest.expected(code));
}

#[test]
fn traps_repeat() {
    let mut guest = Guest::new();
    for _ in 0..10_000 {
        assert_eq!(guest.run(Code::Unreachable, 0), guest.expected(Code::Unreachable));
    }
}
