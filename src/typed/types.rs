//! Which Rust types stand for which wasm types, and how their values get into slots and out again.
//!
//! [`WasmTy`] is one value, [`WasmParams`] and [`WasmResults`] are lists of them. The traits are closed: their methods trust that
//! a slot was written as a value of the type, which only this crate can know.

use crate::error::bug;
use crate::{Error, ExternRef, Func, HeapType, RefType, Result, ValType};

mod sealed {
    /// Which store values belong to; references are checked against it.
    #[derive(Clone, Copy)]
    pub struct Owner(pub(crate) crate::store::StoreId);

    /// Keeps the traits of this module to the types of this module.
    pub trait Sealed {}
}
pub(super) use sealed::Owner;
use sealed::Sealed;

/// A Rust type that stands for a wasm value type.
///
/// | Rust | WebAssembly |
/// |---|---|
/// | `i32`, `u32` | `i32` |
/// | `i64`, `u64` | `i64` |
/// | `f32`, `f64` | `f32`, `f64` |
/// | `Option<Func>`, `Func` | `(ref null func)`, `(ref func)` |
/// | `Option<ExternRef>`, `ExternRef` | `(ref null extern)`, `(ref extern)` |
///
/// The trait is closed: other types cannot implement it.
pub trait WasmTy: Sealed + Sized + Send + 'static {
    /// The value type.
    #[doc(hidden)]
    const TYPE: ValType;

    /// The slot of the value, which has to belong to the store.
    #[doc(hidden)]
    fn into_slot(self, owner: Owner) -> Result<u64>;

    /// The value in a slot.
    ///
    /// # Safety
    ///
    /// The slot was written as a value of a subtype of `TYPE`, by a guest of the store or by `into_slot`.
    #[doc(hidden)]
    unsafe fn from_slot(slot: u64, owner: Owner) -> Result<Self>;
}

macro_rules! numbers {
    ($($type:ty: $wasm:ident, $value:ident => $into:expr, $slot:ident => $from:expr;)*) => {
        $(
            impl Sealed for $type {}
            impl WasmTy for $type {
                const TYPE: ValType = ValType::$wasm;

                #[inline]
                fn into_slot(self, _owner: Owner) -> Result<u64> {
                    let $value = self;
                    Ok($into)
                }

                #[inline]
                unsafe fn from_slot($slot: u64, _owner: Owner) -> Result<$type> {
                    Ok($from)
                }
            }
        )*
    };
}

numbers! {
    i32: I32, value => u64::from(value as u32), slot => slot as i32;
    u32: I32, value => u64::from(value), slot => slot as u32;
    i64: I64, value => value as u64, slot => slot as i64;
    u64: I64, value => value, slot => slot;
    f32: F32, value => u64::from(value.to_bits()), slot => f32::from_bits(slot as u32);
    f64: F64, value => value.to_bits(), slot => f64::from_bits(slot);
}

macro_rules! references {
    ($($type:ty: $heap:ident, $slot:ident, $owner:ident => $from:expr;)*) => {
        $(
            impl Sealed for Option<$type> {}
            impl WasmTy for Option<$type> {
                const TYPE: ValType = ValType::Ref(RefType { nullable: true, heap: HeapType::$heap });

                #[inline]
                fn into_slot(self, owner: Owner) -> Result<u64> {
                    match self {
                        Some(value) => value.to_slot(owner.0),
                        None => Ok(0),
                    }
                }

                #[inline]
                unsafe fn from_slot($slot: u64, $owner: Owner) -> Result<Option<$type>> {
                    Ok($from)
                }
            }

            impl Sealed for $type {}
            impl WasmTy for $type {
                const TYPE: ValType = ValType::Ref(RefType { nullable: false, heap: HeapType::$heap });

                #[inline]
                fn into_slot(self, owner: Owner) -> Result<u64> {
                    self.to_slot(owner.0)
                }

                #[inline]
                unsafe fn from_slot($slot: u64, $owner: Owner) -> Result<$type> {
                    $from.ok_or_else(|| bug!("null in a slot of type {}", <$type>::TYPE))
                }
            }
        )*
    };
}

