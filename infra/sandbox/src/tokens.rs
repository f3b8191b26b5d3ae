//! A token endpoint (RFC 6749) as strict as the providers' own: access tokens that end, refresh tokens that rotate or do not, a grace
//! for the old one, reuse after it that ends the whole grant, clients that must prove themselves in the declared way.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::consent::{CodeRefused, Consent};
use crate::{Request, Response};

/// How a token endpoint behaves. `Debug` shows no secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Where it is.
    pub path: String,
    /// The client that may use it.
    pub client_id: String,
    /// The client's secret.
    pub client_secret: String,
    /// True where the client proves itself by HTTP Basic, false where it does so in the body. The other way is refused.
    pub basic: bool,
    /// How long an access token is good, in seconds.
    pub lifetime_s: i64,
    /// Whether answers say how long: Salesforce's do not.
    pub tells_lifetime: bool,
    /// True when each refresh gives a new refresh token.
    pub rotates: bool,
    /// How long the old refresh token still works after that, in seconds. Its use after that ends the grant.
    pub grace_s: i64,
    /// By how much the endpoint's clock is ahead, in milliseconds.
    pub clock_ahead_ms: i64,
    /// The page on which a person agrees, if there is one.
    pub consent: Option<Consent>,
    /// The first word of its tokens, so that those of two endpoints differ.
    pub prefix: String,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            path: "/oauth/v1/token".to_owned(),
            client_id: "sandbox-client".to_owned(),
            client_secret: "sandbox-client-secret".to_owned(),
            basic: false,
            lifetime_s: 1_800,
            tells_lifetime: true,
            rotates: true,
            grace_s: 1_800,
            clock_ahead_ms: 0,
            consent: None,
            prefix: "sandbox".to_owned(),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Options {{ path: {}, lifetime_s: {}, rotates: {} }}", self.path, self.lifetime_s, self.rotates)
    }
}

/// A refresh token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Refresh {
    grant: u64,
    /// When a newer one took its place.
    superseded_ms: Option<i64>,
}

/// A token endpoint with its grants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenEndpoint {
    options: Options,
    issued: u64,
    refresh: BTreeMap<String, Refresh>,
    /// Access tokens: when each ends, and the grant that it is from.
    access: BTreeMap<String, (i64, u64)>,
    /// How each grant ended that is over.
    over: BTreeMap<u64, String>,
}

/// A pair of tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The access token.
    pub access: String,
    /// The refresh token.
    pub refresh: String,
}

impl TokenEndpoint {
    /// An endpoint without grants.
    pub fn new(options: Options) -> TokenEndpoint {
        TokenEndpoint { options, issued: 0, refresh: BTreeMap::new(), access: BTreeMap::new(), over: BTreeMap::new() }
    }

    /// A person agrees: a new grant with its first pair.
    pub fn connect(&mut self, now_ms: i64) -> Pair {
        let grant = self.next();
        Pair { access: self.issue_access(grant, now_ms), refresh: self.issue_refresh(grant) }
    }

    /// A person withdraws every grant, and with it every token.
    pub fn revoke(&mut self) {
        let grants: Vec<u64> = self.refresh.values().map(|refresh| refresh.grant).collect();
        grants.into_iter().for_each(|grant| self.end(grant, "revoked"));
    }

    /// Every access token ends now: a session policy was changed, or the token lived shorter than it said.
    pub fn expire(&mut self, now_ms: i64) {
        self.access.values_mut().for_each(|(until_ms, _)| *until_ms = (*until_ms).min(now_ms + self.options.clock_ahead_ms));
    }

    /// Whether an access token is known, and good now.
    pub fn access_is_good(&self, token: &str, now_ms: i64) -> Option<bool> {
        self.access.get(token).map(|(until_ms, _)| now_ms + self.options.clock_ahead_ms < *until_ms)
    }

    /// How the grants ended that are over: `revoked`, or `reused` when an old refresh token was used after its grace.
    pub fn over(&self) -> Vec<&str> {
        self.over.values().map(String::as_str).collect()
    }

    /// The number in a token's name: tokens are numbered in the order in which they were made.
    pub fn number(token: &str) -> u64 {
        token.rsplit('-').next().and_then(|number| number.parse().ok()).unwrap_or(0)
    }

    /// Answers a request to the endpoint; `None` for every other path.
    pub fn handle(&mut self, request: &Request, now_ms: i64) -> Option<Response> {
        let Options { consent, client_id, clock_ahead_ms, .. } = &mut self.options;
        if let Some(consent) = consent.as_mut().filter(|consent| consent.path == request.path) {
            return Some(consent.handle(request, client_id, now_ms + *clock_ahead_ms));
        }
        (request.path == self.options.path).then(|| {
            let now_ms = now_ms + self.options.clock_ahead_ms;
            match self.token(request, now_ms) {
                Ok(answer) => Response::json(200, &answer).with("cache-control", "no-store"),
                Err((status, code)) => Response::json(status, &json!({ "error": code, "error_description": "refused" })),
            }
        })
    }

