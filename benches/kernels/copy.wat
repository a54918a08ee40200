;; Copying and filling 32 KiB n times: words in a loop, bytes backwards in a loop, and short runs of `memory.copy` and
;; `memory.fill`.
(module
  (memory (export "memory") 2)
  (func $fill_words (param $at i32) (param $end i32) (param $value i64)
    (loop $next
      (i64.store (local.get $at) (local.get $value))
      (i64.store offset=8 (local.get $at) (i64.rotl (local.get $value) (local.get $value)))
      (local.set $value (i64.add (local.get $value) (i64.const 0x9e3779b97f4a7c15)))
      (local.set $at (i32.add (local.get $at) (i32.const 16)))
      (br_if $next (i32.lt_u (local.get $at) (local.get $end)))))
  (func $copy_words (param $to i32) (param $from i32) (param $len i32)
    (loop $next
      (i64.store (local.get $to) (i64.load (local.get $from)))
      (local.set $to (i32.add (local.get $to) (i32.const 8)))
      (local.set $from (i32.add (local.get $from) (i32.const 8)))
      (br_if $next (local.tee $len (i32.sub (local.get $len) (i32.const 8))))))
  (func $copy_back (param $to i32) (param $from i32) (param $len i32)
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $len)))
        (local.set $len (i32.sub (local.get $len) (i32.const 1)))
        (i32.store8
          (i32.add (local.get $to) (local.get $len))
          (i32.load8_u (i32.add (local.get $from) (local.get $len))))
        (br $next))))
  (func $short_runs (param $at i32) (param $end i32)
    (loop $next
      (memory.copy (local.get $at) (i32.add (local.get $at) (i32.const 37)) (i32.const 24))
      (memory.fill (i32.add (local.get $at) (i32.const 24)) (local.get $at) (i32.const 8))
      (local.set $at (i32.add (local.get $at) (i32.const 64)))
      (br_if $next (i32.lt_u (local.get $at) (local.get $end)))))
  (func (export "run") (param $n i32) (result i64)
    (loop $next
      (call $fill_words (i32.const 0) (i32.const 0x8000) (i64.extend_i32_u (local.get $n)))
      (call $copy_words (i32.const 0x8000) (i32.const 0) (i32.const 0x8000))
      (call $copy_back (i32.const 0x10003) (i32.const 0x8000) (i32.const 0x8000))
      (call $short_runs (i32.const 0x10000) (i32.const 0x18000))
      (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i64.load (i32.const 0x12345))))
