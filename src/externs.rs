//! What can be imported and exported: [`Extern`], and the names that modules and instances give them.

use crate::error::arguments;
use crate::store::StoreOpaque;
use crate::{AsContext, ExternType, Func, Global, Memory, Result, SharedMemory, Table, Tag, TagType};
use std::fmt;

/// A function, table, memory or global of a store, or a shared memory.
///
/// # Examples
///
/// ```
/// use crescendo::{Engine, Extern, Func, Store};
///
/// let mut store = Store::new(&Engine::default(), ());
/// let item = Extern::from(Func::wrap(&mut store, |a: i32| a));
/// assert_eq!(item.ty(&store).to_string(), "(func (param i32) (result i32))");
/// assert!(item.into_func().is_some() && item.into_memory().is_none());
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Extern {
    /// A function.
    Func(Func),
    /// A table.
    Table(Table),
    /// A linear memory.
    Memory(Memory),
    /// A global.
    Global(Global),
    /// A linear memory of several threads.
    SharedMemory(SharedMemory),
    /// An exception tag.
    Tag(Tag),
}

impl Extern {
    /// The function, when it is one.
    pub fn into_func(self) -> Option<Func> {
        match self {
            Extern::Func(func) => Some(func),
            _ => None,
        }
    }

    /// The table, when it is one.
    pub fn into_table(self) -> Option<Table> {
        match self {
            Extern::Table(table) => Some(table),
            _ => None,
        }
    }

    /// The linear memory, when it is one.
    pub fn into_memory(self) -> Option<Memory> {
        match self {
            Extern::Memory(memory) => Some(memory),
            _ => None,
        }
    }

    /// The global, when it is one.
    pub fn into_global(self) -> Option<Global> {
        match self {
            Extern::Global(global) => Some(global),
            _ => None,
        }
    }

    /// The shared memory, when it is one.
    pub fn into_shared_memory(self) -> Option<SharedMemory> {
        match self {
            Extern::SharedMemory(memory) => Some(memory),
            _ => None,
        }
    }

    /// The tag, if it is one.
    pub fn into_tag(self) -> Option<Tag> {
        match self {
            Extern::Tag(tag) => Some(tag),
            _ => None,
        }
    }

    /// The object's type. For memories and tables the minimum is the present size: this is what imports are matched with.
    ///
    /// # Panics
    ///
    /// When the object belongs to another store.
    pub fn ty(&self, store: impl AsContext) -> ExternType {
        self.current_type(store.as_context().opaque())
    }

    /// What [`Extern::ty`] answers.
    pub(crate) fn current_type(&self, store: &StoreOpaque) -> ExternType {
        match self {
            Extern::Func(func) => ExternType::Func(func.ty_in(store).clone()),
            Extern::Table(table) => ExternType::Table(table.record(store).current_type()),
            Extern::Memory(memory) => ExternType::Memory(memory.record(store).current_type()),
            Extern::Global(global) => ExternType::Global(global.global_type()),
            Extern::SharedMemory(memory) => ExternType::Memory(memory.current_type()),
            Extern::Tag(tag) => ExternType::Tag(TagType::new(tag.record(store).ty().clone())),
        }
    }

    /// Fails unless the object belongs to the store; a shared memory, to its engine.
    pub(crate) fn check_store(&self, store: &StoreOpaque) -> Result<()> {
        match self {
            Extern::Func(func) => func.stored().check(store),
            Extern::Table(table) => table.stored().check(store),
            Extern::Memory(memory) => memory.stored().check(store),
            Extern::Global(global) => global.stored().check(store),
            Extern::SharedMemory(memory) if memory.engine().same(store.engine()) => Ok(()),
            Extern::SharedMemory(_) => {
                Err(arguments!("the store and the shared memory belong to different engines"))
            }
            Extern::Tag(tag) => tag.stored().check(store),
        }
    }
}

impl From<Func> for Extern {
    fn from(func: Func) -> Extern {
        Extern::Func(func)
    }
}

impl From<Table> for Extern {
    fn from(table: Table) -> Extern {
        Extern::Table(table)
    }
}

impl From<Memory> for Extern {
    fn from(memory: Memory) -> Extern {
        Extern::Memory(memory)
    }
}

impl From<Global> for Extern {
    fn from(global: Global) -> Extern {
        Extern::Global(global)
    }
}

impl From<SharedMemory> for Extern {
    fn from(memory: SharedMemory) -> Extern {
        Extern::SharedMemory(memory)
    }
}

impl From<Tag> for Extern {
    fn from(tag: Tag) -> Extern {
        Extern::Tag(tag)
    }
}

/// An import that a module asks for.
#[derive(Clone, Debug)]
pub struct ImportType<'a> {
    module: &'a str,
    name: &'a str,
    ty: ExternType,
}

impl<'a> ImportType<'a> {
    pub(crate) fn new(module: &'a str, name: &'a str, ty: ExternType) -> ImportType<'a> {
        ImportType { module, name, ty }
    }

    /// The name of the module to import from.
    pub fn module(&self) -> &'a str {
        self.module
    }

    /// The name of what is imported.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// The type that a definition needs.
    pub fn ty(&self) -> &ExternType {
        &self.ty
    }
}

impl fmt::Display for ImportType<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}::{}` {}", self.module, self.name, self.ty)
    }
}

/// An export that a module's instances will have.
#[derive(Clone, Debug)]
pub struct ExportType<'a> {
    name: &'a str,
    ty: ExternType,
}

impl<'a> ExportType<'a> {
    pub(crate) fn new(name: &'a str, ty: ExternType) -> ExportType<'a> {
        ExportType { name, ty }
    }

    /// The name that it is exported under.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// Its type; for tables and memories with the sizes that the module declares.
    pub fn ty(&self) -> &ExternType {
        &self.ty
    }
}

impl fmt::Display for ExportType<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.name, self.ty)
    }
}

/// An export of an instance.
#[derive(Clone, Debug)]
pub struct Export<'a> {
    name: &'a str,
    item: Extern,
}

impl<'a> Export<'a> {
    pub(crate) fn new(name: &'a str, item: Extern) -> Export<'a> {
        Export { name, item }
    }

    /// The name that it is exported under.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// What is exported.
    pub fn into_extern(self) -> Extern {
        self.item
    }

    /// The function, when it is one.
    pub fn into_func(self) -> Option<Func> {
        self.item.into_func()
    }

    /// The table, when it is one.
    pub fn into_table(self) -> Option<Table> {
        self.item.into_table()
    }

    /// The linear memory, when it is one.
    pub fn into_memory(self) -> Option<Memory> {
        self.item.into_memory()
    }

    /// The shared memory, when it is one.
    pub fn into_shared_memory(self) -> Option<SharedMemory> {
        self.item.into_shared_memory()
    }

    /// The global, when it is one.
    pub fn into_global(self) -> Option<Global> {
        self.item.into_global()
    }

    /// The tag, if it is one.
    pub fn into_tag(self) -> Option<Tag> {
        self.item.into_tag()
    }
}
