//! CloudWatch's alarms: those of a template, evaluated on measurements. Functions give theirs as lines in the embedded metric format;
//! those of AWS itself (`AWS/SQS`, `AWS/Lambda`) are recorded one by one.
//!
//! Known gaps, by name:
//! - The newest period ends at the time of the evaluation, not at a full minute.
//! - Of metric math there are numbers, ids, `+`, `-`, `*` and `/`, from left to right; no functions and no brackets.
//! - Of statistics there are `Sum`, `Maximum`, `Minimum`, `Average` and `SampleCount`; no percentiles, no anomaly detection.
//! - An alarm that has too little data with `TreatMissingData: missing` is not kept in its state, but reported as such.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::template::{Template, TemplateError, Values};

/// What an alarm reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlarmState {
    /// The metric is within its threshold.
    Ok,
    /// It is beyond.
    Alarm,
    /// There is no measurement, and its absence means nothing.
    InsufficientData,
}

/// A metric: namespace, name and dimensions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct MetricKey {
    namespace: String,
    name: String,
    dimensions: BTreeMap<String, String>,
}

/// A metric and the statistic that is taken of each period.
#[derive(Debug, Clone)]
struct Series {
    id: String,
    metric: MetricKey,
    statistic: String,
}

/// An alarm.
#[derive(Debug, Clone)]
pub struct Alarm {
    name: String,
    text: String,
    series: Vec<Series>,
    /// The expression over the ids of the series; without one, the first series counts.
    expression: Option<String>,
    period_ms: i64,
    periods: usize,
    /// Of the periods, how many must be beyond the threshold.
    datapoints: usize,
    threshold: f64,
    comparison: String,
    missing: String,
}

impl Alarm {
    /// Its logical id.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it tells people.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// The alarms of a template, and what was measured.
#[derive(Debug, Clone)]
pub struct Alarms {
    alarms: Vec<Alarm>,
    samples: BTreeMap<MetricKey, Vec<(i64, f64)>>,
}

impl Alarms {
    /// Reads the alarms of a template for a stack of this name.
    ///
    /// # Errors
    /// The template cannot be read, or an alarm has a part that is not supported here.
    pub fn read(template: &str, parameters: &BTreeMap<String, String>, stack_name: &str) -> Result<Alarms, TemplateError> {
        let values = Values { stack_name: stack_name.to_owned(), region: "eu-central-1".to_owned(), ..Values::default() };
        let found = Template::read(template, parameters)?.alarms(&values)?;
        let alarms = found.iter().map(|(name, properties)| alarm(name, properties)).collect::<Result<_, _>>()?;
        Ok(Alarms { alarms, samples: BTreeMap::new() })
    }

    /// The alarms in the order of the template.
    pub fn iter(&self) -> impl Iterator<Item = &Alarm> {
        self.alarms.iter()
    }

    /// Records a measurement of a service.
    pub fn record(&mut self, namespace: &str, name: &str, dimension: (&str, &str), at_ms: i64, value: f64) {
        let dimensions = BTreeMap::from([(dimension.0.to_owned(), dimension.1.to_owned())]);
        let metric = MetricKey { namespace: namespace.to_owned(), name: name.to_owned(), dimensions };
        self.samples.entry(metric).or_default().push((at_ms, value));
    }

    /// Records a line of a function's output in the embedded metric format. Any other line holds no measurement.
    pub fn record_line(&mut self, line: &Value) {
        let at_ms = line["_aws"]["Timestamp"].as_i64().unwrap_or_default();
        for definition in line["_aws"]["CloudWatchMetrics"].as_array().into_iter().flatten() {
            let namespace = definition["Namespace"].as_str().unwrap_or_default();
            let names = definition["Metrics"].as_array().into_iter().flatten().filter_map(|metric| metric["Name"].as_str());
            for (name, set) in
                names.flat_map(|name| definition["Dimensions"].as_array().into_iter().flatten().map(move |set| (name, set)))
            {
                let of =
                    |dimension: &Value| Some((dimension.as_str()?.to_owned(), line[dimension.as_str()?].as_str()?.to_owned()));
                let dimensions = set.as_array().into_iter().flatten().filter_map(of).collect();
                let metric = MetricKey { namespace: namespace.to_owned(), name: name.to_owned(), dimensions };
                let values: Vec<f64> = match &line[name] {
                    Value::Array(all) => all.iter().filter_map(Value::as_f64).collect(),
                    one => one.as_f64().into_iter().collect(),
                };
                self.samples.entry(metric).or_default().extend(values.into_iter().map(|value| (at_ms, value)));
            }
        }
    }

