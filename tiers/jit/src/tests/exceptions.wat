;; Throwing and catching, and the legacy instructions for it.
(module
  (type $many (func (param i32 i64 f32 f64 i64 i64 i64 i64 i64 i64 i64)))
  (tag $none)
  (tag $many (type $many))
  (memory 1)
  (func $callee (param i32) (result i32 i64 f32 f64 i64 i64 i64 i64 i64 i64 i64)
    local.get 0
    i64.const 1 f32.const 2 f64.const 3
    i64.const 4 i64.const 5 i64.const 6 i64.const 7 i64.const 8 i64.const 9 i64.const 10)
  (func (result i32 i64 f32 f64 i64 i64 i64 i64 i64 i64 i64)
    try_table (catch $many 0)
      try_table (catch $none 0)
        i32.const 7
        call $callee
        throw $many
      end
    end
    unreachable)
  (func (param $n i32) (param $x exnref) (result i32)
    (local $k i64)
    i64.const 5
    loop $again
      block $all (result exnref)
        block $one
          try_table (catch $none $one) (catch_all_ref $all) (catch $none $one)
            local.get $n
            call $callee
            throw $many
          end
          local.get $x
          throw_ref
        end
        local.get $n
        i32.const 1
        i32.sub
        local.tee $n
        br_if $again
        local.get $x
      end
      local.set $x
      try_table (catch_all $again)
        local.get $x
        throw_ref
      end
    end
    i32.wrap_i64)
  (func (param $n i32) (result i32)
    try $outer (result i32)
      try (param) (result i32)
        local.get $n
        call $callee
        throw $many
      catch $none
        loop $l
          local.get $n
          i32.const 1
          i32.sub
          local.tee $n
          br_if $l
        end
        rethrow 0
      catch $many
        drop drop drop drop drop drop drop drop drop drop
        try
          throw $none
        delegate $outer
      end
    catch_all
      i32.const 3
    end))
