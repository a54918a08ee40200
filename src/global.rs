//! Globals as embedders see them: [`Global`].

use crate::error::arguments;
use crate::store::{StoreId, Stored};
use crate::{AsContext, AsContextMut, GlobalType, Result, Val};
use crescendo_abi::VmGlobal;
use std::ptr::NonNull;

/// A global of a store: one value.
///
/// # Examples
///
/// ```
/// use crescendo::{Engine, Global, GlobalType, Store, Val, ValType};
///
/// # fn main() -> crescendo::Result<()> {
/// let mut store = Store::new(&Engine::default(), ());
/// let global = Global::new(&mut store, GlobalType::new(ValType::I64, true), Val::I64(1))?;
/// global.set(&mut store, Val::I64(2))?;
/// assert_eq!(global.get(&store).i64(), Some(2));
/// assert!(global.set(&mut store, Val::I32(2)).is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Global {
    value: Stored<VmGlobal>,
    ty: GlobalType,
}

impl Global {
    /// Makes a global with a first value.
    ///
    /// # Errors
    ///
    /// When the value has another type or belongs to another store.
    pub fn new(mut store: impl AsContextMut, ty: GlobalType, value: Val) -> Result<Global> {
        let mut store = store.as_context_mut();
        let store = store.opaque_mut();
        value.check(store, &ty.content, "a global")?;
        let slots = value.to_slots(store.id())?;
        let value = store.push_global(VmGlobal { slots });
        // SAFETY: the store just took the global over.
        Ok(unsafe { Global::from_address(store.id(), value, ty) })
    }

    /// The global at this address.
    ///
    /// # Safety
    ///
    /// The global belongs to the store named `store`, lives as long, and has the type `ty`.
    pub(crate) unsafe fn from_address(store: StoreId, value: NonNull<VmGlobal>, ty: GlobalType) -> Global {
        // SAFETY: the caller's promise.
        Global { value: unsafe { Stored::new(store, value) }, ty }
    }

    /// The global's type.
    ///
    /// # Panics
    ///
    /// When the global belongs to another store.
    pub fn ty(&self, store: impl AsContext) -> GlobalType {
        self.value.get(store.as_context().opaque());
        self.ty
    }

    /// The global's value.
    ///
    /// # Panics
    ///
    /// When the global belongs to another store.
    pub fn get(&self, store: impl AsContext) -> Val {
        let store = store.as_context().opaque();
        let slots = self.value.get(store).slots;
        // SAFETY: a global's slots hold a value of its type.
        unsafe { Val::from_slots(slots, &self.ty.content, store) }
    }

    /// Sets the global's value.
    ///
    /// # Errors
    ///
    /// When the global is immutable, the value has another type, or one of them belongs to another store.
    pub fn set(&self, mut store: impl AsContextMut, value: Val) -> Result<()> {
        let mut store = store.as_context_mut();
        let store = store.opaque_mut();
        self.value.check(store)?;
        if !self.ty.mutable {
            return Err(arguments!("an immutable global cannot be set"));
        }
        value.check(store, &self.ty.content, "a global")?;
        let slots = value.to_slots(store.id())?;
        self.value.get_mut(store).slots = slots;
        Ok(())
    }

    /// The global's type, whatever its store.
    pub(crate) fn global_type(&self) -> GlobalType {
        self.ty
    }

    pub(crate) fn stored(self) -> Stored<VmGlobal> {
        self.value
    }
}