    /// What an alarm reports at this time.
    #[must_use]
    pub fn state(&self, alarm: &Alarm, now_ms: i64) -> AlarmState {
        let values: Vec<Option<f64>> = (0..alarm.periods).map(|ago| self.value(alarm, now_ms - ago_ms(alarm, ago))).collect();
        if values.iter().all(Option::is_none) && alarm.missing == "missing" {
            return AlarmState::InsufficientData;
        }
        let breaches = values.iter().filter(|value| value.map_or(alarm.missing == "breaching", |value| alarm.breaches(value)));
        if breaches.count() >= alarm.datapoints { AlarmState::Alarm } else { AlarmState::Ok }
    }

    /// The value of the period that ends at this time.
    fn value(&self, alarm: &Alarm, end_ms: i64) -> Option<f64> {
        let of = |series: &Series| {
            let samples = self.samples.get(&series.metric)?;
            let within: Vec<f64> = samples
                .iter()
                .filter(|(at, _)| *at > end_ms - alarm.period_ms && *at <= end_ms)
                .map(|(_, value)| *value)
                .collect();
            statistic(&series.statistic, &within)
        };
        match &alarm.expression {
            None => of(alarm.series.first()?),
            Some(expression) => {
                let known: BTreeMap<&str, f64> = alarm.series.iter().filter_map(|s| Some((s.id.as_str(), of(s)?))).collect();
                calculate(expression, &known)
            }
        }
    }
}

fn ago_ms(alarm: &Alarm, periods: usize) -> i64 {
    alarm.period_ms * i64::try_from(periods).unwrap_or(i64::MAX)
}

impl Alarm {
    fn breaches(&self, value: f64) -> bool {
        match self.comparison.as_str() {
            "GreaterThanThreshold" => value > self.threshold,
            "GreaterThanOrEqualToThreshold" => value >= self.threshold,
            "LessThanThreshold" => value < self.threshold,
            _ => value <= self.threshold,
        }
    }
}

fn statistic(name: &str, values: &[f64]) -> Option<f64> {
    let count = values.len() as f64;
    let sum: f64 = values.iter().sum();
    (!values.is_empty()).then(|| match name {
        "Sum" => sum,
        "Maximum" => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        "Minimum" => values.iter().copied().fold(f64::INFINITY, f64::min),
        "Average" => sum / count,
        _ => count,
    })
}

/// The value of an expression; `None` where an id has no value, or by a division by zero.
fn calculate(expression: &str, known: &BTreeMap<&str, f64>) -> Option<f64> {
    let mut words = expression.split_whitespace();
    let operand = |word: &str| word.parse().ok().or_else(|| known.get(word).copied());
    let mut value: f64 = operand(words.next()?)?;
    while let (Some(operator), Some(right)) = (words.next(), words.next()) {
        let right = operand(right)?;
        value = match operator {
            "+" => value + right,
            "-" => value - right,
            "*" => value * right,
            _ => value / right,
        };
    }
    Some(value).filter(|value| value.is_finite())
}

fn alarm(name: &str, properties: &Value) -> Result<Alarm, TemplateError> {
    let malformed = |property| TemplateError::Property { resource: name.to_owned(), property };
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let (series, expression, period) = match properties["Metrics"].as_array() {
        None => (
            vec![series("", properties, &properties["Statistic"]).ok_or_else(|| malformed("MetricName"))?],
            None,
            number(&properties["Period"]),
        ),
        Some(queries) => {
            let expression = queries.iter().find_map(|query| text(&query["Expression"])).ok_or_else(|| malformed("Metrics"))?;
            let stats = queries.iter().filter(|query| query["MetricStat"].is_object());
            let of = |query: &Value| {
                let stat = &query["MetricStat"];
                series(query["Id"].as_str().unwrap_or_default(), &stat["Metric"], &stat["Stat"])
                    .ok_or_else(|| malformed("MetricStat"))
            };
            let period = queries.iter().find_map(|query| number(&query["MetricStat"]["Period"]));
            (stats.map(of).collect::<Result<_, _>>()?, Some(expression), period)
        }
    };
    let count = |property: &'static str| number(&properties[property]).map(|n| n as usize);
    let periods = count("EvaluationPeriods").ok_or_else(|| malformed("EvaluationPeriods"))?;
    Ok(Alarm {
        name: name.to_owned(),
        text: text(&properties["AlarmDescription"]).unwrap_or_default(),
        series,
        expression,
        period_ms: (period.ok_or_else(|| malformed("Period"))? * 1_000.0) as i64,
        periods,
        datapoints: count("DatapointsToAlarm").unwrap_or(periods),
        threshold: number(&properties["Threshold"]).ok_or_else(|| malformed("Threshold"))?,
        comparison: text(&properties["ComparisonOperator"]).ok_or_else(|| malformed("ComparisonOperator"))?,
        missing: text(&properties["TreatMissingData"]).unwrap_or_else(|| "missing".to_owned()),
    })
}

fn series(id: &str, metric: &Value, statistic: &Value) -> Option<Series> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let dimensions = metric["Dimensions"].as_array().into_iter().flatten();
    let dimensions = dimensions.map(|d| Some((text(&d["Name"])?, text(&d["Value"])?))).collect::<Option<_>>()?;
    let metric = MetricKey { namespace: text(&metric["Namespace"])?, name: text(&metric["MetricName"])?, dimensions };
    Some(Series { id: id.to_owned(), metric, statistic: text(statistic)? })
}

