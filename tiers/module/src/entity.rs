//! Types of what modules import and export, and when one may be imported as another.
//!
//! [`EntityType`] names function types by [`TypeId`] and is what a module's imports hold; [`ExternType`] holds the function
//! type itself and is what embedders see and messages print. The matching rules are the specification's import matching
//! (<https://webassembly.github.io/spec/core/valid/matching.html#external-types>); for a table or memory that exists, the
//! `minimum` of its type must be its current size.

use crate::{
    FuncIdx, FuncType, GlobalIdx, MemoryIdx, RefType, TableIdx, TagIdx, TypeId, TypeRegistry, ValType,
};
use core::fmt;

/// The type of a linear memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MemoryType {
    /// Size at the start, in pages.
    pub minimum: u64,
    /// Size that it cannot outgrow, in pages.
    pub maximum: Option<u64>,
    /// Whether addresses are 64 bits wide instead of 32.
    pub memory64: bool,
    /// Whether several threads may use it.
    pub shared: bool,
    /// Binary logarithm of the bytes in a page; 16 unless the module chose another.
    pub page_size_log2: u8,
}

impl MemoryType {
    /// A memory with 32-bit addresses and 64-KiB pages; sizes in pages.
    pub const fn new(minimum: u32, maximum: Option<u32>) -> MemoryType {
        let maximum = match maximum {
            Some(maximum) => Some(maximum as u64),
            None => None,
        };
        MemoryType { minimum: minimum as u64, maximum, memory64: false, shared: false, page_size_log2: 16 }
    }

    /// The same memory with 64-bit addresses; sizes in pages.
    pub const fn new64(minimum: u64, maximum: Option<u64>) -> MemoryType {
        MemoryType { minimum, maximum, memory64: true, shared: false, page_size_log2: 16 }
    }

    /// The type of a shared memory with 32-bit addresses and 64-KiB pages; sizes in pages. A shared memory has a maximum.
    pub const fn shared(minimum: u32, maximum: u32) -> MemoryType {
        let ty = MemoryType::new(minimum, Some(maximum));
        MemoryType { shared: true, ..ty }
    }

    /// A type to be described step by step, at first that of [`MemoryType::new`] with 0 pages and no maximum.
    ///
    /// # Examples
    ///
    /// ```
    /// use crescendo_module::MemoryType;
    ///
    /// let ty = MemoryType::builder().min(10).max(Some(4096)).page_size_log2(0).build()?;
    /// assert_eq!(ty.to_string(), "(memory 10 4096 (pagesize 1))");
    /// assert!(MemoryType::builder().shared(true).build().is_err());
    /// # Ok::<(), crescendo_module::MemoryTypeError>(())
    /// ```
    pub const fn builder() -> MemoryTypeBuilder {
        MemoryTypeBuilder { ty: MemoryType::new(0, None) }
    }

    /// Whether addresses are 64 bits wide.
    pub const fn is_64(&self) -> bool {
        self.memory64
    }

    /// Whether several threads may use it.
    pub const fn is_shared(&self) -> bool {
        self.shared
    }

    /// Size at the start, in pages.
    pub const fn minimum(&self) -> u64 {
        self.minimum
    }

    /// Size that it cannot outgrow, in pages.
    pub const fn maximum(&self) -> Option<u64> {
        self.maximum
    }

    /// Binary logarithm of the bytes in a page.
    pub const fn page_size_log2(&self) -> u8 {
        self.page_size_log2
    }

    /// Fails when no module could declare the type.
    ///
    /// # Errors
    ///
    /// When the page size is not 1 or 64 KiB, a size is too large for the addresses, the minimum exceeds the maximum, or a
    /// shared memory has no maximum.
    pub fn check(&self) -> Result<(), MemoryTypeError> {
        if !matches!(self.page_size_log2, 0 | 16) {
            return Err(MemoryTypeError(format!(
                "pages of 2^{} bytes: they have 1 or 65536",
                self.page_size_log2
            )));
        }
        let most = max_memory_pages(self.memory64, self.page_size_log2);
        let maximum = self.maximum.unwrap_or(most);
        if self.minimum > maximum || maximum > most {
            let minimum = self.minimum;
            return Err(MemoryTypeError(format!(
                "a memory of {minimum} pages at least and {maximum} at most, where {most} are possible"
            )));
        }
        if self.shared && self.maximum.is_none() {
            return Err(MemoryTypeError("a shared memory without a maximum".to_string()));
        }
        Ok(())
    }

