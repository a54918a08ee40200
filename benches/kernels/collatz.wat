;; i64 arithmetic: the number below n whose way to 1 by Collatz's rule is longest, and how long it is.
(module
  (func (export "run") (param $n i64) (result i64)
    (local $start i64) (local $value i64) (local $steps i64) (local $longest i64) (local $best i64)
    (local.set $start (i64.const 1))
    (loop $next
      (local.set $value (local.get $start))
      (local.set $steps (i64.const 0))
      (block $arrived
        (loop $step
          (br_if $arrived (i64.eq (local.get $value) (i64.const 1)))
          (if (i64.eqz (i64.and (local.get $value) (i64.const 1)))
            (then (local.set $value (i64.shr_u (local.get $value) (i64.const 1))))
            (else
              (local.set $value
                (i64.add (i64.mul (local.get $value) (i64.const 3)) (i64.const 1)))))
          (local.set $steps (i64.add (local.get $steps) (i64.const 1)))
          (br $step)))
      (if (i64.gt_u (local.get $steps) (local.get $longest))
        (then
          (local.set $longest (local.get $steps))
          (local.set $best (local.get $start))))
      (local.set $start (i64.add (local.get $start) (i64.const 1)))
      (br_if $next (i64.lt_u (local.get $start) (local.get $n))))
    (i64.add (i64.mul (local.get $longest) (i64.const 1000000000)) (local.get $best))))
