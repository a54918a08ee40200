//! The command line as its users see it: arguments in; stdout, stderr and exit code out.
//!
//! [`Case`] is a row of the tables; the modules group them by command. Inputs stand in `inputs.rs` and are written once.

mod inputs;
mod run;
mod streams;
mod tools;

use std::io::Write;
use std::process::{Command, Stdio};

/// One run of the command line, and what is expected of it.
#[derive(Clone, Copy, Default)]
struct Case {
    args: &'static [&'static str],
    stdin: &'static str,
    code: i32,
    /// All of stdout.
    stdout: &'static str,
    /// Parts of stderr; it has to be empty when there are none.
    stderr: &'static [&'static str],
}

/// The command line with these arguments, run in the directory of the inputs.
fn crescendo(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crescendo"));
    command.args(args).current_dir(inputs::dir()).stdin(Stdio::null());
    command
}

/// Runs a command with this text as its stdin; gives its exit code, stdout and stderr. A signal has no exit code.
fn output(mut command: Command, stdin: &str) -> (Option<i32>, String, String) {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the command line starts");
    // A command that does not read its stdin may have closed it.
    let _ = child.stdin.take().expect("stdin is a pipe").write_all(stdin.as_bytes());
    let output = child.wait_with_output().expect("the command line ends");
    let text = |bytes| String::from_utf8(bytes).expect("the output is text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Runs every row and reports all that differ.
#[track_caller]
fn check(cases: &[Case]) {
    let mut problems = String::new();
    for case in cases {
        let (code, stdout, stderr) = output(crescendo(case.args), case.stdin);
        let silent = case.stderr.is_empty() && !stderr.is_empty();
        let missing: Vec<_> = case.stderr.iter().filter(|part| !stderr.contains(**part)).collect();
        if code != Some(case.code) || stdout != case.stdout || silent || !missing.is_empty() {
            problems.push_str(&format!(
                "\n{:?}: code {code:?}, expected {}\nstdout: {stdout}expected: {}\nstderr: {stderr}missing: {missing:?}\n",
                case.args, case.code, case.stdout
            ));
        }
    }
    assert!(problems.is_empty(), "{problems}");
}