    /// Bytes in a page.
    pub const fn page_size(&self) -> u64 {
        1 << self.page_size_log2
    }

    /// The type of addresses: `i32` or `i64`.
    pub const fn index_type(&self) -> ValType {
        if self.memory64 { ValType::I64 } else { ValType::I32 }
    }

    /// Whether a memory of this type, `minimum` being its current size, may be imported as `expected`.
    pub fn matches(&self, expected: &MemoryType) -> bool {
        limits_match((self.minimum, self.maximum), (expected.minimum, expected.maximum))
            && self.memory64 == expected.memory64
            && self.shared == expected.shared
            && self.page_size_log2 == expected.page_size_log2
    }
}

/// The most pages that a memory may have: what its addresses reach, and what its index type can count.
pub fn max_memory_pages(memory64: bool, page_size_log2: u8) -> u64 {
    let bits: u32 = if memory64 { 64 } else { 32 };
    let pages = 1u128 << bits.saturating_sub(page_size_log2.into());
    let countable = if memory64 { u64::MAX } else { u32::MAX.into() };
    u64::try_from(pages).unwrap_or(u64::MAX).min(countable)
}

/// Describes a memory type step by step: from [`MemoryType::builder`].
#[derive(Clone, Copy, Debug)]
pub struct MemoryTypeBuilder {
    ty: MemoryType,
}

impl MemoryTypeBuilder {
    /// Size at the start, in pages. Default 0.
    pub fn min(&mut self, minimum: u64) -> &mut MemoryTypeBuilder {
        self.ty.minimum = minimum;
        self
    }

    /// Size that the memory cannot outgrow, in pages. Default none.
    pub fn max(&mut self, maximum: Option<u64>) -> &mut MemoryTypeBuilder {
        self.ty.maximum = maximum;
        self
    }

    /// Whether addresses are 64 bits wide. Default no.
    pub fn memory64(&mut self, memory64: bool) -> &mut MemoryTypeBuilder {
        self.ty.memory64 = memory64;
        self
    }

    /// Whether several threads may use the memory. Default no.
    pub fn shared(&mut self, shared: bool) -> &mut MemoryTypeBuilder {
        self.ty.shared = shared;
        self
    }

    /// Binary logarithm of the bytes in a page: 0 or 16. Default 16.
    pub fn page_size_log2(&mut self, page_size_log2: u8) -> &mut MemoryTypeBuilder {
        self.ty.page_size_log2 = page_size_log2;
        self
    }

    /// The type.
    ///
    /// # Errors
    ///
    /// As [`MemoryType::check`].
    pub fn build(&self) -> Result<MemoryType, MemoryTypeError> {
        self.ty.check().map(|()| self.ty)
    }
}

/// Why there is no such memory type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryTypeError(String);

impl fmt::Display for MemoryTypeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for MemoryTypeError {}

impl fmt::Display for MemoryType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(memory ")?;
        write_limits(f, self.memory64, self.minimum, self.maximum)?;
        if self.shared {
            f.write_str(" shared")?;
        }
        if self.page_size_log2 != 16 {
            write!(f, " (pagesize {})", self.page_size())?;
        }
        f.write_str(")")
    }
}

/// The type of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TableType {
    /// The type of its elements.
    pub element: RefType,
    /// Size at the start, in elements.
    pub minimum: u64,
    /// Size that it cannot outgrow, in elements.
    pub maximum: Option<u64>,
    /// Whether indices are 64 bits wide instead of 32.
    pub table64: bool,
}

