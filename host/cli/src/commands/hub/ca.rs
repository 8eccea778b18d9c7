//! `hub ca` and `hub ca issue`: the certificate of the local authority, and certificates that it signs for devices and modules.
//!
//! Both read the data folder and work whether the hub runs or not.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use ring::digest::{self, Algorithm};
use serde::Serialize;
use wasm_edge_hub::server::authority::{Authority, AuthorityError};

use crate::args::GlobalArgs;
use crate::args::hub::ca::{CaArgs, CaCommand, CaIssueArgs};
use crate::exit_codes::ExitStatus;
use crate::failure::Failure;
use crate::output::Output;
use crate::output::text::Text;
use crate::{data_folder, hub_server, live};

/// Where a data folder has its hub.
const HUB_FOLDER: &str = "hub";

/// Permission bits of a file with a key.
const KEY_MODE: u32 = 0o600;

/// Permission bits of a file with a certificate, which is no secret.
const CERTIFICATE_MODE: u32 = 0o644;

/// Runs `hub ca`.
pub(super) fn execute(
    args: CaArgs,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let authority = authority(global)?;
    match (args.command, args.output_file) {
        (Some(CaCommand::Issue(args)), _) => issue(&authority, &args, output),
        (None, Some(file)) => {
            let pem = authority.certificate_pem().as_bytes();
            std::fs::write(&file, pem).map_err(|err| cannot_write(&file, err))?;
            let text = format!("the certificate is in `{}`", file.display());
            output.note(&Text::new().plain(&text));
            Ok(ExitStatus::Ok)
        }
        (None, None) => {
            output.verbatim(authority.certificate_pem())?;
            Ok(ExitStatus::Ok)
        }
    }
}

/// What `hub ca issue` says.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct IssuedFiles {
    common_name: String,
    certificate_file: PathBuf,
    key_file: PathBuf,
    sha1_thumbprint: String,
    sha256_thumbprint: String,
}

fn issue(authority: &Authority, args: &CaIssueArgs, output: &Output) -> anyhow::Result<ExitStatus> {
    let (subject, name) = match &args.module {
        None => (args.device.to_string(), args.device.folder_name()),
        Some(module) => (
            format!("{}/{module}", args.device),
            format!("{}.{}", args.device.folder_name(), module.folder_name()),
        ),
    };
    let issued = authority
        .issue_client(&subject, args.days, Timestamp::now())
        .map_err(failure)?;
    let files = IssuedFiles {
        common_name: subject,
        certificate_file: args.dir.join(format!("{name}.cert.pem")),
        key_file: args.dir.join(format!("{name}.key.pem")),
        sha1_thumbprint: hex(&digest::SHA1_FOR_LEGACY_USE_ONLY, &issued.certificate),
        sha256_thumbprint: hex(&digest::SHA256, &issued.certificate),
    };
    create(&files.key_file, KEY_MODE, &issued.key_pem)?;
    create(
        &files.certificate_file,
        CERTIFICATE_MODE,
        &issued.certificate_pem,
    )?;
    if output.is_json() {
        output.json(&files)?;
        return Ok(ExitStatus::Ok);
    }
    for (what, value) in [
        ("certificate", files.certificate_file.display().to_string()),
        ("key", files.key_file.display().to_string()),
        ("SHA-1", files.sha1_thumbprint),
        ("SHA-256", files.sha256_thumbprint),
    ] {
        output.line(&Text::new().plain(what).pad_to(13).plain(&value))?;
    }
    Ok(ExitStatus::Ok)
}

/// The authority of the hub that `--data-dir` names, else of the one that runs, else of the user's own; made where
/// there is none yet.
fn authority(global: &GlobalArgs) -> anyhow::Result<Authority> {
    let given = match &global.data_dir {
        Some(folder) => Some(folder.clone()),
        None => running_hub()?,
    };
    let folder = hub_server::hub_folder(given)?;
    if let Some(authority) = Authority::read_at(&folder.join(HUB_FOLDER)).map_err(failure)? {
        return Ok(authority);
    }
    let folder = data_folder::open(&folder)?;
    let authority = Authority::open(&folder.hub()?).map_err(failure)?;
    Ok(authority)
}

/// The data folder of the only process that serves a hub with an authority of its own.
fn running_hub() -> anyhow::Result<Option<PathBuf>> {
    let live = match live::Registry::of_user() {
        Some(registry) => registry.live()?,
        None => Vec::new(),
    };
    let mut hubs = Vec::new();
    for folder in live {
        if Authority::read_at(&folder.join(HUB_FOLDER))
            .map_err(failure)?
            .is_some()
        {
            hubs.push(folder);
        }
    }
    match hubs.len() {
        0 | 1 => Ok(hubs.pop()),
        _ => {
            let mut hint = "choose one with `--data-dir DIR`:".to_owned();
            for folder in &hubs {
                hint.push_str(&format!("\n  {}", folder.display()));
            }
            let failure = Failure::new(ExitStatus::Ambiguous, "several hubs are running");
            Err(failure.hint(hint).into())
        }
    }
}

/// Writes a new file; one that is there may be a key that somebody still uses.
fn create(path: &Path, mode: u32, text: &str) -> anyhow::Result<()> {
    let mut options = OpenOptions::new();
    let options = options.write(true).create_new(true).mode(mode);
    let written = options.open(path).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|err| cannot_write(path, err).into())
}

fn cannot_write(path: &Path, err: io::Error) -> Failure {
    let exists = err.kind() == io::ErrorKind::AlreadyExists;
    let what = format!("cannot write `{}`", path.display());
    let failure = Failure::new(ExitStatus::Failure, what).caused_by(err);
    match exists {
        true => failure.hint("remove it, or write elsewhere with `--dir DIR`"),
        false => failure,
    }
}

fn failure(err: AuthorityError) -> Failure {
    Failure::new(
        ExitStatus::Failure,
        "cannot use the hub's certificate authority",
    )
    .caused_by(err)
}

fn hex(algorithm: &'static Algorithm, bytes: &[u8]) -> String {
    let digest = digest::digest(algorithm, bytes);
    digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02X}"))
        .collect()
}
