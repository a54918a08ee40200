//! What an engine's modules share for compiling: [`EngineTiering`].

use super::compile::Target;
use super::low::Gain;
use super::queue::{Priority, Queue, Work};
use super::retire::{Activity, Retired};
use super::signatures::{Kind, Signatures};
use crate::Config;
use crate::builtins;
use crate::error::{Error, Result};
use crate::module::{Module, WeakModule};
use crate::tiering::settings::{Tiering, TieringMode, available_processors};
use crescendo_code::NativeCode;
use crescendo_jit::{Compiler, CompilerOptions, Scratch, Support};
use crescendo_module::{TypeId, TypeRegistry};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// The compiler of an engine and what belongs to it. Cranelift is not touched before something is hot.
pub(crate) struct EngineTiering {
    settings: Tiering,
    options: CompilerOptions,
    compiler: OnceLock<Option<Compiler>>,
    signatures: Signatures,
    pub(super) queue: Queue,
    /// Functions that take so long to compile that nothing hot should wait for them, unless the number of threads is given.
    background: Option<Queue>,
    /// Bytes of native code that all modules have, code that waits to be freed included.
    code_bytes: AtomicUsize,
    /// What was compiled, in that order.
    compiled: Mutex<VecDeque<(WeakModule, Target)>>,
    retired: Retired,
}

/// Bytes of the largest body that is compiled in turn. Larger ones, which take 40 ms and more, have a thread of low priority of
/// their own: where the guest and the compiler have a processor each it runs when the others wait. In a synthesis by yosys three such
/// functions took 2 s of the compiler's first 2.2 s, in which nothing else was compiled: with this thread, and with a rank that
/// follows the calls of functions that wait, it takes 4.92 s instead of 5.32 s (thresholds of 300 calls; medians of 5).
pub(super) const LARGE: usize = 16 << 10;

/// The part of the code budget that is made free at once when it is used up.
const FREED_PART: usize = 8;

impl EngineTiering {
    /// The tiering of an engine with these settings; `None` when it only interprets. Executable memory is not asked for before
    /// something is hot; where the system refuses it, everything stays interpreted.
    pub(crate) fn new(config: &Config) -> Option<EngineTiering> {
        let settings = config.tiering.clone();
        if settings.mode == TieringMode::InterpreterOnly || !cfg!(target_arch = "x86_64") {
            return None;
        }
        let support = crescendo_interp::native_support();
        let address = |pointer: *const u8| pointer.expose_provenance();
        let support = Support {
            builtin: address(support.builtin),
            trap: address(support.trap),
            interpret: address(support.interpret),
            host_failed: address(support.host_failed),
            copy: address(builtins::copy_bytes as *const u8),
            fill: address(builtins::fill_bytes as *const u8),
            halt_cell: address(support.halt_cell),
        };
        let queue = Queue::new(Priority::Normal, {
            let settings = settings.clone();
            move || settings.worker_count()
        });
        let background = settings.workers.is_none().then(|| Queue::new(Priority::Low, || 1));
        if let Some(background) = &background {
            queue.look_after(background);
        }
        Some(EngineTiering {
            queue,
            background,
            settings,
            options: compiler_options(config, support),
            compiler: OnceLock::new(),
            signatures: Signatures::new().ok()?,
            code_bytes: AtomicUsize::new(0),
            compiled: Mutex::default(),
            retired: Retired::default(),
        })
    }

    /// The tables of thunks to interpreted functions, to host functions, and from the host, for stores.
    pub(crate) fn thunk_tables(&self) -> [*const *const u8; 3] {
        self.signatures.tables()
    }

    pub(crate) fn settings(&self) -> &Tiering {
        &self.settings
    }

    /// Has a function compiled whose body has so many bytes. Gives the work back when no thread can be started.
    pub(super) fn push(&self, bytes: usize, heat: u64, work: Work) -> Result<(), Work> {
        if bytes > LARGE {
            self.push_background(Gain::First, heat, work)
        } else {
            self.queue.push(heat, work)
        }
    }

