//! The credential of a connection's API, as its secret holds it: what calls show, and what a new access token is made from.
//!
//! `hub connect` stores it, and only `rotate` changes it. A secret that is not JSON is a bare token.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use providers::http::percent_encode;
use providers::{Auth, AuthForm, Grant, GrantEnd};
use serde::{Deserialize, Serialize};

use crate::ports::HttpRequest;

/// From how long before its end an access token counts as near it, in milliseconds: a call that begins now may take that long.
pub const NEAR_END_MS: i64 = 60_000;

/// The credential of a connection. Times are in milliseconds since the epoch. `Debug` shows no value.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    /// The access token; the key or the password where the form is not `oauth2`. Empty where none was got yet.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub access_token: String,
    /// What a new access token is made from (grant `refresh_token`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
    /// The id of the client at the provider; the user's part of a `basic` form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The client's own secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<String>,
    /// The private key, in PEM, that signs assertions (grant `jwt_bearer`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_key: Option<String>,
    /// On whose behalf assertions are made: a user's name or address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// How access tokens are got; it follows from the other members where it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<Grant>,
    /// When the access token ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,
    /// When a person agreed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granted_at: Option<i64>,
    /// When the access token was requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refreshed_at: Option<i64>,
    /// When to refresh at the latest, although the access token lasts longer: the answer to an earlier request was lost, and that
    /// request may have put another refresh token in the place of this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_by: Option<i64>,
    /// When the whole grant ends, where the provider's answer tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant_ends_at: Option<i64>,
    /// The scopes that the provider granted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// The base URL that the provider names for the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_url: Option<String>,
    /// The version of the secret from which this one was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
    /// The version of the secret as which `rotate` stored it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_as: Option<String>,
    /// What else a person has stored; it stays.
    #[serde(flatten)]
    pub other: BTreeMap<String, serde_json::Value>,
}

impl Credential {
    /// The credential of a secret's value; `None` when it holds none, or is JSON of another form.
    pub fn parse(secret: &str) -> Option<Credential> {
        let text = secret.trim();
        if text.starts_with('{') {
            return serde_json::from_str(text).ok();
        }
        (!text.is_empty()).then(|| Credential { access_token: text.to_owned(), ..Credential::default() })
    }

    /// The value of the secret that holds it.
    pub fn to_secret(&self) -> String {
        // Strings and numbers always become JSON.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The access token, if there is one.
    pub fn token(&self) -> Option<&str> {
        Some(self.access_token.as_str()).filter(|token| !token.is_empty())
    }

    /// How a new access token is got, as far as the members for it are there.
    pub fn grant(&self) -> Option<Grant> {
        let (client, secret) = (self.client_id.is_some(), self.client_secret.is_some());
        let is_possible = |grant: &Grant| match grant {
            Grant::RefreshToken => self.refresh_token.is_some(),
            Grant::ClientCredentials => client && secret,
            Grant::JwtBearer => client && self.private_key.is_some(),
        };
        let all = [Grant::RefreshToken, Grant::JwtBearer, Grant::ClientCredentials];
        match self.grant {
            Some(grant) => Some(grant).filter(is_possible),
            None => all.into_iter().find(is_possible),
        }
    }

    /// The declared form of this credential: that of its grant, or else the first one without a token endpoint.
    pub fn form<'a>(&self, forms: &'a [Auth]) -> Option<&'a Auth> {
        let grant = self.grant();
        let by_grant = |auth: &&Auth| auth.form == AuthForm::Oauth2 && grant.is_some_and(|grant| auth.grants.contains(&grant));
        forms.iter().find(by_grant).or_else(|| forms.iter().find(|auth| auth.form != AuthForm::Oauth2))
    }

    /// The form and the grant by which `rotate` gets a new access token; `None` for a credential that nothing refreshes.
    pub fn refreshed_by<'a>(&self, forms: &'a [Auth]) -> Option<(&'a Auth, Grant)> {
        let auth = self.form(forms).filter(|auth| auth.form == AuthForm::Oauth2)?;
        Some((auth, self.grant()?))
    }

    /// How long the access token is still good, in milliseconds; negative after its end, `None` when nobody knows.
    pub fn left_ms(&self, auth: &Auth, now_ms: i64) -> Option<i64> {
        if self.access_token.is_empty() {
            return Some(-1);
        }
        let lifetime_ms = || auth.lifetime_s.map(|s| i64::from(s) * 1_000);
        let by_age = || Some(self.refreshed_at.or(self.granted_at)? + lifetime_ms()?);
        Some(self.expires_at.or_else(by_age)? - now_ms)
    }

    /// When the whole grant ends, so that a person must connect again; `None` when that is unknown, or when it never ends.
    pub fn grant_end_ms(&self, auth: &Auth) -> Option<i64> {
        let begin = match auth.grant_ends_from {
            GrantEnd::Issue => self.granted_at,
            GrantEnd::Use => self.refreshed_at.or(self.granted_at),
        };
        let declared = || Some(begin? + i64::from(auth.grant_ends_days?) * 86_400_000);
        self.grant_ends_at.or_else(declared)
    }

    /// Puts the credential where the form wants it. A request that shows one already stays as it is.
    pub fn show(&self, forms: &[Auth], account: &str, request: &mut HttpRequest) {
        if request.headers.iter().any(|(name, _)| name == "authorization") {
            return;
        }
        let token = &self.access_token;
        let Some(auth) = self.form(forms) else { return add_header(request, "authorization", format!("Bearer {token}")) };
        match auth.form {
            AuthForm::Basic => {
                let client = self.client_id.as_deref().unwrap_or_default();
                let user = auth.user.replace("{client_id}", client).replace("{account}", account);
                add_header(request, "authorization", basic(&user, token));
            }
            AuthForm::Query => {
                let mark = if request.url.contains('?') { '&' } else { '?' };
                request.url = format!("{}{mark}{}={}", request.url, auth.name, percent_encode(token));
            }
            AuthForm::Bearer | AuthForm::Header | AuthForm::Oauth2 if auth.name.is_empty() => {
                add_header(request, "authorization", format!("Bearer {token}"));
            }
            AuthForm::Bearer | AuthForm::Header | AuthForm::Oauth2 => {
                add_header(request, &auth.name.to_ascii_lowercase(), token.clone());
            }
        }
    }
}

