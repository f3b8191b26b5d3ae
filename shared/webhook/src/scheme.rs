//! The declared forms: how a provider's webhooks prove themselves and shake hands. Closed, and free of provider names.

use serde::{Deserialize, Serialize};

use crate::template::Template;

/// The `[webhook]` part of a manifest that concerns proof and handshakes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// How a request proves where it comes from.
    pub scheme: Scheme,
    /// The handshakes that the provider expects, tried in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub handshakes: Vec<Handshake>,
    /// Other names under which signature vectors of this scheme are published.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
}

/// How a request proves where it comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "form", rename_all = "kebab-case")]
pub enum Scheme {
    /// Several signature versions side by side; the first whose header is there counts, and no other.
    Versions(Versions),
    /// A signature over a template.
    Signed(Signed),
    /// base64 HMAC-SHA1 over the URL followed by the sorted form parameters.
    UrlForm(UrlForm),
    /// A shared value sent along in the clear.
    Shared(Shared),
    /// HTTP Basic; the secret is `name:password`.
    Basic(Basic),
    /// RSA signatures of Amazon SNS; the PEM certificates are handed in as secrets.
    Sns(Sns),
}

/// Several signature versions side by side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Versions {
    /// Names of the versions that the connection accepts. A connection may widen or narrow it.
    pub accept: Vec<String>,
    /// The known versions, strongest first.
    pub versions: Vec<Version>,
}

/// One signature version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Version {
    /// Its name.
    pub name: String,
    /// The header by which a request of this version is recognised. Without one, the version takes every request that no
    /// earlier version claims.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<When>,
    /// How it signs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed: Option<Signed>,
    /// The value that it sends along in the clear instead of a signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared: Option<Shared>,
}

/// A header that must be there, optionally with a given value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct When {
    /// Name in lower case.
    pub header: String,
    /// The value it must have; any, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equals: Option<String>,
    /// What its value must begin with, case aside: one of these; anything, if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub begins: Vec<String>,
}

/// A signature over a template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signed {
    /// Where the signature is and how it is written.
    pub signature: Signature,
    /// What is signed.
    pub content: Template,
    /// The accepted kinds of proof, at least one.
    pub proofs: Vec<Proof>,
    /// The sender's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<Timestamp>,
    /// The sender's message id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Location>,
    /// How far the sender's clock may be from ours, in seconds, either way. Absent: time is not checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerance_s: Option<u32>,
    /// For how many more seconds the sender may repeat a request with its first timestamp, because it does not sign again when it
    /// tries again. A single-use token or an idempotency key must keep repeated requests from counting twice.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub repeats_s: u32,
    /// Characters whose escapes in the URL are decoded before it is signed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unescape: String,
}

/// Where a signature is and how it is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// Where it is.
    pub at: Location,
    /// Where else the request may carry a signature, made with another key of the sender's: one that matches is enough.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<Location>,
    /// How the value is laid out.
    pub layout: Layout,
    /// How the bytes are written.
    pub encoding: Encoding,
}

/// Where a value is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Location {
    /// In a header: names in lower case, alternatives in order of preference. Alternatives of one scheme go together by
    /// position: with the second signature header, only the second id and timestamp headers count.
    Header(Vec<String>),
    /// In the JSON body, at a pointer.
    Json(String),
    /// In the body that is a form: the field of this name, which must come exactly once.
    Form(String),
    /// Under a key of the signature header itself (layout `pairs`).
    Pair(String),
}

/// How a signature value is laid out, and what a doubled header means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// The value is the signature. A comma means a doubled header: rejected.
    Plain,
    /// A fixed prefix, then the signature. A comma means a doubled header: rejected.
    Prefixed(String),
    /// `key=value` pairs with commas; a signature key may repeat. Any other declared key that repeats means a doubled
    /// header: rejected.
    Pairs,
    /// `version,signature` entries with spaces. An entry with a second comma means a doubled header: rejected.
    List,
}

/// How bytes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// Lower-case hexadecimal.
    Hex,
    /// Padded base64.
    Base64,
}

/// One accepted kind of proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// The pair key or list version that carries it (layouts `pairs` and `list`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The algorithm.
    pub algorithm: Algorithm,
    /// How the secret is written.
    #[serde(default)]
    pub key: KeyForm,
}

/// A signature algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Algorithm {
    /// HMAC with SHA-1.
    HmacSha1,
    /// HMAC with SHA-256.
    HmacSha256,
    /// A plain SHA-256 whose content holds the secret.
    Sha256,
    /// ECDSA on P-256 with SHA-256, DER signature.
    EcdsaP256,
    /// Ed25519.
    Ed25519,
}

/// How a secret is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyForm {
    /// The text itself, prefix and all.
    #[default]
    Text,
    /// base64, after an optional `whsec_`.
    Whsec,
    /// A raw public key in base64 after `whpk_`.
    Whpk,
    /// A SubjectPublicKeyInfo in base64.
    Spki,
}

