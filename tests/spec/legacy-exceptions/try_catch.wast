;; The legacy instructions of exception handling: `try`, `catch`, `catch_all`, `delegate`, `rethrow`.

(module
  (tag $e0)
  (tag $e1)
  (tag $e2 (param i32))
  (tag $e3 (param i64 f32))
  (global $log (mut i32) (i32.const 0))

  (func $note (param i32)
    (global.set $log (i32.add (i32.mul (global.get $log) (i32.const 10)) (local.get 0))))
  (func (export "log") (result i32) (global.get $log) (global.set $log (i32.const 0)))

  (func $throw (export "throw") (param i32)
    block block block block
      local.get 0
      br_table 0 1 2 3
    end
      throw $e0
    end
      throw $e1
    end
      (throw $e2 (local.get 0))
    end
    local.get 0
    i32.const 3
    i32.eq
    if
      (throw $e3 (i64.const 30) (f32.const 0.5))
    end)

  (func (export "empty-try") (result i32) try end i32.const 1)
  (func (export "empty-catch") (result i32) try catch $e0 end i32.const 2)
  (func (export "no-throw") (result i32) try (result i32) i32.const 3 catch_all i32.const 4 end)

  (func (export "catch") (param i32) (result i32)
    try (result i32)
      (call $throw (local.get 0))
      i32.const 100
    catch $e0
      i32.const 200
    catch $e2
      i32.const 300
      i32.add
    catch $e3
      i32.trunc_f32_s
      i64.extend_i32_s
      i64.add
      i32.wrap_i64
    catch_all
      i32.const 400
    end)

  (func (export "catch-some") (param i32) (result i32)
    try (result i32)
      (call $throw (local.get 0))
      i32.const 1
    catch $e1
      i32.const 2
    end)

  ;; What a `catch` throws is not for the same `try`.
  (func (export "throw-in-catch") (param i32) (result i32)
    try (result i32)
      try (result i32)
        (call $throw (local.get 0))
        i32.const 1
      catch $e0
        throw $e1
      catch $e1
        i32.const 2
      end
    catch $e1
      i32.const 3
    end)

  (func (export "operands-below") (param i32) (result i32)
    i32.const 1000
    (i32.mul (local.get 0) (i32.const 10))
    try (param i32) (result i32)
      (call $throw (local.get 0))
    catch_all
      i32.const 7
    end
    i32.add)

  (func (export "rethrow") (param i32) (result i32)
    try (result i32)
      try
        (call $throw (local.get 0))
      catch $e2
        (call $note)
        rethrow 0
      catch_all
        (call $note (i32.const 9))
        rethrow 0
      end
      i32.const 10
    catch $e2
      i32.const 20
      i32.add
    catch $e0
      i32.const 30
    end)

  ;; The outer exception, from inside of an inner `catch` and of blocks.
  (func (export "rethrow-outer") (param i32 i32) (result i32)
    try (result i32)
      try
        (call $throw (local.get 0))
      catch_all
        try
          (call $throw (local.get 1))
        catch_all
          (call $note (i32.const 5))
          block
            local.get 1
            if
              rethrow 3
            end
            rethrow 1
          end
        end
      end
      i32.const 10
    catch $e0
      i32.const 20
    catch $e1
      i32.const 30
    catch $e2
      i32.const 40
      i32.add
    end)

  (func (export "rethrow-result") (param i32) (result i64 f32)
    try (result i64 f32)
      try (result i64 f32)
        (call $throw (local.get 0))
        i64.const 1
        f32.const 2
      catch $e3
        local.get 0
        i32.const 5
        i32.eq
        if
          rethrow 1
        end
      end
    catch_all
      i64.const 3
      f32.const 4
    end)

  (func (export "delegate-outer") (param i32) (result i32)
    try $outer (result i32)
      try (result i32)
        try (result i32)
          (call $throw (local.get 0))
          i32.const 1
        delegate $outer
      catch_all
        i32.const 2
      end
    catch $e0
      i32.const 3
    catch $e2
      i32.const 4
      i32.add
    end)

  (func $delegate-caller (param i32) (result i32)
    try (result i32)
      try (result i32)
        (call $throw (local.get 0))
        i32.const 1
      delegate 1
    catch_all
      i32.const 2
    end)
  (func (export "delegate-caller") (param i32) (result i32)
    try (result i32)
      (call $delegate-caller (local.get 0))
    catch_all
      i32.const 3
    end)

  ;; A block is no handler: what is around it is asked.
  (func (export "delegate-block") (param i32) (result i32)
    try (result i32)
      block $b (result i32)
        try (result i32)
          try (result i32)
            (call $throw (local.get 0))
            i32.const 1
          delegate $b
        catch_all
          i32.const 2
        end
      end
    catch_all
      i32.const 3
    end)

  ;; A `try` whose `catch` is running does not catch.
  (func (export "delegate-catch") (param i32) (result i32)
    try (result i32)
      try $t (result i32)
        (throw $e0)
      catch $e0
        try (result i32)
          try (result i32)
            (call $throw (local.get 0))
            i32.const 1
          delegate $t
        catch_all
          i32.const 2
        end
      end
    catch_all
      i32.const 3
    end)

  (func (export "delegate-plain") (param i32) (result i32)
    try (result i32)
      try
        (call $note (i32.const 4))
      delegate 0
      i32.const 1
    catch_all
      i32.const 2
    end)

  (func (export "loop") (param $n i32) (result i32) (local $i i32) (local $sum i32)
    loop $l
      try
        (call $throw (i32.rem_u (local.get $i) (i32.const 5)))
        (local.set $sum (i32.add (local.get $sum) (i32.const 1)))
      catch $e0
        (local.set $sum (i32.add (local.get $sum) (i32.const 10)))
      catch $e2
        (local.set $sum (i32.add (local.get $sum)))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br_if $l (i32.lt_u (local.get $i) (local.get $n)))
      catch_all
        (local.set $sum (i32.add (local.get $sum) (i32.const 1000)))
      end
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $l (i32.lt_u (local.get $i) (local.get $n)))
    end
    local.get $sum)

  ;; A loop inside a `catch` whose exception is thrown again behind it.
  (func (export "loop-in-catch") (param $n i32) (result i32) (local $i i32)
    try (result i32)
      try
        (call $throw (i32.const 2))
      catch $e2
        drop
        loop $l
          (local.set $i (i32.add (local.get $i) (i32.const 3)))
          (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))
        end
        rethrow 0
      end
      i32.const -1
    catch $e2
      local.get $i
      i32.add
    end)

  (func (export "dead") (result i32)
    block
      br 0
      try
        try
        delegate 0
        throw $e0
      catch $e2
        drop
      catch_all
        rethrow 0
      end
    end
    try (result i32)
      throw $e0
    catch_all
      i32.const 6
      return
    end)

  (func (export "mixed") (param i32) (result i32)
    block $h (result i32)
      try_table (result i32) (catch $e2 $h)
        try (result i32)
          (call $throw (local.get 0))
          i32.const 1
        catch $e0
          i32.const 2
        catch $e2
          drop
          rethrow 0
        end
      end
      i32.const 100
      i32.add
    end)
)

