//! The intrinsic functions.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::TemplateError;
use super::resolve::Resolver;

type Answer = Result<Option<Value>, TemplateError>;

fn malformed(function: &'static str, argument: &Value) -> TemplateError {
    TemplateError::Intrinsic { function, argument: argument.to_string(), reason: "the arguments do not have the right form" }
}

impl Resolver<'_> {
    /// The answer of a function; nothing when `name` is none.
    pub(super) fn function(&self, name: &str, argument: &Value) -> Option<Answer> {
        Some(match name {
            "Ref" => argument.as_str().ok_or_else(|| malformed("Ref", argument)).and_then(|name| self.reference(name)),
            "Condition" if argument.is_string() => self.condition(argument.as_str().unwrap_or_default()).map(|b| Some(b.into())),
            "Fn::GetAtt" => self.get_att(argument),
            "Fn::Sub" => self.sub(argument).map(|text| Some(text.into())),
            "Fn::If" => self.choose(argument),
            "Fn::Equals" => match self.list("Fn::Equals", argument) {
                Ok(pair) if pair.len() == 2 => Ok(Some((plain(&pair[0]) == plain(&pair[1])).into())),
                Ok(_) => Err(malformed("Fn::Equals", argument)),
                Err(error) => Err(error),
            },
            "Fn::Not" => self.truths("Fn::Not", argument).map(|all| Some((!all.first().copied().unwrap_or_default()).into())),
            "Fn::And" => self.truths("Fn::And", argument).map(|all| Some(all.into_iter().all(|b| b).into())),
            "Fn::Or" => self.truths("Fn::Or", argument).map(|all| Some(all.into_iter().any(|b| b).into())),
            "Fn::Join" => self.join(argument),
            "Fn::Split" => self.split(argument),
            "Fn::Select" => self.select(argument),
            "Fn::FindInMap" => self.find_in_map(argument),
            "Fn::Base64" => self.text(argument).map(|text| Some(STANDARD.encode(text).into())),
            "Fn::ToJsonString" => self.resolve(argument).map(|v| Some(v.unwrap_or_default().to_string().into())),
            "Fn::Length" => self.list("Fn::Length", argument).map(|all| Some(all.len().into())),
            other if other.starts_with("Fn::") => Err(TemplateError::Unsupported(other.to_owned())),
            _ => return None,
        })
    }

    fn list(&self, function: &'static str, argument: &Value) -> Result<Vec<Value>, TemplateError> {
        match self.resolve(argument)? {
            Some(Value::Array(items)) => Ok(items),
            _ => Err(malformed(function, argument)),
        }
    }

    fn truths(&self, function: &'static str, argument: &Value) -> Result<Vec<bool>, TemplateError> {
        let all: Option<Vec<bool>> = self.list(function, argument)?.iter().map(|v| plain(v).parse().ok()).collect();
        all.filter(|all| !all.is_empty()).ok_or_else(|| malformed(function, argument))
    }

    fn get_att(&self, argument: &Value) -> Answer {
        let (logical, attribute) = match argument {
            Value::String(text) => text.split_once('.').ok_or_else(|| malformed("Fn::GetAtt", argument))?,
            Value::Array(parts) => match parts.as_slice() {
                [Value::String(logical), Value::String(attribute)] => (logical.as_str(), attribute.as_str()),
                _ => return Err(malformed("Fn::GetAtt", argument)),
            },
            _ => return Err(malformed("Fn::GetAtt", argument)),
        };
        self.attribute(logical, Some(attribute)).map(|text| Some(text.into()))
    }

    /// `${Name}`, `${Name.Attribute}`, `${!literal}`, and names of the second argument.
    fn sub(&self, argument: &Value) -> Result<String, TemplateError> {
        let (text, own) = match argument {
            Value::String(text) => (text.as_str(), BTreeMap::new()),
            Value::Array(parts) => match parts.as_slice() {
                [Value::String(text), Value::Object(map)] => {
                    let own = map.iter().map(|(name, value)| Ok((name.as_str(), self.text(value)?)));
                    (text.as_str(), own.collect::<Result<_, TemplateError>>()?)
                }
                _ => return Err(malformed("Fn::Sub", argument)),
            },
            _ => return Err(malformed("Fn::Sub", argument)),
        };
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let (name, tail) = after.split_once('}').ok_or_else(|| malformed("Fn::Sub", argument))?;
            out.push_str(before);
            rest = tail;
            if let Some(literal) = name.strip_prefix('!') {
                out.push_str(&format!("${{{literal}}}"));
            } else if let Some(value) = own.get(name) {
                out.push_str(value);
            } else if let Some((logical, attribute)) = name.split_once('.') {
                out.push_str(&self.attribute(logical, Some(attribute))?);
            } else {
                let value = self.reference(name)?.ok_or_else(|| malformed("Fn::Sub", argument))?;
                out.push_str(&plain(&value));
            }
        }
        out.push_str(rest);
        Ok(out)
    }

    /// Only the branch that is taken is looked at.
    fn choose(&self, argument: &Value) -> Answer {
        match argument.as_array().map(Vec::as_slice) {
            Some([Value::String(condition), yes, no]) => self.resolve(if self.condition(condition)? { yes } else { no }),
            _ => Err(malformed("Fn::If", argument)),
        }
    }

    fn join(&self, argument: &Value) -> Answer {
        match self.list("Fn::Join", argument)?.as_slice() {
            [Value::String(between), Value::Array(parts)] => {
                Ok(Some(parts.iter().map(plain).collect::<Vec<_>>().join(between).into()))
            }
            _ => Err(malformed("Fn::Join", argument)),
        }
    }

    fn split(&self, argument: &Value) -> Answer {
        match self.list("Fn::Split", argument)?.as_slice() {
            [Value::String(at), Value::String(text)] => Ok(Some(text.split(at.as_str()).map(Value::from).collect())),
            _ => Err(malformed("Fn::Split", argument)),
        }
    }

    fn select(&self, argument: &Value) -> Answer {
        match self.list("Fn::Select", argument)?.as_slice() {
            [index, Value::Array(items)] => {
                let item = plain(index).parse::<usize>().ok().and_then(|i| items.get(i));
                item.cloned().map(Some).ok_or_else(|| malformed("Fn::Select", argument))
            }
            _ => Err(malformed("Fn::Select", argument)),
        }
    }

    fn find_in_map(&self, argument: &Value) -> Answer {
        let parts = self.list("Fn::FindInMap", argument)?;
        match parts.as_slice() {
            [map, first, second] => {
                let found = self.in_map(&plain(map), &plain(first), &plain(second));
                found.map(Some).ok_or_else(|| malformed("Fn::FindInMap", argument))
            }
            _ => Err(malformed("Fn::FindInMap", argument)),
        }
    }
}

/// A scalar as text.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
