//! Modules of any size: [`generate`]. `benches/peers` uses them, too.

use wasm_encoder::{
    BlockType, CodeSection, ExportKind, ExportSection, Function, FunctionSection, InstructionSink, MemArg,
    MemArgTarget, MemorySection, MemoryType, Module as Encoder, TypeSection, ValType,
};

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
pub fn generate(bytes: usize) -> Vec<u8> {
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
