;; Memories and tables with 64-bit indices.
(module
  (type $unary (func (param i64) (result i64)))
  (memory $m i64 1 4)
  (memory $n 1)
  (memory $s 1 2 shared)
  (table $t i64 4 funcref)
  (table $fixed i64 2 2 (ref null $unary))
  (data $d "abc")
  (elem $e func $f)
  (func (param i64 i32) (result i32)
    local.get 0
    i64.const 1
    i64.atomic.rmw32.add_u offset=0xfffffffffffffff0
    drop
    local.get 0
    local.get 1
    local.get 1
    i32.atomic.rmw16.cmpxchg_u offset=6
    atomic.fence
    local.get 0
    i32.const 3
    memory.atomic.notify offset=0x100000000
    i32.add
    memory.size $s
    i32.add
    local.get 1
    local.get 1
    i64.const -1
    memory.atomic.wait32 $s offset=4
    i32.add
    local.get 1
    i64.const 5
    i64.const -1
    memory.atomic.wait64 $s
    i32.add)
  (func $f (type $unary)
    local.get 0
    i64.load
    local.get 0
    i64.load32_u offset=0xffffffff
    i64.add
    local.get 0
    i64.load8_s offset=0xffffffffffffffff
    i64.add
    local.get 0
    i32.wrap_i64
    i64.load $n offset=0xffffffff
    i64.add)
  (func (param i64 f32)
    local.get 0 local.get 1 f32.store
    local.get 0 local.get 1 f32.store offset=0x100000000
    local.get 0 i32.wrap_i64 local.get 1 f32.store $n offset=8
    loop
      local.get 0 i64.const 1 i64.store16
      local.get 0 i64.eqz br_if 0
    end)
  (func (param i64) (result i64)
    local.get 0 local.get 0 call_indirect $t (type $unary)
    local.get 0 call_indirect $fixed (type $unary)
    local.get 0 table.get $t
    ref.is_null
    i64.extend_i32_u
    i64.add
    table.size $t i64.add
    table.size $fixed i64.add
    ref.null func local.get 0 table.grow $t i64.add
    memory.size $m i64.add
    memory.size $n i64.extend_i32_u i64.add
    local.get 0 memory.grow $m i64.add)
  (func (param i64)
    local.get 0 ref.null func table.set $t
    local.get 0 ref.null func local.get 0 table.fill $t
    local.get 0 local.get 0 local.get 0 table.copy $t $t
    local.get 0 i32.const 0 i32.const 1 table.init $t $e
    local.get 0 i32.const 0 local.get 0 memory.fill $m
    local.get 0 local.get 0 local.get 0 memory.copy $m $m
    local.get 0 i32.const 0 i32.const 1 memory.copy $m $n
    local.get 0 i32.const 0 i32.const 1 memory.init $m $d)
  (func (type $unary)
    local.get 0
    loop (param i64) (result i64)
      local.get 0
      return_call_indirect $t (type $unary)
    end)
)
