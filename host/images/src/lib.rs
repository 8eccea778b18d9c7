//! Where module images come from: files now, registries later; verification by digest.
