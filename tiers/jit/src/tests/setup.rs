//! Modules to compile, and what every compiled function has to be like.

use crate::{
    Callees, CompileError, Compiled, Compiler, CompilerOptions, Entry, OptLevel, Request, Scratch, Support,
    UnknownCallees,
};
use crescendo_abi::{ContextCounts, TrapCode, Variant, VmOffsets};
use crescendo_module::{DefinedFuncIdx, FuncIdx, ModuleConfig, ModuleInfo, Proposal, TypeRegistry};
use crescendo_semantics::{Kind, Op};
use std::collections::HashMap;

/// Addresses that no code has.
const SUPPORT: Support = Support {
    builtin: 0x1111_2222_3333,
    trap: 0x1111_2222_4444,
    interpret: 0x1111_2222_9999,
    host_failed: 0x1111_2222_aaaa,
    copy: 0x1111_2222_7777,
    fill: 0x1111_2222_8888,
    halt_cell: 0x1111_2222_6666,
};

/// Every kind of compiler: without anything, and with fuel and epochs.
pub(crate) fn options() -> [CompilerOptions; 2] {
    [
        CompilerOptions { fuel: false, epochs: false, branch_hints: true, support: SUPPORT },
        CompilerOptions { fuel: true, epochs: true, branch_hints: false, support: SUPPORT },
    ]
}

/// A parsed module.
pub(crate) struct Module {
    pub(crate) info: ModuleInfo,
    pub(crate) bytes: Vec<u8>,
    pub(crate) offsets: VmOffsets,
}

impl Module {
    pub(crate) fn new(bytes: Vec<u8>) -> Module {
        let registry = TypeRegistry::new();
        let mut config = ModuleConfig::default();
        for proposal in Proposal::SUPPORTED {
            config.features.set(*proposal, true);
        }
        let info = crescendo_module::parse(&bytes, &config, &registry).unwrap();
        let counts = ContextCounts {
            memories: info.memories().len() as u32,
            tables: info.tables().len() as u32,
            imported_globals: info.imported_global_count(),
            defined_globals: info.global_inits().len() as u32,
            imported_funcs: info.imported_func_count(),
            defined_funcs: info.defined_func_count(),
        };
        let offsets = VmOffsets::new(counts).unwrap();
        Module { info, bytes, offsets }
    }

    pub(crate) fn text(text: &str) -> Module {
        Module::new(wat::parse_str(text).unwrap_or_else(|error| panic!("{error}")))
    }

    /// The variants that the module can run in.
    pub(crate) fn variants(&self) -> &'static [Variant] {
        if self.info.memories().iter().any(|memory| memory.memory64) {
            &[Variant::Checked]
        } else {
            &[Variant::Guarded, Variant::Checked]
        }
    }

    /// A request for a function; every other one is not optimised, and every other pair inlines what it calls.
    pub(crate) fn request(&self, func: DefinedFuncIdx, variant: Variant, entry: Entry) -> Request<'_> {
        let Module { info, bytes, offsets } = self;
        let opt_level = if func.as_u32() % 2 == 1 { OptLevel::None } else { OptLevel::Speed };
        let callees: &dyn Callees =
            if (func.as_u32() / 2).is_multiple_of(2) { &Small } else { &UnknownCallees };
        Request { info, bytes, offsets, func, variant, entry, opt_level, callees }
    }

    /// A function's operators with their offsets.
    pub(crate) fn operators(&self, func: DefinedFuncIdx) -> Vec<(u32, Op)> {
        let body = self.info.func_body(&self.bytes, func);
        let reader = body.get_operators_reader().unwrap();
        let operators = reader.into_iter_with_offsets().map(Result::unwrap);
        operators.map(|(operator, at)| (at as u32, Op::from_operator(&operator).unwrap())).collect()
    }

    /// The offsets of a function's loops.
    pub(crate) fn loops(&self, func: DefinedFuncIdx) -> Vec<u32> {
        let loops = self.operators(func).into_iter().filter(|(_, op)| *op == Op::Loop);
        loops.map(|(at, _)| at).collect()
    }
}

/// Inlines functions with bodies of up to 100 bytes; every other function has code.
#[derive(Debug)]
struct Small;

impl Callees for Small {
    fn most_inlined_bytes(&self, _callee: DefinedFuncIdx) -> usize {
        100
    }

    fn has_code(&self, callee: DefinedFuncIdx) -> bool {
        callee.as_u32() % 2 == 1
    }
}

/// A compiler with its buffers.
pub(crate) struct Bench {
    pub(crate) compiler: Compiler,
    pub(crate) scratch: Scratch,
}

impl Bench {
    pub(crate) fn all() -> Vec<Bench> {
        options()
            .into_iter()
            .map(|options| Bench { compiler: Compiler::new(options).unwrap(), scratch: Scratch::new() })
            .collect()
    }

