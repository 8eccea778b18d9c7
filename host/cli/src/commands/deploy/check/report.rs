//! What `deploy check` found, as it is printed: the JSON form, and lines and tables for people.

use serde::Serialize;
use wasm_edge_model::manifest::{Fault, Manifest, ModuleSpec, STARTUP_ORDER_DEFAULT, Warning};
use wasm_edge_model::route::{Durability, Route, Sink, WhenFull};

use super::budget::Budgeted;
use super::images::{At, AtHand};
use crate::output::table::{Align, Table};
use crate::output::text::{Style, Text};
use crate::output::{Output, OutputError, human};

/// What the check came to; the JSON output is this.
#[derive(Default, Serialize)]
pub(super) struct Report {
    pub(super) file: String,
    valid: bool,
    pub(super) faults: Vec<Finding>,
    warnings: Vec<Finding>,
    modules: Vec<ModuleLine>,
    routes: Vec<RouteLine>,
    memory: Memory,
    /// Why a device would refuse a manifest without faults.
    pub(super) refusals: Vec<String>,
}

/// What the modules that are to run take of memory together, and what is there for them.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Memory {
    /// At their start; none where that of a module is not known.
    needed_bytes: Option<u64>,
    may_take_bytes: u64,
    /// None without a limit, or without a configuration.
    policy_max_bytes: Option<u64>,
    /// None where it is not known which machine it is for.
    free_bytes: Option<u64>,
}

/// A fault or a warning at a place of the manifest.
#[derive(Serialize)]
pub(super) struct Finding {
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
    /// Where its image is at hand: `file`, `store` or `nowhere`; `unknown` where no store was looked at.
    image_at: &'static str,
    /// The digest of that.
    image_digest: Option<String>,
    /// None where the image is not at hand.
    needed_bytes: Option<u64>,
    /// Why not.
    problem: Option<String>,
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

impl Report {
    /// That of a manifest with faults.
    pub(super) fn of_faults(file: String, faults: Vec<Fault>) -> Self {
        Self {
            file,
            faults: faults.into_iter().map(Finding::from).collect(),
            ..Self::default()
        }
    }

    /// That of a manifest without.
    pub(super) fn of(
        file: String,
        manifest: &Manifest,
        warnings: Vec<Warning>,
        at_hand: &[AtHand],
        budgeted: Budgeted,
    ) -> Self {
        let modules = manifest.modules.values().zip(at_hand);
        Self {
            file,
            valid: true,
            faults: Vec::new(),
            warnings: warnings.into_iter().map(Finding::from).collect(),
            modules: modules
                .map(|(spec, image)| ModuleLine::new(spec, image))
                .collect(),
            routes: manifest.routes.iter().map(RouteLine::from).collect(),
            memory: Memory {
                needed_bytes: (budgeted.budget.others == 0).then(|| budgeted.budget.needed_bytes()),
                may_take_bytes: budgeted.budget.may_take_bytes,
                policy_max_bytes: budgeted.available.policy_max_bytes,
                free_bytes: budgeted.available.free_bytes,
            },
            refusals: budgeted.refusals,
        }
    }

    pub(super) fn print(&self, output: &Output) -> Result<(), OutputError> {
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
            for module in &self.modules {
                if let Some(problem) = &module.problem {
                    output.line(&Text::new().plain(&format!("{}: {problem}", module.module)))?;
                }
            }
        }
        if !self.routes.is_empty() {
            output.line(&Text::new())?;
            output.table(&routes_table(&self.routes))?;
        }
        if !self.refusals.is_empty() {
            output.line(&Text::new())?;
        }
        for refusal in &self.refusals {
            let text = Text::new().styled(Style::Red, "refused: ");
            output.line(&text.plain(refusal))?;
        }
        Ok(())
    }
}

impl Memory {
    fn told(&self) -> String {
        let may_take = human::size(self.may_take_bytes);
        let mut told = match self.needed_bytes {
            Some(needed) => format!(
                "memory: {} needed at the start, {may_take} at most",
                human::size(needed)
            ),
            None => format!("memory: {may_take} at most"),
        };
        if let Some(bytes) = self.policy_max_bytes {
            told.push_str(&format!(", {} by the policy", human::size(bytes)));
        }
        if let Some(bytes) = self.free_bytes {
            told.push_str(&format!(", {} free", human::size(bytes)));
        }
        told
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
    fn new(spec: &ModuleSpec, image: &AtHand) -> Self {
        Self {
            module: spec.id.to_string(),
            version: spec.version.clone(),
            image: spec.image.to_string(),
            desired_status: spec.status.as_str(),
            startup_order: spec.startup_order,
            image_at: match image.at {
                At::File => "file",
                At::Store => "store",
                At::Nowhere => "nowhere",
                At::Unknown => "unknown",
            },
            image_digest: image.digest.map(|digest| digest.to_string()),
            needed_bytes: image.needs.map(|needs| needs.most_bytes()),
            problem: image.problem.clone(),
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
