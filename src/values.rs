//! Values that cross the border between host and guest: [`Val`] and [`Ref`].
//!
//! Untyped calls, globals and tables take and give them. Inside, a value is a *slot* (see `crescendo_abi`): `to_slots` checks
//! that a reference belongs to the store and gives its slots, `from_slots` makes a value of slots whose type is known. Both
//! are called by `func`, `global` and `host_func`. Invariant: what `to_slots` gives under a type that
//! `check` accepted is safe for a guest to use as that type.

use crate::error::{arguments, bug};
use crate::store::{StoreId, StoreOpaque};
use crate::{AsContext, Error, ExnRef, ExternRef, Func, HeapType, RefType, Result, ValType};

/// A value of WebAssembly.
///
/// Floats are kept as their bits, so that a NaN keeps its payload.
///
/// # Examples
///
/// ```
/// # use crescendo::Val;
/// let value = Val::from(2.5_f64);
/// assert_eq!(value.f64(), Some(2.5));
/// assert_eq!(value.i32(), None);
/// assert_eq!(value.unwrap_f64(), 2.5);
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Val {
    /// A 32-bit integer; signed or unsigned is up to the operator that uses it.
    I32(i32),
    /// A 64-bit integer.
    I64(i64),
    /// The bits of a 32-bit float.
    F32(u32),
    /// The bits of a 64-bit float.
    F64(u64),
    /// A vector of 128 bits.
    V128(V128),
    /// A function or null.
    FuncRef(Option<Func>),
    /// A host value or null.
    ExternRef(Option<ExternRef>),
    /// A reference to an exception, or null.
    ExnRef(Option<ExnRef>),
}

/// A vector of 128 bits; lane 0 is in the lowest bits.
///
/// # Examples
///
/// ```
/// # use crescendo::V128;
/// assert_eq!(V128::from(1 << 64).as_u128(), 1 << 64);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct V128([u64; 2]);

impl V128 {
    /// The vector as a number.
    #[inline]
    pub const fn as_u128(self) -> u128 {
        self.0[0] as u128 | (self.0[1] as u128) << 64
    }

    /// The vector in its slots.
    #[inline]
    pub(crate) const fn from_slots(slots: [u64; 2]) -> V128 {
        V128(slots)
    }

    /// The vector's slots.
    #[inline]
    pub(crate) const fn to_slots(self) -> [u64; 2] {
        self.0
    }
}

impl From<u128> for V128 {
    #[inline]
    fn from(bits: u128) -> V128 {
        V128([bits as u64, (bits >> 64) as u64])
    }
}

impl From<V128> for u128 {
    #[inline]
    fn from(vector: V128) -> u128 {
        vector.as_u128()
    }
}

/// A reference of WebAssembly: what tables hold.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Ref {
    /// A function or null.
    Func(Option<Func>),
    /// A host value or null.
    Extern(Option<ExternRef>),
    /// An exception, or null.
    Exn(Option<ExnRef>),
}

