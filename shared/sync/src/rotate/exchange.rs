//! What a token endpoint gets and what its answer means, without I/O (RFC 6749, RFC 7523).

use providers::http::percent_encode;
use providers::{Auth, ClientAuth, Grant};
use serde_json::Value;

use super::assertion::sign_assertion;
use crate::credential::{Credential, basic};
use crate::ports::{HttpRequest, HttpResponse};

/// How long a call to a token endpoint may take, in milliseconds.
pub(super) const TIMEOUT_MS: u64 = 10_000;

/// Codes of refusals that pass: Salesforce's `unknown_error` asks to retry.
const PASSING: &[&str] = &["server_error", "slow_down", "temporarily_unavailable", "unknown_error"];

/// An exchange at the token endpoint of a connection.
pub struct Exchange<'a> {
    /// The form of the credential.
    pub auth: &'a Auth,
    /// How the token is got.
    pub grant: Grant,
    /// What the request shows.
    pub credential: &'a Credential,
    /// The token endpoint.
    pub token_url: String,
    /// The audience of an assertion.
    pub audience: String,
    /// True when an earlier request with this refresh token had an unknown outcome.
    pub repeated: bool,
}

/// The code that a provider gave after a person agreed, and what proves that it was given to this client (RFC 7636).
pub struct CodeExchange<'a> {
    /// The code.
    pub code: &'a str,
    /// The redirect to which it came.
    pub redirect: &'a str,
    /// What the challenge of the request was made from.
    pub verifier: &'a str,
}

/// What an answer means.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// A new access token, and perhaps a new refresh token.
    Granted(Box<Credential>),
    /// The provider refuses the grant or the client, with this code.
    Refused(String),
    /// It may succeed later.
    Unavailable {
        /// Why, without a secret.
        reason: String,
        /// How long the provider requests to wait, in milliseconds.
        after_ms: Option<u64>,
    },
}

