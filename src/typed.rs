//! Calls whose types Rust knows: [`TypedFunc`] out of the host, [`Func::wrap`] into it.
//!
//! | type | what |
//! |---|---|
//! | [`WasmTy`] | one Rust type that stands for one value type |
//! | [`WasmParams`], [`WasmResults`] | one of them, or a tuple |
//! | [`IntoFunc`], [`WasmRet`] | closures with and without a [`crate::Caller`], and what they return |
//!
//! A function's type is checked once, by [`Func::typed`] or when an import is matched; a call then only moves values in and
//! out of slots on the stack. Invariant: a value reaches a slot only under a type that this check accepted.

/// Calls the macro with every list of type parameters from none to sixteen.
macro_rules! for_each_arity {
    ($macro:ident) => {
        $macro!(0);
        $macro!(1 A1);
        $macro!(2 A1 A2);
        $macro!(3 A1 A2 A3);
        $macro!(4 A1 A2 A3 A4);
        $macro!(5 A1 A2 A3 A4 A5);
        $macro!(6 A1 A2 A3 A4 A5 A6);
        $macro!(7 A1 A2 A3 A4 A5 A6 A7);
        $macro!(8 A1 A2 A3 A4 A5 A6 A7 A8);
        $macro!(9 A1 A2 A3 A4 A5 A6 A7 A8 A9);
        $macro!(10 A1 A2 A3 A4 A5 A6 A7 A8 A9 A10);
        $macro!(11 A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 A11);
        $macro!(12 A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 A11 A12);
        $macro!(13 A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 A11 A12 A13);
        $macro!(14 A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 A11 A12 A13 A14);
        $macro!(15 A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 A11 A12 A13 A14 A15);
        $macro!(16 A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 A11 A12 A13 A14 A15 A16);
    };
}

mod closures;
mod types;

pub use closures::{IntoFunc, WasmRet};
pub use types::{WasmParams, WasmResults, WasmTy};

use crate::error::arguments;
use crate::store::{StoreInner, StoreOpaque};
use crate::values::Ref;
use crate::{AsContext, AsContextMut, Error, Func, Result, StoreContextMut, ValType};
use std::fmt;
use std::marker::PhantomData;
use types::{MOST_SLOTS, Owner, call_slots, too_few_slots};

impl Func {
    /// Makes a host function of a closure. The function's type follows from the closure's.
    ///
    /// Parameters are [`WasmTy`]s, at most 16, and optionally a [`crate::Caller`] before them. A result is a [`WasmTy`], a tuple of
    /// them, `()`, or a `Result` of one of these whose error becomes an [`Error`] and comes out of the call that started
    /// the guest.
    ///
    /// # Examples
    ///
    /// ```
    /// # use crescendo::{Caller, Engine, Func, Result, Store};
    /// # fn main() -> Result<()> {
    /// let mut store = Store::new(&Engine::default(), 0_u32);
    /// let count = Func::wrap(&mut store, |mut caller: Caller<'_, u32>, step: u32| {
    ///     *caller.data_mut() += step;
    ///     *caller.data()
    /// });
    /// let divide = Func::wrap(&mut store, |a: i32, b: i32| -> Result<(i32, i32)> {
    ///     if b == 0 {
    ///         return Err(crescendo::Error::msg("division by zero"));
    ///     }
    ///     Ok((a / b, a % b))
    /// });
    ///
    /// let count = count.typed::<u32, u32>(&store)?;
    /// assert_eq!(count.call(&mut store, 2)?, 2);
    /// assert_eq!(count.call(&mut store, 3)?, 5);
    /// let divide = divide.typed::<(i32, i32), (i32, i32)>(&store)?;
    /// assert_eq!(divide.call(&mut store, (17, 5))?, (3, 2));
    /// assert!(divide.call(&mut store, (17, 0)).is_err());
    /// # Ok(())
    /// # }
    /// ```
    pub fn wrap<T: 'static, Params, Results>(
        store: impl AsContextMut<Data = T>,
        func: impl IntoFunc<T, Params, Results>,
    ) -> Func {
        func.into_host_func().into_func(store)
    }

    /// The function with its type known to Rust, for calls without checks and allocations.
    ///
    /// `P` and `R` are one [`WasmTy`], a tuple of them, or `()`. Signedness is up to the caller: an `i32` is taken as `i32`
    /// or `u32`.
    ///
    /// # Errors
    ///
    /// When the function has another type, or belongs to another store.
    ///
    /// # Examples
    ///
    /// ```
    /// # use crescendo::{Engine, Func, Store};
    /// let mut store = Store::new(&Engine::default(), ());
    /// let func = Func::wrap(&mut store, |a: i32| a);
    /// assert!(func.typed::<i32, i32>(&store).is_ok());
    /// let error = func.typed::<(i32, i64), ()>(&store).unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "type mismatch: the function has 1 parameter, the Rust type has 2",
    /// );
    /// ```
    pub fn typed<P: WasmParams, R: WasmResults>(&self, store: impl AsContext) -> Result<TypedFunc<P, R>> {
        let store = store.as_context().opaque();
        self.to_slot(store.id())?;
        let ty = self.ty_in(store);
        check_count("parameter", ty.params().len(), P::TYPES.len())?;
        check_count("result", ty.results().len(), R::TYPES.len())?;
        let mut checked_params = false;
        for (number, (wasm, rust)) in ty.params().iter().zip(P::TYPES).enumerate() {
            checked_params |= !rust.matches(*wasm);
            // A reference of the same hierarchy may happen to be of the narrower type: each call looks.
            if !rust.matches(*wasm) && !same_hierarchy(*rust, *wasm) {
                return Err(mismatch("parameter", number, *wasm, *rust));
            }
        }
        for (number, (wasm, rust)) in ty.results().iter().zip(R::TYPES).enumerate() {
            if !wasm.matches(*rust) {
                return Err(mismatch("result", number, *wasm, *rust));
            }
        }
        Ok(TypedFunc { func: *self, checked_params, types: PhantomData })
    }
}

