//! What a registry can do to whoever asks it: each tampered answer leaves nothing in the image store, says why, and
//! takes no more memory than its limit; and no secret reaches anybody but whom it is for.
#![expect(clippy::unwrap_used, reason = "all of this file is tests")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use serde_json::json;
use wasm_edge_images::credentials::{Credentials, LoginSource};
use wasm_edge_images::reference::{Reference, RegistryHost};
use wasm_edge_images::registry::{HostSettings, Registry, RegistryOptions};
use wasm_edge_images::store::sink::StoreSink;
use wasm_edge_images::store::{ImageStore, StoreLimits};
use wasm_edge_model::error::chain;
use wasm_edge_net::clock::HubClock;
use wasm_edge_net::traffic::Counter;
use wasm_edge_tests::certificates::Authority;
use wasm_edge_tests::hostile_registry::{
    Artifact, Asked, HostileRegistry, MANIFEST, Reply, digest_of,
};

/// The size of the honest component: larger than what is read at once.
const SIZE: usize = 200_000;

/// What an answer without end may get rid of: what is read of it, and what lies in buffers of both ends.
const ENDLESS_TAKEN_MAX_BYTES: u64 = 32 * 1024 * 1024;

/// One way to tamper.
struct Row {
    /// What is done.
    name: &'static str,
    /// What is answered instead of the honest answer.
    tamper: fn(&Asked, &Artifact) -> Option<Reply>,
    /// What is told.
    told: &'static str,
}

/// A place for an image store.
struct Site {
    folder: tempfile::TempDir,
    authority: Authority,
}

impl Site {
    fn new() -> Self {
        Self {
            folder: tempfile::TempDir::new().unwrap(),
            authority: Authority::new("registry of tests"),
        }
    }

    fn store(&self) -> ImageStore {
        let dir = Dir::open_ambient_dir(self.images(), ambient_authority()).unwrap();
        ImageStore::open(&dir, StoreLimits::default()).unwrap()
    }

    fn images(&self) -> PathBuf {
        let images = self.folder.path().join("images");
        std::fs::create_dir_all(&images).unwrap();
        images
    }

    fn authority(&self, tls: bool) -> Option<&Authority> {
        tls.then_some(&self.authority)
    }

    /// What is said of a stand-in.
    fn settings(&self, credentials: Credentials, tls: bool) -> HostSettings {
        let ca_file = self.folder.path().join("ca.pem");
        std::fs::write(&ca_file, self.authority.pem()).unwrap();
        HostSettings {
            credentials,
            plain_http: !tls,
            ca_file: tls.then_some(ca_file),
            ..HostSettings::default()
        }
    }

    fn registry(&self, hosts: Vec<(&HostileRegistry, HostSettings)>) -> Registry {
        let hosts = hosts.into_iter().map(|(stand_in, settings)| {
            let host = RegistryHost::parse(&stand_in.host()).unwrap();
            (host, settings)
        });
        Registry::new(RegistryOptions {
            proxy: None,
            clock: HubClock::new(None),
            connect_timeout: Duration::from_secs(20),
            hosts: hosts.collect(),
            allowed: None,
            docker: None,
            counter: Counter::default(),
        })
    }

