//! Requests as plain clients write them: `curl` and others send `?select=data->>name` as it was typed, but the HTTP
//! library refuses a target with `<`, `>`, `"` or a backtick. They are percent-encoded before it looks.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Longest head that is looked at, in bytes; the HTTP library judges longer ones.
const HEAD_BYTES_MAX: usize = 128 << 10;
/// Longest request target that is answered, in bytes; a longer one is cut, so that the router refuses it in JSON. The HTTP
/// library itself would refuse it without a body.
pub(crate) const TARGET_BYTES_MAX: usize = 65_000;
/// As many headers as the HTTP library takes.
const HEADERS_MAX: usize = 100;
/// How much longer a cut target is, with the method before it.
const CUT_BYTES: usize = 64;
/// Bytes taken from the connection at once while a head is awaited.
const READ_BYTES: usize = 4096;

/// A connection whose request lines are made fit for the HTTP library.
#[derive(Debug)]
pub(crate) struct RequestLines<S> {
    stream: S,
    next: Next,
    /// Came in and may be an unfinished head.
    incoming: Vec<u8>,
    /// May be handed out, from `given` on.
    ready: Vec<u8>,
    given: usize,
}

/// What the next byte of the connection belongs to.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Next {
    /// The head of a request.
    Head,
    /// A body that goes on for so many bytes.
    Body(u64),
    /// Something whose end is not known here (HTTP/2, a chunked body, nonsense): handed on as it is.
    Anything,
}

impl<S> RequestLines<S> {
    pub fn new(stream: S) -> RequestLines<S> {
        RequestLines { stream, next: Next::Head, incoming: Vec::new(), ready: Vec::new(), given: 0 }
    }

    fn hand_out(&mut self, out: &mut ReadBuf<'_>) {
        let left = &self.ready[self.given..];
        let count = left.len().min(out.remaining());
        out.put_slice(&left[..count]);
        self.given += count;
        if self.given == self.ready.len() {
            (self.ready, self.given) = (Vec::new(), 0);
        }
    }

    /// Makes ready what `incoming` has: a whole head with as much of its body as is there, or all that cannot be one.
    fn take_request(&mut self) {
        let (line_fixed, end, body) = match read_head(&self.incoming) {
            Head::Unfinished if self.incoming.len() < HEAD_BYTES_MAX => return,
            Head::Unfinished if is_all_target(&self.incoming) => {
                // What it is refused for is known, and nothing that comes after it is of use.
                self.next = Next::Anything;
                let line = &std::mem::take(&mut self.incoming)[..TARGET_BYTES_MAX + CUT_BYTES];
                self.ready = [line, b" HTTP/1.1\r\nhost: cut\r\nconnection: close\r\n\r\n"].concat();
                return;
            }
            Head::Unfinished | Head::Unknown => {
                self.next = Next::Anything;
                self.ready = std::mem::take(&mut self.incoming);
                return;
            }
            Head::Whole { line, end, body } => (line, end, body),
        };
        let body_there = self.incoming.len() - end;
        let here =
            body.map_or(body_there, |length| body_there.min(usize::try_from(length).unwrap_or(usize::MAX)));
        let rest = self.incoming.split_off(end + here);
        let mut request = std::mem::replace(&mut self.incoming, rest);
        if let Some((range, line)) = line_fixed {
            request.splice(range, line);
        }
        self.ready = request;
        self.next = match body {
            None => Next::Anything,
            Some(length) if length == here as u64 => Next::Head,
            Some(length) => Next::Body(length - here as u64),
        };
    }
}

enum Head {
    Unfinished,
    Unknown,
    Whole {
        /// Where a target lies that needs another form, and that form.
        line: Option<(std::ops::Range<usize>, Vec<u8>)>,
        /// Where the head ends.
        end: usize,
        /// How long its body is, if that is known.
        body: Option<u64>,
    },
}

/// What follows bytes that are one head, fit as it is, with no more than its body; `None` for others.
fn after_plain(bytes: &[u8]) -> Option<Next> {
    let Head::Whole { line: None, end, body: Some(length) } = read_head(bytes) else { return None };
    match length.checked_sub((bytes.len() - end) as u64)? {
        0 => Some(Next::Head),
        left => Some(Next::Body(left)),
    }
}

fn read_head(bytes: &[u8]) -> Head {
    let mut headers = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut []);
    let end = match request.parse_with_uninit_headers(bytes, &mut headers) {
        Ok(httparse::Status::Complete(end)) => end,
        Ok(httparse::Status::Partial) => return Head::Unfinished,
        Err(_) => return Head::Unknown,
    };
    let target = request.path.unwrap_or_default();
    let is_fit = target.len() <= TARGET_BYTES_MAX && !target.bytes().any(is_refused);
    let line = (!is_fit).then(|| {
        let start = target.as_ptr() as usize - bytes.as_ptr() as usize;
        let mut encoded = encode(target);
        encoded.truncate(TARGET_BYTES_MAX + CUT_BYTES);
        (start..start + target.len(), encoded)
    });
    Head::Whole { line, end, body: body_length(&request) }
}

/// How long the body of a request is; `None` where only the HTTP library can tell.
fn body_length(request: &httparse::Request<'_, '_>) -> Option<u64> {
    let mut length = None;
    for header in request.headers.iter() {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        if is("transfer-encoding") || is("upgrade") || (is("content-length") && length.is_some()) {
            return None;
        }
        if is("content-length") {
            length = Some(std::str::from_utf8(header.value).ok()?.parse().ok()?);
        }
    }
    (request.method != Some("CONNECT")).then_some(length.unwrap_or(0))
}

