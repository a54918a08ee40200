//! Exception tags: [`Tag`] for embedders, [`TagRecord`] behind it.
//!
//! Two exceptions have the same tag when their tags are the same record: tags are compared by identity, never by type.

use crate::error::arguments;
use crate::store::{StoreId, StoreOpaque, Stored};
use crate::{AsContext, AsContextMut, FuncType, Result, TagType};
use crescendo_module::{TypeHandle, TypeId};
use std::ptr::NonNull;

/// A tag of a store.
pub(crate) struct TagRecord {
    ty: FuncType,
    /// The type's id, kept in use; `None` for a type that mentions types that the engine does not know.
    registered: Option<TypeHandle>,
}

impl TagRecord {
    /// A tag whose exceptions carry the parameters of a type.
    pub(crate) fn new(store: &StoreOpaque, ty: FuncType) -> TagRecord {
        let registered = store.engine().types().register(&ty).ok();
        TagRecord { ty, registered }
    }

    /// The type whose parameters the exceptions carry.
    pub(crate) fn ty(&self) -> &FuncType {
        &self.ty
    }

    pub(crate) fn type_id(&self) -> Option<TypeId> {
        self.registered.as_ref().map(TypeHandle::id)
    }
}

/// An exception tag of a store: what exceptions are told apart by.
///
/// Handles are equal when they name the same tag.
///
/// # Examples
///
/// ```
/// use crescendo::{Engine, ExnRef, FuncType, Store, Tag, TagType, Val, ValType};
///
/// # fn main() -> crescendo::Result<()> {
/// let mut store = Store::new(&Engine::default(), ());
/// let tag = Tag::new(&mut store, &TagType::new(FuncType::new([ValType::I32], [])))?;
/// let exception = ExnRef::new(&mut store, &tag, &[Val::I32(7)])?;
/// assert_eq!(exception.tag(&store)?, tag);
/// assert_eq!(exception.field(&store, 0)?.unwrap_i32(), 7);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tag(Stored<TagRecord>);

impl Tag {
    /// Makes a tag, which differs from all others.
    ///
    /// # Errors
    ///
    /// When the type has results.
    pub fn new(mut store: impl AsContextMut, ty: &TagType) -> Result<Tag> {
        let mut store = store.as_context_mut();
        let store = store.opaque_mut();
        if !ty.ty().results().is_empty() {
            return Err(arguments!("a tag's type has no results, found {}", ty.ty()));
        }
        let record = TagRecord::new(store, ty.ty().clone());
        let record = store.push_tag(record);
        // SAFETY: the store just took the record over.
        Ok(unsafe { Tag::from_record(store.id(), record) })
    }

    /// The tag's type.
    ///
    /// # Panics
    ///
    /// When the tag belongs to another store.
    pub fn ty(&self, store: impl AsContext) -> TagType {
        TagType::new(self.record(store.as_context().opaque()).ty.clone())
    }

    /// The tag with this record.
    ///
    /// # Safety
    ///
    /// The record belongs to the store named `store`.
    pub(crate) unsafe fn from_record(store: StoreId, record: NonNull<TagRecord>) -> Tag {
        // SAFETY: the caller's promise; a store's records live as long as the store.
        Tag(unsafe { Stored::new(store, record) })
    }

    pub(crate) fn record(self, store: &StoreOpaque) -> &TagRecord {
        self.0.get(store)
    }

    pub(crate) fn stored(self) -> Stored<TagRecord> {
        self.0
    }
}
