;; A core module, which is no component.
(module
  (memory (export "memory") 1)
  (func (export "_start")))
