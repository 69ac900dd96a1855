//! Who sends a token request (RFC 6749 §2.3): `Authorization: Basic`, `client_secret` in the form, or a public client.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sallyport_core::{ClientId, Secret};
use subtle::ConstantTimeEq as _;
use thiserror::Error;

use crate::model::{AuthMethod, Client, Digest};
use crate::params::{Params, Repeated};

/// What a request says about its sender; nothing of it is believed yet.
pub struct Presented {
    /// The client that it claims to be.
    pub client: ClientId,
    /// Whether it used the `Authorization` header: a refusal then has to answer with a challenge (RFC 6749 §5.2).
    pub by_header: bool,
    secret: Option<Secret<String>>,
}

/// Why a request has no sender.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum ClientAuthError {
    /// A parameter came twice.
    #[error(transparent)]
    Repeated(#[from] Repeated),
    /// No `client_id` anywhere.
    #[error("`client_id` is missing")]
    Missing,
    /// Two methods, or two different clients, in one request (TK-06).
    #[error("the client is named or authenticated in two ways")]
    Conflict,
    /// The header is no Basic credentials.
    #[error("the Authorization header must hold Basic credentials")]
    Header,
    /// Unknown client, wrong secret, a secret missing, or one where none belongs. All look alike.
    #[error("client authentication failed")]
    Refused,
}

/// A client that has proved who it is, or is public. Only [`verify`] makes one.
#[derive(Clone, Copy, Debug)]
pub struct AuthenticatedClient<'a>(&'a Client);

impl<'a> AuthenticatedClient<'a> {
    /// The registration.
    #[must_use]
    pub fn client(self) -> &'a Client {
        self.0
    }
}

/// Reads what a token request says about its sender.
///
/// `client_id` may stand in the form next to the header, as some clients do, if it is the same.
///
/// # Errors
/// [`ClientAuthError`], except `Refused`.
pub fn read(authorization: Option<&str>, params: &Params) -> Result<Presented, ClientAuthError> {
    let form_id = params.one("client_id")?;
    let form_secret = params.one("client_secret")?;
    let Some(header) = authorization else {
        let client = ClientId::new(form_id.ok_or(ClientAuthError::Missing)?);
        return Ok(Presented {
            client,
            by_header: false,
            secret: form_secret.map(Secret::from),
        });
    };
    let (id, secret) = basic(header).ok_or(ClientAuthError::Header)?;
    if form_secret.is_some() || form_id.is_some_and(|form_id| form_id != id) {
        return Err(ClientAuthError::Conflict);
    }
    Ok(Presented {
        client: ClientId::new(id),
        by_header: true,
        secret: Some(secret),
    })
}

/// Compares what was presented with the registration. `hash` is the one that secrets are kept under.
///
/// A client with a secret may send it either way: the method of its registration tells it which one to prefer, and
/// some libraries always use the header.
///
/// # Errors
/// [`ClientAuthError::Refused`].
pub fn verify<'a>(
    presented: &Presented,
    client: Option<&'a Client>,
    hash: impl Fn(&[u8]) -> Digest,
) -> Result<AuthenticatedClient<'a>, ClientAuthError> {
    let client = client
        .filter(|c| c.id == presented.client)
        .ok_or(ClientAuthError::Refused)?;
    let good = match (client.auth_method, &client.secret, &presented.secret) {
        (AuthMethod::None, _, None) => true,
        (AuthMethod::ClientSecretBasic | AuthMethod::ClientSecretPost, Some(kept), Some(shown)) => {
            hash(shown.expose().as_bytes()).ct_eq(kept).into()
        }
        _ => false,
    };
    good.then_some(AuthenticatedClient(client))
        .ok_or(ClientAuthError::Refused)
}

fn basic(header: &str) -> Option<(String, Secret<String>)> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let plain = Secret::new(STANDARD.decode(encoded.trim()).ok()?);
    let colon = plain.expose().iter().position(|&b| b == b':')?;
    let (id, secret) = plain.expose().split_at_checked(colon)?;
    // Both halves are form-encoded first (RFC 6749 §2.3.1).
    let id = crate::params::decode(id).ok()?;
    let secret = crate::params::decode(secret.get(1..)?).ok()?;
    (!id.is_empty()).then(|| (id, Secret::new(secret)))
}

