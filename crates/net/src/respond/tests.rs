use http_body_util::BodyExt as _;

use super::*;
use crate::SharedBytes;

async fn read(response: Response) -> (u16, http::HeaderMap, String) {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (
        parts.status.as_u16(),
        parts.headers,
        String::from_utf8(body.to_vec()).unwrap(),
    )
}

const METADATA: &str = "https://gate.example/.well-known/oauth-protected-resource/mcp";

#[tokio::test]
async fn challenges_tell_where_to_get_a_token() {
    let cases = [
        (
            Challenge::NoToken,
            401,
            format!("Bearer resource_metadata=\"{METADATA}\", scope=\"mcp\""),
        ),
        (Challenge::InvalidToken, 401, "error=\"invalid_token\"".into()),
        (Challenge::InvalidRequest, 400, "error=\"invalid_request\"".into()),
        (
            Challenge::InsufficientScope,
            403,
            "error=\"insufficient_scope\"".into(),
        ),
    ];
    for (kind, status, part) in cases {
        let (found, headers, body) = read(challenge(kind, METADATA, "mcp").unwrap()).await;
        let header = headers["www-authenticate"].to_str().unwrap();
        assert_eq!(found, status);
        assert!(
            header.starts_with("Bearer ") && header.contains(&part),
            "{header}"
        );
        assert!(
            header.contains(&format!("resource_metadata=\"{METADATA}\"")),
            "{header}"
        );
        assert!(header.contains("scope=\"mcp\""), "{header}");
        assert_eq!(headers["cache-control"], "no-store");
        assert!(body.contains("error_description"), "{body}");
        // RFC 6750 §3.1: who sent no token is told no error.
        assert_eq!(header.contains("error="), kind != Challenge::NoToken);
    }
}

#[test]
fn challenges_cannot_be_split() {
    for bad in ["https://a\"b", "https://a\\b", "https://a\r\nb", "https://é"] {
        assert!(challenge(Challenge::NoToken, bad, "mcp").is_err(), "{bad:?}");
        assert!(challenge(Challenge::NoToken, METADATA, bad).is_err(), "{bad:?}");
    }
}

#[tokio::test]
async fn oauth_errors_have_their_form() {
    let (status, headers, body) = read(oauth_error(
        StatusCode::BAD_REQUEST,
        "invalid_grant",
        "The code is used.",
    ))
    .await;
    assert_eq!(
        (status, body.as_str()),
        (
            400,
            r#"{"error":"invalid_grant","error_description":"The code is used."}"#
        )
    );
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(headers["cache-control"], "no-store");
    assert_eq!(
        read(oauth_error(StatusCode::BAD_REQUEST, "invalid_grant", ""))
            .await
            .2,
        r#"{"error":"invalid_grant"}"#
    );
}

#[tokio::test]
async fn pages_carry_their_policy() {
    let (_, headers, _) = read(page(
        StatusCode::OK,
        "<p>",
        "default-src 'none'; form-action 'self'",
    ))
    .await;
    assert_eq!(
        headers["content-security-policy"],
        "default-src 'none'; form-action 'self'"
    );
    assert_eq!(headers["x-frame-options"], "DENY");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert_eq!(headers["referrer-policy"], "same-origin");
    let (_, headers, _) = read(page(StatusCode::OK, "<p>", "a\nb")).await;
    assert_eq!(headers["content-security-policy"], "default-src 'none'");
}

#[tokio::test]
async fn small_answers() {
    let (status, headers, _) = read(method_not_allowed(&[Method::GET, Method::POST])).await;
    assert_eq!((status, headers["allow"].to_str().unwrap()), (405, "GET, POST"));
    assert_eq!(read(not_found()).await.0, 404);
    assert_eq!(read(turned_away(DoorError::HostForeign)).await.0, 421);
    assert_eq!(read(bad_body(BodyError::Encoding)).await.0, 415);
    assert_eq!(read(rpc(StatusCode::OK, "{}")).await.2, "{}");
    let shared = Body::shared(Bytes::from("a"), SharedBytes::new(Bytes::from("b")));
    assert_eq!(http_body::Body::size_hint(&shared).exact(), Some(2));
    assert_eq!(read(Response::new(shared)).await.2, "ab");
}
