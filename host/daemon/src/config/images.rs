//! `[images]` and `[registries]`: how images are kept, and how those who have them are asked.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use wasm_edge_images::credentials::{Credentials, LoginSource};
use wasm_edge_images::reference::RegistryHost;
use wasm_edge_images::registry::{HostSettings, Mirror};
use wasm_edge_images::store::StoreLimits;

use super::read::{Reader, Table};

/// From a few small images to more than a board has.
pub(super) const IMAGES_BYTES: RangeInclusive<u64> = 1024 * 1024..=1 << 40;

/// From none at all to ten years, which is for ever.
pub(super) const UNUSED_DAYS: RangeInclusive<u64> = 0..=3650;

/// The longest user name, and the longest password: tokens that serve as one have some kilobytes.
const LOGIN_MAX_BYTES: usize = 4096;

/// The keys of `[images]`.
pub(super) const IMAGES_KEYS: [&str; 3] = ["max_bytes", "unused_max_days", "docker_config"];

/// The keys of `[registries."HOST"]`.
pub(super) const REGISTRY_KEYS: [&str; 6] = [
    "username",
    "password",
    "password_file",
    "mirrors",
    "plain_http",
    "ca_file",
];

/// How images are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImagesConfig {
    /// What they may take together.
    pub max_bytes: u64,
    /// How long one that nobody uses is kept.
    pub unused_max: Duration,
    /// A `config.json` of Docker's with passwords of registries; none is none.
    pub docker_config: Option<PathBuf>,
}

impl Default for ImagesConfig {
    fn default() -> Self {
        let StoreLimits {
            max_bytes,
            unused_max,
        } = StoreLimits::default();
        Self {
            max_bytes,
            unused_max,
            docker_config: None,
        }
    }
}

/// Reads `[images]`.
pub(super) fn read(reader: &mut Reader<'_>, section: &Table<'_>) -> ImagesConfig {
    let mut images = ImagesConfig::default();
    reader.keys(section, &IMAGES_KEYS, |reader, key, value| match key {
        "max_bytes" => {
            let bytes = reader.integer(value, IMAGES_BYTES);
            images.max_bytes = bytes.unwrap_or(images.max_bytes);
        }
        "unused_max_days" => {
            let unused = reader.integer(value, UNUSED_DAYS).map(days);
            images.unused_max = unused.unwrap_or(images.unused_max);
        }
        _ => images.docker_config = reader.path(value),
    });
    images
}

/// Reads `[registries]`: a table for each host.
pub(super) fn read_registries(
    reader: &mut Reader<'_>,
    section: &Table<'_>,
) -> BTreeMap<RegistryHost, HostSettings> {
    let mut registries = BTreeMap::new();
    let mut mirrors = Vec::new();
    reader.each(section, |reader, name, value| {
        let place = value.place();
        let Some(host) = RegistryHost::parse(name).ok() else {
            reader.fault(value.path(), place, "this is no host", HOST);
            return;
        };
        let Some(table) = reader.table(value) else {
            return;
        };
        let settings = read_registry(reader, &table, &mut mirrors);
        if registries.insert(host, settings).is_some() {
            let problem = "the same registry stands here under another name";
            reader.fault(value.path(), place, problem, "each once");
        }
    });
    // Only now it is known what is said of the hosts of mirrors.
    for Named {
        host,
        plain,
        path,
        place,
    } in mirrors
    {
        let settings: Option<&HostSettings> = registries.get(&host);
        if settings.is_some_and(|settings| settings.plain_http) != plain {
            let problem = match plain {
                true => format!("`{host}` is named without TLS, and not said to have none"),
                false => format!("`{host}` is named with TLS, and said to have none"),
            };
            let expected = format!(
                "`http://` for a mirror whose `[registries.\"{host}\"]` says `plain_http = true`, else `https://`"
            );
            reader.fault(&path, place, problem, expected);
        }
    }
    registries
}

/// Whether a password stands in the configuration itself.
pub(super) fn holds_password(settings: &HostSettings) -> bool {
    matches!(&settings.credentials, Credentials::Basic { password, .. } if !password.is_empty())
}

/// A mirror that was named, and where.
struct Named {
    host: RegistryHost,
    plain: bool,
    path: String,
    place: super::read::Place,
}

fn read_registry(
    reader: &mut Reader<'_>,
    table: &Table<'_>,
    named: &mut Vec<Named>,
) -> HostSettings {
    let mut settings = HostSettings::default();
    let mut username = None;
    let mut password = None;
    reader.keys(table, &REGISTRY_KEYS, |reader, key, value| match key {
        "username" => username = reader.parsed(value, USERNAME, user),
        "password" => password = reader.secret(value, PASSWORD, login),
        "password_file" => settings.password_file = reader.path(value),
        "mirrors" => {
            let mirrors = reader.list(value, MIRRORS, mirror).unwrap_or_default();
            for (mirror, plain) in mirrors {
                named.push(Named {
                    host: mirror.host.clone(),
                    plain,
                    path: value.path().to_owned(),
                    place: value.place(),
                });
                settings.mirrors.push(mirror);
            }
        }
        "plain_http" => settings.plain_http = reader.boolean(value).unwrap_or_default(),
        _ => settings.ca_file = reader.path(value),
    });
    let has = |key| table.has(key);
    let problem = match (has("username"), has("password"), has("password_file")) {
        (_, true, true) => Some("both `password` and `password_file` stand here"),
        (true, false, false) => Some("`username` stands here alone"),
        (false, true, _) | (false, _, true) => Some("there is a password and no `username`"),
        _ => None,
    };
    if let Some(problem) = problem {
        let expected = "`username` with `password` or `password_file`, or none of them";
        reader.fault(table.path(), table.own_place(), problem, expected);
    }
    if let Some(username) = username {
        let (password, source) = (password.unwrap_or_default(), LoginSource::Configuration);
        settings.credentials = Credentials::basic(username, password, source);
    }
    settings
}

/// A user name ends at the colon in what is sent (RFC 7617).
fn user(text: &str) -> Option<String> {
    let is_user = !text.is_empty() && !text.contains(':');
    login(text).ok().filter(|_| is_user)
}

fn login(text: &str) -> Result<String, &'static str> {
    let is_login = text.len() <= LOGIN_MAX_BYTES && !text.chars().any(char::is_control);
    match is_login {
        true => Ok(text.to_owned()),
        false => Err("it is too long, or has letters that cannot be typed"),
    }
}

/// A mirror, and whether it is named as one without TLS.
fn mirror(text: &str) -> Option<(Mirror, bool)> {
    let (plain, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
        (Some(rest), _) => (false, rest),
        (_, Some(rest)) => (true, rest),
        _ => return None,
    };
    Mirror::parse(rest).map(|mirror| (mirror, plain))
}

fn days(count: u64) -> Duration {
    Duration::from_secs(count * 24 * 60 * 60)
}

const HOST: &str = "the host of a registry, with a port or without";

const USERNAME: &str = "the name of a user, without a colon";

const PASSWORD: &str = "a password of at most 4096 bytes";

const MIRRORS: &str = "an array of addresses `https://HOST:PORT/PATH`, the port and the path left out where there are none";

#[cfg(test)]
mod tests;
