//! What the tests share: schemes as a manifest declares them, and requests.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use webhook::vectors::Declared;
use webhook::{Headers, HttpReply, RawRequest, Webhook};

/// 2026-09-21T14:13:20Z, the clock of all test data.
pub const NOW_MS: i64 = 1_790_000_000_000;

pub static WEBHOOKS: LazyLock<BTreeMap<String, Webhook>> =
    LazyLock::new(|| toml::from_str(include_str!("schemes.toml")).expect("the declarations parse"));

pub fn webhook(name: &str) -> &'static Webhook {
    WEBHOOKS.get(name).expect("a declared form")
}

/// What a vector is judged by: ordinary events are answered 200, with nothing.
pub fn declared(name: &str) -> Option<Declared> {
    let accepted = HttpReply { status: 200, content_type: None, body: Vec::new() };
    WEBHOOKS.get(name).map(|webhook| Declared { webhook: webhook.clone(), accepted })
}

pub fn request<'a>(method: &'a str, url: &'a str, headers: &'a Headers, body: &'a [u8]) -> RawRequest<'a> {
    RawRequest { method, url, headers, body }
}
