//! Thunks between the tiers, two sets per signature, each made with the first code that needs it: one to enter compiled functions of
//! the signature, one for native code that calls others of it. A short program waits for them: a set takes as long to compile as a
//! small function. Signatures of one shape share them (`crescendo_jit::shape`). Next to one
//! set for both, with a way to the interpreter in each, sixteen kernels of 8 to 80 ms take 0.97 of the time with two sets and 0.95 with two
//! that are shared (medians of 31 runs; up to 0.81, and 1.0 where the guest runs for long).
//!
//! Native code and entry cells find a signature's thunks by its canonical type id. A set is never dropped before the engine:
//! it keeps the id's owner alive, so that the id cannot come to mean another signature. Thunks live as long as the engine and
//! are never freed one by one, which is what cranelift-jit is made for.

use super::failed::failed;
use super::thunk_memory::ThunkMemory;
use crate::error::{Error, Result, bug};
use cranelift_jit::{JITBuilder, JITModule};
use cranelift_module::{Module as _, default_libcall_names};
use crescendo_code::Reservation;
use crescendo_interp::NativeEntry;
use crescendo_jit::{CallThunks, Compiler, EntryThunks, Scratch, Thunk};
use crescendo_module::{FuncType, TypeHandle, TypeId, TypeRegistry};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Canonical ids below this can have thunks; functions of other types are not compiled.
const MOST_TYPES: usize = 1 << 20;

/// Tables of thunks.
const TABLES: usize = 3;

/// The thunks of an engine.
pub(crate) struct Signatures {
    /// Thunks to interpreted functions by type id, then thunks to host functions, then those from the host to native code.
    tables: Reservation,
    /// Held while thunks are made. Guests never wait for it.
    shapes: Mutex<Shapes>,
    /// Held for a look only.
    sets: Mutex<Sets>,
}

/// What has been made, by shape. Addresses are exposed ones.
#[derive(Default)]
struct Shapes {
    linker: Option<JITModule>,
    /// Entry cells, and thunks from the host.
    entries: HashMap<FuncType, (NativeEntry, usize)>,
    /// Thunks to interpreted functions, and to host functions.
    calls: HashMap<FuncType, [usize; 2]>,
}

/// The types that have thunks, each with what keeps its id.
#[derive(Default)]
struct Sets {
    /// With the exposed address of the entry cell.
    entries: HashMap<TypeId, (usize, TypeHandle)>,
    calls: HashMap<TypeId, TypeHandle>,
}

impl Sets {
    fn has(&self, kind: Kind, ty: TypeId) -> bool {
        match kind {
            Kind::Entry => self.entries.contains_key(&ty),
            Kind::Call => self.calls.contains_key(&ty),
        }
    }
}

/// What thunks are for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// Entering compiled functions.
    Entry,
    /// Calling functions that are not compiled.
    Call,
}

impl Signatures {
    /// Empty tables.
    ///
    /// # Errors
    ///
    /// When the operating system refuses the address space.
    pub(crate) fn new() -> Result<Signatures> {
        let mut tables = Reservation::reserve(TABLES * MOST_TYPES * size_of::<usize>())?;
        tables.commit(0..tables.len())?;
        Ok(Signatures { tables, shapes: Mutex::default(), sets: Mutex::default() })
    }

    /// The tables of thunks to interpreted functions, to host functions, and from the host.
    pub(crate) fn tables(&self) -> [*const *const u8; TABLES] {
        let base: *const *const u8 = self.tables.base().cast();
        [base, base.wrapping_add(MOST_TYPES), base.wrapping_add(2 * MOST_TYPES)]
    }

    /// The entry cell of compiled functions of a type that [`Signatures::ensure`] has seen for [`Kind::Entry`].
    pub(crate) fn entry(&self, ty: TypeId) -> Option<*const u8> {
        self.sets().entries.get(&ty).map(|(entry, _)| ptr::with_exposed_provenance(*entry))
    }