    /// All files of the store that hold something of an image.
    fn left_behind(&self) -> Vec<PathBuf> {
        // What a failed pull leaves is swept when nobody pulls any more, at the latest when the store is opened.
        self.store().tidy();
        ["blobs/sha256", "partial"]
            .into_iter()
            .flat_map(|folder| files(&self.images().join(folder)))
            .collect()
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

fn reference(stand_in: &HostileRegistry) -> Reference {
    format!("{}/tools/filter:1.0", stand_in.host())
        .parse()
        .unwrap()
}

/// Pulls an image into a store as the device does, up to the manifest; the error as it is told.
async fn pull(registry: &Registry, from: &Reference, store: &ImageStore) -> Result<(), String> {
    let told = |err: &dyn std::error::Error| chain(err).to_string();
    let repository = registry.repository(from, &Credentials::Anonymous);
    let mut repository = repository.map_err(|err| told(&err))?;
    let image = repository.resolve().await.map_err(|err| told(&err))?.image;
    let _guard = store.pulling();
    for blob in [&image.config, &image.layer] {
        let sink = StoreSink::begin(store, blob).await;
        let Some(mut sink) = sink.map_err(|err| told(&err))? else {
            continue;
        };
        let pulled = repository.pull_blob(blob, &mut sink, &|_| {}).await;
        pulled.map_err(|err| told(&err))?;
        sink.finish().await.map_err(|err| told(&err))?;
    }
    Ok(())
}

async fn check(rows: &[Row]) {
    for row in rows {
        for tls in [true, false] {
            let site = Site::new();
            let artifact = Artifact::of_size(SIZE);
            let tamper = row.tamper;
            let stand_in = HostileRegistry::start(site.authority(tls), move |asked| {
                tamper(asked, &artifact).unwrap_or_else(|| artifact.answer(asked))
            });
            let settings = site.settings(Credentials::Anonymous, tls);
            let registry = site.registry(vec![(&stand_in, settings)]);
            let registry = registry.with_patience(Duration::from_millis(300));
            let store = site.store();
            let pulled = pull(&registry, &reference(&stand_in), &store).await;
            drop(store);
            let name = row.name;
            match pulled {
                Ok(()) => panic!("{name}: it was taken"),
                Err(told) => assert!(told.contains(row.told), "{name}: {told}"),
            }
            assert_eq!(site.left_behind(), Vec::<PathBuf>::new(), "{name}");
            let sent = stand_in.sent_bytes();
            assert!(sent < ENDLESS_TAKEN_MAX_BYTES, "{name}: {sent} bytes");
        }
    }
}

fn for_manifest(asked: &Asked, reply: impl FnOnce() -> Reply) -> Option<Reply> {
    asked.is_for("/manifests/").then(reply)
}

fn for_component(
    asked: &Asked,
    artifact: &Artifact,
    reply: impl FnOnce() -> Reply,
) -> Option<Reply> {
    let is_for = asked.is_for(&artifact.component_digest());
    is_for.then(reply)
}

/// The honest manifest with something changed.
fn changed(
    asked: &Asked,
    artifact: &Artifact,
    change: impl FnOnce(&mut serde_json::Value),
) -> Option<Reply> {
    let mut artifact = artifact.clone();
    change(&mut artifact.manifest);
    for_manifest(asked, || artifact.answer(asked))
}

#[tokio::test]
async fn an_honest_registry_is_believed() {
    for tls in [true, false] {
        let site = Site::new();
        let artifact = Artifact::of_size(SIZE);
        let stand_in =
            HostileRegistry::start(site.authority(tls), move |asked| artifact.answer(asked));
        let settings = site.settings(Credentials::Anonymous, tls);
        let registry = site.registry(vec![(&stand_in, settings)]);
        let store = site.store();
        let pulled = pull(&registry, &reference(&stand_in), &store).await;
        assert_eq!(pulled, Ok(()));
    }
}

#[tokio::test]
async fn manifests_that_were_tampered_with_are_refused() {
    check(&[
        Row {
            name: "the manifest has another digest than is said of it",
            tamper: |asked, artifact| {
                let other = digest_of(b"other");
                let manifest = artifact.manifest.to_string();
                for_manifest(asked, || {
                    Reply::new(200, manifest)
                        .header("content-type", MANIFEST)
                        .header("docker-content-digest", other)
                })
            },
            told: "has the digest `sha256:",
        },
        Row {
            name: "it is announced as something else",
            tamper: |asked, artifact| {
                let manifest = artifact.manifest.to_string();
                for_manifest(asked, || {
                    Reply::new(200, manifest).header("content-type", "text/html")
                })
            },
            told: "was announced as `text/html`",
        },
        Row {
            name: "it is something else",
            tamper: |asked, _| for_manifest(asked, || Reply::new(200, "<html>sign in</html>")),
            told: "it is not a manifest that can be read",
        },
        Row {
            name: "it is of another kind",
            tamper: |asked, artifact| {
                changed(asked, artifact, |manifest| {
                    manifest["mediaType"] = json!("application/x-other");
                })
            },
            told: "it says it is `application/x-other`",
        },
        Row {
            name: "its layer is a container's",
            tamper: |asked, artifact| {
                changed(asked, artifact, |manifest| {
                    let layer = "application/vnd.oci.image.layer.v1.tar+gzip";
                    manifest["layers"][0]["mediaType"] = json!(layer);
                })
            },
            told: "its layer is `application/vnd.oci.image.layer.v1.tar+gzip`, expected `application/wasm`",
        },
        Row {
            name: "its component is larger than any may be",
            tamper: |asked, artifact| {
                changed(asked, artifact, |manifest| {
                    manifest["layers"][0]["size"] = json!(1_u64 << 40);
                })
            },
            told: "its component has 1099511627776 bytes, more than 67108864",
        },
        Row {
            name: "its config is larger than any may be",
            tamper: |asked, artifact| {
                changed(asked, artifact, |manifest| {
                    manifest["config"]["size"] = json!(2_000_000);
                })
            },
            told: "its config has 2000000 bytes, more than 1048576",
        },
        Row {
            name: "a digest is a path",
            tamper: |asked, artifact| {
                changed(asked, artifact, |manifest| {
                    manifest["layers"][0]["digest"] = json!("sha256:../../../../etc/passwd");
                })
            },
            told: "`sha256:../../../../etc/passwd` does not end in 64 lower-case hexadecimal digits",
        },
    ])
    .await;
}

#[tokio::test]
async fn bombs_are_refused() {
    check(&[
        Row {
            name: "a manifest without end",
            tamper: |asked, _| for_manifest(asked, || Reply::endless(200)),
            told: "is larger than 1048576 bytes",
        },
        Row {
            name: "a deep manifest",
            tamper: |asked, _| for_manifest(asked, || Reply::new(200, "[".repeat(1_000_000))),
            told: "it is not a manifest that can be read",
        },
        Row {
            name: "a million layers",
            tamper: |asked, _| {
                let begin = format!(r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","layers":["#);
                for_manifest(asked, || Reply::new(200, begin + &"{},".repeat(1_000_000)))
            },
            told: "is larger than 1048576 bytes",
        },
        Row {
            name: "as many layers as fit",
            tamper: |asked, artifact| {
                changed(asked, artifact, |manifest| {
                    let layer = manifest["layers"][0].clone();
                    manifest["layers"] = vec![layer; 5000].into();
                })
            },
            told: "more than 200 entries",
        },
        Row {
            name: "an index of indexes",
            tamper: |asked, _| {
                let index = "application/vnd.oci.image.index.v1+json";
                let inner = json!({ "schemaVersion": 2, "mediaType": index, "manifests": [] });
                let inner = inner.to_string();
                let entry = json!({
                    "mediaType": index,
                    "digest": digest_of(inner.as_bytes()),
                    "size": inner.len(),
                });
                let outer = json!({ "schemaVersion": 2, "mediaType": index, "manifests": [entry] });
                let body = match asked.is_for("/manifests/1.0") {
                    true => outer.to_string(),
                    false => inner,
                };
                for_manifest(asked, || {
                    Reply::new(200, body).header("content-type", index)
                })
            },
            told: "its media type is `application/vnd.oci.image.index.v1+json`",
        },
        Row {
            name: "an error without end",
            tamper: |asked, _| for_manifest(asked, || Reply::endless(404)),
            told: "there is no manifest `1.0`",
        },
        Row {
            name: "an error of a blob without end",
            tamper: |asked, artifact| for_component(asked, artifact, || Reply::endless(403)),
            told: "does not let somebody without a name have blob",
        },
        Row {
            name: "a head without end",
            tamper: |asked, artifact| for_component(asked, artifact, Reply::endless_head),
            told: "message head is too large",
        },
        Row {
            name: "a blob without end",
            tamper: |asked, artifact| for_component(asked, artifact, || Reply::endless(200)),
            told: "has more bytes, expected 200000",
        },
    ])
    .await;
}

#[tokio::test]
async fn blobs_that_were_tampered_with_are_refused() {
    check(&[
        Row {
            name: "other bytes",
            tamper: |asked, artifact| {
                for_component(asked, artifact, || Reply::new(200, vec![7; SIZE]))
            },
            told: "has the digest `sha256:",
        },
        Row {
            name: "too few bytes, as is said",
            tamper: |asked, artifact| {
                let less = artifact.component[..SIZE - 1].to_vec();
                for_component(asked, artifact, || Reply::new(200, less))
            },
            told: "has 199999 bytes, expected 200000",
        },
        Row {
            name: "too few bytes in chunks",
            tamper: |asked, artifact| {
                let less = artifact.component[..SIZE - 1].to_vec();
                for_component(asked, artifact, || Reply::new(200, less).chunked())
            },
            told: "has 199999 bytes, expected 200000",
        },
        Row {
            name: "too many bytes in chunks",
            tamper: |asked, artifact| {
                let mut more = artifact.component.clone();
                more.push(0);
                for_component(asked, artifact, || Reply::new(200, more).chunked())
            },
            told: "has more bytes, expected 200000",
        },
        Row {
            name: "encoded bytes",
            tamper: |asked, artifact| {
                let reply = Reply::new(200, artifact.component.clone());
                for_component(asked, artifact, || reply.header("content-encoding", "gzip"))
            },
            told: "is encoded as `gzip`",
        },
        Row {
            name: "a part that was not asked for",
            tamper: |asked, artifact| {
                let range = format!("bytes 0-{}/{SIZE}", SIZE - 1);
                let reply = Reply::new(206, artifact.component.clone());
                for_component(asked, artifact, || reply.header("content-range", range))
            },
            told: "from byte 0 on, it answered with `bytes 0-199999/200000`",
        },
        Row {
            name: "another part than the one that is missing",
            tamper: |asked, artifact| {
                let half = artifact.component[..SIZE / 2].to_vec();
                for_component(asked, artifact, || match asked.header("range") {
                    None => Reply::cut(200, half, SIZE),
                    Some(_) => {
                        let range = format!("bytes 0-{}/{SIZE}", SIZE / 2 - 1);
                        Reply::new(206, half).header("content-range", range)
                    }
                })
            },
            told: "it answered with `bytes 0-99999/200000`",
        },
        Row {
            name: "a rest that is none",
            tamper: |asked, artifact| {
                let half = artifact.component[..SIZE / 2].to_vec();
                for_component(asked, artifact, || match asked.header("range") {
                    None => Reply::cut(200, half, SIZE),
                    Some(_) => {
                        let range = format!("bytes {}-{}/{SIZE}", SIZE / 2, SIZE - 1);
                        Reply::new(206, half).header("content-range", range)
                    }
                })
            },
            told: "has the digest `sha256:",
        },
        Row {
            name: "no part at all",
            tamper: |asked, artifact| {
                let half = artifact.component[..SIZE / 2].to_vec();
                for_component(asked, artifact, || match asked.header("range") {
                    None => Reply::cut(200, half, SIZE),
                    Some(_) => Reply::new(416, ""),
                })
            },
            told: "it answered with status 416",
        },
        Row {
            name: "nothing, well said",
            tamper: |asked, artifact| for_component(asked, artifact, || Reply::new(204, "")),
            told: "it answered with status 204",
        },
        Row {
            name: "a wait for years",
            tamper: |asked, artifact| {
                let reply = Reply::new(429, r#"{"errors":[{"code":"TOOMANYREQUESTS"}]}"#);
                for_component(asked, artifact, || reply.header("retry-after", u64::MAX))
            },
            told: "it wants to be left alone for 18446744073709551615 s: TOOMANYREQUESTS",
        },
    ])
    .await;
}

#[tokio::test]
async fn where_a_registry_leads_is_gone_to_only_so_far() {
    check(&[
        Row {
            name: "in a circle",
            tamper: |asked, artifact| {
                for_component(asked, artifact, || Reply::redirect(307, &asked.target))
            },
            told: "was led on more than 5 times",
        },
        Row {
            name: "to a host without TLS",
            tamper: |asked, artifact| {
                for_component(asked, artifact, || {
                    Reply::redirect(302, "http://localhost:1/x")
                })
            },
            told: "`http://localhost:1/x` is without TLS",
        },
        Row {
            name: "to a file",
            tamper: |asked, artifact| {
                for_component(asked, artifact, || {
                    Reply::redirect(302, "file:///etc/passwd")
                })
            },
            told: "`file:///etc/passwd` is not of `https:`",
        },
        Row {
            name: "with a password",
            tamper: |asked, artifact| {
                for_component(asked, artifact, || {
                    Reply::redirect(302, "https://a:b@localhost:1/")
                })
            },
            told: "a user stands in the address",
        },
        Row {
            name: "nowhere",
            tamper: |asked, artifact| for_component(asked, artifact, || Reply::new(301, "")),
            told: "it names no address",
        },
        Row {
            name: "to who gives out tokens without TLS",
            tamper: |_, _| {
                let challenge = r#"Bearer realm="http://localhost:1/token",service="x""#;
                Some(Reply::new(401, "").header("www-authenticate", challenge))
            },
            told: "`http://localhost:1/token` is without TLS",
        },
        Row {
            name: "to sign in as nobody knows",
            tamper: |_, _| {
                Some(
                    Reply::new(401, "").header("www-authenticate", "Negotiate, Digest realm=\"x\""),
                )
            },
            told: "offers neither `Basic` nor `Bearer`",
        },
    ])
    .await;
}

/// What came of a blob that drips is no lie yet: it may be gone on with, and it is little.
#[tokio::test]
async fn what_drips_is_given_up() {
    let site = Site::new();
    let artifact = Artifact::of_size(SIZE);
    let stand_in = HostileRegistry::start(None, move |asked| {
        let dripping = for_component(asked, &artifact, || Reply::drip(200));
        dripping.unwrap_or_else(|| artifact.answer(asked))
    });
    let settings = site.settings(Credentials::Anonymous, false);
    let registry = site.registry(vec![(&stand_in, settings)]);
    let registry = registry.with_patience(Duration::from_millis(300));
    let pulled = pull(&registry, &reference(&stand_in), &site.store()).await;
    let told = pulled.unwrap_err();
    assert!(told.contains("sent or took next to nothing"), "{told}");
    let left = site.left_behind();
    let [part] = left.as_slice() else {
        panic!("{left:?}");
    };
    assert!(part.starts_with(site.images().join("partial")), "{part:?}");
    let size = std::fs::metadata(part).unwrap().len();
    assert!(size <= stand_in.sent_bytes(), "{size}");
}

#[tokio::test]
async fn errors_that_do_not_pass_are_given_up() {
    check(&[Row {
        name: "never now",
        tamper: |asked, _| for_manifest(asked, || Reply::endless(503).header("retry-after", "0")),
        told: "it answered with status 503",
    }])
    .await;
}

#[tokio::test]
async fn a_transfer_that_is_cut_again_and_again_goes_on() {
    let site = Site::new();
    let artifact = Artifact::of_size(3 * SIZE);
    let honest = artifact.clone();
    // Each answer ends after as much as counts as going on, and a bit.
    let stand_in = HostileRegistry::start(None, move |asked| {
        if !asked.is_for(&artifact.component_digest()) {
            return artifact.answer(asked);
        }
        let from = asked.header("range").map_or(0, |range| {
            let from = range.trim_start_matches("bytes=").trim_end_matches('-');
            from.parse().unwrap()
        });
        let rest = &artifact.component[from..];
        let status = if from == 0 { 200 } else { 206 };
        let range = format!("bytes {from}-{}/{}", 3 * SIZE - 1, 3 * SIZE);
        let some = rest[..rest.len().min(70_000)].to_vec();
        Reply::cut(status, some, rest.len()).header("content-range", range)
    });
    let settings = site.settings(Credentials::Anonymous, false);
    let registry = site.registry(vec![(&stand_in, settings)]);
    let store = site.store();
    let pulled = pull(&registry, &reference(&stand_in), &store).await;
    assert_eq!(pulled, Ok(()));
    let digest = honest.component_digest().parse().unwrap();
    assert!(store.component(&digest).is_ok());
    // Nothing was sent twice: each range begins where the one before ended.
    let asked = stand_in.asked();
    let ranges = asked.iter().filter_map(|asked| asked.header("range"));
    let ranges: Vec<_> = ranges.map(str::to_owned).collect();
    let expected: Vec<_> = (1..=8)
        .map(|cut| format!("bytes={}-", cut * 70_000))
        .collect();
    assert_eq!(ranges, expected);
}

#[tokio::test]
async fn a_server_without_ranges_is_gone_on_with() {
    let site = Site::new();
    let artifact = Artifact::of_size(SIZE);
    let stand_in = HostileRegistry::start(None, move |asked| {
        let is_first = asked.header("range").is_none();
        match asked.is_for(&artifact.component_digest()) && is_first {
            true => Reply::cut(200, artifact.component[..SIZE / 2].to_vec(), SIZE),
            false => artifact.answer(asked),
        }
    });
    let settings = site.settings(Credentials::Anonymous, false);
    let registry = site.registry(vec![(&stand_in, settings)]);
    let pulled = pull(&registry, &reference(&stand_in), &site.store()).await;
    assert_eq!(pulled, Ok(()));
}

/// Wants a token that this realm gives out.
fn wants_token(asked: &Asked, realm: &str) -> Option<Reply> {
    let challenge = format!(r#"Bearer realm="{realm}",service="tests""#);
    let is_signed = asked.header("authorization") == Some("Bearer token-for-registry");
    (!is_signed).then(|| Reply::new(401, "").header("www-authenticate", challenge))
}

#[tokio::test]
async fn tokens_that_cannot_be_used_are_refused() {
    let check = async |token: fn() -> Reply, expected: &str| {
        let site = Site::new();
        let tokens = HostileRegistry::start(Some(&site.authority), move |_| token());
        let realm = tokens.url("/token");
        let artifact = Artifact::of_size(SIZE);
        let stand_in = HostileRegistry::start(Some(&site.authority), move |asked| {
            wants_token(asked, &realm).unwrap_or_else(|| artifact.answer(asked))
        });
        let settings = site.settings(Credentials::Anonymous, true);
        let registry = site.registry(vec![(&stand_in, settings)]);
        let pulled = pull(&registry, &reference(&stand_in), &site.store()).await;
        let told = pulled.unwrap_err();
        assert!(told.contains(expected), "{expected}: {told}");
        assert!(tokens.sent_bytes() < ENDLESS_TAKEN_MAX_BYTES);
    };
    check(|| Reply::endless(200), "is larger than 65536 bytes").await;
    check(
        || Reply::endless(403),
        "does not let somebody without a name",
    )
    .await;
    let unusable = "gave no token that can be used";
    check(|| Reply::new(200, "token"), unusable).await;
    check(|| Reply::new(200, "{}"), unusable).await;
    const SPLIT: &str = r#"{"token":"a\r\nx-evil: b"}"#;
    check(|| Reply::new(200, SPLIT), unusable).await;
    // One that is refused is not asked for again and again.
    const WRONG: &str = r#"{"token":"wrong"}"#;
    check(|| Reply::new(200, WRONG), "does not let somebody").await;
    // User and password are not carried on from who gives out tokens.
    check(
        || Reply::redirect(307, "/elsewhere"),
        "it answered with status 307",
    )
    .await;
}

/// What each of the requests had as `Authorization`.
fn secrets(stand_in: &HostileRegistry) -> Vec<Option<String>> {
    let asked = stand_in.asked().into_iter();
    asked
        .map(|asked| asked.header("authorization").map(str::to_owned))
        .collect()
}

#[tokio::test]
async fn a_token_and_a_password_reach_only_whom_they_are_for() {
    let site = Site::new();
    let authority = Some(&site.authority);
    let artifact = Artifact::of_size(SIZE);
    let behind = artifact.clone();
    let storage = HostileRegistry::start(authority, move |_| {
        // It asks for what it has no right to.
        Reply::new(200, behind.component.clone()).header("www-authenticate", "Basic")
    });
    let tokens = HostileRegistry::start(authority, |_| {
        Reply::new(200, r#"{"token":"token-for-registry"}"#)
    });
    let (realm, stored) = (tokens.url("/token"), storage.url("/signed?key=1"));
    let served = artifact.clone();
    let origin = HostileRegistry::start(authority, move |asked| {
        if let Some(challenge) = wants_token(asked, &realm) {
            return challenge;
        }
        match asked.is_for(&served.component_digest()) {
            true => Reply::redirect(307, &stored),
            false => served.answer(asked),
        }
    });
    let nosy = HostileRegistry::start(authority, |_| {
        Reply::new(401, "").header("www-authenticate", "Basic realm=\"mirror\"")
    });
    let login = Credentials::basic("board", "open-sesame", LoginSource::Configuration);
    let mut settings = site.settings(login, true);
    let mirror = wasm_edge_images::registry::Mirror::parse(&nosy.host()).unwrap();
    settings.mirrors = vec![mirror];
    let nobody = site.settings(Credentials::Anonymous, true);
    let registry = site.registry(vec![(&origin, settings), (&nosy, nobody)]);
    let pulled = pull(&registry, &reference(&origin), &site.store()).await;
    assert_eq!(pulled, Ok(()));
    let basic = "Basic Ym9hcmQ6b3Blbi1zZXNhbWU=".to_owned();
    assert_eq!(secrets(&storage), [None], "the storage");
    assert_eq!(secrets(&nosy), [None], "a mirror");
    assert_eq!(secrets(&tokens), [Some(basic)], "who gives out tokens");
    let bearer = Some("Bearer token-for-registry".to_owned());
    let expected = [None, bearer.clone(), bearer.clone(), bearer];
    assert_eq!(secrets(&origin), expected, "the registry");
    assert!(tokens.asked()[0].is_for("scope=repository%3Atools%2Ffilter%3Apull"));
    for stand_in in [&storage, &nosy, &tokens, &origin] {
        let told = format!("{:?}", stand_in.asked());
        assert!(
            !told.contains("cookie") && !told.contains("referer"),
            "{told}"
        );
    }
}

#[tokio::test]
async fn storage_that_wants_to_know_who_asks_is_told_nothing() {
    let site = Site::new();
    let authority = Some(&site.authority);
    let storage = HostileRegistry::start(authority, |_| {
        Reply::new(401, "").header("www-authenticate", "Basic realm=\"x\"")
    });
    let stored = storage.url("/x");
    let artifact = Artifact::of_size(SIZE);
    let origin = HostileRegistry::start(authority, move |asked| {
        for_component(asked, &artifact, || Reply::redirect(302, &stored))
            .unwrap_or_else(|| artifact.answer(asked))
    });
    let settings = site.settings(
        Credentials::basic("board", "open-sesame", LoginSource::Configuration),
        true,
    );
    let registry = site.registry(vec![(&origin, settings)]);
    let pulled = pull(&registry, &reference(&origin), &site.store()).await;
    let told = pulled.unwrap_err();
    assert!(
        told.contains("does not let the user `board` have blob"),
        "{told}"
    );
    assert_eq!(secrets(&storage), [None]);
    // Nobody asked the registry itself for a name, and so it got none.
    assert!(secrets(&origin).iter().all(Option::is_none));
}

#[tokio::test]
async fn an_upload_that_goes_on_elsewhere_takes_no_token_along() {
    use wasm_edge_images::document::{ComponentFacts, ImageFacts, PackedImage};
    use wasm_edge_images::registry::blob::BlobSource;

    let component = Artifact::of_size(SIZE).component;
    let facts = ImageFacts {
        created: "2026-08-01T10:00:00Z".parse().unwrap(),
        author: None,
        file_name: None,
        component: ComponentFacts::default(),
        annotations: [].into(),
    };
    let digest = digest_of(&component).parse().unwrap();
    let packed = PackedImage::new(digest, SIZE as u64, &facts);
    let push = async |registry: Registry, to: Reference| {
        let repository = registry.repository(&to, &Credentials::Anonymous);
        let source = BlobSource::Bytes(component.clone().into());
        let pushed = repository.unwrap().push(&packed, &source, &|_| {}).await;
        pushed.map_err(|err| chain(&err).to_string())
    };
    let site = Site::new();
    let authority = Some(&site.authority);
    let storage = HostileRegistry::start(authority, |_| Reply::new(201, ""));
    let uploads = storage.url("/upload?id=1");
    let origin = HostileRegistry::start(authority, move |asked| {
        let signed = asked.header("authorization").is_some();
        match asked.method.as_str() {
            _ if !signed => Reply::new(401, "").header("www-authenticate", "Basic realm=\"x\""),
            "HEAD" => Reply::new(404, ""),
            "POST" => Reply::redirect(202, &uploads),
            _ => Reply::new(201, ""),
        }
    });
    let settings = site.settings(
        Credentials::basic("board", "open-sesame", LoginSource::Configuration),
        true,
    );
    let registry = site.registry(vec![(&origin, settings.clone())]);
    assert_eq!(push(registry, reference(&origin)).await, Ok(packed.digest));
    assert_eq!(secrets(&storage), [None, None]);
    let put = &storage.asked()[0];
    assert_eq!(put.body_bytes, SIZE as u64);
    assert!(
        put.is_for(&format!("/upload?id=1&digest={}", digest_of(&component))),
        "{put:?}"
    );

    // Nor does it go on without TLS.
    let plain = HostileRegistry::start(None, |_| Reply::new(201, ""));
    let uploads = plain.url("/upload");
    let origin = HostileRegistry::start(authority, move |asked| match asked.method.as_str() {
        "HEAD" => Reply::new(404, ""),
        _ => Reply::redirect(202, &uploads),
    });
    let registry = site.registry(vec![(&origin, settings)]);
    let told = push(registry, reference(&origin)).await.unwrap_err();
    assert!(told.contains("is without TLS"), "{told}");
    assert!(plain.asked().is_empty());
}
