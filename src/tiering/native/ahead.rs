//! Translating functions before they are called first.
//!
//! A program that starts calls one function after the other for the first time. So a thread that compiles translates what these
//! functions call, in the hope that it will be called: every second one is. Lua with a short script takes 0.92 of the time so. At first
//! that goes before compiling, from which the program gains later, then behind it. A module's start is over soon, and what is translated
//! for nothing costs processor time: there is a budget, and an end.

use crate::module::{Module, WeakModule};
use crate::tiering::settings::{TieringMode, available_processors};
use crescendo_interp::Variant;
use crescendo_module::DefinedFuncIdx;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Bytes of code from which on a module is worth it: what smaller ones translate takes less than a thread's start.
const LEAST_BYTES: usize = 64 << 10;

/// Bytes of bodies that are translated ahead for a module.
const BUDGET: usize = 96 << 10;

/// How long after a module's first call functions are translated ahead.
const START: Duration = Duration::from_millis(20);

/// How long after a module's first call this goes before compiling. Lua with 0.1 ms of work 7.8 → 7.4 ms (first to third quartile 7.2 to 8.0
/// and 7.3 to 7.6; 31 alternating runs on two cores), with 30 ms no difference.
const FIRST: Duration = Duration::from_millis(10);

/// How long the thread looks for more functions before it says that it is done: waking it takes the guest some microseconds.
const LINGERING: Duration = Duration::from_micros(100);

/// A module's functions that were called first, of which the callees are to be translated.
#[derive(Default)]
pub(super) struct Ahead {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The newest is the last: the guest is there.
    called: Vec<(Variant, DefinedFuncIdx)>,
    /// Whether a job is queued or at work.
    working: bool,
    /// Bytes of bodies that were translated ahead.
    spent: usize,
    /// When a function was called first.
    started: Option<Instant>,
}

impl Ahead {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether compiling waits for this.
    fn goes_first(&self) -> bool {
        self.state().started.is_some_and(|started| started.elapsed() < FIRST)
    }

    /// Takes a body's bytes from the budget. The first that does not fit ends it.
    fn spend(&self, bytes: usize) -> bool {
        let mut state = self.state();
        let fits = state.spent + bytes <= BUDGET;
        state.spent = if fits { state.spent + bytes } else { BUDGET };
        fits
    }
}

/// A function is called first.
pub(crate) fn called_first(module: &Module, variant: Variant, func: DefinedFuncIdx) {
    let Some(tiering) = module.engine().tiering() else { return };
    if tiering.settings().mode != TieringMode::Dynamic || module.info().code_range().len() < LEAST_BYTES {
        return;
    }
    let starts = {
        let mut state = module.tiering().ahead.state();
        if state.spent < BUDGET && state.started.get_or_insert_with(Instant::now).elapsed() > START {
            state.spent = BUDGET;
        }
        if state.spent >= BUDGET {
            return;
        }
        state.called.push((variant, func));
        !std::mem::replace(&mut state.working, true)
    };
    if starts {
        queue(module);
    }
}

/// Has callees translated by a thread that compiles, when it has nothing to compile. Without a thread for it they are not.
fn queue(module: &Module) {
    let Some(tiering) = module.engine().tiering() else { return };
    let weak = module.downgrade();
    let _ = tiering.queue.push_idle(Box::new(move |_| work(&weak)));
}

/// Translates callees until nobody has called a function first for a while, or there is something else to do.
fn work(weak: &WeakModule) {
    let mut idle_since = None;
    loop {
        let Some(module) = weak.upgrade() else { return };
        let Some(tiering) = module.engine().tiering() else { return };
        let ahead = &module.tiering().ahead;
        if available_processors() < 2 {
            // Nothing would run at the same time.
            ahead.state().spent = BUDGET;
        }
        let busy = !tiering.queue.is_empty() && !ahead.goes_first();
        let next = {
            let mut state = ahead.state();
            if state.spent >= BUDGET {
                state.called = Vec::new();
            }
            let next = state.called.pop();
            let mut lingers = || idle_since.get_or_insert_with(Instant::now).elapsed() < LINGERING;
            if next.is_none() && (busy || state.spent >= BUDGET || !lingers()) {
                state.working = false;
                return;
            }
            next
        };
        match next {
            Some((variant, func)) => {
                idle_since = None;
                translate_callees(&module, variant, func);
                if !tiering.queue.is_empty() && !ahead.goes_first() {
                    // Behind it.
                    return queue(&module);
                }
            }
            None => std::hint::spin_loop(),
        }
    }
}

