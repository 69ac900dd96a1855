//! How long the certificate of a server is good, and who trusts it.

use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use sallyport_core::Timestamp;

use super::tls::server_name;
use super::{Egress, EgressError, Target};

/// The furthest day that is looked at: no public certificate is good for longer (CA/Browser Forum, 398 days).
const FURTHEST: u32 = 400;

/// What can be told of a certificate that is good now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Certificate {
    /// For how many whole days from now its chain is good; 400 stands for more.
    pub days: u32,
    /// Whether an authority gave it that browsers trust, and not only this machine.
    pub is_public: bool,
}

impl Egress {
    /// Makes a TLS connection and looks at the certificate; nothing for a target without TLS. The caller bounds the time.
    ///
    /// # Errors
    /// [`EgressError`], above all for a certificate that is not good.
    pub async fn certificate(
        &self,
        target: &Target,
        now: Timestamp,
    ) -> Result<Option<Certificate>, EgressError> {
        let transport = self.connect(target).await?;
        let (Some((own, chain)), Some(roots)) = (transport.certificates().split_first(), self.tls.roots())
        else {
            return Ok(None);
        };
        let host = target.host_text();
        let name = server_name(&host).map_err(|source| EgressError::Tls { host, source })?;
        let shown = Shown { own, chain, name };
        let public = RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        Ok(Some(Certificate {
            days: shown.days(roots, now),
            is_public: shown.is_good(&Arc::new(public), now),
        }))
    }
}

/// What a server has shown.
struct Shown<'a> {
    own: &'a CertificateDer<'static>,
    chain: &'a [CertificateDer<'static>],
    name: ServerName<'static>,
}

impl Shown<'_> {
    /// The last whole day on which it is good, found by halving: once it has ended it stays so.
    fn days(&self, roots: &Arc<RootCertStore>, now: Timestamp) -> u32 {
        const DAY: Duration = Duration::from_secs(86_400);
        let (mut good, mut bad) = (0, FURTHEST + 1);
        while bad - good > 1 {
            let middle = u32::midpoint(good, bad);
            if self.is_good(roots, now.plus(DAY.saturating_mul(middle))) {
                good = middle;
            } else {
                bad = middle;
            }
        }
        good
    }

    fn is_good(&self, roots: &Arc<RootCertStore>, at: Timestamp) -> bool {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::clone(roots), provider).build();
        let at = Duration::from_secs(u64::try_from(at.as_secs()).unwrap_or_default());
        let at = UnixTime::since_unix_epoch(at);
        verifier.is_ok_and(|verifier| {
            verifier
                .verify_server_cert(self.own, self.chain, &self.name, &[], at)
                .is_ok()
        })
    }
}
