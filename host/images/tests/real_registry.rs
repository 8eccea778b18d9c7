//! The client against a real registry, Debian's: what is pushed is pulled again, through each door.
#![expect(clippy::unwrap_used, reason = "all of this file is tests")]

use std::collections::BTreeMap;
use std::time::Duration;

use wasm_edge_images::credentials::{Credentials, DockerConfig, LoginSource};
use wasm_edge_images::digest::Digest;
use wasm_edge_images::document::{ComponentFacts, ImageFacts, PackedImage};
use wasm_edge_images::reference::{Reference, RegistryHost};
use wasm_edge_images::registry::blob::BlobSource;
use wasm_edge_images::registry::error::{Asker, RegistryError};
use wasm_edge_images::registry::{HostSettings, Mirror, Registry, RegistryOptions};
use wasm_edge_net::clock::HubClock;
use wasm_edge_net::traffic::Counter;
use wasm_edge_tests::home::Home;
use wasm_edge_tests::proxy::Proxy;
use wasm_edge_tests::registry::{self as real, Door, LOGIN};
use wasm_edge_tests::wait;

fn host(real: &real::Registry) -> RegistryHost {
    RegistryHost::parse(&real.host()).unwrap()
}

/// What is said of a registry to trust it, and to be nobody there.
fn settings(real: &real::Registry) -> HostSettings {
    HostSettings {
        plain_http: !real.has_tls(),
        ca_file: real.has_tls().then(|| real.ca_file()),
        ..HostSettings::default()
    }
}

fn options(hosts: impl IntoIterator<Item = (RegistryHost, HostSettings)>) -> RegistryOptions {
    RegistryOptions {
        proxy: None,
        clock: HubClock::new(None),
        connect_timeout: Duration::from_secs(20),
        hosts: hosts.into_iter().collect(),
        allowed: None,
        docker: None,
        counter: Counter::default(),
    }
}

fn login() -> Credentials {
    Credentials::basic(LOGIN.0, LOGIN.1, LoginSource::Configuration)
}

/// A component of this size and its image. The registry does not look into it.
fn image(size: usize) -> (Vec<u8>, PackedImage) {
    let component: Vec<u8> = (0..size).map(|index| (index % 251) as u8).collect();
    let facts = ImageFacts {
        created: "2026-08-01T10:00:00Z".parse().unwrap(),
        author: None,
        file_name: Some("filter.wasm".to_owned()),
        component: ComponentFacts::default(),
        annotations: BTreeMap::new(),
    };
    let packed = PackedImage::new(Digest::of(&component), size as u64, &facts);
    (component, packed)
}

fn reference(real: &real::Registry, name: &str) -> Reference {
    real.reference(name).parse().unwrap()
}

async fn push(registry: &Registry, to: &Reference, size: usize) -> Result<Digest, RegistryError> {
    let (component, packed) = image(size);
    let source = BlobSource::Bytes(component.into());
    let mut repository = registry.repository(to, &Credentials::Anonymous)?;
    let digest = repository.push(&packed, &source, &|_| {}).await?;
    assert_eq!(digest, packed.digest);
    Ok(digest)
}

/// Pulls an image and answers its component.
async fn pull(
    registry: &Registry,
    from: &Reference,
    given: &Credentials,
) -> Result<Vec<u8>, RegistryError> {
    let mut repository = registry.repository(from, given)?;
    let resolved = repository.resolve().await?;
    assert_eq!(Digest::of(&resolved.manifest), resolved.manifest_digest);
    let (mut config, mut component) = (Vec::new(), Vec::new());
    let image = &resolved.image;
    repository
        .pull_blob(&image.config, &mut config, &|_| {})
        .await?;
    repository
        .pull_blob(&image.layer, &mut component, &|_| {})
        .await?;
    assert_eq!(Digest::of(&config), image.config.digest);
    Ok(component)
}

