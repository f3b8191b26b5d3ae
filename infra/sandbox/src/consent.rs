//! The page on which a person agrees, and the codes that it gives (RFC 6749, section 4.1; PKCE, RFC 7636). The person of this stand-in
//! agrees at once, or refuses, as the test says.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use crate::{Request, Response};

/// How long a code is good, in milliseconds.
const CODE_MS: i64 = 60_000;

/// A page of consent and its codes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Consent {
    /// Where the page is.
    pub path: String,
    /// The redirect URLs that the app has registered. A loopback URL may have any port, if `any_port`.
    pub redirects: Vec<String>,
    /// Whether the port of a loopback redirect does not matter.
    pub any_port: bool,
    /// The scopes that the app may ask for; empty: any.
    pub scopes: Vec<String>,
    /// The person refuses.
    pub refuses: bool,
    codes: BTreeMap<String, Code>,
    made: u64,
}

impl Default for Consent {
    fn default() -> Consent {
        Consent {
            path: "/oauth/authorize".to_owned(),
            redirects: Vec::new(),
            any_port: false,
            scopes: Vec::new(),
            refuses: false,
            codes: BTreeMap::new(),
            made: 0,
        }
    }
}

/// A code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Code {
    redirect: String,
    challenge: String,
    scope: String,
    until_ms: i64,
    used: bool,
}

/// Why a code is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodeRefused {
    /// It is unknown, too old, or for another redirect or verifier.
    Invalid,
    /// It was used before: whoever uses it now has stolen it, or had it stolen.
    Reused,
}

impl Consent {
    /// A page at this path, for an app with these redirect URLs, whose ports do not matter. The person agrees.
    pub fn new(path: &str, redirects: &[&str]) -> Consent {
        let redirects = redirects.iter().map(|url| (*url).to_owned()).collect();
        Consent { path: path.to_owned(), redirects, any_port: true, ..Consent::default() }
    }

    /// Answers the request for consent of the client with this id: a redirect, or a page where the redirect cannot be trusted.
    pub fn handle(&mut self, request: &Request, client_id: &str, now_ms: i64) -> Response {
        let value = |name: &str| request.param(name).unwrap_or_default().to_owned();
        let redirect = value("redirect_uri");
        if request.method != "GET" || value("client_id") != client_id || !self.is_registered(&redirect) {
            return page(400, "The app or its redirect URL is not known.");
        }
        let state = value("state");
        let problem = if value("response_type") != "code" {
            Some("unsupported_response_type")
        } else if value("code_challenge_method") != "S256" || value("code_challenge").len() != 43 || state.is_empty() {
            Some("invalid_request")
        } else if !self.scopes.is_empty() && !value("scope").split(' ').all(|scope| self.scopes.iter().any(|own| own == scope)) {
            Some("invalid_scope")
        } else {
            self.refuses.then_some("access_denied")
        };
        let mut answer = form_urlencoded::Serializer::new(String::new());
        match problem {
            Some(error) => {
                answer.append_pair("error", error).append_pair("error_description", "the stand-in refuses");
            }
            None => {
                self.made += 1;
                let code = format!("code-{}", self.made);
                let until_ms = now_ms + CODE_MS;
                let issued = Code {
                    redirect: redirect.clone(),
                    challenge: value("code_challenge"),
                    scope: value("scope"),
                    until_ms,
                    used: false,
                };
                answer.append_pair("code", &code);
                self.codes.insert(code, issued);
            }
        }
        let answer = answer.append_pair("state", &state).finish();
        let mark = if redirect.contains('?') { '&' } else { '?' };
        Response::empty(302).with("location", format!("{redirect}{mark}{answer}"))
    }

    /// Exchanges a code for the scopes to which the person agreed.
    ///
    /// # Errors
    /// The code does not fit, or was used before.
    pub fn take(&mut self, code: &str, redirect: &str, verifier: &str, now_ms: i64) -> Result<String, CodeRefused> {
        let known = self.codes.get_mut(code).ok_or(CodeRefused::Invalid)?;
        if known.used {
            return Err(CodeRefused::Reused);
        }
        known.used = true;
        let fits = URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes())) == known.challenge;
        if now_ms > known.until_ms || redirect != known.redirect || !fits || verifier.len() < 43 {
            return Err(CodeRefused::Invalid);
        }
        Ok(known.scope.clone())
    }

    fn is_registered(&self, redirect: &str) -> bool {
        let bare = |url: &str| without_port(url).unwrap_or_else(|| url.to_owned());
        self.redirects.iter().any(|own| own == redirect || self.any_port && bare(own) == bare(redirect))
    }
}

/// A loopback URL without its port.
fn without_port(url: &str) -> Option<String> {
    let rest = url.strip_prefix("http://127.0.0.1").or_else(|| url.strip_prefix("http://localhost"))?;
    Some(rest.find('/').map_or(String::new(), |at| rest[at..].to_owned()))
}

fn page(status: u16, text: &str) -> Response {
    let mut response = Response::empty(status).with("content-type", "text/plain");
    response.body = text.as_bytes().to_vec();
    response
}
