//! What a script's run amounted to.

use std::fmt;

/// The outcome of a script: each directive is in exactly one of the three parts.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The number of directives that did what they should: modules that instantiated, calls, assertions that held.
    pub passed: usize,
    /// What did not, in the script's order.
    pub failed: Vec<Failure>,
    /// What could not be checked, in the script's order.
    pub skipped: Vec<Skip>,
}

impl Report {
    /// Whether nothing failed.
    pub fn is_success(&self) -> bool {
        self.failed.is_empty()
    }
}

/// A directive that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The line on which the directive starts, counted from 1.
    pub line: usize,
    /// What went wrong.
    pub message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.line, self.message)
    }
}

/// A directive that needs a proposal which the engine does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skip {
    /// The line on which the directive starts, counted from 1.
    pub line: usize,
    /// The missing proposal.
    pub proposal: String,
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: needs {}", self.line, self.proposal)
    }
}
