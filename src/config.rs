//! How an engine behaves: [`Config`].
//!
//! Filled in by the embedder, copied by [`crate::Engine::new`] and not changed after. The engine's crates get what concerns
//! them from here: module the proposals and limits, interp the translation options, the store the sizes of stacks.

use crate::{ModuleLimits, Proposal, Tiering, Validation};
use crescendo_interp::{Counting, TranslateOptions, Variant};
use crescendo_module::{ModuleConfig, Proposals};

/// Bytes of the value stack and of native recursion unless [`Config::max_wasm_stack`] says otherwise.
const DEFAULT_MAX_WASM_STACK: usize = 2 << 20;

/// Bytes of bytecode per byte of a function's body unless [`Config::max_bytecode_per_byte`] says otherwise.
const DEFAULT_MAX_BYTECODE_PER_BYTE: u32 = 64;

/// The settings of an [`crate::Engine`].
///
/// # Examples
///
/// ```
/// use crescendo::{Config, Engine, Validation};
///
/// # fn main() -> crescendo::Result<()> {
/// let mut config = Config::new();
/// config.consume_fuel(true).max_wasm_stack(1 << 20).validation(Validation::Lazy).wasm_memory64(false);
/// let engine = Engine::new(&config)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) consume_fuel: bool,
    pub(crate) max_wasm_stack: usize,
    pub(crate) signals_based_traps: bool,
    pub(crate) memory_reservation: bool,
    pub(crate) shared_memory: bool,
    pub(crate) branch_hinting: bool,
    pub(crate) fusion: bool,
    pub(crate) epoch_interruption: bool,
    pub(crate) tiering: Tiering,
    #[cfg(feature = "cranelift")]
    pub(crate) profiler: crate::ProfilingStrategy,
    pub(crate) max_bytecode_per_byte: u32,
    proposals: Proposals,
    validation: Validation,
    limits: ModuleLimits,
}

impl Default for Config {
    fn default() -> Config {
        Config::new()
    }
}

impl Config {
    /// The default settings, which each method's page names.
    pub fn new() -> Config {
        Config {
            consume_fuel: false,
            max_wasm_stack: DEFAULT_MAX_WASM_STACK,
            signals_based_traps: true,
            memory_reservation: true,
            shared_memory: true,
            branch_hinting: false,
            fusion: true,
            epoch_interruption: false,
            tiering: Tiering::default(),
            #[cfg(feature = "cranelift")]
            profiler: crate::ProfilingStrategy::None,
            max_bytecode_per_byte: DEFAULT_MAX_BYTECODE_PER_BYTE,
            proposals: Proposals::default(),
            validation: Validation::Eager,
            limits: ModuleLimits::default(),
        }
    }

    /// Whether guests consume fuel as they run and trap when none is left; see [`crate::Store::set_fuel`]. Off by default:
    /// counting costs time.
    pub fn consume_fuel(&mut self, consume: bool) -> &mut Config {
        self.consume_fuel = consume;
        self
    }

    /// Whether guests look at the engine's epoch at function entries and in loops, and are interrupted when it reaches their
    /// store's deadline; see [`crate::Engine::increment_epoch`] and [`crate::Store::set_epoch_deadline`]. Off by default.
    ///
    /// Cheaper than fuel, and not deterministic: for time limits.
    pub fn epoch_interruption(&mut self, enable: bool) -> &mut Config {
        self.epoch_interruption = enable;
        self
    }

    /// When functions are compiled, and with what limits. Default: [`crate::TieringMode::Dynamic`] with the defaults of
    /// [`Tiering`].
    pub fn tiering(&mut self, tiering: Tiering) -> &mut Config {
        self.tiering = tiering;
        self
    }

    /// How a profiler learns the names of compiled functions. Default: not at all.
    #[cfg(feature = "cranelift")]
    pub fn profiler(&mut self, strategy: crate::ProfilingStrategy) -> &mut Config {
        self.profiler = strategy;
        self
    }

    /// How many bytes of stack a store's guests may use. Default 2 MiB.
    ///
    /// Bounds the frames of wasm functions (a slot of 8 bytes per local and operand, and four per call) and, on its own,
    /// the native stack that calls from the host into wasm and back pile up. The second is also bounded by what the calling
    /// thread has. What exceeds a bound is a trap, [`crate::TrapCode::StackOverflow`].
    pub fn max_wasm_stack(&mut self, bytes: usize) -> &mut Config {
        self.max_wasm_stack = bytes;
        self
    }

    /// Whether the engine may use signals (`SIGSEGV` and others) to find out about traps. On by default.
    ///
    /// Without, no signal handler is installed and every access to memory is checked, which is slower.
    pub fn signals_based_traps(&mut self, enable: bool) -> &mut Config {
        self.signals_based_traps = enable;
        self
    }

