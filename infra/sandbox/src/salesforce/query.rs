//! SOQL queries and their pages.

use std::cmp::Ordering;

use serde_json::{Map, Value, json};

use super::records::{attributes, field};
use super::soql::{Condition, Literal, Soql, parse};
use super::{Salesforce, errors};
use crate::schema::Kind;
use crate::state::{Cursor, Record};
use crate::{Request, Response, time};

/// How many queries of one user may be open at once. When one more is opened, the oldest is closed.
const OPEN: usize = 10;

impl Salesforce {
    pub(super) fn query_call(&mut self, request: &Request, version: &str, deleted_too: bool) -> Response {
        let Some(text) = request.param("q") else { return errors(400, "MALFORMED_QUERY", "q is missing", None) };
        let result = parse(text).map_err(|message| ("MALFORMED_QUERY", message)).and_then(|soql| self.checked(soql));
        let soql = match result {
            Ok(soql) => soql,
            Err((code, message)) => return errors(400, code, &message, None),
        };
        let passes = |r: &&Record| (deleted_too || r.live()) && soql.conditions.iter().all(|c| self.passes(&soql.object, r, c));
        let mut hits: Vec<&Record> = self.engine.records(&soql.object).filter(passes).collect();
        hits.sort_by(|a, b| {
            let by = |(name, up): &(String, bool)| {
                let order = self.compare(&soql.object, name, &field(a, name), &field(b, name));
                if *up { order } else { order.reverse() }
            };
            soql.order.iter().map(by).find(|o| o.is_ne()).unwrap_or_else(|| a.id.cmp(&b.id))
        });
        let ids: Vec<String> = hits.iter().take(soql.limit.unwrap_or(usize::MAX)).map(|r| r.id.clone()).collect();
        let cursor = Cursor { object: soql.object, fields: soql.fields, ids };
        self.page(version, cursor, 0, None)
    }

    pub(super) fn query_more(&mut self, version: &str, locator: &str) -> Response {
        let position = locator.split_once('-').and_then(|(name, from)| Some((name, from.parse::<usize>().ok()?)));
        let cursor = position.and_then(|(name, _)| self.engine.state.cursors.get(name).cloned());
        match (cursor, position) {
            (Some(cursor), Some((name, from))) if from < cursor.ids.len() => self.page(version, cursor, from, Some(name)),
            _ => errors(400, "INVALID_QUERY_LOCATOR", "invalid query locator", None),
        }
    }

    fn page(&mut self, version: &str, cursor: Cursor, from: usize, name: Option<&str>) -> Response {
        let rows: Vec<Value> = cursor
            .ids
            .iter()
            .skip(from)
            .take(self.options.page)
            .filter_map(|id| self.engine.record(&cursor.object, id))
            .map(|r| row(&cursor, version, r))
            .collect();
        let (total, next) = (cursor.ids.len(), from + self.options.page);
        let mut body = json!({"totalSize": total, "done": next >= total, "records": rows});
        if next < total {
            let name = name.map_or_else(|| self.open(cursor), str::to_owned);
            body["nextRecordsUrl"] = json!(format!("/services/data/{version}/query/{name}-{next}"));
        }
        Response::json(200, &body)
    }

    fn open(&mut self, cursor: Cursor) -> String {
        let name = format!("01g{:012}", self.engine.issue());
        self.engine.state.cursors.insert(name.clone(), cursor);
        while self.engine.state.cursors.len() > OPEN {
            self.engine.state.cursors.pop_first();
        }
        name
    }