references! {
    // SAFETY: the caller vouches that the slot holds a function reference of the store.
    Func: Func, slot, owner => unsafe { Func::from_slot(slot, owner.0) };
    ExternRef: Extern, slot, owner => ExternRef::from_slot(slot, owner.0);
}

/// Rust types for the parameters of a function: one [`WasmTy`] or a tuple of at most 16.
pub trait WasmParams: Sealed + Sized + Send {
    /// The value types, first to last. One slot each.
    #[doc(hidden)]
    const TYPES: &'static [ValType];

    /// Writes the values to the first slots, of which there are as many as types at least.
    #[doc(hidden)]
    fn into_slots(self, slots: &mut [u64], owner: Owner) -> Result<()>;
}

/// Rust types for the results of a function: one [`WasmTy`] or a tuple of at most 16; `()` for none.
pub trait WasmResults: WasmParams {
    /// The values in the first slots, of which there are as many as types at least.
    ///
    /// # Safety
    ///
    /// Each slot was written as a value of a subtype of its type, by a guest of the store or by `into_slots`.
    #[doc(hidden)]
    unsafe fn from_slots(slots: &[u64], owner: Owner) -> Result<Self>;
}

/// The most values that a tuple has, and slots that a typed call needs.
pub(super) const MOST_SLOTS: usize = 16;

/// The error of a call that has fewer slots than its type needs.
#[cold]
pub(super) fn too_few_slots(slots: usize, types: &[ValType]) -> Error {
    bug!("{slots} slots for {} values", types.len())
}

impl<A: WasmTy> WasmParams for A {
    const TYPES: &'static [ValType] = &[A::TYPE];

    #[inline]
    fn into_slots(self, slots: &mut [u64], owner: Owner) -> Result<()> {
        match slots.first_mut() {
            Some(slot) => *slot = self.into_slot(owner)?,
            None => return Err(too_few_slots(0, Self::TYPES)),
        }
        Ok(())
    }
}

impl<A: WasmTy> WasmResults for A {
    #[inline]
    unsafe fn from_slots(slots: &[u64], owner: Owner) -> Result<A> {
        match slots.first() {
            // SAFETY: the caller vouches for the slots.
            Some(slot) => unsafe { A::from_slot(*slot, owner) },
            None => Err(too_few_slots(0, Self::TYPES)),
        }
    }
}

macro_rules! tuples {
    ($count:literal $($arg:ident)*) => {
        impl<$($arg: WasmTy,)*> Sealed for ($($arg,)*) {}

        #[allow(non_snake_case, unused_variables, reason = "the values are named after their types, and there may be none")]
        impl<$($arg: WasmTy,)*> WasmParams for ($($arg,)*) {
            const TYPES: &'static [ValType] = &[$($arg::TYPE),*];

            #[inline]
            fn into_slots(self, slots: &mut [u64], owner: Owner) -> Result<()> {
                let available = slots.len();
                let Some(slots) = slots.first_chunk_mut::<$count>() else {
                    return Err(too_few_slots(available, Self::TYPES));
                };
                let ($($arg,)*) = self;
                *slots = [$($arg.into_slot(owner)?,)*];
                Ok(())
            }
        }

        #[allow(non_snake_case, unused_variables, clippy::unused_unit, reason = "as above")]
        impl<$($arg: WasmTy,)*> WasmResults for ($($arg,)*) {
            #[inline]
            unsafe fn from_slots(slots: &[u64], owner: Owner) -> Result<($($arg,)*)> {
                let Some(&[$($arg,)*]) = slots.first_chunk::<$count>() else {
                    return Err(too_few_slots(slots.len(), Self::TYPES));
                };
                // SAFETY: the caller vouches for the slots.
                Ok(($(unsafe { $arg::from_slot($arg, owner) }?,)*))
            }
        }
    };
}

for_each_arity!(tuples);
