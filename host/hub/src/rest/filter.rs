//! The parameters of requests for telemetry: which of it is wanted.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;

use super::failure::Failure;
use crate::telemetry::filter::{FILTER_PROPERTIES_MAX, TelemetryFilter};

/// The query of a request as names with values; some may come twice.
pub(super) struct Parameters(pub(super) Values);

/// Parameters that were not taken out yet.
pub(super) struct Values(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let query = Query::<Vec<(String, String)>>::from_request_parts(parts, state).await;
        let Query(values) = query.map_err(|err| Failure::invalid(err.to_string()))?;
        Ok(Self(Values(values)))
    }
}

impl Values {
    /// Takes out the first value of this name.
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(found, _)| found == name)?;
        Some(self.0.remove(at).1)
    }

    /// Takes out a number that has to be in `range`.
    pub(super) fn number(
        &mut self,
        name: &str,
        range: std::ops::RangeInclusive<u64>,
    ) -> Result<Option<u64>, Failure> {
        let Some(text) = self.take(name) else {
            return Ok(None);
        };
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.map(Some).ok_or_else(|| {
            let (first, last) = (range.start(), range.end());
            Failure::invalid(format!("`{name}` is not a number from {first} to {last}"))
        })
    }

    /// Which telemetry is wanted: `device`, `module`, `property` (`name=value`, repeated for several), `where`.
    pub(super) fn filter(mut self) -> Result<TelemetryFilter, Failure> {
        let mut filter = TelemetryFilter {
            device: self.take("device"),
            module: self.take("module"),
            ..TelemetryFilter::default()
        };
        while let Some(property) = self.take("property") {
            let Some((name, value)) = property
                .split_once('=')
                .filter(|(name, _)| !name.is_empty())
            else {
                return Err(Failure::invalid(
                    "`property` is not of the form `name=value`",
                ));
            };
            if filter.properties.len() == FILTER_PROPERTIES_MAX {
                let most = format!("there are more than {FILTER_PROPERTIES_MAX} `property`");
                return Err(Failure::invalid(most));
            }
            filter.properties.push((name.to_owned(), value.to_owned()));
        }
        if let Some(text) = self.take("where") {
            let compiled = TelemetryFilter::condition(&text);
            filter.condition =
                compiled.map_err(|err| Failure::invalid(format!("`where`: {err}")))?;
        }
        Ok(filter)
    }
}
