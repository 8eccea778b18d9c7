//! The memory contract of a deployment: what its modules need at their start, what they may take, and whether that is
//! there. Pure.
//!
//! What all *may take* has to fit into the policy of the device. What those *need* that are to be started has to be
//! free, with what is given back by those that stop before; a module that needs more than its own limit cannot start at
//! all. That all may take more than is free is a warning: few modules take all that they may, and who wants it sure sets
//! the policy. The agent asks before it touches anything, and `deploy check` before there is a device.

use wasm_edge_model::identity::ModuleId;
use wasm_edge_model::manifest::{DesiredStatus, Limits, ModuleSpec};
use wasm_edge_runtime::precompiled::MemoryNeeds;

/// What a module needs and may take, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleMemory {
    /// The module.
    pub module: ModuleId,
    /// What its memories take at its start at most; exact with one memory.
    pub needed_bytes: u64,
    /// The largest of its memories at its start.
    pub largest_bytes: u64,
    /// What its memories and tables may take.
    pub limit_bytes: u64,
    /// What the host may hold for it beside.
    pub host_limit_bytes: u64,
}

/// What the modules of a deployment that are to run need and may take together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// Those that are to be started, as far as their needs are known.
    pub starting: Vec<ModuleMemory>,
    /// How many others are to run.
    pub others: usize,
    /// What all of them may take, in bytes.
    pub may_take_bytes: u64,
}

/// What is there for modules, in bytes; none where it is not known or not limited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryAvailable {
    /// What all may take by the policy of the device.
    pub policy_max_bytes: Option<u64>,
    /// What is free, with what those give back that stop before.
    pub free_bytes: Option<u64>,
}

/// Why modules do not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemoryFault {
    /// A module cannot start within its own limit.
    #[error(
        "the module `{module}` needs {needed_bytes} bytes of memory at its start, and its limit is {limit_bytes}"
    )]
    Own {
        /// The module.
        module: ModuleId,
        /// What it needs.
        needed_bytes: u64,
        /// `memoryLimitBytes`.
        limit_bytes: u64,
    },
    /// All together may take more than the policy allows.
    #[error(
        "the modules may take {asked_bytes} bytes of memory, and the policy of the device has {max_bytes} for them"
    )]
    Policy {
        /// What all may take.
        asked_bytes: u64,
        /// What is there.
        max_bytes: u64,
    },
    /// Those that are to be started need more than is free.
    #[error(
        "the modules that are to be started need {needed_bytes} bytes of memory, and {free_bytes} are free"
    )]
    Free {
        /// What they need.
        needed_bytes: u64,
        /// What is there.
        free_bytes: u64,
    },
}

impl ModuleMemory {
    /// What a module with this code and these limits needs and may take.
    pub fn new(module: ModuleId, needs: MemoryNeeds, limits: &Limits) -> Self {
        Self {
            module,
            needed_bytes: needs.most_bytes(),
            largest_bytes: needs.largest_bytes,
            limit_bytes: limits.memory_limit_bytes,
            host_limit_bytes: limits.host_memory_limit_bytes,
        }
    }
}

impl Budget {
    /// The budget of these modules; those that are not to run take nothing. `needs` says what the code of a module needs,
    /// where that is known and matters: what runs already has what it needs.
    pub fn of<'a>(
        specs: impl IntoIterator<Item = &'a ModuleSpec>,
        needs: impl Fn(&ModuleId) -> Option<MemoryNeeds>,
    ) -> Self {
        let mut budget = Self::default();
        let to_run = |spec: &&ModuleSpec| spec.status == DesiredStatus::Running;
        for spec in specs.into_iter().filter(to_run) {
            let may_take_bytes = may_take_bytes(&spec.limits);
            budget.may_take_bytes = budget.may_take_bytes.saturating_add(may_take_bytes);
            match needs(&spec.id) {
                Some(needs) => {
                    let memory = ModuleMemory::new(spec.id.clone(), needs, &spec.limits);
                    budget.starting.push(memory);
                }
                None => budget.others += 1,
            }
        }
        budget
    }

    /// What those that are to be started need, in bytes.
    pub fn needed_bytes(&self) -> u64 {
        let needed = self.starting.iter().map(|module| module.needed_bytes);
        needed.fold(0, u64::saturating_add)
    }

    /// Whether the modules fit: all that is wrong.
    pub fn faults(&self, available: MemoryAvailable) -> Vec<MemoryFault> {
        // With several memories only the largest one is known to be there at once.
        let own = self
            .starting
            .iter()
            .filter(|module| module.largest_bytes > module.limit_bytes)
            .map(|module| MemoryFault::Own {
                module: module.module.clone(),
                needed_bytes: module.largest_bytes,
                limit_bytes: module.limit_bytes,
            });
        let asked_bytes = self.may_take_bytes;
        let policy = available
            .policy_max_bytes
            .filter(|max_bytes| asked_bytes > *max_bytes)
            .map(|max_bytes| MemoryFault::Policy {
                asked_bytes,
                max_bytes,
            });
        let needed_bytes = self.needed_bytes();
        let free = available
            .free_bytes
            .filter(|free_bytes| needed_bytes > *free_bytes)
            .map(|free_bytes| MemoryFault::Free {
                needed_bytes,
                free_bytes,
            });
        own.chain(policy).chain(free).collect()
    }
}

