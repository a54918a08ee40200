//! What a module is made of: the result of parsing, shared by all its users.
//!
//! Holds no bytes of the module, only places in them; calls that need the bytes take them, and they must be those that were
//! parsed. Everything in here is validated but, with [`crate::Validation::Lazy`], the function bodies. `Send + Sync` and
//! never changed after parsing, names and hints aside, which are found on first use.
//!
//! In each index space imported entities come first.

use crate::index::{narrow, widen};
use crate::names::NameSection;
use crate::registry::ModuleTypes;
use crate::validate::LazyBodies;
use crate::{
    ConstExpr, DataIdx, DataSegment, DefinedFuncIdx, ElemIdx, ElementSegment, EntityIndex, EntityType,
    ExternType, FuncIdx, FuncType, GlobalIdx, GlobalType, Hints, MemoryIdx, MemoryType, Names, TableIdx,
    TableInit, TableType, TagIdx, TagType, TypeId, TypeIdx, TypeRegistry,
};
use core::ops::Range;
use std::sync::OnceLock;
use wasmparser::{BinaryReader, FunctionBody, WasmFeatures};

/// An import of a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// The name of the module to import from.
    pub module: Box<str>,
    /// The name of what is imported.
    pub name: Box<str>,
    /// Its type.
    pub ty: EntityType,
}

/// An export of a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Export<'a> {
    /// The name that it is exported under.
    pub name: &'a str,
    /// What is exported.
    pub index: EntityIndex,
}

/// A custom section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomSection {
    /// Its name.
    pub name: Box<str>,
    /// Where in the module's bytes its contents are, without the name.
    pub range: Range<usize>,
}

/// A module without its bytes. See the methods for its parts.
pub struct ModuleInfo {
    pub(crate) types: ModuleTypes,
    pub(crate) imports: Vec<Import>,
    pub(crate) exports: Exports,
    pub(crate) funcs: Vec<TypeIdx>,
    pub(crate) imported_funcs: u32,
    pub(crate) tables: Vec<TableType>,
    pub(crate) table_inits: Vec<TableInit>,
    pub(crate) memories: Vec<MemoryType>,
    pub(crate) imported_memories: u32,
    pub(crate) tags: Vec<TypeIdx>,
    pub(crate) imported_tags: u32,
    pub(crate) globals: Vec<GlobalType>,
    pub(crate) global_inits: Vec<ConstExpr>,
    pub(crate) elements: Vec<ElementSegment>,
    pub(crate) data: Vec<DataSegment>,
    pub(crate) data_count: Option<u32>,
    pub(crate) start: Option<FuncIdx>,
    pub(crate) declared_funcs: Vec<FuncIdx>,
    pub(crate) code: Range<usize>,
    pub(crate) bodies: Vec<Range<u32>>,
    pub(crate) custom_sections: Vec<CustomSection>,
    pub(crate) name_section: Option<Range<usize>>,
    pub(crate) names: OnceLock<NameSection>,
    pub(crate) hints: OnceLock<Hints>,
    pub(crate) features: WasmFeatures,
    pub(crate) lazy: Option<LazyBodies>,
}

/// Types and functions.
impl ModuleInfo {
    /// The registry that the module's types belong to.
    pub fn registry(&self) -> &TypeRegistry {
        self.types.registry()
    }

    /// The canonical ids of the module's types, by [`TypeIdx`]. They stay in use while the module lives.
    pub fn types(&self) -> &[TypeId] {
        self.types.ids()
    }

    /// The canonical id of a type.
    ///
    /// # Panics
    /// When the module has no such type.
    pub fn type_id(&self, ty: TypeIdx) -> TypeId {
        self.types.ids()[ty.index()]
    }

    /// A function type.
    ///
    /// # Panics
    /// When the module has no such type.
    pub fn func_type(&self, ty: TypeIdx) -> &FuncType {
        &self.types.types()[ty.index()]
    }

    /// The types of all functions, by [`FuncIdx`].
    pub fn funcs(&self) -> &[TypeIdx] {
        &self.funcs
    }

    /// Number of functions, imported ones included.
    pub fn func_count(&self) -> u32 {
        narrow(self.funcs.len())
    }

