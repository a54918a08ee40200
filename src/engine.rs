//! What all stores and modules of an embedder share: [`Engine`].
//!
//! Owns the configuration, the registry of types, and scratch memory for translation. Making one prepares the process: it
//! registers the handlers' code and installs the signal handlers.

use crate::runtime::Pool;
use crate::tiering::EngineTiering;
use crate::{Config, Result, builtins};
use crescendo_abi::VmBuiltins;
use crescendo_interp::Arena;
use crescendo_module::{FuncValidatorAllocations, TypeRegistry};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::ThreadId;

/// The configuration and the caches that modules and stores share. Cheap to clone: clones are the same engine.
///
/// # Examples
///
/// ```
/// use crescendo::{Config, Engine};
///
/// # fn main() -> crescendo::Result<()> {
/// let engine = Engine::new(Config::new().wasm_tail_call(false))?;
/// assert!(engine.same(&engine.clone()) && !engine.same(&Engine::default()));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Engine {
    inner: Arc<EngineInner>,
}

struct EngineInner {
    config: Config,
    types: TypeRegistry,
    /// With the thread that used it last.
    scratch: Mutex<Vec<(ThreadId, Scratch)>>,
    pool: Pool,
    /// `None` when everything is interpreted.
    tiering: Option<EngineTiering>,
    epoch: AtomicU64,
}

/// Memory that translating a function needs and the next function can use again.
#[derive(Default)]
pub(crate) struct Scratch {
    pub(crate) arena: Arena,
    pub(crate) validator: FuncValidatorAllocations,
}

impl Engine {
    /// An engine with these settings.
    ///
    /// # Errors
    ///
    /// When the CPU lacks a feature of the baseline (x86-64-v2), or the signal handlers that
    /// [`Config::signals_based_traps`] needs cannot be installed.
    pub fn new(config: &Config) -> Result<Engine> {
        if let Some(feature) = crescendo_code::missing_cpu_feature() {
            return Err(crate::error::limit!("this CPU lacks {feature}, which the interpreter needs"));
        }
        if config.signals_based_traps {
            prepare_process()?;
        }
        Ok(Engine::with_config(config.clone()))
    }

    fn with_config(config: Config) -> Engine {
        let tiering = EngineTiering::new(&config);
        let (types, scratch) = (TypeRegistry::new(), Mutex::new(Vec::new()));
        let epoch = AtomicU64::new(0);
        let pool = Pool::default();
        Engine { inner: Arc::new(EngineInner { config, types, scratch, pool, tiering, epoch }) }
    }

    /// Whether the engine compiles what is hot: in all modes but [`crate::TieringMode::InterpreterOnly`], on machines that the
    /// compiler supports, in builds with the feature `cranelift`.
    pub fn compiles(&self) -> bool {
        self.tiering().is_some()
    }

    /// Begins the next epoch: guests whose store's deadline is reached are interrupted soon, if
    /// [`Config::epoch_interruption`] is on. May be called from any thread and from signal handlers; takes a nanosecond.
    pub fn increment_epoch(&self) {
        self.inner.epoch.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn epoch(&self) -> &AtomicU64 {
        &self.inner.epoch
    }

    /// What compiles hot functions; `None` when everything is interpreted.
    pub(crate) fn tiering(&self) -> Option<&EngineTiering> {
        self.inner.tiering.as_ref()
    }

    /// Whether both are clones of one engine.
    pub fn same(&self, other: &Engine) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    #[inline]
    pub(crate) fn config(&self) -> &Config {
        &self.inner.config
    }

    /// The stacks and memories that dropped stores have left.
    pub(crate) fn pool(&self) -> &Pool {
        &self.inner.pool
    }

    pub(crate) fn types(&self) -> &TypeRegistry {
        &self.inner.types
    }

    /// The table that every context points to.
    pub(crate) fn builtins() -> &'static VmBuiltins {
        &builtins::TABLE
    }

    /// Lends scratch memory to `use_it`. There is one more at most than translations were under way at once; none is kept by threads. A
    /// thread gets what it used before: the C library's allocator would have it wait for the other thread otherwise, whose memory it
    /// is (Lua's start: four times, 50 µs or more each).
    pub(crate) fn with_scratch<R>(&self, use_it: impl FnOnce(&mut Scratch) -> R) -> R {
        let lock = || self.inner.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        let thread = std::thread::current().id();
        let scratch = {
            let mut all = lock();
            let own = all.iter().position(|(owner, _)| *owner == thread);
            own.or(all.len().checked_sub(2)).map(|index| all.swap_remove(index).1)
        };
        let mut scratch = scratch.unwrap_or_default();
        let result = use_it(&mut scratch);
        lock().push((thread, scratch));
        result
    }
}

impl Default for Engine {
    /// An engine with the default settings. Where signal handlers cannot be installed, it does without.
    fn default() -> Engine {
        let mut config = Config::new();
        config.signals_based_traps(prepare_process().is_ok());
        Engine::with_config(config)
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("config", &self.inner.config).finish_non_exhaustive()
    }
}

/// Makes faults of guests traps, in the whole process. Done once; an error is tried again.
fn prepare_process() -> Result<()> {
    static READY: OnceLock<()> = OnceLock::new();
    if READY.get().is_none() {
        // SAFETY: the rows were proved when the handlers were built (`crescendo_interp`), and handlers run only under
        // `crescendo_interp::run`, which sets `entry_sp`.
        unsafe { crescendo_code::register_text(crescendo_interp::handler_text()) };
        crescendo_code::install_trap_handlers()?;
        READY.get_or_init(|| ());
    }
    Ok(())
}
