use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair,
};
use wasm_edge_model::identity::TwinOwner;

use super::*;
use crate::access::Credentials;
use crate::hub::tests::{device, hub_with_options, module};
use crate::hub::{Hub, HubOptions, IfMatch};
use crate::identity::{Authentication, AuthenticationKind, IdentitySpec, KeyRequest};

/// The time at the test's hub: within the validity of all that `Maker` makes unless told otherwise.
const NOW: &str = "2026-08-01T10:00:00Z";

/// An authority of its own.
struct Authority {
    der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// What differs between certificates.
struct Wanted<'a> {
    names: &'a [&'a str],
    years: (i32, i32),
    usage: Option<ExtendedKeyUsagePurpose>,
}

impl Default for Wanted<'_> {
    fn default() -> Self {
        Self {
            names: &["d1"],
            years: (2026, 2027),
            usage: Some(ExtendedKeyUsagePurpose::ClientAuth),
        }
    }
}

impl Wanted<'_> {
    fn params(&self) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for name in self.names {
            // One of a kind may be there only once: the second is given as its number.
            let kind = if params.distinguished_name.get(&DnType::CommonName).is_none() {
                DnType::CommonName
            } else {
                DnType::CustomDnType(vec![2, 5, 4, 3])
            };
            params.distinguished_name.push(kind, *name);
        }
        params.not_before = rcgen::date_time_ymd(self.years.0, 1, 1);
        params.not_after = rcgen::date_time_ymd(self.years.1, 1, 1);
        params.extended_key_usages.extend(self.usage.clone());
        params
    }
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = Wanted {
            names: &[name],
            usage: None,
            ..Wanted::default()
        }
        .params();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let der = params.self_signed(&key).unwrap().der().clone();
        let issuer = Issuer::new(params, key);
        Self { der, issuer }
    }

    fn issue(&self, wanted: &Wanted<'_>) -> PeerCertificate {
        let key = KeyPair::generate().unwrap();
        let leaf = wanted.params().signed_by(&key, &self.issuer).unwrap();
        PeerCertificate::new(&[leaf.der().clone()]).unwrap()
    }
}

fn self_signed(wanted: &Wanted<'_>) -> PeerCertificate {
    let key = KeyPair::generate().unwrap();
    let leaf = wanted.params().self_signed(&key).unwrap();
    PeerCertificate::new(&[leaf.der().clone()]).unwrap()
}

async fn hub_with(owner: &TwinOwner, kind: AuthenticationKind, thumbprints: Thumbprints) -> Hub {
    let hub = hub_with_options(HubOptions {
        clock: Arc::new(|| NOW.parse().unwrap()),
        ..HubOptions::new("hub.test")
    });
    hub.ensure_device(owner.device()).await.unwrap();
    set(&hub, owner, kind, thumbprints).await;
    hub
}

/// Makes or changes the identity.
async fn set(hub: &Hub, owner: &TwinOwner, kind: AuthenticationKind, thumbprints: Thumbprints) {
    let spec = IdentitySpec {
        edge: owner.module().is_none(),
        authentication: KeyRequest::Use(Authentication {
            kind,
            symmetric_key: None,
            thumbprints,
        }),
        ..IdentitySpec::default()
    };
    if hub.create(owner, spec.clone()).await.is_err() {
        hub.update(owner, spec, IfMatch::Any).await.unwrap();
    }
}

async fn check(hub: &Hub, owner: &TwinOwner, shown: &PeerCertificate, expected: Option<&str>) {
    let credentials = Credentials {
        token: None,
        certificate: Some(shown),
    };
    let admitted = hub.admit(owner, &credentials).await;
    let found = admitted.as_ref().err().map(Denied::reason);
    assert_eq!(found, expected, "{owner}: {admitted:?}");
    if let Ok(pass) = admitted {
        assert_eq!(
            pass.expires_at.unwrap().to_string(),
            "2027-01-01T00:00:00.0000000Z"
        );
        assert!(hub.still_admitted(&pass).await.unwrap());
    }
}

const LET_IN: Option<&str> = None;

fn primary(thumbprint: String) -> Thumbprints {
    Thumbprints {
        primary: Some(thumbprint),
        secondary: None,
    }
}

