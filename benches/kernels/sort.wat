;; Sorting: n words (at most 262,144) by quicksort, then, filled anew, by heapsort; answers a checksum of both.
(module
  (memory (export "memory") 16)
  (func $fill (param $n i32) (param $seed i32)
    (local $at i32)
    (loop $next
      (local.set $seed
        (i32.add (i32.mul (local.get $seed) (i32.const 1664525)) (i32.const 1013904223)))
      (i32.store (i32.shl (local.get $at) (i32.const 2)) (i32.shr_u (local.get $seed) (i32.const 4)))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $at) (local.get $n)))))
  ;; Hoare's partition of the words from address $low to $high, both included.
  (func $quick (param $low i32) (param $high i32)
    (local $i i32) (local $j i32) (local $pivot i32) (local $word i32)
    (if (i32.ge_s (local.get $low) (local.get $high)) (then (return)))
    (local.set $pivot
      (i32.load
        (i32.and
          (i32.add
            (local.get $low)
            (i32.shr_u (i32.sub (local.get $high) (local.get $low)) (i32.const 1)))
          (i32.const -4))))
    (local.set $i (i32.sub (local.get $low) (i32.const 4)))
    (local.set $j (i32.add (local.get $high) (i32.const 4)))
    (block $met
      (loop $next
        (loop $up
          (br_if $up
            (i32.lt_s
              (i32.load (local.tee $i (i32.add (local.get $i) (i32.const 4))))
              (local.get $pivot))))
        (loop $down
          (br_if $down
            (i32.gt_s
              (i32.load (local.tee $j (i32.sub (local.get $j) (i32.const 4))))
              (local.get $pivot))))
        (br_if $met (i32.ge_s (local.get $i) (local.get $j)))
        (local.set $word (i32.load (local.get $i)))
        (i32.store (local.get $i) (i32.load (local.get $j)))
        (i32.store (local.get $j) (local.get $word))
        (br $next)))
    (call $quick (local.get $low) (local.get $j))
    (call $quick (i32.add (local.get $j) (i32.const 4)) (local.get $high)))
  (func $sift (param $root i32) (param $end i32)
    (local $child i32) (local $word i32)
    (local.set $word (i32.load (i32.shl (local.get $root) (i32.const 2))))
    (block $placed
      (loop $next
        (local.set $child (i32.add (i32.shl (local.get $root) (i32.const 1)) (i32.const 1)))
        (br_if $placed (i32.ge_u (local.get $child) (local.get $end)))
        (if (i32.lt_u (i32.add (local.get $child) (i32.const 1)) (local.get $end))
          (then
            (if
              (i32.lt_s
                (i32.load (i32.shl (local.get $child) (i32.const 2)))
                (i32.load offset=4 (i32.shl (local.get $child) (i32.const 2))))
              (then (local.set $child (i32.add (local.get $child) (i32.const 1)))))))
        (br_if $placed
          (i32.ge_s (local.get $word) (i32.load (i32.shl (local.get $child) (i32.const 2)))))
        (i32.store
          (i32.shl (local.get $root) (i32.const 2))
          (i32.load (i32.shl (local.get $child) (i32.const 2))))
        (local.set $root (local.get $child))
        (br $next)))
    (i32.store (i32.shl (local.get $root) (i32.const 2)) (local.get $word)))
  (func $heap (param $n i32)
    (local $i i32) (local $word i32)
    (local.set $i (i32.shr_u (local.get $n) (i32.const 1)))
    (loop $build
      (local.set $i (i32.sub (local.get $i) (i32.const 1)))
      (call $sift (local.get $i) (local.get $n))
      (br_if $build (local.get $i)))
    (local.set $i (i32.sub (local.get $n) (i32.const 1)))
    (loop $take
      (local.set $word (i32.load (i32.const 0)))
      (i32.store (i32.const 0) (i32.load (i32.shl (local.get $i) (i32.const 2))))
      (i32.store (i32.shl (local.get $i) (i32.const 2)) (local.get $word))
      (call $sift (i32.const 0) (local.get $i))
      (br_if $take (local.tee $i (i32.sub (local.get $i) (i32.const 1))))))
  (func $checksum (param $n i32) (result i32)
    (local $at i32) (local $sum i32)
    (loop $next
      (local.set $sum
        (i32.add
          (i32.rotl (local.get $sum) (i32.const 5))
          (i32.load (i32.shl (local.get $at) (i32.const 2)))))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $at) (local.get $n))))
    (local.get $sum))
  (func (export "run") (param $n i32) (result i32)
    (local $sum i32)
    (call $fill (local.get $n) (i32.const 7))
    (call $quick (i32.const 0) (i32.shl (i32.sub (local.get $n) (i32.const 1)) (i32.const 2)))
    (local.set $sum (call $checksum (local.get $n)))
    (call $fill (local.get $n) (i32.const 7))
    (call $heap (local.get $n))
    (i32.add
      (i32.mul (local.get $sum) (i32.const 31))
      (call $checksum (local.get $n)))))