impl TableType {
    /// A table with 32-bit indices; sizes in elements.
    pub const fn new(element: RefType, minimum: u32, maximum: Option<u32>) -> TableType {
        let maximum = match maximum {
            Some(maximum) => Some(maximum as u64),
            None => None,
        };
        TableType { element, minimum: minimum as u64, maximum, table64: false }
    }

    /// A table with 64-bit indices; sizes in elements.
    pub const fn new64(element: RefType, minimum: u64, maximum: Option<u64>) -> TableType {
        TableType { element, minimum, maximum, table64: true }
    }

    /// The type of indices: `i32` or `i64`.
    pub const fn index_type(&self) -> ValType {
        if self.table64 { ValType::I64 } else { ValType::I32 }
    }

    /// Whether a table of this type, `minimum` being its current size, may be imported as `expected`.
    pub fn matches(&self, expected: &TableType) -> bool {
        limits_match((self.minimum, self.maximum), (expected.minimum, expected.maximum))
            && self.table64 == expected.table64
            && self.element == expected.element
    }
}

impl fmt::Display for TableType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(table ")?;
        write_limits(f, self.table64, self.minimum, self.maximum)?;
        write!(f, " {})", self.element)
    }
}

/// The type of a global.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GlobalType {
    /// The type of its value.
    pub content: ValType,
    /// Whether its value can be set.
    pub mutable: bool,
}

impl GlobalType {
    /// A global type.
    pub const fn new(content: ValType, mutable: bool) -> GlobalType {
        GlobalType { content, mutable }
    }

    /// Whether a global of this type may be imported as `expected`. Mutable globals must have the very same type.
    pub fn matches(&self, expected: &GlobalType) -> bool {
        match (self.mutable, expected.mutable) {
            (true, true) => self.content == expected.content,
            (false, false) => self.content.matches(expected.content),
            _ => false,
        }
    }
}

impl fmt::Display for GlobalType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.mutable {
            write!(f, "(global (mut {}))", self.content)
        } else {
            write!(f, "(global {})", self.content)
        }
    }
}

/// The type of an exception tag: what exceptions with the tag carry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TagType {
    ty: FuncType,
}

impl TagType {
    /// A tag whose exceptions carry the parameters of a function type. The type's results must be empty; they mean nothing.
    pub fn new(ty: FuncType) -> TagType {
        TagType { ty }
    }

    /// The function type whose parameters the exceptions carry.
    pub fn ty(&self) -> &FuncType {
        &self.ty
    }
}

impl fmt::Display for TagType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(tag")?;
        for (number, ty) in self.ty.params().iter().enumerate() {
            write!(f, "{} {ty}", if number == 0 { " (param" } else { "" })?;
        }
        f.write_str(if self.ty.params().is_empty() { ")" } else { "))" })
    }
}

/// The type of something importable, as a module holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EntityType {
    /// A function of the type with this id.
    Func(TypeId),
    /// A table.
    Table(TableType),
    /// A linear memory.
    Memory(MemoryType),
    /// A global.
    Global(GlobalType),
    /// An exception tag that carries the parameters of the function type with this id.
    Tag(TypeId),
}

impl EntityType {
    /// Whether an entity of this type may be imported as `expected`.
    pub fn matches(&self, expected: &EntityType) -> bool {
        match (self, expected) {
            (EntityType::Func(actual), EntityType::Func(expected)) => actual == expected,
            (EntityType::Table(actual), EntityType::Table(expected)) => actual.matches(expected),
            (EntityType::Memory(actual), EntityType::Memory(expected)) => actual.matches(expected),
            (EntityType::Global(actual), EntityType::Global(expected)) => actual.matches(expected),
            (EntityType::Tag(actual), EntityType::Tag(expected)) => actual == expected,
            _ => false,
        }
    }