#[tokio::test]
async fn what_is_pushed_is_pulled_through_each_door() {
    for options_of_real in real::WAYS {
        let door = options_of_real.door;
        let Some(real) = real::Registry::start_with(options_of_real) else {
            return;
        };
        let mut with_login = settings(&real);
        if door != Door::Open {
            with_login.credentials = login();
        }
        let registry = Registry::new(options([(host(&real), with_login)]));
        let nobody = Registry::new(options([(host(&real), settings(&real))]));
        let to = reference(&real, "tools/filter:1.0");
        let digest = push(&registry, &to, 300_000).await.unwrap();
        let (component, _) = image(300_000);
        for from in [to.clone(), to.pinned(digest)] {
            let pulled = pull(&registry, &from, &Credentials::Anonymous)
                .await
                .unwrap();
            assert_eq!(pulled, component, "{door:?}");
        }
        let with_given = pull(&nobody, &to, &login()).await.unwrap();
        assert_eq!(with_given, component);
        let without = pull(&nobody, &to, &Credentials::Anonymous).await;
        match door {
            Door::Password => {
                let err = without.unwrap_err();
                assert!(
                    matches!(err, RegistryError::Unauthorized { ref asker, .. } if **asker == Asker::Nobody),
                    "{err}"
                );
                let wrong = Credentials::basic(LOGIN.0, "wrong", LoginSource::Deployment);
                let err = pull(&nobody, &to, &wrong).await.unwrap_err();
                assert!(err.to_string().contains("the user `board`"), "{err}");
            }
            // Everybody may pull with a token, and not push.
            _ => assert_eq!(without.unwrap(), component),
        }
        if door != Door::Open {
            let err = push(&nobody, &reference(&real, "tools/x:1"), 10).await;
            let err = err.unwrap_err();
            assert!(matches!(err, RegistryError::Unauthorized { .. }), "{err}");
            assert!(!err.is_passing());
        }
        let missing = reference(&real, "tools/filter:2.0");
        let err = pull(&registry, &missing, &Credentials::Anonymous).await;
        let err = err.unwrap_err();
        assert!(matches!(err, RegistryError::NotFound { .. }), "{err}");
        assert!(
            err.to_string().contains("MANIFEST_UNKNOWN"),
            "{err}: {}",
            err.hint()
        );
    }
}

#[tokio::test]
async fn what_a_registry_has_is_not_sent_again() {
    let Some(mut real) = real::Registry::start() else {
        return;
    };
    let registry = Registry::new(options([(host(&real), settings(&real))]));
    let first = push(&registry, &reference(&real, "filter:1"), 70_000).await;
    let second = push(&registry, &reference(&real, "filter:2"), 70_000).await;
    assert_eq!(first.unwrap(), second.unwrap());
    let uploads = real.all_answered_with("/blobs/uploads/");
    let put = uploads.iter().filter(|answered| answered.method == "PUT");
    assert_eq!(
        put.count(),
        2,
        "component and config, once each: {uploads:?}"
    );
}

#[tokio::test]
async fn a_transfer_goes_on_where_it_was_cut() {
    let Some(real) = real::Registry::start() else {
        return;
    };
    let registry = Registry::new(options([(host(&real), settings(&real))]));
    let to = reference(&real, "filter:1");
    push(&registry, &to, 500_000).await.unwrap();
    let mut repository = registry.repository(&to, &Credentials::Anonymous).unwrap();
    let layer = repository.resolve().await.unwrap().image.layer;
    let (component, _) = image(500_000);
    let mut sink = component[..400_000].to_vec();
    let told = std::sync::Mutex::new(Vec::new());
    let progress = |bytes| told.lock().unwrap().push(bytes);
    repository
        .pull_blob(&layer, &mut sink, &progress)
        .await
        .unwrap();
    assert_eq!(sink, component);
    let sent = real.wait_answered("GET", "/blobs/");
    assert_eq!((sent.status, sent.sent_bytes), (206, 100_000));
    let told = told.into_inner().unwrap();
    assert_eq!((told[0], *told.last().unwrap()), (400_000, 500_000));
    // What was there is damaged: it is thrown away, and all is asked for once.
    let mut damaged = vec![7; 400_000];
    repository
        .pull_blob(&layer, &mut damaged, &|_| {})
        .await
        .unwrap();
    assert_eq!(damaged, component);
    // What was there is too much, or whole and wrong.
    for length in [500_000, 600_000] {
        let mut wrong = vec![7; length];
        repository
            .pull_blob(&layer, &mut wrong, &|_| {})
            .await
            .unwrap();
        assert_eq!(wrong, component);
    }
    // What is there is asked for not at all.
    repository.resolve().await.unwrap();
    let before = blobs_answered_before(&real, 2);
    repository
        .pull_blob(&layer, &mut damaged, &|_| {})
        .await
        .unwrap();
    repository.resolve().await.unwrap();
    assert_eq!(blobs_answered_before(&real, 3), before);
}

/// How many blobs were answered before this many manifests were. What a registry says of itself comes later than its
/// answer, but in order, as long as one connection is used.
fn blobs_answered_before(real: &real::Registry, manifests: usize) -> usize {
    wait::until("the manifests to be answered", || {
        let all = real.answered();
        let of = |part: &str| {
            let fits = |answered: &&real::Answered| {
                answered.method == "GET" && answered.target.contains(part)
            };
            all.iter().filter(fits).count()
        };
        (of("/manifests/") == manifests).then(|| of("/blobs/"))
    })
}

