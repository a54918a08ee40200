//! Host functions as guests call them: an entry record whose context leads to a Rust callback.
//!
//! The callback's type, and that of the store's data, are forgotten by the rest of the store; [`Callback`] has two functions that
//! remember them: one for the host, and one for guests, which native code calls directly. Invariant: a host function is called with
//! the store that it was put into.

use crate::caller::Caller;
use crate::error::{Result, bug};
use crate::host_func::RawHostFn;
use crate::store::{AnyStore, Failure, StoreContextMut, StoreHeader, StoreInner};
use crate::{Engine, FuncType};
use crescendo_abi::{ExitStatus, HostFn, HostOutcome, VmContext, VmFuncRef, VmHostContext};
use crescendo_module::{TypeHandle, TypeId};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};
use std::sync::Arc;

/// Number in [`VmFuncRef::func_index`] of functions that no module defines.
const HOST_FUNC_INDEX: u32 = u32::MAX;

/// Type id of functions whose type is not registered. No type gets it: it is as large as the number of types can be.
const UNKNOWN_TYPE: u32 = u32::MAX;

/// Calls a callback with a store, the context of the calling instance (null for the host) and slots.
type InvokeFn = unsafe fn(*const (), NonNull<dyn AnyStore>, *mut VmContext, *mut u64) -> Result<()>;

/// What runs when a host function is called, its type forgotten.
#[derive(Clone)]
pub(crate) struct Callback {
    func: Arc<dyn Any + Send + Sync>,
    invoke: InvokeFn,
    enter: HostFn,
}

impl Callback {
    /// Takes over a callback for stores with data of type `T`.
    pub(crate) fn new<T: 'static, F: RawHostFn<T>>(func: F) -> Callback {
        Callback { func: Arc::new(func), invoke: invoke::<T, F>, enter: enter::<T, F> }
    }

    /// The callback's address.
    fn address(&self) -> *const () {
        Arc::as_ptr(&self.func).cast()
    }
}

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
    callback: Callback,
}

impl HostFunction {
    /// Puts a host function into a store and answers its entry record.
    ///
    /// # Safety
    ///
    /// The callback is for stores with data of type `T` and keeps to `ty`.
    pub(crate) unsafe fn create<T: 'static>(
        store: &mut StoreInner<T>,
        ty: FuncType,
        callback: Callback,
    ) -> NonNull<VmFuncRef> {
        let store = &mut store.opaque;
        let registered = store.engine().types().register(&ty).ok();
        let vm = VmHostContext {
            store: store.vm().as_ptr(),
            builtins: Engine::builtins(),
            function: ptr::null_mut(),
            call: callback.enter,
            callback: callback.address(),
        };
        let record = VmFuncRef {
            entry: crescendo_interp::host_entry(),
            context: ptr::null_mut(),
            type_id: registered.as_ref().map_or(UNKNOWN_TYPE, |ty| ty.id().as_u32()),
            func_index: HOST_FUNC_INDEX,
            // The stub puts the type's thunk here when it is called first.
            native: crescendo_interp::native_host_stub(),
        };
        let slots = slot_count(&ty);
        let function = HostFunction { vm, record, ty, registered, slots, callback };
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
        if !unsafe { HostFunction::is_host(record) } {
            return None;
        }
        // SAFETY: as above.
        let context = unsafe { (*record.as_ptr()).context };
        // SAFETY: only `create` makes records of host functions, and their context is a `VmHostContext`.
        let function = unsafe { (*context.cast::<VmHostContext>()).function };
        NonNull::new(function.cast())
    }

    /// Whether a record is that of a host function.
    ///
    /// # Safety
    ///
    /// The record must be alive.
    #[inline]
    pub(crate) unsafe fn is_host(record: NonNull<VmFuncRef>) -> bool {
        // SAFETY: the caller's promise.
        unsafe { (*record.as_ptr()).func_index == HOST_FUNC_INDEX }
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

    /// Calls the callback for the host.
    ///
    /// # Errors
    ///
    /// What the callback fails with.
    ///
    /// # Safety
    ///
    /// `function` is alive and belongs to `store`, to which there is no other live reference. `slots` are
    /// [`HostFunction::slots`] slots with the parameters.
    #[inline]
    pub(crate) unsafe fn call(
        function: NonNull<HostFunction>,
        store: NonNull<dyn AnyStore>,
        slots: *mut u64,
    ) -> Result<()> {
        // SAFETY: the function is alive.
        let invoke = unsafe { (*function.as_ptr()).callback.invoke };
        // SAFETY: as above.
        let callback = unsafe { (*function.as_ptr()).vm.callback };
        // SAFETY: the caller's promise is `invoke`'s; null stands for the host.
        unsafe { invoke(callback, store, ptr::null_mut(), slots) }
    }
}

