use std::collections::BTreeSet;

use super::*;
use crate::hub::tests::hub;

/// Method and path of all routes of the REST face, as its router shows itself to developers:
/// `RouteId(1): … allow_header: Bytes(b"GET,HEAD")` and `RouteId(1): "/devices"`.
fn routes() -> BTreeSet<(String, String)> {
    let router = format!("{:?}", hub().routes());
    let (router, _) = router.split_once("fallback_router").unwrap();
    let (methods, paths) = router.split_once("Node { paths: {").unwrap();
    let mut routes = BTreeSet::new();
    for entry in methods.split("RouteId(").skip(1) {
        let (id, rest) = entry.split_once(')').unwrap();
        // One without takes all methods.
        let allowed = match rest.split_once("allow_header: Bytes(b\"") {
            Some((_, rest)) => rest.split_once('"').unwrap().0,
            None => ANY,
        };
        let (_, rest) = paths.split_once(&format!("RouteId({id}): \"")).unwrap();
        let (path, _) = rest.split_once('"').unwrap();
        let path = path.strip_suffix('/').unwrap_or(path);
        for method in allowed.split(',').filter(|method| *method != "HEAD") {
            routes.insert((method.to_owned(), path.to_owned()));
        }
    }
    routes
}

#[tokio::test]
async fn every_route_has_a_rule() {
    let routes = routes();
    assert!(
        routes.contains(&("PUT".to_owned(), "/devices/{device}".to_owned())),
        "{routes:?}"
    );
    assert!(routes.len() > 20, "{routes:?}");
    for (method, path) in &routes {
        let method: Method = method.parse().unwrap();
        assert!(
            rule(&method, path).is_some(),
            "{method} {path} has no row in the table"
        );
    }
}

#[tokio::test]
async fn every_rule_has_a_route() {
    let routes = routes();
    for (method, path, ..) in TABLE {
        let route = ((*method).to_owned(), (*path).to_owned());
        assert!(routes.contains(&route), "{method} {path} leads nowhere");
    }
}

#[test]
fn rules_are_found_by_method_and_path() {
    let check = |method: Method, path: &str, expected: Option<Rights>| {
        assert_eq!(
            rule(&method, path).and_then(|rule| rule.rights),
            expected,
            "{method} {path}"
        );
    };
    check(Method::GET, "/devices", Some(READ));
    check(Method::HEAD, "/devices", Some(READ));
    check(Method::GET, "/devices/", Some(READ));
    check(Method::PUT, "/devices", None);
    check(Method::GET, "/device", None);
    check(Method::GET, "/devices//", None);
    check(Method::GET, "/", None);
    check(
        Method::POST,
        "/devices/{device}/applyConfigurationContent",
        Some(DEPLOY),
    );
}

#[test]
fn devices_and_modules_have_no_rights_but_for_their_own() {
    let own: Vec<_> = TABLE
        .iter()
        .filter(|(_, _, _, own, _)| own.is_some())
        .collect();
    for (method, path, rights, _, _) in own {
        assert!(
            path.contains("{device}"),
            "{method} {path} is no device's own"
        );
        assert!(rights.is_some(), "{method} {path}");
    }
    let keys = rule(&Method::GET, "/wasm-edge/v1/access-policies").unwrap();
    assert_eq!((keys.rights, keys.own), (None, None));
}

#[test]
fn no_route_has_two_rows() {
    let mut seen = BTreeSet::new();
    for (method, path, ..) in TABLE {
        assert!(seen.insert((method, path)), "{method} {path}");
    }
}
