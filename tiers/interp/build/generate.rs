//! Turns a handler's keys into machine code.
//!
//! A handler is a Cranelift function in the `tail` calling convention. It reads its operands from the cell at ip, runs its
//! micro-operators and jumps to the handler of the next cell. This file owns operands, registers, dispatch and traps;
//! `values.rs` the rows and variables, `control.rs` branches, calls and builtins.

use crate::micro::{Form, Key, MAX_FUSED, Root};
use cranelift_codegen::Context;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::ir::{
    AbiParam, Block, Function, InstBuilder, MemFlagsData, Signature, SourceLoc, Type, UserFuncName, Value,
    types,
};
use cranelift_codegen::isa::{CallConv, OwnedTargetIsa};
use cranelift_frontend::{FuncInstBuilder, FunctionBuilder, FunctionBuilderContext};
use crescendo_abi::regs::{FLOAT_ARGS, FLOAT_VALUES, FP, INT_ARGS, INT_VALUES, IP, MEMORY_BASE};
use crescendo_abi::{ExitStatus, TrapCode, VmContext, VmMemory, VmStoreContext};
use crescendo_semantics::Ty;
use crescendo_semantics::lower::{Emit, clif_trap_code, clif_type, trap_code};

/// A handler before its frame is looked at.
pub struct Compiled {
    /// The machine code.
    pub code: Vec<u8>,
    /// Offset, trap code and micro-operator of each instruction that may trap, by offset.
    pub traps: Vec<(u32, TrapCode, u8)>,
    /// Bytes from its start, where it is entered, that run unless something traps.
    pub hot: usize,
    /// What its start is to be a multiple of.
    pub align: usize,
    /// Whether the handler may keep its frame: it calls Rust, or it is a tail call, which needs more values at once than
    /// there are free registers, or an atomic operator, whose code may have registers of its own.
    pub framed: bool,
}

/// Alignment of what Cranelift makes, which is that of its constants.
const ALIGNMENT: usize = 16;

/// Reused buffers of the generator.
pub struct Generator {
    isa: OwnedTargetIsa,
    context: Context,
    builder: FunctionBuilderContext,
}

impl Generator {
    pub fn new(isa: OwnedTargetIsa) -> Generator {
        Generator { isa, context: Context::new(), builder: FunctionBuilderContext::new() }
    }

    /// Compiles the handler of these keys.
    pub fn handler(&mut self, root: Root, keys: &[Key]) -> Compiled {
        assert!(!keys.is_empty() && keys.len() <= MAX_FUSED);
        self.context.clear();
        let signature = entry_signature(keys);
        self.context.func = Function::with_name_signature(UserFuncName::default(), signature);
        let mut builder = FunctionBuilder::new(&mut self.context.func, &mut self.builder);
        let block = builder.create_block();
        builder.append_block_params_for_function_params(block);
        builder.switch_to_block(block);
        let params = builder.block_params(block).to_vec();
        let has_pshufb = self.isa.name() == "x64";
        let int = |i: usize| params[i];
        let float = |i: usize| params[INT_ARGS + i];
        let mut h = Handler {
            b: builder,
            root,
            ip: int(IP),
            fp: int(FP),
            memory: int(MEMORY_BASE),
            regs: INT_VALUES.map(int),
            floats: FLOAT_VALUES.map(float),
            entry_regs: INT_VALUES.map(int),
            entry_floats: FLOAT_VALUES.map(float),
            at: 8,
            results: Vec::new(),
            micro_op: 0,
            explicit_traps: false,
            framed: false,
            has_pshufb,
        };
        let mut ended = false;
        for (i, key) in keys.iter().enumerate() {
            assert!(!ended, "a micro-operator follows one that ends its handler: {}", key.text());
            h.micro_op = i as u8;
            h.b.set_srcloc(SourceLoc::new(i as u32));
            ended = h.micro_operator(key);
        }
        if !ended {
            h.next();
        }
        let framed = h.framed;
        let Handler { b: mut builder, .. } = h;
        builder.seal_all_blocks();
        builder.finalize(self.isa.frontend_config());
        if let Err(error) = self.context.compile(&*self.isa, &mut ControlPlane::default()) {
            let text: Vec<String> = keys.iter().map(Key::text).collect();
            panic!("{}: {:?}\n{}", text.join(" "), error.inner, error.func.display());
        }
        let compiled = self.context.compiled_code().expect("just compiled");
        let buffer = &compiled.buffer;
        assert!(buffer.relocs().is_empty(), "a handler refers to something outside: {}", keys[0].text());
        let micro_op_at = |offset: u32| {
            let at = buffer.get_srclocs_sorted().iter().find(|loc| (loc.start..loc.end).contains(&offset));
            // A trap without a location belongs to the only micro-operator.
            at.map_or(0, |loc| if loc.loc.is_default() { 0 } else { loc.loc.bits() as u8 })
        };
        let traps = (buffer.traps().iter())
            .map(|trap| {
                let code =
                    trap_code(trap.code).unwrap_or_else(|| panic!("trap code {} has no meaning", trap.code));
                (trap.offset, code, micro_op_at(trap.offset))
            })
            .collect();
        let code = compiled.code_buffer().to_vec();
        Compiled { hot: code.len(), align: ALIGNMENT, code, traps, framed }
    }
}