#[tokio::test]
async fn a_self_signed_certificate_is_known_by_its_thumbprint() {
    let owner = device("d1");
    let shown = self_signed(&Wanted::default());
    let (sha1, sha256) = (shown.fingerprint().sha1(), shown.fingerprint().sha256());
    assert_eq!((sha1.len(), sha256.len()), (40, 64));
    let other = self_signed(&Wanted::default());
    let hub = hub_with(
        &owner,
        AuthenticationKind::SelfSigned,
        Thumbprints::default(),
    )
    .await;
    check(&hub, &owner, &shown, Some("thumbprint")).await;
    for text in [&sha1, &sha256, &sha1.to_lowercase(), &sha256.to_lowercase()] {
        set(
            &hub,
            &owner,
            AuthenticationKind::SelfSigned,
            primary(text.clone()),
        )
        .await;
        check(&hub, &owner, &shown, LET_IN).await;
        check(&hub, &owner, &other, Some("thumbprint")).await;
        let second = Thumbprints {
            primary: Some(other.fingerprint().sha1()),
            secondary: Some(text.clone()),
        };
        set(&hub, &owner, AuthenticationKind::SelfSigned, second).await;
        check(&hub, &owner, &shown, LET_IN).await;
        check(&hub, &owner, &other, LET_IN).await;
    }
    check(&hub, &device("x"), &shown, Some("unknown_identity")).await;
}

#[tokio::test]
async fn a_thumbprint_helps_no_identity_of_another_kind() {
    let owner = device("d1");
    let shown = self_signed(&Wanted::default());
    let known = || primary(shown.fingerprint().sha256());
    let hub = hub_with(&owner, AuthenticationKind::CertificateAuthority, known()).await;
    check(&hub, &owner, &shown, Some("authority")).await;
    set(&hub, &owner, AuthenticationKind::None, known()).await;
    check(&hub, &owner, &shown, Some("not_by_certificate")).await;
    set(&hub, &owner, AuthenticationKind::Sas, known()).await;
    check(&hub, &owner, &shown, Some("not_by_certificate")).await;
    // Nor does it let in the device's modules.
    set(&hub, &owner, AuthenticationKind::SelfSigned, known()).await;
    set(
        &hub,
        &module("d1", "m"),
        AuthenticationKind::SelfSigned,
        Thumbprints::default(),
    )
    .await;
    check(&hub, &module("d1", "m"), &shown, Some("thumbprint")).await;
}

#[tokio::test]
async fn a_certificate_is_good_in_its_time_only() {
    let owner = device("d1");
    let authority = Authority::new("authority");
    let hub = hub_with(
        &owner,
        AuthenticationKind::SelfSigned,
        Thumbprints::default(),
    )
    .await;
    hub.trust_client_authorities(std::slice::from_ref(&authority.der))
        .unwrap();
    for years in [(2024, 2026), (2027, 2028)] {
        let wanted = Wanted {
            years,
            ..Wanted::default()
        };
        let shown = self_signed(&wanted);
        let known = primary(shown.fingerprint().sha256());
        set(&hub, &owner, AuthenticationKind::SelfSigned, known).await;
        check(&hub, &owner, &shown, Some("certificate_expired")).await;
        set(
            &hub,
            &owner,
            AuthenticationKind::CertificateAuthority,
            Thumbprints::default(),
        )
        .await;
        check(
            &hub,
            &owner,
            &authority.issue(&wanted),
            Some("certificate_expired"),
        )
        .await;
    }
}