    /// The query with the names of the object and the fields as the schema spells them.
    fn checked(&self, mut soql: Soql) -> Result<Soql, (&'static str, String)> {
        let object = self
            .object(&soql.object)
            .ok_or_else(|| ("INVALID_TYPE", format!("sObject type '{}' is not supported.", soql.object)))?;
        let known = |name: &str| {
            let missing = || ("INVALID_FIELD", format!("No such column '{name}' on entity '{object}'."));
            self.field_name(&object, name).ok_or_else(missing)
        };
        for name in &mut soql.fields {
            *name = known(name)?;
        }
        for (name, _) in &mut soql.order {
            *name = known(name)?;
        }
        for condition in &mut soql.conditions {
            condition.field = known(&condition.field)?;
            let kind = self.kind(&object, &condition.field);
            if !condition.values.iter().all(|v| fits(&kind, v)) {
                let message = format!("value of filter criterion for field '{}' must be of type {kind:?}", condition.field);
                return Err(("INVALID_FIELD", message));
            }
        }
        soql.object = object;
        Ok(soql)
    }

    fn kind(&self, object: &str, name: &str) -> Kind {
        self.engine.schema.get(object).and_then(|s| s.properties.get(name)).map_or(Kind::Text, |p| p.kind.clone())
    }

    fn passes(&self, object: &str, record: &Record, condition: &Condition) -> bool {
        let held = field(record, &condition.field);
        let order = |literal: &Literal| self.compare(object, &condition.field, &held, &value_of(literal));
        let Some(first) = condition.values.first() else { return false };
        let comparable = !held.is_null() && *first != Literal::Null;
        match condition.operator.as_str() {
            "IN" => condition.values.iter().any(|v| order(v).is_eq()),
            "=" => order(first).is_eq(),
            "!=" => order(first).is_ne(),
            "<" => comparable && order(first).is_lt(),
            "<=" => comparable && order(first).is_le(),
            ">" => comparable && order(first).is_gt(),
            _ => comparable && order(first).is_ge(),
        }
    }

    /// Texts are compared without regard to case, and ids with it. A missing value comes before every other value.
    fn compare(&self, object: &str, name: &str, a: &Value, b: &Value) -> Ordering {
        let text = |v: &Value| v.as_str().map(str::to_owned).unwrap_or_else(|| v.to_string());
        match (a.is_null(), b.is_null()) {
            (true, true) => return Ordering::Equal,
            (true, false) => return Ordering::Less,
            (false, true) => return Ordering::Greater,
            (false, false) => {}
        }
        match self.kind(object, name) {
            Kind::Number => number(a).partial_cmp(&number(b)).unwrap_or(Ordering::Equal),
            Kind::Datetime | Kind::Date => time::parse_instant(&text(a)).cmp(&time::parse_instant(&text(b))),
            Kind::Reference { .. } => text(a).cmp(&text(b)),
            _ if name == "Id" => text(a).cmp(&text(b)),
            _ => text(a).to_lowercase().cmp(&text(b).to_lowercase()),
        }
    }
}

fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.parse().ok())
}

fn fits(kind: &Kind, literal: &Literal) -> bool {
    match (kind, literal) {
        (_, Literal::Null) => true,
        (Kind::Number, Literal::Bare(text)) => text.parse::<f64>().is_ok(),
        (Kind::Datetime, Literal::Bare(text)) => text.contains('T') && time::parse_instant(text).is_some(),
        (Kind::Date, Literal::Bare(text)) => time::is_date(text),
        (Kind::Bool, Literal::Bool(_)) => true,
        (Kind::Number | Kind::Datetime | Kind::Date | Kind::Bool, _) => false,
        (_, literal) => matches!(literal, Literal::Text(_)),
    }
}

fn value_of(literal: &Literal) -> Value {
    match literal {
        Literal::Text(text) | Literal::Bare(text) => json!(text),
        Literal::Bool(value) => json!(value),
        Literal::Null => Value::Null,
    }
}

fn row(cursor: &Cursor, version: &str, record: &Record) -> Value {
    let mut out = Map::new();
    out.insert("attributes".to_owned(), attributes(&cursor.object, version, &record.id));
    out.extend(cursor.fields.iter().map(|name| (name.clone(), field(record, name))));
    Value::Object(out)
}
