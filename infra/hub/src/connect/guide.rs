//! What a person creates at the provider before the hub can be connected: the words of the manifest, the scopes that follow from the
//! configuration, and the hub's URLs.

use std::collections::BTreeSet;

use providers::{Auth, AuthForm, Grant, Provider};
use sync::config::Connection;

use super::input::{Field, FieldKind};
use crate::text::wrapped;

/// How a connection is connected.
pub struct Plan<'a> {
    /// The connection's name.
    pub name: &'a str,
    /// The connection.
    pub connection: &'a Connection,
    /// Its provider.
    pub provider: &'a Provider,
    /// The form of its credentials; `None` where the hub makes no calls.
    pub auth: Option<&'a Auth>,
    /// How access tokens are got (`oauth2`).
    pub grant: Option<Grant>,
    /// The scopes that it needs.
    pub scopes: BTreeSet<String>,
    /// Scheme and host of the hub's webhooks, if they are known.
    pub public_url: Option<String>,
}

impl Plan<'_> {
    /// The guide, in lines of 80 columns.
    pub fn text(&self) -> String {
        let title = &self.provider.manifest().provider.title;
        let mut text = format!("{}: {title}\n\n", self.name);
        if let Some(auth) = self.auth {
            text += &wrapped(&format!("  {}: {}", auth.title, auth.create), 2);
            text += &format!("  {}\n\n", self.connection.auth_variables().fill(&auth.url));
        }
        for scope in &self.scopes {
            text += &format!("  scope     {scope}\n");
        }
        if let (Some(Grant::RefreshToken), Some(auth)) = (self.grant, self.auth) {
            text += &format!("  redirect  {}\n", auth.redirect());
        }
        if self.connection.source {
            let url = self.webhook_url().unwrap_or_else(|| format!("https://<function URL>/hooks/{}", self.name));
            text += &format!("  webhooks  {url}\n");
            self.by_hand().into_iter().for_each(|by_hand| text += &wrapped(&format!("            {by_hand}"), 12));
        }
        self.provider.manifest().api.auth.iter().for_each(|other| text += &self.other_ways(other));
        text.trim_end().to_owned() + "\n"
    }

    /// The URL to which the provider sends its webhooks, if it is known.
    pub fn webhook_url(&self) -> Option<String> {
        self.public_url.as_ref().map(|base| format!("{}/hooks/{}", base.trim_end_matches('/'), self.name))
    }

    /// What a person does about webhooks.
    fn by_hand(&self) -> Option<&str> {
        let by_hand = self.provider.manifest().api.webhooks.as_ref().map(|webhooks| webhooks.by_hand.as_str());
        by_hand.filter(|text| !text.is_empty())
    }

    /// How to choose another form or another grant.
    fn other_ways(&self, other: &Auth) -> String {
        let (name, title) = (self.name, &other.title);
        let Some(auth) = self.auth else { return String::new() };
        if other.form != AuthForm::Oauth2 {
            let is_this = other.form == auth.form;
            return if is_this {
                String::new()
            } else {
                format!("  or        hub connect {name} --form {}  ({title})\n", form(other))
            };
        }
        let grants = other.grants.iter().filter(|grant| self.grant != Some(**grant));
        grants.map(|grant| format!("  or        hub connect {name} --grant {}  ({title})\n", grant.name())).collect()
    }

    /// The values that are typed or piped.
    pub fn fields(&self) -> Vec<Field> {
        let field = |name, title: &str, kind, needed| Field { name, title: title.to_owned(), kind, needed };
        let mut fields = match (self.grant, self.auth) {
            (None, None) => Vec::new(),
            (None, Some(auth)) => {
                let user = (!auth.user_title.is_empty()).then(|| field("client_id", &auth.user_title, FieldKind::Plain, true));
                let title = if user.is_some() { "password or secret of it" } else { "token or key" };
                user.into_iter().chain([field("access_token", title, FieldKind::Secret, true)]).collect()
            }
            (Some(Grant::RefreshToken), _) => vec![
                field("client_id", "client id", FieldKind::Plain, true),
                // An app for computers and telephones has none (RFC 8252, section 8.4).
                field("client_secret", "client secret", FieldKind::Secret, false),
            ],
            (Some(Grant::ClientCredentials), _) => vec![
                field("client_id", "client id", FieldKind::Plain, true),
                field("client_secret", "client secret", FieldKind::Secret, true),
            ],
            (Some(Grant::JwtBearer), _) => vec![
                field("client_id", "client id, or the address of the service account", FieldKind::Plain, true),
                field("private_key", "private key in PEM", FieldKind::Key, true),
                field("subject", "user on whose behalf the hub acts", FieldKind::Plain, false),
            ],
        };
        if self.connection.source && self.connection.signing_secret.is_some() {
            fields.push(field(SIGNING_SECRET, "secret that signs the webhooks", FieldKind::Secret, false));
        }
        fields
    }
}

/// The member of piped JSON with the secret that signs webhooks.
pub const SIGNING_SECRET: &str = "signing_secret";

/// The name of a form in manifests and arguments.
pub const fn form(auth: &Auth) -> &'static str {
    match auth.form {
        AuthForm::Bearer => "bearer",
        AuthForm::Basic => "basic",
        AuthForm::Header => "header",
        AuthForm::Query => "query",
        AuthForm::Oauth2 => "oauth2",
    }
}
