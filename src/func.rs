//! Functions, of guests and of the host alike: [`Func`].
//!
//! A function is its entry record: guests and tables hold the record's address, and so does [`Func`]. Calls go through
//! `runtime::enter`; closures over Rust types come in through `typed`, closures over slots and values through `host_func`.

use crate::error::{Result, arguments};
use crate::host_func::HostFunc;
use crate::instance::InstanceData;
use crate::runtime::{Callback, HostFunction, enter, slot_count};
use crate::store::{StoreId, StoreInner, StoreOpaque, Stored, wrong_store};
use crate::{AsContext, AsContextMut, Caller, FuncType, Val};
use crescendo_abi::VmFuncRef;
use crescendo_module::{FuncIdx, TypeId};
use smallvec::SmallVec;
use std::ptr::{self, NonNull};

/// A function of a store: of a guest, or of the host.
///
/// # Examples
///
/// ```
/// use crescendo::{Engine, Func, FuncType, Store, Val, ValType};
///
/// # fn main() -> crescendo::Result<()> {
/// let mut store = Store::new(&Engine::default(), ());
/// let ty = FuncType::new([ValType::I32, ValType::I32], [ValType::I32]);
/// let add = Func::new(&mut store, ty, |_caller, params, results| {
///     results[0] = Val::I32(params[0].unwrap_i32() + params[1].unwrap_i32());
///     Ok(())
/// });
/// let mut results = [Val::I32(0)];
/// add.call(&mut store, &[Val::I32(40), Val::I32(2)], &mut results)?;
/// assert_eq!(results[0].unwrap_i32(), 42);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Func(Stored<VmFuncRef>);

/// Slots of a call, on the stack for the usual numbers of them.
type Slots = SmallVec<[u64; 8]>;

impl Func {
    /// Makes a host function of a closure over values.
    ///
    /// The closure gets the parameters, and results that it has to set; they start as zeros and nulls. Results of another
    /// type than `ty` says, and errors that the closure returns, come out of the call that started the guest.
    /// [`Func::wrap`] takes closures over Rust types, which is faster.
    pub fn new<T: 'static>(
        store: impl AsContextMut<Data = T>,
        ty: FuncType,
        func: impl Fn(Caller<'_, T>, &[Val], &mut [Val]) -> Result<()> + Send + Sync + 'static,
    ) -> Func {
        HostFunc::untyped(ty, func).into_func(store)
    }

