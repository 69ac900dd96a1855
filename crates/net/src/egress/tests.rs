//! Where connections go, and where they never go.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::http1::RequestHead;

/// A resolver with the test's answers; it counts how often it is asked.
struct Names {
    known: Mutex<HashMap<String, Vec<IpAddr>>>,
    asked: AtomicUsize,
}

impl Names {
    fn of(names: &[(&str, &[&str])]) -> Arc<Self> {
        let known = names.iter().map(|(name, addresses)| {
            (
                (*name).to_owned(),
                addresses.iter().map(|address| address.parse().unwrap()).collect(),
            )
        });
        Arc::new(Self {
            known: Mutex::new(known.collect()),
            asked: AtomicUsize::new(0),
        })
    }

    fn set(&self, name: &str, addresses: &[&str]) {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        self.known.lock().unwrap().insert(name.to_owned(), addresses);
    }
}

impl Resolve for Names {
    fn resolve<'a>(&'a self, host: &'a str) -> Resolving<'a> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let found = self.known.lock().unwrap().get(host).cloned();
        Box::pin(async move { found.ok_or_else(|| std::io::Error::other("NXDOMAIN")) })
    }
}

fn egress(policy: EgressPolicy) -> Arc<Egress> {
    Egress::with_resolver(policy, Names::of(&[]))
}

fn target(url: &str, reach: Reach) -> Result<Arc<Target>, EgressError> {
    egress(EgressPolicy::default()).target(&Url::parse(url).unwrap(), reach)
}

#[test]
fn sr_01_every_spelling_of_an_ipv4_address_is_that_address() {
    for host in [
        "127.1",
        "0177.0.0.1",
        "0x7f.1",
        "2130706433",
        "127.0.0.1.",
        "0",
        "0x7f000001",
        "017700000001",
        "127.0.1",
        "%31%32%37.0.0.1",
        "①②⑦.0.0.1",
        "10.1",
        "0xa9fea9fe",
        "192.168.257",
        "3232235777",
    ] {
        let url = format!("https://{host}/");
        let found = target(&url, Reach::Public);
        assert!(
            matches!(found, Err(EgressError::Address { .. })),
            "{url}: {found:?}"
        );
    }
}

#[test]
fn sr_02_every_form_of_an_inner_address_is_refused() {
    for host in [
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "[fe80::1]",
        "[fd00::1]",
        "[2002:7f00:1::]",
        "[::]",
        "[::7f00:1]",
        "[2001:0:5db8:d822:0:0:80ff:fffe]",
        "[fec0::1]",
        "[ff02::1]",
    ] {
        let found = target(&format!("https://{host}/"), Reach::Public);
        assert!(
            matches!(found, Err(EgressError::Address { .. })),
            "{host}: {found:?}"
        );
    }
    assert!(
        Url::parse("https://[fe80::1%25lo]/").is_err(),
        "zones do not even parse"
    );
}

#[test]
fn sr_03_metadata_services_are_out_of_everyones_reach() {
    for host in [
        "169.254.169.254",
        "169.254.170.2",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "[fd00:ec2::254]",
        "[fd20:ce::254]",
        "[::ffff:169.254.169.254]",
        "[64:ff9b::a9fe:a9fe]",
        "[2002:a9fe:a9fe::1]",
        "0xa9fea9fe",
        "2852039166",
        "metadata.google.internal",
        "METADATA.google.internal.",
        "metadata",
        "instance-data",
    ] {
        for reach in [Reach::Operator, Reach::Public] {
            let open = EgressPolicy {
                allowed: vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()],
                ..EgressPolicy::default()
            };
            let url = Url::parse(&format!("https://{host}/")).unwrap();
            assert!(egress(open).target(&url, reach).is_err(), "{host} {reach:?}");
        }
    }
}

#[tokio::test]
async fn sr_04_one_bad_address_spoils_the_name() {
    let names = Names::of(&[
        ("mixed.test", &["93.184.216.34", "10.0.0.1"]),
        ("mixed6.test", &["2606:4700::1", "::1"]),
        ("meta.test", &["169.254.169.254"]),
        ("none.test", &[]),
    ]);
    let egress = Egress::with_resolver(EgressPolicy::default(), names);
    let connect = async |host: &str, reach| {
        let target = egress
            .target(&Url::parse(&format!("https://{host}/")).unwrap(), reach)
            .unwrap();
        egress.connect(&target).await.err().unwrap()
    };
    for host in ["mixed.test", "mixed6.test", "meta.test"] {
        let error = connect(host, Reach::Public).await;
        assert!(matches!(error, EgressError::Address { .. }), "{host}: {error}");
    }
    assert!(matches!(
        connect("meta.test", Reach::Operator).await,
        EgressError::Address { .. }
    ));
    assert!(matches!(
        connect("none.test", Reach::Public).await,
        EgressError::Resolve { .. }
    ));
    assert!(matches!(
        connect("unknown.test", Reach::Public).await,
        EgressError::Resolve { .. }
    ));
}

