//! Somebody who has images at a registry and in a store: a home with a configuration, and the verbs of images.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::home::Home;
use crate::outcome::Outcome;
use crate::paths;
use crate::registry::Registry;

/// A home with a configuration for a registry, and the verbs of images about its store.
#[derive(Debug)]
pub struct Desk {
    /// The home.
    pub home: Home,
    config: PathBuf,
}

impl Desk {
    /// With these tables in the configuration.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn for_tables(tables: &[String]) -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let home = Home::new();
        let config = home.write("registries.toml", tables.join("\n"));
        fs::set_permissions(&config, fs::Permissions::from_mode(0o600)).expect("it is ours");
        Self { home, config }
    }

    /// With the table of this registry.
    pub fn of(registry: &Registry) -> Self {
        Self::for_tables(&[registry.table()])
    }

    /// The configuration's path.
    ///
    /// # Panics
    /// When it is no text.
    pub fn config(&self) -> &str {
        self.config.to_str().expect("a path of tests is text")
    }

    /// `image push` with these further arguments.
    ///
    /// # Panics
    /// When the path is no text.
    pub fn push(&self, file: &Path, image: &str, args: &[&str]) -> Outcome {
        let file = file.to_str().expect("a path of tests is text");
        let push = ["image", "push", file, image, "--output", "json", "--config"];
        self.home
            .verb(&[&push[..], &[self.config()], args].concat())
    }

    /// A command under `image` about this home's store.
    ///
    /// # Panics
    /// When the path is no text.
    pub fn image(&self, args: &[&str]) -> Outcome {
        let data = self.home.data();
        let data = data.to_str().expect("a path of tests is text");
        let rest = ["--data-dir", data, "--output", "json"];
        self.home.verb(&[&["image"], args, &rest].concat())
    }

    /// `image pull`.
    pub fn pull(&self, image: &str) -> Outcome {
        self.image(&["pull", image, "--config", self.config()])
    }

    /// What `image list` answers.
    ///
    /// # Panics
    /// When it fails.
    pub fn list(&self) -> Value {
        self.image(&["list"]).ok().json()
    }

    /// A component of about so many bytes in the home: that of `echo` with a section that nobody reads.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn large_component(&self, name: &str, size_bytes: usize) -> PathBuf {
        let mut bytes = fs::read(paths::guest("echo")).expect("it was built");
        // Not to be compressed by anybody, and the same each time.
        let mut state = 1_u32;
        let noise = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        });
        let content: Vec<u8> = [5]
            .into_iter()
            .chain(*b"noise")
            .chain(noise.take(size_bytes))
            .collect();
        bytes.push(0);
        let mut length = content.len();
        while length >= 0x80 {
            bytes.push((length & 0x7f | 0x80) as u8);
            length >>= 7;
        }
        bytes.push(length as u8);
        bytes.extend(content);
        self.home.write(name, bytes)
    }
}
