//! `run --watch`: takes over what changes in manifests, components and the sources of crates, while all else runs on.
//!
//! A change is another content, whatever happened to the file; what cannot be used is told and changes nothing. The
//! agent does the replacing: this decides when it looks. One look after the other, each at everything.

mod alarm;
pub(super) mod scan;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use wasm_edge_daemon::agent::error::DeployError;
use wasm_edge_daemon::agent::handle::{DeploymentState, Phase, Tags};
use wasm_edge_daemon::device::Device;
use wasm_edge_hub::hub::Hub;
use wasm_edge_images::digest::Digest;
use wasm_edge_model::identity::ModuleId;
use wasm_edge_model::manifest::{ImageReference, Manifest};

use super::Running;
use super::apply::{self, Trial};
use super::source::{self, CrateSource};
use super::target::Loaded;
use crate::args::run::{RunArgs, Target};
use crate::deployment_file::sha256;
use crate::output::Output;
use crate::output::text::Text;
use alarm::{Alarm, Ear};
use scan::Fingerprint;

/// How long is waited for what the agent makes of a change, before the next one is looked at.
const OUTCOME_WAIT_MAX: Duration = Duration::from_secs(60);

/// Everything that is looked at.
pub(super) struct Watch<'a> {
    entries: Vec<Entry<'a>>,
    hub: &'a Hub,
    args: &'a RunArgs,
    output: &'a Output,
}

/// One device and what it runs.
struct Entry<'a> {
    device: &'a Device,
    target: Target,
    source: Option<CrateSource>,
    /// What was read of the manifest last that could be used.
    manifest: Manifest,
    /// Of the manifest that was read last, whether it could be used or not; `None` for a single component.
    text_digest: Option<String>,
    /// The components that were tried last, whether they could be used or not.
    tried: BTreeMap<ModuleId, Digest>,
    /// Components for which the manifest that was read last was refused, as they were then.
    awaited: Components,
}

/// What lies where components are looked for, if it is a file.
type Components = BTreeMap<PathBuf, Option<Digest>>;

/// What is to be looked at for one entry.
struct Places {
    manifest: Option<PathBuf>,
    components: BTreeMap<ModuleId, PathBuf>,
    awaited: Vec<PathBuf>,
    crate_folder: Option<PathBuf>,
}

/// What was seen there.
struct Seen {
    /// SHA-256 of the manifest's text, if it is there.
    manifest: Option<String>,
    components: BTreeMap<ModuleId, Digest>,
    awaited: Components,
    sources: Option<Fingerprint>,
}

/// Looks until it cannot any more; for ever with nothing to look at. Answers why it ended.
pub(super) async fn run(watch: Option<Watch<'_>>) -> anyhow::Error {
    match watch {
        None => std::future::pending().await,
        Some(watch) => match watch.run().await {
            Ok(never) => match never {},
            Err(err) => err,
        },
    }
}

impl<'a> Watch<'a> {
    /// Of targets that run already.
    pub(super) fn new(
        targets: Vec<(Target, Option<CrateSource>)>,
        loaded: &[Loaded],
        running: &'a Running,
        args: &'a RunArgs,
        output: &'a Output,
    ) -> Self {
        let entries = targets.into_iter().zip(loaded).zip(&running.devices);
        let entries = entries.map(|(((target, source), loaded), device)| Entry {
            device,
            target,
            source,
            manifest: loaded.manifest.clone(),
            text_digest: loaded.component.is_none().then(|| loaded.digest.clone()),
            tried: BTreeMap::new(),
            awaited: Components::new(),
        });
        Self {
            entries: entries.collect(),
            hub: &running.hub,
            args,
            output,
        }
    }

    async fn run(mut self) -> anyhow::Result<std::convert::Infallible> {
        let mut alarm = Alarm::new().context("cannot watch files")?;
        let ear: Ear = alarm.ear();
        self.note("watching; Ctrl-C ends it");
        loop {
            let places: Vec<Places> = self.entries.iter().map(Entry::places).collect();
            let looked = tokio::task::spawn_blocking(move || look(alarm, &places));
            let (armed_alarm, seen) = looked.await.context("looking at files did not end")??;
            alarm = armed_alarm;
            let mut look_again = false;
            for (index, seen) in seen.into_iter().enumerate() {
                look_again |= self.take_over(index, seen).await;
            }
            // What was built lies in files that were looked at before; a manifest may name files elsewhere.
            if !look_again {
                ear.wait().await;
            }
        }
    }

