//! Stores: who owns the state of running guests.
//!
//! | type | what |
//! |---|---|
//! | [`Store`] | the owner that the embedder holds: objects, data, limiter |
//! | [`StoreContext`], [`StoreContextMut`], [`AsContext`], [`AsContextMut`] | borrows of it |
//! | `StoreInner` | what a borrow points to |
//! | `StoreOpaque` | the objects, without the type of the data |
//! | `StoreHeader` | what contexts point to: for generated code and builtins |
//! | `InFlight`, `Pins` | an exception on its way, exceptions that the host refers to |
//! | `Stored` | an object's address, valid with its store only |

mod context;
mod exceptions;
mod handle;
mod opaque;

pub use context::{AsContext, AsContextMut, StoreContext, StoreContextMut};
pub(crate) use exceptions::{InFlight, Pins};
pub(crate) use handle::{StoreId, Stored, wrong_store};
pub(crate) use opaque::{AnyStore, Failure, NativeStack, StoreHeader, StoreOpaque};

use crate::limits::ResourceLimiter;
use crate::{Engine, ExnRef, Result};

/// Owns everything that guests allocate, and the host's data.
///
/// Instances, functions, memories, tables and globals are freed together when the store is dropped, not before: a host that
/// runs many short guests makes a store for each. A store is used by one thread at a time; it may move to another thread
/// between calls when `T` is `Send`.
///
/// # Examples
///
/// ```
/// use crescendo::{Engine, Store};
///
/// let mut store = Store::new(&Engine::default(), vec!["first"]);
/// store.data_mut().push("second");
/// assert_eq!(store.into_data(), ["first", "second"]);
/// ```
pub struct Store<T: 'static> {
    inner: Box<StoreInner<T>>,
}

/// Gives a store's limiter out of the store's data.
type LimiterFn<T> = Box<dyn (FnMut(&mut T) -> &mut dyn ResourceLimiter) + Send + Sync>;

/// What a [`Store`] owns.
pub(crate) struct StoreInner<T: 'static> {
    pub(crate) opaque: StoreOpaque,
    limiter: Option<LimiterFn<T>>,
    epoch_callback: Option<EpochFn<T>>,
    pub(crate) data: T,
}

/// Decides what happens when a store's epoch deadline is reached.
type EpochFn<T> = Box<dyn FnMut(StoreContextMut<'_, T>) -> Result<UpdateDeadline> + Send + Sync>;

/// What happens to a guest whose store's epoch deadline is reached; see [`Store::epoch_deadline_callback`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UpdateDeadline {
    /// It goes on until the epoch is so many steps further.
    Continue(u64),
    /// It is interrupted: [`crate::TrapCode::Interrupt`].
    Interrupt,
}

impl<T> StoreInner<T> {
    /// The store's objects, and its limiter if it has one.
    pub(crate) fn parts(&mut self) -> (&mut StoreOpaque, Option<&mut dyn ResourceLimiter>) {
        let limiter = match &mut self.limiter {
            Some(limiter) => Some(limiter(&mut self.data)),
            None => None,
        };
        (&mut self.opaque, limiter)
    }
}

impl<T> AnyStore for StoreInner<T> {
    fn objects(&mut self) -> &mut StoreOpaque {
        &mut self.opaque
    }

    fn parts(&mut self) -> (&mut StoreOpaque, Option<&mut dyn ResourceLimiter>) {
        StoreInner::parts(self)
    }

    fn epoch_deadline_reached(&mut self) -> Result<UpdateDeadline> {
        let Some(mut callback) = self.epoch_callback.take() else { return Ok(UpdateDeadline::Interrupt) };
        let update = callback(StoreContextMut(self));
        self.epoch_callback.get_or_insert(callback);
        update
    }
}

impl<T> Store<T> {
    /// A store without objects. Cheap: stacks are reserved by the first call.
    pub fn new(engine: &Engine, data: T) -> Store<T> {
        Store {
            inner: Box::new(StoreInner {
                opaque: StoreOpaque::new(engine),
                limiter: None,
                epoch_callback: None,
                data,
            }),
        }
    }

    /// The host's data.
    pub fn data(&self) -> &T {
        &self.inner.data
    }

    /// The host's data, to be changed.
    pub fn data_mut(&mut self) -> &mut T {
        &mut self.inner.data
    }

    /// Drops the store and gives the host's data back.
    pub fn into_data(self) -> T {
        self.inner.data
    }

    /// The engine that the store was made with.
    pub fn engine(&self) -> &Engine {
        self.inner.opaque.engine()
    }

    /// Installs what decides about the growth of memories and tables and about how many objects the store may have.
    ///
    /// `limiter` is called whenever a decision is due and gives the decider out of the store's data. The numbers of
    /// instances, memories and tables are asked for here, once. Objects that exist already stay, and count.
    ///
    /// # Examples
    ///
    /// ```
    /// use crescendo::{Engine, Memory, MemoryType, Store, StoreLimits, StoreLimitsBuilder};
    ///
    /// # fn main() -> crescendo::Result<()> {
    /// let limits = StoreLimitsBuilder::new().memories(1).build();
    /// let mut store = Store::new(&Engine::default(), limits);
    /// store.limiter(|limits| limits);
    /// Memory::new(&mut store, MemoryType::new(1, None))?;
    /// assert!(Memory::new(&mut store, MemoryType::new(1, None)).is_err());
    /// # Ok(())
    /// # }
    /// ```
    pub fn limiter(
        &mut self,
        mut limiter: impl (FnMut(&mut T) -> &mut dyn ResourceLimiter) + Send + Sync + 'static,
    ) {
        let inner = &mut *self.inner;
        inner.opaque.allow(limiter(&mut inner.data));
        inner.limiter = Some(Box::new(limiter));
    }

