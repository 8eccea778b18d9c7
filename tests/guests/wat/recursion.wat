;; Calls itself without end in `init`: a stack overflow, which ends the instance and not the host.
(component
  (core module $m
    (memory (export "memory") 1)
    (func $deeper (param i32) (result i32)
      (i32.add (call $deeper (i32.add (local.get 0) (i32.const 1))) (i32.const 1)))
    (func (export "init") (result i32) (call $deeper (i32.const 0))))
  (core instance $i (instantiate $m))
  (func $init (result (result (error string))) (canon lift (core func $i "init") (memory $i "memory")))
  (instance $exports (export "init" (func $init)))
  (export "wasm-edge:module/init@0.1.0" (instance $exports)))