    /// Takes over what differs; answers whether there may be other places to look at than before, or other files.
    async fn take_over(&mut self, index: usize, seen: Seen) -> bool {
        let begun = Instant::now();
        let entry = &self.entries[index];
        let stale = match (&entry.source, &seen.sources) {
            (Some(source), Some(now)) => source.is_stale(now),
            _ => false,
        };
        if stale {
            self.rebuild(index).await;
            return true;
        }
        let manifest_differs = entry.text_digest.is_some() && entry.text_digest != seen.manifest;
        let is_again =
            (manifest_differs || entry.awaited != seen.awaited) && seen.manifest.is_some();
        let is_new_manifest = manifest_differs && is_again;
        let changed = entry.changed(&seen.components);
        let names: Vec<ModuleId> = changed.keys().cloned().collect();
        self.entries[index].tried.extend(changed);
        if is_again {
            self.entries[index].text_digest = seen.manifest;
            match self.reapply(index, begun).await {
                Ok(()) => return true,
                Err(err) => self.refused(&err),
            }
        }
        // Of a manifest that was refused before, too, what runs goes on to be looked at.
        if !is_new_manifest
            && !names.is_empty()
            && let Err(err) = self.reload(index, &names, begun).await
        {
            self.refused(&err);
        }
        is_again
    }

    async fn rebuild(&mut self, index: usize) {
        let Some(source) = &mut self.entries[index].source else {
            return;
        };
        match source.build().await {
            Ok(built) => source::tell(&built, self.output),
            Err(err) => self.refused(&err),
        }
    }

    /// Reads the manifest again and applies it.
    async fn reapply(&mut self, index: usize, begun: Instant) -> anyhow::Result<()> {
        let entry = &mut self.entries[index];
        entry.awaited.clear();
        let loaded = Loaded::read(
            entry.target.clone(),
            self.args,
            entry.device.agent().compatibility(),
            self.output,
        )?;
        entry.text_digest = Some(loaded.digest.clone());
        // Before they are tried: what comes meanwhile is another one.
        let components = components(&loaded.manifest);
        let paths = components.values().cloned().collect();
        let mut found = tokio::task::spawn_blocking(|| look_for(paths))
            .await
            .context("looking at files did not end")?;
        let trial = Trial::of(self.hub, entry.device, &loaded, self.args, self.output).await;
        let trial = match trial {
            Ok(trial) => trial,
            Err(err) => {
                if let Some(DeployError::Images(failed)) = apply::cause(&err) {
                    let failed = failed
                        .iter()
                        .filter_map(|(module, _)| components.get(module));
                    let failed: Vec<&PathBuf> = failed.collect();
                    found.retain(|path, _| failed.contains(&path));
                    entry.awaited = found;
                }
                return Err(err);
            }
        };
        entry.manifest = loaded.manifest.clone();
        let entry = &self.entries[index];
        let mut state = entry.device.agent().watch();
        state.mark_unchanged();
        let modules = trial.tried().modules.iter();
        let expected: BTreeMap<_, _> = modules
            .map(|module| (module.module.clone(), module.image_digest.clone()))
            .collect();
        let version = trial
            .set(self.hub, entry.device, &loaded, self.output)
            .await?;
        entry.device.agent().look_again();
        if entry.taken_over(state, version, &expected).await {
            let what = format!("applied `{}`", entry.target.file.display());
            self.note(&source::took(&what, begun.elapsed()));
        }
        Ok(())
    }

    /// Lets the agent take over components that are others than before.
    async fn reload(&self, index: usize, names: &[ModuleId], begun: Instant) -> anyhow::Result<()> {
        let entry = &self.entries[index];
        let agent = entry.device.agent();
        let tried = agent.try_out(&entry.manifest, Tags::AsBefore).await;
        let tried = tried.map_err(|err| apply::failed(err, self.output))?;
        let mut state = entry.device.agent().watch();
        state.mark_unchanged();
        entry.device.agent().look_again();
        let expected = tried
            .modules
            .into_iter()
            .filter(|module| names.contains(&module.module))
            .map(|module| (module.module, module.image_digest))
            .collect();
        if entry.taken_over(state, 0, &expected).await {
            let names: Vec<&str> = names.iter().map(ModuleId::as_str).collect();
            let what = format!("reloaded {}", names.join(", "));
            self.note(&source::took(&what, begun.elapsed()));
        }
        Ok(())
    }

