;; Hashing 64 KiB of memory n times, byte by byte with FNV-1a and in stripes of 32 bytes with the rounds of XXH64.
(module
  (memory (export "memory") 1)
  (func $fill
    (local $at i32) (local $seed i32)
    (local.set $seed (i32.const 1))
    (loop $next
      (local.set $seed
        (i32.add (i32.mul (local.get $seed) (i32.const 1103515245)) (i32.const 12345)))
      (i32.store (local.get $at) (local.get $seed))
      (local.set $at (i32.add (local.get $at) (i32.const 4)))
      (br_if $next (i32.lt_u (local.get $at) (i32.const 0x10000)))))
  (func $fnv (param $hash i64) (result i64)
    (local $at i32)
    (loop $next
      (local.set $hash
        (i64.mul
          (i64.xor (local.get $hash) (i64.load8_u (local.get $at)))
          (i64.const 0x100000001b3)))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $at) (i32.const 0x10000))))
    (local.get $hash))
  (func $round (param $lane i64) (param $input i64) (result i64)
    (i64.mul
      (i64.rotl
        (i64.add (local.get $lane) (i64.mul (local.get $input) (i64.const 0xc2b2ae3d27d4eb4f)))
        (i64.const 31))
      (i64.const 0x9e3779b185ebca87)))
  (func $stripes (param $seed i64) (result i64)
    (local $at i32) (local $a i64) (local $b i64) (local $c i64) (local $d i64)
    (local.set $a (i64.add (local.get $seed) (i64.const 0x60ea27eeadc0b5d6)))
    (local.set $b (i64.add (local.get $seed) (i64.const 0xc2b2ae3d27d4eb4f)))
    (local.set $c (local.get $seed))
    (local.set $d (i64.sub (local.get $seed) (i64.const 0x9e3779b185ebca87)))
    (loop $next
      (local.set $a (call $round (local.get $a) (i64.load (local.get $at))))
      (local.set $b (call $round (local.get $b) (i64.load offset=8 (local.get $at))))
      (local.set $c (call $round (local.get $c) (i64.load offset=16 (local.get $at))))
      ;; The last one inline, as a compiler would leave all four.
      (local.set $d
        (i64.mul
          (i64.rotl
            (i64.add
              (local.get $d)
              (i64.mul (i64.load offset=24 (local.get $at)) (i64.const 0xc2b2ae3d27d4eb4f)))
            (i64.const 31))
          (i64.const 0x9e3779b185ebca87)))
      (local.set $at (i32.add (local.get $at) (i32.const 32)))
      (br_if $next (i32.lt_u (local.get $at) (i32.const 0x10000))))
    (i64.add
      (i64.add (i64.rotl (local.get $a) (i64.const 1)) (i64.rotl (local.get $b) (i64.const 7)))
      (i64.add (i64.rotl (local.get $c) (i64.const 12)) (i64.rotl (local.get $d) (i64.const 18)))))
  (func (export "run") (param $n i32) (result i64)
    (local $hash i64)
    (call $fill)
    (local.set $hash (i64.const 0xcbf29ce484222325))
    (loop $next
      (local.set $hash (call $stripes (call $fnv (local.get $hash))))
      (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $hash)))
