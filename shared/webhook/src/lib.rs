//! Raw bytes in, [`VerifiedRequest`] out: the only place that can build one.
//!
//! A provider's manifest declares how its webhooks prove themselves as one of a small closed set of [`Scheme`] forms;
//! [`verify`] checks the raw bytes of a request against that declaration, against every active secret and an injected
//! clock. [`answer_unsigned`] and [`handshake`] answer the declared handshakes, [`sign`] makes the same proofs for senders, and
//! [`vectors`] runs published known answers.
//!
//! This crate never parses a body beyond what a proof or a handshake needs, never does I/O, never reads a clock, keeps
//! no state (single-use tokens are the caller's business) and names no provider.
#![forbid(unsafe_code)]

mod certificate;
mod declaration;
mod diagnose;
mod encoding;
pub mod form;
mod handshake;
pub mod json;
mod proof;
mod rejection;
mod request;
mod scheme;
mod shared;
mod sign;
mod signed;
mod sns;
mod template;
mod url_form;
pub mod vectors;
mod verify;

pub use declaration::DeclarationError;
pub use diagnose::{Suspicion, diagnose};
pub use handshake::{Confirmation, HandshakeAction, HttpReply, answer_signed, answer_unsigned};
pub use rejection::Rejection;
pub use request::{Evidence, Headers, RawRequest, VerifiedRequest};
pub use scheme::{
    Algorithm, Basic, Compare, Encoding, Handshake, KeyForm, Layout, Location, Proof, Scheme, Shared, SharedLocation, Signature,
    Signed, Sns, Timestamp, Unit, UrlForm, Version, Versions, Webhook, When,
};
pub use sign::{Draft, SignError, SignedRequest, body_parameter, ecdsa_pair, key_pair, sign};
pub use sns::certificate_url;
pub use template::{Template, TemplateError};
pub use verify::verify;
