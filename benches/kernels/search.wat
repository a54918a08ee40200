;; String search: counts, n times, where an eight-byte word stands in 64 KiB of text over four letters.
(module
  (memory (export "memory") 2)
  (data (i32.const 0x10000) "abcadbca")
  (func $write_text
    (local $at i32) (local $seed i32)
    (local.set $seed (i32.const 42))
    (loop $next
      (local.set $seed
        (i32.add (i32.mul (local.get $seed) (i32.const 1664525)) (i32.const 1013904223)))
      (i32.store8
        (local.get $at)
        (i32.add (i32.const 0x61) (i32.shr_u (local.get $seed) (i32.const 30))))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $at) (i32.const 0x10000)))))
  (func $stands_at (param $at i32) (param $word i32) (param $len i32) (result i32)
    (block $no
      (loop $next
        (br_if $no (i32.ne (i32.load8_u (local.get $at)) (i32.load8_u (local.get $word))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (local.set $word (i32.add (local.get $word) (i32.const 1)))
        (br_if $next (local.tee $len (i32.sub (local.get $len) (i32.const 1)))))
      (return (i32.const 1)))
    (i32.const 0))
  (func (export "run") (param $n i32) (result i32)
    (local $at i32) (local $count i32)
    (call $write_text)
    (loop $again
      (local.set $at (i32.const 0))
      (loop $next
        (if (i32.eq (i32.load8_u (local.get $at)) (i32.load8_u (i32.const 0x10000)))
          (then
            (local.set $count
              (i32.add
                (local.get $count)
                (call $stands_at (local.get $at) (i32.const 0x10000) (i32.const 8))))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br_if $next (i32.le_u (local.get $at) (i32.const 0xfff8))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $count)))
