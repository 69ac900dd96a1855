//! Bytes that many answers carry, such as a list of a thousand tools. Where the kernel can, it sends them from a memory file
//! that cannot be changed any more: nothing is copied then.

use std::fs::File;
use std::io::{self, Write as _};
use std::ops::Deref;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create, sendfile};

/// From this size on, bytes are put into a memory file: what it saves for each answer is more than a system call costs.
const FROM: usize = 64 << 10;

/// The most such files in a process, each of which holds a descriptor. What comes after them is copied for each answer.
const FILES: usize = 64;

static PLACES: Places = Places::new(FILES);

/// Bytes that many answers carry. Copies share them.
#[derive(Clone)]
pub struct SharedBytes(Arc<Inner>);

struct Inner {
    bytes: Bytes,
    /// Made for the first answer that is sent this way.
    pages: OnceLock<Option<Pages>>,
}

impl SharedBytes {
    /// Shares these bytes.
    #[must_use]
    pub fn new(bytes: Bytes) -> Self {
        Self(Arc::new(Inner {
            bytes,
            pages: OnceLock::new(),
        }))
    }

    /// The bytes alone.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.0.bytes
    }

    /// The same as a memory file, if they are worth one and there is one.
    pub(crate) fn pages(&self) -> Option<&Pages> {
        let bytes = self.bytes();
        if bytes.len() < FROM {
            return None;
        }
        let pages = self.0.pages.get_or_init(|| Pages::of(bytes, &PLACES));
        pages.as_ref()
    }
}

impl Deref for SharedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes()
    }
}

/// How many memory files there may be, and are.
struct Places {
    most: usize,
    taken: AtomicUsize,
}

impl Places {
    const fn new(most: usize) -> Self {
        Self {
            most,
            taken: AtomicUsize::new(0),
        }
    }

    fn take(&'static self) -> Option<Place> {
        let more = |taken: usize| (taken < self.most).then(|| taken + 1);
        let taken = self.taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, more);
        taken.ok().map(|_| Place(self))
    }
}

/// The place of one memory file, given back with it.
struct Place(&'static Places);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A memory file that nobody can change: what the kernel still has to send of it stays what it is.
pub(crate) struct Pages {
    file: File,
    _place: Place,
}

impl Pages {
    /// `None` where there are as many as there may be, and where the kernel makes none.
    fn of(bytes: &[u8], places: &'static Places) -> Option<Self> {
        let place = places.take()?;
        match sealed(bytes) {
            Ok(file) => Some(Self { file, _place: place }),
            Err(error) => {
                tracing::debug!(%error, "there is no memory file: a large list is copied for each answer");
                None
            }
        }
    }

    /// Has the kernel send up to `most` bytes from `from` on to a socket; how many it took.
    ///
    /// # Errors
    /// Those of sendfile(2); `WouldBlock` when the socket takes nothing at present.
    pub(crate) fn send(&self, socket: impl AsFd, from: usize, most: usize) -> io::Result<usize> {
        let mut from = u64::try_from(from).map_err(io::Error::other)?;
        Ok(sendfile(socket, &self.file, Some(&mut from), most)?)
    }
}

fn sealed(bytes: &[u8]) -> io::Result<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut file = File::from(memfd_create("sallyport", flags)?);
    file.write_all(bytes)?;
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    fcntl_add_seals(&file, seals)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn small_ones_are_not_worth_a_file() {
        let of = |length| SharedBytes::new(Bytes::from(vec![b'x'; length]));
        assert!(of(FROM).pages().is_some());
        assert!(of(FROM - 1).pages().is_none());
    }

    #[test]
    fn files_are_bounded_and_their_places_given_back() {
        static FEW: Places = Places::new(2);
        let first = Pages::of(b"a", &FEW).unwrap();
        let _second = Pages::of(b"b", &FEW).unwrap();
        assert!(Pages::of(b"c", &FEW).is_none());
        drop(first);
        assert!(Pages::of(b"c", &FEW).is_some());
        assert_eq!(FEW.taken.load(Ordering::Acquire), 1);
    }

    #[test]
    fn what_is_sent_is_any_part_and_cannot_be_changed() {
        static PLENTY: Places = Places::new(2);
        let pages = Pages::of(b"0123456789", &PLENTY).unwrap();
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        for (from, most) in [(0, 4), (4, 100), (0, 10), (10, 5)] {
            pages.send(&ours, from, most).unwrap();
        }
        drop(ours);
        let mut sent = String::new();
        theirs.read_to_string(&mut sent).unwrap();
        assert_eq!(sent, "01234567890123456789");
        (&pages.file).write_all(b"x").unwrap_err();
        pages.file.set_len(3).unwrap_err();
        pages.file.set_len(30).unwrap_err();
    }
}
