//! `validate`, `wast`, `inspect`, `disas`, `compile`, and usage.

use super::{Case, check, crescendo, output};

#[test]
fn validate() {
    check(&[
        Case { args: &["validate", "math.wat"], ..Case::default() },
        Case { args: &["validate", "math.wasm"], ..Case::default() },
        Case {
            args: &["validate", "invalid.wat"],
            code: 1,
            stderr: &["error: invalid.wat: function 0 `wrong`: type mismatch", "(at offset 0x"],
            ..Case::default()
        },
        Case { args: &["validate", "cut.wasm"], code: 1, stderr: &["error: cut.wasm: "], ..Case::default() },
        Case { args: &["validate", "missing"], code: 1, stderr: &["error: missing: "], ..Case::default() },
    ]);
}

#[test]
fn wast() {
    check(&[
        Case { args: &["wast", "good.wast"], stdout: "good.wast: 3 passed, 0 failed\n", ..Case::default() },
        Case {
            args: &["wast", "--no-fusion", "--checked", "--lazy", "good.wast", "bad.wast"],
            code: 1,
            stdout: "good.wast: 3 passed, 0 failed\n\
                     bad.wast: 2 passed, 2 failed\n\
                     bad.wast:2: result 0: expected i32 3, found i32 2\n\
                     bad.wast:3: expected the trap `unreachable`, it returned 1 results\n",
            ..Case::default()
        },
        Case {
            args: &["wast", "gc.wast"],
            code: 1,
            stdout: "gc.wast: 1 passed, 1 failed\ngc.wast:1: needs a proposal that is not supported: GC\n",
            ..Case::default()
        },
        Case {
            args: &["wast", "--skip", "GC", "gc.wast"],
            stdout: "gc.wast: 1 passed, 0 failed, 1 skipped\n",
            ..Case::default()
        },
        Case {
            args: &["wast", "missing.wast"],
            code: 1,
            stderr: &["error: missing.wast: "],
            ..Case::default()
        },
        Case {
            args: &["wast", "random.wasm"],
            code: 1,
            stderr: &["error: random.wasm: "],
            ..Case::default()
        },
    ]);
}

#[test]
fn a_script_that_cannot_be_parsed_fails_on_its_line() {
    let (code, stdout, _) = output(crescendo(&["wast", "broken.wast"]), "");
    assert_eq!(code, Some(1));
    let expected = "broken.wast: 0 passed, 1 failed\nbroken.wast:2: cannot parse the script broken.wast: ";
    assert!(stdout.starts_with(expected), "{stdout}");
}

#[test]
fn inspect() {
    check(&[
        Case {
            args: &["inspect", "imports.wat"],
            stdout: "\
size: 79 bytes, 2 of them code
functions: 1 imported, 1 defined, 0 with a name

imports: 3
  env    one    (func (param i32))
  env    two    (memory 1)
  other  three  (global (mut i64))

exports: 1
  _start  (func)
",
            ..Case::default()
        },
        Case {
            args: &["inspect", "--functions", "invalid.wat"],
            code: 1,
            stderr: &["error: invalid.wat: "],
            ..Case::default()
        },
        Case {
            args: &["inspect", "empty.wat"],
            stdout: "size: 8 bytes, 0 of them code\nfunctions: 0 imported, 0 defined, 0 with a name\n",
            ..Case::default()
        },
    ]);
}

#[test]
fn inspect_names_and_functions() {
    let (code, stdout, stderr) = output(crescendo(&["inspect", "--functions", "math.wasm"]), "");
    assert_eq!((code, &*stderr), (Some(0), ""));
    for part in [
        "name: math\n",
        "functions: 0 imported, 11 defined, 6 with a name\n",
        "\ncustom sections: 1\n  name  ",
        "\nfunctions: 11\n  0   ",
        "\n  6   7 bytes   (func (param i32 i32) (result i32))                divide\n",
    ] {
        assert!(stdout.contains(part), "{part:?} in:\n{stdout}");
    }
    assert!(stdout.lines().all(|line| line == line.trim_end()), "{stdout}");
}

