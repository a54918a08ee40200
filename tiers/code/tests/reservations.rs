//! Reservations and value stacks.

use crescendo_code::{Reservation, ValueStack, page_size};
use std::{env, io, process};

fn read(reservation: &Reservation, at: usize) -> u8 {
    // SAFETY: the tests read committed bytes only.
    unsafe { reservation.base().wrapping_add(at).read_volatile() }
}

fn write(reservation: &Reservation, at: usize, value: u8) {
    // SAFETY: the tests write committed bytes only.
    unsafe { reservation.base().wrapping_add(at).write_volatile(value) }
}

/// The access of the mapping that contains `address`, as `/proc` shows it.
fn access(address: usize) -> Option<String> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines().find_map(|line| {
        let (range, rest) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let range = usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?;
        range.contains(&address).then(|| rest[..2].to_owned())
    })
}

#[test]
fn a_reservation_of_many_gigabytes_costs_nothing() {
    let many: Vec<_> = (0..64).map(|_| Reservation::reserve(8 << 30).unwrap()).collect();
    assert!(many.iter().all(|reservation| reservation.len() == 8 << 30 && !reservation.is_empty()));
    assert_eq!(access(many[7].base().addr() + (5 << 30)).as_deref(), Some("--"));
}

#[test]
fn pages_are_committed_zeroed_and_given_back() {
    let page = page_size();
    let mut reservation = Reservation::reserve(8 * page - 1).unwrap();
    assert_eq!(reservation.len(), 8 * page);
    let base = reservation.base().addr();
    assert!(base.is_multiple_of(page));
    reservation.commit(0..2 * page).unwrap();
    assert_eq!(access(base).as_deref(), Some("rw"));
    assert_eq!(access(base + 2 * page).as_deref(), Some("--"));
    for at in [0, 2 * page - 1] {
        assert_eq!(read(&reservation, at), 0);
        write(&reservation, at, 7);
    }
    reservation.commit(0..3 * page).unwrap();
    assert_eq!((read(&reservation, 0), read(&reservation, 2 * page)), (7, 0));
    reservation.zero(0..page).unwrap();
    assert_eq!((read(&reservation, 0), read(&reservation, 2 * page - 1)), (0, 7));
    reservation.decommit(page..3 * page).unwrap();
    assert_eq!(access(base + page).as_deref(), Some("--"));
    reservation.commit(page..2 * page).unwrap();
    assert_eq!(read(&reservation, 2 * page - 1), 0);
    assert_eq!(reservation.base().addr(), base);
}

#[test]
fn ranges_that_are_not_pages_of_the_reservation_are_refused() {
    let page = page_size();
    let mut reservation = Reservation::reserve(4 * page).unwrap();
    let ranges =
        [1..page, 0..page + 1, 0..5 * page, 2 * page..page, 5 * page..5 * page, 0..usize::MAX - page + 1];
    for range in ranges {
        for result in [
            reservation.commit(range.clone()),
            reservation.decommit(range.clone()),
            reservation.zero(range.clone()),
        ] {
            assert_eq!(result.map_err(|error| error.kind()), Err(io::ErrorKind::InvalidInput), "{range:?}");
        }
    }
    reservation.commit(4 * page..4 * page).unwrap();
}

#[test]
fn sizes_at_the_edge_are_errors_or_work() {
    let mut empty = Reservation::reserve(0).unwrap();
    assert!(empty.is_empty());
    empty.commit(0..0).unwrap();
    for len in [usize::MAX, usize::MAX - page_size(), isize::MAX as usize, 1 << 60] {
        assert!(Reservation::reserve(len).is_err(), "{len:#x}");
        assert!(ValueStack::new(len).is_err(), "{len:#x}");
    }
    assert!(ValueStack::new(0).unwrap().is_empty());
}

#[test]
fn a_limit_of_address_space_is_an_error() {
    const KEY: &str = "CRESCENDO_CHILD";
    let name = "a_limit_of_address_space_is_an_error";
    if env::var_os(KEY).is_some() {
        let limit = libc::rlimit { rlim_cur: 1 << 30, rlim_max: 1 << 30 };
        // SAFETY: `limit` is an `rlimit`.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
        let refused = Reservation::reserve(8 << 30).map_err(|error| error.raw_os_error());
        assert_eq!(refused.map(|_| ()), Err(Some(libc::ENOMEM)));
        let refused = ValueStack::new(8 << 30).map_err(|error| error.raw_os_error());
        assert_eq!(refused.map(|_| ()), Err(Some(libc::ENOMEM)));
        // A refusal leaves nothing behind, and less still fits.
        for _ in 0..100 {
            Reservation::reserve(256 << 20).unwrap().commit(0..256 << 20).unwrap();
        }
        process::exit(0);
    }
    let mut child = process::Command::new(env::current_exe().unwrap());
    let output = child.args([name, "--exact", "--nocapture"]).env(KEY, "").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_value_stack_ends_in_a_guard_page() {
    let page = page_size();
    let mut stack = ValueStack::new(1 << 30).unwrap();
    assert_eq!(stack.len(), 1 << 30);
    assert_eq!(stack.limit().addr() - stack.base().addr(), stack.len());
    assert_eq!(access(stack.limit().addr() - 1).as_deref(), Some("rw"));
    assert_eq!(access(stack.limit().addr()).as_deref(), Some("--"));
    let last = stack.limit().wrapping_sub(8).cast::<u64>();
    for slot in [stack.base(), last] {
        // SAFETY: both slots lie in the stack.
        unsafe { slot.write_volatile(9) };
    }
    stack.trim(page).unwrap();
    // SAFETY: as above.
    assert_eq!(unsafe { stack.base().read_volatile() }, 9);
    // SAFETY: as above.
    assert_eq!(unsafe { last.read_volatile() }, 0);
    stack.trim(usize::MAX).unwrap();
    assert!(!stack.is_unused_from(0) && stack.is_unused_from(page));
    assert!(stack.is_unused_from(stack.len()) && stack.is_unused_from(usize::MAX - 7));
    // SAFETY: as above.
    unsafe { stack.base().wrapping_byte_add(page).write_volatile(1) };
    assert!(!stack.is_unused_from(page));
    assert!(stack.is_unused_from(page + 8));
}
