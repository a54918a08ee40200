//! Runs scripts of the WebAssembly specification's test suite (`.wast`) on Crescendo.
//!
//! In go a configuration and a script's text, out comes a [`Report`]: how many directives passed, and which failed or could
//! not run because they need a proposal that the engine does not have. Used by `crescendo wast` and by the suites under
//! `tests/spec`.
//!
//! * [`run`] runs one script; [`Options`] says which proposals may be missing.
//! * [`Report`] counts; [`Failure`] and [`Skip`] name lines.
//! * `script` executes directives, `values` converts arguments and matches results, `messages` compares errors with the
//!   script's expectations, `spectest` is the module that scripts import.
//!
//! Invariant: a directive is counted exactly once, and one that was not checked never counts as passed.
//!
//! # Examples
//!
//! ```
//! let script = r#"
//!     (module (func (export "double") (param i32) (result i32)
//!         (i32.mul (local.get 0) (i32.const 2))))
//!     (assert_return (invoke "double" (i32.const 21)) (i32.const 42))
//!     (assert_return (invoke "double" (i32.const 1)) (i32.const 3))
//! "#;
//! let report = crescendo_wast::run(&Default::default(), "double.wast", script, &Default::default());
//! assert_eq!(report.passed, 2);
//! assert_eq!(report.failed[0].to_string(), "5: result 0: expected i32 3, found i32 2");
//! ```
#![forbid(unsafe_code)]

mod messages;
mod report;
mod script;
mod spectest;
mod values;

pub use report::{Failure, Report, Skip};

use crescendo::Config;

/// How strictly a script is judged.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Proposals whose absence is no failure: a directive that needs one of them is skipped. Named as in the engine's
    /// refusals, for example `GC`.
    pub may_miss: Vec<String>,
    /// Also skips, instead of failing, whatever needs a proposal that `may_miss` does not name.
    pub may_miss_any: bool,
}

impl Options {
    fn allows(&self, proposal: &str) -> bool {
        self.may_miss_any || self.may_miss.iter().any(|name| name == proposal)
    }
}

/// Runs the script `text` from top to bottom, each module under the configuration `config`.
///
/// A failed directive does not stop the script; what builds on a module that failed to instantiate fails with it. `name`
/// appears in messages only.
pub fn run(config: &Config, name: &str, text: &str, options: &Options) -> Report {
    script::run(config, name, text, options)
}
