//! The certificates that the daemon's configuration names: how long they are good.
//!
//! The device is refused once one of its own has ended. Of those that the hub is trusted by, one that ends may not be
//! the hub's, and a newer one may stand beside it: only when all have ended none can be left.

use jiff::Timestamp;

use super::facts::service::{CertificateFile, Role, Service};
use super::service::with_hub;
use super::verdict::{Grade, Verdict};
use crate::output::human;

/// How many days before a certificate ends a warning begins: time to have another one signed, and to bring it to a
/// device that somebody may have to travel to.
const WARNING_DAYS: i64 = 30;

const DAY_SECS: i64 = 86_400;

/// How a certificate stands, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    /// So many days ago.
    Ended(i64),
    NotYetGood,
    /// What it says of its time is not understood.
    Unknown,
    /// For so many days.
    Good(i64),
}

/// Judges the certificates.
pub(super) fn judge(service: &Service, now: Timestamp) -> Verdict {
    with_hub(service, |hub| {
        let judged = hub.certificates.iter().map(|file| look(file, now));
        let judged: Vec<_> = judged.collect();
        let Some(worst) = judged.iter().map(|(grade, _)| *grade).max() else {
            return Verdict::skipped("the configuration names no certificates");
        };
        let (summary, hint) = match worst {
            Grade::Error => (
                "a certificate has ended, or is not good yet",
                Some(
                    "put one that is good in its place and restart the daemon; if it is good, look at the clock",
                ),
            ),
            Grade::Warning => (
                "a certificate ends soon, or is not needed any more",
                Some("have another one signed, put it in its place and restart the daemon"),
            ),
            Grade::Ok | Grade::Skipped => ("all certificates are good", None),
        };
        let verdict = Verdict::new(worst, summary).details(judged.into_iter().map(|it| it.1));
        match hint {
            Some(hint) => verdict.hint(hint),
            None => verdict,
        }
    })
}

/// How good a file is, and a line about the certificate in it that matters most.
fn look(file: &CertificateFile, now: Timestamp) -> (Grade, String) {
    let standings = file.validities.iter().map(|validity| {
        let Some(validity) = validity else {
            return Standing::Unknown;
        };
        let left_secs = validity.not_after.as_jiff().as_second() - now.as_second();
        match left_secs {
            ..0 => Standing::Ended(-left_secs / DAY_SECS),
            _ if validity.not_before.as_jiff() > now => Standing::NotYetGood,
            _ => Standing::Good(left_secs / DAY_SECS),
        }
    });
    let standings: Vec<_> = standings.collect();
    let worst = standings.iter().enumerate().min_by_key(|(_, it)| **it);
    let Some((place, worst)) = worst else {
        return (Grade::Error, format!("`{}` is empty", file.path.display()));
    };
    let is_good = |it: &Standing| matches!(it, Standing::Good(_) | Standing::Unknown);
    let grade = match (file.role, worst) {
        (_, Standing::Good(days)) if *days >= WARNING_DAYS => Grade::Ok,
        (_, Standing::Good(_) | Standing::Unknown) => Grade::Warning,
        (Role::Authority, _) if standings.iter().any(is_good) => Grade::Warning,
        _ => Grade::Error,
    };
    let what = match file.role {
        Role::Device => "the device's certificate",
        Role::Authority => "what the hub is trusted by",
    };
    let days = |days: i64| human::count(usize::try_from(days).unwrap_or_default(), "day");
    let stands = match worst {
        Standing::Ended(ago) => format!("ended {} ago", days(*ago)),
        Standing::NotYetGood => "is not good yet".to_owned(),
        Standing::Unknown => "does not say how long it is good".to_owned(),
        Standing::Good(left) => format!("is good for {}", days(*left)),
    };
    let which = match standings.len() {
        1 => String::new(),
        count => format!("number {} of {count} ", place + 1),
    };
    let path = file.path.display();
    (grade, format!("`{path}`, {what}: {which}{stands}"))
}