/// Translates the callees of a function that nobody has translated, until something has to be compiled first.
fn translate_callees(module: &Module, variant: Variant, func: DefinedFuncIdx) {
    let Some(tiering) = module.engine().tiering() else { return };
    let translate = |callee| {
        let (code, ahead) = (module.code(), &module.tiering().ahead);
        let bytes = module.info().body_range(callee).len();
        if code.get(variant, callee).is_some() {
            return true;
        }
        let goes_on = (tiering.queue.is_empty() || ahead.goes_first()) && ahead.spend(bytes);
        if goes_on && code.claim(variant, callee) {
            // An error is found again when the function is called.
            let _ = module.translate(variant, callee);
        }
        goes_on
    };
    // The body is valid: it was translated.
    let _ = crescendo_interp::direct_callees(&module.env(), func, translate);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, Engine, Instance, Store, Tiering, Validation};

    /// A module whose function `main`, number 0, calls one of the others if its parameter is not 0, of which the second is invalid. Code that
    /// nobody calls makes it large enough.
    fn module(engine: &Engine) -> Module {
        let padding = "(drop (i32.const 1000000))".repeat(LEAST_BYTES / 4);
        let text = format!(
            "(module
                (func (export \"main\") (param i32) (result i32)
                    (if (result i32) (i32.eqz (local.get 0))
                        (then (i32.const 7))
                        (else (if (result i32) (i32.eq (local.get 0) (i32.const 1))
                            (then (call $callee (i32.const 8)))
                            (else (call $invalid))))))
                (func $callee (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
                (func $invalid (result i32) (i64.const 1))
                (func {padding}))"
        );
        Module::new(engine, wat::parse_str(text).unwrap()).unwrap()
    }

    #[test]
    fn callees_are_translated_and_nobody_can_tell() {
        let mut config = Config::new();
        config.validation(Validation::Lazy).tiering(Tiering::new(TieringMode::Dynamic));
        let engine = Engine::new(&config).unwrap();
        let module = module(&engine);
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        let main = instance.get_typed_func::<i32, i32>(&mut store, "main").unwrap();
        assert_eq!(main.call(&mut store, 0).unwrap(), 7);
        let callee = DefinedFuncIdx::new(1);
        let translated = || module.code().get(Variant::Guarded, callee).is_some();
        let deadline = Instant::now() + Duration::from_secs(20);
        while engine.tiering().is_some()
            && available_processors() > 1
            && (!translated() || module.tiering().ahead.state().working)
        {
            assert!(Instant::now() < deadline, "the callee was not translated");
            std::thread::sleep(Duration::from_millis(1));
        }
        let called = || {
            let functions = module.tiering_report().functions;
            functions.iter().map(|function| function.func_index).collect::<Vec<_>>()
        };
        assert_eq!(called(), [0]);
        assert_eq!(main.call(&mut store, 1).unwrap(), 9);
        assert_eq!(called(), [0, 1]);
        let error = main.call(&mut store, 2).unwrap_err().to_string();
        assert!(error.contains("type mismatch"), "{error}");
        assert_eq!(main.call(&mut store, 1).unwrap(), 9);
    }

    #[test]
    fn the_budget_ends_with_the_first_body_that_does_not_fit() {
        let ahead = Ahead::default();
        assert!(ahead.spend(BUDGET - 10));
        assert!(ahead.spend(10));
        assert!(!ahead.spend(1));
        let ahead = Ahead::default();
        assert!(!ahead.spend(BUDGET + 1));
        assert!(!ahead.spend(1));
    }
}
