//! Bytes as fields.

use sallyport_core::Timestamp;

/// Fields one after another: fixed ones as they are, others behind their length.
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    pub(super) fn new(form: u8) -> Self {
        Self(vec![form])
    }

    pub(super) fn fixed(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn number(&mut self, value: u64) {
        self.fixed(&value.to_be_bytes());
    }

    pub(super) fn flag(&mut self, value: bool) {
        self.fixed(&[u8::from(value)]);
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        // Nothing sealed comes near 4 GiB: messages are bounded far below.
        self.fixed(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
        self.fixed(bytes);
    }

    pub(super) fn optional(&mut self, bytes: Option<&[u8]>) {
        self.flag(bytes.is_some());
        if let Some(bytes) = bytes {
            self.bytes(bytes);
        }
    }
}

pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8], form: u8) -> Option<Self> {
        bytes
            .split_first()
            .filter(|(first, _)| **first == form)
            .map(|(_, rest)| Self(rest))
    }

    pub(super) fn fixed<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    pub(super) fn number(&mut self) -> Option<u64> {
        self.fixed().map(u64::from_be_bytes)
    }

    pub(super) fn time(&mut self) -> Option<Timestamp> {
        self.number().map(|n| Timestamp::from_millis(n.cast_signed()))
    }

    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(u32::from_be_bytes(self.fixed()?)).ok()?;
        let (head, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(head)
    }

    pub(super) fn flag(&mut self) -> Option<bool> {
        match self.fixed()? {
            [0] => Some(false),
            [1] => Some(true),
            _ => None,
        }
    }

    pub(super) fn text(&mut self) -> Option<String> {
        self.bytes().and_then(|b| String::from_utf8(b.to_vec()).ok())
    }

    #[expect(clippy::option_option, reason = "unreadable is another thing than absent")]
    pub(super) fn optional(&mut self) -> Option<Option<Vec<u8>>> {
        if self.flag()? {
            self.bytes().map(|b| Some(b.to_vec()))
        } else {
            Some(None)
        }
    }

    pub(super) fn end<T>(self, value: T) -> Option<T> {
        self.0.is_empty().then_some(value)
    }
}