/// A number, or a text that is one, as parameters are.
fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn alarms(properties: &Value) -> Alarms {
        Alarms { alarms: vec![alarm("A", properties).unwrap()], samples: BTreeMap::new() }
    }

    #[test]
    fn a_rate_is_calculated_of_two_metrics_and_no_work_is_no_rate() {
        let metric = |id: &str| {
            json!({"Id": id, "ReturnData": false, "MetricStat": {"Period": 900, "Stat": "Sum", "Metric":
                {"Namespace": "n", "MetricName": id, "Dimensions": [{"Name": "connection", "Value": "x"}]}}})
        };
        let mut alarms = alarms(&json!({
            "Metrics": [{"Id": "rate", "Expression": "100 * failed / handled"}, metric("failed"), metric("handled")],
            "EvaluationPeriods": 1, "Threshold": "0.5", "ComparisonOperator": "GreaterThanThreshold", "TreatMissingData": "notBreaching",
        }));
        let alarm = alarms.alarms[0].clone();
        assert_eq!(alarms.state(&alarm, 1_000), AlarmState::Ok, "nothing was measured");
        alarms.record("n", "handled", ("connection", "x"), 1_000, 200.0);
        alarms.record("n", "failed", ("connection", "x"), 1_000, 1.0);
        assert_eq!(alarms.state(&alarm, 1_000), AlarmState::Ok, "half a percent is not more than half a percent");
        alarms.record("n", "failed", ("connection", "x"), 2_000, 1.0);
        assert_eq!(alarms.state(&alarm, 2_000), AlarmState::Alarm);
        assert_eq!(alarms.state(&alarm, 1_000_000), AlarmState::Ok, "a quarter of an hour later");
    }

    #[test]
    fn missing_data_counts_as_the_alarm_states() {
        let of = |missing: &str| {
            json!({"Namespace": "n", "MetricName": "m", "Statistic": "Sum", "Period": 60, "EvaluationPeriods": 2, "Threshold": 1,
                   "ComparisonOperator": "LessThanThreshold", "TreatMissingData": missing})
        };
        let state = |missing: &str| {
            let alarms = alarms(&of(missing));
            alarms.state(&alarms.alarms[0], 0)
        };
        assert_eq!(state("breaching"), AlarmState::Alarm);
        assert_eq!(state("notBreaching"), AlarmState::Ok);
        assert_eq!(state("missing"), AlarmState::InsufficientData);
        let mut alarms = alarms(&of("breaching"));
        let line = json!({"_aws": {"Timestamp": 30_000, "CloudWatchMetrics": [{"Namespace": "n", "Dimensions": [[]], "Metrics": [{"Name": "m"}]}]}, "m": [1.0, 2.0]});
        alarms.record_line(&line);
        assert_eq!(alarms.state(&alarms.alarms[0], 60_000), AlarmState::Ok, "one of two periods has what is wanted");
        assert_eq!(alarms.state(&alarms.alarms[0], 200_000), AlarmState::Alarm, "it is too long ago");
    }
}
