//! Reads one record of a provider whose manifest gives a path for it (`[api.fetch]`): builds the request and reads the response,
//! without I/O.
//!
//! Providers that the hub writes to, or reads in batches, have an `api.rs`: [`crate::api::Api`].

use crate::api::{CallFailure, FailureKind, RowFailure};
use crate::http::{HttpRequest, HttpResponse, percent_encode};
use crate::provider::Provider;

/// Which record to read.
#[derive(Clone, Copy)]
pub struct Fetch<'a> {
    /// Scheme and host, and perhaps a path, without a slash at the end.
    pub base_url: &'a str,
    /// The account within the provider (tenant, company), where its API needs it.
    pub account: &'a str,
    /// The provider's own name of the object type.
    pub object: &'a str,
    /// The record's id.
    pub id: &'a str,
    /// Where the id names a collection: read what changed since this time, in milliseconds since the epoch.
    pub since_ms: i64,
}

impl Provider {
    /// The request that reads a record, without credentials; `None` when the manifest has no path for its object type.
    /// [`parse_fetched`] parses the response.
    pub fn fetch(&self, fetch: &Fetch<'_>) -> Option<HttpRequest> {
        let api = &self.manifest().api;
        let path = fill_in(api.fetch.get(fetch.object)?, fetch);
        let accept = ("accept".to_owned(), "application/json".to_owned());
        let declared = api.headers.iter().map(|(name, value)| (name.clone(), value.replace("{account}", fetch.account)));
        Some(HttpRequest {
            method: "GET",
            url: format!("{}{path}", fetch.base_url),
            headers: [accept].into_iter().chain(declared).collect(),
            body: Vec::new(),
            timeout_ms: api.timeout_ms,
        })
    }
}

/// Fills in the template of a path. Of an id that is a URL (Google's push channels name what they watch in this way) only the path is
/// used, so that a message never chooses the host that is called.
fn fill_in(template: &str, fetch: &Fetch<'_>) -> String {
    let since = jiff::Timestamp::from_millisecond(fetch.since_ms).map(|t| t.to_string()).unwrap_or_default();
    let path = fetch.id.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map_or("", |(_, path)| path);
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let path: Vec<String> = path.split('/').filter(|part| !matches!(*part, "" | "." | "..")).map(allowed_in_path).collect();
    template
        .replace("{id}", &percent_encode(fetch.id))
        .replace("{path}", &path.join("/"))
        .replace("{account}", &percent_encode(fetch.account))
        .replace("{since}", &percent_encode(&since))
}

/// A part of a path that is escaped already, without the characters that no path contains.
fn allowed_in_path(part: &str) -> String {
    let allowed = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'}');
    part.bytes().filter(|byte| allowed(*byte)).map(char::from).collect()
}

/// The record as the provider returned it; `None` when it no longer exists.
///
/// # Errors
/// The call failed.
pub fn parse_fetched(response: &HttpResponse) -> Result<Option<Vec<u8>>, CallFailure> {
    match response.status {
        200..=299 => Ok(Some(response.body.clone())),
        404 | 410 => Ok(None),
        status => Err(RowFailure::new(FailureKind::of_status(response), format!("HTTP_{status}"), "")),
    }
}
