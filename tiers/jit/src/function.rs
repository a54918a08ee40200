//! The state of a translation: the function under construction, its operand stack, its open blocks.
//!
//! Locals are variables of the frontend, which finds their values (SSA form); operands are values. A
//! comparison's result is kept as the condition that it is (`i8`) until somebody needs the integer.

use crate::callees::Callees;
use crate::compiler::{CompilerOptions, Entry, OptLevel, Request};
use crate::error::{CompileError, Step, invalid};
use crate::exceptions::OpenTry;
use crate::inline::{Body, Places};
use crate::osr::Takeover;
use crate::signature::{self, clif_type_of, results_in_memory};
use crate::widening::Widening;
use cranelift_codegen::ir::{
    Block, BlockArg, FuncRef, Function, SigRef, SourceLoc, StackSlot, Type, Value, types,
};
use cranelift_codegen::isa::TargetFrontendConfig;
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext, Variable};
use crescendo_abi::{Variant, VmOffsets};
use crescendo_module::{FuncIdx, FuncType, Hints, ModuleInfo, TypeId, TypeIdx};
use crescendo_semantics::Ty;
use crescendo_semantics::body::Operators;
use crescendo_semantics::lower::clif_type;
use crescendo_semantics::translate::{FrameKind, Reach};
use std::collections::HashMap;
use wasmparser::{BlockType, FunctionBody};

/// An operand on the stack.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Operand {
    /// A value; of type `i8` if it is a condition.
    Value(Value),
    /// Different values on different ways here; see `osr.rs`.
    Variable(Variable, Type),
}

/// The types that a block takes or gives, without a list of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Types {
    Empty,
    One(Type),
    ParamsOf(TypeIdx),
    ResultsOf(TypeIdx),
}

/// A block that is open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ControlFrame {
    pub(crate) kind: FrameKind,
    /// Height of the stack below the block's params.
    pub(crate) height: usize,
    pub(crate) params: Types,
    pub(crate) results: Types,
    /// Where branches go: a loop's header, or what follows the block. The function's frame has none.
    pub(crate) target: Option<Block>,
    /// The other side of an `if`.
    pub(crate) otherwise: Option<Block>,
    /// Where the params of an `if` are kept for its other side, in [`Buffers::saved`].
    pub(crate) saved: usize,
    /// Whether anything branches to the block's label.
    pub(crate) branched: bool,
    /// The `try` whose clauses are asked first inside.
    pub(crate) handler: Option<u32>,
    /// The `try` that the block is.
    pub(crate) own_try: Option<u32>,
    /// While a `br_table` is translated: the piece of code that carries its values here.
    pub(crate) piece: Option<Block>,
}

/// Buffers that outlive a function.
#[derive(Default)]
pub(crate) struct Buffers {
    pub(crate) stack: Vec<Operand>,
    pub(crate) frames: Vec<ControlFrame>,
    pub(crate) saved: Vec<Operand>,
    /// Types of the function's locals; a local's variable has its index.
    pub(crate) locals: Vec<Type>,
    /// Blocks that the frontend's table of each variable reaches to.
    variable_blocks: Vec<u32>,
    pub(crate) widening: Widening,
    pub(crate) values: Vec<Value>,
    pub(crate) block_args: Vec<BlockArg>,
    pub(crate) depths: Vec<u32>,
    pub(crate) places: Places,
    /// Places of the accesses to memory that may fault, ascending.
    pub(crate) accesses: Vec<u32>,
    /// Canonical ids of the signatures that are called.
    pub(crate) called: Vec<TypeId>,
    pub(crate) signatures: HashMap<u32, SigRef>,
    /// The functions whose code is called straight, by index.
    pub(crate) callees: HashMap<u32, FuncRef>,
    pub(crate) tries: Vec<OpenTry>,
}

impl Buffers {
    fn clear(&mut self) {
        self.stack.clear();
        self.frames.clear();
        self.saved.clear();
        self.locals.clear();
        self.variable_blocks.clear();
        self.widening.clear();
        self.places.clear();
        self.accesses.clear();
        self.called.clear();
        self.signatures.clear();
        self.callees.clear();
        self.tries.clear();
    }
}