(assert_return (invoke "empty-try") (i32.const 1))
(assert_return (invoke "empty-catch") (i32.const 2))
(assert_return (invoke "no-throw") (i32.const 3))

(assert_exception (invoke "throw" (i32.const 0)))
(assert_exception (invoke "throw" (i32.const 3)))
(assert_return (invoke "throw" (i32.const 4)))

(assert_return (invoke "catch" (i32.const 0)) (i32.const 200))
(assert_return (invoke "catch" (i32.const 1)) (i32.const 400))
(assert_return (invoke "catch" (i32.const 2)) (i32.const 302))
(assert_return (invoke "catch" (i32.const 3)) (i32.const 30))
(assert_return (invoke "catch" (i32.const 4)) (i32.const 100))

(assert_exception (invoke "catch-some" (i32.const 0)))
(assert_return (invoke "catch-some" (i32.const 1)) (i32.const 2))
(assert_return (invoke "catch-some" (i32.const 4)) (i32.const 1))

(assert_return (invoke "throw-in-catch" (i32.const 0)) (i32.const 3))
(assert_return (invoke "throw-in-catch" (i32.const 1)) (i32.const 2))
(assert_exception (invoke "throw-in-catch" (i32.const 2)))

(assert_return (invoke "operands-below" (i32.const 1)) (i32.const 1007))
(assert_return (invoke "operands-below" (i32.const 4)) (i32.const 1040))

