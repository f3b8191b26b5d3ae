//! Values: parameters, conditions, references.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::TemplateError;
use crate::ids::ACCOUNT;

/// A template with its parameters.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    pub(super) document: Value,
    parameters: BTreeMap<String, Value>,
}

/// What only the running stack knows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Values {
    /// Name of the stack.
    pub stack_name: String,
    /// Region.
    pub region: String,
    /// URL of the endpoint, without a slash at its end.
    pub base: String,
    /// ARNs of secrets, by logical id.
    pub secrets: BTreeMap<String, String>,
    /// Function URLs, by logical id of the function.
    pub urls: BTreeMap<String, String>,
}

impl Template {
    /// Reads a template and determines its parameters.
    ///
    /// # Errors
    /// Not YAML, an unknown transform, or a parameter without an allowed value.
    pub(crate) fn read(text: &str, given: &BTreeMap<String, String>) -> Result<Self, TemplateError> {
        let document = super::yaml::parse(text)?;
        let transforms = match &document["Transform"] {
            Value::Array(all) => all.clone(),
            Value::Null => Vec::new(),
            one => vec![one.clone()],
        };
        for transform in transforms {
            if !matches!(transform.as_str(), Some("AWS::Serverless-2016-10-31" | "AWS::LanguageExtensions")) {
                return Err(TemplateError::Unsupported(format!("the transform {transform}")));
            }
        }
        let empty = Map::new();
        let declared = document["Parameters"].as_object().unwrap_or(&empty);
        if let Some(name) = given.keys().find(|name| !declared.contains_key(*name)) {
            return Err(TemplateError::Parameter { name: name.clone(), reason: "the template does not declare it" });
        }
        let resolved =
            declared.iter().map(|(name, declaration)| Ok((name.clone(), parameter(name, declaration, given.get(name))?)));
        let parameters = resolved.collect::<Result<_, TemplateError>>()?;
        Ok(Self { document, parameters })
    }

    /// Logical ids, types and definitions of all resources.
    pub(super) fn resources(&self) -> impl Iterator<Item = (&str, &str, &Value)> {
        let all = self.document["Resources"].as_object().into_iter().flatten();
        all.map(|(name, resource)| (name.as_str(), resource["Type"].as_str().unwrap_or_default(), resource))
    }

    /// A resolver with the values that are known so far.
    pub(crate) fn with<'a>(&'a self, values: &'a Values) -> Resolver<'a> {
        Resolver { template: self, values, in_progress: RefCell::default() }
    }
}

fn parameter(name: &str, declaration: &Value, given: Option<&String>) -> Result<Value, TemplateError> {
    let fail = |reason| TemplateError::Parameter { name: name.to_owned(), reason };
    let text = match (given, &declaration["Default"]) {
        (Some(text), _) => text.clone(),
        (None, Value::String(text)) => text.clone(),
        (None, Value::Null) => return Err(fail("it has no default and was not given")),
        (None, other) => other.to_string(),
    };
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    if let Some(allowed) = declaration["AllowedValues"].as_array()
        && !allowed.iter().any(|value| plain(value) == text)
    {
        return Err(fail("the value is not one of AllowedValues"));
    }
    match declaration["Type"].as_str().unwrap_or("String") {
        "Number" => {
            let number: f64 = text.parse().map_err(|_| fail("the value is not a number"))?;
            let bound = |field: &str| declaration[field].as_f64();
            if bound("MinValue").is_some_and(|low| number < low) || bound("MaxValue").is_some_and(|high| number > high) {
                return Err(fail("the value is out of range"));
            }
            Ok(Value::String(text))
        }
        "CommaDelimitedList" | "List<Number>" => Ok(text.split(',').map(|item| Value::String(item.trim().into())).collect()),
        kind if given.is_none() && kind.starts_with("AWS::SSM::") => Err(fail("a parameter from Systems Manager must be given")),
        _ => Ok(Value::String(text)),
    }
}

