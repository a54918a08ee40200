//! What a host function sees of the guest that called it: [`Caller`].

use crate::instance::InstanceData;
use crate::store::StoreInner;
use crate::{AsContext, AsContextMut, Engine, ExnRef, Extern, Result, StoreContext, StoreContextMut};
use crescendo_abi::VmContext;
use std::ptr::NonNull;

/// The store and the instance that a host function is called from.
///
/// Stands for the store wherever one is asked for ([`AsContext`], [`AsContextMut`]): the host function may call guests,
/// read memories and make objects.
///
/// # Examples
///
/// ```
/// use crescendo::{Caller, Engine, Extern, Func, Store};
///
/// let mut store = Store::new(&Engine::default(), 7_u32);
/// let func = Func::wrap(&mut store, |mut caller: Caller<'_, u32>, step: u32| {
///     *caller.data_mut() += step;
///     // The host called this function itself, so there is no instance with exports.
///     assert!(caller.get_export("memory").is_none());
/// });
/// func.typed::<u32, ()>(&store).unwrap().call(&mut store, 3).unwrap();
/// assert_eq!(*store.data(), 10);
/// ```
pub struct Caller<'a, T: 'static> {
    store: StoreContextMut<'a, T>,
    instance: Option<NonNull<InstanceData>>,
}

impl<'a, T> Caller<'a, T> {
    /// A caller in the instance with this context, or in the host when it is null.
    ///
    /// # Safety
    ///
    /// `context` is null or the context of an instance of the store.
    #[inline]
    pub(crate) unsafe fn new(store: StoreContextMut<'a, T>, context: *mut VmContext) -> Caller<'a, T> {
        // SAFETY: the caller's promise.
        let instance = unsafe { InstanceData::of_context(context) };
        Caller { store, instance }
    }

    /// The same caller for a shorter time.
    #[inline]
    pub(crate) fn reborrow(&mut self) -> Caller<'_, T> {
        Caller { store: StoreContextMut(&mut *self.store.0), instance: self.instance }
    }

    /// The store's data.
    #[inline]
    pub fn data(&self) -> &T {
        self.store.data()
    }

    /// The store's data, to be changed.
    #[inline]
    pub fn data_mut(&mut self) -> &mut T {
        self.store.data_mut()
    }

    /// The engine that the store belongs to.
    pub fn engine(&self) -> &Engine {
        self.store.0.opaque.engine()
    }

    /// What the calling instance exports under a name. `None` when it exports nothing under it, or when the host itself
    /// called the function.
    pub fn get_export(&self, name: &str) -> Option<Extern> {
        // SAFETY: an instance of the store (`new`), which lives as long as the store.
        let instance = unsafe { self.instance?.as_ref() };
        instance.export(name)
    }

    /// The fuel left; see [`crate::Store::get_fuel`].
    ///
    /// # Errors
    ///
    /// When the engine's configuration does not consume fuel.
    pub fn get_fuel(&self) -> Result<u64> {
        self.store.get_fuel()
    }

    /// Sets the fuel left; see [`crate::Store::set_fuel`].
    ///
    /// # Errors
    ///
    /// When the engine's configuration does not consume fuel.
    pub fn set_fuel(&mut self, fuel: u64) -> Result<()> {
        self.store.set_fuel(fuel)
    }

    /// Throws an exception: host functions return the error that this gives, and the exception goes on to the guest that called
    /// them.
    ///
    /// # Errors
    ///
    /// Always: an error that holds a [`crate::ThrownException`], or, when the exception belongs to another store or is not kept
    /// any more, another.
    pub fn throw<R>(&mut self, exception: ExnRef) -> Result<R> {
        self.store.throw(exception)
    }

    /// Takes the exception that left a guest or was thrown by [`Caller::throw`] last, if it was not taken yet and has not gone on to
    /// a guest.
    pub fn take_pending_exception(&mut self) -> Option<ExnRef> {
        self.store.take_pending_exception()
    }

    /// Whether [`Caller::take_pending_exception`] has one to give.
    pub fn has_pending_exception(&self) -> bool {
        self.store.has_pending_exception()
    }

    fn inner(&self) -> &StoreInner<T> {
        self.store.0
    }
}

impl<T> AsContext for Caller<'_, T> {
    type Data = T;

    #[inline]
    fn as_context(&self) -> StoreContext<'_, T> {
        StoreContext(self.inner())
    }
}

impl<T> AsContextMut for Caller<'_, T> {
    #[inline]
    fn as_context_mut(&mut self) -> StoreContextMut<'_, T> {
        StoreContextMut(&mut *self.store.0)
    }
}
