//! The sections `[[api.auth]]`, `[api.scopes]` and `[api.probe]` of a manifest: the forms of credentials that the provider's API
//! takes, what they must be allowed to do, and how the hub tries them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// The redirect of an authorization, where the manifest declares none: any free port of this machine (RFC 8252, section 7.3).
const LOOPBACK: &str = "http://127.0.0.1:{port}/callback";

/// One form of credentials that an API takes. The first form of a manifest is the one that `hub connect` uses unless it is given
/// another one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// How a call shows them.
    pub form: AuthForm,
    /// The provider's name of what a person creates there: "private app", "API key".
    pub title: String,
    /// What a person does there, as one sentence in the imperative.
    pub create: String,
    /// Where a person does it. May hold the placeholders of [`AuthVariables`].
    pub url: String,
    /// The scopes that are always needed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// The user part (`basic`): a text, with `{client_id}` for what the secret has there and `{account}` for the connection's account.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// What stands for `{client_id}`, in words: "the SID of the API key".
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub user_title: String,
    /// The header (`header`; `oauth2` where it is not `Authorization: Bearer`) or the query parameter (`query`).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The grants that the token endpoint takes, the recommended one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<Grant>,
    /// The token endpoint. May hold the placeholders of [`AuthVariables`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub token_url: String,
    /// The page on which a person agrees. May hold the placeholders of [`AuthVariables`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub authorize_url: String,
    /// Further parameters of that page.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub authorize: BTreeMap<String, String>,
    /// The redirect, with `{port}` where the provider takes any port of this machine. An `https` URL is a page that shows the code,
    /// for providers that refuse loopback URLs: the person copies the address of that page.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub redirect: String,
    /// How the client proves itself to the token endpoint.
    #[serde(default, skip_serializing_if = "ClientAuth::is_body")]
    pub client_auth: ClientAuth,
    /// What stands between two scopes in a request; a blank if empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub scope_separator: String,
    /// The scope of requests by `client_credentials` and `jwt_bearer`, where these have one: `{scopes}` stands for the needed ones.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub app_scope: String,
    /// The audience of the assertion (`jwt_bearer`). May hold the placeholders of [`AuthVariables`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub audience: String,
    /// How many seconds an access token is good for, where the answer has no `expires_in`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime_s: Option<u32>,
    /// How many seconds before its end an access token is refreshed.
    #[serde(default = "Auth::default_refresh_ahead_s")]
    pub refresh_ahead_s: u32,
    /// True when a refresh gives a new refresh token and ends the old one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rotates: bool,
    /// For how many seconds the old refresh token still works after a refresh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_s: Option<u32>,
    /// After how many days the grant ends, so that a person must connect again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant_ends_days: Option<u32>,
    /// From when these days count.
    #[serde(default, skip_serializing_if = "GrantEnd::is_issue")]
    pub grant_ends_from: GrantEnd,
}

/// How a call shows its credentials.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthForm {
    /// A fixed token, as `Authorization: Bearer`.
    #[default]
    Bearer,
    /// User and password (RFC 7617).
    Basic,
    /// A fixed token in a header of the provider's own.
    Header,
    /// A fixed token in a query parameter.
    Query,
    /// An access token that a token endpoint gives for some time (RFC 6749).
    Oauth2,
}

/// How the hub gets an access token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grant {
    /// By a refresh token, after a person agreed once (authorization code with PKCE, RFC 7636).
    RefreshToken,
    /// By the client's own id and secret.
    ClientCredentials,
    /// By an assertion that is signed with a private key (RFC 7523).
    JwtBearer,
}

impl Grant {
    /// Its name in manifests and secrets.
    pub const fn name(self) -> &'static str {
        match self {
            Grant::RefreshToken => "refresh_token",
            Grant::ClientCredentials => "client_credentials",
            Grant::JwtBearer => "jwt_bearer",
        }
    }
}

/// How a client proves itself to a token endpoint (RFC 6749, section 2.3.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// `client_id` and `client_secret` as parameters of the body.
    #[default]
    Body,
    /// Both as user and password.
    Basic,
}

impl ClientAuth {
    #[allow(clippy::trivially_copy_pass_by_ref)] // serde passes a reference
    const fn is_body(&self) -> bool {
        matches!(self, ClientAuth::Body)
    }
}

/// From when the days of a grant count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantEnd {
    /// From the day on which a person agreed.
    #[default]
    Issue,
    /// From the last refresh.
    Use,
}

impl GrantEnd {
    #[allow(clippy::trivially_copy_pass_by_ref)] // serde passes a reference
    const fn is_issue(&self) -> bool {
        matches!(self, GrantEnd::Issue)
    }
}

/// The scopes that the use of one native object needs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectScopes {
    /// To read it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub read: Vec<String>,
    /// To write it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub write: Vec<String>,
}

/// A cheap read by which the hub tries credentials.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// The path. It may contain `{account}` and `{version}`.
    pub path: String,
    /// What the answer shows: a word → the path of the value (a JSON pointer, RFC 6901). An answer without all of them is a refusal:
    /// some providers answer with 200 then.
    pub shows: BTreeMap<String, String>,
    /// Where the answer lists the scopes that the credentials have (a JSON pointer), if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<String>,
}

