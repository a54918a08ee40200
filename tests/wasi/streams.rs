//! Arguments, environment, standard streams and exit codes.

use super::{run, run_module};
use crescendo_wasi::pipe::{ReadPipe, WritePipe};

/// A guest that writes the strings that `$get` and `$sizes` give, each with its final zero byte.
fn strings(sizes: &str, get: &str) -> String {
    format!(
        r#"(func $main
            (call $ok (call {sizes} (i32.const 0) (i32.const 4)))
            (i32.store (i32.const 32) (i32.load (i32.const 4)))
            (call $ok (call {get} (i32.const 64) (i32.const 1024)))
            (call $write (i32.const 1) (i32.load (i32.const 64)) (i32.load (i32.const 32))))"#
    )
}

#[test]
fn arguments() {
    let guest = strings("$args_sizes_get", "$args_get");
    let outcome = run(&guest, |ctx| {
        ctx.args(&["prog".to_owned(), "--x".to_owned(), "größe".to_owned()]).unwrap();
    });
    assert_eq!(outcome.success(), "prog\0--x\0größe\0");
}

#[test]
fn environment() {
    let guest = strings("$environ_sizes_get", "$environ_get");
    let outcome = run(&guest, |ctx| {
        ctx.env("HOME", "/").unwrap().env("EMPTY", "").unwrap();
    });
    assert_eq!(outcome.success(), "HOME=/\0EMPTY=\0");
}

#[test]
fn nothing_is_inherited() {
    let guest = r#"(func $main
        (call $ok (call $environ_sizes_get (i32.const 0) (i32.const 4)))
        (call $expect (i32.eqz (i32.load (i32.const 0))) (i32.const 1))
        (call $ok (call $args_sizes_get (i32.const 0) (i32.const 4)))
        (call $expect (i32.eqz (i32.load (i32.const 0))) (i32.const 2))
        ;; EBADF: no directory is preopened.
        (call $expect (i32.eq (call $fd_prestat_get (i32.const 3) (i32.const 16)) (i32.const 8)) (i32.const 3))
        (call $expect (i32.eqz (call $read (i32.const 0) (i32.const 64) (i32.const 10))) (i32.const 4)))"#;
    assert_eq!(run(guest, |_| {}).success(), "");
}

#[test]
fn stdin_is_copied_to_stdout_and_stderr() {
    let guest = r#"(func $main (local $len i32)
        (loop $more
            (local.set $len (call $read (i32.const 0) (i32.const 64) (i32.const 5)))
            (if (local.get $len) (then
                (call $write (i32.const 1) (i32.const 64) (local.get $len))
                (call $write (i32.const 2) (i32.const 64) (local.get $len))
                (br $more)))))"#;
    let outcome = run(guest, |ctx| {
        ctx.stdin(Box::new(ReadPipe::from("hello, wide world\n")));
    });
    assert_eq!((outcome.exit, &*outcome.stdout), (Ok(0), "hello, wide world\n"));
    assert_eq!(outcome.stderr, outcome.stdout);
}

#[test]
fn a_list_of_buffers_is_gathered() {
    let guest = r#"
        (data (i32.const 64) "one, two")
        ;; "two", nothing, "one"
        (data (i32.const 128) "\45\00\00\00\03\00\00\00" "\40\00\00\00\00\00\00\00" "\40\00\00\00\03\00\00\00")
        (func $main
            (call $ok (call $fd_write (i32.const 1) (i32.const 128) (i32.const 3) (i32.const 8)))
            (call $expect (i32.eq (i32.load (i32.const 8)) (i32.const 6)) (i32.const 1)))"#;
    assert_eq!(run(guest, |_| {}).success(), "twoone");
}

#[test]
fn exit_codes() {
    for code in [0, 1, 7, 125, 255, 256, -1, i32::MAX, i32::MIN] {
        // What follows the call never runs.
        let guest = format!("(func $main (call $proc_exit (i32.const {code})) unreachable)");
        assert_eq!(run(&guest, |_| {}).exit, Ok(code));
    }
}

#[test]
fn an_exit_deep_in_calls_ends_the_guest() {
    let guest = r#"
        (func $down (param i32)
            (if (local.get 0)
                (then (call $down (i32.sub (local.get 0) (i32.const 1))))
                (else (call $proc_exit (i32.const 3)))))
        (func $main (call $down (i32.const 1000)))"#;
    assert_eq!(run(guest, |_| {}).exit, Ok(3));
}

#[test]
fn a_closed_pipe_is_an_errno() {
    let guest = r#"
        (data (i32.const 64) "text\n")
        (func $main
            (call $proc_exit (call $try_write (i32.const 1) (i32.const 64) (i32.const 5))))"#;
    let outcome = run(guest, |ctx| {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        ctx.stdout(Box::new(WritePipe::new(writer)));
    });
    assert_eq!(outcome.exit, Ok(64), "EPIPE");
}

#[test]
fn streams_know_their_direction() {
    let guest = r#"(func $main
        (call $expect (i32.eq (call $try_write (i32.const 0) (i32.const 64) (i32.const 1)) (i32.const 8)) (i32.const 1))
        (call $expect (i32.eq (call $fd_read (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)) (i32.const 8))
            (i32.const 2)))"#;
    assert_eq!(run(guest, |_| {}).success(), "");
}

#[test]
fn the_snapshot_before_preview_1_works() {
    let guest = r#"(module
        (import "wasi_unstable" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
        (import "wasi_unstable" "proc_exit" (func $proc_exit (param i32)))
        (memory (export "memory") 1)
        (data (i32.const 0) "\10\00\00\00\04\00\00\00")
        (data (i32.const 16) "old\n")
        (func (export "_start")
            (call $proc_exit (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#;
    assert_eq!(run_module(guest, |_| {}).success(), "old\n");
}
