;; Product of two n by n matrices of f64 in memory (n at most 256); answers the sum of its elements.
(module
  (memory (export "memory") 24)
  (global $b i32 (i32.const 0x80000))
  (global $c i32 (i32.const 0x100000))
  (func $at (param $base i32) (param $n i32) (param $row i32) (param $column i32) (result i32)
    (i32.add
      (local.get $base)
      (i32.shl
        (i32.add (i32.mul (local.get $row) (local.get $n)) (local.get $column))
        (i32.const 3))))
  (func $fill (param $n i32)
    (local $i i32) (local $j i32)
    (loop $row
      (local.set $j (i32.const 0))
      (loop $column
        (f64.store
          (call $at (i32.const 0) (local.get $n) (local.get $i) (local.get $j))
          (f64.convert_i32_s (i32.sub (local.get $i) (local.get $j))))
        (f64.store
          (call $at (global.get $b) (local.get $n) (local.get $i) (local.get $j))
          (f64.div
            (f64.convert_i32_s (i32.add (local.get $i) (local.get $j)))
            (f64.const 7)))
        (local.set $j (i32.add (local.get $j) (i32.const 1)))
        (br_if $column (i32.lt_u (local.get $j) (local.get $n))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $row (i32.lt_u (local.get $i) (local.get $n)))))
  (func (export "run") (param $n i32) (result f64)
    (local $i i32) (local $j i32) (local $k i32) (local $stride i32)
    (local $left i32) (local $right i32) (local $sum f64) (local $total f64)
    (call $fill (local.get $n))
    (local.set $stride (i32.shl (local.get $n) (i32.const 3)))
    (loop $row
      (local.set $j (i32.const 0))
      (loop $column
        (local.set $sum (f64.const 0))
        (local.set $k (local.get $n))
        (local.set $left (call $at (i32.const 0) (local.get $n) (local.get $i) (i32.const 0)))
        (local.set $right (call $at (global.get $b) (local.get $n) (i32.const 0) (local.get $j)))
        (loop $dot
          (local.set $sum
            (f64.add
              (local.get $sum)
              (f64.mul (f64.load (local.get $left)) (f64.load (local.get $right)))))
          (local.set $left (i32.add (local.get $left) (i32.const 8)))
          (local.set $right (i32.add (local.get $right) (local.get $stride)))
          (br_if $dot (local.tee $k (i32.sub (local.get $k) (i32.const 1)))))
        (f64.store
          (call $at (global.get $c) (local.get $n) (local.get $i) (local.get $j))
          (local.get $sum))
        (local.set $total (f64.add (local.get $total) (local.get $sum)))
        (local.set $j (i32.add (local.get $j) (i32.const 1)))
        (br_if $column (i32.lt_u (local.get $j) (local.get $n))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $row (i32.lt_u (local.get $i) (local.get $n))))
    (local.get $total)))
