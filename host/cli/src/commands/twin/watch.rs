//! `twin watch`: a twin now, and then what changes in it.

use jiff::Timestamp;
use serde_json::{Map, Value};
use wasm_edge_model::twin::diff;

use super::{Owner, TwinView, with_owner};
use crate::args::{GlobalArgs, TwinWatchArgs};
use crate::commands::running::{Running, note_end, print_each};
use crate::exit_codes::ExitStatus;
use crate::output::text::{Style, Text};
use crate::output::{Output, human};

/// The sections in the order in which they are printed.
const SECTIONS: [&str; 3] = ["tags", "desired", "reported"];

/// Prints the twin at each change until the device ends.
pub(super) async fn execute(
    args: TwinWatchArgs,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let running = Running::find_hub(global, &args.far).await?;
    let owner = Owner::find(&running, args.device.as_ref(), args.module)?;
    let lines = running
        .stream(&owner.changes())
        .await
        .map_err(|err| owner.hint(err))?;
    if output.is_json() {
        print_each(lines, output, |twin: Value| {
            output.json_line(&owner.without_secrets(twin))
        })
        .await?;
    } else {
        let mut watched = Watched::default();
        print_each(lines, output, |twin: Value| {
            let twin = owner.without_secrets(twin);
            let time = human::time_of_day(Timestamp::now());
            watched
                .changes(&TwinView(&twin))
                .into_iter()
                .try_for_each(|change| {
                    let text = Text::new().styled(Style::Dim, &time).plain(" ");
                    output.line(&with_owner(text, &owner).plain(" ").plain(&change))
                })
        })
        .await?;
    }
    note_end(output);
    Ok(ExitStatus::Ok)
}

/// The sections as they were printed last.
#[derive(Default)]
struct Watched {
    sections: Option<[Seen; SECTIONS.len()]>,
}

#[derive(Default, PartialEq)]
struct Seen {
    version: Option<u64>,
    properties: Map<String, Value>,
}

impl Watched {
    /// One text for each section that is new: the whole of it at first, then the merge patch that led to it.
    fn changes(&mut self, twin: &TwinView<'_>) -> Vec<String> {
        let now = SECTIONS.map(|name| Seen {
            version: twin.version(name),
            properties: twin.properties(name),
        });
        let before = self.sections.take();
        let mut texts = Vec::new();
        for (index, (name, now)) in SECTIONS.iter().zip(&now).enumerate() {
            let shown = match before.as_ref().map(|sections| &sections[index]) {
                None if now.version.is_none() && now.properties.is_empty() => continue,
                None => now.properties.clone(),
                Some(before) if before == now => continue,
                Some(before) => diff(&before.properties, &now.properties),
            };
            let version = now
                .version
                .map(|version| format!(" {version}"))
                .unwrap_or_default();
            texts.push(format!("{name}{version}: {}", Value::Object(shown)));
        }
        self.sections = Some(now);
        texts
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_whole_twin_comes_first_and_then_the_changes() {
        let mut watched = Watched::default();
        let mut check = |tags: Value, desired: Value, reported: Value, expected: &[&str]| {
            let twin =
                json!({"tags": tags, "properties": {"desired": desired, "reported": reported}});
            assert_eq!(watched.changes(&TwinView(&twin)), expected);
        };
        let desired = json!({"a": 1, "b": {"c": 2}, "$version": 1, "$metadata": {}});
        let reported = json!({"$version": 1});
        check(
            json!({}),
            desired.clone(),
            reported.clone(),
            &["desired 1: {\"a\":1,\"b\":{\"c\":2}}", "reported 1: {}"],
        );
        check(json!({}), desired, reported.clone(), &[]);
        let desired = json!({"b": {"c": 3}, "$version": 2});
        check(
            json!({"x": 1}),
            desired.clone(),
            reported,
            &["tags: {\"x\":1}", "desired 2: {\"a\":null,\"b\":{\"c\":3}}"],
        );
        check(
            json!({"x": 1}),
            desired,
            json!({"$version": 2}),
            &["reported 2: {}"],
        );
    }
}
