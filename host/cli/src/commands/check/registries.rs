//! The registries that images come from: they answer, and take the login that is configured.

use wasm_edge_images::registry::probe::Reception;

use super::facts::images::{Answer, Asked, Registries};
use super::verdict::{Grade, Verdict};
use crate::output::human;

/// Judges every registry that was asked.
pub(super) fn judge(registries: &Registries) -> Verdict {
    let asked = &registries.asked;
    if asked.is_empty() {
        return Verdict::skipped(
            "no registry is named by the configuration of the daemon, nor by modules that run",
        );
    }
    let count = human::count(asked.len(), "registry");
    let count = match asked.len() {
        1 => count,
        many => format!("{many} registries"),
    };
    let left_out = match registries.left_out {
        0 => String::new(),
        more => format!(", {more} more were not asked"),
    };
    let failed: Vec<(&Asked, &str)> = asked.iter().filter_map(failure).collect();
    let details = asked.iter().map(told);
    let Some((_, hint)) = failed.first() else {
        let does = if asked.len() == 1 {
            "answers"
        } else {
            "answer"
        };
        return Verdict::ok(format!("{count} {does}{left_out}")).details(details);
    };
    let summary = format!("{} of {count} cannot be used{left_out}", failed.len());
    // Without the configuration of the device it is not known how its registries are asked.
    match registries.is_configured {
        true => Verdict::new(Grade::Error, summary).hint(*hint),
        false => Verdict::new(Grade::Warning, summary)
            .hint("name the configuration of the device with `--config FILE`: it says how registries are asked"),
    }
    .details(details)
}

fn failure(asked: &Asked) -> Option<(&Asked, &str)> {
    match &asked.answer {
        Answer::Failed { hint, .. } => Some((asked, hint)),
        Answer::Registry(_) | Answer::Other => None,
    }
}

fn told(asked: &Asked) -> String {
    let host = &asked.host;
    match &asked.answer {
        Answer::Registry(Reception::Open) => format!("`{host}` wants no login"),
        Answer::Registry(Reception::LoggedIn) => format!("`{host}` takes the login"),
        Answer::Registry(Reception::WantsLogin) => {
            format!("`{host}` wants a login, and none is configured; a deployment may have one")
        }
        Answer::Other => format!("`{host}` answers, and is no registry itself"),
        Answer::Failed { problem, .. } => format!("`{host}`: {problem}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(host: &str, answer: Answer) -> Asked {
        Asked {
            host: host.to_owned(),
            answer,
        }
    }

    fn failed() -> Answer {
        Answer::Failed {
            problem: "it does not let `board` in".to_owned(),
            hint: "give user and password".to_owned(),
        }
    }

    fn check(answers: Vec<Answer>, is_configured: bool, grade: Grade, parts: &[&str]) {
        let named = answers.into_iter().enumerate();
        let registries = Registries {
            is_configured,
            left_out: 0,
            asked: named
                .map(|(n, answer)| asked(&format!("r{n}.org"), answer))
                .collect(),
        };
        judge(&registries).assert(grade, parts);
    }

    #[test]
    fn registries_answer_and_take_the_login() {
        check(vec![], true, Grade::Skipped, &["no registry is named"]);
        let all = || {
            vec![
                Answer::Registry(Reception::Open),
                Answer::Registry(Reception::LoggedIn),
                Answer::Registry(Reception::WantsLogin),
                Answer::Other,
            ]
        };
        let parts = [
            "4 registries answer",
            "`r0.org` wants no login",
            "`r1.org` takes the login",
            "`r2.org` wants a login",
            "`r3.org` answers, and is no registry",
        ];
        check(all(), true, Grade::Ok, &parts);
        let one = vec![Answer::Registry(Reception::Open)];
        check(one, true, Grade::Ok, &["1 registry answers"]);
        let mut some = all();
        some.push(failed());
        let parts = [
            "1 of 5 registries cannot be used",
            "`r4.org`: it does not let `board` in",
            "give user",
        ];
        check(some, true, Grade::Error, &parts);
        check(
            vec![failed()],
            false,
            Grade::Warning,
            &["1 of 1 registry", "--config FILE"],
        );
    }
}
