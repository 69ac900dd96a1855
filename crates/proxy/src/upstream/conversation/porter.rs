//! Porters: on every runtime whose calls take part in a conversation, one that writes what they say and wakes them when
//! something has come for them. A thread is woken once for all that one read has brought it, and its calls leave
//! together, with one write.
//!
//! A call that finds its porter writes to nothing that another thread reads or writes. One whose server is read elsewhere is
//! drawn there: its connection moves if all of its calls are ([`pull`]).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use arc_swap::ArcSwap;
use sallyport_net::pull;
use tokio::runtime::{Handle, Id};

use super::post::{AtWork, Post};

/// Calls of one runtime, with none of the one that reads, before that one reads in its place.
const MOVES_AFTER: u32 = 256;

/// The same as long as the server is read where that began: no calls have brought the reader there.
const MOVES_SOON_AFTER: u32 = 16;

/// Which porter of its conversation a call has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Porter(Option<usize>);

impl Porter {
    /// None: whoever waits is woken at once.
    pub(crate) fn alone() -> Self {
        Self(None)
    }

    /// The porter in one place.
    #[cfg(test)]
    pub(super) fn at(place: usize) -> Self {
        Self(Some(place))
    }

    /// Its part of `parts`: calls of different runtimes are in different ones, if there are enough.
    pub(super) fn part(self, parts: usize) -> usize {
        self.0.unwrap_or_default() % parts
    }
}

/// All porters of a conversation, each of which holds a `T`.
pub(super) struct Porters<T> {
    posts: ArcSwap<Posts<T>>,
    /// Held by whoever changes the posts.
    changing: Mutex<()>,
    /// One more than the place of the post on whose runtime the server should be read; 0 if that is well as it is.
    moves: AtomicUsize,
}

/// The posts at one time. A place whose porter has left may be taken by another.
struct Posts<T> {
    all: Vec<(Id, Arc<Post<T>>)>,
    reader: Option<Reader>,
    ended: bool,
}

/// Where the server is read.
#[derive(Clone, Copy, Debug)]
struct Reader {
    runtime: Id,
    /// It began elsewhere, and calls have brought it here.
    is_brought: bool,
}

impl<T> Clone for Posts<T> {
    fn clone(&self) -> Self {
        Self {
            all: self.all.clone(),
            ..*self
        }
    }
}

impl<T> Posts<T> {
    /// The post of a runtime, and its place.
    fn at(&self, runtime: Id) -> Option<(usize, &Post<T>)> {
        let mut posts = self.all.iter().enumerate();
        let (place, (_, post)) = posts.find(|(_, (id, post))| *id == runtime && !post.is_gone())?;
        Some((place, post))
    }

    fn is_read_at(&self, runtime: Id) -> bool {
        self.reader.is_some_and(|reader| reader.runtime == runtime)
    }

    /// How many calls the reader's runtime has made.
    fn calls_of_reader(&self) -> u32 {
        let post = self.reader.and_then(|reader| self.at(reader.runtime));
        post.map_or(0, |(_, post)| post.calls())
    }

    /// Counts a call of this post. True if it has made many, and the runtime of the reader none meanwhile.
    fn count(&self, runtime: Id, post: &Post<T>) -> bool {
        let calls = post.count();
        // Seldom: what others write is read here.
        if !calls.is_multiple_of(MOVES_SOON_AFTER) || self.is_read_at(runtime) {
            return false;
        }
        let is_brought = self.reader.is_some_and(|reader| reader.is_brought);
        if is_brought && !calls.is_multiple_of(MOVES_AFTER) {
            return false;
        }
        post.sees_readers(self.calls_of_reader())
    }
}

impl<T> Porters<T> {
    /// Nobody has called yet.
    pub(super) fn new() -> Self {
        let posts = Posts {
            all: Vec::new(),
            reader: None,
            ended: false,
        };
        Self {
            posts: ArcSwap::from_pointee(posts),
            changing: Mutex::default(),
            moves: AtomicUsize::new(0),
        }
    }

