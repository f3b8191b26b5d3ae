//! The folders as a whole: they compile, survive packing, and declare the reads that their events need.

use providers::fetch::Fetch;
use providers::{Overrides, Provider};
use serde_json::json;

use crate::golden::{fixtures, mapped, read};

#[test]
fn every_folder_compiles_and_survives_packing() {
    for name in Provider::builtin_names() {
        let provider = Provider::builtin(name, &Overrides::default()).unwrap_or_else(|e| panic!("{name}:\n{e}"));
        let packed = provider.to_packed();
        let opened = Provider::from_packed(&packed).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(opened.to_packed(), packed, "{name}");
    }
}

/// A thin event whose record cannot be read becomes a dead letter each time.
#[test]
fn every_record_that_a_thin_event_names_can_be_read() {
    for name in Provider::builtin_names() {
        let provider = Provider::builtin(name, &Overrides::default()).unwrap();
        for file in fixtures(name) {
            let golden = mapped(&provider, &read(&file)).to_string();
            let events: Vec<serde_json::Value> = serde_json::from_str(&golden).unwrap_or_default();
            for wanted in events.iter().filter_map(|event| event["body"]["fetch"].as_array()).flatten() {
                let object = wanted["object"].as_str().unwrap();
                let declared = provider.manifest().api.fetch.contains_key(object) || providers::api_of(name).is_some();
                assert!(declared || provider.object_of(object).is_none(), "{name} cannot read `{object}`: {}", file.display());
            }
        }
    }
}

#[test]
fn a_record_is_read_only_at_the_configured_host() {
    let about = json!({"name": "made-up", "title": "Made up"});
    let api = json!({"fetch": {"page": "/{path}?updatedMin={since}&max=9", "thing": "/v2/things/{id}"}, "headers": {"tenant": "{account}"}});
    let packed = json!({"manifest": {"provider": about, "webhook": {"scheme": {"form": "basic"}}, "api": api}, "maps": []});
    let provider = Provider::from_packed(&packed.to_string()).unwrap();
    let request = |object, id| {
        let at = Fetch { base_url: "https://api.example", account: "ours", object, id, since_ms: 1_790_000_000_000 };
        provider.fetch(&at).unwrap()
    };
    let page = |id| request("page", id).url;
    let wanted = "https://api.example/v3/calendars/a%40b/events?updatedMin=2026-09-21T14%3A13%3A20Z&max=9";
    assert_eq!(page("https://www.example.com/v3/calendars/a%40b/events?alt=json"), wanted);
    assert!(page("https://evil.example/../..//x@y\r\nhost: z").starts_with("https://api.example/x@yhost:z?"));
    assert!(page("no-url").starts_with("https://api.example/?"));
    let thing = request("thing", "a/../b");
    assert_eq!(thing.url, "https://api.example/v2/things/a%2F..%2Fb");
    assert!(thing.headers.contains(&("tenant".into(), "ours".into())));
}

#[test]
fn scopes_are_declared_for_objects_that_the_folder_reads_or_writes() {
    for name in Provider::builtin_names() {
        let provider = Provider::builtin(name, &Overrides::default()).unwrap();
        let api = &provider.manifest().api;
        for object in api.scopes.keys() {
            let known = provider.object_of(object).is_some() || api.fetch.contains_key(object);
            assert!(known, "{name}: [api.scopes] names `{object}`, which the folder does not know");
        }
        assert!(
            api.fetch.is_empty() || !api.auth.is_empty(),
            "{name}: the hub reads there, and no form of credentials is declared"
        );
        assert_eq!(api.auth.is_empty(), api.probe.is_none(), "{name}: credentials are tried by a read, and only they");
    }
}

/// A topic that no rule handles would only bring events that are thrown away.
#[test]
fn the_topics_that_are_registered_are_handled() {
    let matches = |pattern: &str, text: &str| match pattern.split_once('*') {
        Some((start, end)) => text.len() >= start.len() + end.len() && text.starts_with(start) && text.ends_with(end),
        None => pattern == text,
    };
    // The others name objects or flags instead of event types.
    for name in ["mailchimp", "shopify", "stripe", "typeform", "zendesk"] {
        let provider = Provider::builtin(name, &Overrides::default()).unwrap();
        let manifest = provider.manifest();
        let (webhooks, events) = (manifest.api.webhooks.as_ref().unwrap(), manifest.events.as_ref().unwrap());
        for topic in &webhooks.topics {
            let unconditional = events.on.iter().filter(|rule| rule.when.is_empty());
            let rule = unconditional.clone().find(|rule| rule.types.as_slice().iter().any(|pattern| matches(pattern, topic)));
            let conditional = events.on.iter().any(|rule| rule.types.as_slice().iter().any(|pattern| matches(pattern, topic)));
            let ignored = rule.is_some_and(|rule| rule.action == providers::EventAction::Ignore);
            assert!(conditional && !ignored, "{name}: no rule handles `{topic}`");
        }
    }
}
