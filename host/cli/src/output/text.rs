//! A line of text with styles, harmless by construction.
//!
//! Commands build a [`Text`]; only [`crate::output`] turns it into bytes, with colour or without.

use super::escape::harmless;

/// How a piece of text looks where colour is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// A header.
    Bold,
    /// What matters less.
    Dim,
    /// An error.
    Red,
    /// A warning.
    Yellow,
    /// A hint.
    Cyan,
    /// A module's name: one of [`MODULE_COLORS`].
    Module(usize),
}

/// Foreground colours for module names; red and plain yellow are left to errors and warnings.
const MODULE_COLORS: [&str; 10] = [
    "32", "34", "35", "36", "92", "93", "94", "95", "96", "38;5;208",
];

impl Style {
    /// The style of a module's name: the same name always has the same colour.
    ///
    /// The choice is an FNV-1a hash of the name, so it needs no state and is the same in every process.
    pub(crate) fn of_module(name: &str) -> Self {
        let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
            (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
        });
        Self::Module(hash as usize % MODULE_COLORS.len())
    }

    fn code(self) -> &'static str {
        match self {
            Self::Bold => "1",
            Self::Dim => "2",
            Self::Red => "1;31",
            Self::Yellow => "33",
            Self::Cyan => "36",
            Self::Module(index) => MODULE_COLORS[index % MODULE_COLORS.len()],
        }
    }
}

/// One line of styled text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Text {
    /// Each piece already made harmless.
    pieces: Vec<(Option<Style>, String)>,
}

impl Text {
    /// An empty line.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Appends text in the default style.
    #[must_use]
    pub(crate) fn plain(mut self, text: &str) -> Self {
        self.pieces.push((None, harmless(text).into_owned()));
        self
    }

    /// Appends text in a style.
    #[must_use]
    pub(crate) fn styled(mut self, style: Style, text: &str) -> Self {
        self.pieces.push((Some(style), harmless(text).into_owned()));
        self
    }

    /// Appends spaces until the line is `width` characters wide; always at least one when it is not empty.
    #[must_use]
    pub(crate) fn pad_to(mut self, width: usize) -> Self {
        let now = self.width();
        let missing = width.saturating_sub(now).max(usize::from(now > 0));
        self.pieces.push((None, " ".repeat(missing)));
        self
    }

    /// The number of characters, as an estimate of the columns taken.
    pub(crate) fn width(&self) -> usize {
        self.pieces
            .iter()
            .map(|(_, text)| text.chars().count())
            .sum()
    }

    /// The line without a line feed.
    pub(crate) fn render(&self, color: bool) -> String {
        let mut out = String::new();
        for (style, text) in &self.pieces {
            match style {
                Some(style) if color && !text.is_empty() => {
                    out.push_str("\x1b[");
                    out.push_str(style.code());
                    out.push('m');
                    out.push_str(text);
                    out.push_str("\x1b[0m");
                }
                _ => out.push_str(text),
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn styles_appear_only_with_colour_and_never_from_the_text() {
        let text = Text::new().styled(Style::Red, "no\x1b[0m").plain(" more\n");
        assert_eq!(text.render(false), "no\\u{1b}[0m more\\n");
        assert_eq!(text.render(true), "\x1b[1;31mno\\u{1b}[0m\x1b[0m more\\n");
    }

    #[test]
    fn padding_counts_characters_and_keeps_words_apart() {
        let width = |text: &str, to| Text::new().plain(text).pad_to(to).width();
        assert_eq!(width("grün", 8), 8);
        assert_eq!(width("too long", 4), 9);
        assert_eq!(width("", 3), 3);
    }

    #[test]
    fn a_name_always_has_the_same_colour_and_names_differ() {
        assert_eq!(Style::of_module("sensor"), Style::of_module("sensor"));
        let names = [
            "sensor",
            "filter",
            "heartbeat",
            "insight",
            "a",
            "b",
            "c",
            "d",
        ];
        let mut styles: Vec<_> = names
            .iter()
            .map(|name| Style::of_module(name).code())
            .collect();
        styles.sort_unstable();
        styles.dedup();
        assert!(styles.len() >= 4, "{styles:?}");
    }
}
