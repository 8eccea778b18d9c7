//! Reading a twin patch from text.

use serde_json::{Map, Value};

use super::limits::{NESTING_MAX, TwinError, check_section};
use super::section::without_dollar_keys;
use crate::json::{self, Content, JsonLimits};

/// The longest text of a patch. A section of 32 KB written with every
/// character as `\u00xx`, with room for spaces.
pub const PATCH_TEXT_MAX_BYTES: usize = 256 * 1024;

/// Patches nest as deep as sections, and one level for the section itself;
/// what is deeper, but readable, is refused by the section's own check, with
/// its path.
const LIMITS: JsonLimits = JsonLimits {
    size_max_bytes: PATCH_TEXT_MAX_BYTES,
    depth_max: NESTING_MAX + 8,
    values_max: 32 * 1024,
};

/// Reads a merge patch for desired or reported properties.
///
/// Null deletes a key at any level. `$version` and `$metadata` at the top
/// are taken away. What is left is within the rules of [`check_section`]
/// but for its size, which is the section's to check.
///
/// # Errors
/// [`TwinError::Syntax`], [`TwinError::NotAnObject`],
/// [`TwinError::RepeatedKey`], and all of [`check_section`].
pub fn parse_patch(text: &str) -> Result<Map<String, Value>, TwinError> {
    let document = json::read(text, LIMITS).map_err(|error| TwinError::Syntax {
        line: error.position.line,
        column: error.position.column,
        problem: format!("{}; expected {}", error.problem, error.expected),
    })?;
    let Content::Object(members) = &document.root.content else {
        return Err(TwinError::NotAnObject {
            what: document.root.kind(),
        });
    };
    if let Some(repeated) = document.repeated_keys.first() {
        let path = repeated
            .path
            .as_str()
            .trim_start_matches("$")
            .trim_start_matches('.');
        return Err(TwinError::RepeatedKey { path: path.into() });
    }
    let patch = without_dollar_keys(&json::to_map(members));
    check_section(&patch, usize::MAX)?;
    Ok(patch)
}
