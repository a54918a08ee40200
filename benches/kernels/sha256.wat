;; The compression function of SHA-256 over n blocks, each the digest before it twice; answers two words of the digest.
(module
  (memory (export "memory") 1)
  ;; The round constants at 0, the digest at 0x100, the schedule of 64 words at 0x200.
  (func $constants
    (local $prime i32) (local $divisor i32) (local $at i32)
    ;; One word a prime, for the first 64.
    (local.set $prime (i32.const 2))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $at) (i32.const 256)))
        (local.set $divisor (i32.const 2))
        (block $composite
          (block $is_prime
            (loop $try
              (br_if $is_prime
                (i32.gt_u (i32.mul (local.get $divisor) (local.get $divisor)) (local.get $prime)))
              (br_if $composite
                (i32.eqz (i32.rem_u (local.get $prime) (local.get $divisor))))
              (local.set $divisor (i32.add (local.get $divisor) (i32.const 1)))
              (br $try)))
          (i32.store (local.get $at) (call $cube_root_fraction (f64.convert_i32_u (local.get $prime))))
          (local.set $at (i32.add (local.get $at) (i32.const 4))))
        (local.set $prime (i32.add (local.get $prime) (i32.const 1)))
        (br $next))))
  ;; The first 32 bits after the point of the cube root of x, by Newton's method.
  (func $cube_root_fraction (param $x f64) (result i32)
    (local $root f64) (local $steps i32)
    (local.set $root (f64.sqrt (local.get $x)))
    (loop $next
      (local.set $root
        (f64.div
          (f64.add
            (f64.add (local.get $root) (local.get $root))
            (f64.div (local.get $x) (f64.mul (local.get $root) (local.get $root))))
          (f64.const 3)))
      (local.set $steps (i32.add (local.get $steps) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $steps) (i32.const 30))))
    (i32.wrap_i64
      (i64.trunc_f64_u
        (f64.mul
          (f64.sub (local.get $root) (f64.floor (local.get $root)))
          (f64.const 4294967296)))))
  (func $start
    (i64.store (i32.const 0x100) (i64.const 0xbb67ae856a09e667))
    (i64.store (i32.const 0x108) (i64.const 0xa54ff53a3c6ef372))
    (i64.store (i32.const 0x110) (i64.const 0x9b05688c510e527f))
    (i64.store (i32.const 0x118) (i64.const 0x5be0cd191f83d9ab)))
  (func $schedule
    (local $at i32) (local $far i32) (local $near i32)
    ;; The block: the digest twice over, already in the order of words.
    (memory.copy (i32.const 0x200) (i32.const 0x100) (i32.const 32))
    (memory.copy (i32.const 0x220) (i32.const 0x100) (i32.const 32))
    (local.set $at (i32.const 0x240))
    (loop $next
      (local.set $far (i32.load (i32.sub (local.get $at) (i32.const 60))))
      (local.set $near (i32.load (i32.sub (local.get $at) (i32.const 8))))
      (i32.store
        (local.get $at)
        (i32.add
          (i32.add
            (i32.load (i32.sub (local.get $at) (i32.const 64)))
            (i32.xor
              (i32.xor
                (i32.rotr (local.get $far) (i32.const 7))
                (i32.rotr (local.get $far) (i32.const 18)))
              (i32.shr_u (local.get $far) (i32.const 3))))
          (i32.add
            (i32.load (i32.sub (local.get $at) (i32.const 28)))
            (i32.xor
              (i32.xor
                (i32.rotr (local.get $near) (i32.const 17))
                (i32.rotr (local.get $near) (i32.const 19)))
              (i32.shr_u (local.get $near) (i32.const 10))))))
      (local.set $at (i32.add (local.get $at) (i32.const 4)))
      (br_if $next (i32.lt_u (local.get $at) (i32.const 0x300)))))
  (func $block
    (local $a i32) (local $b i32) (local $c i32) (local $d i32)
    (local $e i32) (local $f i32) (local $g i32) (local $h i32)
    (local $at i32) (local $first i32) (local $second i32)
    (call $schedule)
    (local.set $a (i32.load (i32.const 0x100)))
    (local.set $b (i32.load (i32.const 0x104)))
    (local.set $c (i32.load (i32.const 0x108)))
    (local.set $d (i32.load (i32.const 0x10c)))
    (local.set $e (i32.load (i32.const 0x110)))
    (local.set $f (i32.load (i32.const 0x114)))
    (local.set $g (i32.load (i32.const 0x118)))
    (local.set $h (i32.load (i32.const 0x11c)))
    (loop $round
      (local.set $first
        (i32.add
          (i32.add
            (i32.add
              (local.get $h)
              (i32.xor
                (i32.xor
                  (i32.rotr (local.get $e) (i32.const 6))
                  (i32.rotr (local.get $e) (i32.const 11)))
                (i32.rotr (local.get $e) (i32.const 25))))
            (i32.xor
              (i32.and (local.get $e) (local.get $f))
              (i32.and (i32.xor (local.get $e) (i32.const -1)) (local.get $g))))
          (i32.add
            (i32.load (local.get $at))
            (i32.load offset=0x200 (local.get $at)))))
      (local.set $second
        (i32.add
          (i32.xor
            (i32.xor
              (i32.rotr (local.get $a) (i32.const 2))
              (i32.rotr (local.get $a) (i32.const 13)))
            (i32.rotr (local.get $a) (i32.const 22)))
          (i32.xor
            (i32.xor
              (i32.and (local.get $a) (local.get $b))
              (i32.and (local.get $a) (local.get $c)))
            (i32.and (local.get $b) (local.get $c)))))
      (local.set $h (local.get $g))
      (local.set $g (local.get $f))
      (local.set $f (local.get $e))
      (local.set $e (i32.add (local.get $d) (local.get $first)))
      (local.set $d (local.get $c))
      (local.set $c (local.get $b))
      (local.set $b (local.get $a))
      (local.set $a (i32.add (local.get $first) (local.get $second)))
      (local.set $at (i32.add (local.get $at) (i32.const 4)))
      (br_if $round (i32.lt_u (local.get $at) (i32.const 256))))
    (call $accumulate (i32.const 0x100) (local.get $a))
    (call $accumulate (i32.const 0x104) (local.get $b))
    (call $accumulate (i32.const 0x108) (local.get $c))
    (call $accumulate (i32.const 0x10c) (local.get $d))
    (call $accumulate (i32.const 0x110) (local.get $e))
    (call $accumulate (i32.const 0x114) (local.get $f))
    (call $accumulate (i32.const 0x118) (local.get $g))
    (call $accumulate (i32.const 0x11c) (local.get $h)))
  (func $accumulate (param $at i32) (param $word i32)
    (i32.store (local.get $at) (i32.add (i32.load (local.get $at)) (local.get $word))))
  (func (export "run") (param $n i32) (result i64)
    (call $constants)
    (call $start)
    (loop $next
      (call $block)
      (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i64.load (i32.const 0x100))))
