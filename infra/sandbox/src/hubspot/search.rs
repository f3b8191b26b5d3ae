//! Searches over an index that lags behind the records.

use serde_json::{Value, json};

use super::objects::{View, object_json, shown};
use super::{HubSpot, catalogue};
use crate::schema::Kind;
use crate::state::Record;
use crate::{Request, Response, time};

/// As many results as all pages of one query can show.
const CAP: usize = 10_000;
const PAGE: usize = 200;

struct Query {
    groups: Vec<Vec<Filter>>,
    words: Option<String>,
    sort: Option<(String, bool)>,
    limit: usize,
    after: usize,
}

struct Filter {
    property: String,
    operator: String,
    value: Option<String>,
    high: Option<String>,
    values: Vec<String>,
}

/// A value as the index orders it.
#[derive(PartialEq, PartialOrd)]
enum Indexed {
    Number(f64),
    Text(String),
}

impl HubSpot {
    pub(super) fn search(&mut self, request: &Request, object: &'static str, now_ms: i64) -> Response {
        let Some(body) = request.json().filter(Value::is_object) else { return self.bad_body() };
        let query = match self.query(object, &body) {
            Ok(query) => query,
            Err(message) => return self.error(400, "VALIDATION_ERROR", &message),
        };
        let as_of = now_ms - self.options.search_lag_ms;
        let seen = |r: &&Record| r.live() && r.created_ms <= as_of;
        let mut hits: Vec<&Record> =
            self.engine.records(object).filter(seen).filter(|r| self.matches(object, r, &query, as_of)).collect();
        hits.sort_by(|a, b| {
            let (name, ascending) = query.sort.as_ref().map_or(("createdate", true), |(n, up)| (n.as_str(), *up));
            let key = |r: &Record| self.indexed(object, name, &text_of(&shown(r, name, as_of)));
            let order = key(a).partial_cmp(&key(b)).unwrap_or(std::cmp::Ordering::Equal);
            if ascending { order } else { order.reverse() }
        });
        let total = hits.len();
        let view = View { as_of: Some(as_of), ..View::of_body(&body) };
        let page: Vec<Value> =
            hits.into_iter().skip(query.after).take(query.limit).map(|r| object_json(object, r, &view)).collect();
        let next = query.after + page.len();
        let mut answer = json!({"total": total, "results": page});
        if next < total {
            answer["paging"] = json!({"next": {"after": next.to_string()}});
        }
        Response::json(200, &answer)
    }

