//! `POST /admin/v1/import`: years of work from another program, from a path on this machine; the answer says line by line
//! how far it is, and ends with a report.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value as Json, json};
use services::ServiceError;
use services::imports::sillytavern::{self, Accounts, Step};
use services::imports::source::Source;
use tokio::sync::mpsc;

use crate::app::App;
use crate::{caller, long_work};

/// The programs whose data can come in.
pub const PROGRAMS: [&str; 1] = ["sillytavern"];
/// How often the answer says how far it is.
const REPORT_EVERY: Duration = Duration::from_millis(200);

/// What is to come in.
#[derive(Debug, Deserialize)]
pub struct ImportRequest {
    /// One of [`PROGRAMS`].
    from: String,
    /// A folder or a ZIP file of this machine.
    path: PathBuf,
    /// The address of the account that it comes to.
    account: Option<String>,
    /// The same by the names of the users' folders.
    #[serde(default)]
    folders: HashMap<String, String>,
    /// Say what would come in, and write nothing.
    #[serde(default)]
    dry_run: bool,
}

/// Imports, for the operator.
pub async fn import(
    State(app): State<App>,
    headers: HeaderMap,
    axum::Json(request): axum::Json<ImportRequest>,
) -> Response {
    if !caller::claims_from(&headers, &app).is_ok_and(|claims| claims.is_service()) {
        return refuse(StatusCode::FORBIDDEN, "this needs the service_role key");
    }
    if !PROGRAMS.contains(&request.from.as_str()) {
        let message = format!("from: {:?} is none of {}", request.from, PROGRAMS.join(", "));
        return refuse(StatusCode::BAD_REQUEST, &message);
    }
    let accounts = match accounts(&app, &request).await {
        Ok(accounts) => accounts,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let path = request.path.clone();
    let source = match long_work::spawn(move || Source::open(&path)).await {
        Ok(Ok(source)) => source,
        Ok(Err(reason)) => return refuse(StatusCode::BAD_REQUEST, &format!("path: {reason}")),
        Err(_) => return refuse(StatusCode::INTERNAL_SERVER_ERROR, "opening the source failed unexpectedly"),
    };
    let (lines, heard) = mpsc::unbounded_channel::<Json>();
    // The import goes on when the one who asked goes away: what came in stays, and a second run finds it.
    tokio::spawn(async move {
        let mut last = Instant::now();
        let report = lines.clone();
        let mut progress = move |step: Step| {
            if last.elapsed() >= REPORT_EVERY || step.done == step.total {
                last = Instant::now();
                let _ = report.send(json!({"done": step.done, "total": step.total, "path": step.path}));
            }
        };
        let services = app.services.clone();
        let outcome = sillytavern::import(&services, source, &accounts, request.dry_run, &mut progress).await;
        let _ = lines.send(match outcome {
            Ok(report) => json!({"report": report}),
            Err(error) => json!({"error": error.to_string()}),
        });
    });
    let stream = futures_util::stream::unfold(heard, |mut heard| async move {
        let line = heard.recv().await?;
        Some((Ok::<Bytes, std::io::Error>(format!("{line}\n").into()), heard))
    });
    let mut response = Response::new(Body::from_stream(stream));
    let kind = HeaderValue::from_static("application/x-ndjson");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

async fn accounts(app: &App, request: &ImportRequest) -> Result<Accounts, ServiceError> {
    let mut accounts = Accounts::default();
    if let Some(email) = &request.account {
        accounts.otherwise = Some(sillytavern::account_of(&app.services, email).await?);
    }
    for (folder, email) in &request.folders {
        accounts.by_folder.insert(folder.clone(), sillytavern::account_of(&app.services, email).await?);
    }
    if accounts.otherwise.is_none() && accounts.by_folder.is_empty() {
        return Err(ServiceError::bad(
            "account: missing: name the account that the data comes to by its address",
        ));
    }
    Ok(accounts)
}

fn refuse(status: StatusCode, message: &str) -> Response {
    (status, axum::Json(json!({"code": status.as_u16().to_string(), "message": message}))).into_response()
}
