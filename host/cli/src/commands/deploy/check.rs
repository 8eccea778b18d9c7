//! `deploy check`: reads a deployment manifest as a device would, and prints every fault, and the budget of memory.

use std::path::Path;

use serde::Serialize;
#[cfg(feature = "compiler")]
use wasm_edge_daemon::code::CodeStore;
#[cfg(feature = "compiler")]
use wasm_edge_images::source::ImageSource;
use wasm_edge_model::manifest::{
    DesiredStatus, Fault, ImageReference, Manifest, ModuleSpec, Origin, STARTUP_ORDER_DEFAULT,
    Warning,
};
use wasm_edge_model::route::{Durability, Route, Sink, WhenFull};

use crate::args::deploy::DeployCheckArgs;
use crate::exit_codes::ExitStatus;
use crate::failure::Failure;
use crate::output::table::{Align, Table};
use crate::output::text::{Style, Text};
use crate::output::{Output, OutputError, human};
use crate::text_file::{self, TextFileError};

/// More than the manifest's own limit, so that a larger one is refused by the check, as on a device.
const FILE_SIZE_MAX_BYTES: usize = 8 << 20;

/// What the check came to; the JSON output is this.
#[derive(Serialize)]
struct Report {
    file: String,
    valid: bool,
    faults: Vec<Finding>,
    warnings: Vec<Finding>,
    modules: Vec<ModuleLine>,
    routes: Vec<RouteLine>,
    memory: Budget,
}

/// What the modules that are to run take of memory together.
#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct Budget {
    /// At their start; none where an image is not at hand.
    needed_bytes: Option<u64>,
    may_take_bytes: u64,
}

