//! Validation of function bodies: all at once while parsing, or one by one later.
//!
//! With much code the bodies are spread over rayon's threads in runs of neighbours; each run stops at its first error and
//! the run that comes first in the module wins, so that the result does not depend on the threads.

use crate::index::widen;
use crate::probe::Fault;
use crate::quick::{self, QuickScratch};
use crate::{DefinedFuncIdx, FuncIdx, ModuleError, ModuleInfo, ModuleLimits};
use core::ops::Range;
use std::error::Error;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use wasmparser::{FuncToValidate, FunctionBody, ValidatorResources};

/// Bytes of code from which on threads are used. Starting the pool costs about as much as validating so much.
const PARALLEL_BYTES: usize = 64 << 10;
/// Bytes of code in a run of bodies: large enough to make handing out runs cheap, small enough to share evenly.
const RUN_BYTES: usize = 16 << 10;

/// Memory that validating a body needs and the next body can use again.
#[derive(Default)]
pub struct FuncValidatorAllocations {
    quick: QuickScratch,
    parser: wasmparser::FuncValidatorAllocations,
}

/// What the validation of single bodies needs, kept by modules parsed lazily.
pub(crate) struct LazyBodies {
    resources: ValidatorResources,
    limits: ModuleLimits,
}

impl LazyBodies {
    pub(crate) fn new(resources: ValidatorResources, limits: &ModuleLimits) -> LazyBodies {
        LazyBodies { resources, limits: limits.clone() }
    }
}

/// Body validation.
impl ModuleInfo {
    /// Whether the bodies were validated while parsing.
    pub fn bodies_are_validated(&self) -> bool {
        self.lazy.is_none()
    }

    /// Validates the body of a function; does nothing when it was done while parsing. The allocations may be used again for
    /// other bodies.
    ///
    /// # Errors
    /// When the body is not valid. The error names the function and the byte offset.
    ///
    /// # Panics
    /// When the module defines no such function or the bytes are shorter than those that were parsed.
    pub fn validate_body(
        &self,
        bytes: &[u8],
        func: DefinedFuncIdx,
        allocations: &mut FuncValidatorAllocations,
    ) -> Result<(), ModuleError> {
        let Some(lazy) = &self.lazy else { return Ok(()) };
        check(self, bytes, &lazy.resources, &lazy.limits, func, allocations)
            .map_err(|fault| self.explain(fault, bytes, Some(func)))
    }
}

/// Validates all bodies and finds the first that is wrong.
pub(crate) fn first_fault(
    info: &ModuleInfo,
    bytes: &[u8],
    resources: &ValidatorResources,
    limits: &ModuleLimits,
) -> Option<(DefinedFuncIdx, Fault)> {
    let first_in = |run: Range<u32>, allocations: &mut FuncValidatorAllocations| {
        run.map(DefinedFuncIdx::new).find_map(|func| {
            let fault = check(info, bytes, resources, limits, func, allocations).err()?;
            Some((func, fault))
        })
    };
    let runs = runs(&info.bodies);
    if info.code.len() < PARALLEL_BYTES || runs.len() < 2 || !threads_available() {
        let mut allocations = FuncValidatorAllocations::default();
        return runs.into_iter().find_map(|run| first_in(run, &mut allocations));
    }
    // The calling thread begins at once: the others have to be woken, which takes as long as some runs.
    let (next, first) = (AtomicUsize::new(0), Mutex::new(None));
    let work = || {
        let mut allocations = FuncValidatorAllocations::default();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(run) = runs.get(number) else { return };
            let Some(fault) = first_in(run.clone(), &mut allocations) else { continue };
            // What nobody has begun lies behind.
            next.fetch_max(runs.len(), Ordering::Relaxed);
            let mut first = first.lock().unwrap_or_else(PoisonError::into_inner);
            if first.as_ref().is_none_or(|(before, _)| number < *before) {
                *first = Some((number, fault));
            }
        }
    };
    rayon::in_place_scope(|scope| {
        for _ in 1..rayon::current_num_threads().min(runs.len()) {
            scope.spawn(|_| work());
        }
        work();
    });
    first.into_inner().unwrap_or_else(PoisonError::into_inner).map(|(_, fault)| fault)
}