    /// The fuel left, in units of operator weights.
    ///
    /// # Errors
    ///
    /// When the engine's configuration does not consume fuel; see [`crate::Config::consume_fuel`].
    pub fn get_fuel(&self) -> Result<u64> {
        self.inner.opaque.fuel()
    }

    /// Sets the fuel left. A store starts with none; more than `i64::MAX` counts as `i64::MAX`.
    ///
    /// # Errors
    ///
    /// When the engine's configuration does not consume fuel; see [`crate::Config::consume_fuel`].
    ///
    /// # Examples
    ///
    /// ```
    /// use crescendo::{Config, Engine, Store};
    ///
    /// # fn main() -> crescendo::Result<()> {
    /// let engine = Engine::new(Config::new().consume_fuel(true))?;
    /// let mut store = Store::new(&engine, ());
    /// store.set_fuel(1_000_000)?;
    /// assert_eq!(store.get_fuel()?, 1_000_000);
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_fuel(&mut self, fuel: u64) -> Result<()> {
        self.inner.opaque.set_fuel(fuel)
    }

    /// Interrupts the store's guests, with [`crate::TrapCode::Interrupt`], when the engine's epoch is `ticks` steps further than
    /// now. A store starts with a deadline that is reached; without [`crate::Config::epoch_interruption`] it is not looked at.
    ///
    /// # Examples
    ///
    /// ```
    /// use crescendo::{Config, Engine, Store};
    ///
    /// # fn main() -> crescendo::Result<()> {
    /// let engine = Engine::new(Config::new().epoch_interruption(true))?;
    /// let mut store = Store::new(&engine, ());
    /// store.set_epoch_deadline(1);
    /// // Some other thread: ends calls into this store.
    /// engine.increment_epoch();
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_epoch_deadline(&mut self, ticks: u64) {
        self.inner.opaque.set_epoch_deadline(ticks);
    }

    /// Lets `callback` decide what happens when the epoch deadline is reached, instead of interrupting the guest. It may use
    /// the store, also to call guests.
    ///
    /// An error that it returns ends the guest's call; a panic unwinds out of it and takes the callback along.
    ///
    /// # Examples
    ///
    /// ```
    /// use crescendo::{Config, Engine, Store, UpdateDeadline};
    ///
    /// # fn main() -> crescendo::Result<()> {
    /// let engine = Engine::new(Config::new().epoch_interruption(true))?;
    /// let mut store = Store::new(&engine, 3);
    /// store.epoch_deadline_callback(|mut store| {
    ///     *store.data_mut() -= 1;
    ///     let more = *store.data() > 0;
    ///     Ok(if more { UpdateDeadline::Continue(1) } else { UpdateDeadline::Interrupt })
    /// });
    /// # Ok(())
    /// # }
    /// ```
    pub fn epoch_deadline_callback(
        &mut self,
        callback: impl FnMut(StoreContextMut<'_, T>) -> Result<UpdateDeadline> + Send + Sync + 'static,
    ) {
        self.inner.epoch_callback = Some(Box::new(callback));
    }

    /// Interrupts guests when the epoch deadline is reached, which is what happens by default.
    pub fn epoch_deadline_trap(&mut self) {
        self.inner.epoch_callback = None;
    }

    /// Throws an exception: host functions return the error that this gives, and the exception goes on to the guest that called
    /// them.
    ///
    /// # Errors
    ///
    /// Always: an error that holds a [`crate::ThrownException`], or, when the exception belongs to another store or is not kept
    /// any more, another.
    pub fn throw<R>(&mut self, exception: ExnRef) -> Result<R> {
        self.inner.opaque.throw(exception)
    }

    /// Takes the exception that left a guest or was thrown by [`Store::throw`] last, if it was not taken yet and has not gone on to
    /// a guest.
    pub fn take_pending_exception(&mut self) -> Option<ExnRef> {
        self.inner.opaque.take_pending_exception()
    }

    /// Whether [`Store::take_pending_exception`] has one to give.
    pub fn has_pending_exception(&self) -> bool {
        self.inner.opaque.has_pending_exception()
    }

    pub(crate) fn inner(&self) -> &StoreInner<T> {
        &self.inner
    }

    pub(crate) fn inner_mut(&mut self) -> &mut StoreInner<T> {
        &mut self.inner
    }
}

impl<T: Default> Default for Store<T> {
    /// A store of an engine of its own, which has the default configuration.
    fn default() -> Store<T> {
        Store::new(&Engine::default(), T::default())
    }
}

impl<T: std::fmt::Debug> std::fmt::Debug for Store<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("data", &self.inner.data).finish_non_exhaustive()
    }
}
