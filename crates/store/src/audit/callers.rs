//! What says who did something, kept once for all records that say the same: most of a record is that.

use std::sync::Arc;

use sallyport_core::map::Map;

/// The number of such a text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Caller(usize);

/// Such texts, each of them once.
#[derive(Default)]
pub(super) struct Callers {
    texts: Vec<Arc<[u8]>>,
    found: Map<Arc<[u8]>, Caller>,
    /// The last one that was asked for: who calls often calls again.
    last: Option<Caller>,
}

impl Callers {
    /// The text's number.
    pub(super) fn number(&mut self, text: &[u8]) -> Caller {
        if let Some(last) = self.last.filter(|last| self.text(*last) == text) {
            return last;
        }
        let number = self.found.get(text).copied().unwrap_or_else(|| {
            let (number, text) = (Caller(self.texts.len()), Arc::<[u8]>::from(text));
            self.found.insert(Arc::clone(&text), number);
            self.texts.push(text);
            number
        });
        self.last = Some(number);
        number
    }

    /// The text with a number that was given here.
    pub(super) fn text(&self, caller: Caller) -> &[u8] {
        self.texts.get(caller.0).map_or(&[], |text| text)
    }

    /// Forgets them all.
    pub(super) fn clear(&mut self) {
        self.texts.clear();
        self.found.clear();
        self.last = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_has_one_number() {
        let mut callers = Callers::default();
        let texts: [&[u8]; 5] = [b"a", b"", b"b", b"a", b""];
        let numbers = texts.map(|text| callers.number(text).0);
        assert_eq!(numbers, [0, 1, 2, 0, 1]);
        for (text, number) in texts.into_iter().zip(numbers) {
            assert_eq!(callers.text(Caller(number)), text);
        }
        callers.clear();
        assert_eq!(callers.number(b"b").0, 0);
    }
}
