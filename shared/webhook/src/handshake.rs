//! Declared handshakes: what a provider wants to see before, or instead of, events.

use serde_json::{Value, json};

use crate::encoding;
use crate::request::{RawRequest, VerifiedRequest};
use crate::scheme::{Handshake, Webhook};
use crate::sns;

/// A longer token is no provider's; it is not reflected.
const LONGEST_ECHO: usize = 4096;

/// An answer that ends a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Media type; absent where the body is empty.
    pub content_type: Option<&'static str>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    fn empty() -> Answer {
        Answer { status: 200, content_type: None, body: Vec::new() }
    }
}

/// A subscription that waits for its confirmation; this crate does no I/O.
#[derive(Clone, PartialEq, Eq)]
pub struct Confirmation {
    /// ARN of the topic, one of those configured.
    pub topic: String,
    /// The address to GET, on Amazon's own host.
    pub url: String,
    /// The token, for those who confirm through the API instead.
    pub token: String,
}

impl std::fmt::Debug for Confirmation {
    /// Leaves out address and token: whoever has them can confirm.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Confirmation").field("topic", &self.topic).finish_non_exhaustive()
    }
}

/// What a verified handshake asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Answer, and nothing else: there is no event in it.
    Answer(Answer),
    /// Confirm the subscription, then answer 200; there is no event in it.
    Confirm(Confirmation),
}

/// Answers handshakes that providers do not sign. Call it before [`verify`](crate::verify()); `None` means: verify.
pub fn greet(webhook: &Webhook, request: &RawRequest<'_>) -> Option<Answer> {
    webhook.handshakes.iter().find_map(|declared| match declared {
        Handshake::Probe { methods } => methods.iter().any(|method| method == request.method).then(Answer::empty),
        Handshake::EchoQuery { parameter } if request.body.is_empty() => echo(request.url, parameter),
        _ => None,
    })
}

/// Answers signed handshakes. `None` means: an ordinary delivery.
pub fn handshake(webhook: &Webhook, request: &VerifiedRequest<'_>) -> Option<Reply> {
    let body = || serde_json::from_slice::<Value>(request.body()).ok();
    webhook.handshakes.iter().find_map(|declared| match declared {
        Handshake::Challenge { .. } => challenge(declared, &body()?).map(Reply::Answer),
        Handshake::EmptyList { pointer } => {
            let empty = body()?.pointer(pointer).and_then(Value::as_array).is_some_and(Vec::is_empty);
            empty.then(|| Reply::Answer(Answer::empty()))
        }
        Handshake::HeaderEquals { header, value } => {
            let equal = request.headers().first(header).is_some_and(|given| given == value);
            equal.then(|| Reply::Answer(Answer::empty()))
        }
        Handshake::SnsSubscription => confirmation(&body()?).map(Reply::Confirm),
        Handshake::Probe { .. } | Handshake::EchoQuery { .. } => None,
    })
}

/// The answer to a challenge in a body. Its caller knows that the body is signed.
pub(crate) fn challenge(declared: &Handshake, body: &Value) -> Option<Answer> {
    let Handshake::Challenge { pointer, equals, echo, key } = declared else { return None };
    let is_challenge = body.pointer(pointer).and_then(Value::as_str) == Some(equals);
    let value = body.pointer(echo).and_then(Value::as_str).filter(|_| is_challenge)?;
    let answer = json!({ key.as_str(): value }).to_string();
    Some(Answer { status: 200, content_type: Some("application/json"), body: answer.into_bytes() })
}

fn echo(url: &str, parameter: &str) -> Option<Answer> {
    let pairs = encoding::form_pairs(encoding::query(url)?.as_bytes());
    let (_, token) = pairs.into_iter().find(|(name, _)| name == parameter.as_bytes())?;
    let sound = !token.is_empty() && token.len() <= LONGEST_ECHO && std::str::from_utf8(&token).is_ok();
    sound.then_some(Answer { status: 200, content_type: Some("text/plain"), body: token })
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