/// What a module with these limits may take in all.
fn may_take_bytes(limits: &Limits) -> u64 {
    limits
        .memory_limit_bytes
        .saturating_add(limits.host_memory_limit_bytes)
}

#[cfg(test)]
mod tests {
    use wasm_edge_model::manifest::{Manifest, Origin};

    use super::*;

    const MIB: u64 = 1 << 20;

    /// A module with so many memories of so many bytes, and this limit.
    fn module(name: &str, memories: u32, largest_bytes: u64, limit_bytes: u64) -> ModuleMemory {
        let needs = MemoryNeeds {
            memories,
            largest_bytes,
        };
        let limits = Limits {
            memory_limit_bytes: limit_bytes,
            host_memory_limit_bytes: MIB,
            ..Limits::default()
        };
        ModuleMemory::new(ModuleId::new(name).unwrap(), needs, &limits)
    }

    /// The budget of modules that are all to be started.
    fn budget(starting: &[ModuleMemory]) -> Budget {
        let may_take =
            |module: &ModuleMemory| module.limit_bytes.saturating_add(module.host_limit_bytes);
        Budget {
            starting: starting.to_vec(),
            others: 0,
            may_take_bytes: starting.iter().map(may_take).fold(0, u64::saturating_add),
        }
    }

    fn check(starting: &[ModuleMemory], policy: Option<u64>, free: Option<u64>, expected: &[&str]) {
        let available = MemoryAvailable {
            policy_max_bytes: policy,
            free_bytes: free,
        };
        let told = budget(starting).faults(available);
        let told: Vec<String> = told.iter().map(ToString::to_string).collect();
        assert_eq!(told, expected);
    }

    #[test]
    fn what_is_to_run_is_added_up_and_what_is_stopped_is_not() {
        let text = |name: &str, status: &str| {
            let settings = r#""settings": { "wasm": { "memoryLimitBytes": 2097152, "hostMemoryLimitBytes": 1048576 }, "image": "file:a.wasm" }"#;
            format!(
                r#""{name}": {{ "type": "wasm", "status": "{status}", "restartPolicy": "always", {settings} }}"#
            )
        };
        let modules = [
            text("a", "running"),
            text("b", "stopped"),
            text("c", "running"),
        ];
        let manifest = format!(
            r#"{{ "modulesContent": {{ "$edgeAgent": {{ "properties.desired": {{ "schemaVersion": "1.1",
            "runtime": {{ "type": "docker", "settings": {{}} }}, "modules": {{ {} }} }} }},
            "$edgeHub": {{ "properties.desired": {{ "schemaVersion": "1.1", "routes": {{}} }} }} }} }}"#,
            modules.join(",")
        );
        let manifest = Manifest::check(&manifest, Origin::LocalFile);
        let manifest = manifest.unwrap_or_else(|faults| panic!("{faults:?}")).value;
        let needs = MemoryNeeds {
            memories: 1,
            largest_bytes: MIB,
        };
        let of = |known: &[&str]| {
            let needs = |id: &ModuleId| known.contains(&id.as_str()).then_some(needs);
            let budget = Budget::of(manifest.modules.values(), needs);
            (budget.needed_bytes(), budget.others, budget.may_take_bytes)
        };
        assert_eq!(of(&["a", "b", "c"]), (2 * MIB, 0, 6 * MIB));
        assert_eq!(of(&["b", "c"]), (MIB, 1, 6 * MIB));
        assert_eq!(of(&[]), (0, 2, 6 * MIB));
    }

    #[test]
    fn what_fits_is_taken_to_the_byte() {
        let modules = [module("a", 1, MIB, 16 * MIB), module("b", 2, MIB, 16 * MIB)];
        check(&modules, None, None, &[]);
        check(&modules, Some(34 * MIB), Some(3 * MIB), &[]);
        check(&[], Some(0), Some(0), &[]);
    }

    #[test]
    fn all_that_does_not_fit_is_told_together() {
        let modules = [module("a", 1, 2 * MIB, MIB), module("b", 2, MIB, 16 * MIB)];
        check(
            &modules,
            Some(19 * MIB - 1),
            Some(4 * MIB - 1),
            &[
                "the module `a` needs 2097152 bytes of memory at its start, and its limit is 1048576",
                "the modules may take 19922944 bytes of memory, and the policy of the device has 19922943 for them",
                "the modules that are to be started need 4194304 bytes of memory, and 4194303 are free",
            ],
        );
    }

    #[test]
    fn several_memories_are_refused_for_the_largest_alone() {
        check(&[module("a", 3, MIB, 2 * MIB)], None, None, &[]);
        check(
            &[module("a", 3, MIB + 65_536, MIB)],
            None,
            None,
            &[
                "the module `a` needs 1114112 bytes of memory at its start, and its limit is 1048576",
            ],
        );
    }

    #[test]
    fn sizes_beyond_all_bounds_do_not_wrap() {
        let modules = [module("a", u32::MAX, u64::MAX, u64::MAX)];
        let budget = budget(&[modules[0].clone(), modules[0].clone()]);
        assert_eq!(budget.needed_bytes(), u64::MAX);
        assert_eq!(budget.may_take_bytes, u64::MAX);
    }
}
