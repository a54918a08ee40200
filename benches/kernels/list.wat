;; Linked list: 4,096 nodes of 16 bytes in scattered order, walked n times; each visit adds to the node's value.
(module
  (memory (export "memory") 1)
  ;; Node: address of the next one, value. The order is that of a full-period generator: 5 x + 1 modulo 4,096.
  (func $link
    (local $index i32) (local $next i32) (local $left i32)
    (local.set $left (i32.const 4096))
    (loop $nodes
      (local.set $next
        (i32.and
          (i32.add (i32.mul (local.get $index) (i32.const 5)) (i32.const 1))
          (i32.const 4095)))
      (i32.store (i32.shl (local.get $index) (i32.const 4)) (i32.shl (local.get $next) (i32.const 4)))
      (i64.store offset=8 (i32.shl (local.get $index) (i32.const 4)) (i64.extend_i32_u (local.get $index)))
      (local.set $index (local.get $next))
      (br_if $nodes (local.tee $left (i32.sub (local.get $left) (i32.const 1))))))
  (func (export "run") (param $n i32) (result i64)
    (local $node i32) (local $sum i64)
    (call $link)
    (loop $again
      (local.set $node (i32.load (i32.const 0)))
      (loop $walk
        (local.set $sum (i64.add (local.get $sum) (i64.load offset=8 (local.get $node))))
        (i64.store offset=8 (local.get $node) (local.get $sum))
        (br_if $walk (local.tee $node (i32.load (local.get $node)))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum)))