    /// The porter of the runtime that this is called in, and what it holds. `begin` has a new one work there, and keeps
    /// what `hold` makes for as long as it works.
    pub(super) fn here(
        &self,
        hold: impl FnOnce() -> T,
        begin: impl FnOnce(&Handle, AtWork<T>, Arc<T>),
    ) -> Option<(Porter, Arc<T>)> {
        let here = Handle::try_current().ok()?;
        let known = self.known(here.id());
        let (place, held) = known.or_else(|| self.arrive(&here, hold, begin))?;
        Some((Porter(Some(place)), held))
    }

    /// The place of the runtime's post, where a call is counted.
    fn known(&self, here: Id) -> Option<(usize, Arc<T>)> {
        let posts = self.posts.load();
        let (place, post) = posts.at(here)?;
        let held = post.held.upgrade()?;
        // There no thread has to wake another one for it.
        if let Some(reader) = posts.reader
            && reader.runtime != here
        {
            pull::draw(reader.runtime);
        }
        // Not all readers can move: nothing is written for those again and again.
        if posts.count(here, post) && !self.is_elsewhere() {
            self.moves.store(place + 1, Ordering::Release);
        }
        Some((place, held))
    }

    /// Has a porter begin on a runtime that has none.
    fn arrive(
        &self,
        here: &Handle,
        hold: impl FnOnce() -> T,
        begin: impl FnOnce(&Handle, AtWork<T>, Arc<T>),
    ) -> Option<(usize, Arc<T>)> {
        let changing = self.changing();
        let mut posts = Posts::clone(&self.posts.load());
        if posts.ended {
            return None;
        }
        // On a runtime of many threads another call may have been first.
        if let Some((place, post)) = posts.at(here.id()) {
            return Some((place, post.held.upgrade()?));
        }
        let held = Arc::new(hold());
        let post = Post::new(here.clone(), Arc::downgrade(&held), posts.calls_of_reader());
        post.count();
        let at_work = AtWork::at(&post);
        let known = (here.id(), post);
        let left = posts.all.iter().position(|(_, post)| post.is_gone());
        let place = left.unwrap_or(posts.all.len());
        match posts.all.get_mut(place) {
            Some(left) => *left = known,
            None => posts.all.push(known),
        }
        self.posts.store(Arc::new(posts));
        drop(changing);
        begin(here, at_work, Arc::clone(&held));
        Some((place, held))
    }

    /// Tells a porter that there is something to write; false if it has left.
    pub(super) fn write(&self, porter: Porter) -> bool {
        let posts = self.posts.load();
        let post = porter.0.and_then(|place| posts.all.get(place));
        if let Some((_, post)) = post {
            post.tell();
        }
        post.is_some_and(|(_, post)| !post.is_gone())
    }

    /// Leaves a call that is to be woken; [`Self::wake`] does.
    pub(super) fn leave(&self, porter: Porter, call: Waker) {
        let posts = self.posts.load();
        match porter.0.and_then(|place| posts.all.get(place)) {
            Some((_, post)) => post.leave(call),
            None => call.wake(),
        }
    }

    /// Whether the server is better read elsewhere than on the runtime that asks.
    pub(super) fn is_elsewhere(&self) -> bool {
        self.moves.load(Ordering::Acquire) > 0
    }

    /// The runtime on which the server is to be read from now on, if another than before.
    pub(super) fn move_reader(&self) -> Option<Handle> {
        let place = self.moves.swap(0, Ordering::AcqRel).checked_sub(1)?;
        let posts = self.posts.load();
        let (runtime, post) = posts.all.get(place)?;
        let moves = !post.is_gone() && !posts.is_read_at(*runtime);
        moves.then(|| post.runtime.clone())
    }

    /// The server is read on the runtime that this is called in.
    pub(super) fn reads_here(&self) {
        let Ok(here) = Handle::try_current() else { return };
        let _changing = self.changing();
        let before = self.posts.load();
        if before.is_read_at(here.id()) {
            return;
        }
        let mut posts = Posts::clone(&before);
        posts.reader = Some(Reader {
            runtime: here.id(),
            is_brought: before.reader.is_some(),
        });
        self.posts.store(Arc::new(posts));
    }

