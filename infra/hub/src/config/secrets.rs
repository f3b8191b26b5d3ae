//! The names of secrets: a name is not the secret itself, and each secret has one use.

use mapping::file::{Report, Source, Span, Spanned};

use super::file::ConnectionTable;

/// How the secrets of providers begin, and how many characters follow at least.
const SHAPES: &[(&str, usize)] = &[
    ("whsec_", 16),
    ("whpk_", 16),
    ("whsk_", 16),
    ("sk_live_", 16),
    ("sk_test_", 16),
    ("rk_live_", 16),
    ("rk_test_", 16),
    ("pat-na", 16),
    ("pat-eu", 16),
    ("xoxb-", 16),
    ("xoxp-", 16),
    ("xapp-", 16),
    ("shpat_", 16),
    ("shpss_", 16),
    ("ghp_", 30),
    ("github_pat_", 30),
    ("AKIA", 16),
    ("AIza", 30),
    ("SG.", 30),
    ("00D", 40),
    ("eyJ", 40),
];

/// Letters and digits in a row from which on a name looks like a random value.
const RANDOM_CHARACTERS: usize = 20;

/// The secret of the stack itself.
const MASTER: &str = "master";

/// A connection's use of a secret.
#[derive(Debug, Clone)]
pub struct SecretUse {
    /// The connection.
    connection: String,
    /// The key that names the secret.
    key: &'static str,
    /// The secret's name.
    name: Spanned<String>,
}

/// The secrets that a connection names.
pub(super) fn uses(connection: &str, table: &ConnectionTable) -> Vec<SecretUse> {
    let named = [("signing_secret", &table.signing_secret), ("api_secret", &table.api_secret)];
    let found = |(key, name): (&'static str, &Option<Spanned<String>>)| {
        Some(SecretUse { connection: connection.to_owned(), key, name: name.clone()? })
    };
    named.into_iter().filter_map(found).collect()
}

/// Reports what looks like a secret of a provider, anywhere in the file.
pub(super) fn check_text(report: &mut Report) {
    let text = report.source().text.clone();
    let mut start = 0;
    for word in text.split(|c: char| !(c.is_ascii_alphanumeric() || "_-+/=.!".contains(c))) {
        if has_shape(word) {
            pasted(start..start + word.len(), report);
        }
        start += word.len();
        start += text[start..].chars().next().map_or(0, char::len_utf8);
    }
}

fn has_shape(word: &str) -> bool {
    SHAPES.iter().any(|(prefix, least)| {
        let rest = word.strip_prefix(prefix).unwrap_or_default();
        rest.len() >= *least && rest.bytes().any(|b| b.is_ascii_digit())
    })
}

/// An error about a secret. Its excerpt shows `*` in place of the value, because what `hub check` prints ends in logs.
fn pasted(at: Span, report: &mut Report) {
    let source = masked(report.source(), &at);
    let help = "store the value in Secrets Manager and write its name here, such as \"stripe/signing\"; everybody who has seen this file \
                knows the value, so create a new one at the provider";
    let error = report.error(at, "this looks like a secret, and the file holds only names of secrets");
    error.label("pasted here").help(help).source = source;
}

fn masked(source: &Source, at: &Span) -> Source {
    let mut text = source.text.to_string();
    text.replace_range(at.clone(), &"*".repeat(at.len()));
    Source::new(source.file.clone(), text)
}

/// Checks the names: a name is not the value itself, fits Secrets Manager and the template, and no two uses share a secret.
pub(super) fn check_names(uses: &[SecretUse], report: &mut Report) {
    for (index, used) in uses.iter().enumerate() {
        let (name, at) = (used.name.get_ref().as_str(), used.name.span());
        if report.has_error_within(&at) {
            continue;
        }
        if looks_random(name) {
            pasted(at, report);
        } else if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"/_-".contains(&b)) || name.is_empty() {
            let help = format!("use letters, digits, `/`, `_` and `-`, such as \"{}/{}\"", used.connection, used.ending());
            report.error(at, format!("this cannot be the name of a secret: `{}`", used.key)).help(help);
        } else if resource_word(name).eq_ignore_ascii_case(MASTER) {
            report
                .error(at, "the secret `master` wraps the keys of all personal data")
                .help("give the connection a secret of its own");
        } else if let Some(other) = uses[..index].iter().find(|other| resource_word(other.name.get_ref()) == resource_word(name))
        {
            let message = format!("`{}` of `{}` uses the same secret", other.key, other.connection);
            let help = format!(
                "each use has a secret of its own, such as \"{}/{}\": so that one can be revoked alone, and what one sender signs is \
                 not accepted from another",
                used.connection,
                used.ending()
            );
            report.error(at, message).label("used twice").help(help);
        }
    }
}

impl SecretUse {
    fn ending(&self) -> &'static str {
        if self.key == "api_secret" { "api" } else { "signing" }
    }
}

/// A part without a separator that is long and has letters and digits, or a whole value in JSON.
fn looks_random(name: &str) -> bool {
    let random = |part: &str| {
        part.len() >= RANDOM_CHARACTERS
            && part.bytes().any(|b| b.is_ascii_digit())
            && part.bytes().any(|b| b.is_ascii_alphabetic())
    };
    name.trim_start().starts_with('{') || name.split(['/', '-', '_', '.']).any(random)
}

/// `sales-force` → `SalesForce`: how the template writes a name in the ids of its resources.
pub fn resource_word(name: &str) -> String {
    let word =
        |word: &str| word.chars().enumerate().map(|(i, c)| if i == 0 { c.to_ascii_uppercase() } else { c }).collect::<String>();
    name.split(['-', '/', '_']).map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_distinguished_from_names() {
        for name in
            ["hubspot/signing", "salesforce-events/api", "microsoft-graph/signing", "a_very_long_name_of_a_connection_2/api"]
        {
            assert!(!has_shape(name) && !looks_random(name), "{name}");
        }
        for value in ["0123456789abcdef0123456789abcdef", "{\"access_token\": 1}", "x/Zm9vYmFyYmF6cXV4MTIzNDU2"] {
            assert!(looks_random(value), "{value}");
        }
        assert!(has_shape(&format!("whsec_{}", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")));
        assert!(!has_shape("whsec_..."), "an ellipsis in a comment");
    }
}
