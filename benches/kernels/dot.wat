;; Vectors: the dot product of two arrays of 4,096 floats, n times, four floats a step; answers the bits of the sum.
(module
  (memory (export "memory") 1)
  (func $fill
    (local $at i32)
    (loop $next
      (f32.store (local.get $at)
        (f32.mul (f32.convert_i32_u (i32.and (local.get $at) (i32.const 1023))) (f32.const 0.25)))
      (f32.store offset=16384 (local.get $at)
        (f32.div (f32.const 1) (f32.convert_i32_u (i32.add (local.get $at) (i32.const 1)))))
      (br_if $next
        (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 4))) (i32.const 16384)))))
  (func (export "run") (param $n i32) (result i32)
    (local $at i32) (local $sum v128)
    (call $fill)
    (loop $again
      (local.set $at (i32.const 0))
      (loop $next
        (local.set $sum
          (f32x4.add (local.get $sum)
            (f32x4.mul (v128.load (local.get $at)) (v128.load offset=16384 (local.get $at)))))
        (local.set $sum
          (f32x4.add (local.get $sum)
            (f32x4.mul (v128.load offset=16 (local.get $at)) (v128.load offset=16400 (local.get $at)))))
        (br_if $next
          (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 32))) (i32.const 16384))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i32.reinterpret_f32
      (f32.add
        (f32.add (f32x4.extract_lane 0 (local.get $sum)) (f32x4.extract_lane 1 (local.get $sum)))
        (f32.add (f32x4.extract_lane 2 (local.get $sum)) (f32x4.extract_lane 3 (local.get $sum)))))))