    /// Wakes the calls that were left: those of the reader's own runtime at once, others by their porters. `room` is
    /// empty, and keeps its room for the next time.
    pub(super) fn wake(&self, room: &mut Vec<Waker>) {
        let posts = self.posts.load();
        let mut own = None;
        for (runtime, post) in &posts.all {
            if posts.is_read_at(*runtime) {
                own = Some(post);
            } else if post.has_waiting() {
                post.tell();
            }
        }
        if let Some(own) = own {
            own.wake_all(room);
        }
    }

    /// The conversation has ended, and with it its porters.
    pub(super) fn end(&self) {
        let ended = {
            let _changing = self.changing();
            let mut posts = Posts::clone(&self.posts.load());
            posts.ended = true;
            let all = std::mem::take(&mut posts.all);
            self.posts.store(Arc::new(posts));
            all
        };
        for (_, post) in ended {
            post.end();
        }
    }

    fn changing(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Wake;

    use super::*;

    /// A thread with a runtime of its own, as each data thread is.
    async fn elsewhere<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
        let thread = std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().build();
            runtime.expect("a runtime").block_on(work)
        });
        tokio::task::spawn_blocking(|| thread.join())
            .await
            .expect("joined")
            .expect("no panic")
    }

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::AcqRel);
        }
    }

    fn working(runtime: &Handle, at_work: AtWork<()>, held: Arc<()>) {
        runtime.spawn(async move {
            let _held = held;
            at_work.serve(|| {}).await;
        });
    }

    fn call(porters: &Porters<()>) -> Option<Porter> {
        porters.here(|| (), working).map(|(porter, _)| porter)
    }

    fn calls(porters: &Porters<()>, calls: u32) {
        for number in 1..=calls {
            assert!(call(porters).is_some());
            assert!(number == calls || !porters.is_elsewhere(), "too soon: {number}");
        }
    }

    #[tokio::test]
    async fn the_reader_soon_leaves_where_it_began_if_no_calls_come_from_there() {
        let porters = Arc::new(Porters::new());
        porters.reads_here();
        let calling = Arc::clone(&porters);
        let there = elsewhere(async move {
            calls(&calling, MOVES_SOON_AFTER);
            assert!(calling.is_elsewhere());
            assert_eq!(
                calling.move_reader().map(|handle| handle.id()),
                Some(Handle::current().id())
            );
            assert!(!calling.is_elsewhere(), "it is told once");
            Handle::current().id()
        });
        assert_ne!(there.await, Handle::current().id());
        calls(&porters, 1);
        let calling = Arc::clone(&porters);
        elsewhere(async move {
            calls(&calling, MOVES_SOON_AFTER - 1);
            let here = Arc::clone(&calling);
            elsewhere(async move { calls(&here, 1) }).await;
            assert!(!calling.is_elsewhere(), "calls of several do not add up");
            calls(&calling, 1);
            assert!(
                calling.is_elsewhere(),
                "where it began nobody has called meanwhile"
            );
        })
        .await;
        assert!(
            porters.move_reader().is_none(),
            "that runtime has ended meanwhile"
        );
        assert!(!porters.is_elsewhere());
    }

    #[tokio::test]
    async fn where_calls_brought_the_reader_it_stays_as_long_as_some_come() {
        let porters = Arc::new(Porters::new());
        let began = Arc::clone(&porters);
        elsewhere(async move { began.reads_here() }).await;
        porters.reads_here();
        let (calling, reading) = (Arc::clone(&porters), Handle::current());
        elsewhere(async move {
            calls(&calling, MOVES_AFTER - 1);
            let from_there = Arc::clone(&calling);
            reading
                .spawn(async move { calls(&from_there, 1) })
                .await
                .expect("no panic");
            calls(&calling, MOVES_AFTER);
            assert!(!calling.is_elsewhere(), "one came from there");
            calls(&calling, 1);
            assert!(calling.is_elsewhere());
        })
        .await;
    }

    fn drawn(porters: &Porters<()>) -> Option<Id> {
        let mut drawn = None;
        assert!(pull::listen(&mut drawn, || call(porters)).is_some());
        drawn
    }

    #[tokio::test]
    async fn calls_are_drawn_to_where_the_server_is_read() {
        let porters = Arc::new(Porters::new());
        assert!(drawn(&porters).is_none());
        assert!(drawn(&porters).is_none(), "nobody reads yet");
        porters.reads_here();
        assert!(drawn(&porters).is_none(), "they are there");
        let (calling, here) = (Arc::clone(&porters), Handle::current().id());
        let there = elsewhere(async move {
            assert!(call(&calling).is_some());
            assert_eq!(drawn(&calling), Some(here));
            calling.reads_here();
            assert!(drawn(&calling).is_none());
            Handle::current().id()
        });
        let there = there.await;
        assert_eq!(drawn(&porters), Some(there));
    }

    #[tokio::test]
    async fn calls_are_woken_together_by_their_own_porter() {
        let porters = Arc::new(Porters::new());
        porters.reads_here();
        let here = call(&porters).expect("a porter");
        let woken = Arc::new(Woken::default());
        let room = &mut Vec::new();
        porters.leave(here, Waker::from(Arc::clone(&woken)));
        porters.leave(here, Waker::from(Arc::clone(&woken)));
        assert_eq!(woken.0.load(Ordering::Acquire), 0, "not before the read is done");
        porters.wake(room);
        assert_eq!(woken.0.load(Ordering::Acquire), 2);
        let reading = Arc::clone(&porters);
        elsewhere(async move { reading.reads_here() }).await;
        porters.leave(here, Waker::from(Arc::clone(&woken)));
        porters.wake(room);
        assert_eq!(woken.0.load(Ordering::Acquire), 2, "it is for its porter to do");
        tokio::task::yield_now().await;
        assert_eq!(woken.0.load(Ordering::Acquire), 3);
    }

    #[tokio::test]
    async fn all_calls_of_a_runtime_hold_the_same() {
        let porters = Arc::new(Porters::new());
        let held = |porters: &Porters<()>| porters.here(|| (), working).expect("a porter").1;
        let here = held(&porters);
        assert!(Arc::ptr_eq(&here, &held(&porters)));
        let calling = Arc::clone(&porters);
        let there = elsewhere(async move { held(&calling) }).await;
        assert!(!Arc::ptr_eq(&here, &there));
        assert_eq!(Arc::strong_count(&there), 1, "its porter has left");
        porters.end();
        while Arc::strong_count(&here) > 1 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn what_others_say_meanwhile_leaves_with_one_write() {
        let porters = Arc::new(Porters::new());
        let (said, writes) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
        let (heard, written) = (Arc::clone(&said), Arc::clone(&writes));
        let write = move || {
            let heard = heard.swap(0, Ordering::AcqRel);
            written.lock().expect("no panic").push(heard);
        };
        let (porter, _held) = porters
            .here(
                || (),
                |runtime, at_work, _| drop(runtime.spawn(at_work.serve(write))),
            )
            .expect("a porter");
        for _ in 0..3 {
            let (porters, said) = (Arc::clone(&porters), Arc::clone(&said));
            tokio::spawn(async move {
                said.fetch_add(1, Ordering::AcqRel);
                porters.write(porter);
                // Another that was on its way when the porter was told.
                tokio::spawn(async move { said.fetch_add(1, Ordering::AcqRel) });
            });
        }
        for _ in 0..5 {
            tokio::task::yield_now().await;
        }
        assert_eq!(writes.lock().expect("no panic").first(), Some(&6));
    }

    #[tokio::test]
    async fn nobody_waits_for_a_porter_that_has_left() {
        let porters = Arc::new(Porters::new());
        let there = Arc::clone(&porters);
        let gone = elsewhere(async move { call(&there).expect("a porter") }).await;
        let woken = Arc::new(Woken::default());
        porters.leave(gone, Waker::from(Arc::clone(&woken)));
        assert_eq!(woken.0.load(Ordering::Acquire), 1, "its runtime has ended");
        assert!(!porters.write(gone), "others are to write");
        let here = call(&porters).expect("a porter");
        assert_eq!(here, gone, "a place that was left is taken");
        assert!(porters.write(here));
        porters.leave(here, Waker::from(Arc::clone(&woken)));
        porters.end();
        assert_eq!(woken.0.load(Ordering::Acquire), 2, "so has the conversation");
        porters.leave(here, Waker::from(Arc::clone(&woken)));
        assert_eq!(woken.0.load(Ordering::Acquire), 3);
        assert!(call(&porters).is_none());
    }
}
