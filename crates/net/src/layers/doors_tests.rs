use http::Request;
use proptest::prelude::*;

use super::*;

fn doors(public: &str, listen: &[&str], origins: &[&str]) -> Result<Doors, DoorsError> {
    let listen: Vec<SocketAddr> = listen.iter().map(|addr| addr.parse().unwrap()).collect();
    let origins: Vec<String> = origins.iter().map(|&origin| origin.to_owned()).collect();
    Doors::new(&DoorsOptions {
        public_url: &Url::parse(public).unwrap(),
        listen: &listen,
        allowed_origins: &origins,
        trusted_proxies: &[],
    })
}

fn local() -> Doors {
    doors("http://127.0.0.1:8717", &["127.0.0.1:8717"], &[]).unwrap()
}

fn remote() -> Doors {
    doors(
        "https://gate.example",
        &["0.0.0.0:8717"],
        &["https://app.example:8443/", "vscode-webview://abc"],
    )
    .unwrap()
}

/// A request with these headers, and perhaps an absolute target.
fn request(target: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().uri(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn host(doors: &Doors, host: &str) -> Result<(), DoorError> {
    doors.check(&request("/mcp", &[("host", host)]))
}

#[test]
fn oh_01_pages_from_elsewhere_are_refused() {
    let origin = |doors: &Doors, host: &str, origin: &str| {
        doors.check(&request("/mcp", &[("host", host), ("origin", origin)]))
    };
    for bad in [
        "https://evil.test",
        "null",
        "",
        "http://localhost.evil.test",
        "http://evil.test:8717",
        "http://localhost:8717@evil.test",
        "http://localhost:8717.evil.test",
        "http://127.0.0.1.evil.test",
        "http://127.1:8717",
        "http://2130706433",
        "http://0.0.0.0:8717",
        "http://[::ffff:127.0.0.1]",
        "http://localhost./",
        "http://localhost/path",
        "http://localhost:80",
        "file://",
        "http://",
        "localhost:8717",
        "ftp://localhost",
        "http://127.0.0.1:8717, https://evil.test",
        "http://127.0.0.1:8717 https://evil.test",
    ] {
        assert_eq!(
            origin(&local(), "127.0.0.1:8717", bad),
            Err(DoorError::OriginForeign),
            "{bad:?}"
        );
        assert_eq!(
            origin(&remote(), "gate.example", bad),
            Err(DoorError::OriginForeign),
            "{bad:?}"
        );
    }
    for good in [
        "http://127.0.0.1:8717",
        "http://localhost:6274",
        "http://[::1]:9",
        "https://localhost",
    ] {
        assert_eq!(origin(&local(), "127.0.0.1:8717", good), Ok(()), "{good:?}");
    }
    for good in [
        "https://gate.example",
        "https://app.example:8443",
        "vscode-webview://abc",
    ] {
        assert_eq!(origin(&remote(), "gate.example", good), Ok(()), "{good:?}");
    }
    // A page on the operator's desk is no page of a public gateway.
    assert_eq!(
        origin(&remote(), "gate.example", "http://localhost:6274"),
        Err(DoorError::OriginForeign)
    );
    assert_eq!(
        origin(&remote(), "gate.example", "http://gate.example"),
        Err(DoorError::OriginForeign)
    );
    let twice = request(
        "/mcp",
        &[
            ("host", "gate.example"),
            ("origin", "https://gate.example"),
            ("origin", "https://evil.test"),
        ],
    );
    assert_eq!(remote().check(&twice), Err(DoorError::OriginForeign));
}

#[test]
fn oh_02_a_foreign_host_is_refused() {
    for bad in [
        "rebind.evil.test",
        "evil.test:8717",
        "gate.example.evil.test",
        "127.0.0.1",
        "127.0.0.1:8718",
        "gate.example",
    ] {
        assert_eq!(host(&local(), bad), Err(DoorError::HostForeign), "{bad}");
    }
    for bad in [
        "gate.example:8717",
        "localhost:8717",
        "127.0.0.1:8717",
        "0.0.0.0:8717",
        "gate.example:80",
    ] {
        assert_eq!(host(&remote(), bad), Err(DoorError::HostForeign), "{bad}");
    }
    for bad in [
        "user@gate.example",
        "gate.example/",
        "gate.example:",
        "gate.example:x",
        "gate example",
        "",
        "[::1",
        "gate.example:99999",
        "a,b",
    ] {
        assert_eq!(host(&remote(), bad), Err(DoorError::HostMalformed), "{bad:?}");
    }
    assert_eq!(remote().check(&request("/", &[])), Err(DoorError::HostMalformed));
    let twice = request("/", &[("host", "gate.example"), ("host", "gate.example")]);
    assert_eq!(remote().check(&twice), Err(DoorError::HostMalformed));
    assert_eq!(host(&remote(), "gate.example"), Ok(()));
    assert_eq!(host(&remote(), "GATE.example:443"), Ok(()));
}

#[test]
fn oh_02_an_absolute_target_must_name_the_host() {
    let to = |target: &str| remote().check(&request(target, &[("host", "gate.example")]));
    assert_eq!(to("https://gate.example/mcp"), Ok(()));
    assert_eq!(to("http://evil.test/mcp"), Err(DoorError::TargetDiffers));
    assert_eq!(to("http://gate.example:81/mcp"), Err(DoorError::TargetDiffers));
    assert_eq!(to("http://user@gate.example/mcp"), Err(DoorError::TargetDiffers));
}

#[test]
fn oh_03_loopback_has_three_names() {
    for good in ["localhost:8717", "127.0.0.1:8717", "[::1]:8717", "LocalHost:8717"] {
        assert_eq!(host(&local(), good), Ok(()), "{good}");
    }
    for bad in [
        "LOCALHOST.:8717",
        "127.1:8717",
        "0.0.0.0:8717",
        "2130706433:8717",
        "localhost",
        "127.0.0.2:8717",
        "[::]:8717",
        "[0:0:0:0:0:0:0:1]:8717",
        "localhost:08717",
    ] {
        assert!(host(&local(), bad).is_err(), "{bad}");
    }
}

#[test]
fn md_02_forwarded_hosts_are_not_looked_at() {
    let headers = [
        ("host", "evil.test"),
        ("x-forwarded-host", "gate.example"),
        ("forwarded", "host=gate.example"),
    ];
    assert_eq!(
        remote().check(&request("/", &headers)),
        Err(DoorError::HostForeign)
    );
}

#[test]
fn a_proxy_in_front_may_call_the_address_or_pass_the_name_on() {
    let doors = doors("https://gate.example", &["127.0.0.1:8717", "10.0.0.5:8717"], &[]).unwrap();
    for good in ["gate.example", "127.0.0.1:8717", "10.0.0.5:8717"] {
        assert_eq!(host(&doors, good), Ok(()), "{good}");
    }
    // Not only this machine can reach it: pages of this machine are strangers.
    assert!(!doors.admits_origin("http://localhost:3000"));
}

#[test]
fn a_container_is_called_by_the_names_of_the_machine_that_publishes_its_port() {
    let doors = doors("http://localhost:9000", &["0.0.0.0:8717"], &[]).unwrap();
    for (name, admitted) in [
        ("localhost:9000", true),
        ("127.0.0.1:9000", true),
        ("127.0.0.1:8717", false),
    ] {
        assert_eq!(host(&doors, name).is_ok(), admitted, "{name}");
    }
}

#[test]
fn port_80_may_be_left_out() {
    let doors = doors("http://localhost", &["127.0.0.1:80"], &[]).unwrap();
    for good in ["localhost", "localhost:80", "127.0.0.1", "[::1]"] {
        assert_eq!(host(&doors, good), Ok(()), "{good}");
    }
}

#[test]
fn wrong_settings_are_named() {
    for bad in [
        "app.example",
        "https://app.example/path",
        "https://user@app.example",
        "*",
        "",
        "https://",
    ] {
        let error = doors("https://gate.example", &[], &[bad]).unwrap_err();
        assert_eq!(error, DoorsError::Origin(bad.to_owned()));
    }
    assert_eq!(doors("data:x", &[], &[]).unwrap_err(), DoorsError::PublicUrl);
}

proptest! {
    /// Nothing but the spellings that were configured comes in.
    #[test]
    fn oh_02_no_other_host_comes_in(text in "[ -~]{0,24}") {
        let known = ["gate.example", "gate.example:443"];
        let admitted = HeaderValue::from_str(&text).is_ok()
            && remote().check(&request("/", &[("host", &text)])).is_ok();
        // The http crate keeps values as they are; the listener has trimmed them before.
        prop_assert_eq!(admitted, known.iter().any(|host| host.eq_ignore_ascii_case(&text)));
    }

    /// What begins or ends like an allowed origin is none.
    #[test]
    fn oh_01_no_longer_origin_comes_in(before in "[a-z.@:/]{0,6}", after in "[a-z0-9.@:/]{0,6}") {
        let text = format!("{before}https://gate.example{after}");
        prop_assert_eq!(remote().admits_origin(&text), before.is_empty() && after.is_empty());
    }
}
