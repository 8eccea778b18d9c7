//! The memory contract of a deployment: what its modules need at their start, what they may take, and whether that is
//! there. Pure.
//!
//! What all *may take* has to fit into the policy of the device. What those *need* that are to be started has to be
//! free, with what is given back by those that stop before; a module that needs more than its own limit cannot start at
//! all. That all may take more than is free is a warning: few modules take all that they may, and who wants it sure sets
//! the policy.

use wasm_edge_model::identity::ModuleId;
use wasm_edge_model::manifest::Limits;
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

    /// What it may take in all.
    pub fn may_take_bytes(&self) -> u64 {
        self.limit_bytes.saturating_add(self.host_limit_bytes)
    }
}

/// What all may take in bytes.
pub fn may_take_bytes<'a>(limits: impl IntoIterator<Item = &'a Limits>) -> u64 {
    let limits = limits.into_iter();
    limits
        .map(|limits| {
            limits
                .memory_limit_bytes
                .saturating_add(limits.host_memory_limit_bytes)
        })
        .fold(0, u64::saturating_add)
}

/// Whether modules fit: all that is wrong. `asked_bytes` is what all of the deployment may take, `starting` are those
/// that are to be started.
pub fn faults(
    asked_bytes: u64,
    starting: &[ModuleMemory],
    available: MemoryAvailable,
) -> Vec<MemoryFault> {
    // With several memories only the largest one is known to be there at once.
    let own = starting
        .iter()
        .filter(|module| module.largest_bytes > module.limit_bytes)
        .map(|module| MemoryFault::Own {
            module: module.module.clone(),
            needed_bytes: module.largest_bytes,
            limit_bytes: module.limit_bytes,
        });
    let policy = available
        .policy_max_bytes
        .filter(|max_bytes| asked_bytes > *max_bytes)
        .map(|max_bytes| MemoryFault::Policy {
            asked_bytes,
            max_bytes,
        });
    let needed_bytes = needed_bytes(starting);
    let free = available
        .free_bytes
        .filter(|free_bytes| needed_bytes > *free_bytes)
        .map(|free_bytes| MemoryFault::Free {
            needed_bytes,
            free_bytes,
        });
    own.chain(policy).chain(free).collect()
}

/// What modules need at their start, in bytes.
pub fn needed_bytes(modules: &[ModuleMemory]) -> u64 {
    let needed = modules.iter().map(|module| module.needed_bytes);
    needed.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
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

    fn check(starting: &[ModuleMemory], policy: Option<u64>, free: Option<u64>, expected: &[&str]) {
        let asked_bytes = starting.iter().map(ModuleMemory::may_take_bytes).sum();
        let available = MemoryAvailable {
            policy_max_bytes: policy,
            free_bytes: free,
        };
        let told = faults(asked_bytes, starting, available);
        let told: Vec<String> = told.iter().map(ToString::to_string).collect();
        assert_eq!(told, expected);
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
        assert_eq!(
            needed_bytes(&[modules[0].clone(), modules[0].clone()]),
            u64::MAX
        );
        assert_eq!(modules[0].may_take_bytes(), u64::MAX);
    }
}
