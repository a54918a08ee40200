;; Recursion from inside a loop, with much to keep across it: how many maximal cliques a graph with 64 vertices has, by Bron and
;; Kerbosch's method, where n of 256 pairs of vertices are neighbours. Sets are 64 bits.
(module
  (memory (export "memory") 1)
  ;; Cliques with all that was chosen before, at least one of $some and none of $done.
  (func $cliques (param $some i64) (param $done i64) (result i32)
    (local $vertex i64) (local $neighbours i64) (local $count i32)
    (if (i64.eqz (i64.or (local.get $some) (local.get $done))) (then (return (i32.const 1))))
    (block $none
      (loop $next
        (br_if $none (i64.eqz (local.get $some)))
        (local.set $vertex (i64.and (local.get $some) (i64.sub (i64.const 0) (local.get $some))))
        (local.set $neighbours
          (i64.load (i32.shl (i32.wrap_i64 (i64.ctz (local.get $some))) (i32.const 3))))
        (local.set $count
          (i32.add
            (local.get $count)
            (call $cliques
              (i64.and (local.get $some) (local.get $neighbours))
              (i64.and (local.get $done) (local.get $neighbours)))))
        (local.set $some (i64.xor (local.get $some) (local.get $vertex)))
        (local.set $done (i64.or (local.get $done) (local.get $vertex)))
        (br $next)))
    (local.get $count))
  (func $join (param $a i32) (param $b i32)
    (local $place i32)
    (local.set $place (i32.shl (local.get $a) (i32.const 3)))
    (i64.store (local.get $place)
      (i64.or (i64.load (local.get $place)) (i64.shl (i64.const 1) (i64.extend_i32_u (local.get $b))))))
  (func (export "run") (param $n i32) (result i32)
    (local $a i32) (local $b i32) (local $random i32)
    (local.set $random (i32.const 12345))
    (loop $rows
      (local.set $b (i32.const 0))
      (block $last
        (loop $columns
          (br_if $last (i32.eq (local.get $b) (local.get $a)))
          (local.set $random
            (i32.add (i32.mul (local.get $random) (i32.const 1103515245)) (i32.const 12345)))
          (if (i32.lt_u (i32.shr_u (local.get $random) (i32.const 24)) (local.get $n))
            (then
              (call $join (local.get $a) (local.get $b))
              (call $join (local.get $b) (local.get $a))))
          (local.set $b (i32.add (local.get $b) (i32.const 1)))
          (br $columns)))
      (br_if $rows (i32.lt_u (local.tee $a (i32.add (local.get $a) (i32.const 1))) (i32.const 64))))
    (call $cliques (i64.const -1) (i64.const 0))))
