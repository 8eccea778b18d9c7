;; Exports an interface of the package that there is not, so it is refused by that name when it is loaded.
(component
  (core module $m (func (export "f")))
  (core instance $i (instantiate $m))
  (func $f (canon lift (core func $i "f")))
  (instance $telemetry (export "handle" (func $f)))
  (export "wasm-edge:module/telemetry@0.1.0" (instance $telemetry)))
