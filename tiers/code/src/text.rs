//! The registry of code in which a fault can be a trap.
//!
//! Regions come in when an engine starts and are never removed. Signal handlers read the registry at any moment, so readers
//! take no lock: it is a list of leaked nodes, pushed at the head and immutable behind it. All rows follow the handlers'
//! register contract ([`crescendo_abi::regs`]); native code has its own registry (`native`).

use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Mutex, PoisonError};
use std::{iter, ptr};

/// One instruction that may trap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct TrapRow {
    /// Bytes from the region's start to the instruction's first byte.
    pub offset: u32,
    /// Number of the [`crescendo_abi::TrapCode`].
    pub code: u8,
    /// Which of the running cell's micro-operators the instruction belongs to, from 0.
    pub micro_op: u8,
}

/// A contiguous piece of machine code with its trap table.
#[derive(Debug)]
pub struct TextRegion {
    /// The first byte of the code.
    pub start: *const u8,
    /// Bytes of the code.
    pub len: usize,
    /// Every instruction that may trap, sorted by offset.
    pub rows: &'static [TrapRow],
    /// Where a trap goes on, with the stack pointer at the store's `entry_sp`. All other registers keep what they held at
    /// the trap, the pinned context included.
    pub landing: *const u8,
    /// Where a trap goes on under which native frames lie: with the stack pointer as it was, or somewhat lower, the store in the
    /// first register of the C convention and the status in the second. It looks at the frames before it gives them up.
    pub native_landing: *const u8,
}

// SAFETY: `start` and `landing` are addresses of code that nobody reads or writes through them; `len` and `rows` are plain data.
unsafe impl Send for TextRegion {}
// SAFETY: as above, and nothing in a region changes.
unsafe impl Sync for TextRegion {}

impl TextRegion {
    /// The row of the instruction at `pc`, if `pc` lies in the region and may trap.
    fn row(&self, pc: usize) -> Option<TrapRow> {
        let offset = pc.checked_sub(self.start.addr()).filter(|offset| *offset < self.len)?;
        let offset = u32::try_from(offset).ok()?;
        let index = self.rows.binary_search_by_key(&offset, |row| row.offset).ok()?;
        self.rows.get(index).copied()
    }
}

/// A list of regions.
struct Registry {
    head: AtomicPtr<Node>,
    writers: Mutex<()>,
}

struct Node {
    region: &'static TextRegion,
    next: Option<&'static Node>,
}

static REGISTRY: Registry = Registry::new();

impl Registry {
    const fn new() -> Registry {
        Registry { head: AtomicPtr::new(ptr::null_mut()), writers: Mutex::new(()) }
    }

    fn register(&self, region: &'static TextRegion) {
        let _writing = self.writers.lock().unwrap_or_else(PoisonError::into_inner);
        if self.regions().any(|other| ptr::eq(other, region)) {
            return;
        }
        let node = Node { region, next: self.first() };
        self.head.store(Box::leak(Box::new(node)), Ordering::Release);
    }

    fn first(&self) -> Option<&'static Node> {
        let head = self.head.load(Ordering::Acquire);
        // SAFETY: `head` is null or a node that `register` leaked and never writes again.
        unsafe { head.as_ref() }
    }

    fn regions(&self) -> impl Iterator<Item = &'static TextRegion> {
        iter::successors(self.first(), |node| node.next).map(|node| node.region)
    }

    fn find(&self, pc: usize) -> Option<(&'static TextRegion, TrapRow)> {
        self.regions().find_map(|region| Some((region, region.row(pc)?)))
    }
}

/// Makes faults at the rows of `region` traps. A region that is registered already is not registered again.
///
/// # Safety
///
/// The rows must be sorted by offset and tell the truth: whenever the instruction at a row's offset faults, the registers
/// that [`crescendo_abi::regs`] names for a running function hold ip, fp and the context, the context and its store are
/// alive, and the store's `entry_sp` is a native stack pointer with which `landing` can go on.
pub unsafe fn register_text(region: &'static TextRegion) {
    REGISTRY.register(region);
}

/// The region and row of the instruction at `pc`. Async-signal-safe: takes no lock and allocates nothing.
pub(crate) fn find_row(pc: usize) -> Option<(&'static TextRegion, TrapRow)> {
    REGISTRY.find(pc)
}

/// Where traps of native code go on: the landing of the registered text, which is the same for all of it.
pub(crate) fn native_landing() -> Option<*const u8> {
    REGISTRY.first().map(|node| node.region.native_landing)
}

#[cfg(test)]
mod tests {
    use super::*;

    static ROWS: [TrapRow; 3] = [
        TrapRow { offset: 0, code: 1, micro_op: 0 },
        TrapRow { offset: 7, code: 2, micro_op: 1 },
        TrapRow { offset: 40, code: 3, micro_op: 0 },
    ];
    static LOW: TextRegion = region(0x1000, 32);
    static HIGH: TextRegion = region(0x1020, 64);

    const fn region(start: usize, len: usize) -> TextRegion {
        TextRegion {
            start: ptr::without_provenance(start),
            len,
            rows: &ROWS,
            landing: ptr::null(),
            native_landing: ptr::null(),
        }
    }

    #[test]
    fn only_the_exact_pc_of_a_row_is_found() {
        let registry = Registry::new();
        assert!(registry.find(0x1000).is_none());
        registry.register(&LOW);
        registry.register(&HIGH);
        let found = |pc| registry.find(pc).map(|(region, row)| (region.start.addr(), row.code));
        for (pc, expected) in [
            (0, None),
            (0xfff, None),
            (0x1000, Some((0x1000, 1))),
            (0x1001, None),
            (0x1006, None),
            (0x1007, Some((0x1000, 2))),
            (0x1020, Some((0x1020, 1))),
            (0x1027, Some((0x1020, 2))),
            (0x1028, None),
            (0x1048, Some((0x1020, 3))),
            (0x1060, None),
            (usize::MAX, None),
        ] {
            assert_eq!(found(pc), expected, "pc {pc:#x}");
        }
    }

    #[test]
    fn registering_twice_keeps_one() {
        let registry = Registry::new();
        registry.register(&LOW);
        registry.register(&HIGH);
        registry.register(&LOW);
        assert_eq!(registry.regions().count(), 2);
    }
}