/// Routines of the engine that the function calls.
#[derive(Clone, Copy, Default)]
pub(crate) struct Routines {
    pub(crate) builtin: Option<SigRef>,
    pub(crate) trap: Option<SigRef>,
    pub(crate) throw: Option<SigRef>,
    pub(crate) plain: Option<SigRef>,
}

/// The translation of one function.
pub(crate) struct Translator<'f, 'a> {
    pub(crate) b: FunctionBuilder<'f>,
    pub(crate) buffers: &'f mut Buffers,
    pub(crate) options: &'a CompilerOptions,
    pub(crate) info: &'a ModuleInfo,
    pub(crate) bytes: &'a [u8],
    pub(crate) callees: &'a dyn Callees,
    pub(crate) offsets: &'a VmOffsets,
    pub(crate) variant: Variant,
    /// The function whose body is translated: the one that is compiled, or one that is inlined.
    pub(crate) func: FuncIdx,
    pub(crate) body: FunctionBody<'a>,
    pub(crate) ty: &'a FuncType,
    /// The variable of its first local.
    pub(crate) first_variable: u32,
    /// Its own frame, as an index.
    pub(crate) function_frame: usize,
    /// The function that is compiled, if its calls of itself may go straight to the new code: not where better code follows, nor where
    /// the code is entered at a loop.
    pub(crate) own: Option<FuncIdx>,
    /// The bodies around an inlined one, from the outermost on.
    pub(crate) callers: Vec<Body<'a>>,
    /// Bytes of bodies that may still be inlined.
    pub(crate) inline_budget: u32,
    /// The module's hints if they count.
    pub(crate) hints: Option<&'a Hints>,
    /// The context, the store and, in the guarded variant, the base of memory 0: constants of a call.
    pub(crate) context: Value,
    pub(crate) store: Value,
    pub(crate) memory_base: Value,
    /// Where results in memory go.
    pub(crate) results: Option<Value>,
    pub(crate) takeover: Option<Takeover>,
    /// Whether there is an instruction that multiplies and adds.
    pub(crate) fused: bool,
    /// Whether variables of `i32` locals that are addresses have 64 bits.
    pub(crate) widens: bool,
    /// Whether an operand may be a vector, which has two slots.
    pub(crate) has_vectors: bool,
    /// Operands below this height are variables; see `osr.rs`.
    pub(crate) settled: usize,
    pub(crate) reach: Reach,
    /// Byte offset of the running operator.
    pub(crate) offset: u32,
    /// The constant of the current run's fuel, which is known at the run's end, and its sum so far.
    pub(crate) fuel_run: Option<(Value, u32)>,
    pub(crate) routines: Routines,
    /// Clauses so far: the number of the next.
    pub(crate) clause_count: u32,
    /// Whether the function has a `rethrow`, once somebody has asked.
    pub(crate) rethrows: Option<bool>,
    /// Slots of the native frame: operands of builtins, results in memory of calls.
    pub(crate) builtin_slots: Option<StackSlot>,
    pub(crate) result_slots: Option<StackSlot>,
    /// Entries of the frontend's tables of locals.
    table_entries: u64,
}

/// Most entries of the frontend's tables: it has one for each local, as long as the last block in which the
/// local is used.
const MAX_TABLE_ENTRIES: u64 = 32 << 20;
/// Most values of a function. Valid code can make many more than it has operators: each local in each of many
/// nested loops.
const MAX_VALUES: usize = 4 << 20;

