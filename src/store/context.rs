//! Borrows of a store, and the traits by which API functions take them.
//!
//! [`StoreContext`] and [`StoreContextMut`] are what a `&Store` and a `&mut Store` become; inside a host function the
//! [`crate::Caller`] stands for the store. Everything that takes `impl AsContext` or `impl AsContextMut` takes any of them.

use super::{Store, StoreInner, StoreOpaque};
use crate::{Engine, ExnRef, Result};

/// A shared borrow of a [`Store`].
pub struct StoreContext<'a, T: 'static>(pub(crate) &'a StoreInner<T>);

/// An exclusive borrow of a [`Store`].
pub struct StoreContextMut<'a, T: 'static>(pub(crate) &'a mut StoreInner<T>);

impl<T> Clone for StoreContext<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for StoreContext<'_, T> {}

impl<'a, T> StoreContext<'a, T> {
    /// The store's data.
    pub fn data(&self) -> &'a T {
        &self.0.data
    }

    /// The engine that the store belongs to.
    pub fn engine(&self) -> &'a Engine {
        self.0.opaque.engine()
    }

    /// The fuel left; see [`Store::get_fuel`].
    ///
    /// # Errors
    ///
    /// When the engine's configuration does not consume fuel.
    pub fn get_fuel(&self) -> Result<u64> {
        self.0.opaque.fuel()
    }

    pub(crate) fn opaque(&self) -> &'a StoreOpaque {
        &self.0.opaque
    }
}

impl<'a, T> StoreContextMut<'a, T> {
    /// The store's data.
    pub fn data(&self) -> &T {
        &self.0.data
    }

    /// The store's data, to be changed.
    pub fn data_mut(&mut self) -> &mut T {
        &mut self.0.data
    }

    /// The engine that the store belongs to.
    pub fn engine(&self) -> &Engine {
        self.0.opaque.engine()
    }

    /// The fuel left; see [`Store::get_fuel`].
    ///
    /// # Errors
    ///
    /// When the engine's configuration does not consume fuel.
    pub fn get_fuel(&self) -> Result<u64> {
        self.0.opaque.fuel()
    }

    /// Sets the fuel left; see [`Store::set_fuel`].
    ///
    /// # Errors
    ///
    /// When the engine's configuration does not consume fuel.
    pub fn set_fuel(&mut self, fuel: u64) -> Result<()> {
        self.0.opaque.set_fuel(fuel)
    }

    /// Moves the epoch deadline; see [`Store::set_epoch_deadline`].
    pub fn set_epoch_deadline(&mut self, ticks: u64) {
        self.0.opaque.set_epoch_deadline(ticks);
    }

    /// Throws an exception: host functions return the error that this gives, and the exception goes on to the guest that called
    /// them.
    ///
    /// # Errors
    ///
    /// Always: an error that holds a [`crate::ThrownException`], or, when the exception belongs to another store or is not kept
    /// any more, another.
    pub fn throw<R>(&mut self, exception: ExnRef) -> Result<R> {
        self.0.opaque.throw(exception)
    }

    /// Takes the exception that left a guest or was thrown by [`StoreContextMut::throw`] last, if it was not taken yet and has not gone on to
    /// a guest.
    pub fn take_pending_exception(&mut self) -> Option<ExnRef> {
        self.0.opaque.take_pending_exception()
    }

    /// Whether [`StoreContextMut::take_pending_exception`] has one to give.
    pub fn has_pending_exception(&self) -> bool {
        self.0.opaque.has_pending_exception()
    }

    pub(crate) fn opaque(&self) -> &StoreOpaque {
        &self.0.opaque
    }

    pub(crate) fn opaque_mut(&mut self) -> &mut StoreOpaque {
        &mut self.0.opaque
    }

    pub(crate) fn into_opaque_mut(self) -> &'a mut StoreOpaque {
        &mut self.0.opaque
    }
}

/// What can be borrowed as a store: [`Store`], [`StoreContext`], [`StoreContextMut`], [`crate::Caller`], references to them.
pub trait AsContext {
    /// The type of the store's data.
    type Data: 'static;

    /// Borrows the store.
    fn as_context(&self) -> StoreContext<'_, Self::Data>;
}

/// What can be borrowed exclusively as a store.
pub trait AsContextMut: AsContext {
    /// Borrows the store exclusively.
    fn as_context_mut(&mut self) -> StoreContextMut<'_, Self::Data>;
}

impl<T> AsContext for Store<T> {
    type Data = T;

    #[inline]
    fn as_context(&self) -> StoreContext<'_, T> {
        StoreContext(self.inner())
    }
}

impl<T> AsContextMut for Store<T> {
    #[inline]
    fn as_context_mut(&mut self) -> StoreContextMut<'_, T> {
        StoreContextMut(self.inner_mut())
    }
}

impl<T> AsContext for StoreContext<'_, T> {
    type Data = T;

    #[inline]
    fn as_context(&self) -> StoreContext<'_, T> {
        *self
    }
}

impl<T> AsContext for StoreContextMut<'_, T> {
    type Data = T;

    #[inline]
    fn as_context(&self) -> StoreContext<'_, T> {
        StoreContext(self.0)
    }
}

impl<T> AsContextMut for StoreContextMut<'_, T> {
    #[inline]
    fn as_context_mut(&mut self) -> StoreContextMut<'_, T> {
        StoreContextMut(self.0)
    }
}

impl<C: AsContext> AsContext for &C {
    type Data = C::Data;

    #[inline]
    fn as_context(&self) -> StoreContext<'_, C::Data> {
        C::as_context(self)
    }
}

impl<C: AsContext> AsContext for &mut C {
    type Data = C::Data;

    #[inline]
    fn as_context(&self) -> StoreContext<'_, C::Data> {
        C::as_context(self)
    }
}

impl<C: AsContextMut> AsContextMut for &mut C {
    #[inline]
    fn as_context_mut(&mut self) -> StoreContextMut<'_, C::Data> {
        C::as_context_mut(self)
    }
}
