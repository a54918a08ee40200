//! Exceptions as embedders see them: [`ExnRef`], and the error that one becomes that no guest catches, [`ThrownException`].

use crate::error::arguments;
use crate::store::{StoreId, StoreOpaque};
use crate::{AsContext, AsContextMut, Result, Tag, Val};
use std::fmt;
use std::num::NonZeroU64;

/// An exception of a store: a tag, and values of the tag's type.
///
/// A reference that the host got in a host function is good until that function returns; one that it got outside of host
/// functions, as long as the store. After that it may be refused with an error.
///
/// # Examples
///
/// See [`Tag`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ExnRef {
    store: StoreId,
    handle: NonZeroU64,
}

impl ExnRef {
    /// Makes an exception.
    ///
    /// # Errors
    ///
    /// When the values do not have the tag's types, or tag or values belong to another store, or the store holds as many
    /// exceptions as it can.
    pub fn new(mut store: impl AsContextMut, tag: &Tag, fields: &[Val]) -> Result<ExnRef> {
        let mut store = store.as_context_mut();
        let store = store.opaque_mut();
        tag.stored().check(store)?;
        let ty = tag.record(store).ty().clone();
        if fields.len() != ty.params().len() {
            let (wanted, found) = (ty.params().len(), fields.len());
            return Err(arguments!("{found} values for an exception that carries {wanted}"));
        }
        let mut slots = vec![0; ty.param_slots()];
        let mut at = 0;
        for (number, (field, ty)) in fields.iter().zip(ty.params()).enumerate() {
            field.check(store, ty, format_args!("field {number} of an exception"))?;
            field.put(ty, &mut slots, &mut at, store.id())?;
        }
        let record = tag.stored().address(store);
        let handle = store.allocate_exception(record, &slots)?;
        Ok(ExnRef::pinned(handle, store))
    }

    /// The exception's tag.
    ///
    /// # Errors
    ///
    /// When the exception belongs to another store, or is not kept any more.
    pub fn tag(&self, store: impl AsContext) -> Result<Tag> {
        let store = store.as_context();
        let store = store.opaque();
        let (tag, _) = store.exception(self.to_slot(store.id())?)?;
        // SAFETY: the exceptions of a store have tags of the store.
        Ok(unsafe { Tag::from_record(store.id(), tag) })
    }

    /// One of the values that the exception carries, counted from 0.
    ///
    /// # Errors
    ///
    /// When it carries fewer; and as for [`ExnRef::tag`].
    pub fn field(&self, store: impl AsContext, index: usize) -> Result<Val> {
        let mut fields = self.fields(store)?;
        let len = fields.len();
        fields.nth(index).ok_or_else(|| arguments!("field {index} of an exception that carries {len} values"))
    }

    /// The values that the exception carries.
    ///
    /// # Errors
    ///
    /// As for [`ExnRef::tag`].
    pub fn fields(&self, store: impl AsContext) -> Result<std::vec::IntoIter<Val>> {
        let store = store.as_context();
        let store = store.opaque();
        let (tag, slots) = store.exception(self.to_slot(store.id())?)?;
        // SAFETY: the exceptions of a store have tags of the store.
        let tag = unsafe { Tag::from_record(store.id(), tag) };
        // SAFETY: the slots of an exception have its tag's types.
        let fields = unsafe { fields_of(store, tag, slots) }?;
        Ok(fields.into_vec().into_iter())
    }

    /// The reference's slot.
    ///
    /// # Errors
    ///
    /// When it belongs to another store than the one named `store`.
    pub(crate) fn to_slot(self, store: StoreId) -> Result<u64> {
        if self.store != store {
            return Err(arguments!("an exception was used with a store that does not own it"));
        }
        Ok(self.handle.get())
    }

    /// Whether the store still has the exception.
    pub(crate) fn check(self, store: &StoreOpaque) -> Result<()> {
        store.exception(self.to_slot(store.id())?).map(drop)
    }

    /// The exception that a slot refers to, which stays while the host may use it; `None` for null.
    pub(crate) fn from_slot(slot: u64, store: &StoreOpaque) -> Option<ExnRef> {
        Some(ExnRef::pinned(NonZeroU64::new(slot)?, store))
    }

    fn pinned(handle: NonZeroU64, store: &StoreOpaque) -> ExnRef {
        store.pin_exception(handle.get());
        ExnRef { store: store.id(), handle }
    }
}

/// The values in slots that an exception carries.
///
/// # Safety
///
/// The tag belongs to the store, and the slots hold values of its type.
pub(crate) unsafe fn fields_of(store: &StoreOpaque, tag: Tag, slots: &[u64]) -> Result<Box<[Val]>> {
    let types = tag.record(store).ty().params();
    let mut at = 0;
    // SAFETY: the caller's promise.
    types.iter().map(|ty| unsafe { Val::take(ty, slots, &mut at, store) }).collect()
}

/// An exception that left the guest, or that a host function throws: what [`crate::Error`] holds for it.
///
/// Returned by a host function, it goes on to the guest that called the function.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "wat")] {
/// use crescendo::{Engine, Instance, Module, Store, ThrownException};
///
/// # fn main() -> crescendo::Result<()> {
/// let engine = Engine::default();
/// let text = r#"(module (tag $t (param i32)) (func (export "f") (throw $t (i32.const 7))))"#;
/// let mut store = Store::new(&engine, ());
/// let instance = Instance::new(&mut store, &Module::new(&engine, text)?, &[])?;
/// let f = instance.get_typed_func::<(), ()>(&store, "f")?;
/// let error = f.call(&mut store, ()).unwrap_err();
/// let thrown = error.downcast_ref::<ThrownException>().expect("an exception");
/// assert_eq!(thrown.fields()[0].unwrap_i32(), 7);
/// # Ok(())
/// # }
/// # main().unwrap();
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ThrownException {
    tag: Tag,
    fields: Box<[Val]>,
}

impl ThrownException {
    pub(crate) fn new(tag: Tag, fields: Box<[Val]>) -> ThrownException {
        ThrownException { tag, fields }
    }

    /// The exception's tag.
    pub fn tag(&self) -> Tag {
        self.tag
    }

    /// The values that the exception carries.
    pub fn fields(&self) -> &[Val] {
        &self.fields
    }
}

impl fmt::Display for ThrownException {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("uncaught exception")
    }
}

impl std::error::Error for ThrownException {}
