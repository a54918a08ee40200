;; The n-th Fibonacci number, twice: by calling itself, and by a loop.
;;
;;   crescendo run --invoke recursive src/bin/crescendo/examples/fib.wat 30
;;   crescendo disas src/bin/crescendo/examples/fib.wat loop
(module
  (func $recursive (export "recursive") (param $n i32) (result i32)
    (if (result i32) (i32.lt_s (local.get $n) (i32.const 2))
      (then (local.get $n))
      (else
        (i32.add
          (call $recursive (i32.sub (local.get $n) (i32.const 1)))
          (call $recursive (i32.sub (local.get $n) (i32.const 2)))))))

  (func $loop (export "loop") (param $n i32) (result i64)
    (local $a i64)
    (local $b i64)
    (local $next i64)
    (local.set $b (i64.const 1))
    (block $done
      (loop $step
        (br_if $done (i32.eqz (local.get $n)))
        (local.set $next (i64.add (local.get $a) (local.get $b)))
        (local.set $a (local.get $b))
        (local.set $b (local.get $next))
        (local.set $n (i32.sub (local.get $n) (i32.const 1)))
        (br $step)))
    (local.get $a)))
