//! Where a configuration comes from: files in their order, then variables of the environment.
//!
//! Owns how a variable is named after a key, and how faults are told by their source.

use std::fmt;
use std::path::{Path, PathBuf};

use wasm_edge_model::manifest::Faults;

/// What every variable that stands for a key begins with.
const PREFIX: &str = "WASM_EDGE_";

/// Variables that look like a key of `[hub]` and are of the verbs that speak to a hub.
const OF_VERBS: [&str; 2] = ["WASM_EDGE_HUB_CONNECTION_STRING", "WASM_EDGE_HUB_CA"];

/// A file of a configuration, as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFile {
    /// Where it lies; paths in it are relative to its folder.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
}

/// All that a configuration is made of, the later before the earlier.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sources {
    /// Files, in the order in which they count.
    pub files: Vec<ConfigFile>,
    /// Variables that stand for a key, which count more than all files.
    variables: Vec<Variable>,
}

/// A variable of the environment that stands for a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) section: &'static str,
    pub(super) key: String,
    pub(super) value: String,
}

/// What a fault is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file.
    File(PathBuf),
    /// The environment; the paths of its faults are names of variables.
    Environment,
}

/// All that has to be changed in a configuration, by source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFaults(pub Vec<(Source, Faults)>);

impl std::error::Error for ConfigFaults {}

impl Sources {
    /// Of these files, and those of the variables that are named after a section: `WASM_EDGE_`, the section, `_`,
    /// the key, all in capitals.
    pub fn new(
        files: Vec<ConfigFile>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        let mut variables: Vec<_> = environment
            .into_iter()
            .filter_map(|(name, value)| Variable::of(name, value))
            .collect();
        variables.sort_by(|one, other| one.name.cmp(&other.name));
        Self { files, variables }
    }

    pub(super) fn variables(&self) -> &[Variable] {
        &self.variables
    }

    /// The folder that relative paths of a file begin at.
    pub(super) fn folder(&self, file: usize) -> &Path {
        let folder = self.files.get(file).and_then(|file| file.path.parent());
        folder.unwrap_or(Path::new(""))
    }
}

impl Variable {
    fn of(name: String, value: String) -> Option<Self> {
        if OF_VERBS.contains(&name.as_str()) {
            return None;
        }
        let (section, key) = name.strip_prefix(PREFIX)?.split_once('_')?;
        let section = super::SECTIONS
            .into_iter()
            .find(|known| known.to_ascii_uppercase() == section)?;
        let key = key.to_ascii_lowercase();
        Some(Self {
            name,
            section,
            key,
            value,
        })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Environment => f.write_str("environment"),
        }
    }
}

impl fmt::Display for ConfigFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self
            .0
            .iter()
            .flat_map(|(source, faults)| faults.0.iter().map(move |fault| (source, fault)));
        for (index, (source, fault)) in lines.enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{source}: {fault}")?;
        }
        Ok(())
    }
}