    /// Number of imported functions.
    pub fn imported_func_count(&self) -> u32 {
        self.imported_funcs
    }

    /// Number of functions that the module defines.
    pub fn defined_func_count(&self) -> u32 {
        self.func_count() - self.imported_funcs
    }

    /// The functions that the module defines.
    pub fn defined_funcs(&self) -> impl ExactSizeIterator<Item = DefinedFuncIdx> + use<> {
        (0..self.defined_func_count()).map(DefinedFuncIdx::new)
    }

    /// The type of a function, as the module's own index.
    ///
    /// # Panics
    /// When the module has no such function.
    pub fn func_type_idx(&self, func: FuncIdx) -> TypeIdx {
        self.funcs[func.index()]
    }

    /// The canonical id of a function's type.
    ///
    /// # Panics
    /// When the module has no such function.
    pub fn func_type_id(&self, func: FuncIdx) -> TypeId {
        self.type_id(self.func_type_idx(func))
    }

    /// The type of a function.
    ///
    /// # Panics
    /// When the module has no such function.
    pub fn type_of_func(&self, func: FuncIdx) -> &FuncType {
        self.func_type(self.func_type_idx(func))
    }

    /// The index of a function among those that the module defines, `None` for an imported one.
    pub fn defined_func(&self, func: FuncIdx) -> Option<DefinedFuncIdx> {
        let defined = func.as_u32().checked_sub(self.imported_funcs)?;
        (defined < self.defined_func_count()).then(|| DefinedFuncIdx::new(defined))
    }

    /// The index of a defined function among all functions.
    pub fn func_idx(&self, func: DefinedFuncIdx) -> FuncIdx {
        FuncIdx::new(self.imported_funcs + func.as_u32())
    }

    /// The functions that can leave the module as a reference: exported ones and those that an element segment, a global or
    /// a table names. Only these may `ref.func` in a body name. Ascending.
    pub fn declared_funcs(&self) -> &[FuncIdx] {
        &self.declared_funcs
    }

    /// Whether a function is among [`ModuleInfo::declared_funcs`].
    pub fn is_declared_func(&self, func: FuncIdx) -> bool {
        self.declared_funcs.binary_search(&func).is_ok()
    }

    /// The function to call at the end of instantiation.
    pub fn start(&self) -> Option<FuncIdx> {
        self.start
    }
}

/// Function bodies.
impl ModuleInfo {
    /// Where the contents of the code section are; empty without one.
    pub fn code_range(&self) -> Range<usize> {
        self.code.clone()
    }

    /// Where the body of a function is: its local declarations and operators.
    ///
    /// # Panics
    /// When the module defines no such function.
    pub fn body_range(&self, func: DefinedFuncIdx) -> Range<usize> {
        let range = &self.bodies[func.index()];
        widen(range.start)..widen(range.end)
    }

    /// Where the bodies are, by [`DefinedFuncIdx`].
    pub fn body_ranges(&self) -> impl ExactSizeIterator<Item = Range<usize>> + '_ {
        self.bodies.iter().map(|range| widen(range.start)..widen(range.end))
    }

    /// How many locals the body of a function declares; those before a declaration that is malformed.
    ///
    /// # Panics
    /// As for [`ModuleInfo::func_body`].
    pub fn declared_locals(&self, bytes: &[u8], func: DefinedFuncIdx) -> u32 {
        let declarations = self.func_body(bytes, func).get_locals_reader();
        let counts = declarations.into_iter().flatten().map_while(|locals| Some(locals.ok()?.0));
        counts.fold(0, u32::saturating_add)
    }

    /// The body of a function in the module's bytes, to be read with the features that the module was parsed with. Offsets
    /// of its readers count from the start of the module.
    ///
    /// # Panics
    /// When the module defines no such function or the bytes are shorter than those that were parsed.
    pub fn func_body<'a>(&self, bytes: &'a [u8], func: DefinedFuncIdx) -> FunctionBody<'a> {
        let range = self.body_range(func);
        let start = range.start as u64;
        FunctionBody::new(BinaryReader::new_features(&bytes[range], start, self.features))
    }

    /// The defined function whose body holds the byte at this offset of the module.
    pub fn func_at(&self, offset: usize) -> Option<DefinedFuncIdx> {
        let after = self.bodies.partition_point(|range| widen(range.start) <= offset);
        let at = after.checked_sub(1)?;
        (offset < widen(self.bodies[at].end)).then(|| DefinedFuncIdx::new(narrow(at)))
    }
}

