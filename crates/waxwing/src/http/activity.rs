//! What a connection is doing, so that slow ones can be told from busy ones.
//!
//! A head has [`HEAD_MAX`] from its first byte (the first one from the connection on) to its end. While a request is
//! being answered the routes have their own limits. In all other times (between requests, while the answer goes out)
//! bytes have to move within [`SILENCE_MAX`].

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// How long a client may take to send the head of a request.
const HEAD_MAX: Duration = Duration::from_secs(10);
/// How long a connection may be silent.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// No head is being received.
const NO_HEAD: u64 = u64::MAX;

/// What a connection is doing. Times are milliseconds since its beginning.
#[derive(Debug)]
pub struct Activity {
    start: Instant,
    head_since: AtomicU64,
    last_byte: AtomicU64,
    answering: AtomicU32,
}

/// A request that is being answered, until dropped.
#[derive(Debug)]
pub struct Answering(Arc<Activity>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.moved();
        self.0.answering.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Activity {
    /// A connection that begins now.
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
            head_since: AtomicU64::new(0),
            last_byte: AtomicU64::new(0),
            answering: AtomicU32::new(0),
        }
    }

    /// The head of a request has come.
    pub fn answering(self: &Arc<Self>) -> Answering {
        self.answering.fetch_add(1, Ordering::Relaxed);
        self.head_since.store(NO_HEAD, Ordering::Relaxed);
        Answering(Arc::clone(self))
    }

    /// Whether the connection takes longer than it may.
    pub fn is_too_slow(&self) -> bool {
        self.is_too_slow_at(self.now())
    }

    fn is_too_slow_at(&self, now: u64) -> bool {
        let for_longer =
            |since: u64, limit: Duration| u128::from(now.saturating_sub(since)) > limit.as_millis();
        if self.answering.load(Ordering::Relaxed) > 0 {
            return false;
        }
        let head_since = self.head_since.load(Ordering::Relaxed);
        (head_since != NO_HEAD && for_longer(head_since, HEAD_MAX))
            || for_longer(self.last_byte.load(Ordering::Relaxed), SILENCE_MAX)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(NO_HEAD - 1)
    }

    fn moved(&self) -> u64 {
        let now = self.now();
        self.last_byte.store(now, Ordering::Relaxed);
        now
    }

    fn received(&self) {
        let now = self.moved();
        if self.answering.load(Ordering::Relaxed) == 0
            && self.head_since.load(Ordering::Relaxed) == NO_HEAD
        {
            self.head_since.store(now, Ordering::Relaxed);
        }
    }
}

/// A stream that notes what happens on it.
#[derive(Debug)]
pub struct Watched {
    tcp: TcpStream,
    activity: Arc<Activity>,
}

impl Watched {
    /// Watches a stream.
    pub fn new(tcp: TcpStream, activity: Arc<Activity>) -> Self {
        Self { tcp, activity }
    }

    fn wrote(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(1..)) = written {
            self.activity.moved();
        }
        written
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.tcp).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.activity.received();
        }
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write(cx, buf);
        self.wrote(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write_vectored(cx, bufs);
        self.wrote(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_heads_and_silence_are_seen_and_work_is_not() {
        let activity = Arc::new(Activity::new());
        assert!(
            !activity.is_too_slow_at(10_000),
            "a new connection has time for its head"
        );
        assert!(activity.is_too_slow_at(10_001), "but no longer");

        let answering = activity.answering();
        activity.received();
        assert!(
            !activity.is_too_slow_at(3_600_000),
            "the routes limit themselves"
        );
        drop(answering);
        assert!(
            !activity.is_too_slow_at(50_000),
            "between requests it may be silent"
        );
        assert!(activity.is_too_slow_at(70_000), "for a while");

        activity.received();
        assert!(
            activity.is_too_slow_at(12_000),
            "the head of the next request has begun"
        );
        let answering = activity.answering();
        drop(answering);
        assert!(!activity.is_too_slow_at(12_000));
    }
}