/// Evaluates intrinsic functions.
pub(crate) struct Resolver<'a> {
    template: &'a Template,
    values: &'a Values,
    /// Conditions that are being evaluated, so that a circle is found.
    in_progress: RefCell<BTreeSet<String>>,
}

impl Resolver<'_> {
    /// What only the running stack knows.
    pub(super) fn values(&self) -> &Values {
        self.values
    }

    /// A value without functions; `None` for `AWS::NoValue`.
    ///
    /// # Errors
    /// A function without an exact answer.
    pub(crate) fn resolve(&self, value: &Value) -> Result<Option<Value>, TemplateError> {
        match value {
            Value::Object(map) => {
                let only = map.iter().next().filter(|_| map.len() == 1);
                let answer = only.and_then(|(name, argument)| self.function(name, argument));
                answer.unwrap_or_else(|| self.object(map).map(Some))
            }
            Value::Array(items) => {
                let resolved = items.iter().filter_map(|item| self.resolve(item).transpose());
                resolved.collect::<Result<_, _>>().map(|all| Some(Value::Array(all)))
            }
            other => Ok(Some(other.clone())),
        }
    }

    fn object(&self, map: &Map<String, Value>) -> Result<Value, TemplateError> {
        let mut resolved = Map::new();
        for (key, value) in map {
            if key.starts_with("Fn::") {
                return Err(TemplateError::Unsupported(key.clone()));
            }
            if let Some(value) = self.resolve(value)? {
                resolved.insert(key.clone(), value);
            }
        }
        Ok(Value::Object(resolved))
    }

    /// A value that must exist and be a text. A number or boolean becomes its text.
    pub(super) fn text(&self, value: &Value) -> Result<String, TemplateError> {
        match self.resolve(value)? {
            Some(Value::String(text)) => Ok(text),
            Some(value @ (Value::Number(_) | Value::Bool(_))) => Ok(value.to_string()),
            other => Err(TemplateError::Intrinsic {
                function: "text",
                argument: other.unwrap_or_default().to_string(),
                reason: "a text is needed here",
            }),
        }
    }

    /// Whether a named condition holds.
    pub(super) fn condition(&self, name: &str) -> Result<bool, TemplateError> {
        let fail = |reason| TemplateError::Intrinsic { function: "Condition", argument: name.to_owned(), reason };
        let definition = &self.template.document["Conditions"][name];
        if definition.is_null() {
            return Err(fail("no such condition"));
        }
        if !self.in_progress.borrow_mut().insert(name.to_owned()) {
            return Err(fail("it depends on itself"));
        }
        let answer = self.resolve(definition);
        self.in_progress.borrow_mut().remove(name);
        answer?.and_then(|v| v.as_bool()).ok_or_else(|| fail("it is neither true nor false"))
    }

    /// `Ref`.
    pub(super) fn reference(&self, name: &str) -> Result<Option<Value>, TemplateError> {
        let values = self.values;
        let pseudo = match name {
            "AWS::NoValue" => return Ok(None),
            "AWS::Region" => Some(values.region.clone()),
            "AWS::AccountId" => Some(ACCOUNT.into()),
            "AWS::Partition" => Some("aws".into()),
            "AWS::URLSuffix" => Some("amazonaws.com".into()),
            "AWS::StackName" => Some(values.stack_name.clone()),
            "AWS::StackId" => Some(self.arn("cloudformation", &format!("stack/{}/local", values.stack_name))),
            _ => None,
        };
        if let Some(text) = pseudo {
            return Ok(Some(text.into()));
        }
        if let Some(value) = self.template.parameters.get(name) {
            return Ok(Some(value.clone()));
        }
        self.attribute(name, None).map(|text| Some(text.into()))
    }

    pub(super) fn arn(&self, service: &str, rest: &str) -> String {
        format!("arn:aws:{service}:{}:{}:{rest}", self.values.region, ACCOUNT)
    }

    /// The name of a resource: as given, or made of the stack's name and the logical id.
    pub(super) fn name_of(&self, logical: &str, property: &str) -> Result<String, TemplateError> {
        let given = &self.template.document["Resources"][logical]["Properties"][property];
        if !given.is_null()
            && let Some(value) = self.resolve(given)?
        {
            return self.text(&value);
        }
        Ok(format!("{}-{logical}", self.values.stack_name))
    }

    /// `Ref` (no attribute) or `Fn::GetAtt` of a resource.
    pub(super) fn attribute(&self, logical: &str, attribute: Option<&str>) -> Result<String, TemplateError> {
        let fail = |reason| TemplateError::Intrinsic {
            function: if attribute.is_some() { "Fn::GetAtt" } else { "Ref" },
            argument: attribute.map_or_else(|| logical.to_owned(), |a| format!("{logical}.{a}")),
            reason,
        };
        // SAM adds a resource for the URL of a function.
        if let (Some(function), Some("FunctionUrl")) = (logical.strip_suffix("Url"), attribute) {
            return self.values.urls.get(function).cloned().ok_or_else(|| fail("the function has no URL"));
        }
        let kind = self.template.document["Resources"][logical]["Type"]
            .as_str()
            .ok_or_else(|| fail("there is no such parameter or resource"))?;
        let unknown = || fail("the local stack does not know this value");
        let name = |property: &str| self.name_of(logical, property);
        match (kind, attribute) {
            ("AWS::SQS::Queue", None | Some("QueueUrl")) => {
                Ok(format!("{}/{}/{}", self.values.base, ACCOUNT, self.queue_name(logical)?))
            }
            ("AWS::SQS::Queue", Some("Arn")) => Ok(self.arn("sqs", &self.queue_name(logical)?)),
            ("AWS::SQS::Queue", Some("QueueName")) => self.queue_name(logical),
            ("AWS::DynamoDB::Table", None) => name("TableName"),
            ("AWS::DynamoDB::Table", Some("Arn")) => Ok(self.arn("dynamodb", &format!("table/{}", name("TableName")?))),
            ("AWS::S3::Bucket", None) => self.bucket_name(logical),
            ("AWS::S3::Bucket", Some("Arn")) => Ok(format!("arn:aws:s3:::{}", self.bucket_name(logical)?)),
            ("AWS::SecretsManager::Secret", None | Some("Id")) => self.values.secrets.get(logical).cloned().ok_or_else(unknown),
            ("AWS::Serverless::Function" | "AWS::Lambda::Function", None) => name("FunctionName"),
            ("AWS::Serverless::Function" | "AWS::Lambda::Function", Some("Arn")) => {
                Ok(self.arn("lambda", &format!("function:{}", name("FunctionName")?)))
            }
            ("AWS::Logs::LogGroup", None) => name("LogGroupName"),
            ("AWS::Logs::LogGroup", Some("Arn")) => Ok(self.arn("logs", &format!("log-group:{}:*", name("LogGroupName")?))),
            ("AWS::SNS::Topic", None | Some("TopicArn")) => Ok(self.arn("sns", &name("TopicName")?)),
            ("AWS::SNS::Topic", Some("TopicName")) => name("TopicName"),
            _ => Err(unknown()),
        }
    }

    pub(super) fn queue_name(&self, logical: &str) -> Result<String, TemplateError> {
        self.name_of(logical, "QueueName")
    }

    pub(super) fn bucket_name(&self, logical: &str) -> Result<String, TemplateError> {
        // Bucket names know no capitals.
        self.name_of(logical, "BucketName").map(|name| name.to_lowercase())
    }

    /// `Fn::FindInMap`.
    pub(super) fn in_map(&self, map: &str, first: &str, second: &str) -> Option<Value> {
        self.template.document["Mappings"][map][first].get(second).cloned()
    }
}
