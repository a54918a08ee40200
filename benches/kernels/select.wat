;; Selection: running minimum, maximum, median of three and clamp without branches, over n generated words.
(module
  (func (export "run") (param $n i32) (result i32)
    (local $seed i32) (local $a i32) (local $b i32) (local $c i32)
    (local $min i32) (local $max i32) (local $median i32) (local $sum i32)
    (local.set $seed (i32.const 99))
    (local.set $min (i32.const 0x7fffffff))
    (local.set $max (i32.const 0x80000000))
    (loop $next
      (local.set $a (local.get $b))
      (local.set $b (local.get $c))
      (local.set $c
        (local.tee $seed
          (i32.add (i32.mul (local.get $seed) (i32.const 1664525)) (i32.const 1013904223))))
      (local.set $min
        (select (local.get $c) (local.get $min) (i32.lt_s (local.get $c) (local.get $min))))
      (local.set $max
        (select (local.get $c) (local.get $max) (i32.gt_s (local.get $c) (local.get $max))))
      ;; median = max(min(a, b), min(max(a, b), c))
      (local.set $median
        (select (local.get $a) (local.get $b) (i32.gt_s (local.get $a) (local.get $b))))
      (local.set $median
        (select (local.get $median) (local.get $c) (i32.lt_s (local.get $median) (local.get $c))))
      (local.set $a
        (select (local.get $a) (local.get $b) (i32.lt_s (local.get $a) (local.get $b))))
      (local.set $median
        (select (local.get $a) (local.get $median) (i32.gt_s (local.get $a) (local.get $median))))
      (local.set $sum
        (i32.add
          (local.get $sum)
          (select
            (i32.const 1000)
            (select (i32.const -1000) (local.get $median) (i32.lt_s (local.get $median) (i32.const -1000)))
            (i32.gt_s (local.get $median) (i32.const 1000)))))
      (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i32.xor (local.get $sum) (i32.xor (local.get $min) (local.get $max)))))