impl Exchange<'_> {
    /// The request. `now_ms` stamps an assertion.
    ///
    /// # Errors
    /// The private key cannot be used.
    pub fn request(&self, now_ms: i64) -> Result<HttpRequest, String> {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let parameters: Vec<(&str, String)> = match self.grant {
            Grant::RefreshToken => {
                vec![("grant_type", "refresh_token".into()), ("refresh_token", text(&self.credential.refresh_token))]
            }
            Grant::ClientCredentials => vec![("grant_type", "client_credentials".into()), ("scope", self.scope())],
            Grant::JwtBearer => vec![
                ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer".into()),
                ("assertion", sign_assertion(self.credential, &self.audience, &self.scope(), now_ms)?),
            ],
        };
        Ok(self.post(parameters))
    }

    /// The request that exchanges the code of a person's consent for the first pair of tokens.
    pub fn code_request(&self, code: &CodeExchange<'_>) -> HttpRequest {
        self.post(vec![
            ("grant_type", "authorization_code".into()),
            ("code", code.code.to_owned()),
            ("redirect_uri", code.redirect.to_owned()),
            ("code_verifier", code.verifier.to_owned()),
        ])
    }

    fn post(&self, mut parameters: Vec<(&str, String)>) -> HttpRequest {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let mut headers = vec![
            ("accept".to_owned(), "application/json".to_owned()),
            ("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned()),
        ];
        let (client, secret) = (text(&self.credential.client_id), text(&self.credential.client_secret));
        match self.auth.client_auth {
            _ if self.grant == Grant::JwtBearer => {}
            ClientAuth::Basic => headers.push(("authorization".to_owned(), basic(&client, &secret))),
            ClientAuth::Body => parameters.extend([("client_id", client), ("client_secret", secret)]),
        }
        let body: Vec<String> = parameters
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| format!("{name}={}", percent_encode(value)))
            .collect();
        HttpRequest {
            method: "POST",
            url: self.token_url.clone(),
            headers,
            body: body.join("&").into_bytes(),
            timeout_ms: TIMEOUT_MS,
        }
    }

    /// The scopes that a request names. A refresh names none: it keeps those of the grant.
    fn scope(&self) -> String {
        let declared = || self.auth.join_scopes(&self.auth.scopes.iter().cloned().collect());
        let needed = self.credential.scope.clone().unwrap_or_else(declared);
        self.auth.scope_of_app(&needed).unwrap_or_default()
    }

    /// What the answer means. `began_ms` is the time at which the request was sent: the new token's life counts from there.
    pub fn parse(&self, response: &HttpResponse, began_ms: i64) -> Answer {
        let body: Value = serde_json::from_slice(&response.body).unwrap_or(Value::Null);
        let code = ["error", "status", "errorCode"].iter().find_map(|name| body[*name].as_str()).map(harmless);
        match (response.status, code) {
            (200..=299, _) if body["access_token"].as_str().is_some_and(|token| !token.is_empty()) => {
                Answer::Granted(Box::new(self.renewed(&body, began_ms)))
            }
            // Slack answers a refusal with 200.
            (200..=299 | 400 | 401 | 403, Some(code)) if !PASSING.contains(&code.as_str()) => Answer::Refused(code),
            (status, _) => Answer::Unavailable { reason: format!("HTTP {status}"), after_ms: response.retry_after_ms() },
        }
    }

    fn renewed(&self, body: &Value, began_ms: i64) -> Credential {
        let text = |name: &str| body[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let seconds = |name: &str| body[name].as_i64().or_else(|| body[name].as_str()?.parse().ok());
        let after = |seconds: i64| began_ms.saturating_add(seconds.saturating_mul(1_000));
        let lifetime = || self.auth.lifetime_s.map(i64::from);
        let ends = ["refresh_token_expires_in", "x_refresh_token_expires_in", "x_refresh_token_hard_expires_in"];
        let before = self.credential;
        Credential {
            access_token: text("access_token").unwrap_or_default(),
            refresh_token: text("refresh_token").or_else(|| before.refresh_token.clone()),
            expires_at: seconds("expires_in").or_else(lifetime).map(after),
            refreshed_at: Some(began_ms),
            refresh_by: self.auth.grace_s.filter(|_| self.repeated).map(|s| after(i64::from(s) / 2)),
            granted_at: before.granted_at.or(Some(began_ms)),
            grant_ends_at: ends.iter().filter_map(|name| seconds(name)).min().map(after).or(before.grant_ends_at),
            scope: text("scope").or_else(|| before.scope.clone()),
            instance_url: text("instance_url").or_else(|| text("api_domain")).or_else(|| before.instance_url.clone()),
            ..before.clone()
        }
    }
}

