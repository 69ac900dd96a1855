//! The redemption of an authorization code (OAuth 2.1 §4.1.3). The code is used up before any of this is asked, so a
//! guess costs it.

use sallyport_core::{Secret, Thumbprint, Timestamp};
use thiserror::Error;

use crate::client_auth::AuthenticatedClient;
use crate::error::ErrorCode;
use crate::model::{AuthorizationCode, Grant};
use crate::params::Params;
use crate::pkce;
use crate::resources::{self, InvalidTarget};
use crate::token_request::CodeRequest;

/// Why a code is not redeemed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum RedeemError {
    /// It was issued to another client.
    #[error("the code was issued to another client")]
    WrongClient,
    /// Its time is over.
    #[error("the code has expired")]
    Expired,
    /// The grant has been revoked.
    #[error("the grant has been revoked")]
    Revoked,
    /// Another redirect URI than in the authorization request.
    #[error("`redirect_uri` is not the one of the authorization request")]
    Redirect,
    /// No verifier.
    #[error("`code_verifier` is missing")]
    NoVerifier,
    /// A wrong verifier.
    #[error("`code_verifier` does not belong to the challenge")]
    Verifier,
    /// Another key than the authorization request named, or none.
    #[error("the code is bound to a key: a DPoP proof with it is needed")]
    Key,
    /// Another resource than was granted.
    #[error(transparent)]
    Target(#[from] InvalidTarget),
}

impl RedeemError {
    /// The `error` value of the answer.
    #[must_use]
    pub fn code(self) -> ErrorCode {
        match self {
            Self::WrongClient
            | Self::Expired
            | Self::Revoked
            | Self::Redirect
            | Self::Verifier
            | Self::Key => ErrorCode::InvalidGrant,
            Self::NoVerifier => ErrorCode::InvalidRequest,
            Self::Target(_) => ErrorCode::InvalidTarget,
        }
    }
}

