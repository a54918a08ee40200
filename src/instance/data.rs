//! The Rust side of an instance: [`InstanceData`], which owns the context.
//!
//! Invariant, from `allocate` on: the context has the layout that the module's [`VmOffsets`] say, its pointers are to objects
//! of the instance's store, and `VmContext::instance` is the address of the data.

use crate::runtime::{MemoryRecord, TableRecord, ZeroedBuffer};
use crate::store::StoreId;
use crate::tag::TagRecord;
use crate::{Extern, Func, Global, Memory, Module, SharedMemory, Table, Tag, ValType};
use crescendo_abi::{VmContext, VmFuncRef, VmGlobal, VmOffsets};
use crescendo_interp::Variant;
use crescendo_module::{
    DataIdx, ElemIdx, EntityIndex, FuncIdx, GlobalIdx, GlobalType, MemoryIdx, TableIdx, TagIdx,
};
use std::ptr::NonNull;
use std::sync::Arc;

/// An instance of a store.
pub(crate) struct InstanceData {
    pub(super) module: Module,
    pub(super) store: StoreId,
    pub(super) variant: Variant,
    /// Holds the [`VmContext`].
    pub(super) context: ZeroedBuffer,
    /// The memories, by [`MemoryIdx`]; the dummy when the module has none.
    pub(super) memories: Box<[NonNull<MemoryRecord>]>,
    /// The types with which imported globals were made, which may be narrower than what the module asks for.
    pub(super) imported_globals: Box<[GlobalType]>,
    /// The exception tags, by [`TagIdx`].
    pub(super) tags: Box<[NonNull<TagRecord>]>,
    /// Which element segments are gone, by [`ElemIdx`].
    pub(super) dropped_elements: Box<[bool]>,
    /// Which data segments are gone, by [`DataIdx`].
    pub(super) dropped_data: Box<[bool]>,
}

impl Drop for InstanceData {
    fn drop(&mut self) {
        let context = std::mem::replace(&mut self.context, ZeroedBuffer::empty());
        let bytes = self.module.offsets().size() as usize;
        if let Some(context) = self.module.contexts().give(self.variant, context, bytes) {
            self.module.tiering().remove_instance(context.base().cast());
        }
    }
}

impl InstanceData {
    /// The instance with this context; `None` for null.
    ///
    /// # Safety
    ///
    /// `context` is null or the context of a live instance.
    #[inline]
    pub(crate) unsafe fn of_context(context: *mut VmContext) -> Option<NonNull<InstanceData>> {
        if context.is_null() {
            return None;
        }
        // SAFETY: the caller's promise.
        NonNull::new(unsafe { (*context).instance }.cast())
    }

    /// The instance with this context.
    ///
    /// # Safety
    ///
    /// `context` is the context of an instance that lives for `'a` and is not changed meanwhile.
    pub(crate) unsafe fn of_live_context<'a>(context: *mut VmContext) -> &'a InstanceData {
        // SAFETY: the caller's promise.
        let data = unsafe { (*context).instance }.cast::<InstanceData>();
        // SAFETY: `instance` is the data's address (the type's invariant), and the data lives as long as the context.
        unsafe { &*data }
    }

    /// The module that the instance was made of.
    pub(crate) fn module(&self) -> &Module {
        &self.module
    }

    /// Which bytecode the instance runs.
    pub(crate) fn variant(&self) -> Variant {
        self.variant
    }

    /// The context's address.
    pub(crate) fn context(&self) -> *mut VmContext {
        self.context.base().cast()
    }

    /// The address of a part of the context.
    pub(super) fn part<R>(&self, offset: u32) -> *mut R {
        self.context.base().wrapping_add(offset as usize).cast()
    }

    /// The object that a pointer in the context leads to.
    ///
    /// # Safety
    ///
    /// There is a pointer to an `R` at `offset`.
    unsafe fn pointee<R>(&self, offset: u32) -> NonNull<R> {
        // SAFETY: the caller's promise; pointers in a context are not null (the type's invariant).
        unsafe { self.part::<NonNull<R>>(offset).read() }
    }

    fn offsets(&self) -> &VmOffsets {
        self.module.offsets()
    }

    /// A memory. Memory 0 exists always.
    ///
    /// # Panics
    ///
    /// When the module has no such memory.
    pub(crate) fn memory(&self, memory: MemoryIdx) -> NonNull<MemoryRecord> {
        self.memories[memory.index()]
    }

    /// A table.
    ///
    /// # Panics
    ///
    /// When the module has no such table.
    pub(crate) fn table(&self, table: TableIdx) -> NonNull<TableRecord> {
        assert!(table.as_u32() < self.offsets().counts().tables, "{table:?} is not in the module");
        // SAFETY: the layout has a pointer there, and a store's tables are `TableRecord`s, which start with what contexts
        // point to.
        unsafe { self.pointee(self.offsets().table(table.as_u32())) }
    }