    /// The type with its function type spelled out. `None` when the registry does not know the function type.
    pub fn to_extern(&self, registry: &TypeRegistry) -> Option<ExternType> {
        Some(match *self {
            EntityType::Func(id) => ExternType::Func(registry.lookup(id)?),
            EntityType::Table(ty) => ExternType::Table(ty),
            EntityType::Memory(ty) => ExternType::Memory(ty),
            EntityType::Global(ty) => ExternType::Global(ty),
            EntityType::Tag(id) => ExternType::Tag(TagType::new(registry.lookup(id)?)),
        })
    }

    /// The kind in words: `function`, `table`, `memory`, `global` or `tag`.
    pub fn kind(&self) -> &'static str {
        match self {
            EntityType::Func(_) => "function",
            EntityType::Table(_) => "table",
            EntityType::Memory(_) => "memory",
            EntityType::Global(_) => "global",
            EntityType::Tag(_) => "tag",
        }
    }
}

/// The type of something importable, complete in itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ExternType {
    /// A function.
    Func(FuncType),
    /// A table.
    Table(TableType),
    /// A linear memory.
    Memory(MemoryType),
    /// A global.
    Global(GlobalType),
    /// An exception tag.
    Tag(TagType),
}

impl ExternType {
    /// Whether something of this type may be imported as `expected`.
    pub fn matches(&self, expected: &ExternType) -> bool {
        match (self, expected) {
            (ExternType::Func(actual), ExternType::Func(expected)) => actual == expected,
            (ExternType::Table(actual), ExternType::Table(expected)) => actual.matches(expected),
            (ExternType::Memory(actual), ExternType::Memory(expected)) => actual.matches(expected),
            (ExternType::Global(actual), ExternType::Global(expected)) => actual.matches(expected),
            (ExternType::Tag(actual), ExternType::Tag(expected)) => actual == expected,
            _ => false,
        }
    }

    /// The kind in words: `function`, `table`, `memory`, `global` or `tag`.
    pub fn kind(&self) -> &'static str {
        match self {
            ExternType::Func(_) => "function",
            ExternType::Table(_) => "table",
            ExternType::Memory(_) => "memory",
            ExternType::Global(_) => "global",
            ExternType::Tag(_) => "tag",
        }
    }

    /// The function type, when it is one.
    pub fn func(&self) -> Option<&FuncType> {
        match self {
            ExternType::Func(ty) => Some(ty),
            _ => None,
        }
    }

    /// The table type, when it is one.
    pub fn table(&self) -> Option<&TableType> {
        match self {
            ExternType::Table(ty) => Some(ty),
            _ => None,
        }
    }

    /// The memory type, when it is one.
    pub fn memory(&self) -> Option<&MemoryType> {
        match self {
            ExternType::Memory(ty) => Some(ty),
            _ => None,
        }
    }

    /// The global type, when it is one.
    pub fn global(&self) -> Option<&GlobalType> {
        match self {
            ExternType::Global(ty) => Some(ty),
            _ => None,
        }
    }

    /// The tag type, when it is one.
    pub fn tag(&self) -> Option<&TagType> {
        match self {
            ExternType::Tag(ty) => Some(ty),
            _ => None,
        }
    }
}

impl fmt::Display for ExternType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExternType::Func(ty) => ty.fmt(f),
            ExternType::Table(ty) => ty.fmt(f),
            ExternType::Memory(ty) => ty.fmt(f),
            ExternType::Global(ty) => ty.fmt(f),
            ExternType::Tag(ty) => ty.fmt(f),
        }
    }
}

/// Something of a module that an export can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EntityIndex {
    /// A function.
    Func(FuncIdx),
    /// A table.
    Table(TableIdx),
    /// A linear memory.
    Memory(MemoryIdx),
    /// A global.
    Global(GlobalIdx),
    /// An exception tag.
    Tag(TagIdx),
}

fn limits_match(actual: (u64, Option<u64>), expected: (u64, Option<u64>)) -> bool {
    actual.0 >= expected.0
        && match (actual.1, expected.1) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(actual), Some(expected)) => actual <= expected,
        }
}

