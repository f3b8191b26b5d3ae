//! HubSpot's associations (v4): ties between objects, of a type that has an id for each direction.
//!
//! A new tie of the type "primary company" takes the place of the one before. Other ties are added to those that exist.
//! Source: <https://developers.hubspot.com/docs/api-reference/crm-associations-v4/guide>.

use serde_json::{Value, json};

use super::refusals::{call_failure, row_failure};
use super::{list, post};
use crate::api::{CallFailure, Edge, FailureKind, RowFailure, Target, json as body_json};
use crate::http::{HttpRequest, HttpResponse};
use crate::manifest::Association;

/// The request that creates the ties.
pub(super) fn create(target: &Target, association: &Association, edges: &[Edge]) -> HttpRequest {
    let types = json!([{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": association.type_id}]);
    let inputs: Vec<Value> =
        edges.iter().map(|edge| json!({"from": {"id": edge.from}, "to": {"id": edge.to}, "types": types})).collect();
    let url = format!("{}/crm/v4/associations/{}/{}/batch/create", target.base_url, target.object, association.to);
    HttpRequest { url, ..post(target, "", &json!({ "inputs": inputs })) }
}

/// The result of each edge. Errors come with a status of success.
pub(super) fn parse_created(
    target: &Target,
    edges: &[Edge],
    response: &HttpResponse,
) -> Result<Vec<Result<(), RowFailure>>, CallFailure> {
    if !matches!(response.status, 200 | 201 | 207) {
        return Err(call_failure(target, response));
    }
    let body = body_json(response)?;
    let (errors, created) = (list(&body, "errors"), list(&body, "results"));
    Ok(edges.iter().map(|edge| result_of(edge, errors, created)).collect())
}

/// An edge failed if an error names it. An error that names no edge counts for each edge that the results leave out.
fn result_of(edge: &Edge, errors: &[Value], created: &[Value]) -> Result<(), RowFailure> {
    let is_created = created.iter().any(|result| {
        id_of(result.get("fromObjectId")).as_deref() == Some(&edge.from) && id_of(result.get("toObjectId")).as_deref() == Some(&edge.to)
    });
    if errors.is_empty() || is_created {
        return Ok(());
    }
    let names = |error: &&Value| is_named(error, "fromObjectId", &edge.from) && is_named(error, "toObjectId", &edge.to);
    let named = errors.iter().filter(|error| error.pointer("/context/fromObjectId").is_some() || error.pointer("/context/toObjectId").is_some());
    match named.clone().find(names) {
        Some(error) => Err(row_failure(error)),
        None if named.count() == errors.len() => Err(RowFailure::new(FailureKind::Transient, "NOT_MENTIONED", "the response does not mention the association")),
        None => Err(row_failure(&errors[0])),
    }
}

/// True unless the error names other ids at this end of the edge.
fn is_named(error: &Value, end: &str, id: &str) -> bool {
    let ids = error.pointer(&format!("/context/{end}")).and_then(Value::as_array);
    ids.is_none_or(|ids| ids.iter().any(|named| id_of(Some(named)).as_deref() == Some(id)))
}

/// Ids are texts, and numbers in older versions of the API.
fn id_of(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(id) => Some(id.clone()),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    }
}
