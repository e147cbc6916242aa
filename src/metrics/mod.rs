//! Figures for Prometheus.
//!
//! What happens by the request is counted here as it happens ([`Metrics`]); what actors, store and queue know of
//! themselves is asked for with each look at the page (`gather`). `page` writes both.

pub(crate) mod gather;
mod page;
pub(crate) mod route;
pub(crate) mod serve;

use std::borrow::Cow;
use std::time::{Duration, Instant};

use axum::http::{Method, StatusCode};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

/// Bounds of the times of requests, in seconds.
const SECONDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0, 120.0];

/// Which request it was.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: Cow<'static, str>,
    status: u16,
}

/// Which backup it was.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ResultLabels {
    result: &'static str,
}

/// What is counted as it happens.
#[derive(Debug)]
pub struct Metrics {
    requests: Family<RequestLabels, Histogram, fn() -> Histogram>,
    in_flight: Gauge,
    connections: Gauge,
    refused: Counter,
    mails: Family<ResultLabels, Counter>,
    backups: Family<ResultLabels, Counter>,
    last_backup: Gauge,
    started: Instant,
}

impl Default for Metrics {
    fn default() -> Metrics {
        let histogram: fn() -> Histogram = || Histogram::new(SECONDS);
        Metrics {
            requests: Family::new_with_constructor(histogram),
            in_flight: Gauge::default(),
            connections: Gauge::default(),
            refused: Counter::default(),
            mails: Family::default(),
            backups: Family::default(),
            last_backup: Gauge::default(),
            started: Instant::now(),
        }
    }
}

/// Something that is under way; it is not any more when this is dropped.
#[derive(Debug)]
pub(crate) struct UnderWay(Gauge);

impl UnderWay {
    fn new(gauge: &Gauge) -> UnderWay {
        gauge.inc();
        UnderWay(gauge.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    /// Counts a request for as long as its answer is made.
    pub(crate) fn request(&self) -> UnderWay {
        UnderWay::new(&self.in_flight)
    }

    /// Counts a connection for as long as it is open.
    pub(crate) fn connection(&self) -> UnderWay {
        UnderWay::new(&self.connections)
    }

    /// Notes an answer: how long it took until its head was there.
    pub(crate) fn answered(
        &self,
        method: &Method,
        route: Cow<'static, str>,
        status: StatusCode,
        took: Duration,
    ) {
        // A client may invent methods.
        let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
        let method = known.into_iter().find(|known| *known == method.as_str()).unwrap_or("other");
        let labels = RequestLabels { method, route, status: status.as_u16() };
        self.requests.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// Notes a request beyond what its address or account may ask.
    pub(crate) fn refused(&self) {
        self.refused.inc();
    }

    /// Notes what came of a mail.
    pub(crate) fn mail(&self, was_sent: bool) {
        let result = if was_sent { "sent" } else { "failed" };
        self.mails.get_or_create(&ResultLabels { result }).inc();
    }

    /// Notes what came of a backup that was due.
    pub(crate) fn backup(&self, was_written: bool) {
        let result = if was_written { "written" } else { "failed" };
        self.backups.get_or_create(&ResultLabels { result }).inc();
        if was_written {
            self.last_backup.set(chrono::Utc::now().timestamp());
        }
    }
}
