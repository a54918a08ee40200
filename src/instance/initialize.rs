//! What an instance does before anybody calls it: initial values, active segments, the start function.
//!
//! Order and partial effects are the specification's (<https://webassembly.github.io/spec/core/exec/modules.html#instantiation>):
//! a segment that does not fit is a trap, and what earlier segments wrote stays.

use super::const_expr::{evaluate, evaluate_global};
use super::segments::{init_memory, init_table};
use super::{InstanceData, ModuleImages};
use crate::error::{Error, Result};
use crate::runtime::{Stop, enter};
use crate::store::StoreInner;
use crescendo_module::{DataIdx, DataMode, ElemIdx, ElementMode, GlobalIdx, MemoryIdx, TableIdx, TableInit};
use std::ptr::NonNull;

/// Initializes a new instance of the store and runs its start function.
///
/// # Errors
///
/// A trap of a segment or of the start function, or an error of a host function. The instance stays as it is then.
pub(super) fn initialize<T: 'static>(
    inner: &mut StoreInner<T>,
    mut data: NonNull<InstanceData>,
) -> Result<()> {
    // SAFETY: the instance is the store's, which is borrowed exclusively; the borrow ends before its functions run.
    let instance = unsafe { data.as_mut() };
    globals(instance)?;
    tables(instance)?;
    if let Err(stop) = elements(instance) {
        wipe_images(instance);
        return Err(Error::from(stop).context("initializing an element segment"));
    }
    memories(instance).map_err(|stop| Error::from(stop).context("initializing a data segment"))?;
    if let Some(start) = instance.module().info().start() {
        let record = instance.func(start);
        // SAFETY: the record is the instance's, and start functions have neither parameters nor results.
        unsafe { enter::call(inner, record, &mut []) }?;
    }
    Ok(())
}

fn globals(instance: &InstanceData) -> Result<()> {
    let info = instance.module().info();
    for (number, init) in (info.imported_global_count()..).zip(info.global_inits()) {
        let value = evaluate_global(instance, init)?;
        let mut global = instance.global(GlobalIdx::new(number));
        // SAFETY: the global is alive, and nobody else refers to the globals of a new instance.
        unsafe { global.as_mut() }.slots = value;
    }
    Ok(())
}

fn tables(instance: &InstanceData) -> Result<()> {
    let info = instance.module().info();
    for (number, init) in (info.imported_table_count()..).zip(info.table_inits()) {
        let TableInit::Expr(init) = init else { continue };
        let value = evaluate(instance, init)?;
        let mut table = instance.table(TableIdx::new(number));
        // SAFETY: the table is alive, and nobody else refers to the tables of a new instance.
        unsafe { table.as_mut() }.elements_mut().fill(value);
    }
    Ok(())
}

fn elements(instance: &mut InstanceData) -> Result<(), Stop> {
    let module = instance.module().clone();
    for (number, segment) in (0..).zip(module.info().elements()) {
        let index = ElemIdx::new(number);
        match &segment.mode {
            ElementMode::Passive => continue,
            ElementMode::Active { table, offset } => {
                let start = evaluate(instance, offset)?;
                init_table(instance, *table, index, start, 0, segment.items.len() as u64)?;
            }
            ElementMode::Declared => {}
        }
        instance.drop_elements(index);
    }
    Ok(())
}

fn memories(instance: &mut InstanceData) -> Result<(), Stop> {
    let module = instance.module().clone();
    let in_images = module.images().map_or(0, ModuleImages::segments);
    for (index, segment) in (0..).map(DataIdx::new).zip(module.info().data_segments()) {
        if let DataMode::Active { memory, offset } = &segment.mode {
            // SAFETY: a store's memories live as long as the store, and nobody else uses this one meanwhile.
            let has_image = || unsafe { instance.memory(*memory).as_ref() }.has_image();
            // Segments for imported memories, which may have an image of another module, are not among those.
            if index.index() >= in_images || !has_image() {
                let start = evaluate(instance, offset)?;
                init_memory(instance, *memory, index, start, 0, segment.range.len() as u64)?;
            }
            instance.drop_data(index);
        }
    }
    Ok(())
}

/// Makes the instance's own memories zero, in which there may be already what data segments would have written.
fn wipe_images(instance: &InstanceData) {
    let info = instance.module().info();
    let all = 0..u32::try_from(info.memories().len()).unwrap_or(u32::MAX);
    for index in all.skip(info.imported_memory_count() as usize) {
        // SAFETY: a store's memories live as long as the store, and nobody else uses this one meanwhile.
        unsafe { instance.memory(MemoryIdx::new(index)).as_mut() }.wipe_image();
    }
}
