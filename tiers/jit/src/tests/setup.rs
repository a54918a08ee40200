//! Modules to compile, and what every compiled function has to be like.

use crate::{Compiled, Compiler, CompilerOptions, Entry, Request, Scratch, Support};
use crescendo_abi::{ContextCounts, Variant, VmOffsets};
use crescendo_module::{DefinedFuncIdx, ModuleConfig, ModuleInfo, TypeRegistry};
use wasmparser::Operator;

/// Addresses that no code has.
const SUPPORT: Support = Support {
    builtin: 0x1111_2222_3333,
    trap: 0x1111_2222_4444,
    leave: 0x1111_2222_5555,
    halt_cell: 0x1111_2222_6666,
};

/// Every kind of compiler: without anything, and with fuel and epochs.
pub(crate) fn options() -> [CompilerOptions; 2] {
    [
        CompilerOptions { fuel: false, epochs: false, support: SUPPORT },
        CompilerOptions { fuel: true, epochs: true, support: SUPPORT },
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
        let info = crescendo_module::parse(&bytes, &ModuleConfig::default(), &registry).unwrap();
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

    pub(crate) fn request(&self, func: DefinedFuncIdx, variant: Variant, entry: Entry) -> Request<'_> {
        let Module { info, bytes, offsets } = self;
        Request { info, bytes, offsets, func, variant, entry }
    }

    /// The offsets of a function's operators.
    pub(crate) fn operator_offsets(&self, func: DefinedFuncIdx) -> Vec<u32> {
        let body = self.info.func_body(&self.bytes, func);
        let reader = body.get_operators_reader().unwrap();
        reader.into_iter_with_offsets().map(|operator| operator.unwrap().1 as u32).collect()
    }

    /// The offsets of a function's loops that can be reached, as the interpreter sees it.
    pub(crate) fn loops(&self, func: DefinedFuncIdx) -> Vec<u32> {
        let body = self.info.func_body(&self.bytes, func);
        let reader = body.get_operators_reader().unwrap();
        let loops = reader.into_iter_with_offsets().map(Result::unwrap);
        loops
            .filter(|(operator, _)| matches!(operator, Operator::Loop { .. }))
            .map(|(_, at)| at as u32)
            .collect()
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
        let request = module.request(func, variant, entry);
        let compiled = (self.compiler.compile(&mut self.scratch, &request))
            .unwrap_or_else(|error| panic!("function {func}, {variant:?}, {entry:?}: {error}"));
        self.check(module, func, &compiled);
        compiled
    }

    fn check(&self, module: &Module, func: DefinedFuncIdx, compiled: &Compiled) {
        let code_len = compiled.code.len() as u32;
        assert!(code_len > 0 && compiled.alignment.is_power_of_two());
        assert_eq!(compiled.locations[0].offset, 0);
        assert!(compiled.locations.is_sorted_by(|a, b| a.offset < b.offset));
        assert!(compiled.traps.is_sorted_by(|a, b| a.offset < b.offset));
        assert!(compiled.traps.iter().all(|trap| trap.offset < code_len));
        assert!(compiled.signatures.is_sorted_by(|a, b| a < b));
        let own = module.info.func_type_id(module.info.func_idx(func));
        assert!(compiled.signatures.contains(&own));
        let mut operators = module.operator_offsets(func);
        operators.push(module.info.body_range(func).start as u32);
        operators.sort_unstable();
        let known = |offset| operators.binary_search(&compiled.wasm_offset(offset)).is_ok();
        let code = self.scratch.context.compiled_code().unwrap();
        assert!(code.buffer.call_sites().all(|call| known(call.ret_addr - 1)));
        assert!(compiled.traps.iter().all(|trap| known(trap.offset)));
    }
}