/// Imports and exports.
impl ModuleInfo {
    /// The imports, in order.
    pub fn imports(&self) -> &[Import] {
        &self.imports
    }

    /// The exports, in order.
    pub fn exports(&self) -> impl ExactSizeIterator<Item = Export<'_>> {
        self.exports.rows.iter().map(|row| self.exports.get(row))
    }

    /// What is exported under a name. The first call sorts the exports, all take logarithmic time.
    pub fn export(&self, name: &str) -> Option<EntityIndex> {
        self.exports.find(name)
    }

    /// The type of an entity of the module.
    ///
    /// # Panics
    /// When the module has no such entity.
    pub fn entity_type(&self, index: EntityIndex) -> EntityType {
        match index {
            EntityIndex::Func(func) => EntityType::Func(self.func_type_id(func)),
            EntityIndex::Table(table) => EntityType::Table(*self.table(table)),
            EntityIndex::Memory(memory) => EntityType::Memory(*self.memory(memory)),
            EntityIndex::Global(global) => EntityType::Global(*self.global(global)),
            EntityIndex::Tag(tag) => EntityType::Tag(self.tag_type_id(tag)),
        }
    }

    /// The type of an entity of the module, complete in itself.
    ///
    /// # Panics
    /// When the module has no such entity.
    pub fn extern_type(&self, index: EntityIndex) -> ExternType {
        match index {
            EntityIndex::Func(func) => ExternType::Func(self.type_of_func(func).clone()),
            EntityIndex::Table(table) => ExternType::Table(*self.table(table)),
            EntityIndex::Memory(memory) => ExternType::Memory(*self.memory(memory)),
            EntityIndex::Global(global) => ExternType::Global(*self.global(global)),
            EntityIndex::Tag(tag) => ExternType::Tag(TagType::new(self.type_of_tag(tag).clone())),
        }
    }
}

/// Tables, memories, globals and segments.
impl ModuleInfo {
    /// The types of all tables, by [`TableIdx`].
    pub fn tables(&self) -> &[TableType] {
        &self.tables
    }

    /// The type of a table.
    ///
    /// # Panics
    /// When the module has no such table.
    pub fn table(&self, table: TableIdx) -> &TableType {
        &self.tables[table.index()]
    }

    /// Number of imported tables.
    pub fn imported_table_count(&self) -> u32 {
        narrow(self.tables.len() - self.table_inits.len())
    }

    /// How the tables that the module defines start, in order.
    pub fn table_inits(&self) -> &[TableInit] {
        &self.table_inits
    }

    /// The types of all memories, by [`MemoryIdx`].
    pub fn memories(&self) -> &[MemoryType] {
        &self.memories
    }

    /// The type of a memory.
    ///
    /// # Panics
    /// When the module has no such memory.
    pub fn memory(&self, memory: MemoryIdx) -> &MemoryType {
        &self.memories[memory.index()]
    }

    /// Number of imported memories.
    pub fn imported_memory_count(&self) -> u32 {
        self.imported_memories
    }

    /// Number of exception tags, imported ones included.
    pub fn tag_count(&self) -> u32 {
        narrow(self.tags.len())
    }

    /// Number of imported exception tags.
    pub fn imported_tag_count(&self) -> u32 {
        self.imported_tags
    }

    /// The function type whose parameters a tag's exceptions carry.
    ///
    /// # Panics
    /// When the module has no such tag.
    pub fn type_of_tag(&self, tag: TagIdx) -> &FuncType {
        self.func_type(self.tags[tag.index()])
    }

    /// The canonical id of a tag's type.
    ///
    /// # Panics
    /// When the module has no such tag.
    pub fn tag_type_id(&self, tag: TagIdx) -> TypeId {
        self.type_id(self.tags[tag.index()])
    }

