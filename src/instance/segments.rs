//! Copying segments into tables and memories: what `table.init` and `memory.init` do, and active segments at instantiation.

use super::InstanceData;
use super::const_expr::evaluate;
use crate::error::Result;
use crate::runtime::{Stop, range};
use crescendo_abi::TrapCode;
use crescendo_module::{DataIdx, ElemIdx, ElementItems, MemoryIdx, TableIdx};

/// Writes `len` items of an element segment, from `source` on, to the table's elements from `start` on.
///
/// # Errors
///
/// A trap when one of the ranges does not exist; nothing is written then. A dropped segment has no items.
pub(crate) fn init_table(
    instance: &InstanceData,
    table: TableIdx,
    segment: ElemIdx,
    start: u64,
    source: u64,
    len: u64,
) -> Result<(), Stop> {
    let mut table = instance.table(table);
    // SAFETY: a store's tables live as long as the store, and nobody else uses this one meanwhile: neither constant
    // expressions nor instances refer to the elements of tables.
    let table = unsafe { table.as_mut() };
    let items = &instance.module().info().element(segment).items;
    let available = if instance.dropped_elements[segment.index()] { 0 } else { items.len() };
    let target = range(start, len, table.len(), TrapCode::TableOutOfBounds)?;
    let source = range(source, len, available as u64, TrapCode::TableOutOfBounds)?;
    let target = &mut table.elements_mut()[target];
    match items {
        ElementItems::Funcs(funcs) => {
            for (element, func) in target.iter_mut().zip(&funcs[source]) {
                *element = instance.func(*func).as_ptr().expose_provenance() as u64;
            }
        }
        ElementItems::Exprs(exprs) => {
            for (element, expr) in target.iter_mut().zip(&exprs[source]) {
                *element = evaluate(instance, expr)?;
            }
        }
    }
    Ok(())
}

/// Writes `len` bytes of a data segment, from `source` on, to the memory's bytes from `start` on.
///
/// # Errors
///
/// A trap when one of the ranges does not exist; nothing is written then. A dropped segment has no bytes.
pub(crate) fn init_memory(
    instance: &InstanceData,
    memory: MemoryIdx,
    segment: DataIdx,
    start: u64,
    source: u64,
    len: u64,
) -> Result<(), Stop> {
    let mut memory = instance.memory(memory);
    // SAFETY: a store's memories live as long as the store, and nobody else uses this one meanwhile.
    let memory = unsafe { memory.as_mut() };
    Ok(memory.init(start, instance.data_segment(segment), source, len)?)
}
