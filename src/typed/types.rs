//! Which Rust types stand for which wasm types, and how their values get into slots and out again.
//!
//! [`WasmTy`] is one value, [`WasmParams`] and [`WasmResults`] are lists of them. The traits are closed: their methods trust that
//! a slot was written as a value of the type, which only this crate can know.

use crate::error::bug;
use crate::{Error, ExternRef, Func, HeapType, RefType, Result, V128, ValType};

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
/// | [`V128`], `u128` | `v128` |
/// | `Option<Func>`, `Func` | `(ref null func)`, `(ref func)` |
/// | `Option<ExternRef>`, `ExternRef` | `(ref null extern)`, `(ref extern)` |
///
/// The trait is closed: other types cannot implement it.
pub trait WasmTy: Sealed + Sized + Send + 'static {
    /// The value type.
    #[doc(hidden)]
    const TYPE: ValType;

    /// The slots of the value, which has to belong to the store; the second is that of vectors.
    #[doc(hidden)]
    fn into_words(self, owner: Owner) -> Result<[u64; 2]>;

    /// The value in its slots.
    ///
    /// # Safety
    ///
    /// The slots were written as a value of a subtype of `TYPE`, by a guest of the store or by `into_words`.
    #[doc(hidden)]
    unsafe fn from_words(words: [u64; 2], owner: Owner) -> Result<Self>;
}

macro_rules! numbers {
    ($($type:ty: $wasm:ident, $value:ident => $into:expr, $slot:ident => $from:expr;)*) => {
        $(
            impl Sealed for $type {}
            impl WasmTy for $type {
                const TYPE: ValType = ValType::$wasm;

                #[inline]
                fn into_words(self, _owner: Owner) -> Result<[u64; 2]> {
                    let $value = self;
                    Ok([$into, 0])
                }

                #[inline]
                unsafe fn from_words([$slot, _]: [u64; 2], _owner: Owner) -> Result<$type> {
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

macro_rules! vectors {
    ($($type:ty;)*) => {
        $(
            impl Sealed for $type {}
            impl WasmTy for $type {
                const TYPE: ValType = ValType::V128;

                #[inline]
                fn into_words(self, _owner: Owner) -> Result<[u64; 2]> {
                    Ok(V128::from(self).to_slots())
                }

                #[inline]
                unsafe fn from_words(words: [u64; 2], _owner: Owner) -> Result<$type> {
                    Ok(V128::from_slots(words).into())
                }
            }
        )*
    };
}

vectors! {
    V128;
    u128;
}

macro_rules! references {
    ($($type:ty: $heap:ident, $slot:ident, $owner:ident => $from:expr;)*) => {
        $(
            impl Sealed for Option<$type> {}
            impl WasmTy for Option<$type> {
                const TYPE: ValType = ValType::Ref(RefType { nullable: true, heap: HeapType::$heap });

                #[inline]
                fn into_words(self, owner: Owner) -> Result<[u64; 2]> {
                    match self {
                        Some(value) => Ok([value.to_slot(owner.0)?, 0]),
                        None => Ok([0, 0]),
                    }
                }

                #[inline]
                unsafe fn from_words([$slot, _]: [u64; 2], $owner: Owner) -> Result<Option<$type>> {
                    Ok($from)
                }
            }

            impl Sealed for $type {}
            impl WasmTy for $type {
                const TYPE: ValType = ValType::Ref(RefType { nullable: false, heap: HeapType::$heap });

                #[inline]
                fn into_words(self, owner: Owner) -> Result<[u64; 2]> {
                    Ok([self.to_slot(owner.0)?, 0])
                }

                #[inline]
                unsafe fn from_words([$slot, _]: [u64; 2], $owner: Owner) -> Result<$type> {
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
pub(super) const MOST_SLOTS: usize = 32;

/// The error of a call that has fewer slots than its type needs.
#[cold]
pub(super) fn too_few_slots(slots: usize, types: &[ValType]) -> Error {
    bug!("{slots} slots for {} values", types.len())
}

/// Slots of a list of values.
const fn slots_of(types: &[ValType]) -> usize {
    let (mut slots, mut index) = (0, 0);
    while index < types.len() {
        slots += types[index].slots();
        index += 1;
    }
    slots
}

/// Slots for a call of a function with these parameters and results.
pub(super) const fn call_slots(params: &[ValType], results: &[ValType]) -> usize {
    let (params, results) = (slots_of(params), slots_of(results));
    if params > results { params } else { results }
}

/// Puts a value into its slots from `at` on, and moves `at` behind them.
#[inline]
fn put<A: WasmTy>(value: A, slots: &mut [u64], at: &mut usize, owner: Owner) -> Result<()> {
    let words = value.into_words(owner)?;
    let (start, count) = (*at, const { A::TYPE.slots() });
    *at += count;
    match slots.get_mut(start..start + count) {
        Some(place) => place.copy_from_slice(&words[..count]),
        None => return Err(too_few_slots(slots.len(), &[A::TYPE])),
    }
    Ok(())
}

/// Takes a value out of its slots from `at` on, and moves `at` behind them.
///
/// # Safety
///
/// As for [`WasmTy::from_words`].
#[inline]
unsafe fn take<A: WasmTy>(slots: &[u64], at: &mut usize, owner: Owner) -> Result<A> {
    let (start, count) = (*at, const { A::TYPE.slots() });
    *at += count;
    let words = match slots.get(start..start + count) {
        Some([low, high]) => [*low, *high],
        Some([slot]) => [*slot, 0],
        _ => return Err(too_few_slots(slots.len(), &[A::TYPE])),
    };
    // SAFETY: the caller vouches for the slots.
    unsafe { A::from_words(words, owner) }
}

impl<A: WasmTy> WasmParams for A {
    const TYPES: &'static [ValType] = &[A::TYPE];

    #[inline]
    fn into_slots(self, slots: &mut [u64], owner: Owner) -> Result<()> {
        put(self, slots, &mut 0, owner)
    }
}

impl<A: WasmTy> WasmResults for A {
    #[inline]
    unsafe fn from_slots(slots: &[u64], owner: Owner) -> Result<A> {
        // SAFETY: the caller vouches for the slots.
        unsafe { take(slots, &mut 0, owner) }
    }
}

macro_rules! tuples {
    ($count:literal $($arg:ident)*) => {
        impl<$($arg: WasmTy,)*> Sealed for ($($arg,)*) {}

        #[allow(non_snake_case, unused_variables, unused_mut, reason = "the values are named after their types, and there may be none")]
        impl<$($arg: WasmTy,)*> WasmParams for ($($arg,)*) {
            const TYPES: &'static [ValType] = &[$($arg::TYPE),*];

            #[inline]
            fn into_slots(self, slots: &mut [u64], owner: Owner) -> Result<()> {
                let ($($arg,)*) = self;
                let mut at = 0;
                $(put($arg, slots, &mut at, owner)?;)*
                Ok(())
            }
        }

        #[allow(non_snake_case, unused_variables, unused_mut, clippy::unused_unit, reason = "as above")]
        impl<$($arg: WasmTy,)*> WasmResults for ($($arg,)*) {
            #[inline]
            unsafe fn from_slots(slots: &[u64], owner: Owner) -> Result<($($arg,)*)> {
                let mut at = 0;
                // SAFETY: the caller vouches for the slots.
                Ok(($(unsafe { take::<$arg>(slots, &mut at, owner) }?,)*))
            }
        }
    };
}

for_each_arity!(tuples);