#[cfg(test)]
mod tests {
    use wasm_edge_net::trust::validity::Validity;

    use super::super::service::tests::hub;
    use super::*;

    const NOW: &str = "2026-06-01T00:00:00Z";

    fn check(files: &[(Role, &[(&str, &str)])], grade: Grade, parts: &[&str]) {
        let mut hub = hub();
        let files = files.iter().map(|(role, validities)| {
            let validities = validities.iter().map(|(from, to)| {
                Some(Validity {
                    not_before: from.parse().ok()?,
                    not_after: to.parse().ok()?,
                })
            });
            CertificateFile {
                path: "/etc/it.pem".into(),
                role: *role,
                validities: validities.collect(),
            }
        });
        hub.certificates = files.collect();
        let verdict = judge(&Service::OfHub(Box::new(hub)), NOW.parse().unwrap());
        verdict.assert(grade, parts);
    }

    const LONG: (&str, &str) = ("2020-01-01T00:00:00Z", "2036-06-01T00:00:00Z");
    const MONTH: (&str, &str) = ("2020-01-01T00:00:00Z", "2026-07-01T00:00:00Z");
    const SOON: (&str, &str) = ("2020-01-01T00:00:00Z", "2026-06-30T23:59:59Z");
    const LAST_DAY: (&str, &str) = ("2020-01-01T00:00:00Z", "2026-06-01T00:00:00Z");
    const ENDED: (&str, &str) = ("2020-01-01T00:00:00Z", "2026-05-30T23:59:59Z");
    const LATER: (&str, &str) = ("2026-06-01T00:00:01Z", "2036-06-01T00:00:00Z");
    const STRANGE: (&str, &str) = ("", "");

    #[test]
    fn a_certificate_of_the_device_is_good_for_a_month_ends_soon_or_has_ended() {
        let check = |validity, grade, part: &str| {
            check(&[(Role::Device, &[validity])], grade, &[part]);
        };
        check(
            LONG,
            Grade::Ok,
            "`/etc/it.pem`, the device's certificate: is good for 3653 days",
        );
        check(MONTH, Grade::Ok, "is good for 30 days");
        check(SOON, Grade::Warning, "is good for 29 days");
        check(LAST_DAY, Grade::Warning, "is good for 0 days");
        check(ENDED, Grade::Error, "ended 1 day ago");
        check(LATER, Grade::Error, "is not good yet");
        check(STRANGE, Grade::Warning, "does not say");
    }

    #[test]
    fn one_of_a_chain_ends_for_all_and_one_of_many_authorities_for_itself() {
        check(
            &[(Role::Device, &[LONG, ENDED])],
            Grade::Error,
            &["number 2 of 2 ended"],
        );
        check(
            &[(Role::Authority, &[LONG, ENDED])],
            Grade::Warning,
            &["number 2 of 2 ended"],
        );
        check(
            &[(Role::Authority, &[ENDED, ENDED])],
            Grade::Error,
            &["number 1 of 2 ended"],
        );
        check(
            &[(Role::Authority, &[ENDED, SOON, LATER])],
            Grade::Warning,
            &["number 1 of 3"],
        );
        check(
            &[(Role::Authority, &[SOON, LONG])],
            Grade::Warning,
            &["number 1 of 2 is good for 29"],
        );
    }

    #[test]
    fn the_worst_file_counts_and_all_are_told() {
        let parts = [
            "is good for 3653 days",
            "ended 1 day ago",
            "restart the daemon",
        ];
        let files: [(Role, &[_]); 2] = [(Role::Device, &[ENDED]), (Role::Authority, &[LONG])];
        check(&files, Grade::Error, &parts);
        check(&[], Grade::Skipped, &["names no certificates"]);
        assert_eq!(
            judge(&Service::None, NOW.parse().unwrap()).grade,
            Grade::Skipped
        );
    }
}
