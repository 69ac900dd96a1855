//! Who sends a token request (RFC 6749 §2.3): `Authorization: Basic`, `client_secret` in the form, a signed statement
//! (RFC 7523), or a public client.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sallyport_core::{ClientId, Secret};
use subtle::{Choice, ConstantTimeEq as _};
use thiserror::Error;

use crate::assertion::{self, Assertion, AssertionError};
use crate::model::{AuthMethod, Client, Digest};
use crate::params::{Params, Repeated};

/// What a request says about its sender; nothing of it is believed yet.
pub struct Presented {
    /// The client that it claims to be.
    pub client: ClientId,
    /// Whether it used the `Authorization` header: a refusal then has to answer with a challenge (RFC 6749 §5.2).
    pub by_header: bool,
    proof: Proof,
}

enum Proof {
    None,
    /// A secret, in each way that it can be read.
    Secret(Vec<Secret<String>>),
    Assertion(Box<Assertion>),
}

impl Presented {
    /// The signed statement, where that is the proof.
    #[must_use]
    pub fn assertion(&self) -> Option<&Assertion> {
        match &self.proof {
            Proof::Assertion(assertion) => Some(assertion),
            Proof::None | Proof::Secret(_) => None,
        }
    }
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
    /// The signed statement proves nothing.
    #[error(transparent)]
    Assertion(#[from] AssertionError),
}

/// A client that has proved who it is, or is public. Only [`verify`] and [`Assertion::verify`] make one.
#[derive(Clone, Copy, Debug)]
pub struct AuthenticatedClient<'a>(&'a Client);

impl<'a> AuthenticatedClient<'a> {
    pub(crate) fn new(client: &'a Client) -> Self {
        Self(client)
    }

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
    let statement = params.one("client_assertion")?;
    let is_conflict = authorization.is_some() || form_secret.is_some();
    if let Some(statement) = statement {
        if is_conflict {
            return Err(ClientAuthError::Conflict);
        }
        if params.one("client_assertion_type")? != Some(assertion::TYPE) {
            return Err(AssertionError::Type.into());
        }
        let statement = Assertion::read(statement)?;
        let client = statement.client();
        if form_id.is_some_and(|form_id| form_id != client.as_str()) {
            return Err(ClientAuthError::Conflict);
        }
        return Ok(Presented {
            client,
            by_header: false,
            proof: Proof::Assertion(Box::new(statement)),
        });
    }
    let Some(header) = authorization else {
        let client = ClientId::new(form_id.ok_or(ClientAuthError::Missing)?);
        let secret = form_secret.map(|secret| Proof::Secret(vec![Secret::from(secret)]));
        return Ok(Presented {
            client,
            by_header: false,
            proof: secret.unwrap_or(Proof::None),
        });
    };
    let (id, secrets) = basic(header).ok_or(ClientAuthError::Header)?;
    if form_secret.is_some() || form_id.is_some_and(|form_id| form_id != id) {
        return Err(ClientAuthError::Conflict);
    }
    Ok(Presented {
        client: ClientId::new(id),
        by_header: true,
        proof: Proof::Secret(secrets),
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
    let good = match (client.auth_method, &client.secret, &presented.proof) {
        (AuthMethod::None, _, Proof::None) => true,
        (AuthMethod::ClientSecretBasic | AuthMethod::ClientSecretPost, Some(kept), Proof::Secret(shown)) => {
            let equal = shown.iter().map(|one| hash(one.expose().as_bytes()).ct_eq(kept));
            equal.fold(Choice::from(0), |any, one| any | one).into()
        }
        _ => false,
    };
    good.then_some(AuthenticatedClient(client))
        .ok_or(ClientAuthError::Refused)
}

fn basic(header: &str) -> Option<(String, Vec<Secret<String>>)> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let plain = Secret::new(STANDARD.decode(encoded.trim()).ok()?);
    let colon = plain.expose().iter().position(|&b| b == b':')?;
    let (id, secret) = plain.expose().split_at_checked(colon)?;
    let secret = secret.get(1..)?;
    // Both halves are form-encoded first (RFC 6749 §2.3.1). Many libraries leave that out, so the secret counts as it
    // stands too.
    let id = crate::params::decode(id).ok()?;
    let decoded = crate::params::decode(secret).ok();
    let raw = std::str::from_utf8(secret).ok().map(ToOwned::to_owned);
    let raw = raw.filter(|raw| decoded.as_ref() != Some(raw));
    let secrets: Vec<_> = decoded.into_iter().chain(raw).map(Secret::new).collect();
    (!id.is_empty() && !secrets.is_empty()).then_some((id, secrets))
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
        let raw = header("c+1:s:3%cret");
        for method in [ClientSecretBasic, ClientSecretPost] {
            assert_eq!(try_it(method, Some(&raw), ""), Ok(()));
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
            (ClientSecretBasic, Some(header("c+1:s%3A3%cret")), "", Refused),
            (Public, None, "client_assertion=x", AssertionError::Type.into()),
            (Public, None, "client_assertion=x&client_secret=x", Conflict),
            (Public, Some(header("c+1:x")), "client_assertion=x", Conflict),
            (
                Public,
                None,
                "client_assertion=x&client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                AssertionError::Form.into(),
            ),
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
