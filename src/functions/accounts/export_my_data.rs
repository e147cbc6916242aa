//! export-my-data: everything that is the caller's own, as a ZIP file that is written while it goes out.

use std::io::{self, Write};

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use services::accounts::export_data::{self, ExportError};
use tokio::sync::mpsc;

use crate::functions::error::FunctionError;
use crate::functions::http_call::{Call, Outcome};
use crate::long_work;

/// Size of a piece, and pieces that may wait for a slow reader.
const PIECE_BYTES: usize = 64 << 10;
const PIECES_MAX: usize = 4;

/// Runs the function.
pub(crate) async fn run(call: Call) -> Outcome {
    let user = call.context.user()?;
    call.read_fields(&[])?;
    let place = call.app.budgets.exports.try_hold(call.owner, 1).ok_or_else(|| {
        let message = "too much data is on its way already; try again later";
        let mut busy = FunctionError::new(StatusCode::TOO_MANY_REQUESTS, message);
        busy.retry_after_s = Some(30);
        busy
    })?;
    let store = call.context.services.actors.store().clone();
    let (sender, receiver) = mpsc::channel(PIECES_MAX);
    long_work::spawn(move || {
        let _place = place;
        let mut pipe = Pipe { sender: sender.clone(), waiting: Vec::new() };
        match export_data::write(&store, user, &mut pipe) {
            Ok(()) => {}
            // The client is gone, and hears of nothing.
            Err(ExportError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {}
            Err(error) => {
                tracing::error!(%error, "the data of an account could not be exported whole");
                let _ = sender.blocking_send(Err(io::Error::other("the export failed")));
            }
        }
    });
    let pieces = futures_util::stream::unfold(receiver, |mut receiver| async move {
        Some((receiver.recv().await?, receiver))
    });
    let mut response: Response = Body::from_stream(pieces).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/zip"));
    let name = "attachment; filename=\"playhouse-data.zip\"";
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static(name));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response.into())
}

/// What is written here goes out in pieces; a full queue makes the writer wait, a client that is gone ends it.
struct Pipe {
    sender: mpsc::Sender<io::Result<Bytes>>,
    waiting: Vec<u8>,
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.waiting.extend_from_slice(bytes);
        if self.waiting.len() >= PIECE_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let piece = Bytes::from(std::mem::take(&mut self.waiting));
        self.sender.blocking_send(Ok(piece)).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}
