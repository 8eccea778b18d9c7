//! Components that are larger than what they do needs: a section that nobody reads makes them so.

use std::fs;

use crate::paths;
use crate::soak::Chance;

/// The component of a guest with a custom section of so many bytes, which nobody can compress, and which no two seeds have
/// in common.
///
/// # Panics
/// When the guest was not built.
pub fn padded(guest: &str, size_bytes: usize, seed: u64) -> Vec<u8> {
    let mut component = fs::read(paths::guest(guest)).expect("it was built");
    let mut chance = Chance::of(seed);
    let mut content = b"\x03pad".to_vec();
    content.extend((0..size_bytes).map(|_| chance.below(256) as u8));
    component.push(0);
    let mut length = content.len();
    while length >= 0x80 {
        component.push((length % 0x80) as u8 | 0x80);
        length /= 0x80;
    }
    component.push(length as u8);
    component.extend(content);
    component
}
