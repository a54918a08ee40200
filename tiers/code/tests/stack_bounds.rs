//! The bounds of the native stacks of threads.

use crescendo_code::{StackBounds, native_stack_bounds, page_size, stack_pointer};
use std::{fs, thread};

fn bounds() -> StackBounds {
    let bounds = native_stack_bounds().unwrap();
    let here = stack_pointer();
    assert!(bounds.low < here && here < bounds.high, "{bounds:x?} around {here:x}");
    assert_eq!(native_stack_bounds().unwrap(), bounds);
    bounds
}

/// Start of the accessible mapping that contains `address`.
fn mapping_start(address: usize) -> usize {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let mappings = maps.lines().filter_map(|line| {
        let (range, access) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let parse = |text| usize::from_str_radix(text, 16).ok();
        access.starts_with("rw").then_some((parse(start)?, parse(end)?))
    });
    mappings.filter(|(start, end)| (*start..*end).contains(&address)).map(|(start, _)| start).next().unwrap()
}

#[test]
fn a_thread_has_the_stack_that_it_was_given() {
    for len in [64 << 10, 1 << 20, 16 << 20] {
        thread::Builder::new()
            .stack_size(len)
            .spawn(move || {
                let bounds = bounds();
                assert!(bounds.high - bounds.low >= len / 2, "{bounds:x?}");
                // Down to the bound, nothing is a guard page.
                let start = mapping_start(stack_pointer());
                assert!(start <= bounds.low);
                assert!(bounds.low - start <= page_size());
            })
            .unwrap()
            .join()
            .unwrap();
    }
}
