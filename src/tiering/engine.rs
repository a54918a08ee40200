//! What an engine's modules share for compiling: [`EngineTiering`].

use super::queue::Queue;
use super::settings::{Tiering, TieringMode};
use super::signatures::Signatures;
use crate::Config;
use crate::error::{Error, Result};
use crescendo_jit::{Compiler, CompilerOptions, Scratch, Support};
use crescendo_module::{TypeId, TypeRegistry};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The compiler of an engine and what belongs to it. Cranelift is not touched before something is hot.
pub(crate) struct EngineTiering {
    settings: Tiering,
    options: CompilerOptions,
    compiler: OnceLock<Option<Compiler>>,
    signatures: Signatures,
    pub(super) queue: Queue,
    /// Bytes of native code that all modules have.
    code_bytes: AtomicUsize,
}

impl EngineTiering {
    /// The tiering of an engine with these settings; `None` when it only interprets, as it must where the system refuses
    /// executable memory.
    pub(crate) fn new(config: &Config) -> Option<EngineTiering> {
        let settings = config.tiering.clone();
        if settings.mode == TieringMode::InterpreterOnly || !cfg!(target_arch = "x86_64") {
            return None;
        }
        crescendo_code::ensure_native_memory().ok()?;
        let support = crescendo_interp::native_support();
        let address = |pointer: *const u8| pointer.expose_provenance();
        let support = Support {
            builtin: address(support.builtin),
            trap: address(support.trap),
            leave: address(support.leave),
            halt_cell: address(support.halt_cell),
        };
        let options =
            CompilerOptions { fuel: config.consume_fuel, epochs: config.epoch_interruption, support };
        Some(EngineTiering {
            queue: Queue::new(settings.worker_count()),
            settings,
            options,
            compiler: OnceLock::new(),
            signatures: Signatures::new().ok()?,
            code_bytes: AtomicUsize::new(0),
        })
    }

    pub(crate) fn settings(&self) -> &Tiering {
        &self.settings
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

    /// Makes the thunks of these types.
    ///
    /// # Errors
    ///
    /// When one cannot be made.
    pub(super) fn ensure_thunks(
        &self,
        types: &TypeRegistry,
        wanted: &[TypeId],
        scratch: &mut Scratch,
    ) -> Result<()> {
        let compiler = self.compiler()?;
        wanted.iter().try_for_each(|ty| self.signatures.ensure(*ty, types, compiler, scratch))
    }

    /// Counts code that was made.
    pub(super) fn add_code(&self, bytes: usize) {
        self.code_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts code that is gone.
    pub(super) fn remove_code(&self, bytes: usize) {
        self.code_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Whether there is room for more code.
    pub(super) fn has_room(&self) -> bool {
        self.code_bytes.load(Ordering::Relaxed) < self.settings.code_budget
    }
}

impl Drop for EngineTiering {
    fn drop(&mut self) {
        self.queue.close();
    }
}
