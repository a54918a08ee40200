//! Clocks, randomness, waiting.

use super::run;
use crescendo_wasi::{Dir, ambient_authority};

#[test]
fn clocks_advance() {
    let guest = r#"
        (func $now (param $clock i32) (result i64)
            (call $ok (call $clock_time_get (local.get $clock) (i64.const 1) (i32.const 16)))
            (i64.load (i32.const 16)))
        (func $main (local $before i64)
            ;; The real time is past 2020, in nanoseconds.
            (call $expect (i64.gt_u (call $now (i32.const 0)) (i64.const 1577836800000000000)) (i32.const 1))
            (local.set $before (call $now (i32.const 1)))
            (call $ok (call $sched_yield))
            (call $expect (i64.ge_u (call $now (i32.const 1)) (local.get $before)) (i32.const 2))
            (call $ok (call $clock_res_get (i32.const 1) (i32.const 16)))
            (call $expect (i64.ne (i64.load (i32.const 16)) (i64.const 0)) (i32.const 3))
            ;; EBADF for CPU clocks.
            (call $expect (i32.eq (call $clock_time_get (i32.const 2) (i64.const 1) (i32.const 16)) (i32.const 8))
                (i32.const 4)))"#;
    assert_eq!(run(guest, |_| {}).success(), "");
}

#[test]
fn random_bytes_differ() {
    let guest = r#"(func $main
        (call $ok (call $random_get (i32.const 64) (i32.const 16)))
        (call $ok (call $random_get (i32.const 80) (i32.const 16)))
        (call $expect
            (i32.or
                (i64.ne (i64.load (i32.const 64)) (i64.load (i32.const 80)))
                (i64.ne (i64.load (i32.const 72)) (i64.load (i32.const 88))))
            (i32.const 1))
        ;; Nothing past the end, and an empty buffer is fine.
        (call $expect (i64.eqz (i64.load (i32.const 96))) (i32.const 2))
        (call $ok (call $random_get (i32.const 64) (i32.const 0))))"#;
    assert_eq!(run(guest, |_| {}).success(), "");
}

/// A subscription, at 128: user data, kind (clock 0, read 1, write 2), then the clock with timeout, or the descriptor.
const SUBSCRIBE: &str = r#"
    (func $subscribe_clock (param $at i32) (param $userdata i64) (param $timeout i64)
        (i64.store (local.get $at) (local.get $userdata))
        (i32.store8 offset=8 (local.get $at) (i32.const 0))
        (i32.store offset=16 (local.get $at) (i32.const 1))
        (i64.store offset=24 (local.get $at) (local.get $timeout))
        (i64.store offset=32 (local.get $at) (i64.const 1))
        (i32.store16 offset=40 (local.get $at) (i32.const 0)))
    (func $subscribe_fd (param $at i32) (param $userdata i64) (param $kind i32) (param $fd i32)
        (i64.store (local.get $at) (local.get $userdata))
        (i32.store8 offset=8 (local.get $at) (local.get $kind))
        (i32.store offset=16 (local.get $at) (local.get $fd)))
"#;

#[test]
fn polling_waits_for_a_clock() {
    let guest = format!(
        r#"{SUBSCRIBE}
        (func $now (result i64)
            (call $ok (call $clock_time_get (i32.const 1) (i64.const 1) (i32.const 16)))
            (i64.load (i32.const 16)))
        (func $main (local $before i64)
            (local.set $before (call $now))
            (call $subscribe_clock (i32.const 128) (i64.const 77) (i64.const 2000000))
            (call $ok (call $poll_oneoff (i32.const 128) (i32.const 512) (i32.const 1) (i32.const 32)))
            (call $expect (i64.ge_u (i64.sub (call $now) (local.get $before)) (i64.const 2000000)) (i32.const 1))
            ;; One event: user data, no error, a clock.
            (call $expect (i32.eq (i32.load (i32.const 32)) (i32.const 1)) (i32.const 2))
            (call $expect (i64.eq (i64.load (i32.const 512)) (i64.const 77)) (i32.const 3))
            (call $expect (i32.eqz (i32.load16_u (i32.const 520))) (i32.const 4))
            (call $expect (i32.eqz (i32.load8_u (i32.const 522))) (i32.const 5))
            ;; Two clocks: the earlier one ends the wait.
            (call $subscribe_clock (i32.const 128) (i64.const 1) (i64.const 3600000000000))
            (call $subscribe_clock (i32.const 176) (i64.const 2) (i64.const 1000))
            (call $ok (call $poll_oneoff (i32.const 128) (i32.const 512) (i32.const 2) (i32.const 32)))
            (call $expect (i32.eq (i32.load (i32.const 32)) (i32.const 1)) (i32.const 6))
            (call $expect (i64.eq (i64.load (i32.const 512)) (i64.const 2)) (i32.const 7)))"#
    );
    assert_eq!(run(&guest, |_| {}).success(), "");
}

#[test]
fn polling_finds_a_file_ready() {
    let guest = format!(
        r#"{SUBSCRIBE}
        (data (i32.const 64) "zero")
        (func $main (local $fd i32)
            (local.set $fd (call $open (i32.const 64) (i32.const 4) (i32.const 0) (i64.const 66)))
            (call $subscribe_fd (i32.const 128) (i64.const 5) (i32.const 2) (local.get $fd))
            (call $subscribe_clock (i32.const 176) (i64.const 6) (i64.const 3600000000000))
            (call $ok (call $poll_oneoff (i32.const 128) (i32.const 512) (i32.const 2) (i32.const 32)))
            (call $expect (i32.eq (i32.load (i32.const 32)) (i32.const 1)) (i32.const 1))
            (call $expect (i64.eq (i64.load (i32.const 512)) (i64.const 5)) (i32.const 2))
            (call $expect (i32.eq (i32.load8_u (i32.const 522)) (i32.const 2)) (i32.const 3)))"#
    );
    let outcome = run(&guest, |ctx| {
        let dev = Dir::open_ambient_dir("/dev", ambient_authority()).unwrap();
        ctx.preopened_dir(dev, "/dev").unwrap();
    });
    assert_eq!(outcome.success(), "");
}

#[test]
fn polling_for_nothing_or_a_bad_descriptor_is_an_errno() {
    let guest = format!(
        r#"{SUBSCRIBE}
        (func $main
            (call $expect
                (i32.eq (call $poll_oneoff (i32.const 128) (i32.const 512) (i32.const 0) (i32.const 32)) (i32.const 28))
                (i32.const 1))
            (call $subscribe_fd (i32.const 128) (i64.const 5) (i32.const 1) (i32.const 99))
            (call $expect
                (i32.eq (call $poll_oneoff (i32.const 128) (i32.const 512) (i32.const 1) (i32.const 32)) (i32.const 8))
                (i32.const 2)))"#
    );
    assert_eq!(run(&guest, |_| {}).success(), "");
}
