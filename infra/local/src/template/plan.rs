//! What a template describes, with every value resolved.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::TemplateError;
use super::resolve::{Resolver, Template, Values};
use crate::password::Password;
use crate::schedule::Schedule;

/// A secret that has to exist before anything can refer to it.
#[derive(Debug, Clone)]
pub(crate) struct SecretSpec {
    pub logical: String,
    pub name: String,
    pub initial: InitialSecret,
}

/// The first value of a secret.
#[derive(Debug, Clone)]
pub(crate) enum InitialSecret {
    Text(String),
    Generated { password: Password, template: Option<Value>, key: Option<String> },
}

impl InitialSecret {
    /// The value, made up where it is to be.
    pub(crate) fn value(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Generated { password, template: Some(template), key: Some(key) } => {
                let mut document = template.clone();
                document[key] = password.generate().into();
                document.to_string()
            }
            Self::Generated { password, .. } => password.generate(),
        }
    }
}

/// A function.
#[derive(Debug, Clone)]
pub(crate) struct FunctionSpec {
    pub logical: String,
    pub name: String,
    pub arn: String,
    pub binary: String,
    pub timeout: Duration,
    pub memory: u32,
    pub reserved: Option<usize>,
    pub environment: BTreeMap<String, String>,
    pub async_retries: u32,
}

/// An event source mapping of a queue.
#[derive(Debug, Clone)]
pub(crate) struct MappingSpec {
    pub queue: String,
    pub function: String,
    pub batch: usize,
    pub window: Duration,
    pub concurrency: Option<usize>,
    pub report_failures: bool,
    pub enabled: bool,
}

/// A schedule of a function.
#[derive(Debug, Clone)]
pub(crate) struct ScheduleSpec {
    pub function: String,
    pub event: String,
    pub arn: String,
    pub schedule: Schedule,
    pub input: Option<String>,
    /// Event source that a schedule without input names.
    pub source: &'static str,
    pub enabled: bool,
}

/// A rule of the default event bus.
#[derive(Debug, Clone)]
pub(crate) struct RuleSpec {
    pub function: String,
    pub pattern: Value,
    pub input: Option<String>,
}

/// Everything.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plan {
    pub queues: Vec<(String, BTreeMap<String, String>)>,
    /// `CreateTable` requests, with the time-to-live attribute.
    pub tables: Vec<(Value, Option<String>)>,
    pub buckets: Vec<String>,
    pub functions: Vec<FunctionSpec>,
    pub mappings: Vec<MappingSpec>,
    pub schedules: Vec<ScheduleSpec>,
    pub rules: Vec<RuleSpec>,
    /// Secret, function ARN, rules, whether to rotate when the schedule is made.
    pub rotations: Vec<(String, String, Value, bool)>,
    pub outputs: BTreeMap<String, String>,
    /// What the local stack leaves out: logical id and type.
    pub ignored: BTreeMap<String, String>,
}

impl Template {
    fn active(&self, resolver: &Resolver<'_>, resource: &Value) -> Result<bool, TemplateError> {
        resource["Condition"].as_str().map_or(Ok(true), |name| resolver.condition(name))
    }

    /// The secrets, which need nothing but parameters.
    ///
    /// # Errors
    /// See [`TemplateError`].
    pub(crate) fn secrets(&self, values: &Values) -> Result<Vec<SecretSpec>, TemplateError> {
        let resolver = self.with(values);
        let mut secrets = Vec::new();
        for (logical, kind, resource) in self.resources() {
            if kind != "AWS::SecretsManager::Secret" || !self.active(&resolver, resource)? {
                continue;
            }
            let properties = Properties { resolver: &resolver, logical, map: &resource["Properties"] };
            let initial = match (properties.value("SecretString")?, properties.value("GenerateSecretString")?) {
                (Some(text), _) => InitialSecret::Text(resolver.text(&text)?),
                (None, Some(description)) => {
                    let template = description["SecretStringTemplate"].as_str();
                    let parsed = template.map(serde_json::from_str).transpose();
                    InitialSecret::Generated {
                        password: Password::from_json(&description),
                        template: parsed.map_err(|_| properties.malformed("SecretStringTemplate"))?,
                        key: description["GenerateStringKey"].as_str().map(str::to_owned),
                    }
                }
                (None, None) => {
                    InitialSecret::Generated { password: Password::from_json(&Value::Null), template: None, key: None }
                }
            };
            secrets.push(SecretSpec { logical: logical.into(), name: resolver.name_of(logical, "Name")?, initial });
        }
        Ok(secrets)
    }

