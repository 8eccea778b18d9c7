use super::*;

fn host(text: &str) -> HostAddress {
    HostAddress::parse(text).unwrap()
}

#[test]
fn addresses_are_read_and_shown_without_the_password() {
    let check = |text: &str, shown: &str, login: Option<(&str, &str)>| {
        let proxy: Proxy = text.parse().unwrap();
        assert_eq!(proxy.to_string(), shown);
        assert_eq!(format!("{proxy:?}"), format!("Proxy({shown})"));
        let found = proxy.login();
        let found = found.map(|login| (login.user.as_str(), login.password.as_str()));
        assert_eq!(found, login, "{text}");
    };
    check("http://proxy:3128", "proxy:3128", None);
    check("http://proxy/", "proxy:80", None);
    check("http://[::1]:8888", "[::1]:8888", None);
    check("http://u:p@proxy:1", "proxy:1", Some(("u", "p")));
    check("http://u@proxy", "proxy:80", Some(("u", "")));
    let login = Some(("d\\u", "a:b@c/é"));
    check("http://d%5Cu:a%3Ab%40c%2F%C3%A9@p", "p:80", login);
}

#[test]
fn errors_name_the_part_and_not_the_password() {
    let check = |text: &str, expected: ProxyError| {
        let err = text.parse::<Proxy>().unwrap_err();
        assert_eq!(err, expected, "{text}");
        assert!(!err.to_string().contains("secret"), "{err}");
    };
    check("https://u:secret@p", ProxyError::Scheme);
    check("socks5://u:secret@p", ProxyError::Scheme);
    check("u:secret@p:80", ProxyError::Scheme);
    check("http://", ProxyError::Host);
    check("http://u:secret@", ProxyError::Host);
    check("http://u:secret@p:0", ProxyError::Host);
    check("http://u:secret@p/path", ProxyError::Host);
    check("http://u:secret%FF@p", ProxyError::Login);
    check("http://u:secret%0D%0A@p", ProxyError::Login);
    check("http://u%3A1:secret@p", ProxyError::Login);
    let long = format!("http://u:{}@p", "x".repeat(LOGIN_MAX_BYTES + 1));
    check(&long, ProxyError::Login);
    let long = format!("http://{}", "x".repeat(PROXY_MAX_BYTES));
    check(&long, ProxyError::TooLong);
}

#[test]
fn exceptions_are_for_a_name_and_all_below_it() {
    let proxy: Proxy = "http://p".parse().unwrap();
    let check = |exceptions: &str, address: &str, expected: bool| {
        let exceptions = Exceptions::parse(exceptions.split(',')).unwrap();
        let proxy = proxy.clone().except(exceptions.clone());
        assert_eq!(
            proxy.is_for(&host(address)),
            expected,
            "{exceptions:?} {address}"
        );
    };
    check("", "hub.test", true);
    check("hub.test", "hub.test", false);
    check("hub.test", "a.HUB.test", false);
    check(".hub.test", "hub.test", false);
    check("*.hub.test", "a.b.hub.test", false);
    check("hub.test", "github.test", true);
    check("hub.test", "hub.test.example", true);
    check("x, Hub.Test ,y", "hub.test:8883", false);
    check("127.0.0.1", "127.0.0.1", false);
    check("127.0.0.1", "127.0.0.2", true);
    check("::1", "[::1]:443", false);
    check("[::1]", "[::1]", false);
    check("a,*", "hub.test", false);
    let many = vec!["a"; EXCEPTIONS_MAX + 1];
    assert_eq!(Exceptions::parse(many), Err(ProxyError::Exceptions));
}

#[test]
fn the_environment_names_a_proxy_as_other_programs_take_it() {
    let check = |variables: &[(&str, &str)], expected: Option<&str>| {
        let found = Proxy::from_variables(|name| {
            let found = variables.iter().find(|(found, _)| *found == name);
            found.map(|(_, value)| (*value).to_owned())
        });
        let found = found
            .unwrap()
            .filter(|proxy| proxy.is_for(&host("hub.test")));
        let shown = found.map(|proxy| proxy.to_string());
        assert_eq!(shown.as_deref(), expected, "{variables:?}");
    };
    check(&[], None);
    check(&[("https_proxy", "")], None);
    check(&[("https_proxy", "http://p:1")], Some("p:1"));
    check(&[("HTTPS_PROXY", "p:1")], Some("p:1"));
    check(
        &[("HTTPS_PROXY", "http://b"), ("https_proxy", "http://a")],
        Some("a:80"),
    );
    check(&[("HTTP_PROXY", "http://p:1")], None);
    check(
        &[("https_proxy", "p"), ("no_proxy", "localhost,.test")],
        None,
    );
    check(&[("https_proxy", "p"), ("NO_PROXY", "other")], Some("p:80"));
    let wrong = Proxy::from_variables(|_| Some("ftp://u:secret@p".to_owned()));
    assert_eq!(wrong, Err(ProxyError::Scheme));
}
