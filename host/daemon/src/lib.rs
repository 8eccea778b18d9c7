//! The device: agent, supervisor, upstream, management API, and the root that wires them.