/// A server that answers every request alike and counts connections.
async fn server(answer: &'static str) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&count);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            seen.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                while stream.read(&mut buffer).await.is_ok_and(|n| n > 0) {
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (addr, count)
}

fn get<'a>(url: &'a Url, reach: Reach) -> Fetch<'a> {
    let head = RequestHead::new(http::Method::GET);
    Fetch {
        head,
        url,
        reach,
        body: &[],
        limit: 100,
        time: Duration::from_secs(5),
    }
}

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

#[tokio::test]
async fn the_name_is_asked_for_once_and_the_checked_address_is_called() {
    let (addr, count) = server(HELLO).await;
    let names = Names::of(&[("srv.test", &["127.0.0.1"])]);
    let egress = Egress::with_resolver(EgressPolicy::default(), Arc::clone(&names) as Arc<dyn Resolve>);
    let url = Url::parse(&format!("http://srv.test:{}/x", addr.port())).unwrap();
    let fetched = egress.fetch(get(&url, Reach::Operator)).await.unwrap();
    assert_eq!((fetched.status, &fetched.body[..]), (200, &b"hello"[..]));
    assert_eq!(names.asked.load(Ordering::SeqCst), 1);
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn the_next_address_is_tried_when_one_does_not_answer() {
    let (addr, _) = server(HELLO).await;
    let names = Names::of(&[("srv.test", &["127.0.0.2", "127.0.0.1"])]);
    let egress = Egress::with_resolver(EgressPolicy::default(), names);
    let url = Url::parse(&format!("http://srv.test:{}/", addr.port())).unwrap();
    assert_eq!(
        egress.fetch(get(&url, Reach::Operator)).await.unwrap().status,
        200
    );
}

#[tokio::test]
async fn sr_05_redirects_are_not_followed() {
    let moved = "HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n";
    let (addr, count) = server(moved).await;
    let url = Url::parse(&format!("http://{addr}/")).unwrap();
    let fetched = egress(EgressPolicy::default())
        .fetch(get(&url, Reach::Operator))
        .await
        .unwrap();
    assert_eq!(
        (fetched.status, fetched.headers.get("location")),
        (302, Some("http://169.254.169.254/"))
    );
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn sr_06_an_idle_connection_serves_no_other_policy() {
    let (addr, count) = server(HELLO).await;
    let names = Names::of(&[("srv.test", &["127.0.0.1"])]);
    let egress = Egress::with_resolver(EgressPolicy::default(), Arc::clone(&names) as Arc<dyn Resolve>);
    let url = Url::parse(&format!("http://srv.test:{}/", addr.port())).unwrap();
    let worker = crate::Worker::new(0);
    let head = RequestHead::new(http::Method::GET);
    let call = async |target: &Arc<Target>| {
        let answer =
            crate::http1::send(&worker, target, &head, &[], crate::http1::Timeouts::default()).await?;
        answer.body.whole(100).await
    };
    let operator = egress.target(&url, Reach::Operator).unwrap();
    call(&operator).await.unwrap();
    call(&operator).await.unwrap();
    assert_eq!(
        (count.load(Ordering::SeqCst), names.asked.load(Ordering::SeqCst)),
        (1, 1)
    );
    // The same host, asked for by a stranger after its address moved: checked anew, on no connection of another's.
    let policy = EgressPolicy {
        ports: vec![addr.port()],
        ..EgressPolicy::default()
    };
    let strict = Egress::with_resolver(policy, Arc::clone(&names) as Arc<dyn Resolve>);
    let https = Url::parse(&format!("https://srv.test:{}/", addr.port())).unwrap();
    names.set("srv.test", &["10.0.0.1"]);
    let stranger = strict.target(&https, Reach::Public).unwrap();
    assert!(call(&stranger).await.is_err());
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[test]
fn sr_09_only_usual_schemes_and_ports() {
    for url in [
        "gopher://a.test/",
        "file:///etc/passwd",
        "ftp://a.test/",
        "unix:/run/x",
        "data:x",
        "ws://a.test/",
        "javascript:x",
        "http://a.test/",
        "https://a.test:22/",
        "https://a.test:6379/",
        "https://a.test:80/",
        "https://a.test:0/",
    ] {
        assert!(
            matches!(target(url, Reach::Public), Err(EgressError::Url(_))),
            "{url}"
        );
    }
    for url in [
        "https://a.test/",
        "https://a.test:8443/",
        "https://93.184.216.34/",
    ] {
        assert!(target(url, Reach::Public).is_ok(), "{url}");
    }
    for url in [
        "http://a.test:9/",
        "https://a.test:22/",
        "http://127.0.0.1:8000/",
        "http://192.168.1.1/",
        "http://[fd00::1]:80/",
    ] {
        assert!(target(url, Reach::Operator).is_ok(), "{url}");
    }
    for url in [
        "ftp://a.test/",
        "http://a.test:0/",
        "http://0.0.0.0/",
        "http://224.0.0.1/",
        "http://169.254.0.1/",
        "http://[::]/",
    ] {
        assert!(target(url, Reach::Operator).is_err(), "{url}");
    }
}

#[test]
fn the_operator_opens_and_closes_networks() {
    let policy = EgressPolicy {
        allowed: vec!["127.0.0.0/8".parse().unwrap()],
        denied: vec!["10.0.0.0/8".parse().unwrap()],
        ports: vec![8000],
        ..EgressPolicy::default()
    };
    let egress = egress(policy);
    let target = |url: &str, reach| egress.target(&Url::parse(url).unwrap(), reach);
    assert!(target("http://127.0.0.1:8000/", Reach::Public).is_ok());
    assert!(target("http://[::ffff:127.0.0.1]:8000/", Reach::Public).is_ok());
    assert!(target("http://127.0.0.1:8001/", Reach::Public).is_err());
    assert!(target("https://192.168.0.1/", Reach::Public).is_err());
    assert!(target("http://10.0.0.1/", Reach::Operator).is_err());
    assert!(target("http://[::ffff:10.0.0.1]/", Reach::Operator).is_err());
}

#[tokio::test]
async fn sr_10_a_stranger_learns_nothing_from_errors() {
    let names = Names::of(&[("inner.test", &["10.0.0.1"])]);
    let egress = Egress::with_resolver(EgressPolicy::default(), names);
    let url = Url::parse("https://inner.test/secret-path?token=canary").unwrap();
    let error = egress.fetch(get(&url, Reach::Public)).await.unwrap_err();
    // The log names host and address, never path and query; strangers get the one sentence.
    assert!(
        !error.to_string().contains("canary") && !error.to_string().contains("secret-path"),
        "{error}"
    );
    assert!(!format!("{:?}", egress.target(&url, Reach::Public).unwrap()).contains("canary"));
    assert_eq!(EgressError::PUBLIC, "the address cannot be reached");
}

#[test]
fn sr_11_credentials_in_the_url_are_refused() {
    for url in ["https://u:p@a.test/", "https://u@a.test/", "https://:p@a.test/"] {
        for reach in [Reach::Operator, Reach::Public] {
            let error = target(url, reach).unwrap_err();
            assert!(
                matches!(error, EgressError::Url(_)) && !error.to_string().contains(":p"),
                "{url}"
            );
        }
    }
}

#[tokio::test]
async fn fetches_are_bounded_in_size_and_time() {
    let (addr, _) = server("HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n").await;
    let url = Url::parse(&format!("http://{addr}/")).unwrap();
    let error = egress(EgressPolicy::default())
        .fetch(get(&url, Reach::Operator))
        .await
        .unwrap_err();
    assert!(matches!(error, EgressError::Fetch { .. }), "{error}");
    let (addr, _) = server("").await;
    let url = Url::parse(&format!("http://{addr}/")).unwrap();
    let quick = Fetch {
        time: Duration::from_millis(30),
        ..get(&url, Reach::Operator)
    };
    let error = egress(EgressPolicy::default()).fetch(quick).await.unwrap_err();
    assert!(matches!(error, EgressError::Timeout(_)), "{error}");
}

#[tokio::test]
async fn a_silent_peer_is_asked_whether_it_is_still_there() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stream = tcp(listener.local_addr().unwrap()).await.unwrap();
    assert!(sockopt::socket_keepalive(&stream).unwrap());
    let idle = sockopt::tcp_keepidle(&stream).unwrap();
    let asked = sockopt::tcp_keepintvl(&stream).unwrap() * sockopt::tcp_keepcnt(&stream).unwrap();
    assert!(
        idle + asked <= Duration::from_secs(120),
        "gone within two minutes: {idle:?} {asked:?}"
    );
}
