//! Logs as JSON lines, and metrics in CloudWatch's embedded metric format, both on standard output.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use sync::batch::{Metric, Subject};
use tracing_subscriber::EnvFilter;

/// The beginning of the namespace of every metric; the environment follows, so that two stacks of one account stay apart.
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

/// Measurements as lines in the embedded metric format, one for each subject and name.
pub fn metric_lines(environment: &str, function: &str, now_ms: i64, metrics: &[Metric]) -> Vec<Value> {
    let mut grouped: BTreeMap<(&Subject, &str, &str), Vec<f64>> = BTreeMap::new();
    for metric in metrics {
        grouped.entry((&metric.subject, metric.name, metric.unit)).or_default().push(metric.value);
    }
    let namespace = format!("{NAMESPACE}/{environment}");
    let line = |((subject, name, unit), values): ((&Subject, &str, &str), Vec<f64>)| {
        let dimensions = dimensions(subject, function);
        let definition = json!({
            "Timestamp": now_ms,
            "CloudWatchMetrics": [{
                "Namespace": namespace,
                "Dimensions": [dimensions.keys().collect::<Vec<_>>()],
                "Metrics": [{ "Name": name, "Unit": unit }],
            }],
        });
        let mut line = Map::new();
        line.insert("_aws".into(), definition);
        line.extend(dimensions.into_iter().map(|(name, value)| (name.to_owned(), json!(value))));
        line.insert(name.into(), if unit == "Count" { json!(values.iter().sum::<f64>()) } else { json!(values) });
        Value::Object(line)
    };
    grouped.into_iter().map(line).collect()
}

fn dimensions<'s>(subject: &'s Subject, function: &'s str) -> BTreeMap<&'static str, &'s str> {
    match subject {
        Subject::ConnectionInFunction(connection) => BTreeMap::from([("function", function), ("connection", connection)]),
        Subject::Connection(connection) => BTreeMap::from([("connection", connection.as_str())]),
        Subject::Job(job) => BTreeMap::from([("job", *job)]),
    }
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
        let lines = metric_lines("prod", "transform", 5, &metrics);
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["webhook_to_write"], json!([7.0, 9.0]));
        assert_eq!(lines[1]["applied"], json!(2.0));
        assert_eq!(lines[1]["_aws"]["CloudWatchMetrics"][0]["Metrics"][0]["Name"], "applied");
    }

    #[test]
    fn a_metric_has_the_dimensions_of_its_subject() {
        let metrics = [
            Metric::count("applied", 1.0, "stripe"),
            Metric::of_connection("paused", 1.0, "hubspot"),
            Metric::of_job("finished", 1.0, "sweep"),
        ];
        let lines = metric_lines("prod", "transform", 5, &metrics);
        let dimensions: Vec<&Value> = lines.iter().map(|line| &line["_aws"]["CloudWatchMetrics"][0]["Dimensions"][0]).collect();
        assert_eq!(dimensions, [&json!(["connection", "function"]), &json!(["connection"]), &json!(["job"])]);
        assert_eq!((&lines[1]["connection"], &lines[1]["function"]), (&json!("hubspot"), &Value::Null));
        assert_eq!(lines[2]["_aws"]["CloudWatchMetrics"][0]["Namespace"], "crm-hub/prod");
    }
}