/// The signature with which a handler is entered: what a float register holds depends on who reads it.
fn entry_signature(keys: &[Key]) -> Signature {
    let mut floats = [types::F64; FLOAT_ARGS];
    for key in keys {
        for (form, ty) in key.sources.iter().zip(key.op.shape().sources) {
            if let (Form::Reg(r), Some(ty @ (Ty::F32 | Ty::V128))) = (form, ty) {
                floats[FLOAT_VALUES[usize::from(*r)]] = clif_type(ty);
            }
        }
    }
    signature(floats)
}

fn signature(floats: [Type; FLOAT_ARGS]) -> Signature {
    let mut signature = Signature::new(CallConv::Tail);
    signature.params.extend([AbiParam::new(types::I64); INT_ARGS]);
    signature.params.extend(floats.map(AbiParam::new));
    signature.returns.push(AbiParam::new(types::I64));
    signature
}

/// The result of a micro-operator, for later ones of the same handler.
#[derive(Clone, Copy)]
pub struct Computed {
    /// The value, in its type; for a comparison made on demand.
    value: Option<Value>,
    /// The condition, if it is a comparison's.
    condition: Option<Value>,
}

/// A handler under construction.
pub struct Handler<'a> {
    pub b: FunctionBuilder<'a>,
    pub root: Root,
    /// The running cell. Constant all through a handler: every trap row relies on it.
    pub ip: Value,
    pub fp: Value,
    pub memory: Value,
    /// Register values as the next handler finds them.
    pub regs: [Value; 3],
    pub floats: [Value; 3],
    /// Register values as this handler found them.
    entry_regs: [Value; 3],
    entry_floats: [Value; 3],
    /// Offset of the next operand in the cell.
    pub at: i32,
    pub results: Vec<Computed>,
    pub micro_op: u8,
    /// Whether traps leave through code that notes ip and fp, rather than by a fault at which they must be in their registers.
    pub explicit_traps: bool,
    pub framed: bool,
    /// Whether the machine has an instruction like `i8x16.swizzle` that looks at bits 0-3 and 7 of a byte's number only.
    pub has_pshufb: bool,
}

/// Flags of a read from a cell: bytecode does not change under a running handler. It may not move, since a read that sinks
/// below the update of ip costs a move.
pub fn cell() -> MemFlagsData {
    MemFlagsData::new().with_notrap().with_readonly()
}

/// Flags of an access to a frame or a context.
pub fn trusted() -> MemFlagsData {
    MemFlagsData::new().with_notrap()
}

impl<'f> Emit<'f> for Handler<'f> {
    fn ins<'s>(&'s mut self) -> FuncInstBuilder<'s, 'f>
    where
        'f: 's,
    {
        self.b.ins()
    }

    fn type_of(&self, value: Value) -> Type {
        self.b.func.dfg.value_type(value)
    }

    fn trap_if(&mut self, condition: Value, code: TrapCode) {
        let rest = self.cold_branch(condition);
        self.trap(code);
        self.b.switch_to_block(rest);
    }

    fn faults_are_traps(&self) -> bool {
        !self.root.checked()
    }
}

