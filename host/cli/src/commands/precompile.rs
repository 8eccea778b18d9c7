//! `precompile`: the compiled code that a device without a compiler starts on.
//!
//! Owns which images that is: those of manifests and single components. Leaves compiling and the form on disk to the
//! daemon's code store, which the device opens later in the same folder.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Serialize;
use wasm_edge_daemon::code::{CodeStore, ENGINE_VERSION, Origin};
use wasm_edge_daemon::images::{ImageSupply, SupplyError};
use wasm_edge_images::credentials::Credentials;
use wasm_edge_images::image::ModuleImage;
use wasm_edge_images::reference::Reference;
use wasm_edge_images::source::{ImageError, ImageSource};
use wasm_edge_model::error::chain;
use wasm_edge_model::manifest::ImageReference;
use wasm_edge_model::route::condition::Compatibility;
use wasm_edge_net::clock::HubClock;
use wasm_edge_net::traffic::Counter;

use crate::args::precompile::PrecompileArgs;
use crate::deployment_file::{self, TEXT_MAX_BYTES};
use crate::exit_codes::ExitStatus;
use crate::failure::Failure;
use crate::output::table::{Align, Table};
use crate::output::text::Text;
use crate::output::{Output, OutputError, human};
use crate::text_file::{self, TextFileError};
use crate::{component_file, config_file, data_folder, logins, registries};

/// A component of this size takes about a second; a larger one is announced before it is compiled.
const ANNOUNCED_BYTES: usize = 1 << 20;

/// An image that is asked for.
struct Wanted {
    /// The module whose it is, or the component's file.
    name: String,
    /// What the manifest says.
    reference: ImageReference,
    /// The folder that it is relative to.
    folder: PathBuf,
}

/// The JSON output.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    data_dir: String,
    profile: &'static str,
    engine_version: &'static str,
    images: Vec<Line>,
}

/// An image whose code is there.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    digest: String,
    images: Vec<String>,
    modules: Vec<String>,
    size_bytes: usize,
    /// `compiled`, or `found` when its code was there.
    origin: &'static str,
}

/// Why an image has no code.
struct Refusal {
    reason: String,
    hint: Option<String>,
    /// Whether it may be there another time.
    is_passing: bool,
}

/// Compiles what the files name into the data folder, and prints what is there.
///
/// # Errors
/// When a file cannot be read, the folder cannot be used, or some images cannot be compiled; the others are.
pub(super) async fn execute(
    args: PrecompileArgs,
    data_dir: Option<&Path>,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let Some(data_dir) = data_dir else {
        let what = "the data folder of the device is not given";
        return Err(Failure::new(ExitStatus::Usage, what)
            .hint("name it with `--data-dir DIR`; it may be a copy that goes to the board later")
            .into());
    };
    let mut wanted = Vec::new();
    for file in &args.files {
        wanted.extend(wanted_by(file, args.root.as_deref(), output)?);
    }
    let folder = data_folder::open(data_dir)?;
    let code = CodeStore::open(&folder.precompiled()?)?;
    let config = logins::added_to(config_file::read(args.config.as_deref(), output)?, output);
    let registry = registries::open(&config, HubClock::new(None), Counter::default(), output)?;
    let images = registries::supply(&folder, &config, registry)?;
    let mut report = Report {
        data_dir: data_dir.display().to_string(),
        profile: code.profile(),
        engine_version: ENGINE_VERSION,
        images: Vec::new(),
    };
    let mut refusals = Vec::new();
    for wanted in &wanted {
        if let Err(refusal) = report.add(wanted, &images, &code, output).await {
            output.warn(&format!("{}: {}", wanted.name, refusal.reason));
            refusals.push(refusal);
        }
    }
    if !refusals.is_empty() {
        let what = format!(
            "{} of {} cannot be compiled",
            refusals.len(),
            human::count(wanted.len(), "image")
        );
        let passing = refusals.iter().all(|refusal| refusal.is_passing);
        let status = match passing {
            true => ExitStatus::TryLater,
            false => ExitStatus::BadConfig,
        };
        let failure = Failure::new(status, what);
        return Err(
            match refusals.into_iter().find_map(|refusal| refusal.hint) {
                Some(hint) => failure.hint(hint).into(),
                None => failure.into(),
            },
        );
    }
    if args.prune {
        code.drop_unused()?;
    }
    report.print(output)?;
    Ok(ExitStatus::Ok)
}

/// The images that a file names: all of a manifest, or the component that it is.
fn wanted_by(file: &Path, root: Option<&Path>, output: &Output) -> anyhow::Result<Vec<Wanted>> {
    let path = component_file::whole_path(
        file,
        "give deployment manifests (JSON) and components (.wasm)",
    )?;
    let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
    if component_file::is_component(&path)? {
        let reference = ImageReference::File {
            path: path.to_string_lossy().into_owned(),
        };
        let name = file.display().to_string();
        return Ok(vec![Wanted {
            name,
            reference,
            folder,
        }]);
    }
    let text = text_file::read(&path, TEXT_MAX_BYTES).map_err(TextFileError::into_failure)?;
    let manifest = deployment_file::checked(&text, file, Compatibility::default(), output)?;
    let wanted = manifest.modules.into_values().map(|spec| Wanted {
        name: spec.id.to_string(),
        reference: below(root, spec.image),
        folder: folder.clone(),
    });
    Ok(wanted.collect())
}

