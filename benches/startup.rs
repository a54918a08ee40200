//! How long it takes from bytes to an instance, and to get rid of it: `cargo bench --bench startup`.
//!
//! One iteration parses and validates a module, makes a store and an instance, and drops all three. Modules are generated,
//! with 1 KB to 10 MB of function bodies, and those of `tests/programs`; throughput is in bytes of function bodies. With lazy
//! validation bodies are looked at when they are called first, which nobody does here; with eager validation they are
//! validated on all processors. No function is translated or compiled.

mod setup;

use crescendo::{Config, Engine, Module, Store, Validation};
use criterion::{BenchmarkId, Criterion, Throughput};
use std::hint::black_box;
use wasm_encoder::{
    BlockType, CodeSection, ExportKind, ExportSection, Function, FunctionSection, InstructionSink, MemArg,
    MemArgTarget, MemorySection, MemoryType, Module as Encoder, TypeSection, ValType,
};

/// Bytes of function bodies of the generated modules.
const SIZES: [(&str, usize); 5] =
    [("1 KB", 1 << 10), ("10 KB", 10 << 10), ("100 KB", 100 << 10), ("1 MB", 1 << 20), ("10 MB", 10 << 20)];

/// Bytes of the smallest and largest function body; those of lua.wasm have 338 on average.
const BODY: (u32, u32) = (60, 620);

/// A linear congruential generator: the same modules in every run.
struct Numbers(u32);

impl Numbers {
    fn below(&mut self, end: u32) -> u32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 8) % end
    }
}

/// A module with about so many bytes of function bodies, in functions `(i32, i32) -> i32` that load, store, compute, branch,
/// loop and call each other.
fn generate(bytes: usize) -> Vec<u8> {
    let mut numbers = Numbers(bytes as u32);
    let count = (bytes as u32 / ((BODY.0 + BODY.1) / 2)).max(2);
    let (mut types, mut functions) = (TypeSection::new(), FunctionSection::new());
    let (mut code, mut exports, mut memories) =
        (CodeSection::new(), ExportSection::new(), MemorySection::new());
    types.ty().function([ValType::I32, ValType::I32], [ValType::I32]);
    memories.memory(MemoryType {
        minimum: 1,
        maximum: None,
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    exports.export("run", ExportKind::Func, 0);
    for _ in 0..count {
        functions.function(0);
        let mut function = Function::new([(2, ValType::I32), (1, ValType::F64)]);
        let size = (BODY.0 + numbers.below(BODY.1 - BODY.0)) as usize;
        while function.byte_len() < size {
            statement(&mut function.instructions(), &mut numbers, count);
        }
        function.instructions().local_get(2).end();
        code.function(&function);
    }
    let mut module = Encoder::new();
    module.section(&types).section(&functions).section(&memories).section(&exports).section(&code);
    module.finish()
}

/// Some operators that leave the operand stack as it was. Locals 0 and 1 are parameters, 2 and 3 `i32`, 4 `f64`.
fn statement(to: &mut InstructionSink<'_>, numbers: &mut Numbers, functions: u32) {
    let at = MemArg {
        offset: u64::from(numbers.below(4096)),
        align: 2,
        target: MemArgTarget::Memory(0),
        ordering: None,
    };
    let (local, number) = (numbers.below(4), numbers.below(100_000) as i32);
    match numbers.below(6) {
        0 => to.local_get(local).i32_const(number).i32_mul().local_get(2).i32_xor().local_set(2),
        1 => to.local_get(0).i32_load(at).local_get(local).i32_add().local_tee(3).local_set(2),
        2 => to.local_get(0).local_get(local).i32_const(7).i32_shr_u().i32_store(at),
        3 => to
            .local_get(local)
            .i32_const(number)
            .i32_lt_s()
            .if_(BlockType::Empty)
            .local_get(4)
            .local_get(local)
            .f64_convert_i32_s()
            .f64_add()
            .local_set(4)
            .else_()
            .i32_const(number)
            .local_set(3)
            .end(),
        4 => to
            .loop_(BlockType::Empty)
            .local_get(3)
            .i32_const(1)
            .i32_sub()
            .local_tee(3)
            .i32_const(0)
            .i32_gt_s()
            .br_if(0)
            .end(),
        _ => to.local_get(2).local_get(local).call(numbers.below(functions)).local_set(2),
    };
}

/// Bytes of a module's function bodies.
fn body_bytes(module: &Module) -> usize {
    module.functions().filter_map(|function| function.body()).map(|body| body.len()).sum()
}

fn startup(criterion: &mut Criterion) {
    let generated = SIZES.map(|(name, size)| (name, generate(size)));
    let programs = setup::PROGRAMS.map(|name| (name, setup::program(name)));
    for (mode, validation) in [("lazy", Validation::Lazy), ("eager", Validation::Eager)] {
        let engine = setup::engine(Config::new().validation(validation));
        let mut group = criterion.benchmark_group(format!("startup/{mode}"));
        for (name, wasm) in generated.iter().chain(&programs) {
            let module = Module::new(&engine, wasm).expect("a valid module");
            let linker = setup::linker(&module);
            group.throughput(Throughput::Bytes(body_bytes(&module) as u64));
            drop(module);
            group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
                bencher.iter(|| start(&engine, &linker, wasm));
            });
        }
        group.finish();
    }
}

/// What is timed, drops at the end included.
fn start(engine: &Engine, linker: &crescendo::Linker<()>, wasm: &[u8]) {
    let module = Module::new(engine, black_box(wasm)).expect("a valid module");
    let mut store = Store::new(engine, ());
    let instance = linker.instantiate(&mut store, &module).expect("all imports are there");
    black_box(instance);
}

fn main() {
    let mut criterion = setup::criterion();
    startup(&mut criterion);
    criterion.final_summary();
}