    /// Makes a host function of a callback.
    ///
    /// # Safety
    ///
    /// The callback is for stores with data of type `T` and keeps to `ty`.
    pub(crate) unsafe fn new_raw<T: 'static>(
        mut store: impl AsContextMut<Data = T>,
        ty: FuncType,
        callback: Callback,
    ) -> Func {
        let store = store.as_context_mut().0;
        // SAFETY: the caller's promise.
        let record = unsafe { HostFunction::create(store, ty, callback) };
        // SAFETY: the record lies in a host function that the store just took over.
        Func(unsafe { Stored::new(store.opaque.id(), record) })
    }

    /// The function with this entry record.
    ///
    /// # Safety
    ///
    /// The record belongs to the store named `store`, and lives as long.
    pub(crate) unsafe fn from_record(store: StoreId, record: NonNull<VmFuncRef>) -> Func {
        // SAFETY: the caller's promise.
        Func(unsafe { Stored::new(store, record) })
    }

    /// The function's type.
    ///
    /// # Panics
    ///
    /// When the function belongs to another store.
    pub fn ty(&self, store: impl AsContext) -> FuncType {
        self.ty_in(store.as_context().opaque()).clone()
    }

    /// The function's type.
    ///
    /// # Panics
    ///
    /// When the function belongs to another store.
    #[track_caller]
    pub(crate) fn ty_in<'a>(&self, store: &'a StoreOpaque) -> &'a FuncType {
        match self.definition(store) {
            Definition::Host(function) => function.ty(),
            Definition::Module(instance, func) => instance.module().info().type_of_func(func),
        }
    }

    /// The canonical id of the function's type; `None` for a host function whose type mentions types that the engine does
    /// not know.
    ///
    /// # Panics
    ///
    /// When the function belongs to another store.
    #[track_caller]
    pub(crate) fn type_id(&self, store: &StoreOpaque) -> Option<TypeId> {
        match self.definition(store) {
            Definition::Host(function) => function.type_id(),
            Definition::Module(instance, func) => Some(instance.module().info().func_type_id(func)),
        }
    }

    #[track_caller]
    fn definition<'a>(&self, store: &'a StoreOpaque) -> Definition<'a> {
        let record = self.0.address(store);
        // SAFETY: the record belongs to the borrowed store.
        if let Some(function) = unsafe { HostFunction::of_record(record) } {
            // SAFETY: a store's host functions live as long as the store.
            return Definition::Host(unsafe { function.as_ref() });
        }
        let record = self.0.get(store);
        // SAFETY: a record that is not of a host function is an instance's, and its context the instance's.
        let instance = unsafe { InstanceData::of_live_context(record.context) };
        Definition::Module(instance, FuncIdx::new(record.func_index))
    }

    /// Calls the function with values. `results` must be as long as the function's results are; what it held is overwritten.
    ///
    /// For calls that are made often, [`Func::typed`] checks the types once.
    ///
    /// # Errors
    ///
    /// A trap of the guest or an error of a host function that it called, with the backtrace of the guest; parameters of a
    /// wrong number or type; references or a function of another store. `results` are then unchanged.
    ///
    /// # Panics
    ///
    /// Resumes the panic of a host function that the guest called.
    pub fn call(&self, mut store: impl AsContextMut, params: &[Val], results: &mut [Val]) -> Result<()> {
        let mut store = store.as_context_mut();
        let opaque = store.opaque();
        self.0.check(opaque)?;
        let (id, ty) = (opaque.id(), self.ty_in(opaque).clone());
        check_count("parameters", ty.params().len(), params.len())?;
        check_count("results", ty.results().len(), results.len())?;
        let mut slots = Slots::from_elem(0, slot_count(&ty));
        for (number, (param, ty)) in params.iter().zip(ty.params()).enumerate() {
            param.check(opaque, ty, format_args!("parameter {number}"))?;
        }
        let mut at = 0;
        for (param, ty) in params.iter().zip(ty.params()) {
            param.put(ty, &mut slots, &mut at, id)?;
        }
        self.call_raw(&mut store, &mut slots)?;
        let mut at = 0;
        for (result, ty) in results.iter_mut().zip(ty.results()) {
            // SAFETY: the function returned, so that its results have its type's types.
            *result = unsafe { Val::take(ty, &slots, &mut at, store.opaque()) }?;
        }
        Ok(())
    }

    /// Calls the function with slots: max(parameters, results) of them, whose contents have the function's types and belong
    /// to the store. After an error they are unspecified.
    ///
    /// # Errors
    ///
    /// As for [`Func::call`], types aside.
    #[inline]
    pub(crate) fn call_raw<T: 'static>(
        &self,
        mut store: impl AsContextMut<Data = T>,
        slots: &mut [u64],
    ) -> Result<()> {
        let store = store.as_context_mut().0;
        self.0.check(&store.opaque)?;
        // SAFETY: the record belongs to the store, as was just checked.
        unsafe { enter::call(store, self.0.address_unchecked(), slots) }
    }

    /// As [`Func::call_raw`]; what is not native code is called by `otherwise`, which may stand elsewhere.
    #[inline(always)]
    pub(crate) fn call_native_or<T: 'static>(
        &self,
        store: &mut StoreInner<T>,
        slots: &mut [u64],
        otherwise: impl FnOnce(&mut StoreInner<T>, &mut [u64]) -> Result<()>,
    ) -> Result<()> {
        self.0.check(&store.opaque)?;
        let record = self.0.address_unchecked();
        // SAFETY: the record belongs to the store, as was just checked.
        if unsafe { enter::is_compiled(store.opaque.header(), record) } {
            // SAFETY: as above, and there is native code; the slots are the caller's duty.
            unsafe { enter::call_native(store, record, slots) }
        } else {
            otherwise(store, slots)
        }
    }

    /// The slot of a reference to the function, which has to belong to the store named `store`.
    ///
    /// # Errors
    ///
    /// When it belongs to another store.
    #[inline]
    pub(crate) fn to_slot(self, store: StoreId) -> Result<u64> {
        if self.0.store() != store {
            return Err(wrong_store());
        }
        Ok(self.0.address_unchecked().as_ptr().expose_provenance() as u64)
    }

    /// The function that a slot refers to; `None` for null.
    ///
    /// # Safety
    ///
    /// The slot is 0 or was written as a function reference of the store named `store`.
    #[inline]
    pub(crate) unsafe fn from_slot(slot: u64, store: StoreId) -> Option<Func> {
        let record = NonNull::new(ptr::with_exposed_provenance_mut(slot as usize))?;
        // SAFETY: a slot's function reference is the address of a record of its store.
        Some(unsafe { Func::from_record(store, record) })
    }

    /// The entry record's place.
    pub(crate) fn stored(self) -> Stored<VmFuncRef> {
        self.0
    }
}

/// Who defines a function.
enum Definition<'a> {
    Host(&'a HostFunction),
    Module(&'a InstanceData, FuncIdx),
}

fn check_count(what: &str, expected: usize, found: usize) -> Result<()> {
    if expected == found {
        return Ok(());
    }
    Err(arguments!("the function has {expected} {what}, {found} were given"))
}
