//! What a manifest says of one module.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::grant::Grant;
use super::image::ImageReference;
use super::limits::Limits;
use super::supervision::Supervision;
use crate::identity::ModuleId;

/// The start-up order of a module that names none: the last.
pub const STARTUP_ORDER_DEFAULT: u32 = u32::MAX;

/// The most environment variables of one module.
pub const ENV_MAX: usize = 256;

/// The most arguments of one module.
pub const ARGS_MAX: usize = 256;

/// A module to run.
///
/// Two that are equal, or differ in `warnings` only, run alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleSpec {
    /// Its name on the device.
    pub id: ModuleId,
    /// The form of its settings in the manifest.
    pub module_type: ModuleType,
    /// Free text; empty if the manifest has none.
    pub version: String,
    /// Where its image comes from.
    pub image: ImageReference,
    /// Whether it is to run.
    pub status: DesiredStatus,
    /// When it is restarted.
    pub restart_policy: RestartPolicy,
    /// When its image is pulled.
    pub pull_policy: PullPolicy,
    /// Lower numbers start first.
    pub startup_order: u32,
    /// Its environment variables.
    pub env: BTreeMap<String, String>,
    /// Its arguments, without its own name.
    pub args: Vec<String>,
    /// What it may take.
    pub limits: Limits,
    /// How it is watched and started again.
    pub supervision: Supervision,
    /// What it may see of the device's file system.
    pub grants: Vec<Grant>,
    /// Whether its `/data` stays when it leaves the deployment.
    pub keep_data: bool,
    /// Whether changes of its desired properties that were made on the device, while that was away from its hub, hold
    /// on when it is back.
    pub keep_local_changes: bool,
    /// What in its part of the manifest has no effect, for its reported
    /// status.
    pub warnings: Vec<String>,
}

impl ModuleSpec {
    /// Whether an instance of this one runs as one of the other would, given
    /// the same code: what else they differ in is for those who look after it.
    pub fn runs_as(&self, other: &Self) -> bool {
        let Self {
            id,
            env,
            args,
            limits,
            grants,
            module_type: _,
            version: _,
            image: _,
            status: _,
            restart_policy: _,
            pull_policy: _,
            startup_order: _,
            supervision: _,
            keep_data: _,
            keep_local_changes: _,
            warnings: _,
        } = self;
        (id, env, args, limits, grants)
            == (
                &other.id,
                &other.env,
                &other.args,
                &other.limits,
                &other.grants,
            )
    }
}

macro_rules! word_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $word)] $variant,)*
        }

        impl $name {
            /// All of them with their words in the manifest.
            pub(super) const WORDS: &[(&str, Self)] = &[$(($word, Self::$variant)),*];

            /// The word in the manifest.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

word_enum! {
    /// The form of a module's settings.
    ModuleType {
        /// `settings.createOptions`, a text; what the tools of IoT Edge take.
        Docker = "docker",
        /// `settings.wasm`, plain JSON; for files written by hand.
        Wasm = "wasm",
    }
}

word_enum! {
    /// Whether a module is to run.
    DesiredStatus {
        /// It is.
        Running = "running",
        /// It is not.
        Stopped = "stopped",
    }
}

word_enum! {
    /// When a module that ended is started again.
    RestartPolicy {
        /// Never.
        Never = "never",
        /// When it ended with a failure.
        OnFailure = "on-failure",
        /// When it ended with a failure, or its health check failed.
        OnUnhealthy = "on-unhealthy",
        /// Whenever it ended.
        Always = "always",
    }
}

word_enum! {
    /// When a module's image is pulled.
    PullPolicy {
        /// When the module is created and the image is not there.
        OnCreate = "on-create",
        /// Never: it must be there.
        Never = "never",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Manifest, Origin};

    fn spec(module: &str) -> ModuleSpec {
        let text = format!(
            r#"{{"modulesContent": {{"$edgeAgent": {{"properties.desired": {{
                "schemaVersion": "1.1", "modules": {{"m": {module}}} }}}}}}}}"#
        );
        let checked = Manifest::check(&text, Origin::LocalFile).expect("valid");
        let mut modules = checked.value.modules.into_values();
        modules.next().expect("one module")
    }

    #[test]
    fn instances_differ_by_what_they_are_given_and_not_by_how_they_are_looked_after() {
        let plain = spec(r#"{"type": "wasm", "settings": {"image": "a"}}"#);
        let check = |module: &str, expected: bool| {
            let other = spec(module);
            assert_eq!(plain.runs_as(&other), expected, "{module}");
            assert_eq!(other.runs_as(&plain), expected, "{module}");
        };
        check(
            r#"{"type": "docker", "settings": {"image": "b"}, "version": "2", "status": "stopped",
                "restartPolicy": "never", "imagePullPolicy": "never", "startupOrder": 1}"#,
            true,
        );
        let wasm = |wasm: &str| {
            format!(r#"{{"type": "wasm", "settings": {{"image": "a", "wasm": {wasm}}}}}"#)
        };
        check(
            &wasm(r#"{"healthIntervalMs": 100, "keepData": true}"#),
            true,
        );
        check(&wasm(r#"{"memoryLimitBytes": 65536}"#), false);
        check(&wasm(r#"{"args": ["x"]}"#), false);
        check(&wasm(r#"{"grants": [{"file": "/etc/hostname"}]}"#), false);
        check(
            r#"{"type": "wasm", "settings": {"image": "a"}, "env": {"A": {"value": 1}}}"#,
            false,
        );
    }
}