/// An absolute `file:` image, where it is on this machine.
fn below(root: Option<&Path>, reference: ImageReference) -> ImageReference {
    match (root, reference) {
        (Some(root), ImageReference::File { path }) if path.starts_with('/') => {
            let path = root.join(path.trim_start_matches('/'));
            ImageReference::File {
                path: path.to_string_lossy().into_owned(),
            }
        }
        (_, reference) => reference,
    }
}

impl Report {
    /// Makes sure of the code of an image.
    async fn add(
        &mut self,
        wanted: &Wanted,
        images: &ImageSupply,
        code: &CodeStore,
        output: &Output,
    ) -> Result<(), Refusal> {
        let image = load(wanted, images, output).await?;
        let (digest, size_bytes) = (image.digest.to_string(), image.bytes.len());
        if size_bytes >= ANNOUNCED_BYTES {
            let size = human::size(size_bytes as u64);
            output.note(&Text::new().plain(&format!("compiling {} ({size})", wanted.name)));
        }
        let begun = Instant::now();
        let (_, origin) = code.load(image).await.map_err(|err| Refusal {
            reason: chain(&err),
            hint: None,
            is_passing: false,
        })?;
        if origin == Origin::Compiled {
            let took = begun.elapsed().as_secs_f64();
            output.note(&Text::new().plain(&format!("compiled {} in {took:.1} s", wanted.name)));
        }
        let known = self.images.iter_mut().find(|line| line.digest == digest);
        let line = match known {
            Some(line) => line,
            None => {
                self.images.push(Line {
                    digest,
                    images: Vec::new(),
                    modules: Vec::new(),
                    size_bytes,
                    origin: match origin {
                        Origin::Compiled => "compiled",
                        Origin::Cached => "found",
                    },
                });
                self.images.last_mut().expect("one was pushed")
            }
        };
        line.modules.push(wanted.name.clone());
        let reference = wanted.reference.to_string();
        if !line.images.contains(&reference) {
            line.images.push(reference);
        }
        Ok(())
    }

    fn print(&self, output: &Output) -> Result<(), OutputError> {
        if output.is_json() {
            return output.json(self);
        }
        let mut table = Table::new(&[
            ("MODULES", Align::Left),
            ("CODE", Align::Left),
            ("SIZE", Align::Right),
            ("IMAGE", Align::Left),
        ]);
        for line in &self.images {
            table.row([
                line.modules.join(", "),
                line.origin.to_owned(),
                human::size(line.size_bytes as u64),
                line.images.join(", "),
            ]);
        }
        output.table(&table)
    }
}

async fn load(
    wanted: &Wanted,
    images: &ImageSupply,
    output: &Output,
) -> Result<ModuleImage, Refusal> {
    if let ImageReference::Registry { .. } = &wanted.reference {
        return pull(wanted, images, output).await;
    }
    let (reference, folder) = (wanted.reference.clone(), wanted.folder.clone());
    let loaded =
        tokio::task::spawn_blocking(move || ImageSource::new(&folder).load(&reference, None));
    loaded
        .await
        .expect("reading a file does not panic, and the runtime outlives the command")
        .map_err(|err: ImageError| Refusal {
            reason: chain(&err),
            hint: Some(err.hint().to_owned()),
            is_passing: false,
        })
}

/// An image of a registry, out of the image store.
async fn pull(
    wanted: &Wanted,
    images: &ImageSupply,
    output: &Output,
) -> Result<ModuleImage, Refusal> {
    let told = |err: &dyn std::error::Error, hint| Refusal {
        reason: chain(err),
        hint,
        is_passing: false,
    };
    let reference = Reference::try_from(&wanted.reference).map_err(|err| told(&err, None))?;
    let pinned = reference
        .digest()
        .and_then(|_| images.store().resolve(&reference));
    let image = match pinned {
        Some(image) => image,
        None => {
            let progress = output.progress(&format!("pulling {reference}"));
            let tell = |done_bytes, size_bytes| progress.at(done_bytes, size_bytes);
            let pulled = images
                .pull(&reference, &Credentials::Anonymous, BTreeSet::new(), &tell)
                .await;
            let refused = |err: SupplyError| Refusal {
                is_passing: err.is_passing(),
                ..told(&err, err.hint())
            };
            pulled.map_err(refused)?.image
        }
    };
    let store = images.store().clone();
    // One image of this call makes no room for another.
    store.hold_also("precompile", image.manifest_digest);
    let read = tokio::task::spawn_blocking(move || store.component(&image.component.digest)).await;
    read.expect("the store does not panic, and the runtime outlives the command")
        .map_err(|err| told(&err, err.hint().map(str::to_owned)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absolute_images_are_looked_for_below_the_root() {
        let check = |root: Option<&str>, path: &str, expected: &str| {
            let reference = ImageReference::File {
                path: path.to_owned(),
            };
            let found = below(root.map(Path::new), reference);
            assert_eq!(found.to_string(), format!("file:{expected}"));
        };
        check(None, "/opt/a.wasm", "/opt/a.wasm");
        check(Some("/mnt"), "/opt/a.wasm", "/mnt/opt/a.wasm");
        check(Some("/mnt"), "//opt/a.wasm", "/mnt/opt/a.wasm");
        check(Some("/mnt"), "a.wasm", "a.wasm");
        check(Some("mnt"), "/a.wasm", "mnt/a.wasm");
    }
}
