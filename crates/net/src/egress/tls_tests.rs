//! https servers, with certificates made for the test.

use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls_pki_types::PrivateKeyDer;
use sallyport_core::Clock as _;
use sallyport_core::clock::SystemClock;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use url::Url;

use super::*;
use crate::http1::{self, RequestHead, Timeouts};

struct Site {
    addr: SocketAddr,
    authority: Vec<u8>,
}

/// An https server for the name, under an authority of its own.
async fn site(name: &str) -> Site {
    site_until(name, None).await
}

/// The same, with a certificate that ends on a day after now.
async fn site_until(name: &str, days: Option<i64>) -> Site {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap().der().to_vec();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    if let Some(days) = days {
        let now = SystemClock.now().as_secs();
        params.not_after = rcgen::date_time_ymd(1970, 1, 1)
            + Duration::from_secs(u64::try_from(now + days * 86_400 + 3600).unwrap());
    }
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        )
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(tcp).await else {
                    return;
                };
                assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
                let mut buffer = [0; 4096];
                while stream.read(&mut buffer).await.is_ok_and(|n| n > 0) {
                    stream
                        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
                        .await
                        .unwrap();
                }
            });
        }
    });
    Site { addr, authority }
}

struct Here;

impl Resolve for Here {
    fn resolve<'a>(&'a self, _: &'a str) -> Resolving<'a> {
        Box::pin(async { Ok(vec![IpAddr::V4(std::net::Ipv4Addr::LOCALHOST)]) })
    }
}

async fn call(url: &str, authorities: Vec<Vec<u8>>, times: usize) -> Result<usize, Fault> {
    let policy = EgressPolicy {
        authorities,
        ..EgressPolicy::default()
    };
    let egress = Egress::with_resolver(policy, Arc::new(Here));
    let target = egress.target(&Url::parse(url).unwrap(), Reach::Operator).unwrap();
    let worker = crate::Worker::new(0);
    let head = RequestHead::new(http::Method::POST);
    for _ in 0..times {
        let large = vec![b'x'; 100];
        let answer = http1::send(&worker, &target, &head, &[&large], Timeouts::default()).await?;
        assert_eq!(answer.body.whole(10).await?, "hi");
    }
    Ok(worker.pool().idle())
}

#[tokio::test]
async fn https_servers_are_verified_and_their_connections_kept() {
    let site = site("srv.test").await;
    let port = site.addr.port();
    let idle = call(
        &format!("https://srv.test:{port}/"),
        vec![site.authority.clone()],
        3,
    )
    .await
    .unwrap();
    assert_eq!(idle, 1);
    for (url, authorities) in [
        (
            format!("https://other.test:{port}/"),
            vec![site.authority.clone()],
        ),
        (format!("https://srv.test:{port}/"), vec![]),
        (format!("https://127.0.0.1:{port}/"), vec![site.authority.clone()]),
        (
            format!("https://srv.test:{port}/"),
            vec![b"no certificate".to_vec()],
        ),
    ] {
        let fault = call(&url, authorities, 1).await.unwrap_err();
        let trouble = http1::Trouble::of(&fault).unwrap();
        assert!(
            matches!(trouble, http1::Trouble::Egress(EgressError::Tls { .. })),
            "{url}: {fault}"
        );
        assert_eq!(fault.retry, sallyport_core::fault::Retry::Safe);
    }
}

#[tokio::test]
async fn an_address_may_have_a_certificate() {
    let site = site("127.0.0.1").await;
    let url = format!("https://127.0.0.1:{}/", site.addr.port());
    assert_eq!(call(&url, vec![site.authority], 1).await.unwrap(), 1);
}

#[tokio::test]
async fn a_server_without_tls_is_no_https_server() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_secs(60)).await;
    });
    assert!(
        call(&format!("https://srv.test:{port}/"), vec![], 1)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn what_is_left_of_a_certificate_is_told_in_days() {
    let now = SystemClock.now();
    for (days, expected) in [(Some(13), 13), (Some(0), 0), (None, 400)] {
        let site = site_until("srv.test", days).await;
        let policy = EgressPolicy {
            authorities: vec![site.authority.clone()],
            ..EgressPolicy::default()
        };
        let egress = Egress::with_resolver(policy, Arc::new(Here));
        let url = Url::parse(&format!("https://srv.test:{}/", site.addr.port())).unwrap();
        let target = egress.target(&url, Reach::Operator).unwrap();
        let found = egress.certificate(&target, now).await.unwrap().unwrap();
        assert_eq!(
            found,
            Certificate {
                days: expected,
                is_public: false
            }
        );
    }
    let ended = site_until("srv.test", Some(-1)).await;
    let policy = EgressPolicy {
        authorities: vec![ended.authority.clone()],
        ..EgressPolicy::default()
    };
    let egress = Egress::with_resolver(policy, Arc::new(Here));
    let url = Url::parse(&format!("https://srv.test:{}/", ended.addr.port())).unwrap();
    let target = egress.target(&url, Reach::Operator).unwrap();
    assert!(matches!(
        egress.certificate(&target, now).await,
        Err(EgressError::Tls { .. })
    ));
}

#[test]
fn authorities_are_certificates_in_pem_and_at_least_one() {
    let params = CertificateParams::new(Vec::new()).unwrap();
    let der = params
        .self_signed(&KeyPair::generate().unwrap())
        .unwrap()
        .der()
        .to_vec();
    let text: String = der.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(authorities(b""), None);
    assert_eq!(authorities(text.as_bytes()), None);
    assert_eq!(
        authorities(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        None
    );
    assert_eq!(
        authorities(b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"),
        None
    );
}