#[test]
fn inspect_shows_what_has_a_name() {
    for (args, parts) in [
        (&["inspect", "named.wat"][..], ["\nnames: 5\n", "  memory 0        m\n", "  global 0        g\n"]),
        (
            &["inspect", "--functions", "named.wat"],
            ["\nnames: 7\n", "  local 0.0       p\n", "  label 0.0       l\n"],
        ),
    ] {
        let (code, stdout, stderr) = output(crescendo(args), "");
        assert_eq!((code, &*stderr), (Some(0), ""));
        for part in parts {
            assert!(stdout.contains(part), "{part:?} in:\n{stdout}");
        }
        assert!(stdout.contains("(memory 10 20 (pagesize 1))"), "{stdout}");
    }
}

#[test]
fn disas() {
    for args in [
        &["disas", "math.wat", "divide"][..],
        &["disas", "math.wat", "6"],
        &["disas", "--no-fusion", "math.wat"],
    ] {
        let (code, stdout, stderr) = output(crescendo(args), "");
        assert_eq!((code, &*stderr), (Some(0), ""), "{args:?}");
        assert!(stdout.lines().count() > 1, "{args:?}: {stdout}");
    }
    check(&[
        Case {
            args: &["disas", "math.wat", "sub"],
            code: 1,
            stderr: &[
                "error: no function is called `sub` in the name section; a function's index works too\n",
            ],
            ..Case::default()
        },
        Case {
            args: &["disas", "math.wat", "99"],
            code: 1,
            stderr: &["error: the module defines no function 99\n"],
            ..Case::default()
        },
    ]);
}

#[test]
fn usage() {
    check(&[
        Case {
            args: &["--version"],
            stdout: concat!("crescendo ", env!("CARGO_PKG_VERSION"), "\n"),
            ..Case::default()
        },
        Case {
            args: &["play"],
            code: 2,
            stderr: &["error: unrecognized subcommand 'play'"],
            ..Case::default()
        },
        Case { args: &["run"], code: 2, stderr: &["error: ", "<FILE>"], ..Case::default() },
        Case {
            args: &["run", "--turbo", "hello.wat"],
            code: 2,
            stderr: &["error: unexpected argument '--turbo'"],
            ..Case::default()
        },
        Case {
            args: &["run", "--env", "A", "hello.wat"],
            code: 2,
            stderr: &["expected NAME=VALUE"],
            ..Case::default()
        },
        Case {
            args: &["run", "--dir", "::x", "hello.wat"],
            code: 2,
            stderr: &["expected HOST or HOST::GUEST"],
            ..Case::default()
        },
        Case {
            args: &["run", "--fuel", "some", "hello.wat"],
            code: 2,
            stderr: &["invalid digit"],
            ..Case::default()
        },
        Case { args: &["wast"], code: 2, stderr: &["<FILES>"], ..Case::default() },
    ]);
    let (code, _, stderr) = output(crescendo(&[]), "");
    assert_eq!(code, Some(2));
    assert!(stderr.contains("Usage: crescendo <COMMAND>"), "{stderr}");
    let (code, stdout, _) = output(crescendo(&["run", "--help"]), "");
    assert_eq!(code, Some(0));
    assert!(stdout.contains("--dir <HOST[::GUEST]>"), "{stdout}");
}

#[test]
fn compile() {
    for (args, part) in [
        (&["compile", "math.wat", "divide"][..], "ret"),
        (&["compile", "--emit", "clif", "math.wat", "6"], "function"),
        (&["compile", "--emit", "asm", "--checked", "math.wat"], "ret"),
    ] {
        let (code, stdout, stderr) = output(crescendo(args), "");
        assert_eq!((code, &*stderr), (Some(0), ""), "{args:?}");
        assert!(stdout.lines().count() > 1 && stdout.contains(part), "{args:?}: {stdout}");
    }
    check(&[
        Case {
            args: &["compile", "math.wat", "sub"],
            code: 1,
            stderr: &["error: no function is called `sub` in the name section"],
            ..Case::default()
        },
        Case {
            args: &["compile", "--emit", "elf", "math.wat"],
            code: 2,
            stderr: &["elf"],
            ..Case::default()
        },
        Case { args: &["compile", "cut.wasm"], code: 1, stderr: &["error: cut.wasm: "], ..Case::default() },
    ]);
}
