//! A JSON object that comes in pieces, checked as it passes: what [`super::check`] finds out about bytes that are all
//! there, without keeping any of them.

use super::special::plain;
use super::{JsonError, MAX_DEPTH};

/// Where the text stands between two bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// A value comes.
    Value,
    /// A value comes, or the array is empty.
    ValueOrEnd,
    /// A key comes.
    Key,
    /// A key comes, or the object is empty.
    KeyOrEnd,
    Colon,
    /// A comma comes, or the end of what is open.
    After,
    /// Within a string.
    Text(Of),
    /// After a backslash.
    Escape(Of),
    /// Within the digits of an escape; so many are missing.
    Hex(Of, u8),
    Number(Number),
    /// Within `true`, `false` or `null`; this is missing.
    Word(&'static [u8]),
    /// Nothing but white space comes.
    Done,
}

/// What a string is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Of {
    Key,
    Value,
}

/// The last part of a number (RFC 8259 §6).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Number {
    Minus,
    Zero,
    Integer,
    Point,
    Fraction,
    E,
    Sign,
    Exponent,
}

/// Checks one object. Once it has refused a piece it must not be given another.
#[derive(Clone, Debug)]
pub struct Verifier {
    state: State,
    limit: usize,
    depth: usize,
    /// One bit for each open level: set for an object.
    objects: u128,
    /// How many commas the outermost object has.
    commas: usize,
    /// How many bytes have passed.
    passed: usize,
    /// A character that began at the end of the last piece.
    character: Vec<u8>,
}

impl Verifier {
    /// Before the first byte; at most `depth` levels.
    #[must_use]
    pub fn new(depth: usize) -> Self {
        Self {
            state: State::Value,
            limit: depth.min(MAX_DEPTH),
            depth: 0,
            objects: 0,
            commas: 0,
            passed: 0,
            character: Vec::new(),
        }
    }

    /// Takes the next piece. `Some` where the object ended in it: the offset behind its last brace.
    ///
    /// # Errors
    /// [`JsonError`] if no text that begins so is one object.
    pub fn push(&mut self, piece: &[u8]) -> Result<Option<usize>, JsonError> {
        self.text(piece)?;
        let was_done = self.is_done();
        let (mut at, mut end) = (0, None);
        while let Some(byte) = piece.get(at) {
            let step = match self.state {
                State::Text(_) => plain(piece.get(at..).unwrap_or_default()),
                _ => 0,
            };
            if step > 0 {
                at += step;
                continue;
            }
            let unexpected = JsonError::Syntax {
                at: self.passed.saturating_add(at),
            };
            at += usize::from(self.byte(*byte, unexpected)?);
            if end.is_none() && self.is_done() && !was_done {
                end = Some(at);
            }
        }
        self.passed = self.passed.saturating_add(piece.len());
        Ok(end)
    }

    /// Whether the object has ended.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// How many commas stand between the members of the outermost object, so far.
    #[must_use]
    pub fn commas(&self) -> usize {
        self.commas
    }

    /// UTF-8 across the ends of pieces.
    fn text(&mut self, mut piece: &[u8]) -> Result<(), JsonError> {
        while !self.character.is_empty() {
            let Some((byte, rest)) = piece.split_first() else {
                return Ok(());
            };
            piece = rest;
            self.character.push(*byte);
            match std::str::from_utf8(&self.character) {
                Ok(_) => self.character.clear(),
                Err(error) if error.error_len().is_some() => return Err(JsonError::Utf8),
                Err(_) => {}
            }
        }
        if simdutf8::basic::from_utf8(piece).is_ok() {
            return Ok(());
        }
        match std::str::from_utf8(piece) {
            Err(error) if error.error_len().is_none() => {
                let begun = piece.get(error.valid_up_to()..).unwrap_or_default();
                self.character.extend_from_slice(begun);
                Ok(())
            }
            _ => Err(JsonError::Utf8),
        }
    }

