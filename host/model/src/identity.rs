//! Who a device or a module is: checked ids and the paths made of them.
//!
//! Owns the rules for ids (IoT Hub's identity registry) and for the folder
//! names made from them. Leaves keys, generation ids and etags to the hub.
//! Everything that names a device or a module calls it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest id, in characters (IoT Hub's identity registry).
pub const ID_MAX_CHARS: usize = 128;

/// The characters allowed in an id beside ASCII letters and digits.
pub const ID_PUNCTUATION: &str = "-.+%_#*?!(),:=@$'";

/// A folder name longer than this is shortened and made unique by a hash,
/// since file systems commonly end names at 255 bytes.
const FOLDER_NAME_MAX_BYTES: usize = 200;

/// How much of a long folder name is kept for people to read.
const FOLDER_NAME_KEPT_BYTES: usize = 150;

/// How many bytes of the SHA-256 a shortened folder name ends in.
const FOLDER_NAME_HASH_BYTES: usize = 8;

/// Why a text is no id, or no path of an identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text is empty.
    #[error("an id cannot be empty")]
    Empty,
    /// The text is longer than [`ID_MAX_CHARS`].
    #[error("an id has at most {limit} characters, not {length}")]
    TooLong {
        /// Its length in characters.
        length: usize,
        /// The longest allowed.
        limit: usize,
    },
    /// A character is not allowed.
    #[error("an id cannot contain `{}`: letters, digits and {ID_PUNCTUATION} are allowed", .character.escape_default())]
    Character {
        /// The first such character.
        character: char,
    },
    /// The text is not of the form `/devices/{d}` or `/devices/{d}/modules/{m}`.
    #[error("`{}` is not of the form {expected}", .text.escape_debug())]
    Path {
        /// The text, cut to a readable length.
        text: String,
        /// The form that was expected.
        expected: &'static str,
    },
}

/// A device's id, such as `Hannover01`.
///
/// At most 128 ASCII letters, digits and characters of [`ID_PUNCTUATION`];
/// upper and lower case differ. Cloning is cheap.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId(Arc<str>);

/// A module's id on its device, such as `insight`.
///
/// The rules are those of [`DeviceId`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModuleId(Arc<str>);

/// The identity of a module: `/devices/{d}/modules/{m}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModuleIdentity {
    /// The device it belongs to.
    pub device: DeviceId,
    /// Its id on that device.
    pub module: ModuleId,
}

/// Whose twin: a device's or a module's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TwinOwner {
    /// The device's own twin.
    Device(DeviceId),
    /// A module's twin.
    Module(ModuleIdentity),
}