/// A fault or a warning at a place of the manifest.
#[derive(Serialize)]
struct Finding {
    path: String,
    line: Option<u32>,
    column: Option<u32>,
    problem: String,
    /// Empty where there is nothing that should be there instead.
    expected: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ModuleLine {
    module: String,
    version: String,
    image: String,
    desired_status: &'static str,
    startup_order: u32,
    /// None where the image is not at hand.
    needed_bytes: Option<u64>,
    memory_limit_bytes: u64,
    host_memory_limit_bytes: u64,
    grants: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RouteLine {
    route: String,
    from: String,
    to: String,
    priority: u32,
    time_to_live_secs: Option<u64>,
    durability: Option<&'static str>,
    when_full: Option<&'static str>,
}

/// Checks the file and prints what was found.
///
/// # Errors
/// When it cannot be read, or has faults: the faults are the data, the error says how many there are.
pub(super) fn execute(args: &DeployCheckArgs, output: &Output) -> anyhow::Result<ExitStatus> {
    let text =
        text_file::read(&args.file, FILE_SIZE_MAX_BYTES).map_err(TextFileError::into_failure)?;
    let folder = args.file.parent().unwrap_or(Path::new(""));
    let report = Report::of(args.file.display().to_string(), &text, folder);
    if output.is_json() {
        output.json(&report)?;
    } else {
        report.print(output)?;
    }
    match report.faults.len() {
        0 => Ok(ExitStatus::Ok),
        count => {
            let message = format!("`{}` has {}", report.file, human::count(count, "fault"));
            Err(Failure::new(ExitStatus::BadConfig, message).into())
        }
    }
}

impl Report {
    fn of(file: String, text: &str, folder: &Path) -> Self {
        let empty = |valid| Self {
            file,
            valid,
            faults: Vec::new(),
            warnings: Vec::new(),
            modules: Vec::new(),
            routes: Vec::new(),
            memory: Budget::default(),
        };
        match Manifest::check(text, Origin::LocalFile) {
            Err(faults) => Self {
                faults: faults.0.into_iter().map(Finding::from).collect(),
                ..empty(false)
            },
            Ok(checked) => {
                let specs = checked.value.modules.values();
                let modules: Vec<ModuleLine> = specs
                    .map(|spec| ModuleLine::new(spec, needed_bytes(&spec.image, folder)))
                    .collect();
                Self {
                    warnings: checked.warnings.into_iter().map(Finding::from).collect(),
                    memory: Budget::of(&modules),
                    modules,
                    routes: checked.value.routes.iter().map(RouteLine::from).collect(),
                    ..empty(true)
                }
            }
        }
    }

    fn print(&self, output: &Output) -> Result<(), OutputError> {
        for fault in &self.faults {
            output.line(&fault.line_of(&self.file, None))?;
        }
        for warning in &self.warnings {
            output.line(&warning.line_of(&self.file, Some("warning: ")))?;
        }
        if !self.valid {
            return Ok(());
        }
        let counts = [
            human::count(self.modules.len(), "module"),
            human::count(self.routes.len(), "route"),
            human::count(self.warnings.len(), "warning"),
        ];
        output.line(&Text::new().plain(&format!("{}: valid, {}", self.file, counts.join(", "))))?;
        if !self.modules.is_empty() {
            output.line(&Text::new())?;
            output.table(&modules_table(&self.modules))?;
            output.line(&Text::new())?;
            output.line(&Text::new().plain(&self.memory.told()))?;
        }
        if !self.routes.is_empty() {
            output.line(&Text::new())?;
            output.table(&routes_table(&self.routes))?;
        }
        Ok(())
    }
}

impl Budget {
    fn of(modules: &[ModuleLine]) -> Self {
        let running = DesiredStatus::Running.as_str();
        let to_run = || modules.iter().filter(|line| line.desired_status == running);
        let sum = |sum: u64, bytes: u64| sum.saturating_add(bytes);
        Self {
            needed_bytes: to_run()
                .map(|line| line.needed_bytes)
                .try_fold(0, |all, bytes| Some(sum(all, bytes?))),
            may_take_bytes: to_run()
                .map(|line| sum(line.memory_limit_bytes, line.host_memory_limit_bytes))
                .fold(0, sum),
        }
    }

    fn told(&self) -> String {
        let may_take = human::size(self.may_take_bytes);
        match self.needed_bytes {
            Some(needed) => format!(
                "memory: {} needed at the start, {may_take} at most",
                human::size(needed)
            ),
            None => format!("memory: {may_take} at most"),
        }
    }
}

impl Finding {
    /// `FILE:line:col: path: problem; expected …`, as editors understand it.
    fn line_of(&self, file: &str, label: Option<&str>) -> Text {
        let mut place = file.to_owned();
        for number in [self.line, self.column].into_iter().flatten() {
            place.push_str(&format!(":{number}"));
        }
        let text = Text::new().styled(Style::Bold, &place).plain(": ");
        let text = match label {
            Some(label) => text.styled(Style::Yellow, label),
            None => text,
        };
        let text = text.plain(&self.path).plain(": ").plain(&self.problem);
        match self.expected.as_str() {
            "" => text,
            expected => text.plain("; expected ").plain(expected),
        }
    }
}

impl From<Fault> for Finding {
    fn from(fault: Fault) -> Self {
        let Fault {
            path,
            line,
            column,
            problem,
            expected,
        } = fault;
        Self {
            path,
            line,
            column,
            problem,
            expected,
        }
    }
}

impl From<Warning> for Finding {
    fn from(warning: Warning) -> Self {
        let Warning {
            path,
            line,
            column,
            problem,
        } = warning;
        Self {
            path,
            line: Some(line),
            column: Some(column),
            problem,
            expected: String::new(),
        }
    }
}

impl ModuleLine {
    fn new(spec: &ModuleSpec, needed_bytes: Option<u64>) -> Self {
        Self {
            module: spec.id.to_string(),
            version: spec.version.clone(),
            image: spec.image.to_string(),
            desired_status: spec.status.as_str(),
            startup_order: spec.startup_order,
            needed_bytes,
            memory_limit_bytes: spec.limits.memory_limit_bytes,
            host_memory_limit_bytes: spec.limits.host_memory_limit_bytes,
            grants: spec.grants.len(),
        }
    }
}

impl From<&Route> for RouteLine {
    fn from(route: &Route) -> Self {
        Self {
            route: route.name.to_string(),
            from: route.source.to_string(),
            to: match &route.sink {
                Sink::Upstream => "$upstream".to_owned(),
                Sink::Module { module, input } => format!("{module}/{input}"),
            },
            priority: route.priority,
            time_to_live_secs: route.time_to_live.map(|duration| duration.as_secs()),
            durability: route.durability.map(Durability::as_str),
            when_full: route.when_full.map(WhenFull::as_str),
        }
    }
}

/// What an image needs of memory at its start, where it is a file that is here and can run.
#[cfg(feature = "compiler")]
fn needed_bytes(image: &ImageReference, folder: &Path) -> Option<u64> {
    let ImageReference::File { .. } = image else {
        return None;
    };
    let image = ImageSource::new(folder).load(image, None).ok()?;
    let facts = CodeStore::inspect(&image).ok()?;
    Some(facts.memory_initial_bytes)
}

/// Without a compiler it is not known.
#[cfg(not(feature = "compiler"))]
fn needed_bytes(_image: &ImageReference, _folder: &Path) -> Option<u64> {
    None
}

fn modules_table(modules: &[ModuleLine]) -> Table {
    let mut table = Table::new(&[
        ("MODULE", Align::Left),
        ("DESIRED", Align::Left),
        ("ORDER", Align::Right),
        ("NEEDS", Align::Right),
        ("MEMORY", Align::Right),
        ("HOST", Align::Right),
        ("GRANTS", Align::Right),
        ("IMAGE", Align::Left),
    ]);
    for module in modules {
        let order = match module.startup_order {
            STARTUP_ORDER_DEFAULT => String::new(),
            order => order.to_string(),
        };
        table.row([
            module.module.clone(),
            module.desired_status.to_owned(),
            order,
            module.needed_bytes.map(human::size).unwrap_or_default(),
            human::size(module.memory_limit_bytes),
            human::size(module.host_memory_limit_bytes),
            module.grants.to_string(),
            module.image.clone(),
        ]);
    }
    table
}

fn routes_table(routes: &[RouteLine]) -> Table {
    let mut table = Table::new(&[
        ("ROUTE", Align::Left),
        ("FROM", Align::Left),
        ("TO", Align::Left),
    ]);
    for route in routes {
        table.row([route.route.clone(), route.from.clone(), route.to.clone()]);
    }
    table
}