/// Cuts the bodies into runs of neighbours.
fn runs(bodies: &[Range<u32>]) -> Vec<Range<u32>> {
    let mut runs = Vec::new();
    let mut start = 0;
    for (func, body) in (1..).zip(bodies) {
        if widen(body.end - bodies[widen(start)].start) >= RUN_BYTES || widen(func) == bodies.len() {
            runs.push(start..func);
            start = func;
        }
    }
    runs
}

/// Whether rayon has threads, which it may have to start. Where the system refuses threads, rayon's own start would panic.
fn threads_available() -> bool {
    static GLOBAL: OnceLock<bool> = OnceLock::new();
    if rayon::current_thread_index().is_some() {
        return true;
    }
    *GLOBAL.get_or_init(|| {
        if std::thread::available_parallelism().is_ok_and(|threads| threads.get() == 1) {
            return false;
        }
        match rayon::ThreadPoolBuilder::new().build_global() {
            Ok(()) => true,
            // An error with a cause comes from the system, one without says that the embedder has started the pool.
            Err(error) => error.source().is_none(),
        }
    })
}

/// Validates one body.
fn check(
    info: &ModuleInfo,
    bytes: &[u8],
    resources: &ValidatorResources,
    limits: &ModuleLimits,
    func: DefinedFuncIdx,
    allocations: &mut FuncValidatorAllocations,
) -> Result<(), Fault> {
    let most_locals = limits.locals.min(ModuleLimits::MAX.locals);
    if quick::is_valid(info, bytes, func, most_locals, &mut allocations.quick) {
        return Ok(());
    }
    thoroughly(info, bytes, resources, limits, func, allocations)
}

/// Validates one body with wasmparser alone.
fn thoroughly(
    info: &ModuleInfo,
    bytes: &[u8],
    resources: &ValidatorResources,
    limits: &ModuleLimits,
    func: DefinedFuncIdx,
    allocations: &mut FuncValidatorAllocations,
) -> Result<(), Fault> {
    let body = info.func_body(bytes, func);
    let func = info.func_idx(func);
    let ty = info.func_type_idx(func).as_u32();
    let to_validate = FuncToValidate { resources, index: func.as_u32(), ty, features: info.features };
    let mut validator = to_validate.into_validator(core::mem::take(&mut allocations.parser));
    let result = validator.validate(&body);
    allocations.parser = validator.into_allocations();
    let too_many = too_many_locals(info, func, &body, limits);
    match (result, too_many) {
        (Err(error), Some(limit)) if error.offset() < limit.offset() as u64 => Err(error.into()),
        (_, Some(limit)) => Err(limit.into()),
        (result, None) => Ok(result?),
    }
}

/// As [`ModuleInfo::validate_body`], with wasmparser alone.
#[cfg(test)]
pub(crate) fn check_thoroughly(
    info: &ModuleInfo,
    bytes: &[u8],
    func: DefinedFuncIdx,
    allocations: &mut FuncValidatorAllocations,
) -> Result<(), ()> {
    let lazy = info.lazy.as_ref().ok_or(())?;
    thoroughly(info, bytes, &lazy.resources, &lazy.limits, func, allocations).map_err(|_| ())
}

/// Checks the limit of locals. Malformed declarations are the validator's matter.
fn too_many_locals(
    info: &ModuleInfo,
    func: FuncIdx,
    body: &FunctionBody<'_>,
    limits: &ModuleLimits,
) -> Option<ModuleError> {
    let limit = u64::from(limits.locals.min(ModuleLimits::MAX.locals));
    let mut count = info.type_of_func(func).params().len() as u64;
    let mut reader = body.get_binary_reader();
    let mut exceeded_at = (count > limit).then(|| reader.original_position());
    let groups = reader.read_var_u32().ok()?;
    for _ in 0..groups {
        let at = reader.original_position();
        let Ok(locals) = reader.read_var_u32() else { break };
        if reader.read::<wasmparser::ValType>().is_err() {
            break;
        }
        count += u64::from(locals);
        if count > limit {
            exceeded_at.get_or_insert(at);
        }
    }
    let at = crate::index::offset(exceeded_at?);
    Some(ModuleError::limit("parameters and locals of a function", count, limit, at))
}