(assert_return (invoke "rethrow" (i32.const 0)) (i32.const 30))
(assert_return (invoke "log") (i32.const 9))
(assert_return (invoke "rethrow" (i32.const 2)) (i32.const 22))
(assert_return (invoke "log") (i32.const 2))
(assert_exception (invoke "rethrow" (i32.const 3)))
(assert_return (invoke "rethrow" (i32.const 4)) (i32.const 10))
(assert_return (invoke "log") (i32.const 9))

(assert_return (invoke "rethrow-outer" (i32.const 0) (i32.const 1)) (i32.const 20))
(assert_return (invoke "rethrow-outer" (i32.const 1) (i32.const 0)) (i32.const 20))
(assert_return (invoke "rethrow-outer" (i32.const 2) (i32.const 1)) (i32.const 42))
(assert_return (invoke "rethrow-outer" (i32.const 2) (i32.const 4)) (i32.const 10))
(assert_return (invoke "rethrow-outer" (i32.const 4) (i32.const 4)) (i32.const 10))
(assert_exception (invoke "rethrow-outer" (i32.const 3) (i32.const 1)))

(assert_return (invoke "rethrow-result" (i32.const 3)) (i64.const 30) (f32.const 0.5))
(assert_return (invoke "rethrow-result" (i32.const 0)) (i64.const 3) (f32.const 4))
(assert_return (invoke "rethrow-result" (i32.const 4)) (i64.const 1) (f32.const 2))

(assert_return (invoke "delegate-outer" (i32.const 0)) (i32.const 3))
(assert_return (invoke "delegate-outer" (i32.const 2)) (i32.const 6))
(assert_exception (invoke "delegate-outer" (i32.const 1)))
(assert_return (invoke "delegate-outer" (i32.const 4)) (i32.const 1))
(assert_return (invoke "delegate-caller" (i32.const 0)) (i32.const 3))
(assert_return (invoke "delegate-caller" (i32.const 4)) (i32.const 1))
(assert_return (invoke "delegate-block" (i32.const 1)) (i32.const 3))
(assert_return (invoke "delegate-catch" (i32.const 1)) (i32.const 3))
(assert_return (invoke "delegate-catch" (i32.const 4)) (i32.const 1))
(assert_return (invoke "delegate-plain" (i32.const 0)) (i32.const 1))

(assert_return (invoke "loop" (i32.const 1)) (i32.const 10))
(assert_return (invoke "loop" (i32.const 5)) (i32.const 2013))
(assert_return (invoke "loop" (i32.const 500)) (i32.const 201300))
(assert_return (invoke "loop-in-catch" (i32.const 1)) (i32.const 5))
(assert_return (invoke "loop-in-catch" (i32.const 1000)) (i32.const 3002))
(assert_return (invoke "dead") (i32.const 6))

(assert_return (invoke "mixed" (i32.const 0)) (i32.const 102))
(assert_return (invoke "mixed" (i32.const 2)) (i32.const 2))
(assert_return (invoke "mixed" (i32.const 4)) (i32.const 101))
(assert_exception (invoke "mixed" (i32.const 1)))

(assert_invalid (module (tag $t (param i32)) (func try catch $t end)) "type mismatch")
(assert_invalid (module (func try catch_all catch_all end)) "only one catch_all allowed per `try` block")
(assert_invalid (module (func block rethrow 0 end)) "invalid rethrow label")
(assert_invalid (module (func try delegate 5)) "unknown label")
