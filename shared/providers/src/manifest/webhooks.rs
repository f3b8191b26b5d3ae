//! The section `[api.webhooks]` of a manifest: how webhooks are registered at the provider.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How webhooks are registered: by the provider's API, or by a person.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhooksApi {
    /// What a person does, as a sentence in the imperative: all of it where there is no call, or what the calls leave.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub by_hand: String,
    /// The topics that the maps and rules of the folder want, in the words of the registration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub topics: Vec<String>,
    /// True when each topic is a subscription of its own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub per_topic: bool,
    /// The scopes that registering needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// The call that lists what is registered. Without it, there is no registration by API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<SubscriptionList>,
    /// The call that registers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create: Option<CallTemplate>,
    /// The call that gives a registered one all topics, and switches it on again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update: Option<CallTemplate>,
    /// The call that removes one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete: Option<CallTemplate>,
    /// Where the provider tells the secret that it signs with, if it makes that secret itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretSource>,
}

/// The call that lists what is registered, and where its answer has what. The values are JSON pointers (RFC 6901).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubscriptionList {
    /// The path.
    pub path: String,
    /// The list in the answer; empty: the answer is the list.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub items: String,
    /// The id in an item.
    pub id: String,
    /// The URL in an item.
    pub url: String,
    /// The topics in an item: a list, a text, or an object of flags (an empty pointer means the item); absent: an item has all topics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topics: Option<String>,
    /// Members of an item and the values that they have as long as it is switched on.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub enabled: BTreeMap<String, String>,
}

/// A call, with placeholders in path and body: `{account}`, `{version}`, `{id}`, `{url}`, `{topic}`, `{topics}` (the whole list),
/// `{secret}`, and `{secret_user}` and `{secret_password}` for its parts before and behind the colon.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallTemplate {
    /// The method.
    pub method: CallMethod,
    /// The path.
    pub path: String,
    /// True when the body is form parameters; otherwise it is JSON.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub form: bool,
    /// The body.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub body: Value,
}

/// The method of a call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum CallMethod {
    /// Reads.
    Get,
    /// Creates.
    #[default]
    Post,
    /// Replaces.
    Put,
    /// Changes.
    Patch,
    /// Removes.
    Delete,
}

impl CallMethod {
    /// Its name in a request.
    pub const fn name(self) -> &'static str {
        match self {
            CallMethod::Get => "GET",
            CallMethod::Post => "POST",
            CallMethod::Put => "PUT",
            CallMethod::Patch => "PATCH",
            CallMethod::Delete => "DELETE",
        }
    }
}

/// Where the provider tells the secret that it signs with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretSource {
    /// A JSON pointer into the answer of the call, or of `create` if there is no call.
    pub from: String,
    /// A further call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<CallTemplate>,
}

impl WebhooksApi {
    /// What no single key can be blamed for.
    pub fn check(&self) -> Result<(), String> {
        let calls = [&self.create, &self.update, &self.delete].into_iter().flatten();
        if self.list.is_none() && (calls.count() > 0 || self.secret.is_some() || self.per_topic) {
            return Err("`[api.webhooks]` has calls and no `list`: without it nobody knows what is registered already".to_owned());
        }
        if self.list.is_none() && self.by_hand.is_empty() {
            return Err("`[api.webhooks]` says neither which calls register nor what a person does".to_owned());
        }
        if self.list.is_some() && (self.create.is_none() || self.delete.is_none() || self.topics.is_empty()) {
            return Err("`[api.webhooks]` with `list` needs `create`, `delete` and `topics`".to_owned());
        }
        match &self.list {
            Some(list) if self.per_topic && list.topics.is_none() => {
                Err("`[api.webhooks]` with `per_topic` needs `list.topics`".to_owned())
            }
            _ => Ok(()),
        }
    }
}
