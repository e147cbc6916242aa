//! The log, and traces for a collector.

use std::io::IsTerminal;
use std::time::Duration;

use async_trait::async_trait;
use axum::body::Bytes;
use axum::http::{Request, Response};
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use playhouse::config::Config;
use playhouse::recent_log::RecentLog;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::{EnvFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

/// How long a collector may take over some spans, and over the last ones when the server stops.
const PATIENCE: Duration = Duration::from_secs(5);
/// Whose spans are traces: ours, and not those of libraries that send them.
const TRACED: [&str; 4] = ["playhouse", "actors", "services", "language"];

/// The log; when it is dropped, what is left of traces goes out.
pub(super) struct Log(Option<SdkTracerProvider>);

impl Drop for Log {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.0.as_ref().map(|traces| traces.shutdown_with_timeout(PATIENCE)) {
            tracing::warn!(%error, "the last traces could not be sent");
        }
    }
}

/// Writes the log to standard error: all that the server has to say, of other commands only what went wrong. Traces are the
/// server's alone.
pub(super) fn start(config: &Config, serves: bool) -> Result<Log, String> {
    let filter = || {
        EnvFilter::try_from_env("PLAYHOUSE_LOG")
            .unwrap_or_else(|_| EnvFilter::new(if serves { "info" } else { "warn" }))
    };
    // A log that has no reader any more ends no work.
    let lines = fmt::layer().with_writer(std::io::stderr).log_internal_errors(false);
    let lines = match config.log_format.as_str() {
        "json" => lines.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed(),
        _ => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
    };
    let traces = config.otlp_url.as_deref().filter(|_| serves);
    let traces = traces.map(|url| exporter(config, url)).transpose()?;
    let spans = traces.as_ref().map(|traces| {
        opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
        let ours = Targets::new().with_targets(TRACED.map(|target| (target, LevelFilter::DEBUG)));
        // What is said in a span goes to the log; a trace has its times.
        let spans = tracing_subscriber::filter::filter_fn(|metadata| metadata.is_span());
        tracing_opentelemetry::layer()
            .with_tracer(traces.tracer("playhouse"))
            .with_filter(ours)
            .with_filter(spans)
    });
    let recent = serves.then(|| RecentLog.with_filter(filter()));
    tracing_subscriber::registry().with(lines.with_filter(filter())).with(recent).with(spans).init();
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for remark in playhouse::config::unknown_variables(names) {
        tracing::warn!("{remark}");
    }
    Ok(Log(traces))
}

/// What sends spans to a collector, in groups, from a thread of its own.
fn exporter(config: &Config, url: &str) -> Result<SdkTracerProvider, String> {
    let endpoint = format!("{}/v1/traces", url.trim_end_matches('/'));
    let said = |error: &dyn std::fmt::Display| format!("otlp_url: {error}");
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(Sender::new()?)
        .with_protocol(Protocol::HttpJson)
        .with_endpoint(endpoint)
        .with_timeout(PATIENCE)
        .with_headers(config.otlp_headers.clone().into_iter().collect())
        .build()
        .map_err(|error| said(&error))?;
    let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(config.traces_share)));
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let resource = Resource::builder().with_service_name("playhouse").with_attribute(version).build();
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource)
        .with_sampler(sampler)
        .build())
}

/// Sends what goes to a collector. The exporter's thread is none of the server's runtime, so this has its own.
#[derive(Debug)]
struct Sender {
    client: reqwest::Client,
    runtime: tokio::runtime::Runtime,
}

impl Sender {
    fn new() -> Result<Sender, String> {
        let client = language::http_client().timeout(PATIENCE).build().map_err(|error| error.to_string())?;
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).thread_name("traces").enable_all().build();
        Ok(Sender { client, runtime: runtime.map_err(|error| error.to_string())? })
    }
}

#[async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let (parts, body) = request.into_parts();
        let sent = async move {
            let request =
                client.request(parts.method, parts.uri.to_string()).headers(parts.headers).body(body);
            let response = request.send().await?.error_for_status()?;
            let mut answer = Response::new(Bytes::new());
            *answer.status_mut() = response.status();
            *answer.body_mut() = response.bytes().await?;
            Ok::<_, reqwest::Error>(answer)
        };
        Ok(self.runtime.spawn(sent).await??)
    }
}
