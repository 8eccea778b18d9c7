;; Imports an interface of the package that there is not, so it is refused by that name when it is loaded.
(component
  (import "wasm-edge:module/gpio@0.1.0" (instance
    (export "set" (func (param "pin" u32) (param "high" bool)))))

  (core module $m (func (export "shutdown") (param i32)))
  (core instance $i (instantiate $m))
  (func $shutdown (param "grace-ms" u32) (canon lift (core func $i "shutdown")))
  (instance $instance (export "shutdown" (func $shutdown)))
  (export "wasm-edge:module/shutdown@0.1.0" (instance $instance)))
