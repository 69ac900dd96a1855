//! `servers.NAME.auth`: how the gateway logs in at a remote server.

use super::problem::Collector;
use super::read::{Fields, choice, section};
use super::tree::Place;
use super::value::{Located, Sensitive, Text};

section! {
    /// How the gateway logs in at a remote server that wants OAuth tokens.
    ServerAuth {
        /// Whether it logs in: where the server asks for a token and has no `headers`, always, or never.
        mode: Located<LoginMode> = Located { place: Place::START, value: LoginMode::Auto };
        /// Whose accounts it is called with: everybody's own, or one that administrators connect for all.
        accounts: Located<Accounts> = Located { place: Place::START, value: Accounts::Personal };
        /// The server's authorization server, as it writes itself; no other one is logged in at then. Absent: the first one
        /// that the server names.
        issuer: Option<Located<Text>> = None;
        /// The client id, where Sallyport is registered at the authorization server. Absent: it describes or registers itself.
        client_id: Option<Located<Text>> = None;
        /// Its client secret; without, a public client.
        client_secret: Option<Sensitive> = None;
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
    }
}

/// The rules that look at several keys.
fn check(auth: &ServerAuth, place: Place, fields: &Fields<'_>, problems: &mut Collector) {
    if let Some(id) = &auth.client_id
        && auth.issuer.is_none()
    {
        problems.add(
            id.place,
            "a client id belongs to one authorization server; name it as `issuer`, so that it is shown to no other",
        );
    }
    if fields.has("client_secret") && auth.client_id.is_none() {
        problems.add(place, "`client_secret` needs the `client_id` that it belongs to");
    }
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