    /// Logical ids of the functions that have a URL.
    ///
    /// # Errors
    /// See [`TemplateError`].
    pub(crate) fn functions_with_url(&self, values: &Values) -> Result<Vec<String>, TemplateError> {
        let resolver = self.with(values);
        let mut found = Vec::new();
        for (logical, kind, resource) in self.resources() {
            if kind == "AWS::Serverless::Function"
                && !resource["Properties"]["FunctionUrlConfig"].is_null()
                && self.active(&resolver, resource)?
            {
                found.push(logical.to_owned());
            }
        }
        Ok(found)
    }

    /// Everything else, once secrets and URLs are known.
    ///
    /// # Errors
    /// See [`TemplateError`].
    pub(crate) fn plan(&self, values: &Values) -> Result<Plan, TemplateError> {
        let resolver = self.with(values);
        let mut plan = Plan::default();
        for (logical, kind, resource) in self.resources() {
            if !self.active(&resolver, resource)? {
                continue;
            }
            let properties = Properties { resolver: &resolver, logical, map: &resource["Properties"] };
            match kind {
                "AWS::SQS::Queue" => plan.queues.push((resolver.queue_name(logical)?, properties.queue_attributes()?)),
                "AWS::DynamoDB::Table" => plan.tables.push(properties.table()?),
                "AWS::S3::Bucket" => plan.buckets.push(resolver.bucket_name(logical)?),
                "AWS::Serverless::Function" => {
                    plan.functions.push(properties.function(&self.document["Globals"]["Function"], &resource["Metadata"])?);
                    properties.events(&mut plan)?;
                }
                "AWS::Lambda::EventSourceMapping" => {
                    let function = properties.text("FunctionName")?;
                    plan.mappings.push(properties.mapping("EventSourceArn", function)?);
                }
                "AWS::Scheduler::Schedule" => {
                    let target = properties.value("Target")?.unwrap_or_default();
                    let input = target["Input"].as_str().map(str::to_owned);
                    let function = target["Arn"].as_str().ok_or_else(|| properties.malformed("Target"))?.to_owned();
                    plan.schedules.push(properties.schedule(logical, function, input, "aws.scheduler")?);
                }
                "AWS::SecretsManager::RotationSchedule" => {
                    let at_once = properties.value("RotateImmediatelyOnUpdate")?.is_none_or(|v| v != false);
                    let rules = properties.value("RotationRules")?.unwrap_or_default();
                    plan.rotations.push((properties.text("SecretId")?, properties.text("RotationLambdaARN")?, rules, at_once));
                }
                "AWS::SecretsManager::Secret" => {}
                other => drop(plan.ignored.insert(logical.to_owned(), other.to_owned())),
            }
        }
        for (name, output) in self.document["Outputs"].as_object().into_iter().flatten() {
            if self.active(&resolver, output)? {
                plan.outputs.insert(name.clone(), resolver.text(&output["Value"])?);
            }
        }
        Ok(plan)
    }
}

/// The properties of one resource or event.
struct Properties<'a> {
    resolver: &'a Resolver<'a>,
    logical: &'a str,
    map: &'a Value,
}

