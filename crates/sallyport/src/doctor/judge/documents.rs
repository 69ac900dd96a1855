//! The documents by which clients find their way (RFC 9728, RFC 8414).

use serde_json::Value;

use super::{PROXY_LOG, from_elsewhere, redirected, text};
use crate::doctor::finding::Ill;
use crate::doctor::wire::Reply;

/// A JSON document.
pub(in crate::doctor) fn document(path: &str, reply: &Reply) -> Result<Value, Ill> {
    let shown = reply.shown();
    let what = format!("GET {path}");
    match reply.status {
        200 => {}
        300..=399 => return Err(redirected(&what, reply)),
        401 => {
            return Err(Ill::fails(
                "document-behind-login",
                format!("{what} was answered with {shown}"),
                "Documents are read before anybody has logged in: take the proxy's own log-in away from `/.well-known/`.",
            ));
        }
        404 => {
            return Err(Ill::fails(
                "document-missing",
                format!("{what} was answered with {shown}"),
                "Have the proxy pass everything below `/.well-known/` to the gateway (ACME challenges can keep \
                 `/.well-known/acme-challenge/`).",
            ));
        }
        _ => {
            let other = || {
                Ill::fails(
                    "document-missing",
                    format!("{what} was answered with {shown}"),
                    PROXY_LOG,
                )
            };
            return Err(from_elsewhere(&what, reply).unwrap_or_else(other));
        }
    }
    serde_json::from_slice::<Value>(&reply.body)
        .ok()
        .filter(Value::is_object)
        .ok_or_else(|| {
            Ill::fails(
                "document-is-no-json",
                format!("{what} was answered with {}, not with JSON", reply.media_type()),
                "Something in front of the gateway answers in its place: pass `/.well-known/` on.",
            )
        })
}

/// What the resource's document says (RFC 9728 §3.3: `resource` is the URL, byte for byte).
pub(in crate::doctor) fn resource(
    document: &Value,
    endpoint: &str,
    issuer: &str,
) -> Result<Vec<String>, Ill> {
    let told = text(document, "resource");
    if told != endpoint {
        let how = if told.trim_end_matches('/') == endpoint.trim_end_matches('/') {
            "they differ by a slash at the end"
        } else {
            "most clients stop there"
        };
        return Err(Ill::fails(
            "resource-differs",
            format!("the document is of {told}, and the endpoint is {endpoint}: {how}"),
            "Set `public_url` to the address that clients use and restart the gateway; nothing in front may change documents.",
        ));
    }
    let servers = list(document, "authorization_servers");
    if !servers.iter().any(|server| server == issuer) {
        return Err(Ill::fails(
            "issuer-differs",
            format!(
                "the document sends clients to {}, and this gateway is {issuer}",
                shown(&servers)
            ),
            "Set `public_url` to the address that clients use and restart the gateway; nothing in front may change documents.",
        ));
    }
    Ok(list(document, "scopes_supported"))
}

/// What the authorization server's document says, as far as a client needs it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(in crate::doctor) struct Server {
    pub(in crate::doctor) authorize: String,
    pub(in crate::doctor) token: String,
    pub(in crate::doctor) register: Option<String>,
    pub(in crate::doctor) takes_documents: bool,
    pub(in crate::doctor) scopes: Vec<String>,
}

/// What the authorization server's document has to say (RFC 8414 §3.3, MCP authorization).
pub(in crate::doctor) fn server(document: &Value, issuer: &str) -> Result<Server, Ill> {
    let told = text(document, "issuer");
    if told != issuer {
        return Err(Ill::fails(
            "issuer-differs",
            format!(
                "the document is of the issuer {told}, and this gateway is {issuer}: clients refuse that"
            ),
            "Another server answers under this address, or `public_url` is another one than the gateway was started with: \
             correct it and restart the gateway.",
        ));
    }
    let endpoint = |name: &str| {
        let url = text(document, name);
        let is_here = url.strip_prefix(issuer).is_some_and(|path| path.starts_with('/'));
        if is_here {
            return Ok(url.strip_prefix(issuer).unwrap_or_default().to_owned());
        }
        Err(Ill::fails(
            "endpoint-elsewhere",
            format!("the document says that `{name}` is `{url}`, which is not below {issuer}"),
            "Nothing in front of the gateway may change documents; correct `public_url` and restart the gateway.",
        ))
    };
    if !list(document, "code_challenge_methods_supported")
        .iter()
        .any(|method| method == "S256")
    {
        return Err(Ill::fails(
            "pkce-untold",
            "the document does not say S256 in `code_challenge_methods_supported`: clients stop there",
            "Nothing in front of the gateway may change documents.",
        ));
    }
    if !list(document, "token_endpoint_auth_methods_supported")
        .iter()
        .any(|method| method == "none")
    {
        return Err(Ill::fails(
            "public-clients-untold",
            "the document does not say that clients without a secret are taken",
            "Nothing in front of the gateway may change documents.",
        ));
    }
    let register = match document.get("registration_endpoint") {
        Some(_) => Some(endpoint("registration_endpoint")?),
        None => None,
    };
    Ok(Server {
        authorize: endpoint("authorization_endpoint")?,
        token: endpoint("token_endpoint")?,
        register,
        takes_documents: document.get("client_id_metadata_document_supported") == Some(&Value::Bool(true)),
        scopes: list(document, "scopes_supported"),
    })
}

fn list(value: &Value, name: &str) -> Vec<String> {
    let list = value.get(name).and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn shown(all: &[String]) -> String {
    if all.is_empty() {
        return "nowhere".to_owned();
    }
    all.join(", ")
}
