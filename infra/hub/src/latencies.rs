//! How long it takes from a webhook to a CRM write, as the running functions measure it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use local::{Event, Observer};
use serde_json::Value;

use crate::text::table;

/// Milliseconds from webhook to CRM write, by destination.
#[derive(Clone, Default)]
pub struct Latencies(Arc<Mutex<BTreeMap<String, Vec<f64>>>>);

impl Latencies {
    /// Collects what `upsert` measures.
    pub fn observer(&self) -> Observer {
        let latencies = self.clone();
        Arc::new(move |event| {
            let Event::Line { text, .. } = event else { return };
            if !text.contains("\"webhook_to_write\":[") {
                return;
            }
            let line: Value = serde_json::from_str(text).unwrap_or_default();
            let values = line["webhook_to_write"].as_array().into_iter().flatten().filter_map(Value::as_f64);
            let destination = line["connection"].as_str().unwrap_or_default().to_owned();
            latencies.0.lock().unwrap_or_else(PoisonError::into_inner).entry(destination).or_default().extend(values);
        })
    }

    /// What was measured since the last call.
    pub fn take(&self) -> BTreeMap<String, Vec<f64>> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The value that so many of a hundred do not exceed; `None` without a value.
pub fn percentile(values: &[f64], percent: usize) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1))).copied()
}

/// The latencies as a table.
pub fn latency_table(latencies: &BTreeMap<String, Vec<f64>>) -> String {
    let mut rows = vec![["CRM", "writes", "p50 ms", "p99 ms"].map(str::to_owned).to_vec()];
    for (name, values) in latencies {
        let show = |percent| percentile(values, percent).map_or_else(String::new, |ms| format!("{ms:.0}"));
        rows.push(vec![name.clone(), values.len().to_string(), show(50), show(99)]);
    }
    table(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let values: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        assert_eq!(
            (percentile(&values, 50), percentile(&values, 99), percentile(&values, 100)),
            (Some(101.0), Some(199.0), Some(200.0))
        );
        assert_eq!((percentile(&[7.0], 99), percentile(&[], 50)), (Some(7.0), None));
    }

    #[test]
    fn only_measurements_of_writes_are_collected() {
        let latencies = Latencies::default();
        let observer = latencies.observer();
        for text in
            [r#"{"connection":"hubspot","webhook_to_write":[5.0,7.5]}"#, r#"{"connection":"stripe","applied":1}"#, "no JSON"]
        {
            observer(&Event::Line { function: "upsert".to_owned(), instance: 1, text: text.to_owned() });
        }
        assert_eq!(latencies.take(), BTreeMap::from([("hubspot".to_owned(), vec![5.0, 7.5])]));
        assert!(latencies.take().is_empty());
    }
}
