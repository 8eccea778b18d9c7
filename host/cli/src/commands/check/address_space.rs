//! The limit of the address space (`ulimit -v`): the engine reserves more of it than it uses.

use wasm_edge_daemon::code::INSTANCE_RESERVATION_BYTES;

use super::facts::{Device, Limits};
use super::verdict::Verdict;
use crate::output::human;

/// What a device reserves without modules: threads with their heaps, the binary, room for the compiler.
const PROCESS_RESERVATION_BYTES: u64 = 384 << 20;

/// Judges the limit.
pub(super) fn judge(limits: &Limits, device: &Device) -> Verdict {
    let Some(limit) = limits.address_space_bytes else {
        return Verdict::ok("the address space is not limited");
    };
    let modules: Vec<_> = device
        .modules()
        .unwrap_or_default()
        .iter()
        .filter(|it| it.is_to_run())
        .collect();
    let reserved = PROCESS_RESERVATION_BYTES + modules.len() as u64 * INSTANCE_RESERVATION_BYTES;
    // A memory beyond its reservation is moved, and for that moment both places are taken.
    let grown: u64 = modules
        .iter()
        .map(|it| it.memory_limit_bytes.saturating_mul(2))
        .sum();
    let of = match modules.len() {
        0 => "a device".to_owned(),
        count => format!("a device with {}", human::count(count, "module")),
    };
    let hint = "raise it: `ulimit -v unlimited` in a shell, `LimitAS=infinity` in a systemd unit";
    let shown = human::size(limit);
    if limit < reserved {
        let summary = format!(
            "the limit is {shown}, and {of} reserves up to {}",
            human::size(reserved)
        );
        return Verdict::error(summary).hint(hint);
    }
    if limit < reserved.saturating_add(grown) {
        let summary = format!(
            "the limit is {shown}, and modules at their memory limits may need {}",
            human::size(reserved + grown)
        );
        return Verdict::warning(summary).hint(hint);
    }
    Verdict::ok(format!(
        "the limit is {shown}, and {of} reserves up to {}",
        human::size(reserved)
    ))
}

#[cfg(test)]
mod tests {
    use super::super::facts::tests::{answers_with, module};
    use super::super::verdict::Grade;
    use super::*;

    fn check(limit_mib: Option<u64>, device: &Device, grade: Grade, part: &str) {
        let limits = Limits {
            address_space_bytes: limit_mib.map(|mib| mib << 20),
            open_files: None,
        };
        let verdict = judge(&limits, device);
        assert_eq!(verdict.grade, grade, "{verdict:?}");
        assert!(verdict.summary.contains(part), "{verdict:?}");
    }

    #[test]
    fn the_engine_can_reserve_what_it_needs() {
        check(None, &Device::None, Grade::Ok, "not limited");
        check(
            Some(1024),
            &Device::None,
            Grade::Ok,
            "1.00 GiB, and a device reserves up to 384 MiB",
        );
        check(Some(300), &Device::None, Grade::Error, "300 MiB");
        let mut modules: Vec<_> = (0..50).map(|_| module("m")).collect();
        for module in &mut modules {
            module.memory_limit_bytes = 16 << 20;
        }
        let device = answers_with(modules);
        check(Some(500), &device, Grade::Error, "a device with 50 modules");
        check(
            Some(1024),
            &device,
            Grade::Warning,
            "at their memory limits",
        );
        check(Some(4096), &device, Grade::Ok, "4.00 GiB");
    }
}
