//! Requests under `/_sandbox/`, with which people and tests act in a stand-in.

use serde_json::{Map, Value, json};

use crate::{Fault, Refused, Request, Response, Sandbox, TokenEndpoint};

/// Answers requests under `/_sandbox/`, with which a test or a person acts in a stand-in; `None` for every other path.
///
/// `GET dump`, `comparable?ignore=a,b`, `stats`, `save`; `POST` with a JSON object: `reset`, `seed`, `create`, `edit`, `delete`,
/// `merge`, `lock` (`object`, `id`, `properties`, `other`, `until_ms` as they apply), `fault` (a [`Fault`]), `clear-faults`,
/// `allow-token` and `revoke-token` (`token`, `until_ms`), `connect` (a person agrees; gives a pair of tokens), `revoke-grants`,
/// `expire-tokens`, `restore` (what `save` gave).
pub fn control(sandbox: &mut dyn Sandbox, request: &Request, now_ms: i64) -> Option<Response> {
    let name = request.path.strip_prefix("/_sandbox/")?;
    // A web page that a person has open must not act here.
    if request.header("origin").is_some() {
        return Some(Response::json(403, &json!({"error": "not from a browser"})));
    }
    Some(match request.method.as_str() {
        "GET" => view(sandbox, name, request),
        "POST" => {
            let body = if request.body.is_empty() { Some(json!({})) } else { request.json() };
            let acted =
                body.ok_or_else(|| Refused("the body is not JSON".to_owned())).and_then(|body| act(sandbox, name, &body, now_ms));
            match acted {
                Ok(answer) => Response::json(200, &answer),
                Err(refused) => Response::json(400, &json!({"error": refused.to_string()})),
            }
        }
        _ => Response::json(405, &json!({"error": "GET or POST"})),
    })
}

fn view(sandbox: &dyn Sandbox, name: &str, request: &Request) -> Response {
    let ignored = request.params("ignore");
    let ignored: Vec<&str> = ignored.iter().map(String::as_str).collect();
    match name {
        "dump" => Response::json(200, &sandbox.dump()),
        "comparable" => Response::json(200, &sandbox.comparable(&ignored)),
        "stats" => Response::json(200, &json!(sandbox.stats())),
        "save" => Response::json(200, &sandbox.save()),
        _ => Response::json(404, &json!({"error": "no such view"})),
    }
}

fn act(sandbox: &mut dyn Sandbox, name: &str, body: &Value, now_ms: i64) -> Result<Value, Refused> {
    let text = |member: &str| {
        let missing = || Refused(format!("{member} is missing"));
        body.get(member).and_then(Value::as_str).map(str::to_owned).ok_or_else(missing)
    };
    let until = || body.get("until_ms").and_then(Value::as_i64);
    let properties = || body.get("properties").and_then(Value::as_object).cloned().unwrap_or_else(Map::new);
    match name {
        "seed" => return sandbox.seed(&text("object")?, &properties(), now_ms).map(|id| json!({ "id": id })),
        "create" => return sandbox.create(&text("object")?, &properties(), now_ms).map(|id| json!({ "id": id })),
        "edit" => sandbox.edit(&text("object")?, &text("id")?, &properties(), now_ms)?,
        "delete" => sandbox.delete(&text("object")?, &text("id")?, now_ms)?,
        "merge" => sandbox.merge(&text("object")?, &text("id")?, &text("other")?, now_ms)?,
        "restore" => sandbox.restore(body)?,
        "lock" => sandbox.lock(&text("object")?, &text("id")?, until().unwrap_or(i64::MAX)),
        "fault" => {
            sandbox.fault(serde_json::from_value::<Fault>(body.clone()).map_err(|e| Refused(format!("not a fault: {e}")))?)
        }
        "clear-faults" => sandbox.clear_faults(),
        "reset" => sandbox.reset(),
        "allow-token" => sandbox.allow_token(&text("token")?, until()),
        "revoke-token" => sandbox.revoke_token(&text("token")?),
        "connect" => {
            let pair = endpoint(sandbox)?.connect(now_ms);
            return Ok(json!({ "access_token": pair.access, "refresh_token": pair.refresh }));
        }
        "revoke-grants" => endpoint(sandbox)?.revoke(),
        "expire-tokens" => endpoint(sandbox)?.expire(now_ms),
        _ => return Err(Refused("no such act".to_owned())),
    }
    Ok(json!({}))
}

fn endpoint(sandbox: &mut dyn Sandbox) -> Result<&mut TokenEndpoint, Refused> {
    sandbox.endpoint().ok_or_else(|| Refused("it has no token endpoint".to_owned()))
}
