//! Declared handshakes: what a provider wants to see before, or instead of, events.

use serde_json::{Value, json};

use crate::encoding;
use crate::request::{RawRequest, VerifiedRequest};
use crate::scheme::{Handshake, Webhook};
use crate::signed::parse_json;
use crate::sns;

/// The longest token that is sent back. No provider sends a longer one.
const LONGEST_ECHO: usize = 4096;

/// The reply to an HTTP request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpReply {
    /// HTTP status.
    pub status: u16,
    /// Media type; absent where the body is empty.
    pub content_type: Option<&'static str>,
    /// The body.
    pub body: Vec<u8>,
}

impl HttpReply {
    fn empty() -> HttpReply {
        HttpReply { status: 200, content_type: None, body: Vec::new() }
    }
}

/// An SNS subscription that has to be confirmed. The caller confirms it, because this crate does no I/O.
#[derive(Clone, PartialEq, Eq)]
pub struct Confirmation {
    /// ARN of the topic, one of those configured.
    pub topic: String,
    /// The address to GET, on Amazon's own host.
    pub url: String,
    /// The token, for a confirmation through the API instead.
    pub token: String,
}

impl std::fmt::Debug for Confirmation {
    /// Leaves out the address and the token: anybody who knows them can confirm.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Confirmation").field("topic", &self.topic).finish_non_exhaustive()
    }
}

/// What has to be done about a verified handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandshakeAction {
    /// Send this reply and do nothing else: the request holds no event.
    Reply(HttpReply),
    /// Confirm the subscription, then reply with 200: the request holds no event.
    Confirm(Confirmation),
}

/// The reply to a handshake that providers do not sign. Call it before [`verify`](crate::verify()); `None` means: verify.
pub fn answer_unsigned(webhook: &Webhook, request: &RawRequest<'_>) -> Option<HttpReply> {
    webhook.handshakes.iter().find_map(|declared| match declared {
        Handshake::Probe { methods } => methods.iter().any(|method| method == request.method).then(HttpReply::empty),
        Handshake::EchoQuery { parameter } if request.body.is_empty() => echo(request.url, parameter),
        _ => None,
    })
}

/// What to do about a signed handshake. `None` means an ordinary delivery.
pub fn answer_signed(webhook: &Webhook, request: &VerifiedRequest<'_>) -> Option<HandshakeAction> {
    let body = || parse_json(request.body()).ok();
    webhook.handshakes.iter().find_map(|declared| match declared {
        Handshake::Challenge { .. } => challenge(declared, &body()?).map(HandshakeAction::Reply),
        Handshake::EmptyList { pointer } => {
            let empty = body()?.pointer(pointer).and_then(Value::as_array).is_some_and(Vec::is_empty);
            empty.then(|| HandshakeAction::Reply(HttpReply::empty()))
        }
        Handshake::HeaderEquals { header, value } => {
            let equal = request.headers().first(header).is_some_and(|given| given == value);
            equal.then(|| HandshakeAction::Reply(HttpReply::empty()))
        }
        Handshake::SnsSubscription => confirmation(&body()?).map(HandshakeAction::Confirm),
        Handshake::Probe { .. } | Handshake::EchoQuery { .. } => None,
    })
}

/// The reply to a challenge in a body. The caller has verified the body.
pub(crate) fn challenge(declared: &Handshake, body: &Value) -> Option<HttpReply> {
    let Handshake::Challenge { pointer, equals, echo, key } = declared else { return None };
    let is_challenge = body.pointer(pointer).and_then(Value::as_str) == Some(equals);
    let value = body.pointer(echo).and_then(Value::as_str).filter(|_| is_challenge)?;
    let answer = json!({ key.as_str(): value }).to_string();
    Some(HttpReply { status: 200, content_type: Some("application/json"), body: answer.into_bytes() })
}

fn echo(url: &str, parameter: &str) -> Option<HttpReply> {
    let pairs = encoding::form_pairs(encoding::query(url)?.as_bytes());
    let (_, token) = pairs.into_iter().find(|(name, _)| name == parameter.as_bytes())?;
    let sound = !token.is_empty() && token.len() <= LONGEST_ECHO && std::str::from_utf8(&token).is_ok();
    sound.then_some(HttpReply { status: 200, content_type: Some("text/plain"), body: token })
}

fn confirmation(message: &Value) -> Option<Confirmation> {
    let text = |name: &str| sns::field(message, name).ok().map(str::to_owned);
    if text("Type")? != "SubscriptionConfirmation" {
        return None;
    }
    let url = text("SubscribeURL")?;
    sns::own_host_path(&url)?;
    Some(Confirmation { topic: text("TopicArn")?, url, token: text("Token")? })
}
