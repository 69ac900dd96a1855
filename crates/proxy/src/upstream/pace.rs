//! How long a running call may take.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;

use sallyport_core::fault::Fault;
use tokio::time::{Instant, timeout_at};

use crate::spec::ServerLimits;

/// The two bounds of a running call: silence, which each message ends, and its whole length. While a question waits for
/// the client, the server's silence is not its own.
#[derive(Debug)]
pub(crate) struct Pace {
    idle: Duration,
    deadline: Instant,
    asked: Asked,
}

/// The questions of a call. There is nothing of them before somebody looks for them: most calls are never asked any.
#[derive(Debug, Default)]
pub(crate) struct Asked(OnceLock<Questions>);

/// The questions of one call that wait for the client's answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Questions(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    open: AtomicUsize,
    ended: AtomicUsize,
}

impl Questions {
    /// One more, until the value is dropped.
    pub(crate) fn open(&self) -> OpenQuestion {
        self.0.open.fetch_add(1, Ordering::AcqRel);
        OpenQuestion(self.clone())
    }

    fn any(&self) -> bool {
        self.0.open.load(Ordering::Acquire) > 0
    }

    /// How many have ended.
    fn ended(&self) -> usize {
        self.0.ended.load(Ordering::Acquire)
    }
}

/// A question that waits for its answer.
#[derive(Debug)]
pub(crate) struct OpenQuestion(Questions);

impl Drop for OpenQuestion {
    fn drop(&mut self) {
        let counts = &self.0.0;
        counts.ended.fetch_add(1, Ordering::AcqRel);
        counts.open.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Asked {
    /// The call's questions.
    pub(crate) fn questions(&self) -> &Questions {
        self.0.get_or_init(Questions::default)
    }

    /// Whether any waits.
    pub(crate) fn any(&self) -> bool {
        self.0.get().is_some_and(Questions::any)
    }

    /// How many have ended.
    pub(crate) fn ended(&self) -> usize {
        self.0.get().map_or(0, Questions::ended)
    }
}

impl From<Questions> for Asked {
    fn from(questions: Questions) -> Self {
        Self(OnceLock::from(questions))
    }
}

impl Pace {
    /// A call that starts now.
    pub(crate) fn start(limits: &ServerLimits) -> Self {
        Self::of(limits.idle, limits.call)
    }

    /// A stream over HTTP that nobody waits for: it may be as long as it likes. After long silence it is opened anew: the
    /// other side may be gone without a word (F-14).
    pub(crate) fn stream() -> Self {
        Self::of(Duration::from_secs(300), Duration::from_secs(365 * 24 * 3600))
    }

    /// A stream that nobody waits for: it may be silent, and as long as it likes.
    pub(crate) fn unbounded() -> Self {
        let long = Duration::from_secs(365 * 24 * 3600);
        Self::of(long, long)
    }

    fn of(idle: Duration, whole: Duration) -> Self {
        Self {
            idle,
            deadline: Instant::now() + whole,
            asked: Asked::default(),
        }
    }

    /// The call's open questions.
    pub(crate) fn questions(&self) -> &Questions {
        self.asked.questions()
    }

    /// Time that is left for the whole call.
    pub(crate) fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Waits for what belongs to the whole call. What is there at once costs no timer.
    ///
    /// # Errors
    /// A fault of the server when the call's whole time is over.
    pub(crate) async fn within<F: Future>(&self, mut future: Pin<&mut F>) -> Result<F::Output, Fault> {
        if let Poll::Ready(output) = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await {
            return Ok(output);
        }
        timeout_at(self.deadline, future)
            .await
            .map_err(|_| Fault::upstream("read the answer", "the call took longer than it may"))
    }

    /// Waits for the server's next sign of life.
    ///
    /// # Errors
    /// A fault of the server when it is silent for too long, or the call's whole time is over.
    pub(crate) async fn wait<F: Future>(&self, sign: F) -> Result<F::Output, Fault> {
        let mut sign = std::pin::pin!(sign);
        loop {
            let silent_until = Instant::now() + self.idle;
            let ended = self.asked.ended();
            match timeout_at(silent_until.min(self.deadline), &mut sign).await {
                Ok(output) => return Ok(output),
                Err(_) if self.left().is_zero() => {
                    return Err(Fault::upstream(
                        "wait for the answer",
                        "the call took longer than it may",
                    ));
                }
                // Nor was it while one waited whose call nobody read meanwhile: from its answer on the server has its
                // whole time again.
                Err(_) if self.asked.any() || self.asked.ended() != ended => {}
                Err(_) => {
                    return Err(Fault::upstream("wait for the answer", "the server is silent"));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    fn limits() -> ServerLimits {
        ServerLimits {
            idle: Duration::from_secs(60),
            call: Duration::from_secs(600),
            ..ServerLimits::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn st_09_silence_ends_a_call() {
        let began = Instant::now();
        let pace = Pace::start(&limits());
        assert!(pace.wait(pending::<()>()).await.is_err());
        assert_eq!(began.elapsed().as_secs(), 60);
    }

    #[tokio::test(start_paused = true)]
    async fn p_68_an_open_question_excuses_silence_but_not_for_ever() {
        let began = Instant::now();
        let pace = Pace::start(&limits());
        let _open = pace.questions().open();
        assert!(pace.wait(pending::<()>()).await.is_err());
        assert_eq!(began.elapsed().as_secs(), 600);
    }

    #[tokio::test(start_paused = true)]
    async fn p_97_an_answer_that_took_long_excuses_the_silence_before_it() {
        let pace = Pace::start(&limits());
        let open = pace.questions().open();
        let mut waiting = Box::pin(pace.wait(pending::<()>()));
        let a_moment = Duration::from_millis(50);
        assert!(tokio::time::timeout(a_moment, &mut waiting).await.is_err());
        // The call is parked: nobody reads it until the client has answered.
        tokio::time::advance(Duration::from_secs(300)).await;
        drop(open);
        assert!(
            tokio::time::timeout(a_moment, &mut waiting).await.is_err(),
            "it goes on"
        );
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(
            waiting.await.is_err(),
            "from the answer on the server has its time, and no more"
        );
    }
}
