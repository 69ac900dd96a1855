//! `servers.NAME.auth`: how the gateway logs in at a remote server.

use sallyport_vault::signing::StatementKey;

use super::problem::Collector;
use super::read::{Fields, choice, section};
use super::tree::Place;
use super::value::{FilePath, Located, Sensitive, Text};

section! {
    /// How the gateway logs in at a remote server that wants OAuth tokens.
    ServerAuth {
        /// Whether it logs in: where the server asks for a token and has no `headers`, always, or never.
        mode: Located<LoginMode> = Located { place: Place::START, value: LoginMode::Auto };
        /// Whose accounts it is called with: everybody's own, one that administrators connect for all, or the gateway's own,
        /// which nobody connects.
        accounts: Located<Accounts> = Located { place: Place::START, value: Accounts::Personal };
        /// The server's authorization server, as it writes itself; no other one is logged in at then. Absent: the first one
        /// that the server names.
        issuer: Option<Located<Text>> = None;
        /// The client id, where Sallyport is registered at the authorization server; or, without `issuer`, the https URL of
        /// a document that describes it. Absent: it describes or registers itself.
        client_id: Option<Located<Text>> = None;
        /// Its client secret; without, a public client.
        client_secret: Option<Sensitive> = None;
        /// Its private key in PEM, in place of a secret (`private_key_jwt`).
        client_key: Option<Sensitive> = None;
        /// A file with a statement of another authority about this gateway, such as the token of a workload, which grants the
        /// gateway its own tokens (RFC 7523). It is read each time.
        assertion_file: Option<Located<FilePath>> = None;
        /// The scopes that are asked for. Empty: what the server asks for.
        scopes: Vec<String> = Vec::new();
    }
    checked by check;
}

choice! {
    /// Whether the gateway logs in at a server.
    LoginMode {
        /// Where the server asks for a token and has no `headers`.
        Auto = "auto",
        /// Always.
        Oauth = "oauth",
        /// Never.
        None = "none",
    }
}

choice! {
    /// Whose accounts a server is called with.
    Accounts {
        /// Everybody's own.
        Personal = "personal",
        /// One for all.
        Shared = "shared",
        /// The gateway's, by client credentials.
        Gateway = "gateway",
    }
}

/// The rules that look at several keys.
fn check(auth: &ServerAuth, place: Place, fields: &Fields<'_>, problems: &mut Collector) {
    check_client(auth, place, fields, problems);
    if let Some(issuer) = &auth.issuer {
        let url = url::Url::parse(&issuer.value.value);
        let good = url.is_ok_and(|url| {
            matches!(url.scheme(), "https" | "http") && url.host().is_some() && url.query().is_none()
        });
        if !good {
            problems.add(
                issuer.place,
                "an issuer is a URL with https; write it as the authorization server writes itself",
            );
        }
    }
    let is_scope = |scope: &String| {
        !scope.is_empty()
            && scope
                .bytes()
                .all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
    };
    if !auth.scopes.iter().all(is_scope) {
        problems.add(
            place,
            "a scope of `scopes` is empty or holds spaces or quotes; write one in each item",
        );
    }
}

/// The rules about who the gateway is.
fn check_client(auth: &ServerAuth, place: Place, fields: &Fields<'_>, problems: &mut Collector) {
    let has_proof = fields.has("client_secret") || fields.has("client_key");
    let is_document = |id: &Located<Text>| id.value.value.starts_with("https://") && !has_proof;
    if let Some(id) = auth.client_id.as_ref().filter(|id| !is_document(id))
        && auth.issuer.is_none()
    {
        problems.add(
            id.place,
            "a client id belongs to one authorization server; name it as `issuer`, so that it is shown to no other",
        );
    }
    for name in ["client_secret", "client_key"] {
        if fields.has(name) && auth.client_id.is_none() {
            problems.add(
                place,
                format!("`{name}` needs the `client_id` that it belongs to"),
            );
        }
    }
    if fields.has("client_secret") && fields.has("client_key") {
        problems.add(
            place,
            "`client_key` takes the place of `client_secret`; write one of them",
        );
    }
    if let (Some(_), Some(key)) = (&auth.client_id, &auth.client_key)
        && StatementKey::from_pem(&key.value).is_err()
    {
        problems.add(
            place,
            "`client_key` is no private key; write one in PEM (`BEGIN PRIVATE KEY`): P-256, Ed25519, or RSA of 2048 bits",
        );
    }
    let is_gateway = auth.accounts.value == Accounts::Gateway;
    if let Some(file) = auth.assertion_file.as_ref().filter(|_| !is_gateway) {
        problems.add(
            file.place,
            "`assertion_file` grants the gateway tokens of its own; write `accounts: gateway` too",
        );
    }
    let has_grant = has_proof || (auth.client_id.is_some() && auth.assertion_file.is_some());
    if is_gateway && (auth.issuer.is_none() || !has_grant) {
        problems.add(
            auth.accounts.place,
            "the gateway gets tokens of its own as a client that is registered: write `issuer`, `client_id`, and `client_secret`, `client_key` or `assertion_file`",
        );
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::refused;

    #[test]
    fn cf_01_what_cannot_be_logged_in_with_is_said_with_the_mend() {
        for (keys, at, message) in [
            (
                "auth: { client_id: mine }",
                "mine",
                "a client id belongs to one authorization server; name it as `issuer`, so that it is shown to no other",
            ),
            (
                "auth: { client_secret: x }",
                "{ client_secret",
                "`client_secret` needs the `client_id` that it belongs to",
            ),
            (
                "auth: { client_key: x }",
                "{ client_key",
                "`client_key` needs the `client_id` that it belongs to",
            ),
            (
                r#"auth: { issuer: "https://as.example", client_id: a, client_key: x }"#,
                "{ issuer",
                "`client_key` is no private key; write one in PEM (`BEGIN PRIVATE KEY`): P-256, Ed25519, or RSA of 2048 bits",
            ),
            (
                r#"auth: { client_id: "https://g.example/c.json", client_secret: x }"#,
                r#""https://g"#,
                "a client id belongs to one authorization server; name it as `issuer`, so that it is shown to no other",
            ),
            (
                "auth: { accounts: gateway }",
                "gateway",
                "the gateway gets tokens of its own as a client that is registered: write `issuer`, `client_id`, and `client_secret`, `client_key` or `assertion_file`",
            ),
            (
                r#"auth: { assertion_file: /token }"#,
                "/token",
                "`assertion_file` grants the gateway tokens of its own; write `accounts: gateway` too",
            ),
            (
                r#"auth: { issuer: "https://as.example/?a" }"#,
                r#""https://as"#,
                "an issuer is a URL with https; write it as the authorization server writes itself",
            ),
            (
                r#"auth: { scopes: ["a b"] }"#,
                "{ scopes",
                "a scope of `scopes` is empty or holds spaces or quotes; write one in each item",
            ),
            (
                "shared: true, auth: { mode: oauth }",
                "oauth",
                "one session for all callers cannot have everybody's own account; remove `shared`, or write `accounts: shared`",
            ),
            (
                "headers: { authorization: x }, auth: { mode: oauth }",
                "authorization",
                "with `auth.mode: oauth` the gateway sets `Authorization` itself; remove this header, or the mode",
            ),
        ] {
            let text = format!(r#"servers: {{ a: {{ url: "https://s.example/mcp", {keys} }} }}"#);
            let column = text.find(at).expect("what is wrong") + 1;
            assert_eq!(refused(&text), format!("f.yaml:1:{column}: {message}"), "{text}");
        }
    }
}
