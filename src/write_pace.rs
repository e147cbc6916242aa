//! A connection whose client takes nothing is closed, so that what waits for it does not wait for ever.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::answers::TAKEN_BYTES_MIN;

/// A stream that fails once its other end has taken next to nothing for a while although there was something to take.
pub(crate) struct WritePace<S> {
    stream: S,
    pause_max: Duration,
    /// Since the other end first would not take everything.
    behind: Option<Behind>,
}

struct Behind {
    ends: Pin<Box<Sleep>>,
    taken: u64,
}

impl<S> WritePace<S> {
    pub fn new(stream: S, pause_max: Duration) -> WritePace<S> {
        WritePace { stream, pause_max, behind: None }
    }

    fn wrote(
        &mut self,
        written: Poll<io::Result<usize>>,
        offered: usize,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(taken)) => {
                if taken >= offered {
                    self.behind = None;
                } else if let Some(behind) = &mut self.behind {
                    behind.taken += taken as u64;
                    if behind.taken >= TAKEN_BYTES_MIN {
                        self.behind = None;
                    }
                }
                written
            }
            Poll::Pending => {
                let pause_max = self.pause_max;
                let behind = self.behind.get_or_insert_with(|| Behind {
                    ends: Box::pin(sleep_until(Instant::now() + pause_max)),
                    taken: 0,
                });
                ready!(behind.ends.as_mut().poll(context));
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing")))
            }
            failed => failed,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WritePace<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, out)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WritePace<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.wrote(written, bytes.len(), context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.wrote(written, parts.iter().map(|part| part.len()).sum(), context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const PAUSE: Duration = Duration::from_secs(2);

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_given_up() {
        let (client, server) = tokio::io::duplex(1024);
        let mut server = WritePace::new(server, Duration::from_millis(50));
        let failed = server.write_all(&[0; 4096]).await.expect_err("there is no reader");
        assert_eq!(failed.kind(), io::ErrorKind::TimedOut);
        drop(client);
    }

    #[tokio::test]
    async fn a_slow_client_is_served_and_a_trickle_is_not() {
        for (piece, is_served) in [(16 << 10, true), (10, false)] {
            let (mut client, server) = tokio::io::duplex(16 << 10);
            let mut server = WritePace::new(server, PAUSE);
            let reader = tokio::spawn(async move {
                let mut bytes = vec![0; piece];
                while client.read(&mut bytes).await.is_ok_and(|read| read > 0) {
                    tokio::time::sleep(PAUSE / 50).await;
                }
            });
            let written = server.write_all(&vec![0; 512 << 10]).await;
            assert_eq!(written.is_ok(), is_served, "{piece}: {written:?}");
            reader.abort();
        }
    }
}
