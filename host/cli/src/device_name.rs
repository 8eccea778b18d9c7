//! The id of a device that nobody has named: the name of its host.

use wasm_edge_model::identity::DeviceId;

use crate::exit_codes::ExitStatus;
use crate::failure::Failure;

/// The host's name, with what an id may not hold replaced.
///
/// # Errors
/// When it cannot be an id; `hint` says how another one is given.
pub(crate) fn of_host(hint: &str) -> anyhow::Result<DeviceId> {
    let name = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    let name: String = name
        .chars()
        .map(|c| if allowed(c) { c } else { '-' })
        .take(128)
        .collect();
    let name = if name.is_empty() {
        "device".to_owned()
    } else {
        name
    };
    DeviceId::new(&name).map_err(|err| {
        Failure::new(
            ExitStatus::Usage,
            format!("the host's name `{name}` cannot be a device's id"),
        )
        .hint(hint)
        .caused_by(err)
        .into()
    })
}
