//! What leaves the machine goes through the proxy that is named, and says so when that is why it fails.

use wasm_edge_tests::home::Home;
use wasm_edge_tests::hub::HubServe;
use wasm_edge_tests::outcome::Outcome;
use wasm_edge_tests::proxy::Proxy;
use wasm_edge_tests::wait;

/// Asks a hub over the network with these variables set.
fn ask(hub: &HubServe<'_>, variables: &[(&str, &str)]) -> Outcome {
    let home = Home::new();
    let ca = hub.ca_file();
    let mut command = home.command(["hub", "device", "list", "--output", "json"]);
    command.args(["--hub", &hub.connection_string("iothubowner"), "--hub-ca"]);
    command.arg(ca).envs(variables.iter().copied());
    command.output().expect("the binary can be started").into()
}

#[test]
fn a_verb_reaches_a_hub_through_the_proxy_of_the_environment() {
    let home = Home::new();
    let Some(proxy) = Proxy::start(&home, None) else {
        return;
    };
    let hub = HubServe::start(&home);
    let url = proxy.url("");
    ask(&hub, &[("https_proxy", &url)]).ok();
    assert_eq!(proxy.tunnels(hub.https_port()), 1);
    ask(&hub, &[("HTTPS_PROXY", &url)]).ok();
    assert_eq!(proxy.tunnels(hub.https_port()), 2);
    // Others than this host go through it, and what is not for HTTPS does not count.
    ask(
        &hub,
        &[("https_proxy", &url), ("no_proxy", "example.com,localhost")],
    )
    .ok();
    ask(&hub, &[("http_proxy", &url)]).ok();
    ask(&hub, &[]).ok();
    assert_eq!(proxy.tunnels(hub.https_port()), 2);
}

#[test]
fn a_proxy_with_a_password_lets_through_who_has_it_and_nobody_prints_it() {
    let home = Home::new();
    let Some(proxy) = Proxy::start(&home, Some(("board", "open-sesame"))) else {
        return;
    };
    let hub = HubServe::start(&home);
    ask(&hub, &[("https_proxy", &proxy.url("board:open-sesame@"))]).ok();
    for login in ["", "board:wrong-secret@"] {
        let refused = ask(&hub, &[("https_proxy", &proxy.url(login))]).ended_with(3);
        let proxy = format!("the proxy `127.0.0.1:{}` did not connect us", proxy.port());
        let refused = refused.says(&[&proxy, "asks for a user name", "hint:"]);
        assert!(!refused.stderr.contains("secret"), "{refused:?}");
    }
}

#[test]
fn a_proxy_that_is_not_there_or_reaches_nobody_is_told_apart_from_the_hub() {
    let home = Home::new();
    let hub = HubServe::start(&home);
    let port = wait::free_port();
    let url = format!("http://u:secret@127.0.0.1:{port}");
    let dead = ask(&hub, &[("https_proxy", &url)]).ended_with(3);
    let dead = dead.says(&[&format!("cannot reach the proxy `127.0.0.1:{port}`")]);
    assert!(!dead.stderr.contains("secret"), "{dead:?}");
    let wrong = ask(&hub, &[("https_proxy", "socks5://u:secret@127.0.0.1")]).ended_with(7);
    let wrong = wrong.says(&["begins with `http://`", "`https_proxy`"]);
    assert!(!wrong.stderr.contains("secret"), "{wrong:?}");
    let Some(proxy) = Proxy::start(&home, None) else {
        return;
    };
    // Somebody who speaks neither HTTP nor TLS is none.
    let none = ask(
        &hub,
        &[(
            "https_proxy",
            &format!("http://127.0.0.1:{}", hub.mqtt_port()),
        )],
    );
    none.ended_with(3).says(&["the proxy"]);
    let owner = hub.connection_string("iothubowner");
    let ca = hub.ca_file();
    hub.stop().ok();
    let mut command = home.command(["hub", "device", "list", "--hub", &owner, "--hub-ca"]);
    command.arg(ca).env("https_proxy", proxy.url(""));
    let away = command.output().expect("the binary can be started");
    let status = "it answered with status 5";
    Outcome::from(away)
        .ended_with(3)
        .says(&["the proxy", status]);
}
