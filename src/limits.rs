//! Limits on what a store's guests may allocate: [`ResourceLimiter`] and its ready-made form [`StoreLimits`].
//!
//! The store asks before a memory or table is created or grows, and before it takes another instance, memory or table. The
//! answer comes from the store's data ([`crate::Store::limiter`]), so that a host can change limits as it goes.

use crate::Result;

/// Number of instances a store may have by default.
pub const DEFAULT_INSTANCE_LIMIT: usize = 10_000;
/// Number of tables a store may have by default.
pub const DEFAULT_TABLE_LIMIT: usize = 10_000;
/// Number of memories a store may have by default.
pub const DEFAULT_MEMORY_LIMIT: usize = 10_000;

/// Decides whether a store's memories and tables may grow, and how many objects it may hold.
///
/// Creating a memory or table asks like growing from size 0. A limiter answers `Ok(false)` to refuse (`memory.grow` then
/// gives -1, creating fails) or an error, which ends the guest as a trap would and comes out of the outer call.
///
/// # Examples
///
/// A host that lets all memories of a store grow to 16 MiB together:
///
/// ```
/// # use crescendo::{Engine, ResourceLimiter, Result, Store};
/// #[derive(Default)]
/// struct Budget { used: usize }
///
/// impl ResourceLimiter for Budget {
///     fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> Result<bool> {
///         let used = self.used + (desired - current);
///         let fits = used <= 16 << 20;
///         if fits {
///             self.used = used;
///         }
///         Ok(fits)
///     }
///
///     fn table_growing(&mut self, _current: usize, _desired: usize, _maximum: Option<usize>) -> Result<bool> {
///         Ok(true)
///     }
/// }
///
/// let mut store = Store::new(&Engine::default(), Budget::default());
/// store.limiter(|budget| budget);
/// ```
pub trait ResourceLimiter {
    /// Asked before a memory grows from `current` to `desired` bytes; `maximum` is what its type declares, in bytes. All
    /// are multiples of the page size. Growth past `maximum` is refused even if this says yes.
    ///
    /// # Errors
    ///
    /// An error ends the guest and comes out of the call that started it.
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool>;

    /// Told when growth that was allowed failed after all: past the declared maximum, or the system had no memory left.
    ///
    /// # Errors
    ///
    /// An error ends the guest; by default the growth just gives -1.
    fn memory_grow_failed(&mut self, error: crate::Error) -> Result<()> {
        let _ = error;
        Ok(())
    }

    /// Asked before a table grows from `current` to `desired` elements; `maximum` is what its type declares.
    ///
    /// # Errors
    ///
    /// An error ends the guest and comes out of the call that started it.
    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool>;

    /// Told when growth that was allowed failed after all: past the declared maximum, or the system had no memory left.
    ///
    /// # Errors
    ///
    /// An error ends the guest; by default the growth just gives -1.
    fn table_grow_failed(&mut self, error: crate::Error) -> Result<()> {
        let _ = error;
        Ok(())
    }

    /// How many instances the store may create over its life. Read when the limiter is installed.
    fn instances(&self) -> usize {
        DEFAULT_INSTANCE_LIMIT
    }

    /// How many tables the store may create over its life. Read when the limiter is installed.
    fn tables(&self) -> usize {
        DEFAULT_TABLE_LIMIT
    }

    /// How many memories the store may create over its life. Read when the limiter is installed.
    fn memories(&self) -> usize {
        DEFAULT_MEMORY_LIMIT
    }
}

/// Fixed limits: a [`ResourceLimiter`] made with [`StoreLimitsBuilder`].
///
/// # Examples
///
/// ```
/// # use crescendo::{Engine, Memory, MemoryType, Store, StoreLimits, StoreLimitsBuilder};
/// # fn main() -> crescendo::Result<()> {
/// let limits = StoreLimitsBuilder::new().memory_size(1 << 20).instances(2).build();
/// let mut store = Store::new(&Engine::default(), limits);
/// store.limiter(|limits| limits);
///
/// let memory = Memory::new(&mut store, MemoryType::new(1, None))?;
/// assert_eq!(memory.grow(&mut store, 15)?, 1);
/// assert!(memory.grow(&mut store, 1).is_err(), "a 17th page is past the limit of 1 MiB");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct StoreLimits {
    memory_size: Option<usize>,
    table_elements: Option<usize>,
    instances: usize,
    tables: usize,
    memories: usize,
    trap_on_grow_failure: bool,
}

impl Default for StoreLimits {
    fn default() -> StoreLimits {
        StoreLimits {
            memory_size: None,
            table_elements: None,
            instances: DEFAULT_INSTANCE_LIMIT,
            tables: DEFAULT_TABLE_LIMIT,
            memories: DEFAULT_MEMORY_LIMIT,
            trap_on_grow_failure: false,
        }
    }
}

/// Builds [`StoreLimits`]. What is not set stays unlimited (sizes) or at 10,000 (counts).
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct StoreLimitsBuilder {
    limits: StoreLimits,
}

