//! The section of `hub.toml` that connects a provider: `hub add` writes it, and the README of each provider shows it.

use canonical::Lane;
use providers::Provider;
use webhook::Scheme;

/// What a connection needs in `hub.toml`, and what to store for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// The text of the section, with a line end.
    pub text: String,
    /// The names of its secrets, each with what it holds.
    pub secrets: Vec<(String, &'static str)>,
    /// The keys whose values only the user knows.
    pub to_fill_in: Vec<&'static str>,
}

/// The section of a connection to a provider. The hub writes to it if the provider can be written to.
pub fn section(provider: &Provider, connection: &str) -> Section {
    let manifest = provider.manifest();
    let (api, destinations) = (&manifest.api, &manifest.destinations);
    let mut lines = Lines::default();
    lines.text += &format!("[connections.{connection}]\n");
    lines.add("provider", &quoted(&manifest.provider.name), "");
    let roles = if destinations.is_empty() { "[\"source\"]" } else { "[\"source\", \"destination\"]" };
    lines.add("roles", roles, "");
    lines.add("lane", if manifest.provider.lane == Lane::Urgent { "\"urgent\"" } else { "\"bulk\"" }, "");
    let mut secrets = Vec::new();
    if matches!(manifest.webhook.scheme, Scheme::Sns(_)) {
        lines.fill_in("signature", "{ topics = [\"arn:aws:sns:eu-central-1:111122223333:topic\"] }", "your topic");
    } else {
        let name = format!("{connection}/signing");
        lines.add("signing_secret", &quoted(&name), "");
        secrets.push((name, "what signs its webhooks"));
    }
    if !api.fetch.is_empty() || !destinations.is_empty() {
        let name = format!("{connection}/api");
        lines.add("api_secret", &quoted(&name), "");
        secrets.push((name, "{\"access_token\": \"...\"}"));
        match api.base_url.as_str() {
            "" => lines.fill_in("base_url", "\"https://example.com\"", "where your account's API is"),
            url if !destinations.is_empty() => lines.add("base_url", &quoted(url), ""),
            _ => {}
        }
    }
    if api.fetch.values().chain(api.headers.values()).any(|text| text.contains("{account}")) {
        lines.fill_in("account", "\"your account\"", "its id at the provider");
    }
    if !destinations.is_empty() {
        let natives: Vec<String> = destinations.iter().map(|destination| quoted(&destination.native)).collect();
        lines.add("sweep", &format!("[{}]", natives.join(", ")), "");
    }
    lines.fill_in("owner", "\"a team or a person\"", "alerts name it");
    lines.add("sla", "\"10m\"", "");
    Section { text: lines.text, secrets, to_fill_in: lines.to_fill_in }
}

#[derive(Default)]
struct Lines {
    text: String,
    to_fill_in: Vec<&'static str>,
}

impl Lines {
    fn add(&mut self, key: &str, value: &str, comment: &str) {
        let comment = if comment.is_empty() { String::new() } else { format!("  # {comment}") };
        self.text += &format!("{key} = {value}{comment}\n");
    }

    /// A line with an example, in place of which the user writes a value.
    fn fill_in(&mut self, key: &'static str, value: &str, comment: &str) {
        self.add(key, value, comment);
        self.to_fill_in.push(key);
    }
}

fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{DEFAULT, Loaded};
    use crate::configuration::provider;

    #[test]
    fn every_section_compiles() {
        for name in Provider::builtin_names() {
            let section = section(&provider(name).unwrap(), "another");
            let loaded = Loaded::new("hub.toml", format!("{DEFAULT}\n{}", section.text), None);
            assert!(loaded.sound().is_ok(), "{name}: {}\n{}", section.text, loaded.report(false));
        }
    }
}
