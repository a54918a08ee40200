//! The files that the tests run on.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

const FILES: &[(&str, &str)] = &[
    (
        "hello.wat",
        r#"(module
            (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
            (memory (export "memory") 1)
            (data (i32.const 0) "\10\00\00\00\06\00\00\00")
            (data (i32.const 16) "hello\n")
            (func (export "_start") (local $errno i32)
                (local.set $errno (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
                (if (local.get $errno) (then (call $proc_exit (local.get $errno))))))"#,
    ),
    (
        "exit.wat",
        r#"(module
            (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
            (memory (export "memory") 1)
            (func (export "_start") (call $proc_exit (i32.const 7))))"#,
    ),
    (
        "named.wat",
        r#"(module (type $y (func)) (memory $m (export "memory") 10 20 (pagesize 1)) (table $t 0 funcref)
            (global $g i32 (i32.const 0)) (data $d "") (func $f (param $p i32) (block $l)))"#,
    ),
    (
        // Copies stdin to stdout.
        "cat.wat",
        r#"(module
            (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 1)
            (func (export "_start")
                (loop $more
                    (i32.store (i32.const 0) (i32.const 64))
                    (i32.store (i32.const 4) (i32.const 1000))
                    (if (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 4)) (then unreachable))
                    (if (i32.load (i32.const 4)) (then
                        (if (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)) (then unreachable))
                        (br $more))))))"#,
    ),
    (
        // Writes arguments, then environment, each ended by a zero byte.
        "strings.wat",
        r#"(module
            (import "wasi_snapshot_preview1" "args_get" (func $args_get (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "environ_get" (func $env_get (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "environ_sizes_get" (func $env_sizes (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 1)
            (func $write
                (i32.store (i32.const 0) (i32.const 1024))
                (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
            (func (export "_start")
                (drop (call $args_sizes (i32.const 0) (i32.const 4)))
                (drop (call $args_get (i32.const 64) (i32.const 1024)))
                (call $write)
                (drop (call $env_sizes (i32.const 0) (i32.const 4)))
                (drop (call $env_get (i32.const 64) (i32.const 1024)))
                (call $write)))"#,
    ),
    (
        // Writes the file `in.txt` of the first preopened directory, after the directory's name.
        "show.wat",
        r#"(module
            (import "wasi_snapshot_preview1" "fd_prestat_dir_name" (func $name (param i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "path_open"
                (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
            (memory (export "memory") 1)
            (data (i32.const 16) "in.txt")
            (func $ok (param i32) (if (local.get 0) (then (call $proc_exit (local.get 0)))))
            (func (export "_start")
                (call $ok (call $name (i32.const 3) (i32.const 64) (i32.const 4)))
                (call $ok (call $open (i32.const 3) (i32.const 0) (i32.const 16) (i32.const 6) (i32.const 0) (i64.const 2)
                    (i64.const 0) (i32.const 0) (i32.const 32)))
                (i32.store (i32.const 0) (i32.const 68))
                (i32.store (i32.const 4) (i32.const 100))
                (call $ok (call $fd_read (i32.load (i32.const 32)) (i32.const 0) (i32.const 1) (i32.const 8)))
                (i32.store (i32.const 0) (i32.const 64))
                (i32.store (i32.const 4) (i32.add (i32.const 4) (i32.load (i32.const 8))))
                (call $ok (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#,
    ),
    ("files/in.txt", ":the file\n"),
    (
        "math.wat",
        r#"(module $math
            (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
            (func (export "swap") (param i64 f64) (result f64 i64) (local.get 1) (local.get 0))
            (func (export "half") (param f32) (result f32) (f32.div (local.get 0) (f32.const 2)))
            (func (export "is_null") (param externref) (result i32) (ref.is_null (local.get 0)))
            (func (export "refs") (result funcref externref) (ref.func $nothing) (ref.null extern))
            (func $nothing (export "nothing"))
            (func $divide (export "divide") (param i32 i32) (result i32) (i32.div_s (local.get 0) (local.get 1)))
            (func $outer (export "outer") (param i32 i32) (result i32) (call $divide (local.get 0) (local.get 1)))
            (func $loop (export "loop") (loop $again (br $again)))
            (func $deep (export "deep") (param i32) (result i32) (i32.add (i32.const 1) (call $deep (local.get 0))))
            (global (export "global") i32 (i32.const 1))
            (memory (export "memory") 1 2)
            (func $peek (export "peek") (param i32) (result i32) (i32.load (local.get 0))))"#,
    ),
    (
        "reactor.wat",
        r#"(module
            (global $ready (mut i32) (i32.const 0))
            (func (export "_initialize") (global.set $ready (i32.const 1)))
            (func (export "ready") (result i32) (global.get $ready)))"#,
    ),
    ("start.wat", "(module (func $main unreachable) (start $main))"),
    ("silent.wat", "(module (func $main) (start $main))"),
    (
        "imports.wat",
        r#"(module
            (import "env" "one" (func (param i32)))
            (import "env" "two" (memory 1))
            (import "other" "three" (global (mut i64)))
            (func (export "_start")))"#,
    ),
    ("text.wat", "(module (func (result i32)"),
    ("invalid.wat", "(module (func $wrong (result i32) i64.const 1))"),
    ("gc.wat", "(module (type (struct)))"),
    ("empty.wat", "(module)"),
    ("vector.wat", "(module (func (result v128) v128.const i64x2 0 0))"),
    (
        "wide.wat",
        r#"(module (func (export "wide") (result i64) (local i64)
            i64.const -1 i64.const 0 i64.const 1 i64.const 0 i64.add128
            local.set 0 drop local.get 0))"#,
    ),
    (
        "wasi.wat",
        r#"(module
            (import "wasi_snapshot_preview1" "random_get" (func $get (param i32 i32) (result i32)))
            (memory (export "memory") 1)
            (func $main (export "_start") (drop (call $get (i32.const -1) (i32.const 1)))))"#,
    ),
    (
        "good.wast",
        r#"(module (func (export "f") (param i32) (result i32) (i32.add (local.get 0) (i32.const 1))))
(assert_return (invoke "f" (i32.const 1)) (i32.const 2))
(assert_invalid (module (func (result i32))) "type mismatch")
"#,
    ),
    (
        "bad.wast",
        r#"(module (func (export "f") (param i32) (result i32) (i32.add (local.get 0) (i32.const 1))))
(assert_return (invoke "f" (i32.const 1)) (i32.const 3))
(assert_trap (invoke "f" (i32.const 1)) "unreachable")
(assert_return (invoke "f" (i32.const 1)) (i32.const 2))
"#,
    ),
    ("gc.wast", "(module (type (struct)))\n(module)\n"),
    ("broken.wast", "(module)\n(assert_nonsense)\n"),
];

/// The directory that the files lie in.
pub fn dir() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("cli");
        fs::create_dir_all(dir.join("files")).expect("the directory can be made");
        for (name, text) in FILES {
            place(&dir.join(name), text.as_bytes());
        }
        let binary = wat::parse_file(dir.join("math.wat")).expect("the module is valid text");
        place(&dir.join("cut.wasm"), &binary[..binary.len() - 20]);
        place(&dir.join("math.wasm"), &binary);
        place(&dir.join("random.wasm"), &[0xff; 100]);
        dir
    })
}

/// Writes a file at once: another process of the tests may be reading the same one.
fn place(path: &Path, contents: &[u8]) {
    let own = path.with_extension(std::process::id().to_string());
    fs::write(&own, contents).expect("the file can be written");
    fs::rename(&own, path).expect("the file can be renamed");
}