    fn refused(&self, err: &anyhow::Error) {
        self.output.error(err);
        self.note("what ran before runs on");
    }

    fn note(&self, text: &str) {
        self.output.note(&Text::new().plain(text));
    }
}

impl Entry<'_> {
    fn places(&self) -> Places {
        Places {
            manifest: self
                .text_digest
                .is_some()
                .then(|| absolute(&self.target.file)),
            components: components(&self.manifest),
            awaited: self.awaited.keys().cloned().collect(),
            crate_folder: self.source.as_ref().map(|source| absolute(source.folder())),
        }
    }

    /// The components that neither run nor were tried last.
    fn changed(&self, seen: &BTreeMap<ModuleId, Digest>) -> BTreeMap<ModuleId, Digest> {
        let reports = self.device.view().supervisor.reports();
        let runs = |module: &ModuleId, digest: &Digest| {
            let digest = digest.to_string();
            let report = reports.iter().find(|report| report.module() == module);
            report.is_some_and(|report| report.image_digest == digest)
        };
        let mut changed = seen.clone();
        changed.retain(|module, digest| {
            !runs(module, digest) && self.tried.get(module) != Some(digest)
        });
        changed
    }

    /// Waits for what the agent makes of it; answers whether it has taken over these images, of this version of the
    /// desired properties or a later one. What it refuses it says itself.
    async fn taken_over(
        &self,
        mut state: tokio::sync::watch::Receiver<DeploymentState>,
        version: u64,
        expected: &BTreeMap<ModuleId, String>,
    ) -> bool {
        let outcome = async {
            while state.changed().await.is_ok() {
                let now = state.borrow_and_update().clone();
                if now.agent_version < version {
                    continue;
                }
                match now.phase {
                    Phase::None | Phase::Preparing | Phase::Applying => {}
                    Phase::Watching | Phase::Applied => {
                        if self.run(expected) {
                            return true;
                        }
                    }
                    Phase::Refused { .. } | Phase::Unhealthy { .. } | Phase::RolledBack { .. } => {
                        return false;
                    }
                }
            }
            false
        };
        let outcome = tokio::time::timeout(OUTCOME_WAIT_MAX, outcome).await;
        outcome.unwrap_or(false)
    }

    fn run(&self, expected: &BTreeMap<ModuleId, String>) -> bool {
        let reports = self.device.view().supervisor.reports();
        expected.iter().all(|(module, digest)| {
            let report = reports.iter().find(|report| report.module() == module);
            report.is_some_and(|report| report.image_digest == *digest)
        })
    }
}

/// Looks at all places, with the alarm armed before: what changes after the look rings. Blocks.
fn look(mut alarm: Alarm, places: &[Places]) -> anyhow::Result<(Alarm, Vec<Seen>)> {
    let mut files = Vec::new();
    let mut folders = Vec::new();
    for places in places {
        files.extend(places.manifest.clone());
        files.extend(places.components.values().cloned());
        files.extend(places.awaited.iter().cloned());
        if let Some(folder) = &places.crate_folder {
            files.push(folder.join("Cargo.toml"));
            folders.extend(scan::folders(folder));
        }
    }
    alarm.arm(&files, &folders).context("cannot watch files")?;
    let seen = places.iter().map(Places::look).collect();
    Ok((alarm, seen))
}

impl Places {
    fn look(&self) -> Seen {
        let text = self.manifest.as_ref().map(std::fs::read);
        let components = self.components.iter();
        Seen {
            manifest: text.and_then(Result::ok).map(|text| sha256(&text)),
            components: components
                .filter_map(|(module, path)| Some((module.clone(), scan::file(path)?)))
                .collect(),
            awaited: look_for(self.awaited.clone()),
            sources: self.crate_folder.as_deref().map(scan::sources),
        }
    }
}

/// The files that the modules of a manifest are made of.
fn components(manifest: &Manifest) -> BTreeMap<ModuleId, PathBuf> {
    let modules = manifest.modules.values();
    let files = modules.filter_map(|spec| match &spec.image {
        ImageReference::File { path } => Some((spec.id.clone(), PathBuf::from(path))),
        _ => None,
    });
    files.collect()
}

/// Blocks.
fn look_for(paths: Vec<PathBuf>) -> Components {
    let found = paths.into_iter().map(|path| {
        let digest = scan::file(&path);
        (path, digest)
    });
    found.collect()
}

/// Of a path from here, which may not be there just now.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
