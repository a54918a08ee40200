//! Operators without a row, and why: the list that keeps the rows honest.

/// The proposal that brings an operator without a row, by the operator's name in wasmparser; `None` when no reason is known.
///
/// wasmparser names operators after the text format: `I8x16Add`, `I32AtomicLoad`, `StructNew`.
pub fn reason(operator: &str) -> Option<&'static str> {
    const GC: &[&str] = &[
        "Struct",
        "Array",
        "RefI31",
        "I31",
        "RefTest",
        "RefCast",
        "BrOnCast",
        "RefEq",
        "AnyConvert",
        "ExternConvert",
        "RefGet",
    ];
    // What else than memories has atomic operators there.
    const SHARED: &[&str] = &["Global", "Table", "Struct", "Array"];
    const STACK_SWITCHING: &[&str] = &["Cont", "Suspend", "Resume", "Switch"];
    let starts = |list: &[&str]| list.iter().any(|prefix| operator.starts_with(prefix));
    if operator == "Pause" || operator.contains("Atomic") && starts(SHARED) {
        Some("shared-everything threads")
    } else if starts(GC) {
        Some("garbage collection")
    } else if starts(STACK_SWITCHING) {
        Some("stack switching")
    } else if operator == "TypedSelectMulti" {
        Some("a select of several values, which no proposal allows")
    } else if operator == "MemoryDiscard" {
        Some("memory control")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::reason;
    use crate::Op;

    macro_rules! operator_names {
        ($(@$proposal:ident $op:ident $({ $($payload:tt)* })? => $visit:ident ($($ann:tt)*))*) => {
            &[$(stringify!($op)),*]
        };
    }

    #[test]
    fn every_operator_has_a_row_or_a_reason() {
        let names: &[&str] = wasmparser::for_each_operator!(operator_names);
        assert!(names.len() > 500);
        for name in names {
            let has_row = Op::ALL.iter().any(|op| format!("{op:?}") == *name);
            match (has_row, reason(name)) {
                (true, None) | (false, Some(_)) => {}
                (true, Some(r)) => panic!("{name} has a row and a reason ({r})"),
                (false, None) => panic!("{name} has neither a row nor a reason"),
            }
        }
    }
}
