//! The parameters of requests for telemetry: which of it is wanted.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use wasm_edge_model::message::MessageFilter;

use super::failure::Failure;

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
    pub(super) fn filter(self) -> Result<MessageFilter, Failure> {
        let mut filter = MessageFilter::default();
        for (name, value) in self.0 {
            let asked = filter.ask(&name, value);
            asked.map_err(|err| Failure::invalid(err.to_string()))?;
        }
        Ok(filter)
    }
}
