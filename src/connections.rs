//! Connections: how many at one time, how long one may take over its request, and how they end.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::server::TlsStream;
use tower::{Service, ServiceExt};

use crate::budgets::Peer;
use crate::metrics::Metrics;
use crate::request_line::RequestLines;
use crate::tls::Tls;
use crate::write_pace::WritePace;

/// How long a client may take over the head of a request, and a connection lie idle.
const HEAD_S_MAX: u64 = 60;
/// How long a client may take over the start of an encrypted connection.
const HANDSHAKE_S_MAX: u64 = 10;
/// How long requests may go on once the server is to stop.
const GRACE_S: u64 = 8;
/// What a connection gathers of answers before its client takes them, and streams of one connection (HTTP/2).
const SEND_BYTES_MAX: usize = 128 << 10;
const STREAMS_MAX: u32 = 64;
/// Files that the store and uploads may need beside the connections.
const OTHER_FILES: u64 = 512;

/// The place of a connection among all; a socket that a request becomes keeps it.
#[derive(Clone, Debug)]
pub(crate) struct Place(pub Arc<OwnedSemaphorePermit>);

/// Where connections come in, and how.
pub(crate) struct Doors {
    pub listener: TcpListener,
    /// Connections at one time.
    pub connections_max: usize,
    /// How long a client may take next to nothing of an answer.
    pub pause_max: Duration,
    /// With it connections are encrypted.
    pub tls: Option<Arc<Tls>>,
    /// Where they are counted.
    pub counted: Option<Arc<Metrics>>,
}

/// Answers requests until `stop` resolves, and then those that run, for a while.
pub(crate) async fn serve<S>(doors: Doors, service: S, stop: impl Future<Output = ()>)
where
    S: Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static,
{
    let Doors { listener, connections_max, pause_max, tls, counted } = doors;
    let room = Arc::new(Semaphore::new(connections_max.min(permitted_connections()).max(1)));
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(HEAD_S_MAX));
    builder.http1().max_buf_size(SEND_BYTES_MAX);
    builder.http2().timer(TokioTimer::new()).enable_connect_protocol();
    builder.http2().max_concurrent_streams(STREAMS_MAX).max_send_buf_size(SEND_BYTES_MAX);
    let running = GracefulShutdown::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        // Beyond the limit clients wait in the system's queue until another one leaves.
        let accepted = async {
            let place = room.clone().acquire_owned().await.map(|place| Place(Arc::new(place)));
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            accepted = accepted => accepted,
            () = &mut stop => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // The client has left already, or the system has no more files.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        // Events and answers go out at once rather than when the packet is full.
        let _ = stream.set_nodelay(true);
        let kept = place.as_ref().ok().cloned();
        let service = service.clone().map_request(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(Peer(peer));
            if let Some(place) = &kept {
                request.extensions_mut().insert(place.clone());
            }
            request.map(Body::new)
        });
        let service = TowerToHyperService::new(service);
        let (builder, watcher) = (builder.clone(), running.watcher());
        let (tls, counted) = (tls.clone(), counted.as_ref().map(|metrics| metrics.connection()));
        tokio::spawn(async move {
            let (_place, _counted) = (place, counted);
            let Some(stream) = encrypted(stream, tls).await else { return };
            let stream = TokioIo::new(WritePace::new(RequestLines::new(stream), pause_max));
            let connection = builder.serve_connection_with_upgrades(stream, service).into_owned();
            if let Err(error) = watcher.watch(connection).await {
                tracing::debug!(error, "a connection broke");
            }
        });
    }
    drop(listener);
    let left = running.count();
    if tokio::time::timeout(Duration::from_secs(GRACE_S), running.shutdown()).await.is_err() {
        tracing::warn!(
            "stopping although requests still run: of {left} connections some did not end in time"
        );
    }
}

/// A connection in the clear, or encrypted.
type Either = tokio_util::either::Either<TcpStream, TlsStream<TcpStream>>;

/// The connection, once the client and we have agreed on how it is encrypted where it is to be.
async fn encrypted(stream: TcpStream, tls: Option<Arc<Tls>>) -> Option<Either> {
    let Some(tls) = tls else { return Some(Either::Left(stream)) };
    match tokio::time::timeout(Duration::from_secs(HANDSHAKE_S_MAX), tls.acceptor().accept(stream)).await {
        Ok(Ok(stream)) => Some(Either::Right(stream)),
        Ok(Err(error)) => {
            tracing::debug!(%error, "a client does not speak TLS as we do");
            None
        }
        Err(_) => None,
    }
}

/// Connections that the system's limit of open files leaves room for, once it is as high as it may be.
fn permitted_connections() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let files = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    let files = files.unwrap_or(u64::MAX);
    usize::try_from(files.saturating_sub(OTHER_FILES).max(files / 2)).unwrap_or(usize::MAX)
}