#[tokio::test]
async fn a_certificate_of_a_trusted_authority_names_its_identity() {
    let owner = device("d1");
    let (trusted, other) = (Authority::new("trusted"), Authority::new("trusted"));
    let kind = AuthenticationKind::CertificateAuthority;
    let hub = hub_with(&owner, kind, Thumbprints::default()).await;
    let named = |names: &[&str]| {
        trusted.issue(&Wanted {
            names,
            ..Wanted::default()
        })
    };
    check(&hub, &owner, &named(&["d1"]), Some("authority")).await;
    hub.trust_client_authorities(std::slice::from_ref(&trusted.der))
        .unwrap();
    check(&hub, &owner, &named(&["d1"]), LET_IN).await;
    for names in [
        &["d10"][..],
        &["D1"],
        &["d1 "],
        &["d1\0"],
        &["d1/m"],
        &[""],
        &[],
        &["d1", "d2"],
        &["d2", "d1"],
    ] {
        check(&hub, &owner, &named(names), Some("common_name")).await;
    }
    let wrong = other.issue(&Wanted::default());
    check(&hub, &owner, &wrong, Some("authority")).await;
    check(
        &hub,
        &owner,
        &self_signed(&Wanted::default()),
        Some("authority"),
    )
    .await;
    let server = trusted.issue(&Wanted {
        usage: Some(ExtendedKeyUsagePurpose::ServerAuth),
        ..Wanted::default()
    });
    check(&hub, &owner, &server, Some("authority")).await;
    // The authority itself is nobody.
    let itself = PeerCertificate::new(std::slice::from_ref(&trusted.der)).unwrap();
    check(&hub, &owner, &itself, Some("authority")).await;

    let m = module("d1", "m");
    set(&hub, &m, kind, Thumbprints::default()).await;
    check(&hub, &m, &named(&["d1/m"]), LET_IN).await;
    for name in ["d1", "m", "d1/m/", "d10/m", "d1/m2", "/d1/m"] {
        check(&hub, &m, &named(&[name]), Some("common_name")).await;
    }
}

#[tokio::test]
async fn a_chain_leads_to_its_authority() {
    let owner = device("d1");
    let root = Authority::new("root");
    let mut params = Wanted {
        names: &["between"],
        usage: None,
        ..Wanted::default()
    }
    .params();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let between = params.signed_by(&key, &root.issuer).unwrap().der().clone();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let leaf = Wanted::default().params().signed_by(&key, &issuer).unwrap();
    let leaf = leaf.der().clone();
    let kind = AuthenticationKind::CertificateAuthority;
    let hub = hub_with(&owner, kind, Thumbprints::default()).await;
    hub.trust_client_authorities(std::slice::from_ref(&root.der))
        .unwrap();
    let whole = PeerCertificate::new(&[leaf.clone(), between]).unwrap();
    check(&hub, &owner, &whole, LET_IN).await;
    check(
        &hub,
        &owner,
        &PeerCertificate::new(&[leaf]).unwrap(),
        Some("authority"),
    )
    .await;
}

#[tokio::test]
async fn a_pass_ends_when_its_certificate_is_trusted_no_more() {
    let owner = device("d1");
    let shown = self_signed(&Wanted::default());
    let known = primary(shown.fingerprint().sha1());
    let hub = hub_with(&owner, AuthenticationKind::SelfSigned, known).await;
    let credentials = Credentials {
        token: None,
        certificate: Some(&shown),
    };
    let pass = hub.admit(&owner, &credentials).await.unwrap();
    set(
        &hub,
        &owner,
        AuthenticationKind::SelfSigned,
        primary("ab".repeat(20)),
    )
    .await;
    assert!(!hub.still_admitted(&pass).await.unwrap());

    let authority = Authority::new("authority");
    set(
        &hub,
        &owner,
        AuthenticationKind::CertificateAuthority,
        Thumbprints::default(),
    )
    .await;
    hub.trust_client_authorities(std::slice::from_ref(&authority.der))
        .unwrap();
    let issued = authority.issue(&Wanted::default());
    let credentials = Credentials {
        token: None,
        certificate: Some(&issued),
    };
    let pass = hub.admit(&owner, &credentials).await.unwrap();
    assert!(hub.still_admitted(&pass).await.unwrap());
    hub.trust_client_authorities(&[]).unwrap();
    assert!(!hub.still_admitted(&pass).await.unwrap());
    check(&hub, &owner, &issued, Some("authority")).await;
}

#[tokio::test]
async fn bytes_that_are_no_certificate_are_nobody() {
    let owner = device("d1");
    let junk = PeerCertificate::new(&[CertificateDer::from(vec![0x30, 0x03, 1, 2, 3])]).unwrap();
    let known = primary(junk.fingerprint().sha256());
    let hub = hub_with(&owner, AuthenticationKind::SelfSigned, known).await;
    check(&hub, &owner, &junk, Some("malformed_certificate")).await;
    assert_eq!(PeerCertificate::new(&[]), None);
    let bad = [CertificateDer::from(vec![1, 2, 3])];
    assert!(hub.trust_client_authorities(&bad).is_err());
}