    /// Takes a byte, or says that it belongs to what comes next.
    fn byte(&mut self, byte: u8, unexpected: JsonError) -> Result<bool, JsonError> {
        let is_space = matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
        self.state = match (self.state, byte) {
            (State::Text(Of::Key), b'"') => State::Colon,
            (State::Text(Of::Value), b'"') => State::After,
            (State::Text(of), b'\\') => State::Escape(of),
            (State::Escape(of), b'u') => State::Hex(of, 4),
            (State::Escape(of), b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => State::Text(of),
            (State::Hex(of, 1), digit) if digit.is_ascii_hexdigit() => State::Text(of),
            (State::Hex(of, left), digit) if digit.is_ascii_hexdigit() => State::Hex(of, left - 1),
            (State::Word(word), byte) if word.first() == Some(&byte) => match word.get(1..) {
                None | Some([]) => State::After,
                Some(rest) => State::Word(rest),
            },
            (State::Number(number), byte) => match number.then(byte) {
                Some(number) => State::Number(number),
                None if number.may_end() => {
                    self.state = State::After;
                    return Ok(false);
                }
                None => return Err(unexpected),
            },
            (State::Text(_) | State::Escape(_) | State::Hex(..) | State::Word(_), _) => {
                return Err(unexpected);
            }
            (state, _) if is_space => state,
            (State::Key | State::KeyOrEnd, b'"') => State::Text(Of::Key),
            (State::Colon, b':') => State::Value,
            (State::After, b',') => self.comma(),
            (State::KeyOrEnd | State::After, b'}') if self.in_object() => self.close(),
            (State::ValueOrEnd | State::After, b']') if !self.in_object() => self.close(),
            (State::Value | State::ValueOrEnd, byte) => self.value(byte, unexpected)?,
            _ => return Err(unexpected),
        };
        Ok(true)
    }

    /// The first byte of a value; the outermost one is an object.
    fn value(&mut self, byte: u8, unexpected: JsonError) -> Result<State, JsonError> {
        if self.depth == 0 && byte != b'{' {
            return Err(unexpected);
        }
        Ok(match byte {
            b'{' => self.open(true, State::KeyOrEnd)?,
            b'[' => self.open(false, State::ValueOrEnd)?,
            b'"' => State::Text(Of::Value),
            b't' => State::Word(b"rue"),
            b'f' => State::Word(b"alse"),
            b'n' => State::Word(b"ull"),
            b'-' => State::Number(Number::Minus),
            b'0' => State::Number(Number::Zero),
            b'1'..=b'9' => State::Number(Number::Integer),
            _ => return Err(unexpected),
        })
    }

    fn in_object(&self) -> bool {
        self.depth > 0 && self.objects & 1 == 1
    }

    fn open(&mut self, is_object: bool, inside: State) -> Result<State, JsonError> {
        self.depth += 1;
        if self.depth > self.limit {
            return Err(JsonError::TooDeep);
        }
        self.objects = (self.objects << 1) | u128::from(is_object);
        Ok(inside)
    }

    fn close(&mut self) -> State {
        self.depth = self.depth.saturating_sub(1);
        self.objects >>= 1;
        if self.depth == 0 {
            State::Done
        } else {
            State::After
        }
    }

    fn comma(&mut self) -> State {
        self.commas += usize::from(self.depth == 1);
        if self.in_object() {
            State::Key
        } else {
            State::Value
        }
    }
}

impl Number {
    /// The part that a byte belongs to, if it goes on with the number. A second zero, or a digit after a leading one,
    /// is no part of it.
    fn then(self, byte: u8) -> Option<Self> {
        Some(match (self, byte) {
            (Self::Minus, b'0') => Self::Zero,
            (Self::Minus, b'1'..=b'9') | (Self::Integer, b'0'..=b'9') => Self::Integer,
            (Self::Zero | Self::Integer, b'.') => Self::Point,
            (Self::Point | Self::Fraction, b'0'..=b'9') => Self::Fraction,
            (Self::Zero | Self::Integer | Self::Fraction, b'e' | b'E') => Self::E,
            (Self::E, b'+' | b'-') => Self::Sign,
            (Self::E | Self::Sign | Self::Exponent, b'0'..=b'9') => Self::Exponent,
            _ => return None,
        })
    }