/// The value of an `Authorization` header by user and password (RFC 7617).
pub fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

fn add_header(request: &mut HttpRequest, name: &str, value: String) {
    request.headers.push((name.to_owned(), value));
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential {{ grant: {:?}, expires_at: {:?} }}", self.grant, self.expires_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(json: serde_json::Value) -> Auth {
        let mut all = serde_json::json!({ "title": "", "create": "", "url": "" });
        all.as_object_mut().unwrap().extend(json.as_object().unwrap().clone());
        serde_json::from_value(all).unwrap()
    }

    fn shown(credential: &str, forms: &[Auth]) -> (String, Vec<(String, String)>) {
        let mut request = HttpRequest {
            method: "GET",
            url: "https://api.example/x?a=1".into(),
            headers: Vec::new(),
            body: Vec::new(),
            timeout_ms: 1,
        };
        Credential::parse(credential).unwrap().show(forms, "7", &mut request);
        (request.url, request.headers)
    }

    #[test]
    fn an_access_token_stands_alone_or_in_json() {
        let token = |secret: &str| Credential::parse(secret).and_then(|credential| credential.token().map(str::to_owned));
        assert_eq!(token(" t1 \n").as_deref(), Some("t1"));
        assert_eq!(token(r#"{"access_token": "t2", "refresh_token": "r"}"#).as_deref(), Some("t2"));
        assert_eq!(token(r#"{"refresh_token": "r"}"#), None);
        assert_eq!(token(r#"{"access_token": 1}"#), None);
        assert_eq!(token("  "), None);
    }

    #[test]
    fn a_credential_is_shown_where_its_form_wants_it() {
        let authorization = |value: &str| vec![("authorization".to_owned(), value.to_owned())];
        let plain = "https://api.example/x?a=1".to_owned();
        let bearer = form(serde_json::json!({ "form": "bearer" }));
        assert_eq!(shown("t", &[bearer]), (plain.clone(), authorization("Bearer t")));
        let user = form(serde_json::json!({ "form": "basic", "user": "{client_id}/{account}" }));
        let wanted = authorization(&basic("me/7", "t"));
        assert_eq!(shown(r#"{"access_token":"t","client_id":"me"}"#, &[user]), (plain.clone(), wanted));
        let header = form(serde_json::json!({ "form": "header", "name": "X-Api-Token" }));
        assert_eq!(shown("t", &[header]), (plain, vec![("x-api-token".to_owned(), "t".to_owned())]));
        let query = form(serde_json::json!({ "form": "query", "name": "api_token" }));
        assert_eq!(shown("t&u", &[query]), ("https://api.example/x?a=1&api_token=t%26u".to_owned(), Vec::new()));
    }

    #[test]
    fn only_what_a_token_endpoint_can_renew_is_refreshed() {
        let forms = [
            form(serde_json::json!({ "form": "bearer" })),
            form(serde_json::json!({ "form": "oauth2", "grants": ["refresh_token"] })),
        ];
        let grant = |secret: &str| Credential::parse(secret).unwrap().refreshed_by(&forms).map(|(_, grant)| grant);
        assert_eq!(grant("t"), None);
        assert_eq!(grant(r#"{"access_token":"t","refresh_token":"r"}"#), Some(Grant::RefreshToken));
        assert_eq!(grant(r#"{"client_id":"c","client_secret":"s"}"#), None, "the manifest does not declare this grant");
        assert_eq!(grant(r#"{"access_token":"t","grant":"refresh_token"}"#), None, "there is no refresh token");
    }

    #[test]
    fn nothing_of_a_credential_is_printed() {
        let credential =
            Credential { access_token: "secret-1".into(), refresh_token: Some("secret-2".into()), ..Credential::default() };
        assert!(!format!("{credential:?}").contains("secret"));
    }
}
