//! `crescendo run`.

use super::{Case, check, crescendo, output};

#[test]
fn programs() {
    check(&[
        Case { args: &["run", "hello.wat"], stdout: "hello\n", ..Case::default() },
        Case { args: &["run", "exit.wat"], code: 7, ..Case::default() },
        Case { args: &["run", "cat.wat"], stdin: "one\ntwo", stdout: "one\ntwo", ..Case::default() },
        Case { args: &["run", "strings.wat"], stdout: "strings.wat\0", ..Case::default() },
        Case {
            args: &["run", "--env", "A=1", "--env", "B=x=y", "strings.wat", "-v", "--env", "C=2"],
            stdout: "strings.wat\0-v\0--env\0C=2\0A=1\0B=x=y\0",
            ..Case::default()
        },
        Case {
            args: &["run", "--dir", "files::/dat", "show.wat"],
            stdout: "/dat:the file\n",
            ..Case::default()
        },
        // Without a directory: ENOTDIR.
        Case { args: &["run", "show.wat"], code: 54, ..Case::default() },
        // A module that is done when it is instantiated.
        Case { args: &["run", "silent.wat"], ..Case::default() },
        Case { args: &["run", "empty.wat"], ..Case::default() },
    ]);
}

#[test]
fn invocations() {
    check(&[
        Case { args: &["run", "--invoke", "add", "math.wat", "40", "2"], stdout: "42\n", ..Case::default() },
        Case { args: &["run", "--invoke", "add", "math.wasm", "40", "2"], stdout: "42\n", ..Case::default() },
        Case {
            args: &["run", "--invoke", "add", "math.wat", "-1", "0xffffffff"],
            stdout: "-2\n",
            ..Case::default()
        },
        Case {
            args: &["run", "--invoke", "swap", "math.wat", "-9223372036854775808", "2.5e10"],
            stdout: "25000000000\n-9223372036854775808\n",
            ..Case::default()
        },
        Case { args: &["run", "--invoke", "half", "math.wat", "0.25"], stdout: "0.125\n", ..Case::default() },
        Case { args: &["run", "--invoke", "half", "math.wat", "-inf"], stdout: "-inf\n", ..Case::default() },
        Case { args: &["run", "--invoke", "half", "math.wat", "nan"], stdout: "NaN\n", ..Case::default() },
        Case { args: &["run", "--invoke", "is_null", "math.wat", "null"], stdout: "1\n", ..Case::default() },
        Case { args: &["run", "--invoke", "refs", "math.wat"], stdout: "funcref\nnull\n", ..Case::default() },
        Case { args: &["run", "--invoke", "nothing", "math.wat"], ..Case::default() },
        Case { args: &["run", "--invoke", "ready", "reactor.wat"], stdout: "1\n", ..Case::default() },
    ]);
}

#[test]
fn wrong_invocations() {
    check(&[
        Case {
            args: &["run", "--invoke", "add", "math.wat", "1"],
            code: 1,
            stderr: &["error: `add` takes 2 arguments (i32, i32), 1 given\n"],
            ..Case::default()
        },
        Case {
            args: &["run", "--invoke", "nothing", "math.wat", "1"],
            code: 1,
            stderr: &["error: `nothing` takes no arguments, 1 given\n"],
            ..Case::default()
        },
        Case {
            args: &["run", "--invoke", "add", "math.wat", "1", "two"],
            code: 1,
            stderr: &["error: argument 2 of `add`: expected an i32 (decimal or 0x), found `two`\n"],
            ..Case::default()
        },
        Case {
            args: &["run", "--invoke", "add", "math.wat", "4294967296", "0"],
            code: 1,
            stderr: &["error: argument 1 of `add`: expected an i32"],
            ..Case::default()
        },
        Case {
            args: &["run", "--invoke", "is_null", "math.wat", "0"],
            code: 1,
            stderr: &["error: argument 1 of `is_null`: expected `null` for (ref null extern), found `0`\n"],
            ..Case::default()
        },
        Case {
            args: &["run", "--invoke", "sub", "math.wat"],
            code: 1,
            stderr: &["error: no function `sub`; the module exports `add`, `swap`, `half`"],
            ..Case::default()
        },
        Case {
            args: &["run", "--invoke", "sub", "empty.wat"],
            code: 1,
            stderr: &["error: no function `sub`: the module exports none\n"],
            ..Case::default()
        },
        Case {
            args: &["run", "--invoke", "global", "math.wat"],
            code: 1,
            stderr: &["error: the export `global` is not a function: (global i32)\n"],
            ..Case::default()
        },
        Case {
            args: &["run", "math.wat"],
            code: 1,
            stderr: &["error: the module exports no function `_start`; call another with --invoke: `add`, "],
            ..Case::default()
        },
    ]);
}