    fn may_end(self) -> bool {
        matches!(self, Self::Zero | Self::Integer | Self::Fraction | Self::Exponent)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::json::{check, is_object};

    /// Whether the pieces are one object, and where it ended, counted from the first piece.
    fn verify(pieces: &[&[u8]], depth: usize) -> Result<usize, JsonError> {
        let mut verifier = Verifier::new(depth);
        let (mut before, mut end) = (0, None);
        for piece in pieces {
            end = end.or(verifier.push(piece)?.map(|at| before + at));
            before += piece.len();
        }
        assert_eq!(verifier.is_done(), end.is_some());
        end.ok_or(JsonError::Truncated)
    }

    /// The same of bytes that are all there.
    fn whole(bytes: &[u8], depth: usize) -> bool {
        is_object(bytes.trim_ascii_start()) && check(bytes, depth).is_ok()
    }

    #[test]
    fn objects_are_told_from_all_else_wherever_they_are_cut() {
        for text in [
            "{}",
            " { } ",
            r#"{"a":[1,-0,0.5,1e9,-1.5E+10,true,false,null,"x\n\u00e9\\\"é😀",{},[]],"b":{"c":[[]]}}"#,
            r#"{"a":01}"#,
            r#"{"a":1.}"#,
            r#"{"a":-}"#,
            r#"{"a":1e}"#,
            r#"{"a":+1}"#,
            r#"{"a":.5}"#,
            r#"{"a":tru}"#,
            r#"{"a":truee}"#,
            r#"{"a":"\x"}"#,
            r#"{"a":"\u12g4"}"#,
            "{\"a\":\"\u{1}\"}",
            r#"{"a"}"#,
            r#"{"a":1,}"#,
            r#"{"a":[1,]}"#,
            r#"{"a":[1}"#,
            r#"{"a":[1]]"#,
            r#"{"a":{]}"#,
            r#"{,}"#,
            r#"{1:2}"#,
            r#"{"a":1 2}"#,
            r#"{"a":1}x"#,
            r#"{"a":1}{"a":1}"#,
            "[]",
            "1",
            "",
            r#"{"a":"#,
        ] {
            let bytes = text.as_bytes();
            for cut in 0..=bytes.len() {
                let (head, tail) = bytes.split_at(cut);
                assert_eq!(
                    verify(&[head, tail], 64).is_ok(),
                    whole(bytes, 64),
                    "{text} at {cut}"
                );
            }
        }
    }

    #[test]
    fn the_depth_at_the_limit_and_one_past_it() {
        let nested =
            |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels - 1), "]".repeat(levels - 1));
        assert!(verify(&[nested(8).as_bytes()], 8).is_ok());
        assert_eq!(verify(&[nested(9).as_bytes()], 8), Err(JsonError::TooDeep));
        assert!(verify(&[nested(MAX_DEPTH).as_bytes()], usize::MAX).is_ok());
        assert_eq!(
            verify(&[nested(MAX_DEPTH + 1).as_bytes()], usize::MAX),
            Err(JsonError::TooDeep)
        );
    }

    #[test]
    fn the_outermost_members_are_counted() {
        let mut verifier = Verifier::new(8);
        assert_eq!(verifier.push(br#"{"a":[1,2],"b":{"c":1,"d":2},"#), Ok(None));
        assert_eq!(verifier.commas(), 2);
        assert_eq!(verifier.push(br#""e":"," } "#), Ok(Some(9)));
        assert_eq!((verifier.commas(), verifier.push(b" \n")), (2, Ok(None)));
        assert!(verifier.push(b"}").is_err());
    }

    proptest! {
        #[test]
        fn pieces_are_judged_as_the_whole_is(
            words in proptest::collection::vec(proptest::sample::select(vec![
                "{", "}", "[", "]", ",", ":", "\"a\"", "\"\u{e9}\\u0041\"", "1", "-0.5e+3", "0", "true", "null", " ", "{\"k\":", "\"x",
            ]), 0..24),
            cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..6),
        ) {
            let text = format!("{{\"a\":{}}}", words.concat());
            let mut places: Vec<_> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
            places.sort_unstable();
            let (mut pieces, mut before) = (Vec::new(), 0);
            for place in places {
                pieces.push(&text.as_bytes()[before..place]);
                before = place;
            }
            pieces.push(&text.as_bytes()[before..]);
            prop_assert_eq!(verify(&pieces, 64).is_ok(), whole(text.as_bytes(), 64), "{}", text);
        }

        #[test]
        fn any_bytes_are_judged_as_the_whole_is(inner in proptest::collection::vec(any::<u8>(), 0..24), cut in 0..32_usize) {
            let text = [b"{\"a\":\"".as_slice(), &inner, b"\"}"].concat();
            let (head, tail) = text.split_at(cut.min(text.len()));
            prop_assert_eq!(verify(&[head, tail], 64).is_ok(), whole(&text, 64));
        }
    }
}
