//! `deploy check`: reads a deployment manifest as a device would, and prints every fault.

use serde::Serialize;
use wasm_edge_model::manifest::{
    Fault, Manifest, ModuleSpec, Origin, STARTUP_ORDER_DEFAULT, Warning,
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
    memory_limit_bytes: u64,
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
    let report = Report::of(args.file.display().to_string(), &text);
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
    fn of(file: String, text: &str) -> Self {
        let empty = |valid| Self {
            file,
            valid,
            faults: Vec::new(),
            warnings: Vec::new(),
            modules: Vec::new(),
            routes: Vec::new(),
        };
        match Manifest::check(text, Origin::LocalFile) {
            Err(faults) => Self {
                faults: faults.0.into_iter().map(Finding::from).collect(),
                ..empty(false)
            },
            Ok(checked) => Self {
                warnings: checked.warnings.into_iter().map(Finding::from).collect(),
                modules: checked
                    .value
                    .modules
                    .values()
                    .map(ModuleLine::from)
                    .collect(),
                routes: checked.value.routes.iter().map(RouteLine::from).collect(),
                ..empty(true)
            },
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
        }
        if !self.routes.is_empty() {
            output.line(&Text::new())?;
            output.table(&routes_table(&self.routes))?;
        }
        Ok(())
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

impl From<&ModuleSpec> for ModuleLine {
    fn from(spec: &ModuleSpec) -> Self {
        Self {
            module: spec.id.to_string(),
            version: spec.version.clone(),
            image: spec.image.to_string(),
            desired_status: spec.status.as_str(),
            startup_order: spec.startup_order,
            memory_limit_bytes: spec.limits.memory_limit_bytes,
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

fn modules_table(modules: &[ModuleLine]) -> Table {
    let mut table = Table::new(&[
        ("MODULE", Align::Left),
        ("DESIRED", Align::Left),
        ("ORDER", Align::Right),
        ("MEMORY", Align::Right),
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
            human::size(module.memory_limit_bytes),
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
