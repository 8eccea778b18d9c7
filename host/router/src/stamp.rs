//! The text of `enqueuedTime`, made once per millisecond.
//!
//! Writing out a time costs more than everything else that happens to a message here, and thousands may come
//! in the same millisecond.

use wasm_edge_model::time::Timestamp;

/// The last text made.
pub(crate) struct Stamp {
    unix_millis: i64,
    text: String,
}

impl Stamp {
    pub(crate) fn new() -> Self {
        Stamp {
            unix_millis: 0,
            text: Timestamp::from_unix_millis(0).to_string(),
        }
    }

    /// The text of a time, in RFC 3339.
    pub(crate) fn text(&mut self, unix_millis: i64) -> &str {
        if self.unix_millis != unix_millis {
            self.unix_millis = unix_millis;
            self.text = Timestamp::from_unix_millis(unix_millis).to_string();
        }
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_millisecond_has_its_own_text() {
        let mut stamp = Stamp::new();
        for unix_millis in [0, 1, 1, 1_795_316_400_123, 2, 0] {
            let expected = Timestamp::from_unix_millis(unix_millis).to_string();
            assert_eq!(stamp.text(unix_millis), expected);
        }
    }
}
