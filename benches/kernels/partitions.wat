;; Recursion from inside a loop: how many ways there are to write n as a sum, the order of its parts aside.
(module
  (func $ways (param $rest i32) (param $most i32) (result i32)
    (local $part i32) (local $sum i32)
    (if (i32.eqz (local.get $rest)) (then (return (i32.const 1))))
    (local.set $part (select (local.get $rest) (local.get $most) (i32.lt_u (local.get $rest) (local.get $most))))
    (loop $next
      (local.set $sum
        (i32.add
          (local.get $sum)
          (call $ways (i32.sub (local.get $rest) (local.get $part)) (local.get $part))))
      (br_if $next (local.tee $part (i32.sub (local.get $part) (i32.const 1)))))
    (local.get $sum))
  (func (export "run") (param $n i32) (result i32)
    (call $ways (local.get $n) (local.get $n))))