fn check_count(what: &str, wasm: usize, rust: usize) -> Result<()> {
    if wasm == rust {
        return Ok(());
    }
    let plural = if wasm == 1 { "" } else { "s" };
    Err(arguments!("type mismatch: the function has {wasm} {what}{plural}, the Rust type has {rust}"))
}

#[cold]
fn mismatch(what: &str, number: usize, wasm: ValType, rust: ValType) -> Error {
    arguments!("type mismatch: {what} {number} of the function is {wasm}, the Rust type is {rust}")
}

fn same_hierarchy(a: ValType, b: ValType) -> bool {
    match (a, b) {
        (ValType::Ref(a), ValType::Ref(b)) => a.heap.top() == b.heap.top(),
        _ => false,
    }
}

/// A function whose parameters and results are known as Rust types: from [`Func::typed`] or
/// [`crate::Instance::get_typed_func`].
///
/// # Examples
///
/// ```
/// # use crescendo::{Engine, Func, Store, TypedFunc};
/// # fn main() -> crescendo::Result<()> {
/// let mut store = Store::new(&Engine::default(), ());
/// let add: TypedFunc<(i64, i64), i64> = Func::wrap(&mut store, |a: i64, b: i64| a + b).typed(&store)?;
/// assert_eq!(add.call(&mut store, (40, 2))?, 42);
/// # Ok(())
/// # }
/// ```
pub struct TypedFunc<P, R> {
    func: Func,
    /// Whether a parameter's type is narrower than its Rust type, so that every call has to look at the value.
    checked_params: bool,
    types: PhantomData<fn(P) -> R>,
}

impl<P, R> Clone for TypedFunc<P, R> {
    fn clone(&self) -> TypedFunc<P, R> {
        *self
    }
}

impl<P, R> Copy for TypedFunc<P, R> {}

impl<P, R> fmt::Debug for TypedFunc<P, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TypedFunc").field(&self.func).finish()
    }
}

impl<P: WasmParams, R: WasmResults> TypedFunc<P, R> {
    /// The function.
    pub fn func(&self) -> &Func {
        &self.func
    }

    /// Calls the function.
    ///
    /// # Errors
    ///
    /// A trap of the guest, an error of a host function that it called, a parameter that is a reference of another store
    /// or of the wrong type, or a function of another store.
    #[inline]
    pub fn call(&self, mut store: impl AsContextMut, params: P) -> Result<R> {
        // Clearing many slots costs more than calling a short function.
        let slots = const { call_slots(P::TYPES, R::TYPES) };
        if slots <= 1 {
            self.call_in(store.as_context_mut(), params, &mut [0; 1])
        } else if slots <= 2 {
            self.call_in(store.as_context_mut(), params, &mut [0; 2])
        } else if slots <= 16 {
            self.call_in(store.as_context_mut(), params, &mut [0; 16])
        } else {
            self.call_in(store.as_context_mut(), params, &mut [0; MOST_SLOTS])
        }
    }

    #[inline]
    fn call_in<T>(&self, store: StoreContextMut<'_, T>, params: P, slots: &mut [u64]) -> Result<R> {
        let owner = Owner(store.opaque().id());
        params.into_slots(slots, owner)?;
        if self.checked_params {
            self.check_params(store.opaque(), slots)?;
        }
        let len = const { call_slots(P::TYPES, R::TYPES) };
        let Some(slots) = slots.get_mut(..len) else {
            return Err(too_few_slots(slots.len(), R::TYPES));
        };
        self.func.call_native_or(store.0, slots, |store, slots| self.call_otherwise(store, slots))?;
        // SAFETY: the function returned, and `typed` checked that its results are of subtypes of `R`'s types.
        unsafe { R::from_slots(slots, owner) }
    }

    /// Calls a function that is not compiled: apart, so that calls of native code are short enough to be inlined.
    #[inline(never)]
    fn call_otherwise<T>(&self, store: &mut StoreInner<T>, slots: &mut [u64]) -> Result<()> {
        match slots.get_mut(..const { call_slots(P::TYPES, R::TYPES) }) {
            Some(slots) => self.func.call_raw(StoreContextMut(store), slots),
            None => Err(too_few_slots(slots.len(), R::TYPES)),
        }
    }

    /// Checks the references among the parameters against the function's own types.
    #[cold]
    fn check_params(&self, store: &StoreOpaque, slots: &[u64]) -> Result<()> {
        self.func.to_slot(store.id())?;
        let ty = self.func.ty_in(store);
        let mut at = 0;
        for (number, ty) in ty.params().iter().enumerate() {
            let slot = slots.get(at);
            at += ty.slots();
            if let (ValType::Ref(ty), Some(slot)) = (ty, slot) {
                // SAFETY: the slot was written by `into_slots` as a reference of the hierarchy of `ty`.
                let reference = unsafe { Ref::from_slot(*slot, ty, store) };
                reference.check(store, ty, format_args!("parameter {number}"))?;
            }
        }
        Ok(())
    }
}
