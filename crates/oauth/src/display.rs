//! What a person reads about a client, a scope or a time. A client chose its name; nothing in it may pose as ours.

use std::time::Duration;

use sallyport_core::{Level, Permission, Scope, ScopeSet};

use crate::model::Client;
use crate::registration;

/// The longest client name that is shown, in characters.
pub const MAX_NAME: usize = 60;

/// The client's name as it may be shown: without control, direction and invisible characters, on one line, cut at
/// [`MAX_NAME`] (DC-05). The page still has to escape and isolate it.
#[must_use]
pub fn client_name(client: &Client) -> Option<String> {
    let given = client.metadata.get("client_name")?.as_str()?;
    let visible: String = given
        .chars()
        .map(|c| if c.is_whitespace() { ' ' } else { c })
        .filter(|c| !hidden(*c))
        .collect();
    let words: Vec<&str> = visible.split_whitespace().collect();
    let line = words.join(" ");
    let cut: String = line.chars().take(MAX_NAME).collect();
    match (cut.is_empty(), cut.len() < line.len()) {
        (true, _) => None,
        (false, true) => Some(format!("{}…", cut.trim_end())),
        (false, false) => Some(cut),
    }
}

/// Control characters, direction marks and overrides, zero-width and other invisible characters, private use.
fn hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{00ad}' | '\u{034f}' | '\u{061c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e000}'..='\u{f8ff}' | '\u{e0000}'..='\u{10ffff}')
}

/// What scopes allow, each in words that follow "It will be able to". What another one contains is not said again.
#[must_use]
pub fn scopes(scopes: &ScopeSet) -> Vec<String> {
    scopes.widest().iter().map(scope).collect()
}

fn scope(scope: &Scope) -> String {
    let Some(Permission { server, level }) = Permission::of(scope) else {
        return format!("use the permission {scope}");
    };
    let does = match level {
        Level::Write => "see and use the tools, resources and prompts",
        Level::Read => "see the tools, and see and read the resources and prompts,",
    };
    match server {
        None => format!("{does} that your account can use there"),
        Some(server) => format!("{does} that your account can use there, of the server {server} alone"),
    }
}

/// A time span in the largest unit that fits it: `15 minutes`, `30 days`.
#[must_use]
pub fn duration(span: Duration) -> String {
    let seconds = span.as_secs();
    let (count, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7_200 => (seconds / 60, "minute"),
        7_200..172_800 => (seconds / 3_600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

/// How long what is granted to a client lasts, as a sentence: a yes to one that may refresh lasts for `most`, if it is
/// used within `idle` each time.
#[must_use]
pub fn lifetime(client: &Client, access: Duration, (idle, most): (Duration, Duration)) -> String {
    if !registration::allows_grant(client, "refresh_token") {
        return format!("For {}, once.", duration(access));
    }
    if idle >= most {
        return format!("For {} at most.", duration(most));
    }
    let (idle, most) = (duration(idle), duration(most));
    format!("Until it has been unused for {idle}, and for {most} at most.")
}

#[cfg(test)]
mod tests {
    use sallyport_core::{ClientId, ScopeSet, Timestamp};
    use serde_json::json;

    use super::*;
    use crate::model::AuthMethod;

    fn shown(name: serde_json::Value) -> Option<String> {
        client_name(&Client {
            id: ClientId::new("c"),
            auth_method: AuthMethod::None,
            secret: None,
            redirect_uris: vec![],
            scopes: ScopeSet::default(),
            metadata: serde_json::Map::from_iter([("client_name".to_owned(), name)]),
            registered: Timestamp::EPOCH,
            last_used: None,
        })
    }

    #[test]
    fn dc_05_names_cannot_hide_turn_around_or_fill_the_page() {
        let cases = [
            (json!("MCP CLI Proxy"), Some("MCP CLI Proxy")),
            (json!("  two\n lines\t"), Some("two lines")),
            (json!("evil\u{202e}txt.exe\u{2069}"), Some("eviltxt.exe")),
            (json!("zero\u{200b}width\u{feff}"), Some("zerowidth")),
            (json!("\u{200b}\u{3164}"), None),
            (json!(""), None),
            (json!(7), None),
            (json!("日本語クライアント"), Some("日本語クライアント")),
        ];
        for (given, expected) in cases {
            assert_eq!(shown(given.clone()).as_deref(), expected, "{given}");
        }
        let long = shown(json!("x".repeat(10_240))).unwrap();
        assert_eq!(long.chars().count(), MAX_NAME + 1);
        assert_eq!(shown(json!("x".repeat(MAX_NAME))), Some("x".repeat(MAX_NAME)));
    }

    #[test]
    fn spans_in_words() {
        for (seconds, words) in [
            (1, "1 second"),
            (60, "60 seconds"),
            (900, "15 minutes"),
            (7_200, "2 hours"),
            (30 * 86_400, "30 days"),
        ] {
            assert_eq!(duration(Duration::from_secs(seconds)), words);
        }
    }
}