    fn sets(&self) -> MutexGuard<'_, Sets> {
        self.sets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the thunks of this kind for a type if they do not exist.
    ///
    /// # Errors
    ///
    /// When the type cannot have any, or there is no executable memory.
    pub(super) fn ensure(
        &self,
        kind: Kind,
        ty: TypeId,
        types: &TypeRegistry,
        compiler: &Compiler,
        scratch: &mut Scratch,
    ) -> Result<()> {
        if self.sets().has(kind, ty) {
            return Ok(());
        }
        let mut shapes = self.shapes.lock().unwrap_or_else(PoisonError::into_inner);
        if self.sets().has(kind, ty) {
            return Ok(());
        }
        let index = ty.as_u32() as usize;
        if index >= MOST_TYPES {
            return Err(crate::error::limit!("{MOST_TYPES} function types have thunks, and no more can"));
        }
        let Some(handle) = types.retain(ty) else { return Err(bug!("type {index} is not registered")) };
        let shape = crescendo_jit::shape(handle.func_type());
        match kind {
            Kind::Entry => {
                let (entry, from_host) = shapes.entry(shape, compiler, scratch)?;
                self.cell(2 * MOST_TYPES + index).store(pointer(from_host), Ordering::Release);
                self.sets().entries.insert(ty, (entry, handle));
            }
            Kind::Call => {
                let [to_interpreter, to_host] = shapes.calls(shape, compiler, scratch)?;
                self.cell(index).store(pointer(to_interpreter), Ordering::Release);
                self.cell(MOST_TYPES + index).store(pointer(to_host), Ordering::Release);
                self.sets().calls.insert(ty, handle);
            }
        }
        Ok(())
    }

    fn cell(&self, index: usize) -> &AtomicPtr<u8> {
        let cells = self.tables.base().cast::<AtomicPtr<u8>>();
        debug_assert!(index < TABLES * MOST_TYPES, "thunks have their place in the tables");
        // SAFETY: the tables have `TABLES * MOST_TYPES` zeroed words and live as long as `self`.
        unsafe { &*cells.wrapping_add(index) }
    }
}

impl Shapes {
    /// The entry cell of functions of a shape, and their thunk from the host.
    fn entry(
        &mut self,
        shape: FuncType,
        compiler: &Compiler,
        scratch: &mut Scratch,
    ) -> Result<(usize, usize)> {
        if let Some((entry, from_host)) = self.entries.get(&shape) {
            return Ok((entry.entry().expose_provenance(), *from_host));
        }
        let EntryThunks { enter, tail, from_host } =
            compiler.entry_thunks(scratch, &shape).map_err(failed)?;
        let [enter, tail, from_host] = self.link([&enter, &tail, &from_host])?;
        let entry = NativeEntry::new(pointer(enter), pointer(tail));
        let cell = entry.entry().expose_provenance();
        self.entries.insert(shape, (entry, from_host));
        Ok((cell, from_host))
    }

    /// The thunks to interpreted and to host functions of a shape.
    fn calls(&mut self, shape: FuncType, compiler: &Compiler, scratch: &mut Scratch) -> Result<[usize; 2]> {
        if let Some(thunks) = self.calls.get(&shape) {
            return Ok(*thunks);
        }
        let CallThunks { to_interpreter, to_host } = compiler.call_thunks(scratch, &shape).map_err(failed)?;
        let thunks = self.link([&to_interpreter, &to_host])?;
        self.calls.insert(shape, thunks);
        Ok(thunks)
    }

    /// Copies thunks into executable memory.
    fn link<const N: usize>(&mut self, thunks: [&Thunk; N]) -> Result<[usize; N]> {
        let linker = match &mut self.linker {
            Some(linker) => linker,
            none => none.insert(new_linker()?),
        };
        // cranelift-jit panics when the operating system refuses to make pages executable.
        let linked = catch_unwind(AssertUnwindSafe(|| -> Result<Vec<usize>> {
            let signature = linker.make_signature();
            let mut ids = Vec::with_capacity(N);
            for thunk in thunks {
                let id = linker.declare_anonymous_function(&signature).map_err(Error::host)?;
                let alignment = u64::from(thunk.alignment.max(16));
                linker.define_function_bytes(id, alignment, &thunk.code, &[]).map_err(Error::host)?;
                ids.push(id);
            }
            linker.finalize_definitions().map_err(Error::host)?;
            Ok(ids.into_iter().map(|id| linker.get_finalized_function(id).expose_provenance()).collect())
        }));
        let addresses = linked.unwrap_or_else(|_| Err(Error::msg("the system refuses executable memory")))?;
        addresses.try_into().map_err(|_| bug!("a thunk was not linked"))
    }
}

fn pointer(exposed: usize) -> *mut u8 {
    ptr::with_exposed_provenance_mut(exposed)
}

impl Drop for Signatures {
    fn drop(&mut self) {
        let shapes = self.shapes.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(linker) = shapes.linker.take() {
            // SAFETY: the engine is dropped, and with it every store: nobody runs its thunks, or will.
            unsafe { linker.free_memory() };
        }
    }
}

fn new_linker() -> Result<JITModule> {
    let mut builder = JITBuilder::new(default_libcall_names()).map_err(Error::msg)?;
    builder.memory_provider(Box::new(ThunkMemory::default()));
    Ok(JITModule::new(builder))
}
