//! Host functions as guests call them: an entry record whose context leads to a Rust callback.
//!
//! The callback's type names the type of the store's data, which the rest of the store has forgotten; `invoke` is the one
//! function that remembers it. Invariant: a host function is called with the store that it was put into.

use crate::caller::Caller;
use crate::error::Result;
use crate::host_func::RawHostFn;
use crate::store::{AnyStore, StoreContextMut, StoreInner};
use crate::{Engine, FuncType};
use crescendo_abi::{VmContext, VmFuncRef, VmHostContext};
use crescendo_module::{TypeHandle, TypeId};
use std::any::Any;
use std::ptr::{self, NonNull};
use std::sync::Arc;

/// Number in [`VmFuncRef::func_index`] of functions that no module defines.
const HOST_FUNC_INDEX: u32 = u32::MAX;

/// Type id of functions whose type is not registered. No type gets it: it is as large as the number of types can be.
const UNKNOWN_TYPE: u32 = u32::MAX;

/// Calls the callback of a host function with a store, the context of the calling instance (null for the host) and slots.
type InvokeFn =
    unsafe fn(NonNull<HostFunction>, NonNull<dyn AnyStore>, *mut VmContext, *mut u64) -> Result<()>;

/// A host function of a store.
pub(crate) struct HostFunction {
    vm: VmHostContext,
    record: VmFuncRef,
    ty: FuncType,
    /// The type's id, kept in use. `None` for a type that mentions types that the engine does not know: no import and no
    /// indirect call asks for such a function.
    registered: Option<TypeHandle>,
    /// Slots of the longer of parameters and results.
    slots: usize,
    /// An `Arc<RawHostFn<T>>`.
    callback: Box<dyn Any + Send + Sync>,
    invoke: InvokeFn,
}

impl HostFunction {
    /// Puts a host function into a store and answers its entry record.
    pub(crate) fn create<T: 'static>(
        store: &mut StoreInner<T>,
        ty: FuncType,
        callback: Arc<RawHostFn<T>>,
    ) -> NonNull<VmFuncRef> {
        let store = &mut store.opaque;
        let registered = store.engine().types().register(&ty).ok();
        let vm = VmHostContext {
            store: store.vm().as_ptr(),
            builtins: Engine::builtins(),
            function: ptr::null_mut(),
        };
        let record = VmFuncRef {
            entry: crescendo_interp::host_entry(),
            context: ptr::null_mut(),
            type_id: registered.as_ref().map_or(UNKNOWN_TYPE, |ty| ty.id().as_u32()),
            func_index: HOST_FUNC_INDEX,
            native: crescendo_interp::native_host_stub(),
        };
        let slots = slot_count(&ty);
        let callback = Box::new(callback);
        let function = HostFunction { vm, record, ty, registered, slots, callback, invoke: invoke::<T> };
        let mut address = store.push_host_function(function);
        // SAFETY: the store just took it over, and nothing else refers to it yet.
        let function = unsafe { address.as_mut() };
        function.vm.function = address.as_ptr().cast();
        function.record.context = (&raw mut function.vm).cast();
        NonNull::from(&mut function.record)
    }

    /// The host function that a record belongs to, `None` for a function of a module.
    ///
    /// # Safety
    ///
    /// The record must be alive.
    #[inline]
    pub(crate) unsafe fn of_record(record: NonNull<VmFuncRef>) -> Option<NonNull<HostFunction>> {
        // SAFETY: the caller's promise.
        let record = unsafe { record.as_ref() };
        if record.func_index != HOST_FUNC_INDEX {
            return None;
        }
        // SAFETY: only `create` makes records with this number, and their context is a `VmHostContext`.
        let function = unsafe { (*record.context.cast::<VmHostContext>()).function };
        NonNull::new(function.cast())
    }

    /// The function's type.
    pub(crate) fn ty(&self) -> &FuncType {
        &self.ty
    }

    /// The canonical id of the function's type, `None` when it has none.
    pub(crate) fn type_id(&self) -> Option<TypeId> {
        self.registered.as_ref().map(TypeHandle::id)
    }

    /// Slots of the longer of parameters and results.
    #[inline]
    pub(crate) fn slots(&self) -> usize {
        self.slots
    }

    /// Calls the callback.
    ///
    /// # Errors
    ///
    /// What the callback fails with.
    ///
    /// # Safety
    ///
    /// `function` is alive and belongs to `store`, to which there is no other live reference. `slots` are
    /// [`HostFunction::slots`] slots with the parameters. `caller` is null or the context of an instance of the store.
    #[inline]
    pub(crate) unsafe fn call(
        function: NonNull<HostFunction>,
        store: NonNull<dyn AnyStore>,
        caller: *mut VmContext,
        slots: *mut u64,
    ) -> Result<()> {
        // SAFETY: the function is alive.
        let invoke = unsafe { (*function.as_ptr()).invoke };
        // SAFETY: the caller's promise is `invoke`'s.
        unsafe { invoke(function, store, caller, slots) }
    }
}

/// Calls a callback whose store has data of type `T`.
///
/// # Safety
///
/// As for [`HostFunction::call`]; the function was created with this `T`.
unsafe fn invoke<T: 'static>(
    function: NonNull<HostFunction>,
    store: NonNull<dyn AnyStore>,
    caller: *mut VmContext,
    slots: *mut u64,
) -> Result<()> {
    // SAFETY: the function is alive, and nothing changes it after `create`.
    let function = unsafe { function.as_ref() };
    let callback = (&raw const *function.callback).cast::<Arc<RawHostFn<T>>>();
    // SAFETY: `create::<T>` put an `Arc<RawHostFn<T>>` into the box and named `invoke::<T>` beside it.
    let callback = unsafe { &*callback };
    // SAFETY: a function created with `T` lies in a store of `T`, to which there is no other live reference.
    let store = unsafe { &mut *store.as_ptr().cast::<StoreInner<T>>() };
    // SAFETY: there are so many slots (the caller's promise), and the store does not own them.
    let slots = unsafe { std::slice::from_raw_parts_mut(slots, function.slots) };
    // SAFETY: null or an instance of the store (the caller's promise).
    let caller = unsafe { Caller::new(StoreContextMut(store), caller) };
    callback(caller, slots)
}

/// Slots of the longer of a type's parameters and results.
pub(crate) fn slot_count(ty: &FuncType) -> usize {
    ty.param_slots().max(ty.result_slots())
}
