//! The hub: identity registry, module twins, telemetry; embedded or on its own.
