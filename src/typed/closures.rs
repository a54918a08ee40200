//! Closures over Rust types as host functions: [`IntoFunc`], and what they may return: [`WasmRet`].

use super::types::{Owner, WasmParams, WasmResults, WasmTy, call_slots};
use crate::host_func::HostFunc;
use crate::{AsContext, Caller, Error, FuncType, Result};

/// What a host closure may return: [`WasmResults`], or a `Result` of them with an error that becomes an [`Error`].
pub trait WasmRet: Sized {
    /// The results when there is no error.
    #[doc(hidden)]
    type Results: WasmResults;

    /// Both cases as a `Result`.
    #[doc(hidden)]
    fn into_result(self) -> Result<Self::Results>;
}

impl<R: WasmResults> WasmRet for R {
    type Results = R;

    #[inline]
    fn into_result(self) -> Result<R> {
        Ok(self)
    }
}

impl<R: WasmResults, E: Into<Error>> WasmRet for Result<R, E> {
    type Results = R;

    #[inline]
    fn into_result(self) -> Result<R> {
        self.map_err(E::into)
    }
}

/// Closures that can be host functions: [`WasmTy`] parameters, after a [`Caller`] if the closure wants one, and a
/// [`WasmRet`].
///
/// `Params` and `Results` follow from the closure and are never written out.
pub trait IntoFunc<T: 'static, Params, Results>: Send + Sync + 'static {
    /// The host function.
    #[doc(hidden)]
    fn into_host_func(self) -> HostFunc<T>;
}

macro_rules! closures {
    ($count:literal $($arg:ident)*) => {
        impl<T: 'static, F, $($arg,)* R> IntoFunc<T, ($($arg,)*), R> for F
        where
            F: Fn($($arg),*) -> R + Send + Sync + 'static,
            $($arg: WasmTy,)*
            R: WasmRet,
        {
            fn into_host_func(self) -> HostFunc<T> {
                host_func::<T, ($($arg,)*), R>(
                    #[allow(non_snake_case, reason = "the values are named after their types")]
                    move |_caller, ($($arg,)*)| self($($arg),*),
                )
            }
        }

        impl<T: 'static, F, $($arg,)* R> IntoFunc<T, (Caller<'_, T>, $($arg,)*), R> for F
        where
            F: Fn(Caller<'_, T>, $($arg),*) -> R + Send + Sync + 'static,
            $($arg: WasmTy,)*
            R: WasmRet,
        {
            fn into_host_func(self) -> HostFunc<T> {
                host_func::<T, ($($arg,)*), R>(
                    #[allow(non_snake_case, reason = "the values are named after their types")]
                    move |caller, ($($arg,)*)| self(caller, $($arg),*),
                )
            }
        }
    };
}

for_each_arity!(closures);

/// The host function of a closure over a tuple of parameters.
fn host_func<T: 'static, P: WasmResults, R: WasmRet>(
    func: impl Fn(Caller<'_, T>, P) -> R + Send + Sync + 'static,
) -> HostFunc<T> {
    let ty = FuncType::new(P::TYPES.iter().copied(), R::Results::TYPES.iter().copied());
    let call = move |caller: Caller<'_, T>, slots: *mut u64| {
        let owner = Owner(caller.as_context().opaque().id());
        let count = const { call_slots(P::TYPES, R::Results::TYPES) };
        // SAFETY: there are so many slots, and nobody else uses them (`RawHostFn`).
        let slots = unsafe { std::slice::from_raw_parts_mut(slots, count) };
        // SAFETY: the guest wrote the slots as parameters of the function's type, which is made of `P`'s types.
        let params = unsafe { P::from_slots(slots, owner) }?;
        func(caller, params).into_result()?.into_slots(slots, owner)
    };
    // SAFETY: the closure reads values of the types of the parameters and writes values of those of the results.
    unsafe { HostFunc::raw(ty, call) }
}