/// A provider's code as a log may show it.
fn harmless(code: &str) -> String {
    code.chars().filter(|c| c.is_ascii_alphanumeric() || "_-.".contains(*c)).take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auth(json: Value) -> Auth {
        let mut all = serde_json::json!({ "form": "oauth2", "title": "", "create": "", "url": "" });
        all.as_object_mut().unwrap().extend(json.as_object().unwrap().clone());
        serde_json::from_value(all).unwrap()
    }

    fn exchange<'a>(auth: &'a Auth, grant: Grant, credential: &'a Credential) -> Exchange<'a> {
        Exchange {
            auth,
            grant,
            credential,
            token_url: "https://x.example/token".into(),
            audience: String::new(),
            repeated: false,
        }
    }

    fn answer(status: u16, body: &str) -> HttpResponse {
        HttpResponse { status, headers: Vec::new(), body: body.as_bytes().to_vec() }
    }

    fn stored() -> Credential {
        Credential {
            refresh_token: Some("r/1".into()),
            client_id: Some("id".into()),
            client_secret: Some("s&t".into()),
            ..Credential::default()
        }
    }

    #[test]
    fn a_client_proves_itself_in_the_body_or_in_the_header() {
        let (auth, credential) = (auth(serde_json::json!({ "grants": ["refresh_token"] })), stored());
        let request = exchange(&auth, Grant::RefreshToken, &credential).request(0).unwrap();
        let body = "grant_type=refresh_token&refresh_token=r%2F1&client_id=id&client_secret=s%26t";
        assert_eq!(String::from_utf8(request.body).unwrap(), body);
        let auth = Auth { client_auth: ClientAuth::Basic, app_scope: "all".into(), ..auth };
        let request = exchange(&auth, Grant::ClientCredentials, &credential).request(0).unwrap();
        assert_eq!(String::from_utf8(request.body).unwrap(), "grant_type=client_credentials&scope=all");
        assert!(request.headers.contains(&("authorization".to_owned(), basic("id", "s&t"))));
    }

    #[test]
    fn a_pair_takes_what_the_answer_has_and_leaves_the_rest() {
        let (auth, credential) = (auth(serde_json::json!({ "grants": ["refresh_token"], "lifetime_s": 60 })), stored());
        let exchange = exchange(&auth, Grant::RefreshToken, &credential);
        let Answer::Granted(first) = exchange.parse(&answer(200, r#"{"access_token":"a","expires_in":"1800"}"#), 5) else {
            panic!("refused")
        };
        assert_eq!((first.refresh_token.as_deref(), first.expires_at), (Some("r/1"), Some(1_800_005)));
        let body = r#"{"access_token":"a","refresh_token":"r2","x_refresh_token_expires_in":10,"instance_url":"https://i"}"#;
        let Answer::Granted(second) = exchange.parse(&answer(200, body), 5) else { panic!("refused") };
        assert_eq!((second.refresh_token.as_deref(), second.expires_at), (Some("r2"), Some(60_005)), "the declared lifetime");
        assert_eq!((first.refresh_by, second.refresh_by), (None, None));
        assert_eq!((second.grant_ends_at, second.client_secret.as_deref()), (Some(10_005), Some("s&t")));
    }

    #[test]
    fn a_pair_after_a_lost_answer_is_refreshed_within_the_grace() {
        let rotating = serde_json::json!({ "grants": ["refresh_token"], "rotates": true, "grace_s": 600 });
        let (auth, credential) = (auth(rotating), stored());
        let exchange = Exchange { repeated: true, ..exchange(&auth, Grant::RefreshToken, &credential) };
        let Answer::Granted(pair) = exchange.parse(&answer(200, r#"{"access_token":"a","expires_in":3600}"#), 5) else {
            panic!("refused")
        };
        assert_eq!((pair.expires_at, pair.refresh_by), (Some(3_600_005), Some(300_005)));
    }

    #[test]
    fn only_an_answer_with_a_code_is_a_refusal() {
        let (auth, credential) = (auth(serde_json::json!({ "grants": ["refresh_token"] })), stored());
        let parse = |status, body: &str| exchange(&auth, Grant::RefreshToken, &credential).parse(&answer(status, body), 0);
        assert_eq!(parse(400, r#"{"error":"invalid_grant"}"#), Answer::Refused("invalid_grant".into()));
        assert_eq!(parse(400, r#"{"status":"BAD_REFRESH_TOKEN"}"#), Answer::Refused("BAD_REFRESH_TOKEN".into()));
        assert_eq!(
            parse(200, r#"{"ok":false,"error":"invalid_refresh_token"}"#),
            Answer::Refused("invalid_refresh_token".into())
        );
        for (status, body) in [
            (400, r#"{"error":"unknown_error"}"#),
            (403, "<html>blocked</html>"),
            (429, r#"{"error":"slow_down"}"#),
            (500, "{}"),
            (200, "{}"),
        ] {
            assert!(matches!(parse(status, body), Answer::Unavailable { .. }), "{status} {body}");
        }
    }
}
