//! The identity that a device gives a message.

use std::fmt;
use std::str::FromStr;

/// The identity of a message on its device, given when it is taken for good and kept for its life: when it is handed
/// over again, put aside or tried again.
///
/// Its text is `{store, 8 hex digits}-{sequence, 16 hex digits}`. A message without a `messageId` of its sender is
/// shown with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId {
    /// Drawn at random when the store was made.
    pub store: u32,
    /// The sequence at which the message came first.
    pub sequence: u64,
}

/// A text is no identity of a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is no id of a message: one has 8 and 16 hexadecimal digits with a `-` between", .text.escape_debug())]
pub struct MessageIdError {
    /// The text, cut to a readable length.
    pub text: String,
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}-{:016x}", self.store, self.sequence)
    }
}

impl FromStr for MessageId {
    type Err = MessageIdError;

    fn from_str(text: &str) -> Result<Self, MessageIdError> {
        let is_digits = |part: &str, length: usize| {
            part.len() == length && part.bytes().all(|byte| byte.is_ascii_hexdigit())
        };
        let parts = text.split_once('-');
        let parts =
            parts.filter(|(store, sequence)| is_digits(store, 8) && is_digits(sequence, 16));
        let id = parts.and_then(|(store, sequence)| {
            Some(MessageId {
                store: u32::from_str_radix(store, 16).ok()?,
                sequence: u64::from_str_radix(sequence, 16).ok()?,
            })
        });
        id.ok_or_else(|| MessageIdError {
            text: text.chars().take(60).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_shown() {
        let id = MessageId {
            store: 0xab,
            sequence: 0x200_0000_0001,
        };
        assert_eq!(id.to_string(), "000000ab-0000020000000001");
        assert_eq!("000000ab-0000020000000001".parse(), Ok(id));
        for text in [
            "",
            "-",
            "ab-1",
            "000000ab-000002000000000g",
            "000000ab00000200000000010",
        ] {
            assert!(text.parse::<MessageId>().is_err(), "{text}");
        }
    }
}