    /// Has something compiled that nothing else should wait for; the rest as for [`EngineTiering::push`].
    ///
    /// The thread for it is started by one that compiles, on two processors when that has nothing else to do: the system lets a
    /// thread that is new run until the next tick, 4 ms, whatever its priority, and no guest should stand still for it.
    pub(super) fn push_background(&self, gain: Gain, heat: u64, work: Work) -> Result<(), Work> {
        let Some(background) = &self.background else { return self.queue.push(heat, work) };
        if background.requests_worker() {
            let (queue, background) = (self.queue.clone(), background.clone());
            let starts = self.queue.push(
                u64::MAX,
                Box::new(move |_| {
                    if available_processors() > 2 {
                        return start_background(&queue, &background);
                    }
                    let idle = queue.clone();
                    // This thread will look for what is idle.
                    let _ = idle.push_idle(Box::new(move |_| start_background(&queue, &background)));
                }),
            );
            if starts.is_err() {
                return Err(work);
            }
        }
        background.push_for_worker(gain, heat, work);
        if !self.queue.has_worker() {
            // Somebody has to look after it.
            let _ = self.queue.push_idle(Box::new(|_| ()));
        }
        Ok(())
    }

    pub(crate) fn signatures(&self) -> &Signatures {
        &self.signatures
    }

    /// The compiler.
    ///
    /// # Errors
    ///
    /// When Cranelift cannot compile for this machine.
    pub(super) fn compiler(&self) -> Result<&Compiler> {
        let compiler = self.compiler.get_or_init(|| Compiler::new(self.options).ok());
        compiler.as_ref().ok_or_else(|| Error::msg("there is no compiler for this machine"))
    }

    /// Makes the thunks that code needs: to be entered by calls if it is of a function of type `own`, and to call functions of these
    /// types.
    ///
    /// # Errors
    ///
    /// When one cannot be made.
    pub(super) fn ensure_thunks(
        &self,
        types: &TypeRegistry,
        own: Option<TypeId>,
        called: &[TypeId],
        scratch: &mut Scratch,
    ) -> Result<()> {
        let compiler = self.compiler()?;
        let own = own.iter().map(|ty| (Kind::Entry, *ty));
        let called = called.iter().map(|ty| (Kind::Call, *ty));
        own.chain(called)
            .try_for_each(|(kind, ty)| self.signatures.ensure(kind, ty, types, compiler, scratch))
    }

    /// Counts code that was made.
    pub(super) fn add_code(&self, module: &Module, target: Target, bytes: usize) {
        self.code_bytes.fetch_add(bytes, Ordering::Relaxed);
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        compiled.push_back((module.downgrade(), target));
    }

    /// Makes a store known that is going to run wasm.
    pub(crate) fn add_store(&self) -> Activity {
        self.retired.add_store()
    }

    /// Counts code that is gone.
    pub(super) fn remove_code(&self, bytes: usize) {
        self.code_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Whether there is room for more code. If not, the oldest code makes some: it is retired now and free when no store
    /// can be running it.
    pub(super) fn has_room(&self) -> bool {
        if self.fits() {
            return true;
        }
        self.remove_code(self.retired.free());
        if self.fits() {
            return true;
        }
        let mut wanted = self.settings.code_budget / FREED_PART + 1;
        while wanted > 0 {
            let oldest = self.compiled.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some((module, target)) = oldest else { break };
            let code = module.upgrade().and_then(|module| super::install::evict(&module, target));
            wanted = wanted.saturating_sub(code.as_ref().map_or(0, |code| code.len()));
            self.retire(code);
        }
        self.remove_code(self.retired.free());
        self.fits()
    }

    /// Keeps code that no record leads to any more until nobody runs it.
    pub(super) fn retire(&self, code: Option<Arc<NativeCode>>) {
        if code.is_some() {
            self.retired.retire(code);
        }
    }

    fn fits(&self) -> bool {
        self.code_bytes.load(Ordering::Relaxed) < self.settings.code_budget
    }
}

impl Drop for EngineTiering {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(background) = &self.background {
            background.close();
        }
    }
}

/// Starts the thread of the background. Where the system refuses it, what waits is done with the rest.
fn start_background(queue: &Queue, background: &Queue) {
    for (heat, work) in background.start_worker(queue.processors()) {
        // The thread that runs this takes it.
        let _ = queue.push(heat, work);
    }
}

/// How an engine with these settings compiles.
pub(super) fn compiler_options(config: &Config, support: Support) -> CompilerOptions {
    CompilerOptions {
        fuel: config.consume_fuel,
        epochs: config.epoch_interruption,
        branch_hints: config.branch_hinting,
        support,
    }
}
