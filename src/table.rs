//! Tables as embedders see them: [`Table`].

use crate::error::arguments;
use crate::runtime::TableRecord;
use crate::store::{StoreId, StoreOpaque, Stored};
use crate::{AsContext, AsContextMut, Error, Ref, Result, TableType};
use std::ptr::NonNull;

/// A table of a store: references that guests can get, set and call. Sizes and indices are in elements.
///
/// # Examples
///
/// ```
/// use crescendo::{Engine, Func, Ref, RefType, Store, Table, TableType};
///
/// # fn main() -> crescendo::Result<()> {
/// let mut store = Store::new(&Engine::default(), ());
/// let table = Table::new(&mut store, TableType::new(RefType::FUNCREF, 2, None), Ref::Func(None))?;
/// let func = Func::wrap(&mut store, || ());
/// table.set(&mut store, 1, Ref::Func(Some(func)))?;
/// assert!(table.get(&store, 0).is_some_and(|element| element.is_null()));
/// assert_eq!(table.get(&store, 1).and_then(|element| element.unwrap_func()), Some(func));
/// assert!(table.get(&store, 2).is_none());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Table(Stored<TableRecord>);

impl Table {
    /// Makes a table of the type's minimum size whose elements are all `init`.
    ///
    /// # Errors
    ///
    /// When the type is not valid, `init` has another type or store, the store's limiter refuses the table or its size, or
    /// the system has no memory left.
    pub fn new(mut store: impl AsContextMut, ty: TableType, init: Ref) -> Result<Table> {
        if ty.maximum.is_some_and(|maximum| ty.minimum > maximum) {
            return Err(arguments!("a table of {} elements at least and fewer at most", ty.minimum));
        }
        let (store, limiter) = store.as_context_mut().0.parts();
        init.check(store, &ty.element, "the elements of a table")?;
        let init = init.to_slot(store.id())?;
        store.count(0, 0, 1)?;
        let record = store.push_table(TableRecord::new(ty, init, limiter)?);
        // SAFETY: the store just took the record over.
        Ok(unsafe { Table::from_record(store.id(), record) })
    }

    /// The table with this record.
    ///
    /// # Safety
    ///
    /// The record belongs to the store named `store`.
    pub(crate) unsafe fn from_record(store: StoreId, record: NonNull<TableRecord>) -> Table {
        // SAFETY: the caller's promise; a store's records live as long as the store.
        Table(unsafe { Stored::new(store, record) })
    }

    /// The type that the table was made with.
    ///
    /// # Panics
    ///
    /// When the table belongs to another store.
    pub fn ty(&self, store: impl AsContext) -> TableType {
        *self.record(store.as_context().opaque()).declared_type()
    }

    /// The present number of elements.
    ///
    /// # Panics
    ///
    /// When the table belongs to another store.
    pub fn size(&self, store: impl AsContext) -> u64 {
        self.record(store.as_context().opaque()).len()
    }

    /// The element at an index, `None` past the end.
    ///
    /// # Panics
    ///
    /// When the table belongs to another store.
    pub fn get(&self, store: impl AsContext, index: u64) -> Option<Ref> {
        let store = store.as_context().opaque();
        let record = self.record(store);
        let slot = *record.elements().get(usize::try_from(index).ok()?)?;
        // SAFETY: the store's tables hold references of their element type.
        Some(unsafe { Ref::from_slot(slot, &record.declared_type().element, store) })
    }

    /// Sets the element at an index.
    ///
    /// # Errors
    ///
    /// When the index is past the end, or `value` has another type than the table's elements, or the table or the value
    /// belongs to another store.
    pub fn set(&self, mut store: impl AsContextMut, index: u64, value: Ref) -> Result<()> {
        let mut store = store.as_context_mut();
        let slot = self.check_element(store.opaque(), value)?;
        let elements = self.0.get_mut(store.opaque_mut()).elements_mut();
        let len = elements.len();
        match usize::try_from(index).ok().and_then(|index| elements.get_mut(index)) {
            Some(element) => *element = slot,
            None => return Err(arguments!("element {index} is not in a table of {len} elements")),
        }
        Ok(())
    }

    /// Adds `delta` elements that are `init` and answers the number of elements before.
    ///
    /// # Errors
    ///
    /// When the limiter, the type's maximum or the system refuses, `init` has another type than the table's elements, or the
    /// table or `init` belongs to another store. The table is then as it was.
    pub fn grow(&self, mut store: impl AsContextMut, delta: u64, init: Ref) -> Result<u64> {
        let (store, limiter) = store.as_context_mut().0.parts();
        let init = self.check_element(store, init)?;
        let record = self.0.get_mut(store);
        let elements = record.len();
        record.grow(delta, init, limiter)?.map_err(|error| {
            error.context(format_args!("a table of {elements} elements cannot grow by {delta}"))
        })
    }

    /// Sets `len` elements from `start` on.
    ///
    /// # Errors
    ///
    /// [`crate::TrapCode::TableOutOfBounds`] when not all of them are in the table; when `value` has another type than the
    /// table's elements; when the table or the value belongs to another store. Nothing is changed then.
    pub fn fill(&self, mut store: impl AsContextMut, start: u64, value: Ref, len: u64) -> Result<()> {
        let mut store = store.as_context_mut();
        let slot = self.check_element(store.opaque(), value)?;
        self.0.get_mut(store.opaque_mut()).fill(start, slot, len).map_err(Error::from)
    }

    /// Copies `len` elements of `source`, from `source_start` on, to `target`, from `target_start` on. Both may be one table,
    /// and the ranges may overlap.
    ///
    /// # Errors
    ///
    /// [`crate::TrapCode::TableOutOfBounds`] when a range is not in its table; when the elements of `source` do not fit
    /// the type of `target`; when one of the tables belongs to another store. Nothing is changed then.
    pub fn copy(
        mut store: impl AsContextMut,
        target: &Table,
        target_start: u64,
        source: &Table,
        source_start: u64,
        len: u64,
    ) -> Result<()> {
        let mut store = store.as_context_mut();
        let store = store.opaque_mut();
        target.0.check(store)?;
        source.0.check(store)?;
        let (to, from) =
            (target.record(store).declared_type().element, source.record(store).declared_type().element);
        if !from.matches(to) {
            return Err(arguments!("type mismatch: elements of type {from} do not fit a table of {to}"));
        }
        let (target, source) = (target.0.address(store), source.0.address(store));
        // SAFETY: both belong to the store, which is borrowed exclusively.
        unsafe { TableRecord::copy(target, target_start, source, source_start, len) }.map_err(Error::from)
    }

    /// The slot of a value that is to become an element.
    fn check_element(&self, store: &StoreOpaque, value: Ref) -> Result<u64> {
        self.0.check(store)?;
        value.check(store, &self.record(store).declared_type().element, "an element of a table")?;
        value.to_slot(store.id())
    }

    #[track_caller]
    pub(crate) fn record<'a>(&self, store: &'a StoreOpaque) -> &'a TableRecord {
        self.0.get(store)
    }

    pub(crate) fn stored(self) -> Stored<TableRecord> {
        self.0
    }
}
