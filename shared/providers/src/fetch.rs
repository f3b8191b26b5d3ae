//! Reading one record of a provider that only needs a path for it: what the manifest's `[api.fetch]` declares, without I/O.
//!
//! Providers that are written to, or read in batches, have a protocol of their own: [`crate::api::Api`].

use crate::api::{CallFailure, FailureKind, RowFailure};
use crate::http::{HttpRequest, HttpResponse, percent};
use crate::provider::Provider;

/// Which record, and as whom.
#[derive(Clone, Copy)]
pub struct Fetch<'a> {
    /// Scheme and host, perhaps a path, without a slash at the end.
    pub base_url: &'a str,
    /// The access token.
    pub token: &'a str,
    /// The account within the provider (tenant, company), where its API asks for it.
    pub account: &'a str,
    /// The provider's own name of the object type.
    pub object: &'a str,
    /// The record's id.
    pub id: &'a str,
    /// From when on changes count, where the id names a collection; milliseconds since the epoch.
    pub since_ms: i64,
}

impl Provider {
    /// The request that reads a record; `None` when the manifest has no path for its object. Answer: [`fetched`].
    pub fn fetch(&self, fetch: &Fetch<'_>) -> Option<HttpRequest> {
        let api = &self.manifest().api;
        let path = filled(api.fetch.get(fetch.object)?, fetch);
        let bearer = ("authorization".to_owned(), format!("Bearer {}", fetch.token));
        let accept = ("accept".to_owned(), "application/json".to_owned());
        let own = api.headers.iter().map(|(name, value)| (name.clone(), value.replace("{account}", fetch.account)));
        Some(HttpRequest {
            method: "GET",
            url: format!("{}{path}", fetch.base_url),
            headers: [bearer, accept].into_iter().chain(own).collect(),
            body: Vec::new(),
            timeout_ms: api.timeout_ms,
        })
    }
}

/// The path with what it asks for. An id that is a URL, as push channels of Google name what they watch, gives its path alone:
/// a message never chooses the host that is called.
fn filled(template: &str, fetch: &Fetch<'_>) -> String {
    let since = jiff::Timestamp::from_millisecond(fetch.since_ms).map(|t| t.to_string()).unwrap_or_default();
    let path = fetch.id.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map_or("", |(_, path)| path);
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let path: Vec<String> = path.split('/').filter(|part| !matches!(*part, "" | "." | "..")).map(kept).collect();
    template
        .replace("{id}", &percent(fetch.id))
        .replace("{path}", &path.join("/"))
        .replace("{account}", &percent(fetch.account))
        .replace("{since}", &percent(&since))
}

/// A part of a path that is escaped already.
fn kept(part: &str) -> String {
    let fits = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'}');
    part.bytes().filter(|byte| fits(*byte)).map(char::from).collect()
}

/// The record as it came; `None` when it does not exist any more.
///
/// # Errors
/// The call failed.
pub fn fetched(r: &HttpResponse) -> Result<Option<Vec<u8>>, CallFailure> {
    match r.status {
        200..=299 => Ok(Some(r.body.clone())),
        404 | 410 => Ok(None),
        status => Err(RowFailure::new(FailureKind::of_status(r), format!("HTTP_{status}"), "")),
    }
}