impl Handler<'_> {
    /// Branches to a cold block when the condition is not zero and goes on there; gives the block of the other case.
    pub fn cold_branch(&mut self, condition: Value) -> Block {
        let (cold, rest) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(cold);
        self.b.ins().brif(condition, cold, &[], rest, &[]);
        self.b.switch_to_block(cold);
        rest
    }

    /// Raises a trap of the running cell and ends the block.
    pub fn trap(&mut self, code: TrapCode) {
        if self.root.checked() || self.explicit_traps {
            let context = self.context();
            let micro_op = self.micro_op;
            self.exit_state(self.ip, self.fp, context, micro_op);
            self.exit_trap(code);
        } else {
            self.b.ins().trap(clif_trap_code(code));
        }
    }

    /// Notes in the store where the guest stops.
    pub fn exit_state(&mut self, ip: Value, fp: Value, context: Value, micro_op: u8) {
        let store = self.load(context, VmContext::STORE);
        self.b.ins().store(trusted(), ip, store, VmStoreContext::EXIT_IP);
        self.b.ins().store(trusted(), fp, store, VmStoreContext::EXIT_FP);
        self.b.ins().store(trusted(), context, store, VmStoreContext::EXIT_CONTEXT);
        let micro_op = self.b.ins().iconst(types::I32, i64::from(micro_op));
        self.b.ins().store(trusted(), micro_op, store, VmStoreContext::EXIT_MICRO_OP);
    }

    /// Leaves the handlers with a trap, after [`Handler::exit_state`].
    pub fn exit_trap(&mut self, code: TrapCode) {
        let context = self.context();
        let store = self.load(context, VmContext::STORE);
        let code = self.b.ins().iconst(types::I32, code as i64);
        self.b.ins().store(trusted(), code, store, VmStoreContext::TRAP_CODE);
        let status = self.b.ins().iconst(types::I64, ExitStatus::Trap as i64);
        self.b.ins().return_(&[status]);
    }

    /// The running context. A host function's context has the store and the builtins at the same offsets.
    pub fn context(&mut self) -> Value {
        self.b.ins().get_pinned_reg(types::I64)
    }

    /// Loads a pointer or another 64-bit word.
    pub fn load(&mut self, base: Value, offset: i32) -> Value {
        self.b.ins().load(types::I64, trusted(), base, offset)
    }

    /// The base of memory 0 of a context.
    pub fn memory_base(&mut self, context: Value) -> Value {
        let memory = self.load(context, VmContext::MEMORIES);
        self.load(memory, VmMemory::BASE)
    }

    /// Goes on at the next cell.
    pub fn next(&mut self) {
        let at = self.at;
        let ip = self.ip;
        self.dispatch(ip, at);
    }

    /// Jumps to the handler of the cell at `ip + offset`.
    pub fn dispatch(&mut self, ip: Value, offset: i32) {
        let handler = self.b.ins().load(types::I64, cell(), ip, offset);
        let ip = if offset == 0 { ip } else { self.b.ins().iadd_imm_s(ip, i64::from(offset)) };
        self.jump(handler, ip);
    }

    /// Jumps to a handler with the current registers and this ip.
    pub fn jump(&mut self, handler: Value, ip: Value) {
        let mut args = [ip; INT_ARGS + FLOAT_ARGS];
        args[FP] = self.fp;
        args[MEMORY_BASE] = self.memory;
        for (place, value) in INT_VALUES.iter().zip(self.regs) {
            args[*place] = value;
        }
        for (place, value) in FLOAT_VALUES.iter().zip(self.floats) {
            args[INT_ARGS + place] = value;
        }
        let floats = core::array::from_fn(|i| self.b.func.dfg.value_type(args[INT_ARGS + i]));
        let signature = self.b.import_signature(signature(floats));
        self.b.ins().return_call_indirect(signature, handler, &args);
    }

    /// The next 32-bit operand, zero-extended.
    pub fn operand_u32(&mut self) -> Value {
        let value = self.b.ins().uload32(cell(), self.ip, self.at);
        self.at += 4;
        value
    }

    /// The next 64-bit operand.
    pub fn operand_u64(&mut self) -> Value {
        let value = self.b.ins().load(types::I64, cell(), self.ip, self.at);
        self.at += 8;
        value
    }

    /// The next 128-bit operand.
    pub fn operand_v128(&mut self) -> Value {
        let value = self.b.ins().load(clif_type(Ty::V128), cell(), self.ip, self.at);
        self.at += 16;
        value
    }

    /// The address of the slot that the next operand names.
    pub fn operand_slot(&mut self) -> Value {
        let offset = if self.root.wide() {
            self.operand_u32()
        } else {
            let value = self.b.ins().uload16(types::I64, cell(), self.ip, self.at);
            self.at += 2;
            value
        };
        self.b.ins().iadd(self.fp, offset)
    }

    /// The value of a source. `extend`: an `i32` is wanted zero-extended to 64 bits.
    pub fn source(&mut self, form: Form, ty: Ty, extend: bool) -> Value {
        let extend = extend && ty == Ty::I32;
        let clif = clif_type(ty);
        match form {
            Form::None => panic!("a source is missing"),
            Form::Slot => {
                let place = self.operand_slot();
                if extend {
                    self.b.ins().uload32(trusted(), place, 0)
                } else {
                    self.b.ins().load(clif, trusted(), place, 0)
                }
            }
            Form::Imm => {
                let at = self.at;
                self.at += ty.bytes() as i32;
                if extend {
                    self.b.ins().uload32(cell(), self.ip, at)
                } else {
                    self.b.ins().load(clif, cell(), self.ip, at)
                }
            }
            Form::Imm32 => {
                let value = self.b.ins().sload32(cell(), self.ip, self.at);
                self.at += 4;
                value
            }
            Form::Reg(r) => match ty {
                Ty::I32 if !extend => self.b.ins().ireduce(types::I32, self.entry_regs[usize::from(r)]),
                Ty::I32 | Ty::I64 => self.entry_regs[usize::from(r)],
                Ty::F32 | Ty::F64 | Ty::V128 => self.entry_floats[usize::from(r)],
            },
            Form::Inner(j) => {
                let computed = self.results[usize::from(j)];
                let value = match (computed.value, computed.condition) {
                    (Some(value), _) => value,
                    (None, Some(condition)) => {
                        let value = self.b.ins().uextend(types::I32, condition);
                        self.results[usize::from(j)].value = Some(value);
                        value
                    }
                    (None, None) => panic!("micro-operator {j} has no result"),
                };
                if extend { self.b.ins().uextend(types::I64, value) } else { value }
            }
        }
    }

    /// A source that only has to be compared with zero.
    pub fn condition(&mut self, form: Form) -> Value {
        if let Form::Inner(j) = form
            && let Some(condition) = self.results[usize::from(j)].condition
        {
            return condition;
        }
        self.source(form, Ty::I32, false)
    }

    /// Puts the result of a micro-operator where its key says and keeps it for later ones.
    pub fn finish(&mut self, key: &Key, mut computed: Computed) {
        let Some(ty) = key.op.shape().result else {
            self.results.push(computed);
            return;
        };
        if (key.to_slot || key.to_reg.is_some()) && computed.value.is_none() {
            let condition = computed.condition.expect("a result is a value or a condition");
            computed.value = Some(self.b.ins().uextend(types::I32, condition));
        }
        if let Some(value) = computed.value {
            if key.to_slot {
                let place = self.operand_slot();
                self.b.ins().store(trusted(), value, place, 0);
            }
            if let Some(r) = key.to_reg {
                self.set_register(r, ty, value);
            }
        }
        self.results.push(computed);
    }

    /// Puts a value into a register for the next handler.
    pub fn set_register(&mut self, r: u8, ty: Ty, value: Value) {
        let r = usize::from(r);
        match ty {
            Ty::I32 => self.regs[r] = self.b.ins().uextend(types::I64, value),
            Ty::I64 => self.regs[r] = value,
            Ty::F32 | Ty::F64 | Ty::V128 => self.floats[r] = value,
        }
    }
}

impl Computed {
    pub const NOTHING: Computed = Computed { value: None, condition: None };

    pub fn value(value: Value) -> Computed {
        Computed { value: Some(value), condition: None }
    }

    pub fn condition(condition: Value) -> Computed {
        Computed { value: None, condition: Some(condition) }
    }
}
