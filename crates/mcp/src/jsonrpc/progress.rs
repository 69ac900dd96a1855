//! The one message that comes in floods.

use crate::json::{MAX_DEPTH, Scanner};

/// Longer ones are left to [`super::scan`]: what is no progress should not be looked at twice.
const LONGEST: usize = 2 << 10;

/// How a progress notification is written around its parameters: as the protocol's own examples have it, and as the
/// SDKs write it.
const FORMS: [(&[u8], &[u8]); 2] = [
    (
        br#"{"jsonrpc":"2.0","method":"notifications/progress","params":"#,
        b"}",
    ),
    (
        br#"{"method":"notifications/progress","params":"#,
        br#","jsonrpc":"2.0"}"#,
    ),
];

/// What a progress notification says, as it is written there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PlainProgress<'m> {
    /// The raw token of the request.
    pub token: &'m [u8],
    /// The raw value, whatever it is.
    pub progress: Option<&'m [u8]>,
}

/// Reads a progress notification, if it is written plainly: in the usual order, and in its parameters the
/// members that the protocol gives them, each once, and no other. Whatever this accepts, [`super::scan`] would accept
/// and read alike; `None` means that the message has to be scanned.
#[must_use]
pub fn plain_progress(message: &[u8]) -> Option<PlainProgress<'_>> {
    if message.len() > LONGEST {
        return None;
    }
    let mut forms = FORMS.iter();
    let raw = forms.find_map(|(head, tail)| message.strip_prefix(*head)?.strip_suffix(*tail))?;
    if let Some(read) = plainest(raw) {
        return Some(read);
    }
    let mut scanner = Scanner::new(raw, MAX_DEPTH - 1).ok()?;
    let read = params(&mut scanner, raw)?;
    scanner.end().ok()?;
    Some(read)
}

