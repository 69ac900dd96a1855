//! TLS toward servers: aws-lc as the provider, the system's authorities, HTTP/1.1 by ALPN where that is spoken.

use std::io;
use std::sync::{Arc, OnceLock};

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Makes TLS connections. The authorities are read at the first one.
pub(super) struct Connector {
    authorities: Vec<Vec<u8>>,
    config: OnceLock<Result<Configs, String>>,
}

/// The same authorities, with and without a word about what is spoken.
struct Configs {
    http: Arc<ClientConfig>,
    plain: Arc<ClientConfig>,
    roots: Arc<RootCertStore>,
}

impl Connector {
    pub(super) fn new(authorities: Vec<Vec<u8>>) -> Self {
        Self {
            authorities,
            config: OnceLock::new(),
        }
    }

    /// The authorities that are trusted; none before the first connection, or if they cannot be used.
    pub(super) fn roots(&self) -> Option<&Arc<RootCertStore>> {
        let config = self.config.get()?.as_ref().ok()?;
        Some(&config.roots)
    }

    pub(super) async fn connect(
        &self,
        host: &str,
        tcp: TcpStream,
        is_http: bool,
    ) -> io::Result<TlsStream<TcpStream>> {
        let config = self.config.get_or_init(|| configure(&self.authorities));
        let config = config
            .as_ref()
            .map_err(|reason| io::Error::other(reason.clone()))?;
        let name = server_name(host)?;
        let config = if is_http { &config.http } else { &config.plain };
        TlsConnector::from(Arc::clone(config)).connect(name, tcp).await
    }
}

/// The host of a URL as certificates name it.
pub(super) fn server_name(host: &str) -> io::Result<ServerName<'static>> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(bare.to_owned()).map_err(io::Error::other)
}

/// The certificates of authorities in a PEM file (RFC 7468), in DER. `None` unless there is at least one and each is usable.
#[must_use]
pub fn authorities(pem: &[u8]) -> Option<Vec<Vec<u8>>> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .ok()?;
    let mut roots = RootCertStore::empty();
    for certificate in &certificates {
        roots.add(certificate.clone()).ok()?;
    }
    let der = certificates.iter().map(|certificate| certificate.to_vec());
    Some(der.collect()).filter(|_| !certificates.is_empty())
}

fn configure(authorities: &[Vec<u8>]) -> Result<Configs, String> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(native.certs);
    if roots.is_empty() {
        // An image without certificates: Mozilla's list, as it was when this was built.
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    for der in authorities {
        let added = roots.add(CertificateDer::from(der.clone()));
        added.map_err(|e| format!("a configured authority is not usable: {e}"))?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?;
    let roots = Arc::new(roots);
    let mut config = builder
        .with_root_certificates(Arc::clone(&roots))
        .with_no_client_auth();
    let plain = Arc::new(config.clone());
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Configs {
        http: Arc::new(config),
        plain,
        roots,
    })
}
