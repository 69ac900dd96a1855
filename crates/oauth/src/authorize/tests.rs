use proptest::prelude::*;
use sallyport_core::Timestamp;

use super::*;
use crate::error::ErrorCode;
use crate::model::AuthMethod;
use crate::params::{ParamsError, Repeated};
use crate::pkce::ChallengeError;
use crate::prompt::PromptError;
use crate::resources::InvalidTarget;

const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

fn client() -> Client {
    Client {
        id: ClientId::new("c1"),
        auth_method: AuthMethod::None,
        secret: None,
        redirect_uris: vec!["http://127.0.0.1/cb".into(), "https://c.test/cb?keep=1".into()],
        scopes: ScopeSet::parse("mcp"),
        metadata: serde_json::Map::new(),
        registered: Timestamp::EPOCH,
        last_used: None,
    }
}

fn resources() -> Resources {
    Resources::new(Resource::parse("http://h:1/mcp").unwrap(), [])
}

fn base() -> String {
    format!(
        "client_id=c1&redirect_uri=http://127.0.0.1:5/cb&response_type=code&state=s%201&scope=mcp\
         &code_challenge={CHALLENGE}&code_challenge_method=S256"
    )
}

fn anchor(query: &str) -> Result<AuthorizeRequest<Anchored>, AnchorError> {
    AuthorizeRequest::read(Params::parse(query.as_bytes())?)?.anchor(Some(&client()), &[])
}

fn validate(query: &str) -> Result<ValidRequest, AuthorizeError> {
    let anchored = anchor(query).unwrap_or_else(|e| panic!("{query}: {e}"));
    anchored
        .validate(&client(), &resources())
        .map_err(|refusal| refusal.error)
}

/// The base request without one parameter, with `extra` behind it.
fn without(name: &str, extra: &str) -> String {
    let kept: Vec<_> = base()
        .split('&')
        .filter(|p| !p.starts_with(&format!("{name}=")))
        .map(String::from)
        .collect();
    format!("{}&{extra}", kept.join("&"))
}

#[test]
fn a_whole_request() {
    let request = validate(&base()).unwrap();
    assert_eq!(request.target.redirect_uri, "http://127.0.0.1:5/cb");
    assert_eq!(request.target.state.as_deref(), Some("s 1"));
    assert_eq!(request.scopes.to_string(), "mcp");
    assert_eq!(request.kind, RedirectKind::Loopback);
}

#[test]
fn az_01_az_03_ru_08_errors_that_have_nowhere_to_go() {
    let cases = [
        (without("client_id", ""), AnchorError::Missing("client_id")),
        (without("redirect_uri", ""), AnchorError::Missing("redirect_uri")),
        (without("client_id", "client_id=nope"), AnchorError::UnknownClient),
        (
            without("redirect_uri", "redirect_uri=https://evil.test/cb"),
            AnchorError::UnknownRedirect,
        ),
        (
            without("redirect_uri", "redirect_uri=javascript:alert(1)"),
            AnchorError::UnknownRedirect,
        ),
        (
            format!("{}&client_id=c1", base()),
            AnchorError::Repeated(Repeated("client_id")),
        ),
        (
            format!("{}&redirect_uri=x", base()),
            AnchorError::Repeated(Repeated("redirect_uri")),
        ),
        (
            format!("{}&x=%ff", base()),
            AnchorError::Params(ParamsError::Malformed),
        ),
    ];
    for (query, error) in cases {
        assert_eq!(anchor(&query).err(), Some(error), "{query}");
    }
    let unknown = AuthorizeRequest::read(Params::parse(base().as_bytes()).unwrap()).unwrap();
    assert_eq!(unknown.anchor(None, &[]).err(), Some(AnchorError::UnknownClient));
}

#[test]
fn a_private_scheme_that_the_operator_removed_is_refused_again() {
    let mut app = client();
    app.redirect_uris = vec!["cursor://x/cb".into()];
    let read = || {
        let query = without("redirect_uri", "redirect_uri=cursor://x/cb");
        AuthorizeRequest::read(Params::parse(query.as_bytes()).unwrap()).unwrap()
    };
    assert!(read().anchor(Some(&app), &["cursor".to_owned()]).is_ok());
    assert_eq!(
        read().anchor(Some(&app), &[]).err(),
        Some(AnchorError::UnknownRedirect)
    );
}

