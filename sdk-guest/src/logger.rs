//! The `log` facade's way to the host, and what a panic leaves behind.

use std::sync::Once;

use log::kv::{self, Key, Value, VisitSource};
use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::bindings::log as raw;

/// Environment variable for the least level that is logged: `off`, `error`, `warn`, `info`, `debug` or `trace`.
#[cfg(target_arch = "wasm32")]
const LEVEL_VARIABLE: &str = "WASM_EDGE_LOG";

/// Makes the `log` macros write to the host, with the key-value pairs as fields, and a panic leave an `error` line.
///
/// The environment variable `WASM_EDGE_LOG` gives the least level that is logged; `info` unless set.
/// Handlers and [`events`](crate::events) call this themselves; a program that logs before its first event calls it first in `main`.
/// Calls after the first change nothing.
pub fn install_logger() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // An author's own logger stays in place.
        if log::set_logger(&HostLogger).is_ok() {
            log::set_max_level(least_level());
        }
        #[cfg(target_arch = "wasm32")]
        std::panic::set_hook(Box::new(report_panic));
    });
}

#[cfg(target_arch = "wasm32")]
fn least_level() -> LevelFilter {
    let level = std::env::var(LEVEL_VARIABLE).ok();
    level
        .and_then(|level| level.parse().ok())
        .unwrap_or(LevelFilter::Info)
}

/// In tests each harness has a level of its own.
#[cfg(not(target_arch = "wasm32"))]
fn least_level() -> LevelFilter {
    LevelFilter::Trace
}

struct HostLogger;

impl Log for HostLogger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let mut fields = Fields(Vec::new());
        // `Fields` itself never fails, and a source that does has given what it could.
        let _ = record.key_values().visit(&mut fields);
        raw::log(level(record.level()), &record.args().to_string(), &fields.0);
    }

    fn flush(&self) {}
}

struct Fields(Vec<(String, String)>);

impl<'kvs> VisitSource<'kvs> for Fields {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), kv::Error> {
        self.0.push((key.to_string(), value.to_string()));
        Ok(())
    }
}

fn level(level: Level) -> raw::Level {
    match level {
        Level::Trace => raw::Level::Trace,
        Level::Debug => raw::Level::Debug,
        Level::Info => raw::Level::Info,
        Level::Warn => raw::Level::Warn,
        Level::Error => raw::Level::Error,
    }
}

/// The instance traps after a panic, so this line is all that tells why.
#[cfg(target_arch = "wasm32")]
fn report_panic(info: &std::panic::PanicHookInfo<'_>) {
    raw::log(raw::Level::Error, &info.to_string().replace('\n', " "), &[]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_values_become_fields_in_order() {
        let mut fields = Fields(Vec::new());
        let pairs: &[(&str, Value<'_>)] = &[("b", Value::from(2)), ("a", Value::from("x"))];
        kv::Source::visit(&pairs, &mut fields).expect("fields take all");
        assert_eq!(
            fields.0,
            [
                ("b".to_owned(), "2".to_owned()),
                ("a".to_owned(), "x".to_owned())
            ]
        );
    }
}