    /// A global.
    ///
    /// # Panics
    ///
    /// When the module has no such global.
    pub(crate) fn global(&self, global: GlobalIdx) -> NonNull<VmGlobal> {
        let counts = self.offsets().counts();
        match global.as_u32().checked_sub(counts.imported_globals) {
            // SAFETY: the layout has a pointer there.
            None => unsafe { self.pointee(self.offsets().imported_global(global.as_u32())) },
            Some(defined) => {
                assert!(defined < counts.defined_globals, "{global:?} is not in the module");
                // SAFETY: a part of the context is not null.
                unsafe { NonNull::new_unchecked(self.part(self.offsets().defined_global(defined))) }
            }
        }
    }

    /// The type of a global: for an imported one, of the global that was imported.
    fn global_type(&self, global: GlobalIdx) -> GlobalType {
        match self.imported_globals.get(global.index()) {
            Some(ty) => *ty,
            None => *self.module.info().global(global),
        }
    }

    /// The entry record of a function.
    ///
    /// # Panics
    ///
    /// When the module has no such function.
    pub(crate) fn func(&self, func: FuncIdx) -> NonNull<VmFuncRef> {
        let counts = self.offsets().counts();
        match func.as_u32().checked_sub(counts.imported_funcs) {
            // SAFETY: the layout has a pointer there.
            None => unsafe { self.pointee(self.offsets().imported_func(func.as_u32())) },
            Some(defined) => {
                assert!(defined < counts.defined_funcs, "{func:?} is not in the module");
                // SAFETY: a part of the context is not null.
                unsafe { NonNull::new_unchecked(self.part(self.offsets().defined_func(defined))) }
            }
        }
    }

    /// An exception tag.
    ///
    /// # Panics
    ///
    /// When the module has no such tag.
    pub(crate) fn tag(&self, tag: TagIdx) -> NonNull<TagRecord> {
        self.tags[tag.index()]
    }

    /// The values of the globals that the instance defines and that hold references to exceptions.
    pub(crate) fn exception_globals(&self) -> impl Iterator<Item = u64> + '_ {
        let info = self.module.info();
        let counts = self.offsets().counts();
        let first = counts.imported_globals;
        let globals = (first..first + counts.defined_globals).map(GlobalIdx::new);
        let globals = globals.filter(|index| match info.global(*index).content {
            ValType::Ref(ty) => ty.is_exn(),
            _ => false,
        });
        // SAFETY: the global is alive, and nothing writes to it meanwhile.
        globals.map(|index| unsafe { self.global(index).as_ref() }.slots[0])
    }

    /// What is exported under a name.
    pub(crate) fn export(&self, name: &str) -> Option<Extern> {
        Some(self.entity(self.module.info().export(name)?))
    }

    /// A part of the instance, for the embedder.
    ///
    /// # Panics
    ///
    /// When the module has no such part.
    pub(crate) fn entity(&self, index: EntityIndex) -> Extern {
        match index {
            EntityIndex::Func(func) => {
                // SAFETY: what an instance refers to belongs to its store.
                Extern::Func(unsafe { Func::from_record(self.store, self.func(func)) })
            }
            EntityIndex::Table(table) => {
                // SAFETY: as above.
                Extern::Table(unsafe { Table::from_record(self.store, self.table(table)) })
            }
            EntityIndex::Memory(memory) => {
                let record = self.memory(memory);
                // SAFETY: a store's memories live as long as the store; the borrow ends here.
                if let Some(shared) = unsafe { record.as_ref() }.shared() {
                    let engine = self.module.engine().clone();
                    return Extern::SharedMemory(SharedMemory::from_record(engine, Arc::clone(shared)));
                }
                // SAFETY: as above.
                Extern::Memory(unsafe { Memory::from_record(self.store, record) })
            }
            EntityIndex::Global(global) => {
                let (address, ty) = (self.global(global), self.global_type(global));
                // SAFETY: as above; the type is the one that the global was made with.
                Extern::Global(unsafe { Global::from_address(self.store, address, ty) })
            }
            EntityIndex::Tag(tag) => {
                // SAFETY: as above.
                Extern::Tag(unsafe { Tag::from_record(self.store, self.tag(tag)) })
            }
        }
    }

    /// The bytes of a data segment; none when it was dropped.
    pub(super) fn data_segment(&self, segment: DataIdx) -> &[u8] {
        if self.dropped_data[segment.index()] {
            return &[];
        }
        let range = self.module.info().data_segment(segment).range.clone();
        self.module.bytes().get(range).unwrap_or_default()
    }

    /// Drops a data segment.
    pub(crate) fn drop_data(&mut self, segment: DataIdx) {
        self.dropped_data[segment.index()] = true;
    }

    /// Drops an element segment.
    pub(crate) fn drop_elements(&mut self, segment: ElemIdx) {
        self.dropped_elements[segment.index()] = true;
    }
}
