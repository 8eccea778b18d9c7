//! Where a user's files belong, by the XDG Base Directory Specification.

use std::ffi::OsString;
use std::path::PathBuf;

#[cfg(feature = "hub")]
use crate::exit_codes::ExitStatus;
#[cfg(feature = "hub")]
use crate::failure::Failure;

/// The folder for data that stays; `None` where neither `XDG_DATA_HOME` nor `HOME` says.
pub(crate) fn data_home() -> Option<PathBuf> {
    data_home_of(std::env::var_os("XDG_DATA_HOME"), std::env::var_os("HOME"))
}

/// The data folder that a command has of its own for each user, by these names below [`data_home`].
///
/// # Errors
/// Where there is no data home.
#[cfg(feature = "hub")]
pub(crate) fn data_folder(names: &[&str]) -> Result<PathBuf, Failure> {
    let home = data_home().ok_or_else(|| {
        Failure::new(
            ExitStatus::Usage,
            "neither `XDG_DATA_HOME` nor `HOME` is set",
        )
        .hint("name a folder with `--data-dir DIR`")
    })?;
    Ok(home
        .join("wasm-edge")
        .join(names.iter().collect::<PathBuf>()))
}

/// The folder for what can be made again; `None` where neither `XDG_CACHE_HOME` nor `HOME` says.
#[cfg(feature = "test")]
pub(crate) fn cache_home() -> Option<PathBuf> {
    let (xdg, home) = (std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME"));
    home_of(xdg, home, ".cache")
}

fn data_home_of(xdg: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    home_of(xdg, home, ".local/share")
}

/// A relative folder of the XDG variable counts as none, as the specification demands.
fn home_of(xdg: Option<OsString>, home: Option<OsString>, default: &str) -> Option<PathBuf> {
    let xdg = xdg.map(PathBuf::from).filter(|path| path.is_absolute());
    xdg.or_else(|| {
        home.filter(|home| !home.is_empty())
            .map(|home| PathBuf::from(home).join(default))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_home_follows_the_xdg_specification() {
        let check = |xdg: Option<&str>, home: Option<&str>, expected: Option<&str>| {
            assert_eq!(
                data_home_of(xdg.map(Into::into), home.map(Into::into)),
                expected.map(PathBuf::from)
            );
        };
        check(Some("/x"), Some("/h"), Some("/x"));
        check(Some("x"), Some("/h"), Some("/h/.local/share"));
        check(None, Some("/h"), Some("/h/.local/share"));
        check(None, Some(""), None);
        check(None, None, None);
    }
}
