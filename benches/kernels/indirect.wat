;; Indirect calls: n calls through a table of eight functions of one type, chosen by a linear congruential generator.
(module
  (type $step (func (param i32 i32) (result i32)))
  (table 8 8 funcref)
  (elem (i32.const 0) $add $sub $xor $and $or $rotl $mul $third)
  (func $add (type $step) (i32.add (local.get 0) (local.get 1)))
  (func $sub (type $step) (i32.sub (local.get 0) (local.get 1)))
  (func $xor (type $step) (i32.xor (local.get 0) (local.get 1)))
  (func $and (type $step) (i32.or (i32.and (local.get 0) (local.get 1)) (i32.const 0x1111)))
  (func $or (type $step) (i32.or (local.get 0) (local.get 1)))
  (func $rotl (type $step) (i32.rotl (local.get 0) (local.get 1)))
  (func $mul (type $step) (i32.mul (local.get 0) (i32.or (local.get 1) (i32.const 1))))
  (func $third (type $step) (i32.add (local.get 0) (i32.div_u (local.get 1) (i32.const 3))))
  (func (export "run") (param $n i32) (result i32)
    (local $seed i32) (local $value i32)
    (local.set $seed (i32.const 12345))
    (loop $next
      (local.set $seed
        (i32.add (i32.mul (local.get $seed) (i32.const 1664525)) (i32.const 1013904223)))
      (local.set $value
        (call_indirect (type $step)
          (local.get $value)
          (local.get $seed)
          (i32.shr_u (local.get $seed) (i32.const 29))))
      (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $value)))
