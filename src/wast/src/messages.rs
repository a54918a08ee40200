//! What an error of the engine says in the terms of a script: a proposal that is missing, a trap, a failed import.

use crescendo::{Error, ErrorKind};

/// Why a directive did not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It did something else than expected.
    Failed(String),
    /// It needs this proposal, which the engine does not have.
    Missing(String),
}

impl Stop {
    pub(crate) fn failed(message: impl Into<String>) -> Stop {
        Stop::Failed(message.into())
    }

    /// The stop for an error where none was expected; `doing` is what failed.
    pub(crate) fn unexpected(doing: &str, error: &Error) -> Stop {
        match missing_proposal(error) {
            Some(proposal) => Stop::Missing(proposal),
            None => Stop::Failed(format!("{doing}: {error:#}")),
        }
    }
}

/// The proposal that the engine refused a module for.
pub(crate) fn missing_proposal(error: &Error) -> Option<String> {
    match error.kind() {
        ErrorKind::Module(error) => error.proposal().map(|proposal| proposal.name().to_owned()),
        _ => None,
    }
}

/// Checks that `error` is a trap with the message that a script expects.
pub(crate) fn check_trap(error: &Error, expected: &str) -> Result<(), Stop> {
    let Some(trap) = error.trap() else {
        return Err(Stop::unexpected(&format!("expected the trap `{expected}`, found the error"), error));
    };
    let found = trap.code().message();
    if trap_matches(found, expected) {
        return Ok(());
    }
    Err(Stop::failed(format!("expected the trap `{expected}`, found the trap `{found}`")))
}

/// Scripts may cut a message short (`indirect call`) or add the element's index (`uninitialized element 2`).
fn trap_matches(found: &str, expected: &str) -> bool {
    if found.starts_with(expected) {
        return true;
    }
    match expected.rsplit_once(' ') {
        Some((message, index)) => message == found && index.bytes().all(|b| b.is_ascii_digit()),
        None => false,
    }
}

/// Checks that `error` finds a module invalid or malformed; which of its rules is broken is left open.
///
/// A proposal that is switched off is a rule like any other: scripts that are older than it expect the refusal. One that the
/// engine does not know leaves open whether the module is invalid with it, too.
pub(crate) fn check_refused(error: &Error, expected: &str) -> Result<(), Stop> {
    match error.kind() {
        ErrorKind::Module(error) => match error.proposal() {
            Some(proposal) if !proposal.is_supported() => Err(Stop::Missing(proposal.name().to_owned())),
            _ => Ok(()),
        },
        _ => Err(Stop::failed(format!("expected `{expected}`, found the error: {error:#}"))),
    }
}

/// Checks that `error` refuses an instantiation for the reason that a script expects.
pub(crate) fn check_unlinkable(error: &Error, expected: &str) -> Result<(), Stop> {
    let found = match error.kind() {
        ErrorKind::UnknownImports(_) => "unknown import",
        ErrorKind::IncompatibleImport(_) => "incompatible import type",
        _ => return Err(Stop::unexpected("expected a failed import, found the error", error)),
    };
    if found.starts_with(expected) {
        return Ok(());
    }
    Err(Stop::failed(format!("expected the link error `{expected}`, found: {error:#}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trap_messages_match_by_prefix_or_index() {
        let table = [
            ("out of bounds memory access", "out of bounds memory access", true),
            ("out of bounds memory access", "out of bounds", true),
            ("indirect call type mismatch", "indirect call", true),
            ("uninitialized element", "uninitialized element 2", true),
            ("uninitialized element", "uninitialized", true),
            ("uninitialized element", "uninitialized element x", false),
            ("undefined element", "uninitialized element", false),
            ("out of bounds", "out of bounds memory access", false),
        ];
        for (found, expected, matches) in table {
            assert_eq!(trap_matches(found, expected), matches, "{found} as {expected}");
        }
    }
}
