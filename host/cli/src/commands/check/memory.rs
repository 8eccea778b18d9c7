//! Free memory, against what all modules together may still take by their limits.

use wasm_edge_daemon::free_memory::FreeMemory;

use super::facts::Device;
use super::verdict::Verdict;
use crate::output::human;

/// Below this the system is about to end processes.
const AVAILABLE_MIN_BYTES: u64 = 16 << 20;
/// What a device takes at its start, most of it while it compiles.
const START_BYTES: u64 = 64 << 20;

/// Judges the memory.
pub(super) fn judge(memory: Option<FreeMemory>, device: &Device) -> Verdict {
    let Some(memory) = memory else {
        return Verdict::skipped("the system does not tell how much memory is free");
    };
    let available = human::size(memory.available_bytes);
    let of = match memory.is_limited {
        true => " of what this group of processes may take",
        false => "",
    };
    if memory.available_bytes < AVAILABLE_MIN_BYTES {
        return Verdict::error(format!("{available} are free{of}"))
            .hint("stop what is not needed, or give the machine more memory");
    }
    let Some(modules) = device.modules() else {
        return match memory.available_bytes < START_BYTES {
            true => Verdict::warning(format!(
                "{available} are free{of}, a device takes up to {} at its start",
                human::size(START_BYTES)
            ))
            .hint("stop what is not needed before a device is started"),
            false => Verdict::ok(format!("{available} are free{of}")),
        };
    };
    let running = || modules.iter().filter(|module| module.is_to_run());
    let may_take: u64 = running()
        .map(|it| it.memory_limit_bytes.saturating_sub(it.memory_bytes))
        .sum();
    let summary = format!(
        "{available} are free{of}, and {} may take {} more",
        human::count(running().count(), "module"),
        human::size(may_take)
    );
    if may_take <= memory.available_bytes {
        return Verdict::ok(summary);
    }
    let details = running().map(|it| {
        format!(
            "`{}` takes {} of {}",
            it.module,
            human::size(it.memory_bytes),
            human::size(it.memory_limit_bytes)
        )
    });
    Verdict::warning(summary).details(details).hint(
        "lower the modules' `memoryLimitBytes` in the manifest, or give the machine more memory",
    )
}

#[cfg(test)]
mod tests {
    use super::super::facts::tests::{answers_with, module};
    use super::super::verdict::Grade;
    use super::*;

    fn check(available_bytes: u64, device: &Device, grade: Grade, part: &str) {
        let memory = FreeMemory {
            available_bytes,
            is_limited: false,
        };
        let verdict = judge(Some(memory), device);
        assert_eq!(verdict.grade, grade, "{verdict:?}");
        assert!(format!("{verdict:?}").contains(part), "{verdict:?}");
    }

    #[test]
    fn the_limits_of_all_modules_fit() {
        let mut modules = vec![module("a"), module("b"), module("c")];
        for module in &mut modules {
            (module.memory_bytes, module.memory_limit_bytes) = (1 << 20, 33 << 20);
        }
        modules[2].desired_status = "stopped".to_owned();
        let device = answers_with(modules);
        check(
            64 << 20,
            &device,
            Grade::Ok,
            "2 modules may take 64.0 MiB more",
        );
        check(
            63 << 20,
            &device,
            Grade::Warning,
            "`a` takes 1.00 MiB of 33.0 MiB",
        );
        check(15 << 20, &device, Grade::Error, "15.0 MiB are free");
    }

    #[test]
    fn without_a_device_its_start_has_to_fit() {
        check(64 << 20, &Device::None, Grade::Ok, "64.0 MiB");
        check(63 << 20, &Device::None, Grade::Warning, "at its start");
        assert_eq!(judge(None, &Device::None).grade, Grade::Skipped);
        let limited = FreeMemory {
            available_bytes: 64 << 20,
            is_limited: true,
        };
        assert!(
            judge(Some(limited), &Device::None)
                .summary
                .contains("this group")
        );
    }
}
