;; Control, calls, variables, tables and bulk memory in many shapes; each function is compiled from its start and from each loop.
(module
  (type $unary (func (param i32) (result i32)))
  (type $none (func))
  (type $pair (func (param i32 i64) (result i64 i32)))
  (type $many (func (param i32) (result i32 i64 f32 f64 i32 i64 i32 i64 i32 i64 i32 i64)))
  (import "m" "unary" (func $imported (type $unary)))
  (import "m" "many" (func $imported_many (type $many)))
  (import "m" "global" (global $ig (mut i64)))
  (import "m" "constant" (global $ic f64))
  (import "m" "table" (table $it 1 funcref))
  (memory $m 1 2)
  (memory $n 1)
  (table $t 4 funcref)
  (table $fixed 4 4 (ref null $unary))
  (table $externs 2 externref)
  (global $g (mut i32) (i32.const 1))
  (global $c i32 (i32.const 2))
  (global $f (mut funcref) (ref.null func))
  (data $d "abc")
  (elem $e func $id $imported)

  (func $id (type $unary) local.get 0)

  ;; Blocks with params and results, fallen through and branched out of.
  (func (param i32 i64) (result i64 i32)
    local.get 0
    local.get 1
    block (param i32 i64) (result i64 i32)
      local.set 1
      local.set 0
      local.get 1
      local.get 0
      i32.eqz
      local.get 0
      br_if 0
    end)
  (func (param i32) (result i32)
    block (result i32)
      i32.const 1
      local.get 0
      br_if 0
      drop
      local.get 0
      i32.const 3
      i32.lt_s
    end
    block nop end
    block unreachable end)
  (func (param i32) (result i32)
    local.get 0
    local.get 0
    i32.const 5
    i32.gt_u
    if (param i32) (result i32)
      i32.const 2
      i32.mul
    else
      i32.eqz
    end
    local.get 0
    if (param i32) (result i32)
    end
    local.get 0
    if (param i32) (result i32)
      br 1
    end
    local.get 0
    if (result i32)
      i32.const 9
      return
    else
      i32.const 1
    end
    i32.add)
  ;; Dead code of all shapes.
  (func (param i32) (result i32)
    block (result i32)
      i32.const 1
      br 0
      loop br 0 if nop else nop end unreachable i32.eqz drop end
      block unreachable i32.add drop end
      if (result i32) i32.const 1 else i32.const 2 end
      drop
    end
    drop
    loop (result i32) unreachable end)
  (func (param i32) (result i32)
    local.get 0
    if (result i32)
      unreachable
    else
      unreachable
    end
    )
  (func (param i32)
    local.get 0
    if return else end
    local.get 0
    if br 0 else br 0 end
    local.get 0
    if
      block br 1 end
    end
    block
      loop
        br 1
      end
    end)

  ;; Tables of branches.
  (func (param i32) (result i32)
    block block block
      local.get 0
      br_table 0 1 2 0 1
    end
      i32.const 1
      return
    end
      i32.const 2
      return
    end
    i32.const 3)
  (func (param i32) (result i32)
    block (result i32)
      block (result i32)
        local.get 0
        i32.const 3
        i32.eq
        local.get 0
        br_table 0 1 2 1 0
      end
      i32.const 10
      i32.add
    end)
  (func (param i32)
    block
      local.get 0
      br_table 0
    end
    block
      local.get 0
      br_table 0 1
    end
    loop
      local.get 0
      br_table 0 1 0
    end)
  (func (param i32) (result i64 i32)
    block (result i64 i32)
      i64.const 1
      i32.const 2
      local.get 0
      br_table 1 0 1
    end)

  ;; Loops three deep, with operands below each and params.
  (func (param $x i32) (param $y f64) (result i32 i64 f64) (local $a i32) (local $b f32) (local $r funcref)
    i32.const 7
    local.get $x
    i64.extend_i32_s
    local.get $y
    local.get $x
    loop $outer (param i32) (result i32)
      local.tee $a
      local.get $y
      loop $middle (param i32 f64) (result i32)
        local.set $y
        local.get $b
        local.get $a
        i32.eqz
        loop $inner (param i32) (result i32)
          local.get $a
          i32.const 1
          i32.sub
          local.tee $a
          br_if $inner
          local.get $a
          local.get $y
          local.get $x
          br_table $middle $middle $middle
        end
        drop
        local.set $b
        local.get $y
        local.get $a
        br_if $middle
        drop
      end
      local.get $a
      br_if $outer
    end
    drop)
  (func (param i32) (result i32) (local i32)
    local.get 0
    i32.const 3
    i32.lt_u
    block $out (result i32)
      local.get 0
      block $b
        local.get 1
        br_if $b
        loop $l
          local.get 0
          if
            local.get 0
            local.get 1
            br_if $out
            drop
            br $l
          else
            local.get 1
            br_if $b
          end
          i32.const 4
          loop $k
            local.get 1
            br_if $l
            local.get 0
            br_if $k
          end
          local.set 1
        end
      end
    end
    i32.add)
  (func (param i32 i32) (result i32)
    block $a (result i32)
      local.get 0
      loop $outer
        i32.const 1
        local.get 0
        br_if $a
        drop
        local.get 1
        local.get 0
        i32.eq
        local.get 1
        loop $target
          local.get 1
          br_if $target
        end
        i32.add
        local.set 1
        br $outer
      end
    end)

  ;; Calls.
  (func (param i32) (result i32)
    local.get 0 call $id
    local.get 0 i32.eqz call $imported
    i32.add
    local.get 0 local.get 0 call_indirect $t (type $unary)
    i32.add
    local.get 0 local.get 0 call_indirect $fixed (type $unary)
    i32.add
    local.get 0 local.get 0 call_indirect $it (type $unary)
    i32.add
    local.get 0 local.get 0 table.get $fixed call_ref $unary
    i32.add)
  (func $many (type $many)
    i32.const 1 i64.const 2 f32.const 3 f64.const 4 i32.const 5 i64.const 6
    i32.const 7 i64.const 8 i32.const 9 i64.const 10 i32.const 11 i64.const 12)
  (func (type $many)
    loop
      local.get 0 call $many
      return
    end
    unreachable)
  (func (type $many) (local i64)
    local.get 0 call $imported_many
    local.set 1 drop drop drop drop drop drop drop drop drop drop drop
    loop local.get 0 local.get 0 return_call_indirect $t (type $many) end
    unreachable)
  (func (type $many) local.get 0 return_call $many)
  (func (type $many) local.get 0 return_call $imported_many)
  (func (type $unary) loop (result i32) local.get 0 return_call $id end)
  (func (type $unary) i32.const 5 loop local.get 0 i32.eqz return_call $imported end unreachable)
  (func (type $unary)
    f64.const 1
    loop (result i32)
      local.get 0 local.get 0 return_call_indirect $fixed (type $unary)
    end
    return)
  (func (type $unary)
    loop (result i32)
      local.get 0 local.get 0 table.get $fixed return_call_ref $unary
    end)
  (func $wide (param i64 i64 i64 i64 i64 i64 i64 f32 f64 i32) (result i32)
    i64.const 1 i64.const 2 i64.const 3 i64.const 4 i64.const 5 i64.const 6 i64.const 7
    local.get 7 local.get 8 local.get 9
    return_call $wide)
  (func (param i32) (result i32)
    i64.const 1 i64.const 2 i64.const 3 i64.const 4 i64.const 5 i64.const 6 i64.const 7
    f32.const 1 f64.const 2 local.get 0
    return_call $wide)

  ;; References.
  (func (param $r (ref null $unary)) (result i32)
    block $null
      local.get $r
      br_on_null $null
      ref.as_non_null
      i32.const 1
      local.get $r
      ref.as_non_null
      call_ref $unary
      return
    end
    block $some (result (ref $unary))
      local.get $r
      br_on_non_null $some
      i32.const 0
      return
    end
    drop
    local.get $r
    ref.is_null
    if (result i32) i32.const 1 else i32.const 2 end)
  (func (param $r funcref) (result i32 (ref func))
    i32.const 1
    local.get $r
    br_on_non_null 0
    drop
    i32.const 2
    ref.func $id)
  (func (result funcref externref funcref) (local (ref null $unary))
    ref.func $imported
    ref.null extern
    ref.null func)

  ;; Variables.
  (func (param f32) (result i32)
    global.get $ig
    i64.const 1
    i64.add
    global.set $ig
    global.get $ic
    drop
    global.get $c
    global.get $g
    i32.add
    global.set $g
    ref.func $id
    global.set $f
    global.get $g)
  (func (param i32 i32 i32 i64) (result i32 i32 i64)
    local.get 0 local.get 1 local.get 2 select
    local.get 0 local.get 1 i32.eq local.get 2 i32.eqz local.get 1 select
    local.get 3 i64.const 1 local.get 0 local.get 2 i32.lt_s select (result i64)
    i64.const 2
    local.get 0
    select)
  (func (param i32) (result i32)
    local.get 0
    i32.const 3
    i32.lt_s
    local.tee 0
    local.get 0
    i32.eqz
    i32.eqz
    local.set 0
    local.get 0
    i32.add
    local.get 0
    i32.const 1
    i32.eq
    global.set $g)

  ;; Tables and memories.
  (func (param i32 externref)
    local.get 0 local.get 0 table.get $t table.set $t
    local.get 0 local.get 1 table.set $externs
    table.size $t drop
    table.size $fixed drop
    ref.null func local.get 0 table.grow $t drop
    local.get 0 ref.null func local.get 0 table.fill $t
    local.get 0 local.get 0 local.get 0 table.copy $t $it
    local.get 0 local.get 0 local.get 0 table.init $t $e
    elem.drop $e)
  (func (param i32) (result i32)
    memory.size $m
    memory.size $n
    i32.add
    local.get 0
    memory.grow $m
    i32.add
    local.get 0 local.get 0 i32.eqz local.get 0 memory.fill $m
    local.get 0 local.get 0 local.get 0 memory.copy $n $m
    local.get 0 local.get 0 local.get 0 memory.init $m $d
    data.drop $d)

  ;; Loads that are joined with the operators that use them.
  (func (param i32 i32) (result i32)
    local.get 0
    i32.load offset=4
    i32.load offset=8
    i32.load $n
    local.get 0
    local.get 0
    i32.load offset=12
    local.get 1
    i32.add
    i32.store offset=12
    local.get 1
    local.get 0
    i32.load offset=20
    i32.xor
    i32.add
    local.get 0
    i32.load8_u
    local.get 1
    i32.and
    i32.add)
  (func (param i32 f64) (result f64)
    local.get 1
    local.get 0
    f64.load
    f64.add
    local.get 0
    i32.load
    f64.convert_i32_s
    f64.mul
    local.get 0
    f32.load
    f64.promote_f32
    f64.sqrt
    f64.div)
  ;; Vectors, also as locals, operands below blocks, and around loops.
  (func (param v128 v128 i32) (result v128) (local v128)
    v128.const i32x4 1 2 3 4
    local.get 0
    i8x16.shuffle 0 17 2 19 4 21 6 23 8 25 10 27 12 29 14 31
    local.get 1
    (block (param v128) (result v128)
      (loop (param v128) (result v128)
        local.get 0
        local.get 1
        f32x4.relaxed_madd
        local.tee 3
        local.get 1
        local.get 0
        f32x4.relaxed_nmadd
        local.get 0
        local.get 3
        f64x2.relaxed_madd
        local.get 0
        local.get 3
        f64x2.relaxed_nmadd
        (br_if 0 (i8x16.all_true (local.get 3)))
        (br_if 1 (local.get 2))))
    local.get 2
    select (result v128))
)
