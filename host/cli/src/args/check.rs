//! Arguments of `check`.

use std::path::PathBuf;

use clap::Args;

use crate::commands::check::Id;

/// Arguments of `check`.
#[derive(Debug, Default, Args)]
pub(crate) struct CheckArgs {
    /// Print the ids of all checks and what they look at
    #[arg(long)]
    pub(crate) list: bool,
    /// Leave these checks out: ids with commas or spaces between them
    #[arg(long, value_name = "IDS", value_parser = parse_ids)]
    pub(crate) dont_run: Vec<Ids>,
    /// The configuration of the daemon; by default /etc/wasm-edge/config.toml, if it is there
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// End with exit code 1 for a warning, too
    #[arg(long)]
    pub(crate) warnings_as_errors: bool,
}

/// Ids from one argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ids(Vec<Id>);

impl CheckArgs {
    /// Whether a check is left out.
    pub(crate) fn leaves_out(&self, id: Id) -> bool {
        self.dont_run.iter().any(|ids| ids.0.contains(&id))
    }
}

fn parse_ids(text: &str) -> Result<Ids, String> {
    let names = text.split([',', ' ']).filter(|name| !name.is_empty());
    let find = |name: &str| {
        let found = Id::ALL.into_iter().find(|id| id.as_str() == name);
        found.ok_or_else(|| {
            format!("there is no check `{name}`; `wasm-edge check --list` has all ids")
        })
    };
    names.map(find).collect::<Result<_, _>>().map(Ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_commas_or_spaces_between_them() {
        let expected = Ok(Ids(vec![Id::Clock, Id::Disk]));
        for text in ["clock,disk", "clock disk", " clock, disk ,"] {
            assert_eq!(parse_ids(text), expected, "{text}");
        }
        assert!(
            parse_ids("clock,dsk")
                .unwrap_err()
                .starts_with("there is no check `dsk`")
        );
    }
}
