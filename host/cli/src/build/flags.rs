//! Which arguments cargo gets: the target, the profile, and settings that make a component small.
//!
//! Pure. A crate that has a release profile of its own keeps it; what the environment sets is not set over.

use std::ffi::OsString;

use super::{BuildRequest, TARGET};

/// What cargo is to optimise for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Small and fast: cargo's profile `release`.
    #[default]
    Release,
    /// Quick to build: cargo's profile `dev`.
    Debug,
}

/// What makes a component small: its key in the profile, and its value in TOML.
///
/// A panic traps in any case, so unwinding would be dead weight.
const SMALL: [(&str, &str); 5] = [
    ("opt-level", "\"s\""),
    ("lto", "\"fat\""),
    ("codegen-units", "1"),
    ("panic", "\"abort\""),
    ("strip", "\"symbols\""),
];

/// Takes debug information away and leaves the names of functions.
const NAMES_ONLY: &str = "\"debuginfo\"";

/// The arguments of `cargo build`. `manifest` is the workspace root's, `is_set` asks for an environment variable.
pub(super) fn of(
    request: &BuildRequest,
    manifest: &str,
    is_set: impl Fn(&str) -> bool,
) -> Vec<OsString> {
    let mut args: Vec<OsString> = Vec::new();
    let mut push = |arg: &str| args.push(arg.into());
    push("build");
    push("--target");
    push(TARGET);
    push("--message-format");
    push("json-render-diagnostics");
    push("--color");
    push(if request.voice.color {
        "always"
    } else {
        "never"
    });
    if request.voice.quiet {
        push("--quiet");
    }
    if request.profile == Profile::Release {
        push("--release");
        let own = has_release_profile(manifest);
        for (key, value) in SMALL {
            let names = request.names && key == "strip";
            let variable = format!(
                "CARGO_PROFILE_RELEASE_{}",
                key.to_uppercase().replace('-', "_")
            );
            if names || !(own || is_set(&variable)) {
                let value = if names { NAMES_ONLY } else { value };
                push("--config");
                push(&format!("profile.release.{key}={value}"));
            }
        }
    }
    args.extend(request.cargo_args.iter().cloned());
    args
}

/// Whether a manifest says anything of the profile `release`.
///
/// By its lines: tables have a line of their own in TOML, and a key at the top is one too. What is within a text of
/// several lines could be taken for one; it would cost the settings, not the build.
fn has_release_profile(manifest: &str) -> bool {
    let mut in_profile = false;
    manifest.lines().any(|line| {
        let line: String = line.chars().filter(|c| !c.is_whitespace()).collect();
        if let Some(table) = line.strip_prefix('[') {
            let name = table.split(']').next().unwrap_or_default();
            let name = name.replace(['"', '\''], "");
            in_profile = name == "profile";
            return name == "profile.release" || name.starts_with("profile.release.");
        }
        let line = line.replace(['"', '\''], "");
        let of_release = |rest: &str| rest.starts_with("release.") || rest.starts_with("release=");
        match line.strip_prefix("profile.") {
            Some(rest) => of_release(rest),
            None => in_profile && of_release(&line),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::Voice;

    fn request(profile: Profile, names: bool) -> BuildRequest {
        BuildRequest {
            folder: ".".into(),
            profile,
            names,
            cargo_args: vec!["--locked".into()],
            voice: Voice {
                color: false,
                quiet: false,
            },
        }
    }

    #[track_caller]
    fn check(request: &BuildRequest, manifest: &str, set: &[&str], expected: &str) {
        let args = of(request, manifest, |name| set.contains(&name));
        let args: Vec<_> = args.iter().map(|arg| arg.to_str().unwrap()).collect();
        let begin =
            "build --target wasm32-wasip2 --message-format json-render-diagnostics --color never";
        assert_eq!(args.join(" "), format!("{begin} {expected}"));
    }

    #[test]
    fn a_release_is_small_unless_the_crate_or_the_environment_says_how() {
        let release = request(Profile::Release, false);
        check(
            &release,
            "[package]",
            &[],
            "--release --config profile.release.opt-level=\"s\" --config profile.release.lto=\"fat\" \
             --config profile.release.codegen-units=1 --config profile.release.panic=\"abort\" \
             --config profile.release.strip=\"symbols\" --locked",
        );
        check(
            &release,
            "",
            &[
                "CARGO_PROFILE_RELEASE_OPT_LEVEL",
                "CARGO_PROFILE_RELEASE_LTO",
            ],
            "--release --config profile.release.codegen-units=1 --config profile.release.panic=\"abort\" \
             --config profile.release.strip=\"symbols\" --locked",
        );
        check(&release, "[profile.release]", &[], "--release --locked");
    }

    #[test]
    fn names_are_kept_whatever_the_crate_says() {
        check(
            &request(Profile::Release, true),
            "[profile.release]\nstrip = true",
            &["CARGO_PROFILE_RELEASE_STRIP"],
            "--release --config profile.release.strip=\"debuginfo\" --locked",
        );
        check(&request(Profile::Debug, true), "", &[], "--locked");
    }

    #[test]
    fn a_release_profile_is_seen_in_each_form_of_toml() {
        for manifest in [
            "[profile.release]",
            "a = 1\n  [ profile . \"release\" ] # small",
            "[profile.release.package.serde]",
            "[profile]\nrelease = { lto = true }",
            "[profile]\nrelease.lto = true",
            "profile.release.lto = true\n[package]",
        ] {
            assert!(has_release_profile(manifest), "{manifest}");
        }
        for manifest in [
            "",
            "# [profile.release]",
            "[profile.dev]\nrelease = 1",
            "[profile.release-small]",
            "[profile.bench]\nlto = true",
            "[package]\nname = \"profile.release\"",
            "[profile]\ndev = {}\n[features]\nrelease = []",
        ] {
            assert!(!has_release_profile(manifest), "{manifest}");
        }
    }
}
