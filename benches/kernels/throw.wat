;; Exceptions: throws n of them, each caught under some frames; answers the sum of what they carry. The argument is n and, from bit
;; 32 on, how many calls lie between a catch and its throw.
(module
  (tag $tag (param i64))
  (func $thrower (param $frames i32) (param $value i64) (result i64)
    (if (result i64) (local.get $frames)
      (then
        ;; What comes behind the call keeps the frame.
        (i64.add (i64.const 1)
          (call $thrower (i32.sub (local.get $frames) (i32.const 1)) (local.get $value))))
      (else (throw $tag (local.get $value)))))
  (func $catcher (param $frames i32) (param $value i64) (result i64)
    (block $caught (result i64)
      (try_table (result i64) (catch $tag $caught)
        (call $thrower (local.get $frames) (local.get $value)))))
  (func (export "run") (param $n i64) (result i64)
    (local $frames i32) (local $sum i64)
    (local.set $frames (i32.wrap_i64 (i64.shr_u (local.get $n) (i64.const 32))))
    (local.set $n (i64.and (local.get $n) (i64.const 0xffffffff)))
    (loop $again
      (local.set $sum (i64.add (local.get $sum) (call $catcher (local.get $frames) (local.get $n))))
      (br_if $again (i64.ne (local.tee $n (i64.sub (local.get $n) (i64.const 1))) (i64.const 0))))
    (local.get $sum)))