fn write_limits(f: &mut fmt::Formatter<'_>, wide: bool, minimum: u64, maximum: Option<u64>) -> fmt::Result {
    if wide {
        f.write_str("i64 ")?;
    }
    write!(f, "{minimum}")?;
    match maximum {
        Some(maximum) => write!(f, " {maximum}"),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HeapType;

    #[test]
    fn limits_match_when_the_actual_ones_are_at_most_as_wide() {
        let table = [
            ((1, None), (1, None), true),
            ((2, None), (1, None), true),
            ((0, None), (1, None), false),
            ((1, Some(2)), (1, None), true),
            ((1, None), (1, Some(2)), false),
            ((1, Some(2)), (1, Some(2)), true),
            ((1, Some(3)), (1, Some(2)), false),
        ];
        for (actual, expected, result) in table {
            let memory = |(min, max)| MemoryType::new(min, max);
            assert_eq!(memory(actual).matches(&memory(expected)), result, "{actual:?} as {expected:?}");
            let table = |(min, max)| TableType::new(RefType::FUNCREF, min, max);
            assert_eq!(table(actual).matches(&table(expected)), result, "{actual:?} as {expected:?}");
        }
    }

    #[test]
    fn memories_of_different_kinds_do_not_match() {
        let base = MemoryType::new(1, Some(2));
        for other in [
            MemoryType { memory64: true, ..base },
            MemoryType { shared: true, ..base },
            MemoryType { page_size_log2: 0, ..base },
        ] {
            assert!(!base.matches(&other) && !other.matches(&base));
        }
    }

    #[test]
    fn table_elements_are_invariant() {
        let concrete = RefType::new(true, HeapType::Concrete(TypeId::new(0)));
        let narrow = TableType::new(concrete, 1, None);
        let wide = TableType::new(RefType::FUNCREF, 1, None);
        assert!(narrow.matches(&narrow) && !narrow.matches(&wide) && !wide.matches(&narrow));
        assert!(!wide.matches(&TableType { table64: true, ..wide }));
    }

    #[test]
    fn only_immutable_globals_may_be_imported_as_supertypes() {
        let narrow = ValType::Ref(RefType::new(false, HeapType::Concrete(TypeId::new(0))));
        let global = GlobalType::new;
        assert!(global(narrow, false).matches(&global(ValType::FUNCREF, false)));
        assert!(!global(narrow, true).matches(&global(ValType::FUNCREF, true)));
        assert!(!global(ValType::FUNCREF, false).matches(&global(narrow, false)));
        assert!(!global(ValType::I32, true).matches(&global(ValType::I32, false)));
    }

    #[test]
    fn kinds_do_not_match_each_other() {
        let all = [
            ExternType::Func(FuncType::new([], [])),
            ExternType::Table(TableType::new(RefType::FUNCREF, 0, None)),
            ExternType::Memory(MemoryType::new(0, None)),
            ExternType::Global(GlobalType::new(ValType::I32, false)),
            ExternType::Tag(TagType::new(FuncType::new([], []))),
        ];
        for (i, a) in all.iter().enumerate() {
            for (j, b) in all.iter().enumerate() {
                assert_eq!(a.matches(b), i == j, "{a} as {b}");
            }
        }
    }

    #[test]
    fn types_print_as_text_format() {
        let memory = MemoryType { shared: true, page_size_log2: 0, ..MemoryType::new64(1, Some(2)) };
        assert_eq!(memory.to_string(), "(memory i64 1 2 shared (pagesize 1))");
        assert_eq!(TableType::new(RefType::FUNCREF, 3, None).to_string(), "(table 3 (ref null func))");
        assert_eq!(GlobalType::new(ValType::F32, true).to_string(), "(global (mut f32))");
        assert_eq!(GlobalType::new(ValType::F32, false).to_string(), "(global f32)");
        let tag = |params: &[ValType]| TagType::new(FuncType::new(params.iter().copied(), [])).to_string();
        assert_eq!(tag(&[]), "(tag)");
        assert_eq!(tag(&[ValType::I32, ValType::EXNREF]), "(tag (param i32 (ref null exn)))");
    }
}