#[tokio::test]
async fn a_mirror_is_asked_first_and_gets_no_password_of_others() {
    let (Some(origin), Some(mirror)) = (
        real::Registry::behind(Door::Password),
        real::Registry::start(),
    ) else {
        return;
    };
    let mirrored = |prefix: &str, credentials| HostSettings {
        credentials,
        mirrors: vec![Mirror {
            host: host(&mirror),
            prefix: prefix.to_owned(),
        }],
        ..settings(&origin)
    };
    let of = |prefix, credentials| {
        Registry::new(options([
            (host(&origin), mirrored(prefix, credentials)),
            (host(&mirror), settings(&mirror)),
        ]))
    };
    let registry = of("proxy/tests", login());
    let name = reference(&origin, "a/filter:1");
    // Only the mirror has it, under its prefix.
    push(
        &registry,
        &reference(&mirror, "proxy/tests/a/filter:1"),
        5000,
    )
    .await
    .unwrap();
    let (component, _) = image(5000);
    let pulled = pull(&registry, &name, &Credentials::Anonymous).await;
    assert_eq!(pulled.unwrap(), component);
    assert!(origin.answered().is_empty());
    // Only the registry has it.
    push(&registry, &reference(&origin, "b/filter:1"), 5000)
        .await
        .unwrap();
    let name = reference(&origin, "b/filter:1");
    let pulled = pull(&registry, &name, &Credentials::Anonymous).await;
    assert_eq!(pulled.unwrap(), component);
    // Nobody has it: what the registry itself says counts.
    let name = reference(&origin, "c/filter:1");
    let err = pull(&registry, &name, &Credentials::Anonymous)
        .await
        .unwrap_err();
    assert!(err.to_string().contains(&origin.host()), "{err}");
}

#[tokio::test]
async fn a_docker_config_opens_a_registry_and_a_policy_closes_it() {
    let Some(real) = real::Registry::behind(Door::Password) else {
        return;
    };
    let folder = tempfile::TempDir::new().unwrap();
    let file = real::docker_config(folder.path(), &real.host(), LOGIN);
    let docker = DockerConfig::read(&file, &std::fs::read_to_string(&file).unwrap()).unwrap();
    let hosts = [(host(&real), settings(&real))];
    let registry = Registry::new(RegistryOptions {
        docker: Some(docker),
        ..options(hosts.clone())
    });
    let name = reference(&real, "filter:1");
    push(&registry, &name, 100).await.unwrap();
    let password = folder.path().join("password");
    std::fs::write(&password, format!("{}\n", LOGIN.1)).unwrap();
    let from_file = HostSettings {
        credentials: Credentials::basic(LOGIN.0, "", LoginSource::Configuration),
        password_file: Some(password),
        ..settings(&real)
    };
    let registry = Registry::new(options([(host(&real), from_file)]));
    pull(&registry, &name, &Credentials::Anonymous)
        .await
        .unwrap();
    let closed = Registry::new(RegistryOptions {
        allowed: Some(vec![RegistryHost::parse("registry.example.org").unwrap()]),
        ..options(hosts)
    });
    let err = closed.repository(&name, &login()).unwrap_err();
    assert!(matches!(err, RegistryError::NotAllowed { .. }), "{err}");
}

#[tokio::test]
async fn a_registry_is_asked_through_the_proxy() {
    let home = Home::new();
    let (Some(real), Some(proxy)) = (
        real::Registry::start(),
        Proxy::start(&home, Some(("u", "p"))),
    ) else {
        return;
    };
    let hosts = [(host(&real), settings(&real))];
    let through = |login: &str| {
        Registry::new(RegistryOptions {
            proxy: Some(proxy.url(login).parse().unwrap()),
            ..options(hosts.clone())
        })
    };
    let name = reference(&real, "filter:1");
    push(&through("u:p@"), &name, 1000).await.unwrap();
    let pulled = pull(&through("u:p@"), &name, &Credentials::Anonymous).await;
    assert_eq!(pulled.unwrap().len(), 1000);
    assert_eq!(proxy.tunnels(real.port()), 2, "one for each repository");
    let err = pull(&through(""), &name, &Credentials::Anonymous).await;
    let err = err.unwrap_err();
    assert!(matches!(err, RegistryError::Http { .. }), "{err}");
    assert!(err.is_passing());
}