    /// The types of all globals, by [`GlobalIdx`].
    pub fn globals(&self) -> &[GlobalType] {
        &self.globals
    }

    /// The type of a global.
    ///
    /// # Panics
    /// When the module has no such global.
    pub fn global(&self, global: GlobalIdx) -> &GlobalType {
        &self.globals[global.index()]
    }

    /// Number of imported globals.
    pub fn imported_global_count(&self) -> u32 {
        narrow(self.globals.len() - self.global_inits.len())
    }

    /// The initial values of the globals that the module defines, in order. Each uses earlier globals only.
    pub fn global_inits(&self) -> &[ConstExpr] {
        &self.global_inits
    }

    /// The element segments, by [`ElemIdx`].
    pub fn elements(&self) -> &[ElementSegment] {
        &self.elements
    }

    /// An element segment.
    ///
    /// # Panics
    /// When the module has no such segment.
    pub fn element(&self, segment: ElemIdx) -> &ElementSegment {
        &self.elements[segment.index()]
    }

    /// The data segments, by [`DataIdx`].
    pub fn data_segments(&self) -> &[DataSegment] {
        &self.data
    }

    /// A data segment.
    ///
    /// # Panics
    /// When the module has no such segment.
    pub fn data_segment(&self, segment: DataIdx) -> &DataSegment {
        &self.data[segment.index()]
    }

    /// The number of data segments that the data count section announces.
    pub fn data_count(&self) -> Option<u32> {
        self.data_count
    }
}

/// Custom sections and names.
impl ModuleInfo {
    /// The custom sections, in order, the name section included.
    pub fn custom_sections(&self) -> &[CustomSection] {
        &self.custom_sections
    }

    /// The names that the name section gives. The first call reads the section; `bytes` are those of the module.
    pub fn names<'a>(&'a self, bytes: &'a [u8]) -> Names<'a> {
        let section = self.names.get_or_init(|| match &self.name_section {
            Some(range) => NameSection::parse(bytes, range.clone()),
            None => NameSection::default(),
        });
        Names::new(section, bytes)
    }

    /// The hints for compilers that custom sections give. The first call reads the sections; `bytes` are those of the module.
    pub fn hints(&self, bytes: &[u8]) -> &Hints {
        self.hints.get_or_init(|| Hints::read(self, bytes))
    }
}

impl core::fmt::Debug for ModuleInfo {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ModuleInfo")
            .field("types", &self.types.ids().len())
            .field("imports", &self.imports.len())
            .field("exports", &self.exports.rows.len())
            .field("funcs", &self.funcs.len())
            .field("code", &self.code)
            .finish_non_exhaustive()
    }
}

/// The exports with all their names in one string.
#[derive(Default)]
pub(crate) struct Exports {
    names: String,
    rows: Vec<ExportRow>,
    /// Positions in `rows`, ordered by name.
    by_name: OnceLock<Box<[u32]>>,
}

struct ExportRow {
    name: Range<u32>,
    index: EntityIndex,
}

impl Exports {
    pub(crate) fn reserve(&mut self, additional: usize) {
        self.rows.reserve(additional);
    }

    pub(crate) fn push(&mut self, name: &str, index: EntityIndex) {
        let start = narrow(self.names.len());
        self.names.push_str(name);
        self.rows.push(ExportRow { name: start..narrow(self.names.len()), index });
    }

    fn get<'a>(&'a self, row: &ExportRow) -> Export<'a> {
        Export { name: &self.names[widen(row.name.start)..widen(row.name.end)], index: row.index }
    }

    fn find(&self, name: &str) -> Option<EntityIndex> {
        let name_at = |position: &u32| self.get(&self.rows[widen(*position)]).name;
        let by_name = self.by_name.get_or_init(|| {
            let mut order: Box<[u32]> = (0..narrow(self.rows.len())).collect();
            order.sort_unstable_by(|a, b| name_at(a).cmp(name_at(b)));
            order
        });
        let at = by_name.binary_search_by(|position| name_at(position).cmp(name)).ok()?;
        Some(self.rows[widen(by_name[at])].index)
    }
}
