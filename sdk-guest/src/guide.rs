//! The guide for authors of modules; its text is `guide.md`, and its examples run as documentation tests.

#![doc = include_str!("guide.md")]
