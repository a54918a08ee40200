//! The public entry: options, Cranelift's settings, and running it over a function.

use crate::callees::Callees;
use crate::error::{CompileError, Step};
use crate::function::{Buffers, Translator};
use crate::output::{Compiled, collect, refers_outside};
use crate::thunks::{CallThunks, EntryThunks, Maker};
use cranelift_codegen::Context;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::isa::OwnedTargetIsa;
use cranelift_codegen::settings::{self, Configurable};
use cranelift_frontend::FunctionBuilderContext;
use crescendo_abi::{Variant, VmOffsets};
use crescendo_module::{DefinedFuncIdx, FuncType, ModuleInfo};

/// Addresses of assembly routines that native code calls or jumps to. They become constants in the code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Support {
    /// Calls a builtin: `(context, args, a, b, function)` in the C convention. It returns only if the builtin
    /// succeeds.
    pub builtin: usize,
    /// Ends the run with a trap of the caller: `(context, code)` in the C convention. Never returns.
    pub trap: usize,
    /// Runs an interpreted function whose arguments are in slots: `(record, context, fp, halt_cell)` in the C convention. It is 1
    /// when the run ends by a tail call, else 0. It returns only if the function does; the run is that of the newest transition.
    pub interpret: usize,
    /// Ends the run since a host function has failed: `(host context)` in the C convention. Never returns.
    pub host_failed: usize,
    /// Copies bytes that may overlap: `(to, from, length)` in the C convention. Both ranges are in memories.
    pub copy: usize,
    /// Writes a byte again and again: `(to, byte, length)` in the C convention. The range is in a memory.
    pub fill: usize,
    /// The cell that interpreted functions return to whose caller is native code.
    pub halt_cell: usize,
}

/// How to compile, the same for all functions of an engine.
#[derive(Clone, Copy, Debug, Default)]
pub struct CompilerOptions {
    /// Whether fuel is charged.
    pub fuel: bool,
    /// Whether the epoch is compared with the store's deadline.
    pub epochs: bool,
    /// Whether the module's hints say which sides of branches are out of the way.
    pub branch_hints: bool,
    /// What the code calls.
    pub support: Support,
}

/// Where the code is entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// At the function's start, by native calls.
    Call,
    /// At a loop's header, from an interpreted frame of the function whose locals, and operands on the stack,
    /// are in their slots. The code is `(context, fp) -> status` in the `tail` convention: it runs to the end
    /// of the function, leaves the results from slot 0 on and returns [`crescendo_abi::ExitStatus::Return`],
    /// or notes a tail call in the store and returns [`crescendo_abi::ExitStatus::TailCall`]. It preserves
    /// the registers that the C convention preserves.
    Osr {
        /// The module byte offset of the `loop` operator.
        loop_offset: u32,
    },
}

/// How much work the code is worth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OptLevel {
    /// Without Cranelift's optimisations: two thirds of the time.
    None,
    /// With all of them.
    #[default]
    Speed,
}

/// A function to compile.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The function's module.
    pub info: &'a ModuleInfo,
    /// The module's bytes.
    pub bytes: &'a [u8],
    /// The layout of the module's contexts.
    pub offsets: &'a VmOffsets,
    /// The function; its body is valid.
    pub func: DefinedFuncIdx,
    /// The kind of memories that the code runs on.
    pub variant: Variant,
    /// Where it is entered.
    pub entry: Entry,
    /// How it is optimised.
    pub opt_level: OptLevel,
    /// How it calls other functions.
    pub callees: &'a dyn Callees,
}

/// Buffers of the compiler, kept from function to function; each thread that compiles has its own.
pub struct Scratch {
    pub(crate) context: Context,
    pub(crate) builder: FunctionBuilderContext,
    pub(crate) buffers: Buffers,
}

impl Scratch {
    /// Empty buffers.
    pub fn new() -> Scratch {
        Scratch {
            context: Context::new(),
            builder: FunctionBuilderContext::new(),
            buffers: Buffers::default(),
        }
    }
}

impl Default for Scratch {
    fn default() -> Scratch {
        Scratch::new()
    }
}

/// Compiles functions for this machine; one for an engine, used by any number of threads.
pub struct Compiler {
    /// For functions: all registers are Cranelift's.
    functions: OwnedTargetIsa,
    /// For functions that are not optimised.
    quick: OwnedTargetIsa,
    /// For thunks, which keep the interpreter's context in the pinned register. Optimising them makes them no shorter and takes a
    /// third longer, and a short program waits for them.
    thunks: OwnedTargetIsa,
    options: CompilerOptions,
    /// Whether there is an instruction that multiplies and adds.
    fused: bool,
}

/// Most bytes of a native frame where faults are no traps: there the body checks the frame's end, and may
/// have written to the frame before. This much lies below the limit of every stack.
const MAX_FRAME: u32 = 128 << 10;

impl Compiler {
    /// A compiler for the machine that runs this, with all that its processor has.
    ///
    /// # Errors
    /// When Cranelift does not support the machine.
    pub fn new(options: CompilerOptions) -> Result<Compiler, CompileError> {
        let functions = target(false, OptLevel::Speed)?;
        let has_fma =
            functions.isa_flags().iter().any(|flag| flag.name == "has_fma" && flag.as_bool() == Some(true));
        Ok(Compiler {
            functions,
            quick: target(false, OptLevel::None)?,
            thunks: target(true, OptLevel::None)?,
            options,
            fused: has_fma || cfg!(target_arch = "aarch64"),
        })
    }