    fn token(&mut self, request: &Request, now_ms: i64) -> Result<Value, (u16, &'static str)> {
        let form = request.header("content-type").is_some_and(|media| media.starts_with("application/x-www-form-urlencoded"));
        if request.method != "POST" || !form || !request.query.is_empty() {
            return Err((400, "invalid_request"));
        }
        let pairs: Vec<(String, String)> = form_urlencoded::parse(&request.body).into_owned().collect();
        let parameter = |name: &str| {
            let mut values = pairs.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str());
            // A parameter must not be repeated.
            values.next().filter(|_| values.next().is_none())
        };
        self.check_client(request, parameter("client_id"), parameter("client_secret"))?;
        let mut answer = json!({ "token_type": "bearer" });
        if self.options.tells_lifetime {
            answer["expires_in"] = json!(self.options.lifetime_s);
        }
        match parameter("grant_type") {
            Some("refresh_token") => {
                let token = parameter("refresh_token").ok_or((400, "invalid_request"))?;
                let grant = self.check_refresh(token, now_ms)?;
                if self.options.rotates {
                    let others = self.refresh.values_mut().filter(|refresh| refresh.grant == grant);
                    others.for_each(|refresh| _ = refresh.superseded_ms.get_or_insert(now_ms));
                    answer["refresh_token"] = json!(self.issue_refresh(grant));
                }
                answer["access_token"] = json!(self.issue_access_at(grant, now_ms));
            }
            Some("authorization_code") => {
                let needed = |name| parameter(name).ok_or((400_u16, "invalid_request"));
                let (code, redirect, verifier) = (needed("code")?, needed("redirect_uri")?, needed("code_verifier")?);
                let consent = self.options.consent.as_mut().ok_or((400_u16, "unsupported_grant_type"))?;
                let scope = match consent.take(code, redirect, verifier, now_ms) {
                    Ok(scope) => scope,
                    Err(refused) => {
                        // A code that comes twice was stolen: what it gave ends (RFC 6749, section 4.1.2).
                        if refused == CodeRefused::Reused {
                            self.revoke();
                        }
                        return Err((400, "invalid_grant"));
                    }
                };
                let grant = self.next();
                answer["access_token"] = json!(self.issue_access_at(grant, now_ms));
                answer["refresh_token"] = json!(self.issue_refresh(grant));
                answer["scope"] = json!(scope);
            }
            Some("client_credentials") => {
                let grant = self.next();
                answer["access_token"] = json!(self.issue_access_at(grant, now_ms));
            }
            Some(_) => return Err((400, "unsupported_grant_type")),
            None => return Err((400, "invalid_request")),
        }
        Ok(answer)
    }

    fn check_client(&self, request: &Request, id: Option<&str>, secret: Option<&str>) -> Result<(), (u16, &'static str)> {
        let Options { client_id, client_secret, basic, .. } = &self.options;
        let header = request.header("authorization");
        let proved = match basic {
            true => {
                header == Some(&format!("Basic {}", STANDARD.encode(format!("{client_id}:{client_secret}")))) && secret.is_none()
            }
            false => header.is_none() && id == Some(client_id) && secret == Some(client_secret),
        };
        if proved { Ok(()) } else { Err((401, "invalid_client")) }
    }

    /// The grant of a refresh token. An old one whose grace is over has been stolen, as far as the endpoint can know.
    fn check_refresh(&mut self, token: &str, now_ms: i64) -> Result<u64, (u16, &'static str)> {
        let refused = (400, "invalid_grant");
        let Refresh { grant, superseded_ms } = self.refresh.get(token).cloned().ok_or(refused)?;
        if self.over.contains_key(&grant) {
            return Err(refused);
        }
        if superseded_ms.is_some_and(|at_ms| now_ms > at_ms + self.options.grace_s * 1_000) {
            self.end(grant, "reused");
            return Err(refused);
        }
        Ok(grant)
    }

    fn end(&mut self, grant: u64, how: &str) {
        self.over.entry(grant).or_insert_with(|| how.to_owned());
        self.access.retain(|_, (_, of)| *of != grant);
    }

    fn next(&mut self) -> u64 {
        self.issued += 1;
        self.issued
    }

    fn issue_access(&mut self, grant: u64, now_ms: i64) -> String {
        self.issue_access_at(grant, now_ms + self.options.clock_ahead_ms)
    }

    fn issue_access_at(&mut self, grant: u64, now_ms: i64) -> String {
        let number = self.next();
        let token = format!("{}-access-{number}", self.options.prefix);
        self.access.insert(token.clone(), (now_ms + self.options.lifetime_s * 1_000, grant));
        token
    }

    fn issue_refresh(&mut self, grant: u64) -> String {
        let number = self.next();
        let token = format!("{}-refresh-{number}", self.options.prefix);
        self.refresh.insert(token.clone(), Refresh { grant, superseded_ms: None });
        token
    }
}