macro_rules! accessors {
    ($($(#[$doc:meta])* $get:ident $unwrap:ident $type:ty: $pattern:pat => $value:expr;)*) => {
        $(
            $(#[$doc])*
            #[inline]
            pub fn $get(&self) -> Option<$type> {
                match *self {
                    $pattern => Some($value),
                    _ => None,
                }
            }

            #[doc = concat!("The same as [`Val::", stringify!($get), "`] when the type is known.")]
            ///
            /// # Panics
            ///
            /// When the value has another type.
            #[inline]
            #[track_caller]
            pub fn $unwrap(&self) -> $type {
                match self.$get() {
                    Some(value) => value,
                    None => panic!(concat!("expected ", stringify!($get), ", found {:?}"), self),
                }
            }
        )*
    };
}

impl Val {
    accessors! {
        /// The value of an `i32`.
        i32 unwrap_i32 i32: Val::I32(value) => value;
        /// The value of an `i64`.
        i64 unwrap_i64 i64: Val::I64(value) => value;
        /// The value of an `f32`.
        f32 unwrap_f32 f32: Val::F32(bits) => f32::from_bits(bits);
        /// The value of an `f64`.
        f64 unwrap_f64 f64: Val::F64(bits) => f64::from_bits(bits);
        /// The value of a `v128`.
        v128 unwrap_v128 V128: Val::V128(value) => value;
        /// The value of a function reference: `Some(None)` is a null one.
        func_ref unwrap_func_ref Option<Func>: Val::FuncRef(func) => func;
        /// The value of an external reference: `Some(None)` is a null one.
        extern_ref unwrap_extern_ref Option<ExternRef>: Val::ExternRef(reference) => reference;
        /// The exception, or null, if it is a reference to one.
        exn_ref unwrap_exn_ref Option<ExnRef>: Val::ExnRef(exception) => exception;
    }

    /// The value that a local of type `ty` starts with: zero or null. `None` when the type has no default (references that
    /// cannot be null).
    ///
    /// # Examples
    ///
    /// ```
    /// # use crescendo::{Val, ValType};
    /// assert_eq!(Val::default_for_ty(&ValType::I64).unwrap().i64(), Some(0));
    /// ```
    pub fn default_for_ty(ty: &ValType) -> Option<Val> {
        match ty {
            ValType::I32 => Some(Val::I32(0)),
            ValType::I64 => Some(Val::I64(0)),
            ValType::F32 => Some(Val::F32(0)),
            ValType::F64 => Some(Val::F64(0)),
            ValType::V128 => Some(Val::V128(V128::default())),
            ValType::Ref(ty) => ty.nullable.then(|| Val::null_ref(&ty.heap)),
        }
    }

    /// The null reference of a heap type's hierarchy.
    pub fn null_ref(heap: &HeapType) -> Val {
        Val::from(Ref::null(heap))
    }

    /// The most precise type of the value: for a function its own type, for null the bottom of its hierarchy.
    ///
    /// # Errors
    ///
    /// When the value is a reference of another store.
    pub fn ty(&self, store: impl AsContext) -> Result<ValType> {
        Ok(match self {
            Val::I32(_) => ValType::I32,
            Val::I64(_) => ValType::I64,
            Val::F32(_) => ValType::F32,
            Val::F64(_) => ValType::F64,
            Val::V128(_) => ValType::V128,
            Val::FuncRef(func) => ValType::Ref(Ref::Func(*func).ty(store)?),
            Val::ExternRef(reference) => ValType::Ref(Ref::Extern(*reference).ty(store)?),
            Val::ExnRef(exception) => ValType::Ref(Ref::Exn(*exception).ty(store)?),
        })
    }

    /// Whether the value may stand where `ty` is asked for.
    ///
    /// # Errors
    ///
    /// When the value is a reference of another store.
    ///
    /// # Examples
    ///
    /// ```
    /// # use crescendo::{Engine, Store, Val, ValType};
    /// # fn main() -> crescendo::Result<()> {
    /// let store = Store::new(&Engine::default(), ());
    /// assert!(Val::I32(1).matches_ty(&store, &ValType::I32)?);
    /// assert!(!Val::I32(1).matches_ty(&store, &ValType::I64)?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn matches_ty(&self, store: impl AsContext, ty: &ValType) -> Result<bool> {
        self.matches(store.as_context().opaque(), ty)
    }

    /// The value as a reference of either kind.
    pub fn ref_(&self) -> Option<Ref> {
        match *self {
            Val::FuncRef(func) => Some(Ref::Func(func)),
            Val::ExternRef(reference) => Some(Ref::Extern(reference)),
            Val::ExnRef(exception) => Some(Ref::Exn(exception)),
            _ => None,
        }
    }

    /// The same as [`Val::ref_`] when the type is known.
    ///
    /// # Panics
    ///
    /// When the value is not a reference.
    #[track_caller]
    pub fn unwrap_ref(&self) -> Ref {
        match self.ref_() {
            Some(reference) => reference,
            None => panic!("expected a reference, found {self:?}"),
        }
    }

    #[inline]
    fn matches(&self, store: &StoreOpaque, ty: &ValType) -> Result<bool> {
        Ok(match (self, ty) {
            (Val::I32(_), ValType::I32)
            | (Val::I64(_), ValType::I64)
            | (Val::F32(_), ValType::F32)
            | (Val::F64(_), ValType::F64)
            | (Val::V128(_), ValType::V128) => true,
            (Val::FuncRef(func), ValType::Ref(ty)) => Ref::Func(*func).matches(store, ty)?,
            (Val::ExternRef(reference), ValType::Ref(ty)) => Ref::Extern(*reference).matches(store, ty)?,
            (Val::ExnRef(exception), ValType::Ref(ty)) => Ref::Exn(*exception).matches(store, ty)?,
            _ => false,
        })
    }

    /// Fails unless the value may stand where `ty` is asked for; `what` names the place in the message.
    #[inline]
    pub(crate) fn check(
        &self,
        store: &StoreOpaque,
        ty: &ValType,
        what: impl std::fmt::Display,
    ) -> Result<()> {
        if self.matches(store, ty)? { Ok(()) } else { Err(self.mismatch(ty, &what)) }
    }

    #[cold]
    fn mismatch(&self, ty: &ValType, what: &dyn std::fmt::Display) -> Error {
        arguments!("type mismatch in {what}: expected {ty}, found {}", self.kind())
    }

    /// The value's type as far as it shows without a store.
    fn kind(&self) -> &'static str {
        match self {
            Val::I32(_) => "i32",
            Val::I64(_) => "i64",
            Val::F32(_) => "f32",
            Val::F64(_) => "f64",
            Val::V128(_) => "v128",
            Val::FuncRef(Some(_)) => "a function of another type",
            Val::FuncRef(None) => "a null funcref",
            Val::ExternRef(Some(_)) => "an externref",
            Val::ExternRef(None) => "a null externref",
            Val::ExnRef(Some(_)) => "an exnref",
            Val::ExnRef(None) => "a null exnref",
        }
    }

    /// The value's slots; the second is that of vectors. A reference has to belong to `store`.
    #[inline]
    pub(crate) fn to_slots(self, store: StoreId) -> Result<[u64; 2]> {
        let slot = match self {
            Val::I32(value) => u64::from(value as u32),
            Val::I64(value) => value as u64,
            Val::F32(bits) => u64::from(bits),
            Val::F64(bits) => bits,
            Val::V128(vector) => return Ok(vector.to_slots()),
            Val::FuncRef(func) => Ref::Func(func).to_slot(store)?,
            Val::ExternRef(reference) => Ref::Extern(reference).to_slot(store)?,
            Val::ExnRef(exception) => Ref::Exn(exception).to_slot(store)?,
        };
        Ok([slot, 0])
    }

    /// Puts the value, which is of type `ty`, into its slots from `at` on, and moves `at` behind them.
    #[inline]
    pub(crate) fn put(self, ty: &ValType, slots: &mut [u64], at: &mut usize, store: StoreId) -> Result<()> {
        let words = self.to_slots(store)?;
        let start = *at;
        *at += ty.slots();
        // A copy of a length that is known only now would be a call.
        match slots.get_mut(start..*at) {
            Some([slot]) => *slot = words[0],
            Some([low, high]) => [*low, *high] = words,
            _ => return Err(bug!("no slot {start} for a value")),
        }
        Ok(())
    }

    /// Takes a value out of its slots from `at` on, and moves `at` behind them.
    ///
    /// # Safety
    ///
    /// As for [`Val::from_slots`].
    #[inline]
    pub(crate) unsafe fn take(
        ty: &ValType,
        slots: &[u64],
        at: &mut usize,
        store: &StoreOpaque,
    ) -> Result<Val> {
        let start = *at;
        *at += ty.slots();
        let words = match slots.get(start..*at) {
            Some([low, high]) => [*low, *high],
            Some([slot]) => [*slot, 0],
            _ => return Err(bug!("no slot {start} of a value")),
        };
        // SAFETY: the caller vouches for the slots and their type.
        Ok(unsafe { Val::from_slots(words, ty, store) })
    }

    /// The value in its slots; the second is that of vectors.
    ///
    /// # Safety
    ///
    /// The slots were written as a value of type `ty`, by a guest of `store` or by `to_slot`.
    #[inline]
    pub(crate) unsafe fn from_slots(slots: [u64; 2], ty: &ValType, store: &StoreOpaque) -> Val {
        let slot = slots[0];
        match ty {
            ValType::I32 => Val::I32(slot as i32),
            ValType::I64 => Val::I64(slot as i64),
            ValType::F32 => Val::F32(slot as u32),
            ValType::F64 => Val::F64(slot),
            ValType::V128 => Val::V128(V128::from_slots(slots)),
            // SAFETY: the caller vouches for the slot and its type.
            ValType::Ref(ty) => Val::from(unsafe { Ref::from_slot(slot, ty, store) }),
        }
    }
}

impl Ref {
    /// The null reference of a heap type's hierarchy.
    pub fn null(heap: &HeapType) -> Ref {
        match heap.top() {
            HeapType::Func => Ref::Func(None),
            HeapType::Exn => Ref::Exn(None),
            _ => Ref::Extern(None),
        }
    }

    /// Whether the reference is null.
    pub fn is_null(&self) -> bool {
        matches!(self, Ref::Func(None) | Ref::Extern(None) | Ref::Exn(None))
    }

    /// The function of a function reference: `Some(None)` is a null one.
    pub fn as_func(&self) -> Option<Option<Func>> {
        match self {
            Ref::Func(func) => Some(*func),
            Ref::Extern(_) | Ref::Exn(_) => None,
        }
    }

    /// The same as [`Ref::as_func`] when the kind is known.
    ///
    /// # Panics
    ///
    /// When the reference is external.
    #[track_caller]
    pub fn unwrap_func(&self) -> Option<Func> {
        match self.as_func() {
            Some(func) => func,
            None => panic!("expected a function reference, found {self:?}"),
        }
    }

    /// The host value of an external reference: `Some(None)` is a null one.
    pub fn as_extern(&self) -> Option<Option<ExternRef>> {
        match self {
            Ref::Extern(reference) => Some(*reference),
            Ref::Func(_) | Ref::Exn(_) => None,
        }
    }

    /// The same as [`Ref::as_extern`] when the kind is known.
    ///
    /// # Panics
    ///
    /// When the reference is to a function.
    #[track_caller]
    pub fn unwrap_extern(&self) -> Option<ExternRef> {
        match self.as_extern() {
            Some(reference) => reference,
            None => panic!("expected an external reference, found {self:?}"),
        }
    }

    /// The exception, or null, when it is a reference to exceptions.
    pub fn as_exn(&self) -> Option<Option<ExnRef>> {
        match self {
            Ref::Exn(exception) => Some(*exception),
            _ => None,
        }
    }

    /// The most precise type of the reference: for a function its own type, for null the bottom of its hierarchy.
    ///
    /// # Errors
    ///
    /// When the reference belongs to another store.
    pub fn ty(&self, store: impl AsContext) -> Result<RefType> {
        let store = store.as_context();
        let store = store.opaque();
        self.to_slot(store.id())?;
        Ok(match self {
            Ref::Func(Some(func)) => {
                let heap = func.type_id(store).map_or(HeapType::Func, HeapType::Concrete);
                RefType { nullable: false, heap }
            }
            Ref::Func(None) => RefType { nullable: true, heap: HeapType::NoFunc },
            Ref::Extern(Some(_)) => RefType { nullable: false, heap: HeapType::Extern },
            Ref::Extern(None) => RefType { nullable: true, heap: HeapType::NoExtern },
            Ref::Exn(Some(_)) => RefType { nullable: false, heap: HeapType::Exn },
            Ref::Exn(None) => RefType { nullable: true, heap: HeapType::NoExn },
        })
    }

    /// Whether the reference may stand where `ty` is asked for.
    ///
    /// # Errors
    ///
    /// When the reference belongs to another store.
    pub fn matches_ty(&self, store: impl AsContext, ty: &RefType) -> Result<bool> {
        self.matches(store.as_context().opaque(), ty)
    }

    fn matches(&self, store: &StoreOpaque, ty: &RefType) -> Result<bool> {
        self.to_slot(store.id())?;
        Ok(match (self, ty.heap) {
            (Ref::Func(None), _) => ty.nullable && ty.is_func(),
            (Ref::Extern(None), _) => ty.nullable && ty.heap.top() == HeapType::Extern,
            (Ref::Exn(None), _) => ty.nullable && ty.is_exn(),
            (Ref::Func(Some(_)), HeapType::Func) | (Ref::Extern(Some(_)), HeapType::Extern) => true,
            (Ref::Exn(Some(exception)), HeapType::Exn) => {
                exception.check(store)?;
                true
            }
            (Ref::Func(Some(func)), HeapType::Concrete(id)) => func.type_id(store) == Some(id),
            _ => false,
        })
    }

    /// Fails unless the reference may stand where `ty` is asked for; `what` names the place in the message.
    pub(crate) fn check(
        &self,
        store: &StoreOpaque,
        ty: &RefType,
        what: impl std::fmt::Display,
    ) -> Result<()> {
        Val::from(*self).check(store, &ValType::Ref(*ty), what)
    }

    /// The reference's slot, or the element of a table. It has to belong to `store`.
    #[inline]
    pub(crate) fn to_slot(self, store: StoreId) -> Result<u64> {
        match self {
            Ref::Func(Some(func)) => func.to_slot(store),
            Ref::Extern(Some(reference)) => reference.to_slot(store),
            Ref::Exn(Some(exception)) => exception.to_slot(store),
            Ref::Func(None) | Ref::Extern(None) | Ref::Exn(None) => Ok(0),
        }
    }

    /// The reference in a slot or a table's element.
    ///
    /// # Safety
    ///
    /// The slot was written as a reference of type `ty`, by a guest of `store` or by `to_slot`.
    #[inline]
    pub(crate) unsafe fn from_slot(slot: u64, ty: &RefType, store: &StoreOpaque) -> Ref {
        if ty.is_func() {
            // SAFETY: the caller vouches for the slot and its type.
            Ref::Func(unsafe { Func::from_slot(slot, store.id()) })
        } else if ty.is_exn() {
            Ref::Exn(ExnRef::from_slot(slot, store))
        } else {
            Ref::Extern(ExternRef::from_slot(slot, store.id()))
        }
    }
}

macro_rules! conversions {
    ($($from:ty => $to:ident: $value:ident => $result:expr;)*) => {
        $(impl From<$from> for $to {
            #[inline]
            fn from($value: $from) -> $to {
                $result
            }
        })*
    };
}

conversions! {
    i32 => Val: value => Val::I32(value);
    u32 => Val: value => Val::I32(value as i32);
    i64 => Val: value => Val::I64(value);
    u64 => Val: value => Val::I64(value as i64);
    f32 => Val: value => Val::F32(value.to_bits());
    f64 => Val: value => Val::F64(value.to_bits());
    V128 => Val: value => Val::V128(value);
    u128 => Val: value => Val::V128(value.into());
    Func => Val: value => Val::FuncRef(Some(value));
    Option<Func> => Val: value => Val::FuncRef(value);
    ExternRef => Val: value => Val::ExternRef(Some(value));
    Option<ExternRef> => Val: value => Val::ExternRef(value);
    ExnRef => Val: value => Val::ExnRef(Some(value));
    Option<ExnRef> => Val: value => Val::ExnRef(value);
    Func => Ref: value => Ref::Func(Some(value));
    Option<Func> => Ref: value => Ref::Func(value);
    ExternRef => Ref: value => Ref::Extern(Some(value));
    Option<ExternRef> => Ref: value => Ref::Extern(value);
    ExnRef => Ref: value => Ref::Exn(Some(value));
    Option<ExnRef> => Ref: value => Ref::Exn(value);
    Ref => Val: value => match value {
        Ref::Func(func) => Val::FuncRef(func),
        Ref::Extern(reference) => Val::ExternRef(reference),
        Ref::Exn(exception) => Val::ExnRef(exception),
    };
}