    /// Whether 32-bit memories reserve 8 GiB of address space each, so that accesses need no check. On by default. Needs
    /// [`Config::signals_based_traps`]. When the system refuses a reservation, the memory does without.
    pub fn memory_reservation(&mut self, enable: bool) -> &mut Config {
        self.memory_reservation = enable;
        self
    }

    /// Whether shared memories can be made, by guests and by [`crate::SharedMemory::new`]. On by default. Without, modules
    /// with shared memories still validate, if [`Config::wasm_threads`] is on, and cannot be instantiated.
    pub fn shared_memory(&mut self, enable: bool) -> &mut Config {
        self.shared_memory = enable;
        self
    }

    /// Whether compiled code is laid out by the hints of the custom section `metadata.code.branch_hint` (the branch hinting
    /// proposal). Off by default, as in wasmtime. Hints never change what a guest does.
    pub fn wasm_branch_hinting(&mut self, enable: bool) -> &mut Config {
        self.branch_hinting = enable;
        self
    }

    /// Whether bytecode uses superinstructions and keeps locals in registers. On by default. Without, there is one
    /// instruction per wasm operator: slower, and what a debugger wants.
    pub fn fusion(&mut self, enable: bool) -> &mut Config {
        self.fusion = enable;
        self
    }

    /// When function bodies are validated. Default [`Validation::Eager`].
    pub fn validation(&mut self, validation: Validation) -> &mut Config {
        self.validation = validation;
        self
    }

    /// How large modules may be. A module past a limit is refused with an error that names it.
    pub fn limits(&mut self, limits: ModuleLimits) -> &mut Config {
        self.limits = limits;
        self
    }

    /// How many bytes of bytecode a byte of a function's body may become at most, beyond an allowance of
    /// 64 KiB. Default 64. A function past the limit
    /// fails when it is called first.
    pub fn max_bytecode_per_byte(&mut self, bytes: u32) -> &mut Config {
        self.max_bytecode_per_byte = bytes;
        self
    }

    /// Whether the relaxed SIMD operators have the results of the specification's deterministic profile, on every machine.
    ///
    /// They always have, whatever is set here: both tiers must agree, and on the machines that the engine runs on the
    /// profile costs little.
    pub fn relaxed_simd_deterministic(&mut self, _enable: bool) -> &mut Config {
        self
    }

    /// Allows or forbids a proposal by name. Proposals that the engine does not support stay forbidden.
    pub fn wasm_proposal(&mut self, proposal: Proposal, allow: bool) -> &mut Config {
        self.proposals.set(proposal, allow);
        self
    }

    /// What `crescendo_module` needs to know.
    pub(crate) fn module_config(&self) -> ModuleConfig {
        ModuleConfig { features: self.proposals, validation: self.validation, limits: self.limits.clone() }
    }

    /// What `crescendo_interp` needs to know for one function.
    ///
    /// `tiered`: whether there is a compiler for hot functions.
    pub(crate) fn translate_options(&self, variant: Variant, tiered: bool) -> TranslateOptions {
        let counting = (tiered && self.tiering.counts())
            .then_some(Counting { calls: self.tiering.calls, iterations: self.tiering.iterations });
        TranslateOptions {
            variant,
            fuse: self.fusion,
            fuel: self.consume_fuel,
            epochs: self.epoch_interruption,
            counting,
            max_bytecode_per_byte: self.max_bytecode_per_byte,
        }
    }

    /// Whether memories may be guarded, and instances run without checks.
    pub(crate) fn guarded_memories(&self) -> bool {
        self.signals_based_traps && self.memory_reservation
    }
}

macro_rules! proposals {
    ($($name:ident, $words:literal $(, $note:literal)?;)*) => {
        /// Proposals. All of these are allowed by default unless their page says otherwise. A module that uses a forbidden one is refused with an error that names it.
        impl Config {
            $(
                #[doc = concat!("Allows or forbids the ", $words, " proposal." $(, " ", $note)?)]
                pub fn $name(&mut self, allow: bool) -> &mut Config {
                    self.proposals.$name(allow);
                    self
                }
            )*
        }
    };
}

proposals! {
    wasm_mutable_global, "mutable globals";
    wasm_sign_extension, "sign extension";
    wasm_saturating_float_to_int, "saturating float to int";
    wasm_multi_value, "multi-value";
    wasm_bulk_memory, "bulk memory";
    wasm_reference_types, "reference types";
    wasm_tail_call, "tail call";
    wasm_extended_const, "extended const";
    wasm_multi_memory, "multi-memory";
    wasm_memory64, "memory64";
    wasm_function_references, "typed function references";
    wasm_simd, "SIMD";
    wasm_relaxed_simd, "relaxed SIMD";
    wasm_wide_arithmetic, "wide arithmetic", "Forbidden by default.";
    wasm_custom_page_sizes, "custom page sizes", "Forbidden by default.";
    wasm_threads, "threads";
    wasm_exceptions, "exception handling";
    wasm_legacy_exceptions, "legacy exception handling", "Forbidden by default.";
}
