//! Deployment manifests of tests.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::home::Home;
use crate::paths;

/// A deployment in the making.
#[derive(Clone, Debug, Default)]
pub struct Deployment {
    modules: Map<String, Value>,
    desired: Map<String, Value>,
    routes: Map<String, Value>,
}

/// A module in the making.
#[derive(Clone, Debug)]
pub struct Module {
    name: String,
    spec: Value,
    desired: Option<Value>,
}

impl Deployment {
    /// A deployment without modules and routes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a module.
    #[must_use]
    pub fn module(mut self, module: Module) -> Self {
        if let Some(desired) = module.desired {
            let section = json!({ "properties.desired": desired });
            self.desired.insert(module.name.clone(), section);
        }
        self.modules.insert(module.name, module.spec);
        self
    }

    /// Adds a route: its text, or an object with `route`, `priority` and `timeToLiveSecs`.
    #[must_use]
    pub fn route(mut self, name: &str, route: impl Into<Value>) -> Self {
        self.routes.insert(name.to_owned(), route.into());
        self
    }

    /// Adds a route from an output (`module/output`) to an input (`module/input`).
    #[must_use]
    pub fn pass(self, from: &str, to: &str) -> Self {
        let name = format!("{from}To{to}").replace('/', "-");
        let route = route(from, to);
        self.route(&name, route)
    }

    /// Adds a route that brings all that a module sends upstream.
    #[must_use]
    pub fn upstream(self, module: &str) -> Self {
        let route = format!("FROM /messages/modules/{module}/* INTO $upstream");
        self.route(&format!("{module}Upstream"), route)
    }

    /// The manifest.
    pub fn json(&self) -> Value {
        let mut content = Map::new();
        content.insert(
            "$edgeAgent".to_owned(),
            json!({ "properties.desired": { "schemaVersion": "1.1", "modules": self.modules } }),
        );
        content.insert(
            "$edgeHub".to_owned(),
            json!({ "properties.desired": { "schemaVersion": "1.1", "routes": self.routes } }),
        );
        content.extend(self.desired.clone());
        json!({ "modulesContent": content })
    }

    /// Writes the manifest as `deployment.json` in the home folder.
    pub fn write(&self, home: &Home) -> PathBuf {
        self.write_as(home, "deployment.json")
    }

    /// Writes the manifest under this name in the home folder.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write_as(&self, home: &Home, name: &str) -> PathBuf {
        let text = serde_json::to_string_pretty(&self.json()).expect("a value can be written");
        home.write(name, text)
    }
}

/// The text of a route from an output (`module/output`) to an input (`module/input`).
///
/// # Panics
/// When one of them has no `/`.
pub fn route(from: &str, to: &str) -> String {
    let (source, output) = from.split_once('/').expect("`module/output`");
    let (sink, input) = to.split_once('/').expect("`module/input`");
    format!(
        "FROM /messages/modules/{source}/outputs/{output} INTO BrokeredEndpoint(\"/modules/{sink}/inputs/{input}\")"
    )
}

impl Module {
    /// A module that runs a guest of the tests, under the guest's name.
    pub fn guest(guest: &str) -> Self {
        Self::of(guest, &paths::guest(guest))
    }

    /// A module that runs the component in a file.
    pub fn of(name: &str, file: &Path) -> Self {
        Self::image(name, &format!("file:{}", file.display()))
    }

    /// A module that runs an image.
    pub fn image(name: &str, image: &str) -> Self {
        let spec = json!({ "type": "wasm", "settings": { "image": image, "wasm": {} } });
        Self {
            name: name.to_owned(),
            spec,
            desired: None,
        }
    }

    /// Under another name.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.name = name.to_owned();
        self
    }

    /// With a key beside `type`, such as `restartPolicy`.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.spec[key] = value.into();
        self
    }

    /// With a key of `settings.wasm`, such as `callDeadlineMs`.
    #[must_use]
    pub fn wasm(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.spec["settings"]["wasm"][key] = value.into();
        self
    }

    /// With an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.spec["env"][name] = json!({ "value": value.into() });
        self
    }

    /// With desired properties.
    #[must_use]
    pub fn desired(mut self, desired: Value) -> Self {
        self.desired = Some(desired);
        self
    }
}
