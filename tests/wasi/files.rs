//! Preopened directories: reading, writing, listing, and what lies outside of them.

use std::fs;
use std::path::PathBuf;

use super::run;
use crescendo_wasi::{Dir, WasiCtxBuilder, ambient_authority};

/// The rights that the guests ask for: bits 1 and 6, `fd_read` and `fd_write`.
const READ: i64 = 1 << 1;
const WRITE: i64 = 1 << 6;

/// A fresh directory for one test.
fn scratch(name: &str) -> PathBuf {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("wasi-{name}"));
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(dir.join("inside")).unwrap();
    dir
}

fn preopen(ctx: &mut WasiCtxBuilder, host: impl AsRef<std::path::Path>, guest: &str) {
    let dir = Dir::open_ambient_dir(host, ambient_authority()).unwrap();
    ctx.preopened_dir(dir, guest).unwrap();
}

#[test]
fn a_preopen_has_its_name() {
    let dir = scratch("name");
    let guest = r#"(func $main
        (call $ok (call $fd_prestat_get (i32.const 3) (i32.const 16)))
        ;; A directory, and the length of its name.
        (call $expect (i32.eqz (i32.load8_u (i32.const 16))) (i32.const 1))
        (call $expect (i32.eq (i32.load (i32.const 20)) (i32.const 5)) (i32.const 2))
        (call $ok (call $fd_prestat_dir_name (i32.const 3) (i32.const 64) (i32.const 5)))
        (call $write (i32.const 1) (i32.const 64) (i32.const 5))
        ;; EBADF: there is one only.
        (call $expect (i32.eq (call $fd_prestat_get (i32.const 4) (i32.const 16)) (i32.const 8)) (i32.const 3)))"#;
    assert_eq!(run(guest, |ctx| preopen(ctx, &dir, "/data")).success(), "/data");
}

#[test]
fn files_are_read() {
    let dir = scratch("read");
    fs::write(dir.join("inside/in.txt"), "from the host").unwrap();
    let guest = format!(
        r#"(data (i32.const 64) "inside/in.txt")
        (func $main (local $fd i32)
            (local.set $fd (call $open (i32.const 64) (i32.const 13) (i32.const 0) (i64.const {READ})))
            (call $write (i32.const 1) (i32.const 128) (call $read (local.get $fd) (i32.const 128) (i32.const 100)))
            (call $ok (call $fd_close (local.get $fd)))
            ;; EBADF: closed.
            (call $expect (i32.eq (call $fd_close (local.get $fd)) (i32.const 8)) (i32.const 1)))"#
    );
    assert_eq!(run(&guest, |ctx| preopen(ctx, &dir, "/")).success(), "from the host");
}

#[test]
fn files_are_written_renamed_and_removed() {
    let dir = scratch("write");
    let guest = format!(
        r#"(data (i32.const 64) "inside/new")
        (data (i32.const 80) "renamed")
        (data (i32.const 96) "gone")
        (data (i32.const 112) "from the guest")
        (func $main (local $fd i32)
            ;; O_CREAT | O_TRUNC
            (local.set $fd (call $open (i32.const 64) (i32.const 10) (i32.const 9) (i64.const {WRITE})))
            (call $write (local.get $fd) (i32.const 112) (i32.const 14))
            (call $ok (call $fd_close (local.get $fd)))
            (call $ok (call $path_rename
                (i32.const 3) (i32.const 64) (i32.const 10) (i32.const 3) (i32.const 80) (i32.const 7)))
            (call $ok (call $fd_close (call $open (i32.const 96) (i32.const 4) (i32.const 1) (i64.const {WRITE}))))
            (call $ok (call $path_unlink_file (i32.const 3) (i32.const 96) (i32.const 4)))
            ;; ENOENT
            (call $expect
                (i32.eq (call $try_open (i32.const 96) (i32.const 4) (i32.const 0) (i64.const {READ})) (i32.const 44))
                (i32.const 1)))"#
    );
    assert_eq!(run(&guest, |ctx| preopen(ctx, &dir, "/")).success(), "");
    assert_eq!(fs::read_to_string(dir.join("renamed")).unwrap(), "from the guest");
    assert!(!dir.join("inside/new").exists() && !dir.join("gone").exists());
}

