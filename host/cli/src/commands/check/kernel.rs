//! What a device needs of the kernel.

use super::facts::Kernel;
use super::verdict::Verdict;

/// The first release with all that is used (`memfd_create`, sealed and mapped for each instance).
const RELEASE_MIN: (u32, u32) = (3, 17);
/// Below this many mappings a hundred instances do not fit.
const MAPPINGS_LOW: u64 = 8192;
/// `vm.overcommit_memory` where the system counts what is reserved as if it were used.
const OVERCOMMIT_NEVER: u64 = 2;

/// Judges the kernel's settings.
pub(super) fn judge(kernel: &Kernel) -> Verdict {
    if !kernel.has_proc {
        return Verdict::error("`/proc` is not mounted")
            .hint("mount it: sockets and module folders are opened through `/proc/self/fd`");
    }
    let release = &kernel.release;
    if version(release).is_some_and(|version| version < RELEASE_MIN) {
        let (major, minor) = RELEASE_MIN;
        return Verdict::error(format!("the release is {release}"))
            .hint(format!("a device needs Linux {major}.{minor} or newer"));
    }
    if kernel.overcommit == Some(OVERCOMMIT_NEVER) {
        return Verdict::warning(
            "`vm.overcommit_memory` is 2, which counts what is reserved as used",
        )
        .hint("set it to 0 or 1, or give the machine swap space");
    }
    if let Some(mappings) = kernel
        .mappings_max
        .filter(|mappings| *mappings < MAPPINGS_LOW)
    {
        return Verdict::warning(format!("`vm.max_map_count` is {mappings}")).hint(format!(
            "set it to {MAPPINGS_LOW} or more where many modules run"
        ));
    }
    Verdict::ok(format!("Linux {release} on {}", kernel.machine))
}

/// The first two numbers of a release such as `6.18.44-fc`.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::super::verdict::Grade;
    use super::*;

    fn check(change: impl FnOnce(&mut Kernel), grade: Grade, part: &str) {
        let mut kernel = Kernel {
            release: "6.1.0-18-amd64".to_owned(),
            machine: "x86_64".to_owned(),
            has_proc: true,
            overcommit: Some(0),
            mappings_max: Some(65530),
        };
        change(&mut kernel);
        let verdict = judge(&kernel);
        assert_eq!(verdict.grade, grade, "{verdict:?}");
        assert!(verdict.summary.contains(part), "{verdict:?}");
    }

    #[test]
    fn the_kernel_lets_a_device_run() {
        check(|_| {}, Grade::Ok, "Linux 6.1.0-18-amd64 on x86_64");
        check(|it| it.release = "3.17.1".to_owned(), Grade::Ok, "3.17.1");
        check(
            |it| it.release = "3.10.0-1160".to_owned(),
            Grade::Error,
            "3.10.0",
        );
        check(|it| it.release = "odd".to_owned(), Grade::Ok, "odd");
        check(|it| it.has_proc = false, Grade::Error, "/proc");
        check(|it| it.overcommit = Some(2), Grade::Warning, "overcommit");
        check(|it| it.mappings_max = Some(100), Grade::Warning, "is 100");
    }
}
