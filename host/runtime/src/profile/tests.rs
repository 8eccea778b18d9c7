//! Holds each profile still: a change here orphans all code that was compiled before.
//!
//! A setting has to change? Add a profile of a new name with golden files of its own, and leave these as they are.

use std::fmt::Write as _;
use std::path::Path;

use super::*;

#[track_caller]
fn check_golden(file: &str, actual: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/profile/golden")
        .join(file);
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    let mut lines = expected.lines().zip(actual.lines());
    let first = lines.find(|(expected, actual)| expected != actual);
    assert!(
        expected == actual,
        "`{file}` differs, first in {first:?}; it is now:\n{actual}"
    );
}

fn settings(profile: EngineProfile) -> String {
    let config = profile.config().expect("the profile's settings are valid");
    let text = format!("{config:#?}");
    // The compiler's settings are in a hash map: each takes four lines, and they come in any order.
    let (head, rest) = text.split_once("settings: {\n").expect("there are some");
    let (settings, rest) = rest.split_once("            },\n").expect("they end");
    let lines: Vec<_> = settings.lines().collect();
    let mut settings: Vec<_> = lines.chunks(4).map(|lines| lines.join("\n")).collect();
    settings.sort();
    format!(
        "{}\nfor {}\n{head}settings: {{\n{}\n            }},\n{rest}\n",
        profile.name(),
        profile.target(),
        settings.join("\n")
    )
}

#[test]
#[cfg(target_arch = "x86_64")]
fn every_setting_of_native64_1_is_as_it_was() {
    check_golden(
        "native64-1.x86_64.settings",
        &settings(EngineProfile::Native64V1),
    );
}

#[test]
#[cfg(target_arch = "aarch64")]
fn every_setting_of_native64_1_is_as_it_was() {
    check_golden(
        "native64-1.aarch64.settings",
        &settings(EngineProfile::Native64V1),
    );
}

#[test]
fn every_setting_of_pulley32_1_is_as_it_was() {
    check_golden("pulley32-1.settings", &settings(EngineProfile::Pulley32V1));
}

/// What the compiler writes into each artifact about itself, with all that the settings left to it: its version,
/// the target, the flags of code generation, the tunables and the proposals.
#[test]
#[cfg(target_arch = "x86_64")]
fn artifacts_of_native64_1_say_of_their_compiler_what_they_said() {
    let config = EngineProfile::Native64V1.config().expect("valid");
    let engine = wasmtime::Engine::new(&config).expect("it runs on this machine");
    let component = wat::parse_str("(component)").expect("valid");
    let artifact = engine
        .precompile_component(&component)
        .expect("it can be compiled");
    let section = section(&artifact, ".wasmtime.engine").expect("each artifact has it");
    check_golden("native64-1.x86_64.engine", &dump(section));
}

/// A section of a 64-bit little-endian ELF file, by its name (System V ABI, chapter 4).
#[cfg(target_arch = "x86_64")]
fn section<'a>(elf: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let number = |at: usize, length: usize| {
        let bytes = elf.get(at..at + length)?;
        let number = bytes
            .iter()
            .rev()
            .fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
        usize::try_from(number).ok()
    };
    let (headers, size, count) = (number(0x28, 8)?, number(0x3a, 2)?, number(0x3c, 2)?);
    let names = headers + number(0x3e, 2)? * size;
    let names = number(names + 0x18, 8)?;
    (0..count)
        .map(|index| headers + index * size)
        .find(|header| {
            let start = number(*header, 4).map(|offset| names + offset);
            let text = start.and_then(|start| elf.get(start..));
            text.is_some_and(|text| text.starts_with(format!("{name}\0").as_bytes()))
        })
        .and_then(|header| {
            let start = number(header + 0x18, 8)?;
            elf.get(start..start + number(header + 0x20, 8)?)
        })
}

/// Bytes as a person can compare them: 16 a line, as numbers and as text.
#[cfg(target_arch = "x86_64")]
fn dump(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (index, line) in bytes.chunks(16).enumerate() {
        let numbers: Vec<_> = line.iter().map(|byte| format!("{byte:02x}")).collect();
        let letters: String = line
            .iter()
            .map(|byte| match byte {
                b' '..=b'~' => char::from(*byte),
                _ => '.',
            })
            .collect();
        let _ = writeln!(
            text,
            "{:04x}  {:<47}  {letters}",
            index * 16,
            numbers.join(" ")
        );
    }
    text
}
