//! What it costs to load a module and to translate all of it: [`Loading`].
//!
//! Both engines translate a function when it is called first, unless told otherwise. So three things are timed apart: to read
//! a module with its bodies unchecked, to validate it whole, and to translate every function.

use crate::Result;
use crate::cases::Case;
use crate::engines::{crescendo as ours, wasmi as theirs};
use crate::measure::milliseconds;
use crescendo::{Module, Validation};
use crescendo_abi::{ContextCounts, VmOffsets};
use crescendo_interp::{Arena, ModuleEnv, TranslateOptions};
use crescendo_module::{ModuleConfig, ModuleInfo, TypeRegistry};
use crescendo_processes::sample::Sample;
use std::time::Instant;
use wasmi::CompilationMode;

/// The costs of one module, times in milliseconds.
pub struct Loading {
    /// The case.
    pub name: String,
    /// Functions that the module defines.
    pub functions: u32,
    /// Bytes of their bodies.
    pub body_bytes: usize,
    /// Bytes of their bytecode.
    pub bytecode_bytes: usize,
    /// Bytes of the mapping from bytecode to the module.
    pub map_bytes: usize,
    /// All functions translated, on one thread.
    pub translated: Sample,
    /// Loaded with bodies unchecked.
    pub lazy: Sample,
    /// Loaded and validated on one thread.
    pub validated: Sample,
    /// Loaded and validated on as many threads as the machine has.
    pub parallel: Sample,
    /// Wasmi: loaded with bodies unchecked.
    pub wasmi_lazy: Sample,
    /// Wasmi: loaded and validated.
    pub wasmi_validated: Sample,
    /// Wasmi: loaded, validated and translated.
    pub wasmi_translated: Sample,
}

impl Loading {
    /// Nanoseconds for a byte of a body.
    pub fn nanoseconds_per_byte(&self) -> f64 {
        self.translated.median() * 1e6 / self.body_bytes as f64
    }
}

/// Takes all measurements of a case, in turns.
pub fn measure(case: &Case, repetitions: usize) -> Result<Loading> {
    let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    let code = Code::new(&case.wasm)?;
    let bytes = code.translate_all(&mut Arena::default())?;
    let [mut translated, mut lazy, mut validated, mut parallel] = [const { Vec::new() }; 4];
    let [mut wasmi_lazy, mut wasmi_validated, mut wasmi_translated] = [const { Vec::new() }; 3];
    for _ in 0..repetitions {
        lazy.push(time(|| load(&case.wasm, Validation::Lazy))?);
        wasmi_lazy.push(time(|| load_wasmi(&case.wasm, CompilationMode::Lazy))?);
        validated.push(time(|| one_thread.install(|| load(&case.wasm, Validation::Eager)))?);
        wasmi_validated.push(time(|| load_wasmi(&case.wasm, CompilationMode::LazyTranslation))?);
        parallel.push(time(|| load(&case.wasm, Validation::Eager))?);
        wasmi_translated.push(time(|| load_wasmi(&case.wasm, CompilationMode::Eager))?);
        translated.push(time(|| code.translate_all(&mut Arena::default()))?);
    }
    Ok(Loading {
        name: case.name.clone(),
        functions: code.info.defined_func_count(),
        body_bytes: code.info.defined_funcs().map(|func| code.info.body_range(func).len()).sum(),
        bytecode_bytes: bytes.code,
        map_bytes: bytes.map,
        translated: Sample::new(translated),
        lazy: Sample::new(lazy),
        validated: Sample::new(validated),
        parallel: Sample::new(parallel),
        wasmi_lazy: Sample::new(wasmi_lazy),
        wasmi_validated: Sample::new(wasmi_validated),
        wasmi_translated: Sample::new(wasmi_translated),
    })
}

/// The milliseconds that a step takes; dropping what it made is not part of them, and engines are made in them.
fn time<R>(step: impl FnOnce() -> Result<R>) -> Result<f64> {
    let start = Instant::now();
    let made = step()?;
    let elapsed = start.elapsed();
    drop(made);
    Ok(milliseconds(elapsed))
}

fn load(wasm: &[u8], validation: Validation) -> Result<Module> {
    Ok(Module::new(&ours::engine(validation)?, wasm)?)
}

fn load_wasmi(wasm: &[u8], mode: CompilationMode) -> Result<wasmi::Module> {
    Ok(wasmi::Module::new(&theirs::engine(mode), wasm)?)
}

/// A parsed module, as the translator sees it.
struct Code<'a> {
    bytes: &'a [u8],
    info: ModuleInfo,
    offsets: VmOffsets,
}

/// What translations took, in bytes.
#[derive(Default)]
struct Bytes {
    code: usize,
    map: usize,
}

impl Code<'_> {
    fn new(bytes: &[u8]) -> Result<Code<'_>> {
        let info = crescendo_module::parse(bytes, &ModuleConfig::default(), &TypeRegistry::new())?;
        let counts = ContextCounts {
            memories: u32::try_from(info.memories().len())?,
            tables: u32::try_from(info.tables().len())?,
            imported_globals: info.imported_global_count(),
            defined_globals: u32::try_from(info.global_inits().len())?,
            imported_funcs: info.imported_func_count(),
            defined_funcs: info.defined_func_count(),
        };
        let offsets = VmOffsets::new(counts).ok_or("the module is too large")?;
        Ok(Code { bytes, info, offsets })
    }

    /// Translates every function and keeps the bytecode until all are done, as a module would.
    fn translate_all(&self, arena: &mut Arena) -> Result<Bytes> {
        let env = ModuleEnv { info: &self.info, bytes: self.bytes, offsets: &self.offsets };
        let options = TranslateOptions::default();
        let mut kept = Vec::with_capacity(self.info.defined_func_count() as usize);
        for func in self.info.defined_funcs() {
            kept.push(crescendo_interp::translate(&env, func, &options, arena)?);
        }
        Ok(kept.iter().fold(Bytes::default(), |sum, bytecode| Bytes {
            code: sum.code + bytecode.len(),
            map: sum.map + bytecode.heap_bytes() - bytecode.len(),
        }))
    }
}