/// What stands for the placeholders of URLs: those of the connection.
#[derive(Debug, Clone, Copy)]
pub struct AuthVariables<'a> {
    /// `{base_url}`: scheme and host of the API.
    pub base_url: &'a str,
    /// `{account}`: the account within the provider.
    pub account: &'a str,
    /// `{tenant}`: the directory that signs people in; `organizations` where the connection names none.
    pub tenant: &'a str,
    /// Scheme and host that replace those of URLs at other hosts than the API's: a national cloud, or a stand-in. Empty: none.
    pub auth_url: &'a str,
}

impl AuthVariables<'_> {
    /// A declared URL for this connection.
    pub fn fill(&self, template: &str) -> String {
        let tenant = if self.tenant.is_empty() { "organizations" } else { self.tenant };
        let values = [("{base_url}", self.base_url), ("{account}", self.account), ("{tenant}", tenant)];
        let url = values.iter().fold(template.to_owned(), |url, (name, value)| url.replace(name, value));
        if self.auth_url.is_empty() || template.starts_with("{base_url}") {
            return url;
        }
        let path = url.split_once("://").and_then(|(_, rest)| rest.find('/').map(|at| rest[at..].to_owned()));
        format!("{}{}", self.auth_url, path.unwrap_or_default())
    }
}

impl Auth {
    const fn default_refresh_ahead_s() -> u32 {
        300
    }

    /// The redirect of an authorization.
    pub fn redirect(&self) -> &str {
        if self.redirect.is_empty() { LOOPBACK } else { &self.redirect }
    }

    /// True when nobody could tell from a secret which of the two forms it is of.
    pub fn overlaps(&self, other: &Auth) -> bool {
        let by_grant = self.grants.iter().any(|grant| other.grants.contains(grant));
        self.form == other.form && (self.form != AuthForm::Oauth2 || by_grant)
    }

    /// The scope of a request by `client_credentials` or `jwt_bearer`, if it has one: `{scopes}` stands for the granted ones.
    pub fn scope_of_app(&self, granted: &str) -> Option<String> {
        Some(self.app_scope.replace("{scopes}", granted)).filter(|scope| !scope.is_empty())
    }

    /// These scopes as one request writes them.
    pub fn join_scopes(&self, scopes: &BTreeSet<String>) -> String {
        let between = if self.scope_separator.is_empty() { " " } else { &self.scope_separator };
        scopes.iter().map(String::as_str).collect::<Vec<_>>().join(between)
    }

    /// What no single key can be blamed for: keys that the form needs or does not know.
    pub fn check(&self) -> Result<(), String> {
        let oauth2 = self.form == AuthForm::Oauth2;
        let has = |grant| self.grants.contains(&grant);
        let named = matches!(self.form, AuthForm::Header | AuthForm::Query);
        let by_person = has(Grant::RefreshToken);
        let rules = [
            ("user", !self.user.is_empty(), self.form == AuthForm::Basic, self.form == AuthForm::Basic),
            ("user_title", !self.user_title.is_empty(), self.user.contains("{client_id}"), self.user.contains("{client_id}")),
            ("name", !self.name.is_empty(), named || oauth2, named),
            ("grants", !self.grants.is_empty(), oauth2, oauth2),
            ("token_url", !self.token_url.is_empty(), oauth2, oauth2),
            ("authorize_url", !self.authorize_url.is_empty(), by_person, by_person),
            ("authorize", !self.authorize.is_empty(), by_person, false),
            ("redirect", !self.redirect.is_empty(), by_person, false),
            ("client_auth", !self.client_auth.is_body(), oauth2, false),
            ("scope_separator", !self.scope_separator.is_empty(), oauth2, false),
            ("app_scope", !self.app_scope.is_empty(), has(Grant::ClientCredentials) || has(Grant::JwtBearer), false),
            ("audience", !self.audience.is_empty(), has(Grant::JwtBearer), has(Grant::JwtBearer)),
            ("lifetime_s", self.lifetime_s.is_some(), oauth2, false),
            ("rotates", self.rotates, by_person, false),
            ("grace_s", self.grace_s.is_some(), self.rotates, false),
            ("grant_ends_days", self.grant_ends_days.is_some(), by_person, false),
            ("grant_ends_from", !self.grant_ends_from.is_issue(), self.grant_ends_days.is_some(), false),
        ];
        for (key, is_there, allowed, needed) in rules {
            if is_there && !allowed {
                return Err(format!("`{key}` of {} means nothing: {}", self.describe(), meaning(key)));
            }
            if needed && !is_there {
                return Err(format!("{} has no `{key}`", self.describe()));
            }
        }
        [&self.url, &self.token_url, &self.authorize_url].into_iter().try_for_each(|url| self.check_url(url))?;
        self.check_redirect()
    }