#[test]
fn directories_are_listed() {
    let dir = scratch("list");
    fs::write(dir.join("one.txt"), "1").unwrap();
    fs::write(dir.join("two.txt"), "22").unwrap();
    // Writes each entry's name and type on a line. An entry: next cookie, inode, length of the name, type, name.
    let guest = r#"
        (func $main (local $at i32) (local $end i32) (local $len i32)
            (call $ok (call $fd_readdir (i32.const 3) (i32.const 1024) (i32.const 4096) (i64.const 0) (i32.const 16)))
            (local.set $at (i32.const 1024))
            (local.set $end (i32.add (local.get $at) (i32.load (i32.const 16))))
            (loop $more
                (if (i32.lt_u (local.get $at) (local.get $end)) (then
                    (local.set $len (i32.load offset=16 (local.get $at)))
                    (call $write (i32.const 1) (i32.add (local.get $at) (i32.const 24)) (local.get $len))
                    (i32.store8 (i32.const 64) (i32.const 58))
                    (i32.store8 (i32.const 65) (i32.add (i32.const 48) (i32.load8_u offset=20 (local.get $at))))
                    (i32.store8 (i32.const 66) (i32.const 10))
                    (call $write (i32.const 1) (i32.const 64) (i32.const 3))
                    (local.set $at (i32.add (local.get $at) (i32.add (i32.const 24) (local.get $len))))
                    (br $more)))))"#;
    let text = run(guest, |ctx| preopen(ctx, &dir, "/")).success();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    // 3 is a directory, 4 a regular file.
    assert_eq!(lines, ["..:3", ".:3", "inside:3", "one.txt:4", "two.txt:4"]);
}

#[test]
fn nothing_outside_a_preopen_can_be_reached() {
    let dir = scratch("escape");
    fs::write(dir.join("secret"), "secret").unwrap();
    std::os::unix::fs::symlink("../secret", dir.join("inside/link")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", dir.join("inside/absolute")).unwrap();
    fs::write(dir.join("inside/allowed"), "allowed").unwrap();
    // 63 is EPERM.
    let table = [
        ("../secret", 63),
        ("./../secret", 63),
        ("/etc/passwd", 63),
        ("link", 63),
        ("absolute", 63),
        ("..", 63),
        ("missing/../../secret", 44),
        ("allowed", 0),
    ];
    for (path, errno) in table {
        let guest = format!(
            r#"(data (i32.const 64) "{path}")
            (func $main (call $proc_exit
                (call $try_open (i32.const 64) (i32.const {}) (i32.const 0) (i64.const {READ}))))"#,
            path.len()
        );
        assert_eq!(run(&guest, |ctx| preopen(ctx, dir.join("inside"), "/")).exit, Ok(errno), "{path}");
    }
}

#[test]
fn a_full_disk_is_an_errno() {
    let guest = format!(
        r#"(data (i32.const 64) "full")
        (func $main (local $fd i32)
            (local.set $fd (call $open (i32.const 64) (i32.const 4) (i32.const 0) (i64.const {WRITE})))
            (call $proc_exit (call $try_write (local.get $fd) (i32.const 64) (i32.const 4))))"#
    );
    assert_eq!(run(&guest, |ctx| preopen(ctx, "/dev", "/dev")).exit, Ok(51), "ENOSPC");
}

#[test]
fn a_file_opened_for_reading_is_not_written() {
    let dir = scratch("rights");
    fs::write(dir.join("file"), "untouched").unwrap();
    let guest = format!(
        r#"(data (i32.const 64) "file")
        (func $main (local $fd i32)
            (local.set $fd (call $open (i32.const 64) (i32.const 4) (i32.const 0) (i64.const {READ})))
            (call $proc_exit (call $try_write (local.get $fd) (i32.const 64) (i32.const 4))))"#
    );
    assert_eq!(run(&guest, |ctx| preopen(ctx, &dir, "/")).exit, Ok(8), "EBADF");
    assert_eq!(fs::read_to_string(dir.join("file")).unwrap(), "untouched");
}
