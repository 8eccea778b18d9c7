//! The gate in front of the REST face: no request passes that its caller may not make.
//!
//! Owns reading credentials off a request and holding the caller's rights
//! against the table of routes. Leaves the decision about credentials to
//! [`crate::access`], and the request to the handlers.

use axum::Router;
use axum::extract::{FromRequestParts as _, MatchedPath, Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_LENGTH};
use axum::http::request::Parts;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use tokio::time::Instant;
use wasm_edge_model::identity::{DeviceId, ModuleId, ModuleIdentity, TwinOwner};
use wasm_edge_model::shared_access::SharedAccessSignature;
use wasm_edge_model::shared_access::resource::Scope;

use super::failure::{Failure, no_such_path, no_such_verb};
use super::paths::{self, CALLER_HEADER};
use super::request::Owner;
use crate::access::certificate::PeerCertificate;
use crate::access::refusal::Denied;
use crate::access::rights::{OwnCall, Rule, rule};
use crate::access::throttle::Operation;
use crate::access::{Caller, Credentials};
use crate::hub::Hub;

impl Hub {
    /// The REST face for a network: [`Hub::rest`] behind a check of credentials and rights.
    ///
    /// A client certificate is looked for among the request's extensions, as
    /// a [`PeerCertificate`]. Handlers find the [`Caller`] there; where it is
    /// missing, the request came in by [`Hub::rest`].
    pub fn rest_for_network(&self) -> Router {
        let gate = middleware::from_fn_with_state(self.clone(), check);
        paths::around(self.routes().layer(gate))
    }
}

async fn check(State(hub): State<Hub>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let path = parts.extensions.get::<MatchedPath>().cloned();
    let rule = path
        .as_ref()
        .and_then(|path| rule(&parts.method, path.as_str()));
    let caller = match authorize(&hub, &mut parts, rule).await {
        Ok(caller) => caller,
        Err(Denied::Hub(err)) => return Failure::from(err).into_response(),
        Err(_) => return Failure::unauthorized().into_response(),
    };
    match (rule, path) {
        // Who has shown who he is may know which paths there are. Nothing passes without a rule.
        (None, None) => return no_such_path().await.into_response(),
        (None, Some(_)) => return no_such_verb().await.into_response(),
        (Some(rule), _) => {
            let throttled = rule
                .operation
                .and_then(|operation| hub.throttle(measured(operation, &parts)).err());
            if let Some(throttled) = throttled {
                return Failure::throttled(throttled);
            }
        }
    }
    parts.extensions.insert(caller);
    next.run(Request::from_parts(parts, body)).await
}

/// The caller, if he may do what the rule is for.
async fn authorize(hub: &Hub, parts: &mut Parts, rule: Option<Rule>) -> Result<Caller, Denied> {
    let started = Instant::now();
    let token = token(parts);
    let certificate = parts.extensions.get::<PeerCertificate>().cloned();
    let claim = match rule.and_then(|rule| rule.own) {
        Some(own) => claim(own, parts, token.as_deref()).await,
        None => None,
    };
    let credentials = Credentials {
        token: token.as_deref(),
        certificate: certificate.as_ref(),
    };
    let caller = hub.authorize(&credentials, claim.as_ref()).await?;
    let allowed = match (&caller, rule) {
        (Caller::Service { rights, .. }, Some(rule)) => {
            rule.rights.is_some_and(|needed| rights.has_all(needed))
        }
        // Whom the claim let in, it also lets do what it is for.
        (Caller::Identity(_) | Caller::Operator, _) | (_, None) => true,
    };
    if allowed {
        return Ok(caller);
    }
    hub.refuse(started, &Denied::NoRight, claim.as_ref()).await;
    Err(Denied::NoRight)
}

/// The one `Authorization` header; several, or one that is no text, are as none that is good.
fn token(parts: &Parts) -> Option<String> {
    let mut headers = parts.headers.get_all(AUTHORIZATION).iter();
    let header = headers.next()?;
    let text = header.to_str().ok().filter(|_| headers.next().is_none());
    // No token, and not as if there were no header: a certificate does not stand in for it.
    Some(text.unwrap_or("?").to_owned())
}

/// As whom a device or module may make the request, if it is one of its own.
async fn claim(own: OwnCall, parts: &mut Parts, token: Option<&str>) -> Option<TwinOwner> {
    let Owner(target) = Owner::from_request_parts(parts, &()).await.ok()?;
    let device = target.device();
    match own {
        OwnCall::Modules | OwnCall::Files => Some(TwinOwner::Device(device.clone())),
        OwnCall::Scope => {
            let is_hub = target.module() == Some(&ModuleId::edge_hub());
            is_hub.then_some(target)
        }
        OwnCall::Methods => {
            let caller = match parts.headers.get(CALLER_HEADER) {
                Some(header) => named_caller(header.to_str().ok()?)?,
                None => signing_caller(token?)?,
            };
            // Other devices' modules are not its own.
            (caller.device == *device).then_some(TwinOwner::Module(caller))
        }
    }
}

/// Reads `{d}/{m}`.
fn named_caller(text: &str) -> Option<ModuleIdentity> {
    let (device, module) = text.split_once('/')?;
    Some(ModuleIdentity {
        device: DeviceId::new(device).ok()?,
        module: ModuleId::new(module).ok()?,
    })
}

/// The module that the token names; that it is the one who signed is seen when it is admitted.
fn signing_caller(token: &str) -> Option<ModuleIdentity> {
    let token = SharedAccessSignature::parse(token).ok()?;
    let Scope::Module(device, module) = token.resource().scope() else {
        return None;
    };
    Some(ModuleIdentity {
        device: DeviceId::new(device.as_str()).ok()?,
        module: ModuleId::new(module.as_str()).ok()?,
    })
}

/// The operation with the size of this request, where it counts.
fn measured(operation: Operation, parts: &Parts) -> Operation {
    let Operation::Method { .. } = operation else {
        return operation;
    };
    let length = parts.headers.get(CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
    Operation::Method {
        bytes: length.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests;