    fn query(&self, object: &str, body: &Value) -> Result<Query, String> {
        let list = |v: &Value, name: &str| v.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
        let number = |name: &str| match body.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => text.parse().map(Some).map_err(|_| format!("{name} is not a number")),
            Some(other) => {
                other.as_u64().map(|n| Some(usize::try_from(n).unwrap_or(usize::MAX))).ok_or(format!("{name} is not a number"))
            }
        };
        let groups = list(body, "filterGroups");
        let mut parsed = Vec::new();
        for group in &groups {
            let filters = list(group, "filters").iter().map(|f| self.filter(object, f)).collect::<Result<Vec<_>, _>>()?;
            parsed.push(filters);
        }
        let all: usize = parsed.iter().map(Vec::len).sum();
        if parsed.len() > 5 || parsed.iter().any(|g| g.len() > 6 || g.is_empty()) || all > 18 {
            return Err("there may be 5 filterGroups of 1 to 6 filters, and 18 filters in all".to_owned());
        }
        let (limit, after) = (number("limit")?.unwrap_or(10), number("after")?.unwrap_or(0));
        if limit == 0 || limit > PAGE {
            return Err(format!("limit must be between 1 and {PAGE}"));
        }
        if after + limit > CAP {
            return Err(format!("a query shows {CAP} results at most"));
        }
        let sorts = list(body, "sorts");
        if sorts.len() > 1 {
            return Err("there may be one sort".to_owned());
        }
        let sort = sorts.first().map(|sort| match sort {
            Value::String(name) => (name.trim_start_matches('-').to_owned(), !name.starts_with('-')),
            other => (text_of(&other["propertyName"]), other["direction"] != json!("DESCENDING")),
        });
        Ok(Query { groups: parsed, words: body.get("query").and_then(Value::as_str).map(str::to_lowercase), sort, limit, after })
    }

    fn filter(&self, object: &str, filter: &Value) -> Result<Filter, String> {
        let text = |name: &str| filter.get(name).filter(|v| !v.is_null()).map(text_of);
        let property = text("propertyName").ok_or("a filter needs a propertyName")?;
        let operator = text("operator").ok_or("a filter needs an operator")?;
        let values: Vec<String> = filter.get("values").and_then(Value::as_array).into_iter().flatten().map(text_of).collect();
        let known = is_system(&property) || self.engine.schema.get(object).is_some_and(|s| s.properties.contains_key(&property));
        if !known {
            return Err(format!("Property {property} does not exist"));
        }
        let complete = match operator.as_str() {
            "EQ" | "NEQ" | "LT" | "LTE" | "GT" | "GTE" | "CONTAINS_TOKEN" | "NOT_CONTAINS_TOKEN" => text("value").is_some(),
            "BETWEEN" => text("value").is_some() && text("highValue").is_some(),
            "IN" | "NOT_IN" => !values.is_empty() && values.len() <= 100,
            "HAS_PROPERTY" | "NOT_HAS_PROPERTY" => true,
            _ => return Err(format!("unknown operator {operator}")),
        };
        if !complete {
            return Err(format!("the operator {operator} lacks its value"));
        }
        Ok(Filter { property, operator, value: text("value"), high: text("highValue"), values })
    }

    fn matches(&self, object: &str, record: &Record, query: &Query, as_of: i64) -> bool {
        let words = query.words.as_ref().is_none_or(|words| {
            let searched = catalogue::default_properties(object).iter().map(|n| text_of(&shown(record, n, as_of)).to_lowercase());
            searched.into_iter().any(|text| text.contains(words.as_str()))
        });
        let group = |filters: &Vec<Filter>| filters.iter().all(|f| self.passes(object, record, f, as_of));
        words && (query.groups.is_empty() || query.groups.iter().any(group))
    }

    fn passes(&self, object: &str, record: &Record, filter: &Filter, as_of: i64) -> bool {
        let stored = shown(record, &filter.property, as_of);
        let present = !stored.is_null();
        let held = self.indexed(object, &filter.property, &text_of(&stored));
        let given = |text: &Option<String>| self.indexed(object, &filter.property, text.as_deref().unwrap_or_default());
        // A list is compared as it is: the index holds lower case.
        let listed = || filter.values.iter().any(|v| self.listed(object, &filter.property, v) == held);
        let token = || {
            text_of(&stored)
                .to_lowercase()
                .contains(filter.value.as_deref().unwrap_or_default().trim_matches('*').to_lowercase().as_str())
        };
        match filter.operator.as_str() {
            "HAS_PROPERTY" => present,
            "NOT_HAS_PROPERTY" => !present,
            "NEQ" => !present || held != given(&filter.value),
            "NOT_IN" => !present || !listed(),
            "NOT_CONTAINS_TOKEN" => !present || !token(),
            _ if !present => false,
            "EQ" => held == given(&filter.value),
            "LT" => held < given(&filter.value),
            "LTE" => held <= given(&filter.value),
            "GT" => held > given(&filter.value),
            "GTE" => held >= given(&filter.value),
            "BETWEEN" => held >= given(&filter.value) && held <= given(&filter.high),
            "IN" => listed(),
            _ => token(),
        }
    }

    fn kind(&self, object: &str, property: &str) -> Kind {
        match property {
            "hs_object_id" => Kind::Number,
            _ if is_system(property) => Kind::Datetime,
            _ => self.engine.schema.get(object).and_then(|s| s.properties.get(property)).map_or(Kind::Text, |p| p.kind.clone()),
        }
    }

    fn indexed(&self, object: &str, property: &str, text: &str) -> Indexed {
        self.listed(object, property, &text.to_lowercase())
    }

    fn listed(&self, object: &str, property: &str, text: &str) -> Indexed {
        let number = match self.kind(object, property) {
            Kind::Number => text.parse().ok(),
            #[allow(clippy::cast_precision_loss, reason = "instants in milliseconds fit")]
            Kind::Date | Kind::Datetime => {
                text.parse::<i64>().ok().or_else(|| time::parse_instant(&text.to_uppercase())).map(|ms| ms as f64)
            }
            _ => None,
        };
        number.map_or_else(|| Indexed::Text(text.to_owned()), Indexed::Number)
    }
}

fn is_system(property: &str) -> bool {
    matches!(property, "hs_object_id" | "createdate" | "lastmodifieddate" | "hs_lastmodifieddate")
}

fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}
