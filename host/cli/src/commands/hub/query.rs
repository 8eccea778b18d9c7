//! `hub query`: asks for twins, columns of them or groups, all pages together.

use hyper::Method;
use serde_json::{Value, json};

use super::asked::{AskedHub, document};
use crate::args::GlobalArgs;
use crate::args::hub::query::QueryArgs;
use crate::client::Ask;
use crate::client::target::Target;
use crate::exit_codes::ExitStatus;
use crate::output::Output;
use crate::output::table::{Align, Table};
use crate::output::text::Text;

/// How many items a page may have.
const PAGE_SIZE_HEADER: &str = "x-ms-max-item-count";

/// The place where the next page begins.
const CONTINUATION_HEADER: &str = "x-ms-continuation";

/// What the items of a page are.
const ITEM_TYPE_HEADER: &str = "x-ms-item-type";

/// The most that a hub gives at once.
pub(super) const PAGE_MAX: usize = 1000;

/// Items of a query.
pub(super) struct Found {
    /// The items.
    pub(super) items: Vec<Value>,
    /// Whether they are twins, not columns.
    are_twins: bool,
    /// Whether there may be more.
    has_more: bool,
}

/// Prints the items as a table, or as one JSON list.
pub(super) async fn execute(
    args: QueryArgs,
    global: &GlobalArgs,
    output: &Output,
) -> anyhow::Result<ExitStatus> {
    let top = usize::try_from(args.top).unwrap_or(usize::MAX);
    let hub = AskedHub::find(global, &args.far).await?;
    let found = pages(&hub, &args.query, top).await?;
    if output.is_json() {
        output.json(&found.items)?;
    } else if found.are_twins {
        output.table(&twins(&found.items))?;
    } else {
        output.table(&columns(&found.items))?;
    }
    if found.has_more {
        let text = format!("there are more than these {top}: `--top` says how many are shown");
        output.note(&Text::new().plain(&text));
    }
    Ok(ExitStatus::Ok)
}

/// Asks for page after page until there are `top` items.
pub(super) async fn pages(hub: &AskedHub, query: &str, top: usize) -> anyhow::Result<Found> {
    let query = json!({ "query": query }).to_string();
    let mut items = Vec::new();
    let mut continuation: Option<String> = None;
    loop {
        let size = PAGE_MAX.min(top - items.len());
        let mut headers = vec![(PAGE_SIZE_HEADER, size.to_string())];
        headers.extend(continuation.map(|token| (CONTINUATION_HEADER, token)));
        let ask = Ask {
            json: Some(query.clone()),
            headers,
            ..Ask::default()
        };
        let answer = hub.ask(Method::POST, &Target::devices_query(), ask).await?;
        let next = answer.header(CONTINUATION_HEADER).map(str::to_owned);
        let are_twins = answer.header(ITEM_TYPE_HEADER) == Some("Twin");
        let page: Vec<Value> = document(answer.document)?;
        items.extend(page);
        if next.is_none() || items.len() >= top {
            let has_more = next.is_some() || items.len() > top;
            items.truncate(top);
            return Ok(Found {
                items,
                are_twins,
                has_more,
            });
        }
        continuation = next;
    }
}

fn twins(items: &[Value]) -> Table {
    let has_modules = items.iter().any(|twin| twin["moduleId"].is_string());
    let mut names = vec![("DEVICE", Align::Left)];
    names.extend(has_modules.then_some(("MODULE", Align::Left)));
    names.extend([
        ("STATUS", Align::Left),
        ("CONNECTION", Align::Left),
        ("DESIRED", Align::Right),
        ("REPORTED", Align::Right),
    ]);
    let mut table = Table::new(&names);
    for twin in items {
        let version = |section: &str| cell(&twin["properties"][section]["$version"]);
        let mut row = vec![cell(&twin["deviceId"])];
        row.extend(has_modules.then(|| cell(&twin["moduleId"])));
        row.extend([
            cell(&twin["status"]),
            cell(&twin["connectionState"]),
            version("desired"),
            version("reported"),
        ]);
        table.row(row);
    }
    table
}

/// A column for every key that an item has, in the order in which they come first.
fn columns(items: &[Value]) -> Table {
    let mut names: Vec<&str> = Vec::new();
    for name in items
        .iter()
        .filter_map(Value::as_object)
        .flat_map(|item| item.keys())
    {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    let is_number = |name: &str| {
        let mut values = items.iter().filter_map(|item| item.get(name));
        values.all(|value| value.is_number())
    };
    let heads: Vec<_> = names
        .iter()
        .map(|name| {
            let align = if is_number(name) {
                Align::Right
            } else {
                Align::Left
            };
            (*name, align)
        })
        .collect();
    let mut table = Table::new(&heads);
    for item in items {
        table.row(names.iter().map(|name| cell(&item[*name])));
    }
    table
}

/// Texts as they are, nothing for what is not there, all else as JSON.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