    /// The options that the compiler was made with.
    pub fn options(&self) -> &CompilerOptions {
        &self.options
    }

    /// Compiles a function.
    ///
    /// # Errors
    /// When the function is too large, or when its body is not valid.
    ///
    /// # Panics
    /// When the module has no such function, or the bytes are not the module's.
    pub fn compile(&self, scratch: &mut Scratch, request: &Request<'_>) -> Result<Compiled, CompileError> {
        self.translate(scratch, request)?;
        let target = self.target(request.opt_level);
        self.generate(target, &mut scratch.context)?;
        let compiled = collect(scratch, request, &**target)?;
        if request.variant == Variant::Checked && compiled.frame_size > MAX_FRAME {
            return Err(CompileError::TooLarge { limit: "the native frame" });
        }
        Ok(compiled)
    }

    /// Compiles the thunks by which compiled functions of a signature are entered.
    ///
    /// # Errors
    /// When the signature has types that are not supported.
    pub fn entry_thunks(&self, scratch: &mut Scratch, ty: &FuncType) -> Result<EntryThunks, CompileError> {
        let generate = |context: &mut Context| self.generate_thunk(context);
        self.maker(scratch, ty, &generate).entries()
    }

    /// Compiles the thunks by which native code calls functions of a signature that are not compiled.
    ///
    /// # Errors
    /// When the signature has types that are not supported.
    pub fn call_thunks(&self, scratch: &mut Scratch, ty: &FuncType) -> Result<CallThunks, CompileError> {
        let generate = |context: &mut Context| self.generate_thunk(context);
        self.maker(scratch, ty, &generate).calls()
    }

    fn maker<'a>(
        &'a self,
        scratch: &'a mut Scratch,
        ty: &'a FuncType,
        generate: &'a dyn Fn(&mut Context) -> Step,
    ) -> Maker<'a> {
        Maker { scratch, ty, support: &self.options.support, target: &*self.thunks, generate }
    }

    /// The function in Cranelift's intermediate representation before it is optimised, with wasm offsets.
    ///
    /// # Errors
    /// As for [`Compiler::compile`].
    ///
    /// # Panics
    /// As for [`Compiler::compile`].
    pub fn clif(&self, scratch: &mut Scratch, request: &Request<'_>) -> Result<String, CompileError> {
        self.translate(scratch, request)?;
        Ok(scratch.context.func.display().to_string())
    }

    /// The function's machine code as text.
    ///
    /// # Errors
    /// As for [`Compiler::compile`].
    ///
    /// # Panics
    /// As for [`Compiler::compile`].
    pub fn assembly(&self, scratch: &mut Scratch, request: &Request<'_>) -> Result<String, CompileError> {
        self.translate(scratch, request)?;
        scratch.context.set_disasm(true);
        self.generate(self.target(request.opt_level), &mut scratch.context)?;
        let code = scratch.context.compiled_code();
        Ok(code.and_then(|code| code.vcode.clone()).unwrap_or_default())
    }

    fn target(&self, opt_level: OptLevel) -> &OwnedTargetIsa {
        match opt_level {
            OptLevel::None => &self.quick,
            OptLevel::Speed => &self.functions,
        }
    }

    /// Builds the function in `scratch.context.func`.
    fn translate(&self, scratch: &mut Scratch, request: &Request<'_>) -> Step {
        let Scratch { context, builder, buffers } = scratch;
        context.clear();
        let result = Translator::new(request, &self.options, self.fused, &mut context.func, builder, buffers)
            .and_then(|translator| translator.run(self.functions.frontend_config()));
        if result.is_err() {
            // A builder that was not finalized leaves its variables behind.
            *builder = FunctionBuilderContext::new();
        }
        result
    }

    fn generate(&self, target: &OwnedTargetIsa, context: &mut Context) -> Step {
        match context.compile(&**target, &mut ControlPlane::default()) {
            Ok(_) => Ok(()),
            Err(error) => Err(CompileError::of_codegen(error.inner)),
        }
    }

    /// Thunks get every address from their arguments or as a constant.
    fn generate_thunk(&self, context: &mut Context) -> Step {
        self.generate(&self.thunks, context)?;
        match context.compiled_code() {
            Some(code) if code.buffer.relocs().is_empty() => Ok(()),
            _ => Err(refers_outside()),
        }
    }
}

/// Cranelift for this machine. The settings are those of wasmtime where they bear on the code.
fn target(pinned_register: bool, opt_level: OptLevel) -> Result<OwnedTargetIsa, CompileError> {
    let host = |message: String| CompileError::Host { message };
    let mut flags = settings::builder();
    let on_off = |on| if on { "true" } else { "false" };
    let opt_level = match opt_level {
        OptLevel::None => "none",
        OptLevel::Speed => "speed",
    };
    for (name, value) in [
        ("opt_level", opt_level),
        // Walkers follow the chain of frame pointers; nothing unwinds.
        ("preserve_frame_pointers", "true"),
        ("unwind_info", "false"),
        // Prologues compare with the store's limit instead.
        ("enable_probestack", "false"),
        ("enable_verifier", on_off(cfg!(debug_assertions))),
        ("enable_pinned_reg", on_off(pinned_register)),
    ] {
        flags.set(name, value).map_err(|error| host(error.to_string()))?;
    }
    let builder = cranelift_native::builder().map_err(|message| host(message.to_string()))?;
    builder.finish(settings::Flags::new(flags)).map_err(|error| host(error.to_string()))
}
