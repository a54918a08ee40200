//! Sections with hints: their forms, and that malformed ones say nothing.

use super::*;
use crate::{FuncIdx, Hints, Priority};

/// A module of three functions, of which the first is imported, with a custom section before its code or behind it.
fn module(name: &str, contents: &[u8], behind: bool) -> Vec<u8> {
    let escaped: String = contents.iter().map(|byte| format!("\\{byte:02x}")).collect();
    let place = if behind { "after code" } else { "before code" };
    wat(&format!(r#"(module (import "" "" (func)) (func) (func) (@custom "{name}" ({place}) "{escaped}"))"#))
}

fn hints<R>(name: &str, contents: &[u8], behind: bool, look: impl FnOnce(&Hints) -> R) -> R {
    let bytes = module(name, contents, behind);
    let info = parse_default(&bytes).unwrap();
    look(info.hints(&bytes))
}

const F: FuncIdx = FuncIdx::new(1);
const G: FuncIdx = FuncIdx::new(2);

#[test]
fn each_section_is_read() {
    hints(
        "metadata.code.branch_hint",
        b"\x02\x01\x02\x05\x01\x00\x07\x01\x01\x02\x01\x05\x01\x01",
        false,
        |hints| {
            assert_eq!(
                (hints.branch(F, 5), hints.branch(F, 7), hints.branch(G, 5)),
                (Some(false), Some(true), Some(true))
            );
            assert_eq!((hints.branch(F, 6), hints.branch(G, 7)), (None, None));
        },
    );
    hints(
        "metadata.code.compilation_priority",
        b"\x02\x01\x01\x00\x01\x03\x02\x01\x00\x03\x01\x0a\x09",
        false,
        |hints| {
            assert_eq!(hints.priority(F), Some(Priority { compilation: 3, optimization: None }));
            assert_eq!(
                hints.priority(G),
                Some(Priority { compilation: 1, optimization: Some(10) }),
                "with a later addition"
            );
            assert_eq!(hints.priority(FuncIdx::new(0)), None);
        },
    );
    hints("metadata.code.instr_freq", b"\x01\x01\x02\x02\x01\x26\x09\x01\x20", false, |hints| {
        assert_eq!(
            (hints.frequency(F, 2), hints.highest_frequency(F), hints.highest_frequency(G)),
            (Some(38), Some(38), None)
        );
    });
    hints("metadata.code.call_targets", b"\x01\x01\x01\x04\x04\x01\x49\x02\x15", false, |hints| {
        assert_eq!(hints.call_targets(F, 4), [(F, 73), (G, 21)]);
        assert_eq!((hints.largest_part(G), hints.largest_part(FuncIdx::new(0))), (21, 0));
        assert!(hints.call_targets(F, 5).is_empty());
    });
    hints("compilationHints", b"\x02\x01\x02", false, |hints| {
        assert_eq!((hints.priority(F), hints.priority(G).map(|p| p.compilation)), (None, Some(0)));
    });
}

#[test]
fn malformed_and_misplaced_sections_say_nothing() {
    let branch = b"\x01\x01\x01\x05\x01\x00";
    hints("metadata.code.branch_hint", branch, false, |hints| assert_eq!(hints.branch(F, 5), Some(false)));
    hints("metadata.code.branch_hint", branch, true, |hints| assert_eq!(hints.branch(F, 5), None));
    let cases: &[(&str, &[u8])] = &[
        ("a second value", b"\x01\x01\x01\x05\x02\x00\x00"),
        ("a value that is no truth value", b"\x01\x01\x01\x05\x01\x02"),
        ("an end too early", b"\x01\x01\x02\x05\x01\x00"),
        ("bytes behind the end", b"\x01\x01\x01\x05\x01\x00\x00"),
        ("offsets that do not ascend", b"\x01\x01\x02\x05\x01\x00\x05\x01\x00"),
        ("functions that do not ascend", b"\x02\x01\x01\x05\x01\x00\x01\x01\x07\x01\x00"),
        ("no contents", b""),
        ("a number that does not fit", b"\xff\xff\xff\xff\xff\x01"),
    ];
    for (what, contents) in cases {
        hints("metadata.code.branch_hint", contents, false, |hints| {
            assert_eq!(hints.branch(F, 5), None, "{what}")
        });
    }
    hints("metadata.code.call_targets", b"\x01\x01\x01\x04\x04\x01\x49\x02\x25", false, |hints| {
        assert!(hints.call_targets(F, 4).is_empty(), "more than 100 percent");
    });
    hints("compilationHints", b"\x01\x02", false, |hints| assert_eq!(hints.priority(F), None));
}