#[test]
fn traps() {
    check(&[
        Case {
            args: &["run", "--invoke", "outer", "math.wat", "1", "0"],
            code: 134,
            stderr: &[
                "error: wasm trap: integer divide by zero\n",
                "\nwasm backtrace:\n  0: ",
                " - math!divide\n  1: ",
                " - math!outer\n",
            ],
            ..Case::default()
        },
        Case {
            args: &["run", "--invoke", "peek", "math.wat", "0x10000"],
            code: 134,
            stderr: &["error: wasm trap: out of bounds memory access\n", "math!peek\n"],
            ..Case::default()
        },
        Case {
            args: &["run", "--checked", "--no-fusion", "--invoke", "peek", "math.wat", "-1"],
            code: 134,
            stderr: &["error: wasm trap: out of bounds memory access\n", "math!peek\n"],
            ..Case::default()
        },
        Case {
            args: &["run", "--invoke", "deep", "math.wat", "1"],
            code: 134,
            stderr: &["error: wasm trap: call stack exhausted\n", "math!deep\n"],
            ..Case::default()
        },
        Case {
            args: &["run", "--fuel", "10000", "--invoke", "loop", "math.wat"],
            code: 134,
            stderr: &["error: wasm trap: all fuel consumed by WebAssembly\n", "math!loop\n"],
            ..Case::default()
        },
        Case {
            args: &["run", "start.wat"],
            code: 134,
            stderr: &["error: wasm trap: unreachable\n", "main\n"],
            ..Case::default()
        },
        // A guest that breaks WASI's rules counts as trapped.
        Case {
            args: &["run", "wasi.wat"],
            code: 134,
            stderr: &["error: the wasi function `random_get` failed: ", "main\n"],
            ..Case::default()
        },
    ]);
}

#[test]
fn every_mode_gives_the_same() {
    for flags in [
        &["--no-fusion"][..],
        &["--checked"],
        &["--lazy"],
        &["--fuel", "100000"],
        &["--lazy", "--checked", "--no-fusion"],
    ] {
        for (rest, code, stdout) in [
            (&["hello.wat"][..], 0, "hello\n"),
            (&["--invoke", "add", "math.wat", "40", "2"], 0, "42\n"),
            (&["--invoke", "peek", "math.wat", "65533"], 134, ""),
        ] {
            let args: Vec<&str> = ["run"].iter().chain(flags).chain(rest).copied().collect();
            let (found, out, err) = super::output(super::crescendo(&args), "");
            assert_eq!((found, &*out), (Some(code), stdout), "{args:?}: {err}");
        }
    }
}

