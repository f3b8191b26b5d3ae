//! The JSON 1.1 protocol of Secrets Manager.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::Secrets;
use super::engine::{CURRENT, Content, NewSecret, Rotation, Secret, SecretEngine, SecretsError, Version};
use crate::ids::{now_ms, uuid};
use crate::password::Password;

type Answer = Result<Value, SecretsError>;

/// Runs one operation.
pub(super) fn dispatch(secrets: &Arc<Secrets>, operation: &str, body: &[u8]) -> Answer {
    let body: Value = serde_json::from_slice(body).map_err(|e| SecretsError::Malformed(e.to_string()))?;
    match operation {
        "RotateSecret" => return rotate(secrets, &body),
        "GetRandomPassword" => return Ok(json!({ "RandomPassword": Password::from_json(&body).generate() })),
        _ => {}
    }
    let arn = secrets.new_arn(body["Name"].as_str().unwrap_or_default());
    let reads = operation.starts_with("Get")
        || operation.starts_with("List")
        || operation.starts_with("Describe")
        || operation.starts_with("Batch");
    secrets.with(!reads, |engine| match operation {
        "CreateSecret" => create(engine, &body, arn),
        "PutSecretValue" | "UpdateSecret" => write(engine, operation, &body),
        "GetSecretValue" => get(engine, &id(&body)?, body["VersionId"].as_str(), body["VersionStage"].as_str()),
        "BatchGetSecretValue" => Ok(batch_get(engine, &body)),
        "UpdateSecretVersionStage" => move_stage(engine, &body),
        "DescribeSecret" => {
            let name = engine.find(&id(&body)?)?;
            Ok(describe(&name, &engine.secrets[&name]))
        }
        "ListSecrets" => {
            let live = engine.secrets.iter().filter(|(_, s)| s.deleted.is_none());
            Ok(json!({ "SecretList": live.map(|(name, secret)| describe(name, secret)).collect::<Vec<_>>() }))
        }
        "ListSecretVersionIds" => list_versions(engine, &body),
        "DeleteSecret" => delete(engine, &body),
        "RestoreSecret" => {
            let name = engine.find(&id(&body)?)?;
            let secret = engine.secrets.get_mut(&name).ok_or_else(|| SecretsError::ResourceNotFound("secret".into()))?;
            secret.deleted = None;
            Ok(json!({ "ARN": secret.arn, "Name": name }))
        }
        "CancelRotateSecret" => {
            let name = engine.find(&id(&body)?)?;
            let secret = engine.live_mut(&name)?;
            if let Some(rotation) = &mut secret.rotation {
                rotation.enabled = false;
            }
            Ok(json!({ "ARN": secret.arn, "Name": name }))
        }
        "TagResource" | "UntagResource" => tag(engine, operation, &body),
        other => Err(SecretsError::UnknownOperation(other.to_owned())),
    })
}

fn id(body: &Value) -> Result<String, SecretsError> {
    let missing = || SecretsError::InvalidParameter("The parameter SecretId is required.".into());
    body["SecretId"].as_str().filter(|id| !id.is_empty()).map(str::to_owned).ok_or_else(missing)
}

fn content(body: &Value) -> Option<Content> {
    let text = body["SecretString"].as_str().map(|t| Content::Text(t.to_owned()));
    text.or_else(|| body["SecretBinary"].as_str().map(|b| Content::Binary(b.to_owned())))
}

fn token(body: &Value) -> Result<String, SecretsError> {
    match body["ClientRequestToken"].as_str() {
        None => Ok(uuid()),
        Some(token) if (32..=64).contains(&token.len()) => Ok(token.to_owned()),
        Some(_) => Err(SecretsError::InvalidParameter("ClientRequestToken must be 32-64 characters long.".into())),
    }
}

fn tags(body: &Value) -> BTreeMap<String, String> {
    let pairs = body["Tags"].as_array().into_iter().flatten();
    pairs.filter_map(|t| Some((t["Key"].as_str()?.to_owned(), t["Value"].as_str().unwrap_or_default().to_owned()))).collect()
}

