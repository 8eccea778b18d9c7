//! Who gets in: devices, modules and services that come over a network.
//!
//! Owns the decision: whether a token or a certificate is that of the
//! identity or the shared access policy it is shown for, now. Leaves reading
//! credentials off the wire to the faces, and to the registry what an
//! identity is. The faces ask here before they do anything for somebody.
//!
//! To the outside every refusal is the same, so that nobody learns whether a
//! device exists: as much is computed for one that does not, and an answer
//! comes at the next tick of a coarse clock. The true reason goes to the log
//! and to the figures.
//!
//! Source: Azure IoT Hub, "Control access to IoT Hub with shared access
//! signatures" and "Authenticate identities with X.509 certificates".

use std::time::Duration;

use tokio::time::Instant;
use wasm_edge_model::identity::TwinOwner;
use wasm_edge_model::shared_access::resource::Scope;
use wasm_edge_model::shared_access::{SharedAccessSignature, SharedKey};
use wasm_edge_model::time::Timestamp;

use crate::error::HubError;
use crate::hub::Hub;
use crate::hub::documents::Slot;
use crate::identity::{
    Authentication, AuthenticationKind, Identity, IdentityStatus, SymmetricKeys,
};

pub mod certificate;
pub mod policy;
pub mod refusal;
pub mod throttle;

pub(crate) mod rights;

use certificate::{Fingerprint, PeerCertificate};
use policy::{Right, Rights};
use refusal::Denied;

/// How long a token is good after it expired: clocks of devices are not exact.
pub const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);

/// A refusal is answered when its time is a multiple of this, which hides how much was looked at.
const REFUSAL_STEP: Duration = Duration::from_millis(20);

/// What somebody shows to get in. A token wins over a certificate.
#[derive(Debug, Clone, Copy, Default)]
pub struct Credentials<'a> {
    /// A shared access signature: MQTT's password. An empty one is none.
    pub token: Option<&'a str>,
    /// The certificate of the TLS handshake.
    pub certificate: Option<&'a PeerCertificate>,
}

/// Who was let in, and until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pass {
    /// Which device or module.
    pub owner: TwinOwner,
    /// Which identity of that id: one that is made later has another.
    pub generation_id: String,
    /// When the credentials are good no more: a token's expiry with [`CLOCK_SKEW`], a
    /// certificate's end.
    pub expires_at: Option<Timestamp>,
    means: Means,
}

/// What let somebody in.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Means {
    /// A key of the identity.
    Key(SharedKey),
    /// A key of the module's device.
    DeviceKey(SharedKey),
    /// A key of a shared access policy.
    Policy { name: String, key: SharedKey },
    /// A certificate whose thumbprint the registry has.
    Thumbprint(Fingerprint),
    /// A certificate of one of the authorities that were trusted then.
    Authority { trusted_since: u64 },
}

/// On whose behalf a request is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// Somebody who may do everything: the control socket's other end.
    Operator,
    /// A service.
    Service {
        /// The name of its shared access policy.
        policy: String,
        /// What that policy allows.
        rights: Rights,
    },
    /// A device or module, which may do what concerns its own device.
    Identity(Pass),
}

impl Hub {
    /// Decides whether what is shown is that of `owner`, as the registry knows it now.
    ///
    /// A token is that of a device or module when it is signed with one of
    /// its keys, names it and is not expired by more than [`CLOCK_SKEW`]; a
    /// device's token is also good for its modules, and so is one of a
    /// policy with the right `DeviceConnect`. A certificate has to have a
    /// thumbprint that the registry has, or to come from a trusted authority
    /// with the common name `{d}`, for a module `{d}/{m}`.
    ///
    /// # Errors
    /// [`Denied`]: a refusal, or [`Denied::Hub`] when the hub could not
    /// decide. It is logged and counted already.
    pub async fn admit(
        &self,
        owner: &TwinOwner,
        credentials: &Credentials<'_>,
    ) -> Result<Pass, Denied> {
        let started = Instant::now();
        let token = credentials.token.filter(|token| !token.is_empty());
        let decision = match (token, credentials.certificate) {
            (Some(token), _) => self.admit_by_token(owner, token).await,
            (None, Some(certificate)) => self.admit_by_certificate(owner, certificate).await,
            (None, None) => Err(Denied::NoCredentials),
        };
        if let Err(denied) = &decision {
            self.refuse(started, denied, Some(owner)).await;
        }
        decision
    }