    fn describe(&self) -> String {
        let form = match self.form {
            AuthForm::Bearer => "bearer",
            AuthForm::Basic => "basic",
            AuthForm::Header => "header",
            AuthForm::Query => "query",
            AuthForm::Oauth2 => "oauth2",
        };
        format!("the `[[api.auth]]` with `form = \"{form}\"`")
    }

    fn check_url(&self, url: &str) -> Result<(), String> {
        let filled = ["{base_url}", "{account}", "{tenant}"].iter().fold(url.to_owned(), |url, name| url.replace(name, "x"));
        let fits = url.is_empty() || url.starts_with("https://") || url.starts_with("{base_url}/");
        if fits && !filled.contains(['{', '}']) {
            return Ok(());
        }
        let help = "it begins with https:// or {base_url}/, and has no placeholders but {base_url}, {account} and {tenant}";
        Err(format!("`{url}` of {} is not a valid URL: {help}", self.describe()))
    }

    fn check_redirect(&self) -> Result<(), String> {
        let redirect = self.redirect();
        let loopback = ["http://127.0.0.1:", "http://localhost:"].iter().any(|start| redirect.starts_with(start));
        if loopback || redirect.starts_with("https://") {
            return Ok(());
        }
        Err(format!("`redirect` of {} is neither a loopback URL with a port nor an https URL", self.describe()))
    }
}

/// What a key belongs to.
fn meaning(key: &str) -> &'static str {
    match key {
        "user" => "only `basic` has a user part",
        "user_title" => "only a `user` with `{client_id}` has it",
        "name" => "only `header`, `query` and `oauth2` have it",
        "authorize_url" | "authorize" | "redirect" | "rotates" | "grant_ends_days" => "only the grant `refresh_token` has it",
        "app_scope" => "only the grants `client_credentials` and `jwt_bearer` have it",
        "audience" => "only the grant `jwt_bearer` has it",
        "grace_s" => "only refresh tokens that rotate have it",
        "grant_ends_from" => "it says how `grant_ends_days` are counted",
        _ => "only `oauth2` has it",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auth(json: serde_json::Value) -> Auth {
        let mut all = serde_json::json!({ "title": "key", "create": "Create a key.", "url": "https://x.example" });
        all.as_object_mut().unwrap().extend(json.as_object().unwrap().clone());
        serde_json::from_value(all).unwrap()
    }

    #[test]
    fn unknown_combinations_are_refused_with_the_key_that_is_wrong() {
        let refused = |json| auth(json).check().unwrap_err();
        let oauth2 = |extra: serde_json::Value| {
            let mut all = serde_json::json!({
                "form": "oauth2", "grants": ["refresh_token"], "token_url": "https://x.example/token",
                "authorize_url": "https://x.example/authorize",
            });
            all.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            all
        };
        assert_eq!(
            refused(serde_json::json!({ "form": "bearer", "user": "api" })),
            "`user` of the `[[api.auth]]` with `form = \"bearer\"` means nothing: only `basic` has a user part"
        );
        assert!(refused(serde_json::json!({ "form": "basic" })).ends_with("has no `user`"));
        assert!(refused(serde_json::json!({ "form": "basic", "user": "{client_id}" })).ends_with("has no `user_title`"));
        assert!(refused(serde_json::json!({ "form": "header" })).ends_with("has no `name`"));
        assert!(refused(serde_json::json!({ "form": "query", "name": "key", "lifetime_s": 3 })).contains("`lifetime_s`"));
        assert!(refused(serde_json::json!({ "form": "oauth2" })).ends_with("has no `grants`"));
        assert!(refused(oauth2(serde_json::json!({ "grace_s": 60 }))).contains("only refresh tokens that rotate"));
        assert!(refused(oauth2(serde_json::json!({ "audience": "https://x.example" }))).contains("`jwt_bearer`"));
        assert!(refused(oauth2(serde_json::json!({ "grant_ends_from": "use" }))).contains("`grant_ends_days`"));
        assert!(refused(oauth2(serde_json::json!({ "token_url": "http://x.example/token" }))).contains("is not a valid URL"));
        assert!(refused(oauth2(serde_json::json!({ "token_url": "https://{shop}/token" }))).contains("is not a valid URL"));
        assert!(refused(oauth2(serde_json::json!({ "redirect": "http://10.0.0.1/x" }))).contains("loopback"));
        assert_eq!(auth(oauth2(serde_json::json!({ "rotates": true, "grace_s": 60 }))).check(), Ok(()));
    }

    #[test]
    fn urls_are_filled_in_and_may_move_to_another_host() {
        let own = AuthVariables { base_url: "https://api.x.example", account: "7", tenant: "", auth_url: "" };
        assert_eq!(own.fill("{base_url}/token"), "https://api.x.example/token");
        assert_eq!(own.fill("https://login.example/{tenant}/token"), "https://login.example/organizations/token");
        let moved = AuthVariables { auth_url: "http://127.0.0.1:9", tenant: "t", ..own };
        assert_eq!(moved.fill("https://login.example/{tenant}/token"), "http://127.0.0.1:9/t/token");
        assert_eq!(moved.fill("{base_url}/token"), "https://api.x.example/token");
    }
}
