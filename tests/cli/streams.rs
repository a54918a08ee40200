//! Streams that nobody reads or that are full: an exit code, never a panic or a signal.

use std::fs::OpenOptions;
use std::process::Stdio;

use super::crescendo;

/// Runs with these streams; gives the exit code and what is readable of stderr.
fn with_streams(args: &[&str], stdout: Stdio, stderr: Stdio) -> (Option<i32>, String) {
    let output = crescendo(args).stdout(stdout).stderr(stderr).output().expect("the command line starts");
    (output.status.code(), String::from_utf8(output.stderr).expect("stderr is text"))
}

/// The writing end of a pipe that nobody reads.
fn closed() -> Stdio {
    let (reader, writer) = std::io::pipe().expect("a pipe can be made");
    drop(reader);
    writer.into()
}

fn full() -> Stdio {
    OpenOptions::new().write(true).open("/dev/full").expect("/dev/full can be opened").into()
}

#[test]
fn a_closed_stdout_ends_a_command_quietly() {
    for args in [
        &["inspect", "math.wat"][..],
        &["disas", "math.wat"],
        &["wast", "good.wast"],
        &["run", "--invoke", "add", "math.wat", "1", "2"],
        &["--version"],
        &["--help"],
    ] {
        assert_eq!(with_streams(args, closed(), Stdio::piped()), (Some(0), String::new()), "{args:?}");
    }
}

#[test]
fn a_full_stdout_is_an_error() {
    for args in [&["inspect", "math.wat"][..], &["run", "--invoke", "add", "math.wat", "1", "2"]] {
        let (code, stderr) = with_streams(args, full(), Stdio::piped());
        assert_eq!(code, Some(1), "{args:?}");
        assert!(stderr.starts_with("error: cannot write to stdout: "), "{args:?}: {stderr}");
    }
}

#[test]
fn a_guest_gets_an_errno_for_a_stream_that_takes_nothing() {
    // EPIPE and ENOSPC, which this guest exits with.
    assert_eq!(with_streams(&["run", "hello.wat"], closed(), Stdio::piped()), (Some(64), String::new()));
    assert_eq!(with_streams(&["run", "hello.wat"], full(), Stdio::piped()), (Some(51), String::new()));
}

#[test]
fn a_closed_stderr_hides_messages_only() {
    let table = [
        (&["run", "missing.wasm"][..], 1),
        (&["run", "--invoke", "peek", "math.wat", "-1"], 134),
        (&["run"], 2),
    ];
    for (args, code) in table {
        assert_eq!(with_streams(args, Stdio::piped(), closed()).0, Some(code), "{args:?}");
        assert_eq!(with_streams(args, Stdio::piped(), full()).0, Some(code), "{args:?}");
    }
}
