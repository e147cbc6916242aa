//! The page that Prometheus reads, in OpenMetrics' text.

use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::Registry;
use store::times::Spread;

use super::Metrics;

/// Names and values that tell one figure from others of the same name.
pub(super) type Labels = Vec<(&'static str, String)>;

/// A page that is being written.
#[derive(Default)]
pub(super) struct Page(Registry);

impl Page {
    /// A page with what was counted as it happened.
    pub fn of(metrics: &Metrics) -> Page {
        let mut page = Page::default();
        let add = &mut page.0;
        let requests = "Time from the head of a request to that of its answer, by route, method and status";
        add.register("playhouse_http_request_seconds", requests, metrics.requests.clone());
        add.register(
            "playhouse_http_requests_in_flight",
            "Requests being answered",
            metrics.in_flight.clone(),
        );
        add.register("playhouse_connections", "Open connections", metrics.connections.clone());
        let refused = "Requests beyond what one address or account may make";
        add.register("playhouse_requests_refused", refused, metrics.refused.clone());
        let mails = "Mails that were handed to the mail server, or could not be";
        add.register("playhouse_mails", mails, metrics.mails.clone());
        add.register("playhouse_backups", "Backups that were due", metrics.backups.clone());
        let last =
            "When the last scheduled backup was written, in seconds since 1970; 0 for none since the start";
        add.register("playhouse_last_backup_timestamp_seconds", last, metrics.last_backup.clone());
        let uptime = metrics.started.elapsed().as_secs_f64();
        page.gauge("playhouse_uptime_seconds", "Time since the start", [(Labels::new(), uptime)]);
        page
    }

    /// Adds a figure that goes up and down.
    pub fn gauge(&mut self, name: &str, help: &str, samples: impl IntoIterator<Item = (Labels, f64)>) {
        let family = Family::<Labels, Gauge<f64, AtomicU64>>::default();
        for (labels, value) in samples {
            family.get_or_create(&labels).set(value);
        }
        self.0.register(name, help, family);
    }

    /// Adds a figure that only goes up; its name gets `_total`.
    pub fn counter(&mut self, name: &str, help: &str, samples: impl IntoIterator<Item = (Labels, f64)>) {
        let family = Family::<Labels, Counter<f64, AtomicU64>>::default();
        for (labels, value) in samples {
            family.get_or_create(&labels).inc_by(value);
        }
        self.0.register(name, help, family);
    }

    /// Adds how long something took, each time.
    pub fn histogram(&mut self, name: &str, help: &str, samples: impl IntoIterator<Item = (Labels, Spread)>) {
        let family = Family::<Labels, Sampled>::default();
        for (labels, spread) in samples {
            let _ = family.get_or_create(&labels).0.set(spread);
        }
        self.0.register(name, help, family);
    }

    /// The text.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.0)?;
        Ok(text)
    }
}

/// A histogram that was counted by others.
#[derive(Clone, Debug, Default)]
struct Sampled(OnceLock<Spread>);

impl TypedMetric for Sampled {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Sampled {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        let Some(spread) = self.0.get() else { return Ok(()) };
        let bound = |bound: &Option<Duration>| bound.map_or(f64::INFINITY, |bound| bound.as_secs_f64());
        let buckets: Vec<(f64, u64)> =
            spread.buckets.iter().map(|(above, count)| (bound(above), *count)).collect();
        encoder.encode_histogram::<NoLabelSet>(spread.sum.as_secs_f64(), spread.count(), &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}
