//! What every answer of a listener says, written once.

use http::{HeaderMap, HeaderName, HeaderValue};

/// Header fields that every answer has, unless it has others of the same name.
#[derive(Clone, Default, Debug)]
pub struct Fixed {
    fields: Vec<(HeaderName, HeaderValue)>,
    /// All of them as lines.
    text: Vec<u8>,
}

impl Fixed {
    /// These fields, of which no two have the same name.
    #[must_use]
    pub fn new(fields: &HeaderMap) -> Self {
        let mut this = Self::default();
        for (name, value) in fields {
            line(name, value, &mut this.text);
            this.fields.push((name.clone(), value.clone()));
        }
        this
    }

    /// Whether one has this name.
    pub(super) fn has(&self, name: &HeaderName) -> bool {
        self.fields.iter().any(|(fixed, _)| fixed == name)
    }

    /// All of them as lines.
    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    /// Writes those that are not among `others`.
    pub(super) fn write_besides(&self, others: &HeaderMap, out: &mut Vec<u8>) {
        for (name, value) in &self.fields {
            if !others.contains_key(name) {
                line(name, value, out);
            }
        }
    }
}

fn line(name: &HeaderName, value: &HeaderValue, out: &mut Vec<u8>) {
    for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
        out.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use http::header::{ACCEPT, REFERRER_POLICY, X_FRAME_OPTIONS};

    use super::*;

    #[test]
    fn what_an_answer_says_itself_is_not_said_twice() {
        let mut fields = HeaderMap::new();
        fields.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        fields.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
        let fixed = Fixed::new(&fields);
        assert!(fixed.has(&X_FRAME_OPTIONS) && !fixed.has(&ACCEPT));
        let besides = |others: &HeaderMap| {
            let mut out = Vec::new();
            fixed.write_besides(others, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(besides(&HeaderMap::new()).as_bytes(), fixed.text());
        let mut others = HeaderMap::new();
        others.insert(X_FRAME_OPTIONS, HeaderValue::from_static("SAMEORIGIN"));
        assert_eq!(besides(&others), "referrer-policy: same-origin\r\n");
        others.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        assert_eq!(besides(&others), "");
    }
}