fn create(engine: &mut SecretEngine, body: &Value, arn: String) -> Answer {
    let name = body["Name"].as_str().unwrap_or_default().to_owned();
    let (token, content) = (token(body)?, content(body));
    let optional = |field: &str| body[field].as_str().map(str::to_owned);
    let new = NewSecret {
        name: name.clone(),
        arn,
        token: token.clone(),
        content: content.clone(),
        description: optional("Description"),
        kms: optional("KmsKeyId"),
        tags: tags(body),
    };
    engine.create(new, now_ms())?;
    let mut answer = json!({ "ARN": engine.secrets[&name].arn, "Name": name });
    if content.is_some() {
        answer["VersionId"] = token.into();
    }
    Ok(answer)
}

fn write(engine: &mut SecretEngine, operation: &str, body: &Value) -> Answer {
    let name = engine.find(&id(body)?)?;
    let token = token(body)?;
    if operation == "UpdateSecret" {
        let secret = engine.live_mut(&name)?;
        if let Some(text) = body["Description"].as_str() {
            secret.description = Some(text.to_owned());
        }
        if let Some(key) = body["KmsKeyId"].as_str() {
            secret.kms = Some(key.to_owned());
        }
    }
    let arn = engine.live_mut(&name)?.arn.clone();
    let mut answer = json!({ "ARN": arn, "Name": name });
    let stages: Vec<String> =
        body["VersionStages"].as_array().into_iter().flatten().filter_map(|s| s.as_str().map(str::to_owned)).collect();
    let stages = if stages.is_empty() { vec![CURRENT.to_owned()] } else { stages };
    match content(body) {
        Some(content) => {
            answer["VersionStages"] = json!(engine.put(&name, &token, content, &stages, now_ms())?);
            answer["VersionId"] = token.into();
        }
        None if operation == "PutSecretValue" => {
            return Err(SecretsError::InvalidRequest("You must provide either SecretString or SecretBinary.".into()));
        }
        None => {}
    }
    Ok(answer)
}

fn value(name: &str, secret: &Secret, version_id: &str, version: &Version) -> Value {
    let mut answer = json!({
        "ARN": secret.arn, "Name": name, "VersionId": version_id, "VersionStages": version.stages, "CreatedDate": seconds(version.created),
    });
    match &version.content {
        Some(Content::Text(text)) => answer["SecretString"] = text.as_str().into(),
        Some(Content::Binary(base64)) => answer["SecretBinary"] = base64.as_str().into(),
        None => {}
    }
    answer
}

fn get(engine: &mut SecretEngine, id: &str, version: Option<&str>, stage: Option<&str>) -> Answer {
    let (name, secret, version_id, version) = engine.version(id, version, stage)?;
    Ok(value(&name, secret, &version_id, version))
}

fn batch_get(engine: &mut SecretEngine, body: &Value) -> Value {
    let (mut values, mut errors) = (Vec::new(), Vec::new());
    for id in body["SecretIdList"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        match get(engine, id, None, None) {
            Ok(value) => values.push(value),
            Err(error) => errors.push(json!({ "SecretId": id, "ErrorCode": error.shape(), "Message": error.to_string() })),
        }
    }
    json!({ "SecretValues": values, "Errors": errors })
}

fn move_stage(engine: &mut SecretEngine, body: &Value) -> Answer {
    let name = engine.find(&id(body)?)?;
    let missing = || SecretsError::InvalidParameter("The parameter VersionStage is required.".into());
    let stage = body["VersionStage"].as_str().ok_or_else(missing)?;
    engine.move_stage(&name, stage, body["MoveToVersionId"].as_str(), body["RemoveFromVersionId"].as_str(), now_ms())?;
    Ok(json!({ "ARN": engine.secrets[&name].arn, "Name": name }))
}

/// Times on the wire are seconds with a fraction.
#[allow(clippy::cast_precision_loss)] // milliseconds of any plausible year are exact
fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

