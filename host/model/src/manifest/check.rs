//! Reads a manifest as a whole.
use super::{Checked, Faults, Manifest, Origin};
pub(super) fn manifest(_text: &str, _origin: Origin) -> Result<Checked<Manifest>, Faults> {
    Err(Faults(Vec::new()))
}