/// The parameters without white space, of plain numbers and of strings without anything special. `None` says
/// nothing about them.
fn plainest(raw: &[u8]) -> Option<PlainProgress<'_>> {
    const KEYS: [(&[u8], u8); 4] = [
        (br#""progressToken":"#, 1),
        (br#""progress":"#, 2),
        (br#""total":"#, 4),
        (br#""message":"#, 8),
    ];
    let (mut seen, mut token, mut progress) = (0_u8, None, None);
    let mut rest = raw.strip_prefix(b"{")?;
    loop {
        let mut keys = KEYS.iter();
        let (value, bit) = keys.find_map(|(key, bit)| Some((rest.strip_prefix(*key)?, *bit)))?;
        let (value, after) = value.split_at_checked(plainest_value(value)?)?;
        if seen & bit != 0 {
            return None;
        }
        seen |= bit;
        match bit {
            1 => token = Some(value),
            2 => progress = Some(value),
            _ => {}
        }
        match after {
            [b',', more @ ..] => rest = more,
            [b'}'] => return token.map(|token| PlainProgress { token, progress }),
            _ => return None,
        }
    }
}

/// The length of a whole number without a sign, or of a string of plain ASCII. What follows has to be looked at.
fn plainest_value(bytes: &[u8]) -> Option<usize> {
    match bytes.first()? {
        b'"' => {
            let text = bytes.get(1..)?;
            let is_plain = |b: &&u8| matches!(**b, b' '..=b'~') && !matches!(**b, b'"' | b'\\');
            let length = text.iter().take_while(is_plain).count();
            (text.get(length) == Some(&b'"')).then_some(length + 2)
        }
        b'0' => Some(1),
        b'1'..=b'9' => Some(bytes.iter().take_while(|b| b.is_ascii_digit()).count()),
        _ => None,
    }
}

/// Moves over the parameters. `None` when a member comes twice, or one that is not expected.
fn params<'a>(scanner: &mut Scanner<'a>, raw: &'a [u8]) -> Option<PlainProgress<'a>> {
    let (mut seen, mut token, mut progress) = (0_u8, None, None);
    scanner.open(b'{').ok()?;
    loop {
        let key = scanner.key().ok()?;
        let bit = match scanner.inner(key) {
            _ if key.escaped => return None,
            b"progressToken" => 1,
            b"progress" => 2,
            b"total" => 4,
            b"message" => 8,
            _ => return None,
        };
        let value = scanner.value().ok()?;
        match bit {
            1 => token = Some(value.of(raw)),
            2 => progress = Some(value.of(raw)),
            _ => {}
        }
        if seen & bit != 0 {
            return None;
        }
        seen |= bit;
        if !scanner.take(b',').ok()? {
            break;
        }
    }
    scanner.expect(b'}').ok()?;
    token.map(|token| PlainProgress { token, progress })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::json;
    use crate::jsonrpc::{Key, Kind, Limits, scan};
    use crate::method::Method;

    /// What the full scan finds.
    fn scanned(message: &[u8]) -> Option<PlainProgress<'_>> {
        let envelope = scan(message, &Limits::SERVER).ok()?;
        let is_progress = envelope.kind == Kind::Notification && envelope.called() == Method::Progress;
        let token = envelope.params.filter(|_| is_progress)?.get(Key::ProgressToken)?;
        let progress = json::find(json::find(message, "params")?, "progress");
        Some(PlainProgress { token, progress })
    }

    #[test]
    fn progress_is_read_as_it_is_written_by_all() {
        for message in [
            r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":7,"progress":1,"total":50}}"#,
            r#"{"method":"notifications/progress","params":{"progress":0.5,"progressToken":7,"message":"a\nb"},"jsonrpc":"2.0"}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/progress","params": { "progress":[{}], "progressToken":7 } }"#,
        ] {
            let read = plain_progress(message.as_bytes());
            assert_eq!(read.map(|read| read.token), Some(b"7".as_slice()), "{message}");
            assert_eq!(read, scanned(message.as_bytes()), "{message}");
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
            r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":7},"jsonrpc":"2.0"}"#,
            r#" {"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":7}}"#,
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
            form in 0..3_usize,
            inner in proptest::sample::subsequence((0..9_usize).collect::<Vec<_>>(), 0..4).prop_shuffle(),
            more in prop_oneof![5 => Just(""), 1 => Just(r#","id":1"#), 1 => Just(r#","params":{}"#), 1 => Just("}"), 1 => Just(" ")],
            space in "[ \n]{0,1}",
        ) {
            const INNER: [&str; 9] = [
                r#""progressToken":7"#, r#""progress":1.5"#, r#""total":[1]"#, r#""message":"\ud800""#, r#""progressToken":"a""#,
                r#""Total":1"#, r#""_meta":{}"#, r#""progress":01"#, r#""m\u0065ssage":1"#,
            ];
            let members: Vec<_> = inner.iter().filter_map(|i| INNER.get(*i)).copied().collect();
            let params = format!("{space}{{{}}}{space}", members.join(&format!("{space},{space}")));
            let (head, tail) = [
                (r#"{"jsonrpc":"2.0","method":"notifications/progress","params":"#, "}"),
                (r#"{"method":"notifications/progress","params":"#, r#","jsonrpc":"2.0"}"#),
                (r#"{"jsonrpc":"2.0","method":"notifications/progress","params":"#, r#","jsonrpc":"2.0"}"#),
            ][form];
            let message = format!("{head}{params}{more}{tail}");
            if let Some(read) = plain_progress(message.as_bytes()) {
                prop_assert_eq!(scanned(message.as_bytes()), Some(read));
            }
        }

        #[test]
        fn the_plainest_is_read_as_the_scan_reads_it(
            members in proptest::collection::vec((0..5_usize, 0..12_usize), 0..5), tail in 0..4_usize,
        ) {
            const KEYS: [&str; 5] = ["progressToken", "progress", "total", "message", "other"];
            const VALUES: [&str; 12] = [
                "7", "0", "01", "0.5", "-1", "1e3", "12345678901234567890", r#""""#, r#""a b~""#, r#""a\"b""#, "\"\u{e9}\"", "\"\u{1}\"",
            ];
            let members: Vec<_> = members.iter().map(|(key, value)| format!("\"{}\":{}", KEYS[*key], VALUES[*value])).collect();
            let tail = ["}", "} ", "},", "}}"][tail];
            let params = format!("{{{}{tail}", members.join(","));
            let message = format!(r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{params}}}"#);
            if let Some(read) = plain_progress(message.as_bytes()) {
                prop_assert_eq!(scanned(message.as_bytes()), Some(read));
            } else {
                prop_assert_eq!(plainest(params.as_bytes()), None);
            }
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = plain_progress(&bytes);
        }
    }
}
