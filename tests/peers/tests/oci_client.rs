//! `oci-client`, which `wkg` and `wash` pull and push with, against a real registry: it pulls what we push, and we pull
//! what it pushes.
#![expect(clippy::unwrap_used, reason = "all of this file is tests")]

use std::collections::BTreeMap;
use std::time::Duration;

use oci_client::client::{Certificate, CertificateEncoding, ClientConfig, Config, ImageLayer};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference as PeerReference};
use wasm_edge_images::credentials::{Credentials, LoginSource};
use wasm_edge_images::digest::Digest;
use wasm_edge_images::document::{
    ComponentFacts, ImageFacts, PackedImage, WASM_CONFIG, WASM_LAYER,
};
use wasm_edge_images::reference::{Reference, RegistryHost};
use wasm_edge_images::registry::blob::BlobSource;
use wasm_edge_images::registry::{HostSettings, Registry, RegistryOptions};
use wasm_edge_net::clock::HubClock;
use wasm_edge_net::traffic::Counter;
use wasm_edge_tests::registry::{self as real, Door, LOGIN};

fn ours(real: &real::Registry) -> Registry {
    let settings = HostSettings {
        credentials: Credentials::basic(LOGIN.0, LOGIN.1, LoginSource::Configuration),
        ca_file: Some(real.ca_file()),
        ..HostSettings::default()
    };
    Registry::new(RegistryOptions {
        proxy: None,
        clock: HubClock::new(None),
        connect_timeout: Duration::from_secs(20),
        hosts: BTreeMap::from([(RegistryHost::parse(&real.host()).unwrap(), settings)]),
        allowed: None,
        docker: None,
        counter: Counter::default(),
    })
}

fn peer(real: &real::Registry) -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let authority = Certificate {
        encoding: CertificateEncoding::Pem,
        data: real.ca_pem().as_bytes().to_vec(),
    };
    Client::new(ClientConfig {
        extra_root_certificates: vec![authority],
        ..ClientConfig::default()
    })
}

fn auth() -> RegistryAuth {
    RegistryAuth::Basic(LOGIN.0.to_owned(), LOGIN.1.to_owned())
}

fn component() -> Vec<u8> {
    (0..300_000).map(|index| (index % 251) as u8).collect()
}

#[tokio::test]
async fn it_pulls_what_we_push() {
    for door in [Door::Password, Door::Token] {
        let Some(real) = real::Registry::behind(door) else {
            return;
        };
        let component = component();
        let facts = ImageFacts {
            created: "2026-08-01T10:00:00Z".parse().unwrap(),
            author: None,
            file_name: Some("filter.wasm".to_owned()),
            component: ComponentFacts::default(),
            annotations: BTreeMap::new(),
        };
        let digest = Digest::of(&component);
        let packed = PackedImage::new(digest, component.len() as u64, &facts);
        let name = real.reference("tools/filter:1.0");
        let reference: Reference = name.parse().unwrap();
        let repository = ours(&real).repository(&reference, &Credentials::Anonymous);
        let source = BlobSource::Bytes(component.clone().into());
        let pushed = repository.unwrap().push(&packed, &source, &|_| {}).await;
        assert_eq!(pushed.unwrap(), packed.digest);
        let name: PeerReference = name.parse().unwrap();
        let pulled = peer(&real).pull(&name, &auth(), vec![WASM_LAYER]).await;
        let pulled = pulled.unwrap();
        assert_eq!(pulled.layers.len(), 1);
        assert_eq!(pulled.layers[0].data, component);
        assert_eq!(pulled.config.media_type, WASM_CONFIG);
        assert_eq!(pulled.config.data, packed.config);
        assert_eq!(pulled.digest, Some(packed.digest.to_string()));
    }
}

#[tokio::test]
async fn we_pull_what_it_pushes() {
    for door in [Door::Password, Door::Token] {
        let Some(real) = real::Registry::behind(door) else {
            return;
        };
        let component = component();
        let layer = ImageLayer::new(component.clone(), WASM_LAYER.to_owned(), None);
        let config = Config::new(&b"{}"[..], WASM_CONFIG.to_owned(), None);
        let name = real.reference("tools/filter:2.0");
        let to: PeerReference = name.parse().unwrap();
        let pushed = peer(&real).push(&to, &[layer], config, &auth(), None).await;
        pushed.unwrap();
        let reference: Reference = name.parse().unwrap();
        let repository = ours(&real).repository(&reference, &Credentials::Anonymous);
        let mut repository = repository.unwrap();
        let image = repository.resolve().await.unwrap().image;
        let mut pulled = Vec::new();
        let progress = |_| {};
        repository
            .pull_blob(&image.layer, &mut pulled, &progress)
            .await
            .unwrap();
        assert_eq!(pulled, component);
    }
}