#[test]
fn az_02_az_03_az_07_pk_01_pk_02_pk_03_au_02_errors_that_go_back() {
    let cases = [
        (without("response_type", ""), ErrorCode::InvalidRequest),
        (
            without("response_type", "response_type=token"),
            ErrorCode::UnsupportedResponseType,
        ),
        (
            without("response_type", "response_type=id_token"),
            ErrorCode::UnsupportedResponseType,
        ),
        (
            without("response_type", "response_type=none"),
            ErrorCode::UnsupportedResponseType,
        ),
        (
            without("response_type", "response_type=code+token"),
            ErrorCode::UnsupportedResponseType,
        ),
        (without("code_challenge", ""), ErrorCode::InvalidRequest),
        (
            without("code_challenge", "code_challenge="),
            ErrorCode::InvalidRequest,
        ),
        (without("code_challenge_method", ""), ErrorCode::InvalidRequest),
        (
            without("code_challenge_method", "code_challenge_method=plain"),
            ErrorCode::InvalidRequest,
        ),
        (
            format!("{}&response_mode=fragment", base()),
            ErrorCode::InvalidRequest,
        ),
        (
            format!("{}&request=e30.e30.", base()),
            ErrorCode::RequestNotSupported,
        ),
        (
            format!("{}&request_uri=http://127.0.0.1:9/x", base()),
            ErrorCode::RequestUriNotSupported,
        ),
        (
            format!("{}&registration=%7B%7D", base()),
            ErrorCode::RegistrationNotSupported,
        ),
        (
            format!("{}&resource=http://evil.test/mcp", base()),
            ErrorCode::InvalidTarget,
        ),
        (format!("{}&prompt=none+login", base()), ErrorCode::InvalidRequest),
        (format!("{}&state=other", base()), ErrorCode::InvalidRequest),
        (format!("{}&scope=other", base()), ErrorCode::InvalidRequest),
        (
            format!("{}&code_challenge=other", base()),
            ErrorCode::InvalidRequest,
        ),
        (
            format!("{}&response_type=code", base()),
            ErrorCode::InvalidRequest,
        ),
    ];
    for (query, code) in cases {
        assert_eq!(
            validate(&query).map_err(AuthorizeError::code),
            Err(code),
            "{query}"
        );
    }
}

#[test]
fn az_03_a_state_that_came_twice_is_not_sent_back() {
    let anchored = anchor(&format!("{}&state=other", base())).unwrap();
    assert_eq!(anchored.target().state, None);
}

#[test]
fn az_08_scopes_are_reduced_to_what_is_registered() {
    for (asked, got) in [
        ("scope=admin+mcp:*", "mcp"),
        ("scope=openid+email+profile", "mcp"),
        ("scope=mcp+offline_access", "mcp"),
        ("scope=", "mcp"),
        ("", "mcp"),
    ] {
        assert_eq!(
            validate(&without("scope", asked)).unwrap().scopes.to_string(),
            got,
            "{asked}"
        );
    }
    let nothing = Client {
        scopes: ScopeSet::default(),
        ..client()
    };
    assert!(granted_scopes(Some("mcp"), &nothing).is_empty());
}

#[test]
fn answers_carry_state_and_issuer_behind_what_is_there() {
    let plain = ResponseTarget {
        redirect_uri: "http://127.0.0.1:5/cb".into(),
        state: Some("a&b=\r\n".into()),
    };
    assert_eq!(
        plain.success("http://h:1", "CODE"),
        "http://127.0.0.1:5/cb?code=CODE&iss=http%3A%2F%2Fh%3A1&state=a%26b%3D%0D%0A"
    );
    let query = ResponseTarget {
        redirect_uri: "https://c.test/cb?keep=1".into(),
        state: None,
    };
    assert_eq!(
        query.failure("http://h:1", AuthorizeError::Denied),
        "https://c.test/cb?keep=1&error=access_denied&error_description=the+person+said+no&iss=http%3A%2F%2Fh%3A1"
    );
}

#[test]
fn az_11_descriptions_hold_only_what_the_rfc_allows() {
    let errors = [
        AuthorizeError::Repeated(Repeated("state")),
        AuthorizeError::NoResponseType,
        AuthorizeError::Challenge(ChallengeError::Missing),
        AuthorizeError::Challenge(ChallengeError::Form),
        AuthorizeError::Target(InvalidTarget),
        AuthorizeError::Prompt(PromptError),
    ];
    for error in errors {
        let text = error.to_string();
        assert!(
            text.bytes()
                .all(|b| matches!(b, 0x20 | 0x21 | 0x23..=0x5b | 0x5d..=0x7e)),
            "{text}"
        );
    }
}

proptest! {
    #[test]
    fn a_location_is_one_header_line_and_keeps_the_state(state in "\\PC{0,40}") {
        let target = ResponseTarget { redirect_uri: "https://c.test/cb".into(), state: Some(state.clone()) };
        let location = target.success("http://h", "c");
        prop_assert!(location.bytes().all(|b| b.is_ascii_graphic()));
        let url = url::Url::parse(&location).unwrap();
        let back = url.query_pairs().find(|(k, _)| k == "state").map(|(_, v)| v.into_owned());
        prop_assert_eq!(back, Some(state));
    }

    #[test]
    fn any_query_is_judged_without_panic(query in "[a-z_=&%0-9:/.]{0,120}") {
        if let Ok(anchored) = anchor(&query) {
            let _ = anchored.validate(&client(), &resources());
        }
    }
}