/// Whether an unfinished head is a request line whose target has not ended yet.
fn is_all_target(bytes: &[u8]) -> bool {
    let is_method = |method: &[u8]| method.len() <= 10 && method.iter().all(u8::is_ascii_uppercase);
    let mut parts = bytes.splitn(3, |byte| *byte == b' ');
    let (method, target, version) = (parts.next(), parts.next(), parts.next());
    method.is_some_and(is_method)
        && version.is_none()
        && target.is_some_and(|target| target.starts_with(b"/") && target.iter().all(u8::is_ascii_graphic))
}

fn is_refused(byte: u8) -> bool {
    matches!(byte, b'<' | b'>' | b'"' | b'`')
}

fn encode(target: &str) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(target.len() + 16);
    for byte in target.bytes() {
        if is_refused(byte) {
            encoded.extend_from_slice(format!("%{byte:02X}").as_bytes());
        } else {
            encoded.push(byte);
        }
    }
    encoded
}

impl<S: AsyncRead + Unpin> AsyncRead for RequestLines<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if !this.ready.is_empty() {
                this.hand_out(out);
                return Poll::Ready(Ok(()));
            }
            let before = out.filled().len();
            match this.next {
                Next::Anything => return Pin::new(&mut this.stream).poll_read(context, out),
                Next::Body(left) => {
                    ready!(Pin::new(&mut this.stream).poll_read(context, out))?;
                    let came = (out.filled().len() - before) as u64;
                    if came < left {
                        this.next = Next::Body(left - came);
                    } else {
                        // What came beyond the body begins the next request.
                        let end = before + usize::try_from(left).unwrap_or(usize::MAX);
                        this.incoming.extend_from_slice(&out.filled()[end..]);
                        out.set_filled(end);
                        this.next = Next::Head;
                    }
                    return Poll::Ready(Ok(()));
                }
                Next::Head if this.incoming.is_empty() => {
                    if out.remaining() == 0 {
                        return Poll::Ready(Ok(()));
                    }
                    ready!(Pin::new(&mut this.stream).poll_read(context, out))?;
                    let came = &out.filled()[before..];
                    match after_plain(came) {
                        _ if came.is_empty() => this.next = Next::Anything,
                        Some(next) => this.next = next,
                        None => {
                            this.incoming.extend_from_slice(came);
                            out.set_filled(before);
                            continue;
                        }
                    }
                    return Poll::Ready(Ok(()));
                }
                Next::Head => {
                    this.take_request();
                    if !this.ready.is_empty() {
                        continue;
                    }
                    let mut bytes = [0; READ_BYTES];
                    let mut buffer = ReadBuf::new(&mut bytes);
                    ready!(Pin::new(&mut this.stream).poll_read(context, &mut buffer))?;
                    if buffer.filled().is_empty() {
                        this.next = Next::Anything;
                        this.ready = std::mem::take(&mut this.incoming);
                    }
                    this.incoming.extend_from_slice(buffer.filled());
                }
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for RequestLines<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
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
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    /// What the HTTP library reads when a client's bytes come in pieces of `size`.
    async fn through(bytes: &[u8], size: usize) -> String {
        let (mut client, server) = tokio::io::duplex(size);
        let bytes = bytes.to_vec();
        let writer =
            tokio::spawn(async move { tokio::io::AsyncWriteExt::write_all(&mut client, &bytes).await });
        let mut read = Vec::new();
        RequestLines::new(server).read_to_end(&mut read).await.expect("it reads");
        writer.await.expect("no panic").expect("it writes");
        String::from_utf8(read).expect("text")
    }

    #[tokio::test]
    async fn targets_are_encoded_and_nothing_else() {
        let sent = "GET /t?select=a->>b&c=eq.\"<`>\" HTTP/1.1\r\nx: a->b\r\n\r\n\
                    POST /u HTTP/1.1\r\nContent-Length: 7\r\n\r\nGET /->\
                    GET /v?a->b=is.null HTTP/1.1\r\n\r\n";
        let wanted = "GET /t?select=a-%3E%3Eb&c=eq.%22%3C%60%3E%22 HTTP/1.1\r\nx: a->b\r\n\r\n\
                      POST /u HTTP/1.1\r\nContent-Length: 7\r\n\r\nGET /->\
                      GET /v?a-%3Eb=is.null HTTP/1.1\r\n\r\n";
        for size in [1, 2, 7, 64, 10_000] {
            assert_eq!(through(sent.as_bytes(), size).await, wanted, "in pieces of {size}");
        }
    }

    #[tokio::test]
    async fn what_cannot_be_followed_is_handed_on() {
        let chunked = "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n5\r\nGET /\r\n0\r\n\r\nGET /> HTTP/1.1\r\n\r\n";
        let second = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nGET />";
        let twice = "GET / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nGET /> HTTP/1.1\r\n\r\n";
        for sent in [chunked, second, twice, "nonsense", "GET /> HT", ""] {
            for size in [3, 10_000] {
                assert_eq!(through(sent.as_bytes(), size).await, sent);
            }
        }
    }

    #[tokio::test]
    async fn a_target_that_is_too_long_is_cut_and_still_too_long() {
        for letters in [TARGET_BYTES_MAX, TARGET_BYTES_MAX + 20_000, 2 * HEAD_BYTES_MAX] {
            let sent = format!("GET /{} HTTP/1.1\r\norigin: x\r\n\r\n", "a".repeat(letters));
            let read = through(sent.as_bytes(), 10_000).await;
            let target = read.split(' ').nth(1).expect("a target");
            assert!((TARGET_BYTES_MAX..65_534).contains(&target.len()), "{letters}: {}", target.len());
            assert!(read.contains(" HTTP/1.1\r\n") && read.contains("\r\n\r\n"), "{letters}");
        }
        let fits = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(TARGET_BYTES_MAX - 1));
        assert_eq!(through(fits.as_bytes(), 10_000).await, fits);
    }
}