/// Calls a callback of type `F` whose store has data of type `T`.
///
/// # Safety
///
/// `callback` points to an `F`, and `store` to a [`StoreInner`] of `T` to which there is no other live reference. `slots` are as many
/// as the function needs, with the parameters. `caller` is null or the context of an instance of the store.
#[inline(always)] // Into `enter`, which then is a function's whole way from native code: 2 ns less of 6.
unsafe fn invoke<T: 'static, F: RawHostFn<T>>(
    callback: *const (),
    store: NonNull<dyn AnyStore>,
    caller: *mut VmContext,
    slots: *mut u64,
) -> Result<()> {
    // SAFETY: the caller's promise; callbacks are shared, and live as long as their functions.
    let callback = unsafe { &*callback.cast::<F>() };
    // SAFETY: the caller's promise.
    let store = unsafe { &mut *store.as_ptr().cast::<StoreInner<T>>() };
    // SAFETY: null or an instance of the store (the caller's promise).
    let caller = unsafe { Caller::new(StoreContextMut(store), caller) };
    callback(caller, slots)
}

/// [`HostFn`] of a callback of type `F` whose store has data of type `T`.
///
/// # Safety
///
/// As [`HostFn`] says; called while the store runs wasm, which has stopped.
unsafe extern "C" fn enter<T: 'static, F: RawHostFn<T>>(
    context: *mut VmHostContext,
    slots: *mut u64,
) -> HostOutcome {
    // SAFETY: the context is alive.
    let header = unsafe { (*context).store }.cast::<StoreHeader>();
    // SAFETY: the context's store is alive, the field plain data.
    let Some(owner) = (unsafe { (*header).owner }) else {
        // SAFETY: the context is alive, and there is no reference to its store.
        return unsafe { fail_outside(context) };
    };
    // SAFETY: the header is alive, and nothing else refers to the field.
    let pins = unsafe { &(*header).pins }.len();
    // SAFETY: as above.
    let caller = unsafe { (*header).vm.native_caller };
    // SAFETY: as for the context.
    let callback = unsafe { (*context).callback };
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: `owner` is the borrow that the run was started with, which is not used until the run ends or goes on. `create` put
        // the address of an `F` into the context of a store of `T`. Generated code passes slots and has noted the calling
        // instance's context.
        match unsafe { invoke::<T, F>(callback, owner, caller, slots) } {
            Ok(()) => HostOutcome { status: ExitStatus::Return as u64, context: ptr::null_mut() },
            // SAFETY: as above.
            Err(error) => unsafe { fail(context, Failure::Error(error)) },
        }
    }));
    let outcome = match outcome {
        Ok(outcome) => outcome,
        // SAFETY: as above.
        Err(payload) => unsafe { fail(context, Failure::Panic(payload)) },
    };
    // SAFETY: as for the length before.
    if unsafe { &(*header).pins }.len() > pins {
        // SAFETY: the context is alive, and there is no reference to its store.
        return unsafe { end_pins(context, pins, outcome) };
    }
    outcome
}

/// Ends the references that a host function got: they are good until it returns.
///
/// # Safety
///
/// The context is alive, and there is no reference to its store.
#[cold] // Gives the outcome, so that `enter` need not keep it.
unsafe fn end_pins(context: *mut VmHostContext, pins: usize, outcome: HostOutcome) -> HostOutcome {
    // SAFETY: the caller's promise.
    let header = unsafe { (*context).store }.cast::<StoreHeader>();
    // SAFETY: as above.
    unsafe { &mut (*header).pins }.truncate(pins);
    outcome
}

/// Leaves what a host function failed with for [`crescendo_abi::Builtin::HostFailed`].
///
/// # Safety
///
/// The context is alive, and there is no reference to its store.
#[cold]
unsafe fn fail(context: *mut VmHostContext, failure: Failure) -> HostOutcome {
    // SAFETY: the caller's promise.
    let header = unsafe { (*context).store }.cast::<StoreHeader>();
    // SAFETY: as above.
    unsafe { (*header).failure = Some(failure) };
    HostOutcome { status: ExitStatus::HostError as u64, context }
}

/// A host function was called while no run of its store is under way.
///
/// # Safety
///
/// As for [`fail`].
#[cold]
unsafe fn fail_outside(context: *mut VmHostContext) -> HostOutcome {
    let error = bug!("a host function was called outside of a run");
    // SAFETY: the caller's promise.
    unsafe { fail(context, Failure::Error(error)) }
}

/// Slots of the longer of a type's parameters and results.
pub(crate) fn slot_count(ty: &FuncType) -> usize {
    ty.param_slots().max(ty.result_slots())
}