macro_rules! id_type {
    ($name:ident) => {
        impl $name {
            /// Checks a text and makes it an id.
            ///
            /// # Errors
            /// [`IdError::Empty`], [`IdError::TooLong`] or
            /// [`IdError::Character`], whichever is found first.
            pub fn new(text: &str) -> Result<Self, IdError> {
                check_id(text)?;
                Ok(Self(Arc::from(text)))
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// A name for a folder that holds what belongs to this id:
            /// every byte outside `[A-Za-z0-9_-]` is `%XX`; a result over 200
            /// bytes becomes its first 150, `~` and 16 hexadecimal digits of
            /// the id's SHA-256.
            ///
            /// Two different ids never share a name.
            pub fn folder_name(&self) -> String {
                folder_name(&self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::new(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

id_type!(DeviceId);
id_type!(ModuleId);

impl ModuleId {
    /// The id of the agent, `$edgeAgent`.
    pub fn edge_agent() -> Self {
        Self(Arc::from("$edgeAgent"))
    }

    /// The id of the router on the device, `$edgeHub`.
    pub fn edge_hub() -> Self {
        Self(Arc::from("$edgeHub"))
    }

    /// Whether this is the id of the agent or the router, which exist on
    /// every device and run no image.
    pub fn is_system(&self) -> bool {
        matches!(&*self.0, "$edgeAgent" | "$edgeHub")
    }
}

impl fmt::Display for ModuleIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/devices/{}/modules/{}", self.device, self.module)
    }
}

impl FromStr for ModuleIdentity {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        match TwinOwner::from_str(text) {
            Ok(TwinOwner::Module(identity)) => Ok(identity),
            Ok(TwinOwner::Device(_)) | Err(IdError::Path { .. }) => {
                Err(path_error(text, "`/devices/{device}/modules/{module}`"))
            }
            Err(other) => Err(other),
        }
    }
}

impl TwinOwner {
    /// The device that the twin belongs to, itself or through its module.
    pub fn device(&self) -> &DeviceId {
        match self {
            Self::Device(device) => device,
            Self::Module(identity) => &identity.device,
        }
    }

    /// The module, unless the twin is the device's own.
    pub fn module(&self) -> Option<&ModuleId> {
        match self {
            Self::Device(_) => None,
            Self::Module(identity) => Some(&identity.module),
        }
    }
}

impl From<DeviceId> for TwinOwner {
    fn from(device: DeviceId) -> Self {
        Self::Device(device)
    }
}

impl From<ModuleIdentity> for TwinOwner {
    fn from(identity: ModuleIdentity) -> Self {
        Self::Module(identity)
    }
}

impl fmt::Display for TwinOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(device) => write!(f, "/devices/{device}"),
            Self::Module(identity) => identity.fmt(f),
        }
    }
}

impl FromStr for TwinOwner {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let error = || {
            path_error(
                text,
                "`/devices/{device}` or `/devices/{device}/modules/{module}`",
            )
        };
        let mut parts = text.strip_prefix("/devices/").ok_or_else(error)?.split('/');
        let device = DeviceId::new(parts.next().unwrap_or_default())?;
        match (parts.next(), parts.next(), parts.next()) {
            (None, None, None) => Ok(Self::Device(device)),
            (Some("modules"), Some(module), None) => {
                let module = ModuleId::new(module)?;
                Ok(Self::Module(ModuleIdentity { device, module }))
            }
            _ => Err(error()),
        }
    }
}

macro_rules! serde_as_text {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

serde_as_text!(ModuleIdentity);
serde_as_text!(TwinOwner);

fn check_id(text: &str) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || ID_PUNCTUATION.contains(c);
    if let Some(character) = text.chars().find(|c| !allowed(*c)) {
        return Err(IdError::Character { character });
    }
    // Only ASCII is left, so that bytes are characters.
    match text.len() {
        length if length > ID_MAX_CHARS => Err(IdError::TooLong {
            length,
            limit: ID_MAX_CHARS,
        }),
        _ => Ok(()),
    }
}

fn path_error(text: &str, expected: &'static str) -> IdError {
    let text = text.chars().take(2 * ID_MAX_CHARS + 20).collect();
    IdError::Path { text, expected }
}