#[cfg(test)]
mod tests {
    use sallyport_core::{ScopeSet, Timestamp};

    use super::*;

    fn client(auth_method: AuthMethod) -> Client {
        Client {
            id: ClientId::new("c 1"),
            auth_method,
            secret: (auth_method != AuthMethod::None).then(|| hash(b"s:3%cret")),
            redirect_uris: vec![],
            scopes: ScopeSet::default(),
            metadata: serde_json::Map::new(),
            registered: Timestamp::EPOCH,
            last_used: None,
        }
    }

    fn hash(secret: &[u8]) -> Digest {
        let mut digest = [0; 32];
        for (slot, byte) in digest.iter_mut().zip(secret) {
            *slot = *byte;
        }
        digest
    }

    fn header(text: &str) -> String {
        format!("Basic {}", STANDARD.encode(text))
    }

    fn try_it(method: AuthMethod, authorization: Option<&str>, form: &str) -> Result<(), ClientAuthError> {
        let presented = read(authorization, &Params::parse(form.as_bytes()).unwrap())?;
        verify(&presented, Some(&client(method)), hash).map(|_| ())
    }

    #[test]
    fn every_served_method() {
        use AuthMethod::{ClientSecretBasic, ClientSecretPost, None as Public};
        let basic = header("c+1:s%3A3%25cret");
        let form = "client_id=c+1&client_secret=s:3%25cret";
        assert_eq!(try_it(Public, None, "client_id=c+1"), Ok(()));
        assert_eq!(try_it(Public, None, "client_id=c+1&client_secret="), Ok(()));
        for method in [ClientSecretBasic, ClientSecretPost] {
            assert_eq!(try_it(method, Some(&basic), ""), Ok(()));
            assert_eq!(try_it(method, Some(&basic), "client_id=c+1"), Ok(()));
            assert_eq!(try_it(method, None, form), Ok(()));
        }
    }

    #[test]
    fn tk_05_tk_06_tk_07_what_is_refused() {
        use AuthMethod::{ClientSecretBasic, None as Public};
        use ClientAuthError::{Conflict, Header, Missing, Refused};
        let basic = header("c+1:s%3A3%25cret");
        let cases = [
            (ClientSecretBasic, Some(header("c+1:bad")), "", Refused),
            (ClientSecretBasic, Some(header("c+1:")), "", Refused),
            (ClientSecretBasic, Some(header("other:x")), "", Refused),
            (ClientSecretBasic, None, "client_id=c+1", Refused),
            (
                ClientSecretBasic,
                None,
                "client_id=c+1&client_secret=bad",
                Refused,
            ),
            (Public, None, "client_id=c+1&client_secret=x", Refused),
            (Public, Some(header("c+1:")), "", Refused),
            (
                ClientSecretBasic,
                Some(basic.clone()),
                "client_id=c+1&client_secret=x",
                Conflict,
            ),
            (ClientSecretBasic, Some(basic), "client_id=other", Conflict),
            (Public, None, "", Missing),
            (Public, Some("Bearer x".to_owned()), "client_id=c+1", Header),
            (Public, Some("Basic %%%".to_owned()), "", Header),
            (Public, Some(header("nocolon")), "", Header),
            (Public, Some(header("c%ff:x")), "", Header),
        ];
        for (method, authorization, form, error) in cases {
            assert_eq!(
                try_it(method, authorization.as_deref(), form),
                Err(error),
                "{authorization:?} {form}"
            );
        }
        assert_eq!(
            try_it(Public, None, "client_id=a&client_id=b"),
            Err(ClientAuthError::Repeated(Repeated("client_id")))
        );
    }

    #[test]
    fn unknown_and_wrong_look_alike() {
        let presented = read(None, &Params::parse(b"client_id=nobody").unwrap()).unwrap();
        assert_eq!(
            verify(&presented, None, hash).map(|_| ()),
            Err(ClientAuthError::Refused)
        );
    }
}