    /// Whether what let somebody in would still let him in, apart from its expiry.
    ///
    /// To be asked when the document of the identity or of its device
    /// changed: keys or thumbprints may be others, the device disabled, the
    /// identity deleted.
    ///
    /// # Errors
    /// [`HubError::Store`] and its kin.
    pub async fn still_admitted(&self, pass: &Pass) -> Result<bool, HubError> {
        let Some(own) = self.known_identity(&pass.owner).await? else {
            return Ok(false);
        };
        if own.generation_id != pass.generation_id || own.status == IdentityStatus::Disabled {
            return Ok(false);
        }
        let has = |keys: Option<&SymmetricKeys>, key| keys.is_some_and(|keys| keys.contains(key));
        Ok(match &pass.means {
            Means::Key(key) => has(own.authentication.keys(), key),
            Means::DeviceKey(key) => {
                let device = TwinOwner::Device(pass.owner.device().clone());
                let device = self.known_identity(&device).await?;
                has(
                    device
                        .as_ref()
                        .and_then(|device| device.authentication.keys()),
                    key,
                )
            }
            Means::Policy { name, key } => {
                let policy = self.access_policy(name).await?;
                policy.is_some_and(|policy| {
                    policy.rights.has(Right::DeviceConnect) && policy.keys.contains(key)
                })
            }
            Means::Thumbprint(fingerprint) => {
                own.authentication.kind == AuthenticationKind::SelfSigned
                    && fingerprint.is_one_of(&own.authentication.thumbprints)
            }
            Means::Authority { trusted_since } => {
                own.authentication.kind == AuthenticationKind::CertificateAuthority
                    && self.authorities().trusted_since() == *trusted_since
            }
        })
    }

    /// Decides on whose behalf a request is made: that of a service by the token of its policy, or
    /// that of the device or module `claim` by its own credentials.
    ///
    /// # Errors
    /// As [`Hub::admit`].
    pub async fn authorize(
        &self,
        credentials: &Credentials<'_>,
        claim: Option<&TwinOwner>,
    ) -> Result<Caller, Denied> {
        let started = Instant::now();
        let decision = match self.policy_of(credentials.token).await {
            Ok(Some(service)) => return Ok(service),
            Ok(None) => match claim {
                // It refuses by itself.
                Some(owner) => return self.admit(owner, credentials).await.map(Caller::Identity),
                None => Err(Denied::NoCredentials),
            },
            Err(denied) => Err(denied),
        };
        if let Err(denied) = &decision {
            self.refuse(started, denied, claim).await;
        }
        decision
    }

    /// Notes a refusal and waits until it may be answered.
    pub(crate) async fn refuse(
        &self,
        started: Instant,
        denied: &Denied,
        owner: Option<&TwinOwner>,
    ) {
        self.metrics().refused(denied.reason());
        self.refusals().note(denied, owner, Instant::now());
        if !denied.is_fault() {
            let steps = started.elapsed().as_millis() / REFUSAL_STEP.as_millis() + 1;
            let steps = u32::try_from(steps).unwrap_or(u32::MAX);
            tokio::time::sleep_until(started + REFUSAL_STEP.saturating_mul(steps)).await;
        }
    }

    async fn admit_by_token(&self, owner: &TwinOwner, text: &str) -> Result<Pass, Denied> {
        let token = SharedAccessSignature::parse(text).map_err(Denied::Token)?;
        if !self.is_for_me(&token) || !token.resource().covers(owner) {
            return Err(Denied::OtherResource);
        }
        let expires_at = self.check_expiry(&token)?;
        if let Some(name) = token.policy() {
            let policy = self.access_policy(name).await.map_err(Denied::Hub)?;
            let keys = policy.as_ref().map(|policy| &policy.keys);
            let key = signer(&token, keys).ok_or(match policy {
                Some(_) => Denied::Signature,
                None => Denied::UnknownPolicy,
            })?;
            if !policy.is_some_and(|policy| policy.rights.has(Right::DeviceConnect)) {
                return Err(Denied::NoRight);
            }
            let means = Means::Policy {
                name: name.to_owned(),
                key,
            };
            return self.pass(owner, Some(expires_at), means).await;
        }
        let (signed_by, means): (_, fn(SharedKey) -> Means) = match token.resource().scope() {
            // Only a policy speaks for the hub as a whole.
            Scope::Hub => return Err(Denied::OtherResource),
            Scope::Device(_) if owner.module().is_some() => {
                (TwinOwner::Device(owner.device().clone()), Means::DeviceKey)
            }
            Scope::Device(_) | Scope::Module(..) => (owner.clone(), Means::Key),
        };
        let identity = self.known_identity(&signed_by).await.map_err(Denied::Hub)?;
        let keys = identity
            .as_ref()
            .and_then(|identity| identity.authentication.keys());
        let has_keys = keys.is_some();
        let key = signer(&token, keys).ok_or(match identity {
            None => Denied::Unknown,
            Some(_) if !has_keys => Denied::NotByToken,
            Some(_) => Denied::Signature,
        })?;
        self.pass(owner, Some(expires_at), means(key)).await
    }

