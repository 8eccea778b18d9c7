//! `bench` at work: measures on this machine what was promised of a device, beside what it is compared with.
//!
//! Every row runs through a manifest, routes and queues, and is counted at the receiver; what was received and is not
//! what was sent is an error and no figure. Nothing fails for being slow.

mod daemon;
mod flow;
mod hub;
mod process;
mod report;
mod rows;
mod setting;
mod store;

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use wasm_edge_daemon::code::CodeStore;
use wasm_edge_daemon::folder::DataFolder;
use wasm_edge_daemon::images::ImageSupply;

use crate::args::bench::{BenchArgs, BenchCommand};
use crate::exit_codes::ExitStatus;
use crate::failure::Failure;
use crate::output::Output;
use crate::output::text::Text;
use process::Start;
use report::{Figure, Machine};
use rows::{ROWS, Row};
use store::Samples;

/// The components that are measured, by absolute path, and their code, which is made once for all rows.
struct Components {
    /// Does nothing.
    empty: PathBuf,
    /// Forwards, filters, counts.
    load: PathBuf,
    /// Sends.
    source: PathBuf,
    /// Where code is made and kept.
    code: CodeStore,
    /// Images of registries, of which there are none.
    images: ImageSupply,
    _folder: (DataFolder, TempDir),
}

/// How much is done for one figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Effort {
    /// Messages of up to a kilobyte.
    messages: u64,
    /// Messages of 64 KB.
    large_messages: u64,
    /// Calls and instances.
    calls: u64,
    /// Times that a figure is taken; the middle one counts.
    repetitions: usize,
    /// The most modules in one process.
    modules_max: usize,
}

impl Effort {
    const FULL: Self = Self {
        messages: 200_000,
        large_messages: 20_000,
        calls: 100_000,
        repetitions: 5,
        modules_max: 200,
    };
    const QUICK: Self = Self {
        messages: 2_000,
        large_messages: 200,
        calls: 1_000,
        repetitions: 1,
        modules_max: 50,
    };
}

/// Measures the rows that were asked for and prints them.
pub(crate) fn bench(args: &BenchArgs, output: &Output) -> anyhow::Result<ExitStatus> {
    match &args.command {
        Some(BenchCommand::Hub(args)) => return hub::bench(args, output),
        Some(BenchCommand::Daemon(args)) => return daemon::bench(args, output),
        None => {}
    }
    if args.list {
        output.table(&report::list())?;
        return Ok(ExitStatus::Ok);
    }
    let wanted = wanted(&args.rows)?;
    let components = Components::find(args.components.as_deref())?;
    let machine = Machine::of_this_process();
    if !machine.optimised {
        output.warn("this is a debug build: its figures say nothing about a device");
    }
    let effort = match args.quick {
        true => Effort::QUICK,
        false => Effort::FULL,
    };
    let mut figures: Vec<Figure> = Vec::new();
    let mut store = None;
    for row in wanted {
        if row.id == "pss-demo" && args.demo.is_none() {
            output.note(&Text::new().plain("pss-demo is left out: --demo FILE names a manifest"));
            continue;
        }
        output.note(&Text::new().plain(row.id).plain(": ").plain(row.what));
        let measured = match is_of_store(row.id) {
            true => of_store(row, effort, &mut store).map(Some),
            false => measure(row, &components, effort, args.demo.as_deref(), &figures),
        };
        figures.extend(measured.with_context(|| format!("cannot measure `{}`", row.id))?);
    }
    let json = report::to_json(&machine, &figures);
    report::tell(&json, &figures, args.json.as_deref(), output)?;
    Ok(ExitStatus::Ok)
}

/// One row. `before` are the figures that are there already; a row that takes two of them needs both.
fn measure(
    row: &'static Row,
    components: &Components,
    effort: Effort,
    demo: Option<&Path>,
    before: &[Figure],
) -> anyhow::Result<Option<Figure>> {
    let figure = match row.id {
        "start-cold" => process::start(components, row, Start::Cold, effort.repetitions.min(3))?,
        "start-warm" => process::start(components, row, Start::Warm, 2 * effort.repetitions)?,
        "pss-idle" => Figure::new(row, vec![process::memory(components, 0)?]),
        "pss-demo" => match demo {
            Some(manifest) => Figure::new(row, vec![process::memory_of(manifest)?]),
            None => return Ok(None),
        },
        "pss-instance" => return Ok(per_instance(row, before)),
        "pss-waiting" => Figure::new(row, vec![process::waiting(components, effort.messages)?]),
        id => match id.strip_prefix("pss-").map(str::parse) {
            Some(Ok(modules)) if modules > effort.modules_max => return Ok(None),
            Some(Ok(modules)) => Figure::new(row, vec![process::memory(components, modules)?]),
            _ => flow::measure(row, components, effort)?,
        },
    };
    Ok(Some(figure))
}

