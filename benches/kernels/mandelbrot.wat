;; Mandelbrot set: n by n points (n at most 1,024), at most 100 iterations each, one byte a point in memory.
(module
  (memory (export "memory") 16)
  (func (export "run") (param $n i32) (result i32)
    (local $row i32) (local $column i32) (local $count i32) (local $total i32)
    (local $step f64) (local $cx f64) (local $cy f64)
    (local $x f64) (local $y f64) (local $xx f64) (local $yy f64)
    (local.set $step (f64.div (f64.const 3) (f64.convert_i32_u (local.get $n))))
    (loop $rows
      (local.set $column (i32.const 0))
      (local.set $cy
        (f64.sub (f64.mul (f64.convert_i32_u (local.get $row)) (local.get $step)) (f64.const 1.5)))
      (loop $columns
        (local.set $cx
          (f64.sub (f64.mul (f64.convert_i32_u (local.get $column)) (local.get $step)) (f64.const 2.25)))
        (local.set $x (f64.const 0))
        (local.set $y (f64.const 0))
        (local.set $xx (f64.const 0))
        (local.set $yy (f64.const 0))
        (local.set $count (i32.const 0))
        (block $out
          (loop $iterate
            (local.set $y
              (f64.add
                (f64.mul (f64.mul (f64.const 2) (local.get $x)) (local.get $y))
                (local.get $cy)))
            (local.set $x
              (f64.add (f64.sub (local.get $xx) (local.get $yy)) (local.get $cx)))
            (local.set $xx (f64.mul (local.get $x) (local.get $x)))
            (local.set $yy (f64.mul (local.get $y) (local.get $y)))
            (br_if $out (f64.gt (f64.add (local.get $xx) (local.get $yy)) (f64.const 4)))
            (br_if $iterate
              (i32.lt_u
                (local.tee $count (i32.add (local.get $count) (i32.const 1)))
                (i32.const 100)))))
        (i32.store8
          (i32.add (i32.mul (local.get $row) (local.get $n)) (local.get $column))
          (local.get $count))
        (local.set $total (i32.add (local.get $total) (local.get $count)))
        (br_if $columns
          (i32.lt_u
            (local.tee $column (i32.add (local.get $column) (i32.const 1)))
            (local.get $n))))
      (br_if $rows
        (i32.lt_u
          (local.tee $row (i32.add (local.get $row) (i32.const 1)))
          (local.get $n))))
    (local.get $total)))
