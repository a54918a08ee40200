;; A scanner whose states are functions that tail-call each other: n characters of a text that a generator makes are sorted into
;; numbers, names, blanks and the rest, and each state goes on by `return_call` or, from the start, by `return_call_indirect`.
(module
  (type $state (func (param $left i32) (param $seed i64) (param $sum i64) (result i64)))
  (table funcref (elem $blank $number $name $other))
  ;; The generator's next number.
  (func $next (param $seed i64) (result i64)
    (i64.add (i64.mul (local.get $seed) (i64.const 6364136223846793005)) (i64.const 1442695040888963407)))
  ;; The class of a character: 0 to 3, as in the table. Runs of a class are some characters long.
  (func $class (param $seed i64) (result i32)
    (i32.and (i32.wrap_i64 (i64.shr_u (local.get $seed) (i64.const 61))) (i32.const 3)))
  (func $start (type $state) (param $left i32) (param $seed i64) (param $sum i64) (result i64)
    (if (i32.eqz (local.get $left)) (then (return (local.get $sum))))
    (return_call_indirect (type $state)
      (i32.sub (local.get $left) (i32.const 1))
      (call $next (local.get $seed))
      (i64.add (i64.rotl (local.get $sum) (i64.const 1)) (i64.const 1))
      (call $class (local.get $seed))))
  (func $blank (type $state) (param $left i32) (param $seed i64) (param $sum i64) (result i64)
    (if (i32.eqz (local.get $left)) (then (return (local.get $sum))))
    (if (i64.lt_s (local.get $seed) (i64.const 0))
      (then
        (return_call $blank
          (i32.sub (local.get $left) (i32.const 1)) (call $next (local.get $seed)) (local.get $sum))))
    (return_call $start (local.get $left) (local.get $seed) (local.get $sum)))
  (func $number (type $state) (param $left i32) (param $seed i64) (param $sum i64) (result i64)
    (if (i32.eqz (local.get $left)) (then (return (local.get $sum))))
    (if (i64.gt_s (local.get $seed) (i64.const -0x4000000000000000))
      (then
        (return_call $number
          (i32.sub (local.get $left) (i32.const 1))
          (call $next (local.get $seed))
          (i64.add
            (i64.mul (local.get $sum) (i64.const 10))
            (i64.and (i64.shr_u (local.get $seed) (i64.const 40)) (i64.const 7))))))
    (return_call $start (local.get $left) (local.get $seed) (local.get $sum)))
  (func $name (type $state) (param $left i32) (param $seed i64) (param $sum i64) (result i64)
    (if (i32.eqz (local.get $left)) (then (return (local.get $sum))))
    (if (i32.and (i32.wrap_i64 (i64.shr_u (local.get $seed) (i64.const 50))) (i32.const 7))
      (then
        (return_call $name
          (i32.sub (local.get $left) (i32.const 1))
          (call $next (local.get $seed))
          (i64.xor (i64.mul (local.get $sum) (i64.const 31)) (i64.shr_u (local.get $seed) (i64.const 56))))))
    (return_call $number (local.get $left) (local.get $seed) (local.get $sum)))
  (func $other (type $state) (param $left i32) (param $seed i64) (param $sum i64) (result i64)
    (return_call $start (local.get $left) (local.get $seed) (i64.xor (local.get $sum) (local.get $seed))))
  (func (export "run") (param $n i32) (result i64)
    (call $start (local.get $n) (i64.const 88172645463325252) (i64.const 0))))