fn folder_name(id: &str) -> String {
    let mut name = String::with_capacity(id.len());
    for byte in id.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' => name.push(char::from(byte)),
            _ => name.push_str(&format!("%{byte:02X}")),
        }
    }
    if name.len() <= FOLDER_NAME_MAX_BYTES {
        return name;
    }
    name.truncate(FOLDER_NAME_KEPT_BYTES);
    name.push('~');
    let hash = ring::digest::digest(&ring::digest::SHA256, id.as_bytes());
    for byte in &hash.as_ref()[..FOLDER_NAME_HASH_BYTES] {
        name.push_str(&format!("{byte:02x}"));
    }
    name
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_follow_the_rules_of_the_identity_registry() {
        let check = |text: &str, expected: Result<(), IdError>| {
            assert_eq!(DeviceId::new(text).map(drop), expected, "{text:?}");
            assert_eq!(ModuleId::new(text).map(drop), expected, "{text:?}");
        };
        check("Hannover01", Ok(()));
        check("$edgeAgent", Ok(()));
        check("a-b.c+d%e_f#g*h?i!j(k)l,m:n=o@p$q'r", Ok(()));
        check("", Err(IdError::Empty));
        check(&"x".repeat(128), Ok(()));
        check(
            &"x".repeat(129),
            Err(IdError::TooLong {
                length: 129,
                limit: 128,
            }),
        );
        check("a b", Err(IdError::Character { character: ' ' }));
        check("a/b", Err(IdError::Character { character: '/' }));
        check("Zürich", Err(IdError::Character { character: 'ü' }));
        check("a\0", Err(IdError::Character { character: '\0' }));
    }

    #[test]
    fn identities_are_written_as_paths_and_read_back() {
        let check = |text: &str, device: &str, module: Option<&str>| {
            let owner: TwinOwner = text.parse().unwrap();
            assert_eq!(owner.device().as_str(), device);
            assert_eq!(owner.module().map(ModuleId::as_str), module);
            assert_eq!(owner.to_string(), text);
            let json = serde_json::to_string(&owner).unwrap();
            assert_eq!(json, format!("{text:?}"));
            assert_eq!(serde_json::from_str::<TwinOwner>(&json).unwrap(), owner);
        };
        check("/devices/d1", "d1", None);
        check("/devices/d1/modules/$edgeHub", "d1", Some("$edgeHub"));
        check(
            "/devices/modules/modules/modules",
            "modules",
            Some("modules"),
        );
    }

    #[test]
    fn other_paths_are_refused() {
        let check = |text: &str, expected: &str| {
            assert_eq!(text.parse::<TwinOwner>().unwrap_err().to_string(), expected);
        };
        let form = "is not of the form `/devices/{device}` or `/devices/{device}/modules/{module}`";
        check("devices/d1", &format!("`devices/d1` {form}"));
        check("/devices/d1/", &format!("`/devices/d1/` {form}"));
        check(
            "/devices/d1/modules",
            &format!("`/devices/d1/modules` {form}"),
        );
        check(
            "/devices/d1/modules/m/x",
            &format!("`/devices/d1/modules/m/x` {form}"),
        );
        check("/devices/", "an id cannot be empty");
        check("/devices/d1/modules/", "an id cannot be empty");
        let device_only = "/devices/d1".parse::<ModuleIdentity>().unwrap_err();
        assert_eq!(
            device_only.to_string(),
            "`/devices/d1` is not of the form `/devices/{device}/modules/{module}`"
        );
    }

    #[test]
    fn folder_names_are_safe_for_file_systems() {
        let check = |id: &str, expected: &str| {
            assert_eq!(ModuleId::new(id).unwrap().folder_name(), expected);
        };
        check("filter_1-a", "filter_1-a");
        check("$edgeAgent", "%24edgeAgent");
        check(".", "%2E");
        check("..", "%2E%2E");
        check("a%2Eb", "a%252Eb");
        check(&"x".repeat(128), &"x".repeat(128));
        // 66 characters of three bytes are 198, the last below the limit.
        check(&"%".repeat(66), &"%25".repeat(66));
        check(
            &"%".repeat(67),
            &format!("{}~{}", "%25".repeat(50), "a39fc97a561d8e9d"),
        );
    }

    #[test]
    fn the_system_modules_are_known() {
        assert!(ModuleId::edge_agent().is_system());
        assert!(ModuleId::edge_hub().is_system());
        assert!(!ModuleId::new("edgeAgent").unwrap().is_system());
        assert_eq!(ModuleId::edge_agent().to_string(), "$edgeAgent");
    }

    proptest! {
        #[test]
        fn every_text_is_an_id_or_an_error(text in ".*") {
            if let Ok(id) = DeviceId::new(&text) {
                prop_assert_eq!(id.as_str(), text.as_str());
                prop_assert!(id.folder_name().len() <= FOLDER_NAME_MAX_BYTES);
            }
            let _ = text.parse::<TwinOwner>();
        }

        #[test]
        fn different_ids_have_different_folders(
            a in "[-.+%_#*?!(),:=@$'a-zA-Z0-9]{1,128}",
            b in "[-.+%_#*?!(),:=@$'a-zA-Z0-9]{1,128}",
        ) {
            let (x, y) = (DeviceId::new(&a).unwrap(), DeviceId::new(&b).unwrap());
            prop_assert_eq!(a == b, x.folder_name() == y.folder_name());
        }
    }
}