/// The sender's clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timestamp {
    /// Where it is.
    pub at: Location,
    /// How it is written.
    pub unit: Unit,
}

/// How a timestamp is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Whole seconds since 1970.
    S,
    /// Whole milliseconds since 1970.
    Ms,
    /// ISO 8601 with an offset.
    Iso8601,
}

/// base64 HMAC-SHA1 over the URL and the form parameters, sorted by name, values sorted and without repetition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UrlForm {
    /// The signature header, in lower case. Doubled: rejected.
    pub header: String,
    /// Whether the sender may have signed another spelling of the URL: with or without port, with a re-encoded query.
    #[serde(default)]
    pub spellings: bool,
    /// The query parameter with the lower-case hex SHA-256 of the body, for bodies that are not forms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_hash: Option<String>,
}

/// A shared value sent along in the clear.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shared {
    /// Where it is.
    pub at: SharedLocation,
    /// How it is compared.
    #[serde(default)]
    pub compare: Compare,
}

/// Where a shared value is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SharedLocation {
    /// In one header, in lower case. Doubled: rejected.
    Header(String),
    /// In the JSON body, at a pointer.
    Json(String),
    /// In every item of a list in the JSON body; an empty list proves nothing.
    JsonEach {
        /// Pointer to the list.
        items: String,
        /// Pointer inside an item.
        field: String,
    },
    /// The text of exactly one element of an XML body: local names from the root, with slashes.
    Xml(String),
}

/// How a shared value is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compare {
    /// Byte for byte.
    #[default]
    Exact,
    /// Ids of 15 or 18 characters: the 15-character form equals the 18-character form without its last three characters.
    #[serde(rename = "id-15-18")]
    Id15Or18,
}

/// HTTP Basic; the secret is `name:password`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Basic {}

/// RSA signatures of Amazon SNS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sns {
    /// ARNs of the connection's topics; messages of any other topic are rejected.
    #[serde(default)]
    pub topics: Vec<String>,
    /// Names that the certificate may be issued to.
    pub certificate_names: Vec<String>,
}

/// A handshake that a provider expects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Handshake {
    /// A request with one of these methods is not signed. It only checks whether the URL exists.
    Probe {
        /// Methods in upper case.
        methods: Vec<String>,
    },
    /// Unsigned: an empty request with a token in its query wants the decoded token back as plain text.
    EchoQuery {
        /// Name of the query parameter.
        parameter: String,
    },
    /// Signed: a JSON body of one type wants one of its values back as JSON under `key`.
    Challenge {
        /// Pointer to the type.
        pointer: String,
        /// The type.
        equals: String,
        /// Pointer to the value.
        echo: String,
        /// Name of the value in the answer.
        key: String,
    },
    /// Signed: an empty list in the JSON body means that there is nothing but the proof.
    EmptyList {
        /// Pointer to the list.
        pointer: String,
    },
    /// Signed: a header value means that there is nothing but the proof.
    HeaderEquals {
        /// Name in lower case.
        header: String,
        /// The value.
        value: String,
    },
    /// Signed: a subscription of Amazon SNS wants to be confirmed.
    SnsSubscription,
}

impl Scheme {
    /// The same scheme with another tolerance (`None`: time is not checked).
    pub fn with_tolerance(mut self, tolerance_s: Option<u32>) -> Scheme {
        for signed in self.signed_mut().into_iter().filter(|signed| signed.timestamp.is_some()) {
            signed.tolerance_s = tolerance_s;
        }
        self
    }

    /// The same scheme for a sender that signs again whenever it tries again.
    pub fn without_repeats(mut self) -> Scheme {
        self.signed_mut().into_iter().for_each(|signed| signed.repeats_s = 0);
        self
    }

    fn signed_mut(&mut self) -> Vec<&mut Signed> {
        match self {
            Scheme::Versions(versions) => versions.versions.iter_mut().filter_map(|version| version.signed.as_mut()).collect(),
            Scheme::Signed(signed) => vec![signed],
            _ => Vec::new(),
        }
    }

    /// The same scheme for a connection that accepts these versions; no effect on schemes without versions.
    pub fn with_versions(mut self, accept: Vec<String>) -> Scheme {
        if let Scheme::Versions(versions) = &mut self {
            versions.accept = accept;
        }
        self
    }

    /// The same scheme for a connection with these SNS topics; no effect on other schemes.
    pub fn with_topics(mut self, topics: Vec<String>) -> Scheme {
        if let Scheme::Sns(sns) = &mut self {
            sns.topics = topics;
        }
        self
    }
}

/// For serde: nothing is left out of the packed form.
fn is_zero(number: &u32) -> bool {
    *number == 0
}
