//! Modules of wasm-smith, with the proposals that Crescendo has. Each seed draws its own set of them, so that engines that
//! lack some have modules to run as well.
//!
//! wasm-smith makes typed function references only together with garbage collection, so these come from the project's own
//! generator alone.

use super::Extra;
use super::generator::Random;
use super::tame::tame;
use arbitrary::Unstructured;
use wasm_smith::{Config, Module};

/// What modules may import: functions, so that every engine can have the same.
const IMPORTS: &str = r#"
    (import "host" "a" (func (param i32)))
    (import "host" "b" (func (param i64 f64) (result i32)))
    (import "host" "c" (func (param f32) (result f32 i64)))
    (import "host" "d" (func (result f64)))
    (import "host" "e" (func (param externref) (result externref)))"#;
/// And with vectors.
const VECTOR_IMPORTS: &str = r#"
    (import "host" "f" (func (param v128 i32) (result v128)))"#;

/// The module of a seed and what it may use, or nothing if its bytes make none.
pub fn module(seed: u64) -> Option<(Vec<u8>, Vec<Extra>)> {
    let mut random = Random::new(seed ^ 0x5317);
    let extras = extras(&mut random);
    let has = |extra| extras.contains(&extra);
    let mut bytes = Vec::new();
    for _ in 0..random.between(64, 640) {
        bytes.extend_from_slice(&random.bits().to_le_bytes());
    }
    let vectors = if has(Extra::Simd) { VECTOR_IMPORTS } else { "" };
    let imports = wat::parse_str(format!("(module {IMPORTS} {vectors})")).expect("the text is well-formed");
    let config = Config {
        available_imports: Some(imports),
        max_imports: 6,
        min_funcs: 1,
        max_funcs: 12,
        max_instructions: random.between(20, 400),
        max_memories: 3,
        max_memory32_bytes: 1 << 18,
        max_memory64_bytes: 1 << 18,
        memory_max_size_required: true,
        max_tables: 3,
        max_table_elements: 500,
        table_max_size_required: true,
        max_data_segments: 10,
        max_element_segments: 10,
        min_tags: has(Extra::Exceptions).into(),
        max_tags: 5,
        export_everything: true,
        canonicalize_nans: true,
        // In half the modules, so that calls get far.
        disallow_traps: random.chance(50),
        bulk_memory_enabled: true,
        reference_types_enabled: true,
        multi_value_enabled: true,
        tail_call_enabled: true,
        extended_const_enabled: true,
        memory64_enabled: true,
        saturating_float_to_int_enabled: true,
        sign_extension_ops_enabled: true,
        simd_enabled: has(Extra::Simd),
        relaxed_simd_enabled: has(Extra::RelaxedSimd),
        exceptions_enabled: has(Extra::Exceptions),
        threads_enabled: has(Extra::Threads),
        shared_everything_threads_enabled: false,
        gc_enabled: false,
        custom_descriptors_enabled: false,
        custom_page_sizes_enabled: has(Extra::CustomPageSizes),
        compact_imports_enabled: false,
        wide_arithmetic_enabled: has(Extra::WideArithmetic),
        ..Config::default()
    };
    let module = Module::new(config, &mut Unstructured::new(&bytes)).ok()?;
    let wasm = tame(&module.to_bytes()).expect("wasm-smith's modules can be read");
    Some((wasm, extras))
}

/// The proposals of a seed. Half of the modules have neither exceptions nor threads, which wasmi lacks.
fn extras(random: &mut Random) -> Vec<Extra> {
    let mut extras = Vec::new();
    for (extra, percent) in [
        (Extra::Simd, 65),
        (Extra::RelaxedSimd, 50),
        (Extra::Exceptions, 30),
        (Extra::Threads, 25),
        (Extra::WideArithmetic, 40),
        (Extra::CustomPageSizes, 30),
    ] {
        let drawn = random.chance(percent);
        if drawn && (extra != Extra::RelaxedSimd || extras.contains(&Extra::Simd)) {
            extras.push(extra);
        }
    }
    extras
}
