//! Logs as JSON lines, and metrics in CloudWatch's embedded metric format, both on standard output.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use sync::batch::Metric;
use tracing_subscriber::EnvFilter;

/// The namespace of every metric.
const NAMESPACE: &str = "crm-hub";

/// Starts logging at a level. Log lines hold no secret and no personal data, because the hub never logs a value of a record.
pub fn start_logging(level: &str) {
    let filter = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_env_filter(filter)
        .with_target(false)
        .with_current_span(false)
        .init();
}

/// Writes measurements, one line per connection and name.
pub fn emit(function: &str, now_ms: i64, metrics: &[Metric]) {
    for line in lines(function, now_ms, metrics) {
        println!("{line}");
    }
}

fn lines(function: &str, now_ms: i64, metrics: &[Metric]) -> Vec<Value> {
    let mut grouped: BTreeMap<(&str, &str, &str), Vec<f64>> = BTreeMap::new();
    for metric in metrics {
        grouped.entry((&metric.connection, metric.name, metric.unit)).or_default().push(metric.value);
    }
    grouped
        .into_iter()
        .map(|((connection, name, unit), values)| {
            let value = if unit == "Count" { json!(values.iter().sum::<f64>()) } else { json!(values) };
            let definition = json!({
                "Timestamp": now_ms,
                "CloudWatchMetrics": [{
                    "Namespace": NAMESPACE,
                    "Dimensions": [["function", "connection"]],
                    "Metrics": [{ "Name": name, "Unit": unit }],
                }],
            });
            let mut line = Map::new();
            line.insert("_aws".into(), definition);
            line.insert("function".into(), json!(function));
            line.insert("connection".into(), json!(connection));
            line.insert(name.into(), value);
            Value::Object(line)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_summed_and_durations_are_not() {
        let metrics = [
            Metric::count("applied", 1.0, "stripe"),
            Metric::count("applied", 1.0, "stripe"),
            Metric::milliseconds("webhook_to_write", 7.0, "hubspot"),
            Metric::milliseconds("webhook_to_write", 9.0, "hubspot"),
        ];
        let lines = lines("transform", 5, &metrics);
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["webhook_to_write"], json!([7.0, 9.0]));
        assert_eq!(lines[1]["applied"], json!(2.0));
        assert_eq!(lines[1]["_aws"]["CloudWatchMetrics"][0]["Metrics"][0]["Name"], "applied");
    }
}
