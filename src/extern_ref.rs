//! External references: host values that a guest can hold and pass on but not look into.
//!
//! The store keeps the values; a guest sees a 32-bit index, 0 for null. Until there is a collector they live as long as
//! their store.

use crate::error::{arguments, bug};
use crate::store::StoreId;
use crate::{AsContext, AsContextMut, Result};
use std::any::Any;
use std::num::NonZeroU32;
use std::sync::Arc;

/// A host value in a store, as guests hold it: a wasm `externref` that is not null.
///
/// # Examples
///
/// ```
/// # use crescendo::{Engine, ExternRef, Store};
/// # fn main() -> crescendo::Result<()> {
/// let mut store = Store::new(&Engine::default(), ());
/// let reference = ExternRef::new(&mut store, String::from("hello"))?;
/// let value = reference.data(&store)?.downcast_ref::<String>();
/// assert_eq!(value.map(String::as_str), Some("hello"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ExternRef {
    store: StoreId,
    index: NonZeroU32,
}

impl ExternRef {
    /// Moves `value` into the store and gives a reference to it. The value is dropped with the store.
    ///
    /// # Errors
    ///
    /// When the store holds 2^32 - 1 values already.
    pub fn new(mut store: impl AsContextMut, value: impl Any + Send + Sync) -> Result<ExternRef> {
        let mut store = store.as_context_mut();
        let store = store.opaque_mut();
        let index = store.push_extern_ref(Arc::new(value))?;
        ExternRef::from_slot(u64::from(index), store.id()).ok_or_else(|| bug!("a host value has index 0"))
    }

    /// The value.
    ///
    /// # Errors
    ///
    /// When the reference belongs to another store.
    pub fn data<'a>(&self, store: &'a impl AsContext) -> Result<&'a (dyn Any + Send + Sync)> {
        let store = store.as_context().opaque();
        self.to_slot(store.id())?;
        match store.extern_ref(self.index.get()) {
            Some(value) => Ok(&**value),
            None => Err(bug!("external reference {} names no value", self.index)),
        }
    }

    /// The slot of this reference, which has to belong to `store`.
    pub(crate) fn to_slot(self, store: StoreId) -> Result<u64> {
        if self.store != store {
            return Err(arguments!("an external reference was used with a store that does not own it"));
        }
        Ok(u64::from(self.index.get()))
    }

    /// The reference in a slot; `None` for null.
    pub(crate) fn from_slot(slot: u64, store: StoreId) -> Option<ExternRef> {
        // The upper half of the slot is zero: indices are written zero-extended.
        Some(ExternRef { store, index: NonZeroU32::new(slot as u32)? })
    }
}
