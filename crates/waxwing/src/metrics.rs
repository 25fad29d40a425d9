//! The metrics of the process in the format of Prometheus.

use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// Bounds of everything that is measured in seconds: from a fast database call to a slow provider.
const SECONDS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];
/// How often what was measured is moved into its buckets, so that it takes no memory while nobody asks.
const UPKEEP: Duration = Duration::from_secs(5);

/// Starts measuring; from the second call on, gives what is there already.
pub fn start() -> PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    let make = || {
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)
            .expect("there are bounds")
            .build_recorder();
        let handle = recorder.handle();
        // Only a recorder of somebody else could be in the way, and there is none in this program.
        drop(metrics::set_global_recorder(recorder));
        handle
    };
    HANDLE.get_or_init(make).clone()
}

/// Runs for ever.
pub async fn upkeep(handle: PrometheusHandle) {
    let mut often = tokio::time::interval(UPKEEP);
    loop {
        often.tick().await;
        handle.run_upkeep();
    }
}
