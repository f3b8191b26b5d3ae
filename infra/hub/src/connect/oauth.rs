//! The request for a person's consent: authorization code with PKCE (RFC 6749, RFC 7636).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use providers::Auth;
use ring::digest::{SHA256, digest};
use sync::ports::Clock;

use super::guide::Plan;

/// What belongs to one request for consent. Nothing of it is stored.
pub struct Authorization {
    /// Ties the answer to this run of the command.
    pub state: String,
    /// Ties the code to this run: only who knows it can exchange the code.
    pub verifier: String,
}

impl Authorization {
    /// New random values, of 256 bits each.
    pub fn new<P: Clock>(ports: &P) -> Authorization {
        let random = || {
            let mut bytes = [0; 32];
            ports.fill_secret(&mut bytes);
            URL_SAFE_NO_PAD.encode(bytes)
        };
        Authorization { state: random(), verifier: random() }
    }

    /// The address that the person opens.
    pub fn url(&self, plan: &Plan<'_>, auth: &Auth, client_id: &str, redirect: &str) -> String {
        let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, self.verifier.as_bytes()));
        let scope = auth.join_scopes(&plan.scopes);
        let page = plan.connection.auth_variables().fill(&auth.authorize_url);
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs([("response_type", "code"), ("client_id", client_id), ("redirect_uri", redirect)]);
        if !scope.is_empty() {
            query.append_pair("scope", &scope);
        }
        query.extend_pairs([("state", self.state.as_str()), ("code_challenge", &challenge), ("code_challenge_method", "S256")]);
        query.extend_pairs(&auth.authorize);
        let mark = if page.contains('?') { '&' } else { '?' };
        // A blank is `%20` in a URL that people look at.
        format!("{page}{mark}{}", query.finish().replace('+', "%20"))
    }
}
