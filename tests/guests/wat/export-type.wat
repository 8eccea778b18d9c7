;; Exports `init` with a parameter that it does not have, so it is refused when it is loaded, with what was expected.
(component
  (core module $m (func (export "init") (param i32)))
  (core instance $i (instantiate $m))
  (func $init (param "level" u32) (canon lift (core func $i "init")))
  (instance $instance (export "init" (func $init)))
  (export "wasm-edge:module/init@0.1.0" (instance $instance)))
