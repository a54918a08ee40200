//! From frames on the value stack to [`WasmBacktrace`]: which function of which module, at which operator.
//!
//! The interpreter's walker gives addresses inside of cells; the code tables of the frames' modules know the functions, and
//! their bytecode the offsets. Frames of host functions, which have no bytecode, are left out.

use crate::instance::InstanceData;
use crate::store::{StoreHeader, StoreOpaque};
use crate::{AsContext, FrameInfo, Module, WasmBacktrace};
use crescendo_abi::{VmContext, VmStoreContext};
use crescendo_interp::RawFrame;
use std::cell::Cell;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

/// Frames that a backtrace keeps; a deep recursion has hundreds of thousands.
const MOST_FRAMES: usize = 64;

impl WasmBacktrace {
    /// The wasm functions that are running now, for host functions that want to know who called them. Empty when no guest is
    /// running.
    ///
    /// # Examples
    ///
    /// ```
    /// use crescendo::{Engine, Store, WasmBacktrace};
    ///
    /// let store = Store::new(&Engine::default(), ());
    /// assert!(WasmBacktrace::capture(&store).frames().is_empty());
    /// ```
    pub fn capture(store: impl AsContext) -> WasmBacktrace {
        WasmBacktrace::of_last_run(store.as_context().opaque())
    }

    /// The functions that were running when the store stopped: in a builtin, in a host function, or in a run that failed and
    /// is not left yet.
    pub(crate) fn of_last_run(store: &StoreOpaque) -> WasmBacktrace {
        let mut walker = Walker { store, instance: None, frames: Vec::new(), omitted: 0 };
        // Of the frame that was visited last, for the step to its caller.
        let record_slot = Cell::new(None);
        let visit = |raw: &RawFrame| {
            record_slot.set(walker.visit(raw));
            ControlFlow::Continue(())
        };
        // SAFETY: the store is alive, and so are its frames while it is stopped; the slot is what the frame's bytecode says.
        unsafe { crescendo_interp::walk(store.vm().as_ptr(), |_| record_slot.take(), visit) };
        WasmBacktrace::new(walker.frames, walker.omitted)
    }
}

/// [`crescendo_abi::VmStoreContext::capture`]: keeps the frames of a run that has failed.
///
/// # Safety
///
/// The context is that of a store whose guest has just stopped, and nobody else uses the store.
pub(crate) unsafe extern "C" fn capture(store: *mut VmStoreContext) {
    let header = store.cast::<StoreHeader>();
    // A defect here costs the backtrace, not the process.
    let captured = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: the header is alive (the caller's promise), the field plain data.
        let mut owner = unsafe { (*header).owner }?;
        // SAFETY: `owner` is the borrow that the run was started with, which is not used until the run ends.
        Some(WasmBacktrace::of_last_run(unsafe { owner.as_mut() }.objects()))
    }));
    // SAFETY: the header is alive, and there is no reference to it.
    unsafe { (*header).captured = captured.ok().flatten() };
}

struct Walker<'a> {
    store: &'a StoreOpaque,
    /// The instance of the last frame, most likely that of the next.
    instance: Option<&'a InstanceData>,
    frames: Vec<FrameInfo>,
    omitted: usize,
}

impl<'a> Walker<'a> {
    /// Notes a frame and answers where in the frame its record is. `None` for frames without bytecode.
    fn visit(&mut self, raw: &RawFrame) -> Option<u32> {
        if raw.is_native() {
            self.visit_native(raw);
            return None;
        }
        let instance = self.instance(raw.context)?;
        let module = instance.module();
        let (func, bytecode) = module.code().find(instance.variant(), raw.ip)?;
        let index = module.info().func_idx(func).as_u32();
        self.note(module, index, || bytecode.wasm_offset(raw.ip, raw.micro_op));
        Some(bytecode.record_slot())
    }

    /// Notes the functions of a native frame, of which only its code is known: any instance of the module names the module.
    fn visit_native(&mut self, raw: &RawFrame) {
        let Some(place) = crescendo_code::native_code_at(raw.ip) else { return };
        let module = place.info().module;
        if self.instance.is_none_or(|instance| instance.module().id() != module) {
            let found = self.store.instance_of_module(module);
            // SAFETY: instances live as long as the store, which is borrowed.
            self.instance = found.map(|instance| unsafe { instance.as_ref() });
        }
        if let Some(instance) = self.instance {
            for (func_index, offset) in place.frames() {
                self.note(instance.module(), func_index, || offset);
            }
        }
    }

    fn note(&mut self, module: &Module, func_index: u32, offset: impl FnOnce() -> Option<u32>) {
        if self.frames.len() == MOST_FRAMES {
            self.omitted += 1;
        } else {
            self.frames.push(FrameInfo::new(module.clone(), func_index, offset()));
        }
    }

    fn instance(&mut self, context: *mut VmContext) -> Option<&'a InstanceData> {
        let known = self.instance.filter(|instance| ptr::eq(instance.context(), context));
        if known.is_none() {
            // SAFETY: instances live as long as the store, which is borrowed.
            self.instance = self.store.instance_of(context).map(|instance| unsafe { instance.as_ref() });
        }
        self.instance
    }
}
