//! Paths as clients write them, and answers as the callers of a module expect them.
//!
//! Owns what is the same for all routes and happens around them: a slash at
//! the end of a path is as none, and a module that calls a method of another
//! is answered as IoT Edge's `edgeHub` would.

use std::convert::Infallible;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::Request;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderName, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::future::RouteFuture;
use axum::{Json, Router};
use serde_json::json;
use tower_service::Service;

use super::failure::Told;

/// The header by which a module says who it is when it calls a method: `{device}/{module}`.
pub(super) const CALLER_HEADER: HeaderName = HeaderName::from_static("x-ms-edge-moduleid");

/// The same routes, reached with a slash at the end of the path too.
pub(super) fn around(routes: Router) -> Router {
    Router::new()
        .fallback_service(WithoutSlash(routes))
        .layer(middleware::from_fn(as_edge_hub_answers))
}

/// Takes one slash off the end of each path.
#[derive(Clone)]
struct WithoutSlash(Router);

impl Service<Request> for WithoutSlash {
    type Response = Response;
    type Error = Infallible;
    type Future = RouteFuture<Infallible>;

    fn poll_ready(&mut self, ctx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request<Body>>::poll_ready(&mut self.0, ctx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        if let Some(uri) = without_slash(request.uri()) {
            *request.uri_mut() = uri;
        }
        self.0.call(request)
    }
}

/// The address without the slash at the end of its path; nothing if it has none.
fn without_slash(uri: &Uri) -> Option<Uri> {
    let path = uri
        .path()
        .strip_suffix('/')
        .filter(|path| !path.is_empty())?;
    let shorter = match uri.query() {
        Some(query) => PathAndQuery::try_from(format!("{path}?{query}")),
        None => PathAndQuery::try_from(path),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(shorter.ok()?);
    Uri::from_parts(parts).ok()
}

/// Tells a module that called a method what failed in the form that it knows: `{"message": …}`.
async fn as_edge_hub_answers(request: Request, next: Next) -> Response {
    let is_module = request.headers().contains_key(CALLER_HEADER);
    let response = next.run(request).await;
    match response.extensions().get::<Told>() {
        Some(Told(message)) if is_module => {
            (response.status(), Json(json!({ "message": message }))).into_response()
        }
        _ => response,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(uri: &str, expected: Option<&str>) {
        let shorter = without_slash(&uri.parse().unwrap());
        assert_eq!(
            shorter.map(|uri| uri.to_string()).as_deref(),
            expected,
            "{uri}"
        );
    }

    #[test]
    fn one_slash_at_the_end_of_a_path_is_taken_off() {
        check("/devices/", Some("/devices"));
        check("/devices/?top=3", Some("/devices?top=3"));
        check("/devices/?", Some("/devices?"));
        check(
            "https://hub.test/devices/d%2F/",
            Some("https://hub.test/devices/d%2F"),
        );
        check("/devices//", Some("/devices/"));
        for unchanged in ["/", "/devices", "/devices?a=/", "/devices/d%2F"] {
            check(unchanged, None);
        }
    }
}
