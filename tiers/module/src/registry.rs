//! Engine-wide canonical ids of function types.
//!
//! Equal types of all modules and host functions of an engine have one [`TypeId`], so that a type check is one comparison
//! of numbers. Types are registered by recursion group; until structure types exist every group is a single function type
//! that mentions types registered before it. Each module and host function counts as a user of its types, and each
//! registered type as a user of the types that it mentions; a type without users is forgotten and its id may be given to
//! another. Invariant: everything that can be compared with an id (instances, funcrefs, tables) belongs to a store that
//! keeps a user of this id.

use crate::FuncType;
use crate::index::{narrow, widen};
use crate::packed::PackedFunc;
use core::fmt;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The canonical id of a type within an engine.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct TypeId(u32);

impl TypeId {
    /// The id with this number.
    pub const fn new(id: u32) -> TypeId {
        TypeId(id)
    }

    /// The number, as entry records and bytecode hold it.
    pub const fn as_u32(self) -> u32 {
        self.0
    }
}

impl fmt::Debug for TypeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TypeId({})", self.0)
    }
}

impl fmt::Display for TypeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A type could not be registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegisterError {
    /// The type mentions an id that no type has, or none any more.
    UnknownType(TypeId),
    /// All ids are in use.
    Full,
}

impl fmt::Display for RegisterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RegisterError::UnknownType(id) => {
                write!(f, "type id {id} does not belong to a type of this engine that is in use")
            }
            RegisterError::Full => f.write_str("the engine holds as many types as there are type ids"),
        }
    }
}

impl std::error::Error for RegisterError {}

/// The function types of an engine. Clones share their contents.
#[derive(Clone, Default)]
pub struct TypeRegistry {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    ids: HashMap<FuncType, TypeId>,
    slots: Vec<Slot>,
    free: Vec<TypeId>,
}

/// A type and its number of users; no type when the id is free.
struct Slot {
    ty: Option<FuncType>,
    users: usize,
}

impl TypeRegistry {
    /// A registry without types.
    pub fn new() -> TypeRegistry {
        TypeRegistry::default()
    }

    /// Registers a recursion group of one function type; equal types get the same id.
    ///
    /// # Errors
    /// When the type mentions an id that is not in use.
    pub fn register(&self, ty: &FuncType) -> Result<TypeHandle, RegisterError> {
        let (id, ty) = self.lock().intern(ty)?;
        Ok(TypeHandle { registry: self.clone(), id, ty })
    }

    /// The type with this id, `None` when the id is not in use.
    pub fn lookup(&self, id: TypeId) -> Option<FuncType> {
        self.lock().slots.get(widen(id.0))?.ty.clone()
    }

    /// The id of a type that is registered, without becoming a user of it.
    pub fn find(&self, ty: &FuncType) -> Option<TypeId> {
        self.lock().ids.get(ty).copied()
    }

    /// Becomes a user of the type with this id. `None` when the id is not in use.
    pub fn retain(&self, id: TypeId) -> Option<TypeHandle> {
        let mut inner = self.lock();
        let slot = inner.slots.get_mut(widen(id.0))?;
        let ty = slot.ty.clone()?;
        slot.users += 1;
        Some(TypeHandle { registry: self.clone(), id, ty })
    }

    /// Number of types in use.
    pub fn len(&self) -> usize {
        self.lock().ids.len()
    }

    /// Whether no type is in use.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether both are clones of one registry.
    pub fn same(&self, other: &TypeRegistry) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics between the first and the last change that a call makes, so a poisoned lock guards sound data.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for TypeRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TypeRegistry({} types)", self.len())
    }
}

