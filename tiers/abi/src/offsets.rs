//! Where the variable parts of a [`VmContext`] lie, from the counts of its module.
//!
//! All instances of a module have the same offsets, which is why bytecode can name them and still belong to no instance.

use crate::{VmContext, VmFuncRef, VmGlobal};

/// How many of each a module has; imports come first in each index space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContextCounts {
    /// Memories, imported ones included.
    pub memories: u32,
    /// Tables, imported ones included.
    pub tables: u32,
    /// Imported globals.
    pub imported_globals: u32,
    /// Globals that the module defines.
    pub defined_globals: u32,
    /// Imported functions.
    pub imported_funcs: u32,
    /// Functions that the module defines.
    pub defined_funcs: u32,
}

/// Byte offsets from the start of a [`VmContext`].
///
/// Order: header, `*mut VmMemory` per memory (one at least), `*mut VmTable` per table, `*mut VmGlobal` per imported global,
/// `*const VmFuncRef` per imported function, [`VmGlobal`] per defined global, [`VmFuncRef`] per defined function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VmOffsets {
    counts: ContextCounts,
    tables: u32,
    imported_globals: u32,
    imported_funcs: u32,
    defined_globals: u32,
    defined_funcs: u32,
    size: u32,
}

impl VmOffsets {
    /// Lays out a context. `None` when it would take 2 GiB or more.
    pub fn new(counts: ContextCounts) -> Option<VmOffsets> {
        let words = |start: u64, n: u32| start + 8 * u64::from(n);
        let tables = words(VmContext::MEMORIES as u64, counts.memories.max(1));
        let imported_globals = words(tables, counts.tables);
        let imported_funcs = words(imported_globals, counts.imported_globals);
        let defined_globals = words(imported_funcs, counts.imported_funcs).next_multiple_of(16);
        let defined_funcs = defined_globals + u64::from(VmGlobal::SIZE) * u64::from(counts.defined_globals);
        let size = defined_funcs + u64::from(VmFuncRef::SIZE) * u64::from(counts.defined_funcs);
        if size >= 1 << 31 {
            return None;
        }
        // Every part starts before `size`, which fits 31 bits.
        Some(VmOffsets {
            counts,
            tables: tables as u32,
            imported_globals: imported_globals as u32,
            imported_funcs: imported_funcs as u32,
            defined_globals: defined_globals as u32,
            defined_funcs: defined_funcs as u32,
            size: size as u32,
        })
    }

    /// The counts that the layout was made for.
    pub fn counts(&self) -> ContextCounts {
        self.counts
    }

    /// Bytes of the whole context; it is aligned to 16.
    pub fn size(&self) -> u32 {
        self.size
    }

    /// The pointer to memory `index`; index 0 exists in every context.
    pub fn memory(&self, index: u32) -> u32 {
        VmContext::MEMORIES as u32 + 8 * index
    }

    /// The pointer to table `index`.
    pub fn table(&self, index: u32) -> u32 {
        self.tables + 8 * index
    }

    /// The pointer to imported global `index`.
    pub fn imported_global(&self, index: u32) -> u32 {
        self.imported_globals + 8 * index
    }

    /// The pointer to the entry record of imported function `index`.
    pub fn imported_func(&self, index: u32) -> u32 {
        self.imported_funcs + 8 * index
    }

    /// The value of defined global `index`, counted from the first that is not imported.
    pub fn defined_global(&self, index: u32) -> u32 {
        self.defined_globals + VmGlobal::SIZE * index
    }

    /// The entry record of defined function `index`, counted from the first that is not imported.
    pub fn defined_func(&self, index: u32) -> u32 {
        self.defined_funcs + VmFuncRef::SIZE * index
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_overlap() {
        let counts = ContextCounts {
            memories: 2,
            tables: 3,
            imported_globals: 1,
            defined_globals: 4,
            imported_funcs: 5,
            defined_funcs: 6,
        };
        let o = VmOffsets::new(counts).unwrap();
        assert_eq!(o.memory(0), 40);
        assert_eq!(o.table(0), o.memory(2));
        assert_eq!(o.imported_global(0), o.table(3));
        assert_eq!(o.imported_func(0), o.imported_global(1));
        assert!(o.defined_global(0) >= o.imported_func(5) && o.defined_global(0).is_multiple_of(16));
        assert_eq!(o.defined_func(0), o.defined_global(4));
        assert_eq!(o.size(), o.defined_func(6));
    }

    #[test]
    fn a_context_without_memories_has_room_for_the_dummy() {
        let o = VmOffsets::new(ContextCounts::default()).unwrap();
        assert_eq!(o.size(), 48, "the header and one memory");
    }

    #[test]
    fn too_many_functions_are_refused() {
        assert!(VmOffsets::new(ContextCounts { defined_funcs: 1 << 27, ..Default::default() }).is_none());
    }
}
