//! For operators: which single change would make a refused request verify.

use crate::encoding;
use crate::request::RawRequest;
use crate::scheme::Scheme;
use crate::verify::verify;

/// A single change under which a refused request verifies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Suspicion {
    /// The line end at the end of the body was removed, added or changed on the way.
    LineEnd,
    /// The line ends inside the body were rewritten.
    LineEnds,
    /// The sender called `http` and this side expects `https`, or the other way round.
    UrlScheme,
    /// The port is part of one URL and not of the other.
    UrlPort,
    /// The slash at the end of the path is part of one URL and not of the other.
    UrlSlash,
    /// The query is not part of the URL that the sender signed.
    UrlQuery,
    /// Another method than the sender's.
    Method,
    /// The secret was stored with a space or line end around it.
    SecretSpaces,
    /// The secret was stored without, or with, its prefix, or the sender takes it as plain text.
    SecretForm,
}

impl Suspicion {
    /// What to tell an operator.
    pub fn text(self) -> &'static str {
        match self {
            Suspicion::LineEnd => "it verifies with another line end at the end of the body: something trims or adds it",
            Suspicion::LineEnds => "it verifies with other line ends inside the body: something rewrites them",
            Suspicion::UrlScheme => "it verifies with the other of http and https: set the public URL as the provider calls it",
            Suspicion::UrlPort => "it verifies with another port in the URL: set the public URL as the provider calls it",
            Suspicion::UrlSlash => "it verifies with or without the slash at the end of the path: use the URL as registered",
            Suspicion::UrlQuery => "it verifies without the query of the URL: register the URL without one",
            Suspicion::Method => "it verifies with another method: something in between changed it",
            Suspicion::SecretSpaces => "it verifies with the secret trimmed: store it without spaces and line ends",
            Suspicion::SecretForm => "it verifies with the secret in another form: store it exactly as the provider shows it",
        }
    }
}

/// The single changes under which the request verifies: usually none, for a forgery or a wrong secret. For a request that
/// [`verify`] has refused, on an operator's machine; a front door must never call it.
pub fn diagnose(scheme: &Scheme, request: RawRequest<'_>, secrets: &[&str], now_ms: i64) -> Vec<Suspicion> {
    let mut found = Vec::new();
    let mut try_one = |suspicion, request: RawRequest<'_>, secrets: &[&str]| {
        if !found.contains(&suspicion) && verify(scheme, request, secrets, now_ms).is_ok() {
            found.push(suspicion);
        }
    };
    for (suspicion, body) in bodies(request.body) {
        try_one(suspicion, RawRequest { body: &body, ..request }, secrets);
    }
    for (suspicion, url) in urls(request.url) {
        try_one(suspicion, RawRequest { url: &url, ..request }, secrets);
    }
    for method in ["GET", "POST", "PUT", "PATCH"] {
        if method != request.method {
            try_one(Suspicion::Method, RawRequest { method, ..request }, secrets);
        }
    }
    for secret in secrets {
        for (suspicion, other) in other_secrets(secret) {
            try_one(suspicion, request, &[&other]);
        }
    }
    found
}

fn bodies(body: &[u8]) -> Vec<(Suspicion, Vec<u8>)> {
    let bare = body.trim_ascii_end();
    let mut out: Vec<(Suspicion, Vec<u8>)> =
        [&b""[..], b"\n", b"\r\n"].iter().map(|end| (Suspicion::LineEnd, [bare, end].concat())).collect();
    if let Ok(text) = std::str::from_utf8(body) {
        let unix = text.replace("\r\n", "\n");
        out.push((Suspicion::LineEnds, unix.replace('\n', "\r\n").into_bytes()));
        out.push((Suspicion::LineEnds, unix.into_bytes()));
    }
    out.retain(|(_, other)| other != body);
    out
}

fn urls(url: &str) -> Vec<(Suspicion, String)> {
    let mut out = Vec::new();
    let (base, query) = url.split_once('?').map_or((url, None), |(base, query)| (base, Some(query)));
    let with_query = |base: &str| query.map_or(base.to_owned(), |query| format!("{base}?{query}"));
    if let Some(rest) = url.strip_prefix("https://") {
        out.push((Suspicion::UrlScheme, format!("http://{rest}")));
    } else if let Some(rest) = url.strip_prefix("http://") {
        out.push((Suspicion::UrlScheme, format!("https://{rest}")));
    }
    out.extend(crate::url_form::with_other_port(url).into_iter().map(|other| (Suspicion::UrlPort, other)));
    out.push((Suspicion::UrlSlash, with_query(&base.strip_suffix('/').map_or(format!("{base}/"), str::to_owned))));
    if query.is_some() {
        out.push((Suspicion::UrlQuery, base.to_owned()));
    }
    out
}

fn other_secrets(secret: &str) -> Vec<(Suspicion, String)> {
    let mut out = vec![(Suspicion::SecretForm, format!("whsec_{secret}"))];
    out.push((Suspicion::SecretForm, format!("whsec_{}", encoding::to_base64(secret.as_bytes()))));
    if let Some(bare) = secret.strip_prefix("whsec_") {
        out.push((Suspicion::SecretForm, bare.to_owned()));
    }
    if secret.trim() != secret {
        out.push((Suspicion::SecretSpaces, secret.trim().to_owned()));
    }
    out
}
