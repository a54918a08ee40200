;; Global counters: a 64-bit xorshift generator and four tallies, all in globals, for n rounds.
(module
  (global $state (mut i64) (i64.const 88172645463325252))
  (global $even (mut i32) (i32.const 0))
  (global $odd (mut i32) (i32.const 0))
  (global $low (mut i32) (i32.const 0))
  (global $rounds (mut i32) (i32.const 0))
  (func $step
    (global.set $state (i64.xor (global.get $state) (i64.shl (global.get $state) (i64.const 13))))
    (global.set $state (i64.xor (global.get $state) (i64.shr_u (global.get $state) (i64.const 7))))
    (global.set $state (i64.xor (global.get $state) (i64.shl (global.get $state) (i64.const 17))))
    (global.set $rounds (i32.add (global.get $rounds) (i32.const 1))))
  (func (export "run") (param $n i32) (result i64)
    (global.set $rounds (i32.const 0))
    (loop $next
      (call $step)
      (if (i32.wrap_i64 (i64.and (global.get $state) (i64.const 1)))
        (then (global.set $odd (i32.add (global.get $odd) (i32.const 1))))
        (else (global.set $even (i32.add (global.get $even) (i32.const 1)))))
      (if (i64.lt_u (i64.and (global.get $state) (i64.const 0xff)) (i64.const 16))
        (then (global.set $low (i32.add (global.get $low) (i32.const 1)))))
      (br_if $next (i32.lt_u (global.get $rounds) (local.get $n))))
    (i64.xor
      (global.get $state)
      (i64.add
        (i64.shl (i64.extend_i32_u (global.get $odd)) (i64.const 32))
        (i64.extend_i32_u (i32.add (global.get $even) (global.get $low)))))))
