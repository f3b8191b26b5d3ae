//! The signature schemes and handshakes of providers in plain English.

use webhook::{
    Algorithm, Encoding, Handshake, KeyForm, Layout, Location, Scheme, Shared, SharedLocation, Signed, Timestamp, Unit, UrlForm,
    Version, When,
};

use super::english::{code, codes, listing};

/// How the hub verifies requests, a phrase for each way.
pub fn proofs(scheme: &Scheme) -> Vec<String> {
    match scheme {
        Scheme::Versions(versions) => versions
            .versions
            .iter()
            .map(|version| {
                let accepted = if versions.accept.contains(&version.name) { "" } else { " (only where a connection accepts it)" };
                format!("{}{accepted}: {}", version.name, of_version(version))
            })
            .collect(),
        Scheme::Signed(one) => vec![signed(one)],
        Scheme::UrlForm(form) => vec![url_form(form)],
        Scheme::Shared(one) => vec![shared(one)],
        Scheme::Basic(_) => vec!["HTTP Basic with name and password; there is no signature".to_owned()],
        Scheme::Sns(sns) => {
            vec![format!(
                "RSA signature of Amazon SNS with a certificate of {}, for configured topics only",
                codes(&sns.certificate_names, "or")
            )]
        }
    }
}

fn of_version(version: &Version) -> String {
    let proof = match (&version.signed, &version.shared) {
        (Some(one), _) => signed(one),
        (None, Some(one)) => shared(one),
        (None, None) => "no way to verify it".to_owned(),
    };
    match &version.when {
        Some(When { header, equals: Some(value), .. }) => format!("{proof}, where header {} is {}", code(header), code(value)),
        Some(When { header, begins, .. }) if !begins.is_empty() => {
            format!("{proof}, where header {} begins with {}", code(header), codes(begins, "or"))
        }
        _ => proof,
    }
}

fn signed(signed: &Signed) -> String {
    let proofs: Vec<String> = signed.proofs.iter().map(|proof| algorithm(proof.algorithm, proof.key)).collect();
    let positions: Vec<String> = std::iter::once(&signed.signature.at).chain(&signed.signature.also).map(location).collect();
    let at = listing(&positions, "or");
    let encoding = match signed.signature.encoding {
        Encoding::Hex => "hexadecimal",
        Encoding::Base64 => "base64",
    };
    let labels: Vec<&str> = signed.proofs.iter().filter_map(|proof| proof.label.as_deref()).collect();
    let layout = match &signed.signature.layout {
        Layout::Plain => String::new(),
        Layout::Prefixed(prefix) => format!(" after {}", code(prefix)),
        Layout::Pairs | Layout::List => format!(" as {}", codes(&labels, "or")),
    };
    let content = String::from(signed.content.clone());
    let clock = match (&signed.timestamp, signed.tolerance_s) {
        (Some(Timestamp { at, unit }), Some(seconds)) => {
            let repeats = match signed.repeats_s {
                0 => String::new(),
                more => format!(", and be {more} s older, because the sender repeats it"),
            };
            format!("; the time in {} ({}) may differ by at most {seconds} s{repeats}", location(at), clock_unit(*unit))
        }
        (Some(Timestamp { at, .. }), None) => format!("; the time in {} is not checked", location(at)),
        (None, _) => "; no time is signed".to_owned(),
    };
    format!("{} in {at}{layout} ({encoding}), over {}{clock}", listing(&proofs, "or"), code(&content))
}

const fn clock_unit(unit: Unit) -> &'static str {
    match unit {
        Unit::S => "seconds",
        Unit::Ms => "milliseconds",
        Unit::Iso8601 => "ISO 8601",
    }
}

fn algorithm(algorithm: Algorithm, key: KeyForm) -> String {
    let name = match algorithm {
        Algorithm::HmacSha1 => "HMAC-SHA1",
        Algorithm::HmacSha256 => "HMAC-SHA256",
        Algorithm::Sha256 => "plain SHA-256 of a text that contains the secret",
        Algorithm::EcdsaP256 => "ECDSA P-256",
        Algorithm::Ed25519 => "Ed25519",
    };
    let key = match key {
        KeyForm::Text => "",
        KeyForm::Whsec => " (secret as `whsec_…`)",
        KeyForm::Whpk => " (public key as `whpk_…`)",
        KeyForm::Spki => " (public key as SubjectPublicKeyInfo)",
    };
    format!("{name}{key}")
}

fn location(location: &Location) -> String {
    match location {
        Location::Header(names) => format!("header {}", codes(names, "or")),
        Location::Json(pointer) => format!("the JSON body at {}", code(pointer)),
        Location::Form(field) => format!("form field {}", code(field)),
        Location::Pair(key) => format!("its {}", code(key)),
    }
}

fn url_form(form: &UrlForm) -> String {
    let body = form
        .body_hash
        .as_ref()
        .map(|name| format!("; other bodies by their SHA-256, which is in the query parameter {}", code(name)));
    let spellings = if form.spellings { "; other spellings of the URL are tried as well" } else { "" };
    let body = body.unwrap_or_default();
    format!("HMAC-SHA1 in header {} (base64), over the URL and the sorted form fields{body}{spellings}", code(&form.header))
}

fn shared(shared: &Shared) -> String {
    let at = match &shared.at {
        SharedLocation::Header(name) => format!("header {}", code(name)),
        SharedLocation::Json(pointer) => format!("the JSON body at {}", code(pointer)),
        SharedLocation::JsonEach { items, field } => format!("{} of each item of {}", code(field), code(items)),
        SharedLocation::Xml(path) => format!("the XML element {}", code(path)),
    };
    format!("a shared value in {at}; there is no signature")
}

/// The handshakes of a provider, a phrase each.
pub fn handshakes(handshakes: &[Handshake]) -> Vec<String> {
    let phrase = |handshake: &Handshake| match handshake {
        Handshake::Probe { methods } => format!("{} checks whether the URL exists", codes(methods, "or")),
        Handshake::EchoQuery { parameter } => format!("the hub sends the query parameter {} back", code(parameter)),
        Handshake::Challenge { equals, echo, .. } => {
            format!("{}: the hub sends {} back if the signature verifies", code(equals), code(echo))
        }
        Handshake::EmptyList { pointer } => {
            format!("an empty list at {} only checks the secret; it is not an event", code(pointer))
        }
        Handshake::HeaderEquals { header, value } => {
            format!("a request whose header {} is {} is not an event", code(header), code(value))
        }
        Handshake::SnsSubscription => "the hub confirms a subscription to a configured topic".to_owned(),
    };
    handshakes.iter().map(phrase).collect()
}
