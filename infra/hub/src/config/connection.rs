//! Connections: one account at one provider each.

use std::collections::BTreeMap;

use canonical::Lane;
use mapping::file::{Entries, Report, Span, Spanned, suggestion};
use providers::api_of;
use sync::config::{Bucket, Connection};

use super::file::{ConnectionTable, RateTable, Role};

/// How a connection differs from its provider's folder.
#[derive(Debug, Clone, Default)]
pub struct ConnectionOverride {
    /// The signature versions that it accepts.
    pub accept: Option<Vec<String>>,
    /// How far the sender's clock may be off, in seconds.
    pub tolerance_s: Option<u32>,
    /// The topics of Amazon SNS that are its own.
    pub topics: Option<Vec<String>>,
    /// Mapping files of its own, relative to `hub.toml`, by the name of the provider's mapping file that they change.
    pub mappings: BTreeMap<String, Spanned<String>>,
    /// The account's time zone.
    pub time_zone: Option<String>,
}

/// A connection's name is part of URLs, queue names and keys.
pub(super) fn check_name(name: &Spanned<String>, report: &mut Report) {
    let text = name.get_ref();
    let fits = text.len() <= 40
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !fits {
        let help = "use up to 40 lower-case letters, digits and `-`: it is part of URLs and queue names";
        report.error(name.span(), format!("`{text}` cannot be the name of a connection")).help(help);
    }
}

/// Takes what differs from the provider's folder out of a table.
pub(super) fn connection_override(table: &mut ConnectionTable) -> ConnectionOverride {
    let signature = std::mem::take(&mut table.signature);
    let mappings = std::mem::take(&mut table.mappings);
    ConnectionOverride {
        accept: signature.accept,
        tolerance_s: signature.tolerance.map(|ms| u32::try_from(ms.0 / 1_000).unwrap_or(u32::MAX)),
        topics: signature.topics,
        mappings: mappings.0.into_iter().map(|(map, file)| (map.into_inner(), file)).collect(),
        time_zone: table.time_zone.as_ref().map(|zone| zone.get_ref().clone()),
    }
}

/// Compiles a connection; `None` when it names no provider.
pub(super) fn connection(
    name: &str,
    at: &Span,
    table: ConnectionTable,
    providers: &[&str],
    report: &mut Report,
) -> Option<Connection> {
    check(name, at, &table, report);
    let provider = table.provider?;
    if !providers.contains(&provider.get_ref().as_str()) {
        let help = suggestion(provider.get_ref(), providers.iter().copied());
        report
            .error(provider.span(), format!("there is no provider `{}`", provider.get_ref()))
            .label("unknown provider")
            .help(help);
    }
    Some(Connection {
        provider: provider.into_inner(),
        source: table.roles.contains(&Role::Source),
        destination: table.roles.contains(&Role::Destination),
        lane: table.lane.unwrap_or(Lane::Urgent),
        base_url: table.base_url.map(Spanned::into_inner).unwrap_or_default(),
        hosts: Vec::new(),
        account: table.account,
        tenant: table.tenant,
        auth_url: table.auth_url.map(Spanned::into_inner).unwrap_or_default(),
        api_version: table.api_version,
        signing_secret: table.signing_secret.map(Spanned::into_inner),
        api_secret: table.api_secret.map(Spanned::into_inner),
        buckets: bucket(&table.rate, report).into_iter().collect(),
        write_headers: write_headers(table.write_headers, report),
        owner: table.owner,
        sweep: table.sweep.into_iter().map(Spanned::into_inner).collect(),
        test_records: table.test_records,
    })
}

/// What no single key of a connection can be blamed for.
fn check(name: &str, at: &Span, table: &ConnectionTable, report: &mut Report) {
    let destination = table.roles.contains(&Role::Destination);
    // A provider that cannot be swept is reported as such, whatever else the connection lacks.
    let swept = !table.sweep.is_empty() && table.provider.as_ref().is_some_and(|name| api_of(name.get_ref()).is_some());
    for (key, is_there) in [("base_url", table.base_url.is_some()), ("api_secret", table.api_secret.is_some())] {
        if !is_there && (destination || swept) {
            let why = if destination { "it is written to" } else { "it is swept" };
            report.error(at.clone(), format!("connection `{name}` has no `{key}`")).label(why);
        }
    }
    if let Some(zone) = &table.time_zone
        && let Err(fault) = mapping::normal::zone(zone.get_ref())
    {
        report.error(zone.span(), format!("`{}`: {fault}", zone.get_ref())).help("for example time_zone = \"Europe/Berlin\"");
    }
    if table.owner.is_empty() {
        let help = "add owner = \"a team or a person\": alarms name it";
        report.warning(at.clone(), format!("nobody answers for connection `{name}`")).help(help);
    }
    for (key, url) in [("base_url", &table.base_url), ("auth_url", &table.auth_url)] {
        url.iter().for_each(|url| check_url(key, url, report));
    }
    if !table.tenant.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.')) {
        report.error(at.clone(), format!("`tenant` of `{name}` is neither an id nor a domain"));
    }
}

/// Headers of the connection's own; those by which the hub signs in and frames its requests are not among them.
fn write_headers(table: Entries<Spanned<String>>, report: &mut Report) -> BTreeMap<String, String> {
    let mut headers = BTreeMap::new();
    for (name, value) in table.0 {
        let lower = name.get_ref().to_ascii_lowercase();
        let is_name = !lower.is_empty() && lower.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let is_own = matches!(lower.as_str(), "authorization" | "host" | "content-type" | "content-length" | "accept" | "cookie");
        if !is_name || is_own || value.get_ref().chars().any(char::is_control) {
            report.error(name.span(), format!("`{}` cannot be set for the hub's calls", name.get_ref()));
        }
        headers.insert(lower, value.into_inner());
    }
    headers
}

fn check_url(key: &str, url: &Spanned<String>, report: &mut Report) {
    let text = url.get_ref();
    let host = text.strip_prefix("https://").unwrap_or_default();
    if host.is_empty() || host.contains('@') || host.contains(char::is_whitespace) {
        report.error(url.span(), format!("`{key}` must be an absolute https URL")).help("for example https://api.hubapi.com");
    } else if text.ends_with('/') {
        report.error(url.span(), format!("`{key}` must not end in a slash"));
    }
}

/// The account's own rate, in place of those of the provider's manifest.
fn bucket(rate: &RateTable, report: &mut Report) -> Option<Bucket> {
    let (requests, per) = (rate.requests?, rate.per.as_ref()?);
    let window_ms = per.get_ref().0;
    if window_ms == 0 {
        report.error(per.span(), "`per` must be longer than nothing").help("rate = { requests = 100, per = \"10s\" }");
        return None;
    }
    Some(Bucket::of("rate", requests, window_ms))
}