impl<'f, 'a> Translator<'f, 'a> {
    pub(crate) fn new(
        request: &Request<'a>,
        options: &'a CompilerOptions,
        fused: bool,
        func: &'f mut Function,
        context: &'f mut FunctionBuilderContext,
        buffers: &'f mut Buffers,
    ) -> Step<Translator<'f, 'a>> {
        let info = request.info;
        let index = info.func_idx(request.func);
        let body = info.func_body(request.bytes, request.func);
        let ty = info.type_of_func(index);
        let offset = body.range().start as u32;
        buffers.clear();
        func.signature = match request.entry {
            Entry::Call => signature::native(ty),
            Entry::Osr { .. } => signature::takeover(),
        };
        // Offsets are kept relative to the first that is seen, and none may be one less.
        func.params.ensure_base_srcloc(SourceLoc::new(offset));
        let nothing = Value::from_u32(0);
        let mut translator = Translator {
            b: FunctionBuilder::new(func, context),
            buffers,
            options,
            info,
            bytes: request.bytes,
            callees: request.callees,
            offsets: request.offsets,
            variant: request.variant,
            func: index,
            body,
            ty,
            first_variable: 0,
            function_frame: 0,
            own: (request.entry == Entry::Call && request.opt_level == OptLevel::Speed).then_some(index),
            callers: Vec::new(),
            inline_budget: Translator::inlining_budget(request),
            hints: options.branch_hints.then(|| info.hints(request.bytes)),
            context: nothing,
            store: nothing,
            memory_base: nothing,
            results: None,
            takeover: None,
            fused,
            widens: request.opt_level == OptLevel::Speed,
            has_vectors: false,
            settled: 0,
            reach: Reach::new(),
            offset,
            fuel_run: None,
            routines: Routines::default(),
            clause_count: 0,
            rethrows: None,
            builtin_slots: None,
            result_slots: None,
            table_entries: 0,
        };
        translator.set_offset(offset);
        translator.declare_locals()?;
        translator.open(request.entry)?;
        Ok(translator)
    }

    fn declare_locals(&mut self) -> Step {
        if self.widens {
            self.buffers.widening.survey(self.info, &self.body)?;
        }
        for ty in self.ty.params() {
            self.declare_local(clif_type_of(*ty), 1);
        }
        for declared in self.body.get_locals_reader()? {
            let (n, ty) = declared?;
            self.declare_local(clif_type(Ty::of(ty)), n);
        }
        Ok(())
    }

    fn declare_local(&mut self, ty: Type, n: u32) {
        let first = self.buffers.locals.len();
        for local in first..first + n as usize {
            self.declare_local_variable(local, ty);
        }
        self.buffers.locals.resize(first + n as usize, ty);
    }

    /// A variable for a local of the body that was surveyed last.
    pub(crate) fn declare_local_variable(&mut self, local: usize, ty: Type) -> Variable {
        let wide = ty == types::I32 && self.widens && self.buffers.widening.is_address(local);
        self.declare(if wide { types::I64 } else { ty }, wide)
    }

    /// A new variable of the frontend.
    pub(crate) fn declare_variable(&mut self, ty: Type) -> Variable {
        self.declare(ty, false)
    }

    fn declare(&mut self, ty: Type, is_wide: bool) -> Variable {
        self.buffers.variable_blocks.push(0);
        self.buffers.widening.push(is_wide);
        self.b.declare_var(ty)
    }

    /// The entry block: parameters, constants of the call, locals; then the function's frame and first run.
    fn open(&mut self, entry: Entry) -> Step {
        let block = self.b.create_block();
        self.b.append_block_params_for_function_params(block);
        self.b.switch_to_block(block);
        self.b.seal_block(block);
        let params = self.b.block_params(block);
        let in_memory = results_in_memory(self.ty);
        let (context, fp) = match entry {
            Entry::Call => (params[1], None),
            Entry::Osr { .. } => (params[0], Some(params[1])),
        };
        self.context = context;
        if in_memory && fp.is_none() {
            self.results = Some(params[2]);
        }
        let first = 2 + usize::from(in_memory);
        self.enter_frame();
        match (entry, fp) {
            (Entry::Osr { loop_offset }, Some(fp)) => self.begin_takeover(loop_offset, fp)?,
            _ => self.define_locals(block, first),
        }
        self.push_frame(FrameKind::Function, Types::Empty, Types::Empty, None)?;
        if self.takeover.is_none() {
            self.check_epoch();
        }
        self.start_run();
        Ok(())
    }