impl Inner {
    fn intern(&mut self, ty: &FuncType) -> Result<(TypeId, FuncType), RegisterError> {
        if let Some((known, &id)) = self.ids.get_key_value(ty) {
            self.slots[widen(id.0)].users += 1;
            return Ok((id, known.clone()));
        }
        if let Some(unknown) =
            ty.mentions().find(|id| self.slots.get(widen(id.0)).is_none_or(|s| s.ty.is_none()))
        {
            return Err(RegisterError::UnknownType(unknown));
        }
        let slot = Slot { ty: Some(ty.clone()), users: 1 };
        let id = match self.free.pop() {
            Some(id) => {
                self.slots[widen(id.0)] = slot;
                id
            }
            None => {
                let id = narrow(self.slots.len());
                if id == u32::MAX {
                    return Err(RegisterError::Full);
                }
                self.slots.push(slot);
                TypeId(id)
            }
        };
        for mentioned in ty.mentions() {
            self.slots[widen(mentioned.0)].users += 1;
        }
        self.ids.insert(ty.clone(), id);
        Ok((id, ty.clone()))
    }

    /// Takes one user from each type. A type that loses its last one is forgotten and stops using others in turn.
    fn release(&mut self, ids: impl IntoIterator<Item = TypeId>) {
        let mut pending: Vec<TypeId> = ids.into_iter().collect();
        while let Some(id) = pending.pop() {
            let slot = &mut self.slots[widen(id.0)];
            slot.users -= 1;
            if slot.users > 0 {
                continue;
            }
            if let Some(ty) = slot.ty.take() {
                self.ids.remove(&ty);
                pending.extend(ty.mentions());
                self.free.push(id);
            }
        }
    }
}

/// A user of one registered type: the type keeps its id while the handle lives.
pub struct TypeHandle {
    registry: TypeRegistry,
    id: TypeId,
    ty: FuncType,
}

impl TypeHandle {
    /// The type's id.
    pub fn id(&self) -> TypeId {
        self.id
    }

    /// The type.
    pub fn func_type(&self) -> &FuncType {
        &self.ty
    }

    /// The registry that the type belongs to.
    pub fn registry(&self) -> &TypeRegistry {
        &self.registry
    }
}

impl Clone for TypeHandle {
    fn clone(&self) -> TypeHandle {
        self.registry.lock().slots[widen(self.id.0)].users += 1;
        TypeHandle { registry: self.registry.clone(), id: self.id, ty: self.ty.clone() }
    }
}

impl Drop for TypeHandle {
    fn drop(&mut self) {
        self.registry.lock().release([self.id]);
    }
}

impl fmt::Debug for TypeHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TypeHandle({} = {})", self.id, self.ty)
    }
}

/// The types of a module's type section, each used by the module.
pub(crate) struct ModuleTypes {
    registry: TypeRegistry,
    ids: Vec<TypeId>,
    types: Vec<FuncType>,
    packed: Vec<PackedFunc>,
}

impl ModuleTypes {
    pub(crate) fn new(registry: &TypeRegistry) -> ModuleTypes {
        ModuleTypes { registry: registry.clone(), ids: Vec::new(), types: Vec::new(), packed: Vec::new() }
    }

    pub(crate) fn reserve(&mut self, additional: usize) {
        self.ids.reserve(additional);
        self.types.reserve(additional);
        self.packed.reserve(additional);
    }

    pub(crate) fn push(&mut self, ty: &FuncType) -> Result<(), RegisterError> {
        let (id, ty) = self.registry.lock().intern(ty)?;
        self.ids.push(id);
        self.packed.push(PackedFunc::new(&ty));
        self.types.push(ty);
        Ok(())
    }

    pub(crate) fn registry(&self) -> &TypeRegistry {
        &self.registry
    }

    pub(crate) fn ids(&self) -> &[TypeId] {
        &self.ids
    }

    pub(crate) fn types(&self) -> &[FuncType] {
        &self.types
    }

    /// The same types for the quick check of bodies.
    pub(crate) fn packed(&self) -> &[PackedFunc] {
        &self.packed
    }
}