fn describe(name: &str, secret: &Secret) -> Value {
    let tags: Vec<Value> = secret.tags.iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect();
    let mut all = Map::from_iter([
        ("ARN".to_owned(), json!(secret.arn)),
        ("Name".to_owned(), json!(name)),
        ("CreatedDate".to_owned(), json!(seconds(secret.created))),
        ("LastChangedDate".to_owned(), json!(seconds(secret.changed))),
        ("Tags".to_owned(), json!(tags)),
        ("VersionIdsToStages".to_owned(), json!(secret.stages())),
        ("SecretVersionsToStages".to_owned(), json!(secret.stages())),
        ("RotationEnabled".to_owned(), json!(secret.rotation.as_ref().is_some_and(|r| r.enabled))),
    ]);
    let optional = [
        ("Description", secret.description.as_ref().map(|d| json!(d))),
        ("KmsKeyId", secret.kms.as_ref().map(|k| json!(k))),
        ("RotationLambdaARN", secret.rotation.as_ref().map(|r| json!(r.lambda))),
        ("RotationRules", secret.rotation.as_ref().map(|r| r.rules.clone())),
        ("LastRotatedDate", secret.rotated.map(|t| json!(seconds(t)))),
        ("DeletedDate", secret.deleted.map(|t| json!(seconds(t)))),
    ];
    all.extend(optional.into_iter().filter_map(|(field, value)| Some((field.to_owned(), value?))));
    Value::Object(all)
}

fn list_versions(engine: &mut SecretEngine, body: &Value) -> Answer {
    let name = engine.find(&id(body)?)?;
    let deprecated = body["IncludeDeprecated"].as_bool().unwrap_or_default();
    let secret = &engine.secrets[&name];
    let shown = secret.versions.iter().filter(|(_, v)| deprecated || !v.stages.is_empty());
    let versions: Vec<Value> =
        shown.map(|(id, v)| json!({ "VersionId": id, "VersionStages": v.stages, "CreatedDate": seconds(v.created) })).collect();
    Ok(json!({ "ARN": secret.arn, "Name": name, "Versions": versions }))
}

fn delete(engine: &mut SecretEngine, body: &Value) -> Answer {
    let name = engine.find(&id(body)?)?;
    let force = body["ForceDeleteWithoutRecovery"].as_bool().unwrap_or_default();
    let days = body["RecoveryWindowInDays"].as_i64();
    if (force && days.is_some()) || days.is_some_and(|d| !(7..=30).contains(&d)) {
        return Err(SecretsError::InvalidParameter(
            "RecoveryWindowInDays must be 7 to 30, and excludes ForceDeleteWithoutRecovery.".into(),
        ));
    }
    let arn = engine.live_mut(&name)?.arn.clone();
    let date = now_ms() + days.unwrap_or(30) * 86_400_000;
    if force {
        engine.secrets.remove(&name);
    } else {
        engine.live_mut(&name)?.deleted = Some(date);
    }
    Ok(json!({ "ARN": arn, "Name": name, "DeletionDate": seconds(if force { now_ms() } else { date }) }))
}

fn tag(engine: &mut SecretEngine, operation: &str, body: &Value) -> Answer {
    let secret = engine.live_mut(&id(body)?)?;
    if operation == "TagResource" {
        secret.tags.extend(tags(body));
    } else {
        let gone: Vec<&str> = body["TagKeys"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        secret.tags.retain(|key, _| !gone.contains(&key.as_str()));
    }
    Ok(json!({}))
}

fn rotate(secrets: &Arc<Secrets>, body: &Value) -> Answer {
    let id = id(body)?;
    let token = token(body)?;
    let (name, arn) = secrets.with(false, |engine| {
        let name = engine.find(&id)?;
        let arn = engine.live_mut(&name)?.arn.clone();
        Ok((name, arn))
    })?;
    let given = body["RotationLambdaARN"].as_str();
    if let Some(lambda) = given
        && !secrets.host.get().is_some_and(|host| host.knows(lambda))
    {
        return Err(SecretsError::AccessDenied);
    }
    secrets.with(true, |engine| {
        let secret = engine.live_mut(&name)?;
        if let Some(lambda) = given {
            secret.rotation = Some(Rotation { lambda: lambda.to_owned(), rules: body["RotationRules"].clone(), enabled: true });
        } else if let (Some(rotation), true) = (&mut secret.rotation, body["RotationRules"].is_object()) {
            rotation.rules = body["RotationRules"].clone();
        }
        Ok(())
    })?;
    if body["RotateImmediately"].as_bool() == Some(false) {
        return Ok(json!({ "ARN": arn, "Name": name }));
    }
    let version = secrets.rotate(&name, Some(&token))?;
    Ok(json!({ "ARN": arn, "Name": name, "VersionId": version }))
}
