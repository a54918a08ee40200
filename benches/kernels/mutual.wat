;; Mutual recursion: Hofstadter's female and male sequences, each defined by the other, summed up to n.
(module
  (func $female (param $n i32) (result i32)
    (if (result i32) (local.get $n)
      (then
        (i32.sub
          (local.get $n)
          (call $male (call $female (i32.sub (local.get $n) (i32.const 1))))))
      (else (i32.const 1))))
  (func $male (param $n i32) (result i32)
    (if (result i32) (local.get $n)
      (then
        (i32.sub
          (local.get $n)
          (call $female (call $male (i32.sub (local.get $n) (i32.const 1))))))
      (else (i32.const 0))))
  (func (export "run") (param $n i32) (result i32)
    (local $i i32) (local $sum i32)
    (loop $next
      (local.set $sum (i32.add (local.get $sum) (call $female (local.get $i))))
      (local.set $sum (i32.add (local.get $sum) (call $male (local.get $i))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $i) (local.get $n))))
    (local.get $sum)))