    /// Params get their values, other locals zero.
    fn define_locals(&mut self, entry: Block, first: usize) {
        let params = self.ty.params().len();
        for i in 0..params {
            let value = self.b.block_params(entry)[first + i];
            self.define_local(Variable::from_u32(i as u32), value);
        }
        let mut zero: Option<(Type, Value)> = None;
        for i in params..self.buffers.locals.len() {
            let ty = self.buffers.locals[i];
            let value = match zero {
                Some((of, value)) if of == ty => value,
                _ => self.constant_of(ty, 0),
            };
            zero = Some((ty, value));
            self.define_local(Variable::from_u32(i as u32), value);
        }
    }

    /// Translates the body.
    pub(crate) fn run(mut self, config: TargetFrontendConfig) -> Step {
        self.translate_body()?;
        self.finish_run();
        if let Some(takeover) = &self.takeover
            && !takeover.reached
        {
            return Err(invalid(takeover.loop_offset, "there is no loop here that can be reached"));
        }
        self.b.finalize(config);
        Ok(())
    }

    /// Translates the operators of the current body.
    pub(crate) fn translate_body(&mut self) -> Step {
        let mut operators = Operators::new(&self.body)?;
        while !operators.eof() {
            self.set_offset(operators.offset() as u32);
            operators.translate(self)?;
            if self.b.func.dfg.num_values() > MAX_VALUES {
                return Err(CompileError::TooLarge { limit: "values" });
            }
        }
        Ok(())
    }

    pub(crate) fn set_offset(&mut self, offset: u32) {
        self.offset = offset;
        self.b.set_srcloc(SourceLoc::new(self.buffers.places.of(offset)));
    }

    pub(crate) fn impossible(&self, message: &str) -> CompileError {
        invalid(self.offset, message)
    }

    pub(crate) fn height(&self) -> usize {
        self.buffers.stack.len()
    }

    pub(crate) fn type_of_value(&self, value: Value) -> Type {
        self.b.func.dfg.value_type(value)
    }

    // Locals.

    /// The variable of a local that is used in the current block.
    pub(crate) fn local(&mut self, index: u32) -> Step<Variable> {
        let block = self.b.current_block().map_or(0, Block::as_u32);
        let variable = self.first_variable + index;
        let reach = &mut self.buffers.variable_blocks[variable as usize];
        if block > *reach {
            self.table_entries += u64::from(block - *reach);
            *reach = block;
            if self.table_entries > MAX_TABLE_ENTRIES {
                return Err(CompileError::TooLarge { limit: "locals in many blocks" });
            }
        }
        Ok(Variable::from_u32(variable))
    }

    // Types of blocks.

    pub(crate) fn block_type(&self, ty: BlockType) -> Step<(Types, Types)> {
        Ok(match ty {
            BlockType::Empty => (Types::Empty, Types::Empty),
            BlockType::Type(ty) => (Types::Empty, Types::One(clif_type(Ty::of(ty)))),
            BlockType::FuncType(index) => {
                let index = TypeIdx::new(index);
                (Types::ParamsOf(index), Types::ResultsOf(index))
            }
        })
    }

    pub(crate) fn count(&self, types: Types) -> usize {
        match types {
            Types::Empty => 0,
            Types::One(_) => 1,
            Types::ParamsOf(index) => self.info.func_type(index).params().len(),
            Types::ResultsOf(index) => self.info.func_type(index).results().len(),
        }
    }

    /// A block that takes values of these types.
    pub(crate) fn block_with(&mut self, types: Types) -> Step<Block> {
        let block = self.b.create_block();
        let info = self.info;
        let list = match types {
            Types::Empty => &[],
            Types::One(ty) => {
                self.b.append_block_param(block, ty);
                &[][..]
            }
            Types::ParamsOf(index) => info.func_type(index).params(),
            Types::ResultsOf(index) => info.func_type(index).results(),
        };
        for ty in list {
            self.b.append_block_param(block, clif_type_of(*ty));
        }
        Ok(block)
    }

    /// Pushes the values that a block takes.
    pub(crate) fn push_block_params(&mut self, block: Block) {
        for i in 0..self.b.block_params(block).len() {
            self.push(self.b.block_params(block)[i]);
        }
    }
}
