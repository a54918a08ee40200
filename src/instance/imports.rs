//! Whether the objects given for a module's imports fit, and their addresses.

use crate::error::{Error, ErrorKind, Result, UnknownImport, arguments};
use crate::runtime::{MemoryRecord, SharedRecord, TableRecord};
use crate::store::StoreOpaque;
use crate::tag::TagRecord;
use crate::{Extern, Module};
use crescendo_abi::{VmFuncRef, VmGlobal};
use crescendo_module::{EntityType, GlobalType};
use std::ptr::NonNull;
use std::sync::Arc;

/// The objects that a module imports, by index space and in order. All belong to the store that they were checked with.
#[derive(Default)]
pub(super) struct Imports {
    pub(super) funcs: Vec<NonNull<VmFuncRef>>,
    pub(super) tables: Vec<NonNull<TableRecord>>,
    pub(super) memories: Vec<ImportedMemory>,
    pub(super) globals: Vec<(NonNull<VmGlobal>, GlobalType)>,
    pub(super) tags: Vec<NonNull<TagRecord>>,
}

/// A memory of the store, or one that is to become one of its memories, too.
pub(super) enum ImportedMemory {
    Record(NonNull<MemoryRecord>),
    Shared(Arc<SharedRecord>),
}

/// Checks that `items` are what the module imports.
///
/// # Errors
///
/// When items are missing (all are listed), too many, of another store or engine, or of a type that does not fit.
pub(super) fn check(store: &StoreOpaque, module: &Module, items: &[Extern]) -> Result<Imports> {
    if !store.engine().same(module.engine()) {
        return Err(arguments!("the store and the module belong to different engines"));
    }
    let wanted = module.info().imports();
    if items.len() < wanted.len() {
        let missing = module.imports().skip(items.len());
        let missing =
            missing.map(|import| UnknownImport::new(import.module(), import.name(), import.ty().clone()));
        return Err(Error::new(ErrorKind::UnknownImports(missing.collect())));
    }
    if items.len() > wanted.len() {
        return Err(arguments!("{} items for a module with {} imports", items.len(), wanted.len()));
    }
    let mut imports = Imports::default();
    for (number, (import, item)) in wanted.iter().zip(items).enumerate() {
        item.check_store(store)
            .map_err(|error| error.context(format_args!("import `{}::{}`", import.module, import.name)))?;
        if !imports.take(store, &import.ty, item) {
            return Err(incompatible(store, module, number, item));
        }
    }
    Ok(imports)
}

impl Imports {
    /// Adds an item if it fits; answers whether it does.
    fn take(&mut self, store: &StoreOpaque, expected: &EntityType, item: &Extern) -> bool {
        match (item, expected) {
            (Extern::Func(func), EntityType::Func(expected)) if func.type_id(store) == Some(*expected) => {
                self.funcs.push(func.stored().address(store));
            }
            (Extern::Table(table), EntityType::Table(expected))
                if table.record(store).current_type().matches(expected) =>
            {
                self.tables.push(table.stored().address(store));
            }
            (Extern::Memory(memory), EntityType::Memory(expected))
                if memory.record(store).current_type().matches(expected) =>
            {
                self.memories.push(ImportedMemory::Record(memory.stored().address(store)));
            }
            (Extern::SharedMemory(memory), EntityType::Memory(expected))
                if memory.current_type().matches(expected) =>
            {
                self.memories.push(ImportedMemory::Shared(Arc::clone(memory.record())));
            }
            (Extern::Global(global), EntityType::Global(expected))
                if global.global_type().matches(expected) =>
            {
                self.globals.push((global.stored().address(store), global.global_type()));
            }
            (Extern::Tag(tag), EntityType::Tag(expected))
                if tag.record(store).type_id() == Some(*expected) =>
            {
                self.tags.push(tag.stored().address(store));
            }
            _ => return false,
        }
        true
    }
}

#[cold]
fn incompatible(store: &StoreOpaque, module: &Module, number: usize, item: &Extern) -> Error {
    match module.imports().nth(number) {
        Some(import) => Error::incompatible_import(
            import.module(),
            import.name(),
            import.ty().clone(),
            item.current_type(store),
        ),
        None => crate::error::bug!("import {number} was there"),
    }
}
