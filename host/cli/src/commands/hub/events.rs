//! `hub events`: telemetry from where a named consumer stands; what was printed it does not get again.

use std::time::Duration;

use hyper::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::asked::{AskedHub, document};
use crate::args::GlobalArgs;
use crate::args::hub::events::EventsArgs;
use crate::client::Ask;
use crate::client::far::FarHub;
use crate::client::target::Target;
use crate::commands::monitor;
use crate::exit_codes::ExitStatus;
use crate::failure::{self, Failure};
use crate::output::{Output, OutputError};
use crate::run_view::Names;

/// Messages of one portion: what comes again when the command is killed.
const PORTION_MAX: &str = "100";

/// How long the hub holds a request for which there is nothing.
const WAIT_SECS: u64 = 20;

/// How much longer than that it may take to answer.
const ANSWER_MARGIN: Duration = Duration::from_secs(30);

/// How often is looked whether the output is still read.
const READER_CHECK_PERIOD: Duration = Duration::from_secs(1);

/// A portion.
#[derive(Deserialize)]
struct Portion {
    events: Vec<Value>,
    position: String,
    #[serde(default)]
    lost: Option<Value>,
}

/// Prints portions, each noted as read once it is printed; with `--follow` for ever.
pub(super) async fn execute(
    args: EventsArgs,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    monitor::check_condition(args.filter.condition.as_deref())?;
    let hub = AskedHub::find(global, &args.far).await?;
    if hub.far().is_some_and(FarHub::is_azure) {
        return Err(monitor::not_over_http("telemetry is read"));
    }
    let consumer = Target::own(&["consumers", &args.consumer]);
    if let Some(from) = &args.from {
        put(&hub, &consumer, from).await?;
    }
    let wait = if args.follow { WAIT_SECS } else { 0 };
    let target = Target::own(&["events"])
        .query("consumer", &args.consumer)
        .query("max", PORTION_MAX)
        .query("wait", &wait.to_string());
    let target = monitor::filtered(target, &args.filter);
    let mut position = String::new();
    loop {
        let portion = portion(&hub, &target, wait, output)
            .await
            .map_err(|err| with_hint(err, &args.consumer))?;
        if let Some(lost) = &portion.lost {
            tell_lost(lost, output)?;
        }
        for event in &portion.events {
            print(event, output)?;
        }
        let at_end = portion.position == position || portion.events.is_empty();
        if portion.position != position {
            position = portion.position;
            put(&hub, &consumer, &position).await?;
        }
        if at_end && !args.follow {
            return Ok(ExitStatus::Ok);
        }
    }
}

/// The next portion; ends early when nobody reads the output any more.
async fn portion(
    hub: &AskedHub,
    target: &Target,
    wait_secs: u64,
    output: &Output,
) -> anyhow::Result<Portion> {
    let ask = Ask {
        answer_time_max: Some(Duration::from_secs(wait_secs) + ANSWER_MARGIN),
        ..Ask::default()
    };
    let asking = hub.ask(Method::GET, target, ask);
    tokio::pin!(asking);
    let mut reader_check = tokio::time::interval(READER_CHECK_PERIOD);
    loop {
        tokio::select! {
            answer = &mut asking => return document(answer?.document),
            _ = reader_check.tick() => if output.reader_is_gone() {
                return Err(OutputError::ReaderGone.into());
            },
        }
    }
}

async fn put(hub: &AskedHub, consumer: &Target, position: &str) -> anyhow::Result<()> {
    let ask = Ask {
        json: Some(json!({ "position": position }).to_string()),
        ..Ask::default()
    };
    hub.ask(Method::PUT, consumer, ask).await.map(drop)
}

fn print(event: &Value, output: &Output) -> anyhow::Result<()> {
    if output.is_json() {
        return Ok(output.json_line(event)?);
    }
    let line = document(event.clone())?;
    Ok(monitor::print(&line, Names::DevicesAndModules, output)?)
}

/// As JSON it is data, so that no program overlooks it.
fn tell_lost(lost: &Value, output: &Output) -> Result<(), OutputError> {
    if output.is_json() {
        return output.json_line(&json!({ "lost": lost }));
    }
    match lost.as_u64() {
        Some(count) => output.warn(&format!(
            "{count} messages are gone: the hub keeps so many, for so long"
        )),
        None => output
            .warn("messages are gone, nobody knows how many: the hub's telemetry was begun anew"),
    }
    Ok(())
}

fn with_hint(err: anyhow::Error, consumer: &str) -> anyhow::Error {
    if failure::exit_status(&err) != ExitStatus::NotFound {
        return err;
    }
    let failure = Failure::new(
        ExitStatus::NotFound,
        format!("the consumer `{consumer}` is not known yet"),
    );
    err.context(failure.hint("make it with `--from earliest` or `--from latest`"))
}
