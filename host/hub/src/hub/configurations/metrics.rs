//! Metrics: how many twins a configuration is for, has reached, and what they report.
//!
//! Owns the queries of the metrics that every configuration has, and counting
//! all metrics in one pass over the twins. Leaves when to count to the worker.
//!
//! Source: Azure IoT Hub, "Automatic device and module management"; Azure IoT
//! Edge, "Understand IoT Edge automatic deployments", monitoring.

use std::collections::BTreeMap;

use super::content::Content;
use super::document::{Configuration, metric};
use super::work::Counts;
use crate::error::HubError;
use crate::hub::Hub;
use crate::hub::queries::TwinScan;
use crate::hub::queries::twin::TwinDocument;
use crate::query::{Query, Source};

/// How many twins the configuration is for.
const TARGETED: &str = "targetedCount";
/// At how many of these desired properties are as it says.
const APPLIED: &str = "appliedCount";
/// How many devices report that they have carried it out.
const SUCCESSFUL: &str = "reportedSuccessfulCount";
/// How many devices report that they could not carry it out.
const FAILED: &str = "reportedFailedCount";

/// A metric while it is counted.
struct Metric<'a> {
    configuration: &'a str,
    name: Name<'a>,
    query: Query,
    count: u64,
}

enum Name<'a> {
    System(&'static str),
    Own(&'a str),
}

/// The queries of the metrics that every configuration has; an empty one finds nothing.
pub(super) fn system_queries(configuration: &Configuration) -> BTreeMap<&'static str, String> {
    let id = &configuration.id;
    let applied = format!("configurations.[[{id}]].status = 'Applied'");
    let condition = condition(configuration);
    let chosen = |columns: &str, source: Source| match condition.as_deref() {
        None => String::new(),
        Some("") => format!("SELECT {columns} FROM {source}"),
        Some(condition) => format!("SELECT {columns} FROM {source} WHERE {condition}"),
    };
    match configuration.content {
        Content::Device(_) => BTreeMap::from([
            (TARGETED, chosen("deviceId", Source::Devices)),
            (
                APPLIED,
                format!("SELECT deviceId FROM devices WHERE {applied}"),
            ),
        ]),
        Content::Module(_) => BTreeMap::from([
            (TARGETED, chosen("deviceId, moduleId", Source::Modules)),
            (
                APPLIED,
                format!("SELECT deviceId, moduleId FROM devices.modules WHERE {applied}"),
            ),
        ]),
        Content::Edge { .. } => {
            let agent = format!(
                "SELECT deviceId FROM devices.modules WHERE moduleId = '$edgeAgent' AND {applied}"
            );
            let reported = format!(
                "{agent} AND properties.desired.$version = properties.reported.lastDesiredVersion AND properties.reported.lastDesiredStatus.code"
            );
            let edge = "SELECT deviceId FROM devices WHERE capabilities.iotEdge = true";
            let targeted = match condition.as_deref() {
                None => String::new(),
                Some("") => edge.to_owned(),
                Some(condition) => format!("{edge} AND ({condition})"),
            };
            BTreeMap::from([
                (TARGETED, targeted),
                (APPLIED, agent.clone()),
                (SUCCESSFUL, format!("{reported} = 200")),
                (FAILED, format!("{reported} != 200")),
            ])
        }
    }
}

/// What stands behind `WHERE`: nothing for all twins; none if there is no twin.
fn condition(configuration: &Configuration) -> Option<String> {
    let condition = configuration.target.condition.as_ref()?;
    let text = condition.to_string();
    Some(if text == "true" { String::new() } else { text })
}

impl Hub {
    /// Counts all metrics of these configurations.
    pub(super) async fn count_metrics(
        &self,
        configurations: &[Configuration],
    ) -> Result<BTreeMap<String, Counts>, HubError> {
        let mut metrics: Vec<Metric<'_>> = configurations.iter().flat_map(metrics_of).collect();
        for source in [Source::Devices, Source::Modules] {
            let mut asked: Vec<_> = metrics
                .iter_mut()
                .filter(|metric| metric.query.source() == source)
                .collect();
            if asked.is_empty() {
                continue;
            }
            let counts_messages = asked
                .iter()
                .any(|metric| metric.query.asks_for("cloudToDeviceMessageCount"));
            let mut scan = TwinScan::of(source, None).map_err(HubError::Query)?;
            while let Some(twins) = scan.next(self).await? {
                for (_, record) in twins {
                    let view = match counts_messages {
                        true => self.view(&record.identity).await?,
                        false => self.view_with(&record.identity, 0),
                    };
                    let document = TwinDocument::new(&record, view);
                    for metric in &mut asked {
                        metric.count += u64::from(metric.query.chooses(&document));
                    }
                }
            }
        }
        let mut counts = BTreeMap::<String, Counts>::new();
        for configuration in configurations {
            counts.insert(configuration.id.as_str().to_owned(), Counts::default());
        }
        for metric in metrics {
            let count = metric.count.min(metric.query.top.unwrap_or(u64::MAX));
            let counts = counts.entry(metric.configuration.to_owned()).or_default();
            match metric.name {
                Name::System(name) => drop(counts.system.insert(name, count)),
                Name::Own(name) => drop(counts.own.insert(name.to_owned(), count)),
            }
        }
        Ok(counts)
    }
}