    /// Compiles and checks what must hold of any function.
    pub(crate) fn compile(
        &mut self,
        module: &Module,
        func: DefinedFuncIdx,
        variant: Variant,
        entry: Entry,
    ) -> Compiled {
        self.try_compile(module, func, variant, entry)
            .unwrap_or_else(|error| panic!("function {func}, {variant:?}, {entry:?}: {error}"))
    }

    pub(crate) fn try_compile(
        &mut self,
        module: &Module,
        func: DefinedFuncIdx,
        variant: Variant,
        entry: Entry,
    ) -> Result<Compiled, CompileError> {
        let request = module.request(func, variant, entry);
        let compiled = self.compiler.compile(&mut self.scratch, &request)?;
        self.check(module, func, &compiled);
        Ok(compiled)
    }

    fn check(&self, module: &Module, func: DefinedFuncIdx, compiled: &Compiled) {
        let code_len = compiled.code.len() as u32;
        assert!(code_len > 0 && compiled.alignment.is_power_of_two());
        assert_eq!(compiled.locations[0].offset, 0);
        assert!(compiled.locations.is_sorted_by(|a, b| a.offset < b.offset));
        assert!(compiled.traps.is_sorted_by(|a, b| a.offset < b.offset));
        assert!(compiled.traps.iter().all(|trap| trap.offset < code_len));
        assert!(compiled.called.is_sorted_by(|a, b| a < b));
        // The operators of the function and of those that are inlined.
        let mut operators: HashMap<DefinedFuncIdx, Vec<(u32, Op)>> = HashMap::new();
        let mut place_at = |offset: u32| {
            let location = compiled.location(offset);
            let of = |call: u32| {
                module.info.defined_func(FuncIdx::new(compiled.inlined[call as usize].func_index))
            };
            let func = location.inlined.map_or(func, |call| of(call).unwrap());
            let operators = operators.entry(func).or_insert_with(|| module.operators(func));
            place(module, func, operators, location.wasm)
        };
        for trap in &compiled.traps {
            let place = place_at(trap.offset);
            assert!(may_trap(place, trap.code), "{trap:?} at {place:?}");
        }
        let code = self.scratch.context.compiled_code().unwrap();
        for call in code.buffer.call_sites() {
            place_at(call.ret_addr - 1);
        }
        for (index, call) in compiled.inlined.iter().enumerate() {
            assert!(call.caller.is_none_or(|caller| (caller as usize) < index));
            assert!(module.info.defined_func(FuncIdx::new(call.func_index)).is_some());
        }
    }
}

/// The operator at an offset, `None` at the start of the body.
fn place(module: &Module, func: DefinedFuncIdx, operators: &[(u32, Op)], offset: u32) -> Option<Op> {
    match operators.binary_search_by_key(&offset, |(at, _)| *at) {
        Ok(at) => Some(operators[at].1),
        Err(_) => {
            assert_eq!(offset, module.info.body_range(func).start as u32, "not an operator of {func}");
            None
        }
    }
}

/// Whether an operator can end in a trap.
fn may_trap(op: Option<Op>, code: TrapCode) -> bool {
    let name = op.map_or("entry", |op| op.row().name);
    let call = name.contains("call");
    match code {
        // Behind calls of routines that do not return stands an instruction that is never reached.
        TrapCode::UnreachableCodeReached => {
            ["unreachable", "throw", "throw_ref", "rethrow", "end", "delegate"].contains(&name)
        }
        TrapCode::MemoryOutOfBounds => {
            let kind = op.map(|op| op.row().kind);
            ["memory.copy", "memory.fill"].contains(&name)
                || matches!(
                    kind,
                    Some(
                        Kind::Load { .. }
                            | Kind::Store { .. }
                            | Kind::LoadLane { .. }
                            | Kind::StoreLane { .. }
                            | Kind::Atomic { .. }
                    )
                )
        }
        TrapCode::TableOutOfBounds => name.starts_with("table."),
        TrapCode::UndefinedElement | TrapCode::UninitializedElement => name.ends_with("call_indirect"),
        TrapCode::IndirectCallTypeMismatch => name.ends_with("call_indirect"),
        TrapCode::IntegerOverflow => name.contains("div_s") || name.contains("trunc_f"),
        TrapCode::IntegerDivisionByZero => name.contains("div_") || name.contains("rem_"),
        TrapCode::BadConversionToInteger => name.contains("trunc_f"),
        TrapCode::StackOverflow => op.is_none() || name == "loop",
        TrapCode::OutOfFuel => op.is_none() || matches!(op.map(|op| op.row().kind), Some(Kind::Control)),
        TrapCode::UnalignedAtomic => name.contains(".atomic."),
        TrapCode::NullReference => name == "ref.as_non_null",
        TrapCode::NullFunctionReference => call && name.ends_with("ref"),
        _ => false,
    }
}