impl StoreLimitsBuilder {
    /// A builder without limits on sizes, and with the default limits on counts.
    pub fn new() -> StoreLimitsBuilder {
        StoreLimitsBuilder::default()
    }

    /// The most bytes that each linear memory may have. Growth past it is refused.
    pub fn memory_size(mut self, bytes: usize) -> StoreLimitsBuilder {
        self.limits.memory_size = Some(bytes);
        self
    }

    /// The most elements that each table may have. Growth past it is refused.
    pub fn table_elements(mut self, elements: usize) -> StoreLimitsBuilder {
        self.limits.table_elements = Some(elements);
        self
    }

    /// The most instances that the store may create.
    pub fn instances(mut self, count: usize) -> StoreLimitsBuilder {
        self.limits.instances = count;
        self
    }

    /// The most tables that the store may create.
    pub fn tables(mut self, count: usize) -> StoreLimitsBuilder {
        self.limits.tables = count;
        self
    }

    /// The most linear memories that the store may create.
    pub fn memories(mut self, count: usize) -> StoreLimitsBuilder {
        self.limits.memories = count;
        self
    }

    /// Whether a growth that these limits refuse, or that fails for want of memory, ends the guest with an error instead of
    /// giving it -1. Off by default.
    pub fn trap_on_grow_failure(mut self, trap: bool) -> StoreLimitsBuilder {
        self.limits.trap_on_grow_failure = trap;
        self
    }

    /// The finished limits.
    pub fn build(self) -> StoreLimits {
        self.limits
    }
}

impl StoreLimits {
    /// The answer to a growth to `desired` under `limit`; `unit` is for the message.
    fn allows(
        &self,
        what: &str,
        unit: &str,
        desired: usize,
        limit: Option<usize>,
        maximum: Option<usize>,
    ) -> Result<bool> {
        let within = |bound: Option<usize>| bound.is_none_or(|bound| desired <= bound);
        // The declared maximum counts here only for the error: the store refuses such a growth anyway.
        if self.trap_on_grow_failure {
            if let Some(limit) = limit
                && desired > limit
            {
                return Err(crate::error::limit!("{what} of {desired} {unit}, the store's limit is {limit}"));
            }
            if let Some(maximum) = maximum
                && desired > maximum
            {
                return Err(crate::error::limit!("{what} of {desired} {unit}, its maximum is {maximum}"));
            }
        }
        Ok(within(limit) && within(maximum))
    }

    /// What a failed growth turns into.
    fn failed(&self, error: crate::Error) -> Result<()> {
        if self.trap_on_grow_failure {
            Err(error.context("forcing a failed growth to be an error"))
        } else {
            Ok(())
        }
    }
}

impl ResourceLimiter for StoreLimits {
    fn memory_growing(&mut self, _current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        self.allows("a memory", "bytes", desired, self.memory_size, maximum)
    }

    fn memory_grow_failed(&mut self, error: crate::Error) -> Result<()> {
        self.failed(error)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        self.allows("a table", "elements", desired, self.table_elements, maximum)
    }

    fn table_grow_failed(&mut self, error: crate::Error) -> Result<()> {
        self.failed(error)
    }

    fn instances(&self) -> usize {
        self.instances
    }

    fn tables(&self) -> usize {
        self.tables
    }

    fn memories(&self) -> usize {
        self.memories
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_up_to_the_limit_is_allowed() {
        let mut limits = StoreLimitsBuilder::new().memory_size(100).table_elements(10).build();
        for (desired, allowed) in [(0, true), (100, true), (101, false), (usize::MAX, false)] {
            assert_eq!(limits.memory_growing(0, desired, None).unwrap(), allowed, "{desired} bytes");
        }
        for (desired, allowed) in [(0, true), (10, true), (11, false)] {
            assert_eq!(limits.table_growing(0, desired, None).unwrap(), allowed, "{desired} elements");
        }
        assert!(!limits.memory_growing(0, 50, Some(49)).unwrap(), "the declared maximum counts as well");
        assert!(limits.memory_grow_failed(crate::Error::msg("no memory")).is_ok());
    }

    #[test]
    fn without_limits_everything_is_allowed() {
        let mut limits = StoreLimits::default();
        assert!(limits.memory_growing(0, usize::MAX, None).unwrap());
        assert!(limits.table_growing(0, usize::MAX, None).unwrap());
        assert_eq!((limits.instances(), limits.tables(), limits.memories()), (10_000, 10_000, 10_000));
    }

    #[test]
    fn refused_growth_is_an_error_on_request() {
        let mut limits = StoreLimitsBuilder::new().memory_size(100).trap_on_grow_failure(true).build();
        assert!(limits.memory_growing(0, 100, None).unwrap());
        let error = limits.memory_growing(0, 101, None).unwrap_err();
        assert_eq!(error.to_string(), "a memory of 101 bytes, the store's limit is 100");
        let error = limits.table_growing(0, 9, Some(8)).unwrap_err();
        assert_eq!(error.to_string(), "a table of 9 elements, its maximum is 8");
        assert!(limits.table_grow_failed(crate::Error::msg("no memory")).is_err());
    }
}
