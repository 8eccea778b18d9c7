;; Imports an interface of another package, so it is refused by that name when it is loaded.
(component
  (import "acme:plant/valve@1.0.0" (instance
    (export "open" (func (param "percent" u32)))))

  (core module $m (func (export "shutdown") (param i32)))
  (core instance $i (instantiate $m))
  (func $shutdown (param "grace-ms" u32) (canon lift (core func $i "shutdown")))
  (instance $instance (export "shutdown" (func $shutdown)))
  (export "wasm-edge:module/shutdown@0.1.0" (instance $instance)))
