;; Vectors: a picture of 256 by 256 bytes smoothed with a kernel of 3 by 3, n times, eight bytes a step; answers a hash of it.
(module
  (memory (export "memory") 3)
  ;; The picture at 0, the smoothed one at 0x10000.
  (func $fill
    (local $at i32)
    (loop $next
      (i32.store8 (local.get $at) (i32.shr_u (i32.mul (local.get $at) (i32.const 0x9e3779b1)) (i32.const 13)))
      (br_if $next
        (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 1))) (i32.const 65536)))))
  (func $smooth
    (local $row i32) (local $at i32) (local $end i32) (local $sum v128)
    (loop $next_row
      (local.set $at (local.get $row))
      (local.set $end (i32.add (local.get $row) (i32.const 240)))
      (loop $next
        (local.set $sum (v128.load8x8_u offset=0 (local.get $at)))
        (local.set $sum
          (i16x8.add (local.get $sum) (i16x8.mul (v128.load8x8_u offset=1 (local.get $at)) (v128.const i16x8 2 2 2 2 2 2 2 2))))
        (local.set $sum
          (i16x8.add (local.get $sum) (v128.load8x8_u offset=2 (local.get $at))))
        (local.set $sum
          (i16x8.add (local.get $sum) (i16x8.mul (v128.load8x8_u offset=256 (local.get $at)) (v128.const i16x8 2 2 2 2 2 2 2 2))))
        (local.set $sum
          (i16x8.add (local.get $sum) (i16x8.mul (v128.load8x8_u offset=257 (local.get $at)) (v128.const i16x8 4 4 4 4 4 4 4 4))))
        (local.set $sum
          (i16x8.add (local.get $sum) (i16x8.mul (v128.load8x8_u offset=258 (local.get $at)) (v128.const i16x8 2 2 2 2 2 2 2 2))))
        (local.set $sum
          (i16x8.add (local.get $sum) (v128.load8x8_u offset=512 (local.get $at))))
        (local.set $sum
          (i16x8.add (local.get $sum) (i16x8.mul (v128.load8x8_u offset=513 (local.get $at)) (v128.const i16x8 2 2 2 2 2 2 2 2))))
        (local.set $sum
          (i16x8.add (local.get $sum) (v128.load8x8_u offset=514 (local.get $at))))
        (local.set $sum (i16x8.shr_u (local.get $sum) (i32.const 4)))
        (v128.store64_lane offset=65793 0 (local.get $at)
          (i8x16.narrow_i16x8_u (local.get $sum) (local.get $sum)))
        (br_if $next
          (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 8))) (local.get $end))))
      (br_if $next_row
        (i32.lt_u (local.tee $row (i32.add (local.get $row) (i32.const 256))) (i32.const 65024)))))
  (func (export "run") (param $n i32) (result i32)
    (local $at i32) (local $hash i32)
    (call $fill)
    (loop $again
      (call $smooth)
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (loop $next
      (local.set $hash
        (i32.add (i32.mul (local.get $hash) (i32.const 31)) (i32.load8_u offset=65536 (local.get $at))))
      (br_if $next
        (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 1))) (i32.const 65536))))
    (local.get $hash)))
