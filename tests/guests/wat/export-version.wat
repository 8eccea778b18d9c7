;; Exports a handler of a version of the package that there is not, so it is refused by that name when it is loaded.
(component
  (core module $m
    (memory (export "memory") 1)
    (func (export "init") (result i32) i32.const 16))
  (core instance $i (instantiate $m))
  (alias core export $i "memory" (core memory $memory))
  (type $init_type (func (result (result (error string)))))
  (func $init (type $init_type) (canon lift (core func $i "init") (memory $memory)))
  (instance $instance (export "init" (func $init)))
  (export "wasm-edge:module/init@0.9.0" (instance $instance)))
