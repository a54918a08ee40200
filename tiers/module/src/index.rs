//! Index newtypes: one per index space, and the integer conversions between them and `usize`.
//!
//! Everything that names an entity of a module uses these types, so that an index of one space cannot be used in
//! another. An index says nothing about the module it belongs to.

/// The `usize` that an index or offset of a module stands for.
///
/// The engine runs on 64-bit targets only, so nothing is cut off.
pub(crate) const fn widen(value: u32) -> usize {
    value as usize
}

/// A count or offset within a module as `u32`.
///
/// Modules of 4 GiB and more are refused before anything in them is counted, so nothing real saturates.
pub(crate) fn narrow(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// A byte offset that wasmparser reported, as `usize`.
pub(crate) fn offset(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// A byte range that wasmparser reported.
pub(crate) fn range(range: core::ops::Range<u64>) -> core::ops::Range<usize> {
    offset(range.start)..offset(range.end)
}

macro_rules! indices {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(transparent)]
        pub struct $name(u32);

        impl $name {
            /// The index with this number.
            pub const fn new(index: u32) -> Self {
                Self(index)
            }

            /// The number, as the binary format encodes it.
            pub const fn as_u32(self) -> u32 {
                self.0
            }

            /// The number, to index a slice with.
            pub const fn index(self) -> usize {
                widen(self.0)
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                core::fmt::Display::fmt(&self.0, f)
            }
        }
    )*};
}

indices! {
    /// A type of a module's type section.
    TypeIdx;
    /// A function of a module, imported ones first.
    FuncIdx;
    /// A function that a module defines, counted from the first that is not imported.
    DefinedFuncIdx;
    /// A table of a module, imported ones first.
    TableIdx;
    /// A linear memory of a module, imported ones first.
    MemoryIdx;
    /// A global of a module, imported ones first.
    GlobalIdx;
    /// An element segment of a module.
    ElemIdx;
    /// A data segment of a module.
    DataIdx;
    /// A local of a function, its parameters first.
    LocalIdx;
    /// A block of a function that a branch can name, counted in the order of the text; only names use it.
    LabelIdx;
    /// A field of a structure type; only names use it.
    FieldIdx;
    /// An exception tag of a module.
    TagIdx;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_keeps_its_number() {
        let idx = FuncIdx::new(7);
        assert_eq!((idx.as_u32(), idx.index()), (7, 7));
        assert_eq!(format!("{idx} {idx:?}"), "7 FuncIdx(7)");
    }

    #[test]
    fn conversions_saturate_instead_of_wrapping() {
        assert_eq!(narrow(usize::MAX), u32::MAX);
        assert_eq!(range(3..5), 3..5);
    }
}