    async fn admit_by_certificate(
        &self,
        owner: &TwinOwner,
        certificate: &PeerCertificate,
    ) -> Result<Pass, Denied> {
        let identity = self.known_identity(owner).await.map_err(Denied::Hub)?;
        let authentication = identity.ok_or(Denied::Unknown)?.authentication;
        let now = self.now();
        let means = match authentication.kind {
            AuthenticationKind::SelfSigned => {
                let fingerprint = certificate.fingerprint();
                if !fingerprint.is_one_of(&authentication.thumbprints) {
                    return Err(Denied::Thumbprint);
                }
                Means::Thumbprint(fingerprint)
            }
            AuthenticationKind::CertificateAuthority => Means::Authority {
                trusted_since: self.authorities().verify(certificate, now)?,
            },
            AuthenticationKind::Sas | AuthenticationKind::None => {
                return Err(Denied::NotByCertificate);
            }
        };
        let leaf = certificate.read()?;
        if !leaf.is_valid_at(now) {
            return Err(Denied::CertificateExpired);
        }
        if matches!(means, Means::Authority { .. }) && !leaf.names(owner) {
            return Err(Denied::CommonName);
        }
        self.pass(owner, Some(leaf.not_after()), means).await
    }

    /// The pass of `owner`, who has shown that he is, if there is such an identity and it is enabled.
    async fn pass(
        &self,
        owner: &TwinOwner,
        expires_at: Option<Timestamp>,
        means: Means,
    ) -> Result<Pass, Denied> {
        let found = self.load_enabled(owner).await.map_err(|err| match err {
            HubError::NotFound { .. } => Denied::Unknown,
            HubError::Disabled { .. } => Denied::Disabled,
            other => Denied::Hub(other),
        })?;
        Ok(Pass {
            owner: owner.clone(),
            generation_id: found.record.identity.generation_id,
            expires_at,
            means,
        })
    }

    /// The service on whose behalf somebody with this token speaks; nothing when the token is no service's.
    async fn policy_of(&self, token: Option<&str>) -> Result<Option<Caller>, Denied> {
        let Some(text) = token.filter(|token| !token.is_empty()) else {
            return Ok(None);
        };
        let token = SharedAccessSignature::parse(text).map_err(Denied::Token)?;
        // A policy may also speak for a single device, as that device.
        let (Some(name), Scope::Hub) = (token.policy(), token.resource().scope()) else {
            return Ok(None);
        };
        if !self.is_for_me(&token) {
            return Err(Denied::OtherResource);
        }
        self.check_expiry(&token)?;
        let policy = self.access_policy(name).await.map_err(Denied::Hub)?;
        let signer = signer(&token, policy.as_ref().map(|policy| &policy.keys));
        match (policy, signer) {
            (Some(policy), Some(_)) => Ok(Some(Caller::Service {
                policy: policy.name,
                rights: policy.rights,
            })),
            (Some(_), None) => Err(Denied::Signature),
            (None, _) => Err(Denied::UnknownPolicy),
        }
    }

    /// The identity as it is stored, none if there is none.
    async fn known_identity(&self, owner: &TwinOwner) -> Result<Option<Identity>, HubError> {
        match self.slot(owner).await {
            Ok(Slot::Present(found)) => Ok(Some(found.record.identity)),
            Ok(Slot::Absent { .. }) | Err(HubError::NotFound { .. }) => Ok(None),
            Err(err) => Err(err),
        }
    }

    fn is_for_me(&self, token: &SharedAccessSignature<'_>) -> bool {
        self.names().any(|name| token.resource().is_at(name))
    }

    /// When the token is good no more.
    fn check_expiry(&self, token: &SharedAccessSignature<'_>) -> Result<Timestamp, Denied> {
        let expires_at = token.expires_at();
        let end = expires_at.after(CLOCK_SKEW);
        if self.now() > end {
            return Err(Denied::Expired { at: expires_at });
        }
        Ok(end)
    }
}

impl Authentication {
    /// The keys whose tokens are good.
    fn keys(&self) -> Option<&SymmetricKeys> {
        let by_keys = self.kind == AuthenticationKind::Sas;
        self.symmetric_key.as_ref().filter(|_| by_keys)
    }
}

/// The key that signed the token. Both keys are tried in any case, and as much is computed
/// without any.
fn signer(token: &SharedAccessSignature<'_>, keys: Option<&SymmetricKeys>) -> Option<SharedKey> {
    let Some(keys) = keys else {
        let nobody = SharedKey::from_bytes(&[0; 32]).expect("32 bytes are a key");
        for _ in 0..2 {
            std::hint::black_box(token.is_signed_with(&nobody));
        }
        return None;
    };
    let primary = token.is_signed_with(&keys.primary);
    let secondary = token.is_signed_with(&keys.secondary);
    match (primary, secondary) {
        (true, _) => Some(keys.primary.clone()),
        (false, true) => Some(keys.secondary.clone()),
        (false, false) => None,
    }
}

#[cfg(test)]
mod tests;
