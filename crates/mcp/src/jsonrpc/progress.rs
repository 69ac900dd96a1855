//! The one message that comes in floods.

use crate::json::{MAX_DEPTH, Scanner};

/// Longer ones are left to [`super::scan`]: what is no progress should not be looked at twice.
const LONGEST: usize = 2 << 10;

/// The raw token of a progress notification, if it is written plainly: with the members that the protocol gives it, each
/// once, and no other. Whatever this accepts, [`super::scan`] would accept and read alike; `None` means that the message
/// has to be scanned.
#[must_use]
pub fn plain_progress(message: &[u8]) -> Option<&[u8]> {
    if message.len() > LONGEST {
        return None;
    }
    let mut scanner = Scanner::new(message, MAX_DEPTH).ok()?;
    let mut token = None;
    let all = object(&mut scanner, |scanner, key| {
        let expected: &[u8] = match key {
            "jsonrpc" => b"\"2.0\"",
            "method" => b"\"notifications/progress\"",
            "params" => {
                token = Some(params(scanner, message)?);
                return Some(4);
            }
            _ => return None,
        };
        let value = scanner.value().ok()?;
        (value.of(message) == expected).then_some(if key == "method" { 2 } else { 1 })
    })?;
    scanner.end().ok()?;
    token.filter(|_| all == 7)
}

fn params<'a>(scanner: &mut Scanner<'a>, message: &'a [u8]) -> Option<&'a [u8]> {
    let mut token = None;
    object(scanner, |scanner, key| {
        let bit = match key {
            "progressToken" => 1,
            "progress" => 2,
            "total" => 4,
            "message" => 8,
            _ => return None,
        };
        let value = scanner.value().ok()?;
        if bit == 1 {
            token = Some(value.of(message));
        }
        Some(bit)
    })?;
    token
}

/// Moves over an object. `member` moves over a member's value and gives the member's bit; the bits of all come back, and
/// `None` when one comes twice.
fn object<'a>(
    scanner: &mut Scanner<'a>,
    mut member: impl FnMut(&mut Scanner<'a>, &'a str) -> Option<u8>,
) -> Option<u8> {
    let mut seen = 0;
    scanner.open(b'{').ok()?;
    loop {
        let key = scanner.key().ok()?;
        if key.escaped {
            return None;
        }
        let name = scanner.inner(key);
        let bit = member(scanner, name)?;
        if seen & bit != 0 {
            return None;
        }
        seen |= bit;
        if !scanner.take(b',').ok()? {
            break;
        }
    }
    scanner.expect(b'}').ok()?;
    scanner.close();
    Some(seen)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::jsonrpc::{Key, Kind, Limits, scan};
    use crate::method::Method;

    /// The token that the full scan finds.
    fn scanned(message: &[u8]) -> Option<&[u8]> {
        let envelope = scan(message, &Limits::SERVER).ok()?;
        let is_progress = envelope.kind == Kind::Notification && envelope.called() == Method::Progress;
        envelope.params.filter(|_| is_progress)?.get(Key::ProgressToken)
    }

    #[test]
    fn progress_is_read_as_it_is_written_by_all() {
        for message in [
            r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":7,"progress":1,"total":50}}"#,
            r#"{"method":"notifications/progress","params":{"progress":0.5,"progressToken":7,"message":"a\nb"},"jsonrpc":"2.0"}"#,
            r#" { "jsonrpc" : "2.0", "method":"notifications/progress", "params": {"progressToken":7 } } "#,
        ] {
            assert_eq!(
                plain_progress(message.as_bytes()),
                Some(b"7".as_slice()),
                "{message}"
            );
        }
    }

    #[test]
    fn jr_01_what_is_unusual_is_left_to_the_scan() {
        for message in [
            r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":7,"progressToken":8}}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":7,"progress\u0054oken":8}}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":7},"params":{}}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":7},"id":1}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":7},"Method":"x"}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":7,"_meta":{}}}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"progressToken":7}}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":7}}"#,
            r#"{"method":"notifications/progress","params":{"progressToken":7}}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":7}} x"#,
            r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":07}}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":7,}}"#,
            "{}",
            "",
        ] {
            assert_eq!(plain_progress(message.as_bytes()), None, "{message}");
        }
    }

    #[test]
    fn the_length_at_the_limit_and_one_past_it() {
        let of = |length: usize| {
            let head = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":7,"message":""#;
            let tail = "\"}}";
            format!("{head}{}{tail}", "x".repeat(length - head.len() - tail.len()))
        };
        assert!(plain_progress(of(LONGEST).as_bytes()).is_some());
        assert!(plain_progress(of(LONGEST + 1).as_bytes()).is_none());
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_read_as_the_scan_reads_it(
            outer in Just(vec![0_usize, 1, 2]).prop_shuffle(),
            more in proptest::option::of(0..9_usize),
            inner in proptest::sample::subsequence((0..9_usize).collect::<Vec<_>>(), 0..4).prop_shuffle(),
            space in "[ \n]{0,1}",
        ) {
            const INNER: [&str; 9] = [
                r#""progressToken":7"#, r#""progress":1.5"#, r#""total":[1]"#, r#""message":"\ud800""#, r#""progressToken":"a""#,
                r#""Total":1"#, r#""_meta":{}"#, r#""progress":01"#, r#""m\u0065ssage":1"#,
            ];
            let params = inner.iter().filter_map(|i| INNER.get(*i)).copied().collect::<Vec<_>>().join(",");
            let params = format!("\"params\":{{{params}}}");
            let parts = [
                r#""jsonrpc":"2.0""#, r#""method":"notifications/progress""#, &params, &params, r#""id":1"#, r#""jsonrpc":"1.0""#,
                r#""method":"notifications\/progress""#, r#""x":1"#, r#""PARAMS":{}"#,
            ];
            let members: Vec<_> = outer.iter().chain(&more).filter_map(|i| parts.get(*i)).copied().collect();
            let message = format!("{space}{{{}}}{space}", members.join(&format!("{space},{space}")));
            if let Some(token) = plain_progress(message.as_bytes()) {
                prop_assert_eq!(scanned(message.as_bytes()), Some(token));
            }
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = plain_progress(&bytes);
        }
    }
}