/// Whether the taken code may be exchanged for tokens. `key` is the one that the sender has proved to hold.
///
/// # Errors
/// [`RedeemError`].
pub fn redeem(
    (code, grant): (&AuthorizationCode, &Grant),
    client: AuthenticatedClient<'_>,
    request: &CodeRequest,
    params: &Params,
    key: Option<&Thumbprint>,
    now: Timestamp,
) -> Result<(), RedeemError> {
    if grant.client != client.client().id {
        return Err(RedeemError::WrongClient);
    }
    if grant.revoked.is_some() {
        return Err(RedeemError::Revoked);
    }
    if now >= code.expires {
        return Err(RedeemError::Expired);
    }
    if request
        .redirect_uri
        .as_ref()
        .is_some_and(|uri| *uri != code.redirect_uri)
    {
        return Err(RedeemError::Redirect);
    }
    let verifier: &Secret<String> = request.verifier.as_ref().ok_or(RedeemError::NoVerifier)?;
    if !pkce::matches(&code.challenge, verifier.expose()) {
        return Err(RedeemError::Verifier);
    }
    if code.key.is_some() && code.key.as_ref() != key {
        return Err(RedeemError::Key);
    }
    resources::keep(&grant.resource, params.all("resource"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sallyport_core::{ClientId, GrantId, Resource, ScopeSet, UserId};

    use super::*;
    use crate::client_auth;
    use crate::model::{AuthMethod, Client};

    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const ISSUED: Timestamp = Timestamp::from_secs(1000);

    struct Case {
        client: &'static str,
        verifier: Option<&'static str>,
        redirect: Option<&'static str>,
        form: &'static str,
        after: u64,
        revoked: bool,
        bound: Option<&'static str>,
        proved: Option<&'static str>,
    }

    const GOOD: Case = Case {
        client: "c1",
        verifier: Some(VERIFIER),
        redirect: Some("http://127.0.0.1:5/cb"),
        form: "resource=http://h/mcp",
        after: 59_999,
        revoked: false,
        bound: None,
        proved: None,
    };

    fn run(case: &Case) -> Result<(), RedeemError> {
        let code = AuthorizationCode {
            digest: [1; 32],
            grant: GrantId::new("g"),
            redirect_uri: "http://127.0.0.1:5/cb".into(),
            challenge: "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM".into(),
            key: case.bound.map(Thumbprint::new),
            expires: ISSUED.plus(Duration::from_secs(60)),
        };
        let grant = Grant {
            id: GrantId::new("g"),
            user: UserId::new("u"),
            client: ClientId::new("c1"),
            resource: Resource::parse("http://h/mcp").unwrap(),
            scopes: ScopeSet::parse("mcp"),
            created: ISSUED,
            expires: ISSUED.plus(Duration::from_secs(9999)),
            revoked: case.revoked.then_some(ISSUED),
        };
        let client = Client {
            id: ClientId::new(case.client),
            auth_method: AuthMethod::None,
            secret: None,
            redirect_uris: vec![],
            scopes: ScopeSet::default(),
            metadata: serde_json::Map::new(),
            registered: ISSUED,
            last_used: None,
        };
        let presented = client_auth::read(
            None,
            &Params::parse(format!("client_id={}", case.client).as_bytes()).unwrap(),
        )
        .unwrap();
        let authenticated = client_auth::verify(&presented, Some(&client), |_| [0; 32]).unwrap();
        let request = CodeRequest {
            code: Secret::from("x"),
            verifier: case.verifier.map(Secret::from),
            redirect_uri: case.redirect.map(ToOwned::to_owned),
        };
        let params = Params::parse(case.form.as_bytes()).unwrap();
        redeem(
            (&code, &grant),
            authenticated,
            &request,
            &params,
            case.proved.map(Thumbprint::new).as_ref(),
            ISSUED.plus(Duration::from_millis(case.after)),
        )
    }

    #[test]
    fn a_code_in_its_last_millisecond() {
        assert_eq!(run(&GOOD), Ok(()));
        assert_eq!(
            run(&Case {
                redirect: None,
                form: "",
                ..GOOD
            }),
            Ok(())
        );
    }

    #[test]
    fn au_10_a_bound_code_is_for_the_holder_of_the_key() {
        let key = |bound, proved| {
            run(&Case {
                bound,
                proved,
                ..GOOD
            })
        };
        assert_eq!(key(Some("k"), Some("k")), Ok(()));
        assert_eq!(key(None, Some("k")), Ok(()));
        assert_eq!(key(Some("k"), Some("other")), Err(RedeemError::Key));
        assert_eq!(key(Some("k"), None), Err(RedeemError::Key));
    }

    #[test]
    fn tk_03_tk_04_pk_04_au_03_what_is_refused() {
        let cases = [
            (
                Case {
                    after: 60_000,
                    ..GOOD
                },
                RedeemError::Expired,
            ),
            (Case { client: "c2", ..GOOD }, RedeemError::WrongClient),
            (
                Case {
                    redirect: Some("http://127.0.0.1:6/cb"),
                    ..GOOD
                },
                RedeemError::Redirect,
            ),
            (
                Case {
                    verifier: None,
                    ..GOOD
                },
                RedeemError::NoVerifier,
            ),
            (
                Case {
                    verifier: Some("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXX"),
                    ..GOOD
                },
                RedeemError::Verifier,
            ),
            (
                Case {
                    verifier: Some(""),
                    ..GOOD
                },
                RedeemError::Verifier,
            ),
            (
                Case {
                    form: "resource=http://h/mcp/other",
                    ..GOOD
                },
                RedeemError::Target(InvalidTarget),
            ),
            (
                Case {
                    revoked: true,
                    ..GOOD
                },
                RedeemError::Revoked,
            ),
        ];
        for (case, error) in cases {
            assert_eq!(run(&case), Err(error));
        }
    }
}