impl Properties<'_> {
    fn malformed(&self, property: &'static str) -> TemplateError {
        TemplateError::Property { resource: self.logical.to_owned(), property }
    }

    fn value(&self, property: &str) -> Result<Option<Value>, TemplateError> {
        match &self.map[property] {
            Value::Null => Ok(None),
            value => self.resolver.resolve(value),
        }
    }

    fn text(&self, property: &'static str) -> Result<String, TemplateError> {
        let value = self.value(property)?.ok_or_else(|| self.malformed(property))?;
        self.resolver.text(&value)
    }

    fn number(&self, property: &'static str) -> Result<Option<u64>, TemplateError> {
        let Some(value) = self.value(property)? else { return Ok(None) };
        let number = value.as_u64().or_else(|| value.as_str().and_then(|t| t.parse().ok()));
        number.map(Some).ok_or_else(|| self.malformed(property))
    }

    fn flag(&self, property: &'static str, default: bool) -> Result<bool, TemplateError> {
        Ok(self.value(property)?.map_or(default, |value| value == true || value == "true"))
    }

    fn queue_attributes(&self) -> Result<BTreeMap<String, String>, TemplateError> {
        let mut attributes = BTreeMap::new();
        for name in self.map.as_object().into_iter().flatten().map(|(name, _)| name) {
            if matches!(name.as_str(), "QueueName" | "Tags") {
                continue;
            }
            if let Some(value) = self.value(name)? {
                attributes.insert(name.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned));
            }
        }
        Ok(attributes)
    }

    fn table(&self) -> Result<(Value, Option<String>), TemplateError> {
        let mut request = Map::new();
        request.insert("TableName".into(), self.resolver.name_of(self.logical, "TableName")?.into());
        request.insert("BillingMode".into(), "PAY_PER_REQUEST".into());
        for property in ["AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "LocalSecondaryIndexes"] {
            if let Some(mut value) = self.value(property)? {
                for index in value.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
                    // There is no capacity to provision here, and the billing mode above forbids naming one.
                    index.remove("ProvisionedThroughput");
                }
                request.insert(property.into(), value);
            }
        }
        if let Some(stream) = self.value("StreamSpecification")? {
            request.insert(
                "StreamSpecification".into(),
                json!({ "StreamEnabled": true, "StreamViewType": stream["StreamViewType"] }),
            );
        }
        let ttl = self.value("TimeToLiveSpecification")?;
        let ttl = ttl
            .filter(|t| t["Enabled"] == true || t["Enabled"] == "true")
            .and_then(|t| t["AttributeName"].as_str().map(str::to_owned));
        Ok((Value::Object(request), ttl))
    }

    fn function(&self, globals: &Value, metadata: &Value) -> Result<FunctionSpec, TemplateError> {
        let shared = Properties { resolver: self.resolver, logical: "Globals", map: globals };
        let code = self.map["CodeUri"].as_str().map(|path| path.trim_end_matches('/').rsplit('/').next().unwrap_or_default());
        let binary = metadata["BuildProperties"]["Binary"].as_str().or(code).ok_or_else(|| self.malformed("CodeUri"))?;
        let mut environment = BTreeMap::new();
        for source in [&shared, self] {
            let all = source.value("Environment")?.unwrap_or_default();
            for (name, value) in all["Variables"].as_object().into_iter().flatten() {
                environment.insert(name.clone(), self.resolver.text(value)?);
            }
        }
        let number = |property| Ok::<_, TemplateError>(self.number(property)?.or(shared.number(property)?));
        let retries = self.value("EventInvokeConfig")?.unwrap_or_default();
        let retries = retries["MaximumRetryAttempts"].as_u64().unwrap_or(2);
        Ok(FunctionSpec {
            logical: self.logical.to_owned(),
            name: self.resolver.name_of(self.logical, "FunctionName")?,
            arn: self.resolver.attribute(self.logical, Some("Arn"))?,
            binary: binary.to_owned(),
            timeout: Duration::from_secs(number("Timeout")?.unwrap_or(3)),
            memory: u32::try_from(number("MemorySize")?.unwrap_or(128)).map_err(|_| self.malformed("MemorySize"))?,
            reserved: number("ReservedConcurrentExecutions")?.and_then(|n| usize::try_from(n).ok()),
            environment,
            async_retries: u32::try_from(retries).map_err(|_| self.malformed("EventInvokeConfig"))?,
        })
    }

    fn events(&self, plan: &mut Plan) -> Result<(), TemplateError> {
        let function = self.resolver.name_of(self.logical, "FunctionName")?;
        for (event, definition) in self.map["Events"].as_object().into_iter().flatten() {
            let properties = Properties { resolver: self.resolver, logical: self.logical, map: &definition["Properties"] };
            let input = || properties.value("Input").map(|v| v.map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned)));
            match definition["Type"].as_str().unwrap_or_default() {
                "SQS" => plan.mappings.push(properties.mapping("Queue", function.clone())?),
                "ScheduleV2" => plan.schedules.push(properties.schedule(event, function.clone(), input()?, "aws.scheduler")?),
                "Schedule" => plan.schedules.push(properties.schedule(event, function.clone(), input()?, "aws.events")?),
                "EventBridgeRule" | "CloudWatchEvent" => {
                    let pattern = properties.value("Pattern")?.ok_or_else(|| properties.malformed("Pattern"))?;
                    crate::events::check_pattern(&pattern).map_err(TemplateError::Unsupported)?;
                    plan.rules.push(RuleSpec { function: function.clone(), pattern, input: input()? });
                }
                other => drop(plan.ignored.insert(format!("{}.{event}", self.logical), format!("event {other}"))),
            }
        }
        Ok(())
    }

    fn mapping(&self, queue_property: &'static str, function: String) -> Result<MappingSpec, TemplateError> {
        for refused in ["FilterCriteria", "DestinationConfig"] {
            if !self.map[refused].is_null() {
                return Err(TemplateError::Unsupported(format!("{refused} of {}", self.logical)));
            }
        }
        let arn = self.text(queue_property)?;
        let queue = arn.strip_prefix("arn:aws:sqs:").and_then(|rest| rest.rsplit(':').next());
        let queue = queue.ok_or_else(|| TemplateError::Unsupported(format!("the event source {arn}")))?.to_owned();
        let concurrency = self.value("ScalingConfig")?.and_then(|s| s["MaximumConcurrency"].as_u64());
        let types = self.value("FunctionResponseTypes")?.unwrap_or_default();
        Ok(MappingSpec {
            queue,
            function,
            batch: usize::try_from(self.number("BatchSize")?.unwrap_or(10)).map_err(|_| self.malformed("BatchSize"))?,
            window: Duration::from_secs(self.number("MaximumBatchingWindowInSeconds")?.unwrap_or(0)),
            concurrency: concurrency.and_then(|n| usize::try_from(n).ok()),
            report_failures: types.as_array().is_some_and(|t| t.contains(&json!("ReportBatchItemFailures"))),
            enabled: self.flag("Enabled", true)?,
        })
    }

    fn schedule(
        &self,
        event: &str,
        function: String,
        input: Option<String>,
        source: &'static str,
    ) -> Result<ScheduleSpec, TemplateError> {
        let field = if self.map["ScheduleExpression"].is_null() { "Schedule" } else { "ScheduleExpression" };
        let expression = self.text(field)?;
        let zone = self.value("ScheduleExpressionTimezone")?;
        let zone = zone.as_ref().and_then(Value::as_str).unwrap_or("UTC");
        let enabled = self.value("State")?.is_none_or(|state| state != "DISABLED") && self.flag("Enabled", true)?;
        let schedule =
            Schedule::parse(&expression, zone).map_err(|e| TemplateError::Unsupported(format!("{expression} ({e})")))?;
        let kind = if source == "aws.events" { ("events", "rule") } else { ("scheduler", "schedule/default") };
        let arn = self.resolver.arn(kind.0, &format!("{}/{}-{event}", kind.1, self.resolver.values().stack_name));
        Ok(ScheduleSpec { function, event: event.to_owned(), arn, schedule, input, source, enabled })
    }
}