#[test]
fn modules_that_cannot_run() {
    check(&[
        Case {
            args: &["run", "missing.wasm"],
            code: 1,
            stderr: &["error: missing.wasm: ", "o such file"],
            ..Case::default()
        },
        Case { args: &["run", "files"], code: 1, stderr: &["error: files: ", "irectory"], ..Case::default() },
        Case { args: &["run", "random.wasm"], code: 1, stderr: &["error: random.wasm: "], ..Case::default() },
        Case {
            args: &["run", "cut.wasm"],
            code: 1,
            stderr: &["error: cut.wasm: ", "offset 0x"],
            ..Case::default()
        },
        Case { args: &["run", "text.wat"], code: 1, stderr: &["error: text.wat: "], ..Case::default() },
        Case {
            args: &["run", "imports.wat"],
            code: 1,
            stderr: &[
                "error: 3 unknown imports:\n",
                "env::one",
                "env::two",
                "other::three",
                "(func (param i32))",
            ],
            ..Case::default()
        },
        Case {
            args: &["run", "--invoke", "wide", "wide.wat"],
            code: 1,
            stderr: &["error: wide.wat: ", "the wide arithmetic proposal is switched off"],
            ..Case::default()
        },
        Case {
            args: &["run", "--allow", "wide-arithmetic", "--invoke", "wide", "wide.wat"],
            stdout: "1\n",
            ..Case::default()
        },
        Case {
            args: &["validate", "--allow", "gc", "wide.wat"],
            code: 2,
            stderr: &["no supported proposal; there are mutable-globals, ", "legacy-exception-handling"],
            ..Case::default()
        },
        Case {
            args: &["validate", "--forbid", "SIMD", "vector.wat"],
            code: 1,
            stderr: &["error: vector.wat: ", "the SIMD proposal is switched off"],
            ..Case::default()
        },
        Case {
            args: &["run", "gc.wat"],
            code: 1,
            stderr: &["error: gc.wat: ", "the GC proposal is not supported"],
            ..Case::default()
        },
        Case {
            args: &["run", "--dir", "missing", "hello.wat"],
            code: 1,
            stderr: &["error: cannot open the directory missing: ", "o such file"],
            ..Case::default()
        },
    ]);
}

#[test]
fn lazy_validation_finds_errors_when_a_function_is_called() {
    check(&[
        Case { args: &["run", "--lazy", "invalid.wat"], ..Case::default() },
        Case {
            args: &["run", "invalid.wat"],
            code: 1,
            stderr: &["error: invalid.wat: function 0 `wrong`: type mismatch", "offset 0x"],
            ..Case::default()
        },
    ]);
}

#[test]
fn tiers() {
    for tier in ["interpreter", "eager", "dynamic", "synchronous"] {
        let args = [
            "run",
            "--tier",
            tier,
            "--tier-calls",
            "1",
            "--tier-report",
            "--invoke",
            "add",
            "math.wat",
            "1",
            "2",
        ];
        let (code, stdout, stderr) = output(crescendo(&args), "");
        assert_eq!((code, &*stdout), (Some(0), "3\n"), "{tier}: {stderr}");
        let state = stderr.lines().find(|line| line.trim_start().starts_with("0 ")).unwrap_or_default();
        let expected: &[&str] = match tier {
            "interpreter" => &["interpreted"],
            "dynamic" => &["interpreted", "queued", "compiled"],
            _ => &["compiled"],
        };
        assert!(expected.iter().any(|expected| state.contains(expected)), "{tier}: {stderr}");
    }
}

#[test]
fn a_profiler_learns_names() {
    let dir = std::env::temp_dir().join(format!("crescendo-profile-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a directory for the dump");
    let module = super::inputs::dir().join("math.wat");
    let module = module.to_str().expect("its name is text");
    for form in ["perfmap", "jitdump"] {
        let args = ["run", "--tier", "eager", "--profile", form, "--invoke", "add", module, "1", "2"];
        let mut command = crescendo(&args);
        command.current_dir(&dir).stdout(std::process::Stdio::piped());
        let child = command.spawn().expect("the command line starts");
        let id = child.id();
        let output = child.wait_with_output().expect("the command line ends");
        assert_eq!(output.stdout, b"3\n", "{form}");
        let file = match form {
            "perfmap" => std::path::PathBuf::from(format!("/tmp/perf-{id}.map")),
            _ => dir.join(format!("jit-{id}.dump")),
        };
        let bytes = std::fs::read(&file).expect("the profile was written");
        std::fs::remove_file(&file).expect("the profile can be removed");
        assert!(bytes.windows(13).any(|part| part == b"wasm::func[0]"), "{form}: {} bytes", bytes.len());
        assert!(form != "jitdump" || bytes.starts_with(&0x4a69_5444u32.to_ne_bytes()), "{form}");
    }
    std::fs::remove_dir_all(&dir).expect("the directory can be removed");
}
