//! Making an instance's context: memory for it, its own memories and tables, its entry records.
//!
//! Nothing of the guest runs here and nothing that others see changes. What remains for `initialize` is what constant
//! expressions and segments say.

use super::InstanceData;
use super::imports::{ImportedMemory, Imports};
use crate::error::{Error, Result};
use crate::runtime::{MemoryRecord, TableRecord, ZeroedBuffer};
use crate::store::StoreInner;
use crate::tag::TagRecord;
use crate::{Engine, Module};
use crescendo_abi::{VmContext, VmFuncRef, VmGlobal};
use crescendo_interp::Variant;
use crescendo_module::{MemoryIdx, TagIdx};
use std::ptr::{self, NonNull};
use std::sync::Arc;

/// Makes an instance and gives it to the store. Its globals are zero, its tables null, its segments not yet used.
///
/// # Errors
///
/// When the store's limiter refuses, or there is no memory left. Nothing is left behind then.
pub(super) fn allocate<T>(
    inner: &mut StoreInner<T>,
    module: &Module,
    imports: &Imports,
) -> Result<NonNull<InstanceData>> {
    let info = module.info();
    let own_memories = &info.memories()[imports.memories.len()..];
    let own_tables = &info.tables()[imports.tables.len()..];
    inner.opaque.count(1, own_memories.len(), own_tables.len())?;
    let images = module.images_for_new_instance();
    let mut memories = Vec::with_capacity(own_memories.len());
    for (index, ty) in (info.imported_memory_count()..).map(MemoryIdx::new).zip(own_memories) {
        let (store, limiter) = inner.parts();
        let image = images.and_then(|images| images.of(index));
        memories.push(MemoryRecord::new(store.engine(), *ty, image, limiter)?);
    }
    let mut tables = Vec::with_capacity(own_tables.len());
    for ty in own_tables {
        tables.push(TableRecord::new(*ty, 0, inner.parts().1)?);
    }
    let imported_guarded = imports.memories.iter().all(|memory| match memory {
        // SAFETY: a store's memories live as long as the store.
        ImportedMemory::Record(record) => unsafe { record.as_ref() }.is_guarded(),
        ImportedMemory::Shared(shared) => shared.is_guarded(),
    });
    let guarded = imported_guarded && memories.iter().all(MemoryRecord::is_guarded);
    let signals = inner.opaque.engine().config().signals_based_traps;
    let variant = if signals && guarded { Variant::Guarded } else { Variant::Checked };
    let (context, has_records) = context(module, variant)?;

    let store = &mut inner.opaque;
    let imported = imports.memories.iter().map(|memory| match memory {
        ImportedMemory::Record(record) => *record,
        ImportedMemory::Shared(shared) => store.push_memory(MemoryRecord::of_shared(Arc::clone(shared))),
    });
    let mut all_memories: Vec<NonNull<MemoryRecord>> = imported.collect();
    all_memories.extend(memories.into_iter().map(|memory| store.push_memory(memory)));
    let mut all_tables = imports.tables.clone();
    all_tables.extend(tables.into_iter().map(|table| store.push_table(table)));
    if all_memories.is_empty() {
        all_memories.push(store.dummy_memory());
    }
    let mut tags = imports.tags.clone();
    for tag in (imports.tags.len() as u32..info.tag_count()).map(TagIdx::new) {
        let record = TagRecord::new(store, info.type_of_tag(tag).clone());
        tags.push(store.push_tag(record));
    }
    let data = store.push_instance(InstanceData {
        module: module.clone(),
        store: store.id(),
        variant,
        context,
        memories: all_memories.clone().into(),
        tags: tags.into(),
        imported_globals: imports.globals.iter().map(|(_, ty)| *ty).collect(),
        dropped_elements: vec![false; info.elements().len()].into(),
        dropped_data: vec![false; info.data_segments().len()].into(),
    });
    // SAFETY: the store just took the instance over, and nobody else refers to it yet.
    let instance = unsafe { data.as_ref() };
    let header = VmContext {
        store: store.vm().as_ptr(),
        builtins: Engine::builtins(),
        instance: data.as_ptr().cast(),
        memory_count: all_memories.len() as u64,
        // SAFETY: a store's memories live as long as the store.
        memory_base: all_memories.first().map_or(ptr::null_mut(), |memory| unsafe { memory.as_ref() }.base()),
    };
    // SAFETY: the header is the first part of every context.
    unsafe { instance.context().write(header) };
    let offsets = module.offsets();
    // SAFETY: a store's memories live as long as the store.
    let memories = all_memories.into_iter().map(|memory| unsafe { MemoryRecord::vm(memory) });
    instance.write_pointers(offsets.memory(0), memories);
    instance.write_pointers(offsets.table(0), all_tables);
    instance.write_pointers(offsets.imported_global(0), imports.globals.iter().map(|(global, _)| *global));
    instance.write_pointers(offsets.imported_func(0), imports.funcs.iter().copied());
    if !has_records {
        instance.write_records();
        // SAFETY: the records are written, and the context leaves the list before it is freed: when the instance is dropped,
        // unless others can use the context.
        unsafe { crate::tiering::add_instance(module, instance.context(), variant) };
    }
    Ok(data)
}

/// Memory for a context in which globals are zero, and whether it has its records already.
fn context(module: &Module, variant: Variant) -> Result<(ZeroedBuffer, bool)> {
    let offsets = module.offsets();
    if let Some(context) = module.contexts().take(variant) {
        let counts = offsets.counts();
        let globals = context.base().wrapping_add(offsets.defined_global(0) as usize).cast::<VmGlobal>();
        // SAFETY: the layout has room for so many globals.
        unsafe { globals.write_bytes(0, counts.defined_globals as usize) };
        return Ok((context, true));
    }
    let size = offsets.size() as usize;
    let mut context = ZeroedBuffer::empty();
    context
        .grow(0, size, size)
        .map_err(|error| Error::msg(format_args!("{error}: an instance of the module takes {size} bytes")))?;
    Ok((context, false))
}

impl InstanceData {
    /// Writes an array of pointers into the context. The layout must have room for them at `offset`.
    fn write_pointers<R>(&self, offset: u32, pointers: impl IntoIterator<Item = NonNull<R>>) {
        let array = self.part::<NonNull<R>>(offset);
        for (index, pointer) in pointers.into_iter().enumerate() {
            // SAFETY: the layout was made for the counts of the module, of which `pointers` are as many.
            unsafe { array.wrapping_add(index).write(pointer) };
        }
    }

    /// Writes the entry records of the functions that the module defines, with the bytecode that exists already.
    fn write_records(&self) {
        let info = self.module.info();
        let code = self.module.code();
        let records = self.part::<VmFuncRef>(self.module.offsets().defined_func(0));
        for func in info.defined_funcs() {
            let index = info.func_idx(func);
            let record = VmFuncRef {
                entry: match code.get(self.variant, func) {
                    Some(bytecode) => bytecode.entry(),
                    None => crescendo_interp::untranslated_entry(),
                },
                context: self.context(),
                type_id: info.func_type_id(index).as_u32(),
                func_index: index.as_u32(),
                native: crescendo_interp::native_stub(),
            };
            // SAFETY: the layout has a record for every function that the module defines.
            unsafe { records.wrapping_add(func.index()).write(record) };
        }
    }
}
