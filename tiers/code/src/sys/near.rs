//! Addresses close to the engine's own code.
//!
//! Branches over more than 2 GiB take longer, on the processor that was measured (AMD EPYC, family 25, model 17): a host function of a few
//! instructions that generated code calls takes 2.7 ns when both are close and 3.5 ns when they are not. The kernel puts mappings
//! far from the program unless it is asked.

use super::native_stack::main_stack_room;
use std::ffi::c_void;
use std::io;
use std::ops::Range;
use std::ptr;

const MIB: usize = 1 << 20;

/// How far generated code may be from the engine's, in bytes; the engine's own length comes on top.
const FARTHEST: usize = 1920 * MIB;

/// From one place that is tried to the next.
const STEP: usize = 32 * MIB;

/// Places that are tried.
const PLACES: usize = 12;

/// Makes a mapping of `len` bytes that ends `gap` bytes below this code or somewhat lower, or begins as far above it; anywhere if there
/// is no room. `map` maps at an address with flags in addition to its own.
///
/// Each distance is tried below first: above a program that the dynamic linker starts its heap grows. One that is linked statically lies at the top
/// of where the kernel puts mappings, and guests' memories soon fill what is below. Above it is the main thread's stack, at a distance of
/// 128 MiB and a random part of 16 GiB; nothing is put where that may grow to.
pub(super) fn map_near(
    len: usize,
    gap: usize,
    map: impl Fn(*mut c_void, libc::c_int) -> *mut c_void,
) -> io::Result<*mut u8> {
    let here = (super::page_size as *const ()).addr() & !(2 * MIB - 1);
    let length = len.next_multiple_of(2 * MIB);
    let distances = (0..PLACES).map(|place| gap + place * STEP);
    let sides = |distance| [here.checked_sub(distance + length), here.checked_add(distance)];
    let close = distances.take_while(|distance| distance + length <= FARTHEST);
    let stack = main_stack_room();
    for place in close.flat_map(sides).flatten().filter(|place| leaves(&stack, *place, length)) {
        // Kernels that do not know the flag take the address as a wish.
        let base = map(ptr::without_provenance_mut(place), libc::MAP_FIXED_NOREPLACE);
        if base != libc::MAP_FAILED {
            return Ok(base.cast());
        }
    }
    let base = map(ptr::null_mut(), 0);
    if base == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(base.cast()) }
}

/// Whether so many bytes at a place have none in a range.
fn leaves(range: &Range<usize>, place: usize, len: usize) -> bool {
    place >= range.end || place.saturating_add(len) <= range.start
}

#[cfg(test)]
mod tests {
    use super::{FARTHEST, MIB, leaves, map_near};

    #[test]
    fn nothing_is_put_where_the_stack_may_grow_to() {
        for (place, len, expected) in [
            (0, 100, true),
            (1, 100, false),
            (150, 10, false),
            (50, 500, false),
            (199, 1, false),
            (200, 9, true),
        ] {
            assert_eq!(leaves(&(100..200), place, len), expected, "{place} {len}");
        }
        assert!(!leaves(&(0..usize::MAX), 1 << 40, 1), "where the stack is not known, it may be anywhere");
    }

    #[test]
    fn mappings_are_close_as_long_as_there_is_room() {
        const LEN: usize = 4 * MIB;
        // Between thunks and native code, which other tests of the process may have made.
        const GAP: usize = 420 * MIB;
        let here = (mappings_are_close_as_long_as_there_is_room as *const ()).addr();
        let reserve = |place: *mut libc::c_void, flags| {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | flags;
            // SAFETY: a new mapping touches nothing that exists: the flags never replace one.
            unsafe { libc::mmap(place, LEN, libc::PROT_NONE, flags, -1, 0) }
        };
        // The second one finds the first place taken.
        let near = [map_near(LEN, GAP, reserve), map_near(LEN, GAP, reserve)].map(|base| base.expect("room"));
        for base in near {
            assert!(here.abs_diff(base.addr()) < GAP + 128 * MIB, "{base:?} is far from {here:#x}");
        }
        let far = map_near(LEN, FARTHEST, reserve).expect("address space");
        // Where nothing is free on one side, it goes to the other.
        let only = |wanted: fn(usize, usize) -> bool| {
            let map = |place: *mut libc::c_void, flags| {
                if wanted(place.addr(), here) { reserve(place, flags) } else { libc::MAP_FAILED }
            };
            map_near(LEN, GAP, map).expect("room")
        };
        let (below, above) = (only(|place, here| place < here), only(|place, here| place > here));
        assert!(below.addr() < here && above.addr() > here, "{below:?} {here:#x} {above:?}");
        for base in near.into_iter().chain([far, below, above]) {
            // SAFETY: the mapping was made above, and nobody uses it.
            assert_eq!(unsafe { libc::munmap(base.cast(), LEN) }, 0);
        }
        assert!(map_near(LEN, GAP, |_, _| libc::MAP_FAILED).is_err());
    }
}