fn metrics_of(configuration: &Configuration) -> Vec<Metric<'_>> {
    let id = configuration.id.as_str();
    let system = system_queries(configuration);
    let system = system.into_iter().map(|(name, text)| {
        // A query without a twin to find is left at 0.
        let query = match text.as_str() {
            "" => metric(name, "SELECT deviceId FROM devices WHERE false"),
            text => metric(name, text),
        };
        (Name::System(name), query)
    });
    let own = configuration.metrics.iter();
    let own = own.map(|(name, query)| (Name::Own(name.as_str()), Ok(query.clone())));
    system
        .chain(own)
        .filter_map(|(name, query)| match query {
            Ok(query) => Some(Metric {
                configuration: id,
                name,
                query,
                count: 0,
            }),
            // A target condition near the limit of a query's length.
            Err(err) => {
                tracing::warn!(id, %err, "a metric cannot be counted");
                None
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use wasm_edge_model::time::Timestamp;

    use super::super::document::{ConfigurationId, ConfigurationRequest};
    use super::*;

    #[track_caller]
    fn check(content: &serde_json::Value, target: &str, expected: &[(&str, &str)]) {
        let request = json!({ "content": content, "targetCondition": target });
        let request: ConfigurationRequest = serde_json::from_value(request).unwrap();
        let id = ConfigurationId::new("winter").unwrap();
        let configuration = Configuration::create(&id, request, Timestamp::UNSET).unwrap();
        let found = system_queries(&configuration);
        let found: Vec<_> = found
            .iter()
            .map(|(name, query)| (*name, query.as_str()))
            .collect();
        assert_eq!(found, expected);
        for query in found
            .iter()
            .map(|(_, query)| *query)
            .filter(|query| !query.is_empty())
        {
            Query::parse(query).unwrap();
        }
    }

    #[test]
    fn every_configuration_has_queries_that_can_be_asked() {
        let device = json!({ "deviceContent": { "properties.desired.a": 1 } });
        let applied =
            "SELECT deviceId FROM devices WHERE configurations.[[winter]].status = 'Applied'";
        let all = [
            (APPLIED, applied),
            (TARGETED, "SELECT deviceId FROM devices"),
        ];
        check(&device, "*", &all);
        check(&device, "", &[(APPLIED, applied), (TARGETED, "")]);
        let some = "SELECT deviceId FROM devices WHERE tags.a = 1 OR b";
        check(
            &device,
            "tags.a=1 or b",
            &[(APPLIED, applied), (TARGETED, some)],
        );
        let module = json!({ "moduleContent": { "properties.desired.a": 1 } });
        let expected = [
            (
                APPLIED,
                "SELECT deviceId, moduleId FROM devices.modules WHERE configurations.[[winter]].status = 'Applied'",
            ),
            (
                TARGETED,
                "SELECT deviceId, moduleId FROM devices.modules WHERE moduleId = 'm'",
            ),
        ];
        check(
            &module,
            "FROM devices.modules WHERE moduleId = 'm'",
            &expected,
        );
        let edge = json!({ "modulesContent": { "m": { "properties.desired.a": 1 } } });
        let agent = "SELECT deviceId FROM devices.modules WHERE moduleId = '$edgeAgent' AND configurations.[[winter]].status = 'Applied'";
        let reported = format!(
            "{agent} AND properties.desired.$version = properties.reported.lastDesiredVersion AND properties.reported.lastDesiredStatus.code"
        );
        let expected = [
            (APPLIED, agent),
            (FAILED, &format!("{reported} != 200")),
            (SUCCESSFUL, &format!("{reported} = 200")),
            (
                TARGETED,
                "SELECT deviceId FROM devices WHERE capabilities.iotEdge = true AND (a OR b)",
            ),
        ];
        check(&edge, "a OR b", &expected);
    }
}