impl Drop for ModuleTypes {
    fn drop(&mut self) {
        self.registry.lock().release(self.ids.drain(..));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{HeapType, RefType, ValType};

    fn taking(id: TypeId) -> FuncType {
        FuncType::new([ValType::Ref(RefType::new(true, HeapType::Concrete(id)))], [])
    }

    #[test]
    fn equal_types_share_an_id_until_the_last_user_goes() {
        let registry = TypeRegistry::new();
        let ty = FuncType::new([ValType::I32], [ValType::I64]);
        let first = registry.register(&ty).unwrap();
        let second = registry.register(&FuncType::new([ValType::I32], [ValType::I64])).unwrap();
        let third = second.clone();
        assert_eq!((first.id(), registry.len()), (second.id(), 1));
        let id = first.id();
        drop((first, second));
        assert_eq!(registry.lookup(id), Some(ty.clone()));
        assert_eq!(registry.find(&ty), Some(id));
        drop(third);
        assert_eq!((registry.lookup(id), registry.len()), (None, 0));
        assert!(registry.retain(id).is_none());
    }

    #[test]
    fn an_id_is_reused_only_after_its_type_is_gone() {
        let registry = TypeRegistry::new();
        let a = registry.register(&FuncType::new([], [])).unwrap();
        let b = registry.register(&FuncType::new([ValType::I32], [])).unwrap();
        assert_ne!(a.id(), b.id());
        let freed = a.id();
        drop(a);
        let c = registry.register(&FuncType::new([ValType::F32], [])).unwrap();
        assert_eq!(c.id(), freed);
        assert_ne!(c.id(), b.id());
    }

    #[test]
    fn a_type_keeps_the_types_that_it_mentions() {
        let registry = TypeRegistry::new();
        let inner = registry.register(&FuncType::new([], [])).unwrap();
        let middle = registry.register(&taking(inner.id())).unwrap();
        let outer = registry.register(&taking(middle.id())).unwrap();
        let inner_id = inner.id();
        drop((inner, middle));
        assert_eq!(registry.len(), 3);
        assert!(registry.retain(inner_id).is_some());
        drop(outer);
        assert_eq!(registry.len(), 0);
    }

    #[test]
    fn types_that_mention_unknown_ids_are_refused() {
        let registry = TypeRegistry::new();
        let unknown = TypeId::new(9);
        assert_eq!(registry.register(&taking(unknown)).unwrap_err(), RegisterError::UnknownType(unknown));
        let gone = registry.register(&FuncType::new([], [])).unwrap().id();
        assert_eq!(registry.register(&taking(gone)).unwrap_err(), RegisterError::UnknownType(gone));
        assert!(registry.is_empty());
    }

    #[test]
    fn a_long_chain_of_types_is_freed_without_recursion() {
        let registry = TypeRegistry::new();
        let mut last = registry.register(&FuncType::new([], [])).unwrap();
        for _ in 0..100_000 {
            last = registry.register(&taking(last.id())).unwrap();
        }
        assert_eq!(registry.len(), 100_001);
        drop(last);
        assert!(registry.is_empty());
    }

    #[test]
    fn threads_agree_on_ids_and_leave_nothing_behind() {
        let registry = TypeRegistry::new();
        let params = |n: usize| FuncType::new(core::iter::repeat_n(ValType::I32, n), []);
        let held: Vec<_> = (0..8).map(|n| registry.register(&params(n)).unwrap()).collect();
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let (registry, held) = (&registry, &held);
                scope.spawn(move || {
                    for round in 0..500 {
                        let n = (round * 7 + thread) % 24;
                        let handle = registry.register(&params(n)).unwrap();
                        let user = registry.register(&taking(handle.id())).unwrap();
                        if let Some(held) = held.get(n) {
                            assert_eq!(held.id(), handle.id());
                        }
                        drop(handle);
                        let mentioned = user.func_type().mentions().next().unwrap();
                        assert_eq!(registry.lookup(mentioned), Some(params(n)));
                    }
                });
            }
        });
        assert_eq!(registry.len(), 8);
        drop(held);
        assert!(registry.is_empty());
        let inner = registry.lock();
        assert_eq!(inner.free.len(), inner.slots.len());
    }
}
