//! A site on the web, as the gateway sees it: https with an authority of its own, names that all lead to this machine, and
//! answers that the test chooses.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls_pki_types::PrivateKeyDer;
use sallyport_net::egress::{Egress, EgressPolicy, Resolve, Resolving};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// The names that the site's certificate is for, and those that lead elsewhere.
const NAMES: [&str; 3] = ["app.test", "evil.test", "good.test"];

/// What the site sends for a path: bytes, and whether it then ends the connection or goes on as it likes.
#[derive(Clone)]
pub(crate) enum Sent {
    /// A whole answer.
    Bytes(Vec<u8>),
    /// A head, and then a byte now and then without end.
    Drip,
}

/// A site and how the gateway reaches it.
pub(crate) struct Site {
    addr: SocketAddr,
    pages: Arc<Mutex<HashMap<String, Sent>>>,
    requests: Arc<AtomicUsize>,
    pub(crate) egress: Arc<Egress>,
}

impl Site {
    pub(crate) async fn new() -> Self {
        Self::reached_at(IpAddr::V4(Ipv4Addr::LOCALHOST)).await
    }

    /// A site whose names resolve to `address`; only this machine is let through.
    pub(crate) async fn reached_at(address: IpAddr) -> Self {
        let (acceptor, authority) = certified();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let policy = EgressPolicy {
            allowed: vec!["127.0.0.1/32".parse().unwrap()],
            ports: vec![addr.port()],
            authorities: vec![authority],
            ..EgressPolicy::default()
        };
        let site = Self {
            addr,
            pages: Arc::default(),
            requests: Arc::default(),
            egress: Egress::with_resolver(policy, Arc::new(At(address))),
        };
        let (pages, requests) = (Arc::clone(&site.pages), Arc::clone(&site.requests));
        tokio::spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                requests.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(answer(tcp, acceptor.clone(), Arc::clone(&pages)));
            }
        });
        site
    }

    /// The URL of a path at one of the site's names.
    pub(crate) fn url(&self, name: &str, path: &str) -> String {
        format!("https://{name}:{}{path}", self.addr.port())
    }

    /// Sends JSON at `path` from now on.
    pub(crate) fn serve(&self, path: &str, body: &str) {
        self.serve_as(path, "200 OK", "Content-Type: application/json\r\n", body);
    }

    pub(crate) fn serve_as(&self, path: &str, status: &str, headers: &str, body: &str) {
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n");
        self.send(path, Sent::Bytes([head.as_bytes(), body.as_bytes()].concat()));
    }

    pub(crate) fn send(&self, path: &str, sent: Sent) {
        self.pages.lock().unwrap().insert(path.to_owned(), sent);
    }

    /// How many connections there were.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

struct At(IpAddr);

impl Resolve for At {
    fn resolve<'a>(&'a self, _: &'a str) -> Resolving<'a> {
        let address = self.0;
        Box::pin(async move { Ok(vec![address]) })
    }
}

fn certified() -> (TlsAcceptor, Vec<u8>) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap().der().to_vec();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let names = NAMES.map(str::to_owned).to_vec();
    let certificate = CertificateParams::new(names)
        .unwrap()
        .signed_by(&key, &issuer)
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        )
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), authority)
}

async fn answer(tcp: TcpStream, acceptor: TlsAcceptor, pages: Arc<Mutex<HashMap<String, Sent>>>) {
    let Ok(mut stream) = acceptor.accept(tcp).await else {
        return;
    };
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut piece = [0; 1024];
        match stream.read(&mut piece).await {
            Ok(read @ 1..) => head.extend_from_slice(&piece[..read]),
            _ => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let path = head.split(' ').nth(1).unwrap().to_owned();
    let page = pages.lock().unwrap().get(&path).cloned();
    let sent = page.unwrap_or_else(|| Sent::Bytes(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n".to_vec()));
    match sent {
        Sent::Bytes(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
        }
        Sent::Drip => {
            let head =
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
            let mut next: &[u8] = head;
            let mut tick = tokio::time::interval(Duration::from_millis(500));
            while stream.write_all(next).await.is_ok() && stream.flush().await.is_ok() {
                tick.tick().await;
                next = b"1\r\n \r\n";
            }
        }
    }
}
