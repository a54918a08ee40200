;; Vectors: rounds of a hash function like BLAKE3's over a message of 4 KiB, n times; answers a word of the state. Half of the
;; rotations are shuffles of bytes, the others two shifts.
(module
  (memory (export "memory") 1)
  (func $fill
    (local $at i32)
    (loop $next
      (i32.store (local.get $at) (i32.mul (i32.add (local.get $at) (i32.const 1)) (i32.const 0x9e3779b1)))
      (br_if $next
        (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 4))) (i32.const 4096)))))
  (func (export "run") (param $n i32) (result i32)
    (local $at i32) (local $a v128) (local $b v128) (local $c v128) (local $d v128)
    (call $fill)
    (local.set $a (v128.const i32x4 0x6a09e667 0xbb67ae85 0x3c6ef372 0xa54ff53a))
    (local.set $b (v128.const i32x4 0x510e527f 0x9b05688c 0x1f83d9ab 0x5be0cd19))
    (local.set $c (v128.const i32x4 0x6a09e667 0xbb67ae85 0x3c6ef372 0xa54ff53a))
    (local.set $d (v128.const i32x4 0 0 64 11))
    (loop $again
      ;; The columns of the state.
      (local.set $a
        (i32x4.add (i32x4.add (local.get $a) (local.get $b)) (v128.load offset=0 (local.get $at))))
      (local.set $d (v128.xor (local.get $d) (local.get $a)))
      (local.set $d (i8x16.shuffle 2 3 0 1 6 7 4 5 10 11 8 9 14 15 12 13 (local.get $d) (local.get $d)))
      (local.set $c (i32x4.add (local.get $c) (local.get $d)))
      (local.set $b (v128.xor (local.get $b) (local.get $c)))
      (local.set $b
        (v128.or (i32x4.shr_u (local.get $b) (i32.const 12)) (i32x4.shl (local.get $b) (i32.const 20))))
      (local.set $a
        (i32x4.add (i32x4.add (local.get $a) (local.get $b)) (v128.load offset=16 (local.get $at))))
      (local.set $d (v128.xor (local.get $d) (local.get $a)))
      (local.set $d (i8x16.shuffle 1 2 3 0 5 6 7 4 9 10 11 8 13 14 15 12 (local.get $d) (local.get $d)))
      (local.set $c (i32x4.add (local.get $c) (local.get $d)))
      (local.set $b (v128.xor (local.get $b) (local.get $c)))
      (local.set $b
        (v128.or (i32x4.shr_u (local.get $b) (i32.const 7)) (i32x4.shl (local.get $b) (i32.const 25))))
      ;; The diagonals.
      (local.set $b (i8x16.shuffle 4 5 6 7 8 9 10 11 12 13 14 15 0 1 2 3 (local.get $b) (local.get $b)))
      (local.set $c (i8x16.shuffle 8 9 10 11 12 13 14 15 0 1 2 3 4 5 6 7 (local.get $c) (local.get $c)))
      (local.set $d (i8x16.shuffle 12 13 14 15 0 1 2 3 4 5 6 7 8 9 10 11 (local.get $d) (local.get $d)))
      (local.set $a
        (i32x4.add (i32x4.add (local.get $a) (local.get $b)) (v128.load offset=32 (local.get $at))))
      (local.set $d (v128.xor (local.get $d) (local.get $a)))
      (local.set $d (i8x16.shuffle 2 3 0 1 6 7 4 5 10 11 8 9 14 15 12 13 (local.get $d) (local.get $d)))
      (local.set $c (i32x4.add (local.get $c) (local.get $d)))
      (local.set $b (v128.xor (local.get $b) (local.get $c)))
      (local.set $b
        (v128.or (i32x4.shr_u (local.get $b) (i32.const 12)) (i32x4.shl (local.get $b) (i32.const 20))))
      (local.set $a
        (i32x4.add (i32x4.add (local.get $a) (local.get $b)) (v128.load offset=48 (local.get $at))))
      (local.set $d (v128.xor (local.get $d) (local.get $a)))
      (local.set $d (i8x16.shuffle 1 2 3 0 5 6 7 4 9 10 11 8 13 14 15 12 (local.get $d) (local.get $d)))
      (local.set $c (i32x4.add (local.get $c) (local.get $d)))
      (local.set $b (v128.xor (local.get $b) (local.get $c)))
      (local.set $b
        (v128.or (i32x4.shr_u (local.get $b) (i32.const 7)) (i32x4.shl (local.get $b) (i32.const 25))))
      (local.set $b (i8x16.shuffle 12 13 14 15 0 1 2 3 4 5 6 7 8 9 10 11 (local.get $b) (local.get $b)))
      (local.set $c (i8x16.shuffle 8 9 10 11 12 13 14 15 0 1 2 3 4 5 6 7 (local.get $c) (local.get $c)))
      (local.set $d (i8x16.shuffle 4 5 6 7 8 9 10 11 12 13 14 15 0 1 2 3 (local.get $d) (local.get $d)))
      (local.set $at (i32.and (i32.add (local.get $at) (i32.const 64)) (i32.const 4032)))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (v128.store offset=4096 (i32.const 0) (v128.xor (local.get $a) (local.get $c)))
    (v128.store offset=4112 (i32.const 0) (v128.xor (local.get $b) (local.get $d)))
    (i32x4.extract_lane 2 (v128.xor (local.get $a) (local.get $b)))))
