;; An interpreter in the interpreter: a register machine whose instructions, two bytes each, are picked apart by `br_table`.
;;
;; The guest's guest counts register 0 down from n and in each round scrambles registers 1 to 3.
(module
  (memory (export "memory") 1)
  ;; Instruction: operation, then target register in the high and source in the low four bits.
  ;; 0 halt, 1 move, 2 add, 3 sub, 4 xor, 5 shift left, 6 shift right, 7 increment, 8 decrement, 9 load, 10 store,
  ;; 11 jump back by the second byte if register 0 is not zero, 12 skip one if the source is odd, 13 nothing
  (data (i32.const 0)
    "\07\10" "\02\21" "\04\32" "\05\31" "\0c\03" "\03\12" "\0a\13" "\09\42" "\04\34" "\06\21" "\0d\00" "\02\13"
    "\08\00" "\0b\1a" "\00\00")
  (func $reg (param $index i32) (result i32)
    (i32.add (i32.const 0x100) (i32.shl (local.get $index) (i32.const 2))))
  (func (export "run") (param $n i32) (result i32)
    (local $pc i32) (local $op i32) (local $target i32) (local $source i32) (local $second i32)
    (i32.store (call $reg (i32.const 0)) (local.get $n))
    (loop $next
      (local.set $op (i32.load8_u (local.get $pc)))
      (local.set $second (i32.load8_u offset=1 (local.get $pc)))
      (local.set $pc (i32.add (local.get $pc) (i32.const 2)))
      (local.set $target
        (i32.add (i32.const 0x100) (i32.shl (i32.shr_u (local.get $second) (i32.const 4)) (i32.const 2))))
      (local.set $source
        (i32.load
          (i32.add (i32.const 0x100) (i32.shl (i32.and (local.get $second) (i32.const 15)) (i32.const 2)))))
      (block $nothing (block $skip (block $jump (block $store (block $load (block $dec (block $inc (block $shr
      (block $shl (block $xor (block $sub (block $add (block $move (block $halt
        (br_table $halt $move $add $sub $xor $shl $shr $inc $dec $load $store $jump $skip $nothing
          (local.get $op)))
        (return (i32.load (call $reg (i32.const 3)))))
        (i32.store (local.get $target) (local.get $source))
        (br $next))
        (i32.store (local.get $target) (i32.add (i32.load (local.get $target)) (local.get $source)))
        (br $next))
        (i32.store (local.get $target) (i32.sub (i32.load (local.get $target)) (local.get $source)))
        (br $next))
        (i32.store (local.get $target) (i32.xor (i32.load (local.get $target)) (local.get $source)))
        (br $next))
        (i32.store (local.get $target) (i32.shl (i32.load (local.get $target)) (local.get $source)))
        (br $next))
        (i32.store (local.get $target) (i32.shr_u (i32.load (local.get $target)) (local.get $source)))
        (br $next))
        (i32.store (local.get $target) (i32.add (i32.load (local.get $target)) (i32.const 1)))
        (br $next))
        (i32.store (local.get $target) (i32.sub (i32.load (local.get $target)) (i32.const 1)))
        (br $next))
        (i32.store (local.get $target)
          (i32.load offset=0x1000 (i32.shl (i32.and (local.get $source) (i32.const 0xff)) (i32.const 2))))
        (br $next))
        (i32.store offset=0x1000
          (i32.shl (i32.and (local.get $source) (i32.const 0xff)) (i32.const 2))
          (i32.load (local.get $target)))
        (br $next))
        (if (i32.load (i32.const 0x100))
          (then (local.set $pc (i32.sub (local.get $pc) (i32.add (local.get $second) (i32.const 2))))))
        (br $next))
        (if (i32.and (local.get $source) (i32.const 1))
          (then (local.set $pc (i32.add (local.get $pc) (i32.const 2)))))
        (br $next))
      (br $next))
    (unreachable)))
