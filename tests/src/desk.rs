//! Somebody who has images at a registry and in a store: a home with a configuration, and the verbs of images.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::home::Home;
use crate::line::Line;
use crate::outcome::Outcome;
use crate::padding::padded;
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
        let home = Home::new();
        let config = home.write_secret("registries.toml", tables.join("\n"));
        Self { home, config }
    }

    /// With the table of this registry.
    pub fn of(registry: &Registry) -> Self {
        Self::for_tables(&[registry.table()])
    }

    /// With the tables of this registry and of a line to it, which has a host of its own: that is the last.
    pub fn by_line(registry: &Registry) -> (Self, Line, String) {
        let line = Line::to(registry.port());
        let host = format!("localhost:{}", line.port());
        let desk = Self::for_tables(&[registry.table(), registry.table_as(&host)]);
        (desk, line, host)
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
        self.home.write(name, padded("echo", size_bytes, 1))
    }
}