/// Whether a row is one of the message store by itself.
fn is_of_store(id: &str) -> bool {
    let kind = id.split_once('-').map_or(id, |(kind, _)| kind);
    ["store", "drain", "written"].contains(&kind)
}

/// A row of the message store; one load serves all of them.
fn of_store(
    row: &'static Row,
    effort: Effort,
    samples: &mut Option<Samples>,
) -> anyhow::Result<Figure> {
    if samples.is_none() {
        *samples = Some(Samples::take(effort)?);
    }
    samples
        .as_ref()
        .context("the load was just put on it")?
        .figure(row)
}

/// What a module more costs: from the smallest to the largest number that was measured.
fn per_instance(row: &'static Row, before: &[Figure]) -> Option<Figure> {
    let modules = |figure: &Figure| -> Option<(f64, f64)> {
        let count: u32 = figure.row.id.strip_prefix("pss-")?.parse().ok()?;
        Some((count.into(), figure.value))
    };
    let mut measured = before.iter().filter_map(modules);
    let first = measured.next()?;
    let last = measured.next_back()?;
    let each = (last.1 - first.1) / (last.0 - first.0);
    Some(Figure::new(row, vec![each]))
}

/// The rows whose names begin with one of the texts; all without any.
fn wanted(names: &[String]) -> Result<Vec<&'static Row>, Failure> {
    for name in names {
        if !ROWS.iter().any(|row| row.id.starts_with(name.as_str())) {
            let failure = Failure::new(ExitStatus::Usage, format!("no row begins with `{name}`"));
            return Err(failure.hint("`wasm-edge bench --list` prints the rows"));
        }
    }
    let is_wanted =
        |row: &&Row| names.is_empty() || names.iter().any(|name| row.id.starts_with(name.as_str()));
    Ok(ROWS.iter().filter(is_wanted).collect())
}

impl Components {
    fn find(folder: Option<&Path>) -> anyhow::Result<Self> {
        let folder = folder.ok_or_else(|| {
            Failure::new(ExitStatus::Usage, "no components to measure".to_owned()).hint(
                "`make bench` builds and measures; `--components DIR` names a folder with empty.wasm, load.wasm and source.wasm",
            )
        })?;
        let component = |name: &str| {
            let path = folder.join(name);
            std::fs::canonicalize(&path).map_err(|err| {
                let what = format!("cannot read `{}`", path.display());
                Failure::new(ExitStatus::NotFound, what)
                    .hint("`make guests` builds them")
                    .caused_by(err)
            })
        };
        let (empty, load) = (component("empty.wasm")?, component("load.wasm")?);
        let source = component("source.wasm")?;
        let temporary = tempfile::tempdir()?;
        let folder = DataFolder::open(temporary.path())?;
        Ok(Self {
            empty,
            load,
            source,
            code: CodeStore::open(&folder.precompiled()?)?,
            images: ImageSupply::open_without_registries(&folder)?,
            _folder: (folder, temporary),
        })
    }
}

/// What a manifest says of a module with this component.
fn module(component: &Path) -> Value {
    let image = format!("file:{}", component.display());
    json!({ "type": "wasm", "settings": { "image": image } })
}

/// A manifest of these modules, each with what `$edgeAgent` holds of it, and routes.
fn manifest(
    modules: impl IntoIterator<Item = (String, Value)>,
    routes: impl IntoIterator<Item = (String, String)>,
) -> Value {
    let modules: Map<String, Value> = modules.into_iter().collect();
    let routes: Map<String, Value> = routes
        .into_iter()
        .map(|(name, route)| (name, Value::String(route)))
        .collect();
    json!({ "modulesContent": {
        "$edgeAgent": { "properties.desired": { "schemaVersion": "1.1", "modules": modules } },
        "$edgeHub": { "properties.desired": { "schemaVersion": "1.1", "routes": routes } },
    } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_named_by_how_they_begin() {
        let check = |names: &[&str], expected: usize| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            assert_eq!(
                wanted(&names).map(|rows| rows.len()).unwrap_or(0),
                expected,
                "{names:?}"
            );
        };
        check(&[], ROWS.len());
        check(&["filter"], 3);
        check(&["filter-1KB", "restart"], 2);
        check(&["nothing"], 0);
    }

    #[test]
    fn a_further_instance_is_the_slope_from_the_first_to_the_last() {
        let figure = |id, value| Figure::new(rows::find(id).unwrap(), vec![value]);
        let row = rows::find("pss-instance").unwrap();
        let before = [
            figure("pss-idle", 1_000.0),
            figure("pss-1", 2_000.0),
            figure("pss-50", 9_000.0),
            figure("pss-100", 11_900.0),
        ];
        assert_eq!(per_instance(row, &before).unwrap().value, 100.0);
        assert_eq!(per_instance(row, &before[..2]), None);
    }
}
