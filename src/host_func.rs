//! Host functions before they belong to a store: a type and what runs.
//!
//! [`HostFunc`] is what [`crate::Linker`] keeps and [`Func::new`] and [`Func::wrap`] pass through. Its closure takes
//! the caller and the slots of the call: the parameters going in, the results coming out, one slot each. `untyped` puts a
//! closure over [`Val`]s behind that; closures over Rust types come from `typed`.

use crate::runtime::{Callback, slot_count};
use crate::{AsContext, AsContextMut, Caller, Func, FuncType, Result, Val};
use smallvec::SmallVec;
use std::marker::PhantomData;

/// What runs when a host function is called: the caller, and max(parameters, results) slots, which nobody else uses meanwhile.
///
/// The slots' contents have the types of the function's parameters on entry and must have those of its results on a
/// return without error.
pub(crate) trait RawHostFn<T>:
    Fn(Caller<'_, T>, *mut u64) -> Result<()> + Send + Sync + 'static
{
}

impl<T, F: Fn(Caller<'_, T>, *mut u64) -> Result<()> + Send + Sync + 'static> RawHostFn<T> for F {}

/// A host function that any store with data of type `T` can take.
pub struct HostFunc<T: 'static> {
    ty: FuncType,
    callback: Callback,
    data: PhantomData<fn(&mut T)>,
}

impl<T> Clone for HostFunc<T> {
    fn clone(&self) -> HostFunc<T> {
        HostFunc { ty: self.ty.clone(), callback: self.callback.clone(), data: PhantomData }
    }
}

impl<T> HostFunc<T> {
    /// A function whose closure works on slots.
    ///
    /// # Safety
    ///
    /// The closure keeps to `ty`; see [`RawHostFn`].
    pub(crate) unsafe fn raw(ty: FuncType, func: impl RawHostFn<T>) -> HostFunc<T> {
        HostFunc { ty, callback: Callback::new::<T, _>(func), data: PhantomData }
    }

    /// A function whose closure works on values. What it leaves as results is checked against `ty`.
    pub(crate) fn untyped(
        ty: FuncType,
        func: impl Fn(Caller<'_, T>, &[Val], &mut [Val]) -> Result<()> + Send + Sync + 'static,
    ) -> HostFunc<T> {
        let (signature, count) = (ty.clone(), slot_count(&ty));
        let call = move |mut caller: Caller<'_, T>, slots: *mut u64| {
            // SAFETY: there are so many slots, and nobody else uses them (`RawHostFn`).
            let slots = unsafe { std::slice::from_raw_parts_mut(slots, count) };
            call_untyped(&signature, &mut caller, slots, &func)
        };
        // SAFETY: `call_untyped` reads the types of the parameters and writes those of the results.
        unsafe { HostFunc::raw(ty, call) }
    }

    /// Makes the function an object of the store.
    pub(crate) fn into_func(self, store: impl AsContextMut<Data = T>) -> Func {
        // SAFETY: the callback was made for stores of `T` and this type (`raw`).
        unsafe { Func::new_raw(store, self.ty, self.callback) }
    }
}

/// Values of a call, on the stack for the usual numbers of them.
type Vals = SmallVec<[Val; 8]>;

fn call_untyped<T>(
    ty: &FuncType,
    caller: &mut Caller<'_, T>,
    slots: &mut [u64],
    func: &impl Fn(Caller<'_, T>, &[Val], &mut [Val]) -> Result<()>,
) -> Result<()> {
    let id = caller.as_context().opaque().id();
    let mut params = Vals::new();
    let mut at = 0;
    for ty in ty.params() {
        // SAFETY: the guest, or the checks of an untyped call, wrote the slots with the types of the parameters.
        params.push(unsafe { Val::take(ty, slots, &mut at, caller.as_context().opaque()) }?);
    }
    // A reference that cannot be null has no default: its place starts with null, which the check below refuses.
    let placeholder = |ty| Val::default_for_ty(ty).unwrap_or(Val::FuncRef(None));
    let mut results: Vals = ty.results().iter().map(placeholder).collect();
    func(caller.reborrow(), &params, &mut results)?;
    let store = caller.as_context().opaque();
    let mut at = 0;
    for (number, (ty, val)) in ty.results().iter().zip(&results).enumerate() {
        val.check(store, ty, format_args!("result {number} of a host function"))?;
        val.put(ty, slots, &mut at, id)?;
    }
    Ok(())
}
