;; A component with neither a handler nor `wasi:cli/run`: nothing could ever call it, so it is refused.
(component)
