//! The script of faults: which requests fail, and how.

use serde::{Deserialize, Serialize};

use crate::{Request, Response};

/// One line of the script.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// What happens.
    pub kind: FaultKind,
    /// From when it happens, in milliseconds since the epoch.
    #[serde(default)]
    pub from_ms: Option<i64>,
    /// Until when it happens (exclusive).
    #[serde(default)]
    pub until_ms: Option<i64>,
    /// Only requests whose method and path, as in `POST /crm/v3/objects/contacts/batch/upsert`, contain this.
    #[serde(default)]
    pub matching: Option<String>,
    /// Only requests whose body contains this text.
    #[serde(default)]
    pub containing: Option<String>,
    /// How often it happens before it is used up. `None`: always.
    #[serde(default)]
    pub times: Option<u32>,
    /// It happens to one request in this many, chosen by the seed. `None`: to every request.
    #[serde(default)]
    pub one_in: Option<u32>,
}

impl Fault {
    /// A fault that happens at every request until it is cleared.
    pub fn always(kind: FaultKind) -> Fault {
        Fault { kind, from_ms: None, until_ms: None, matching: None, containing: None, times: None, one_in: None }
    }

    /// Limits it to a time: from, until (exclusive).
    #[must_use]
    pub fn between(mut self, from_ms: i64, until_ms: i64) -> Fault {
        (self.from_ms, self.until_ms) = (Some(from_ms), Some(until_ms));
        self
    }

    /// Limits it to requests whose method and path contain this.
    #[must_use]
    pub fn on(mut self, matching: &str) -> Fault {
        self.matching = Some(matching.to_owned());
        self
    }

    /// Limits it to requests whose body contains this text.
    #[must_use]
    pub fn with_body(mut self, text: &str) -> Fault {
        self.containing = Some(text.to_owned());
        self
    }

    /// Limits it to this many requests.
    #[must_use]
    pub fn times(mut self, times: u32) -> Fault {
        self.times = Some(times);
        self
    }

    /// Limits it to one request in this many.
    #[must_use]
    pub fn one_in(mut self, n: u32) -> Fault {
        self.one_in = Some(n);
        self
    }

    /// True if it happens to this request. Then it counts as used.
    fn strikes(&mut self, request: &Request, now_ms: i64, dice: u64) -> bool {
        let line = format!("{} {}", request.method, request.path);
        let strikes = self.from_ms.is_none_or(|from| now_ms >= from)
            && self.until_ms.is_none_or(|until| now_ms < until)
            && self.matching.as_ref().is_none_or(|part| line.contains(part.as_str()))
            && self.containing.as_ref().is_none_or(|text| String::from_utf8_lossy(&request.body).contains(text.as_str()))
            && self.times != Some(0)
            && self.one_in.is_none_or(|n| dice.is_multiple_of(u64::from(n.max(1))));
        if let (true, Some(times)) = (strikes, &mut self.times) {
            *times -= 1;
        }
        strikes
    }
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum FaultKind {
    /// An outage: the answer has this status, and the request has no effect.
    Status {
        /// Such as 503.
        status: u16,
        /// The `Retry-After` header, in seconds.
        #[serde(default)]
        retry_after_s: Option<u64>,
    },
    /// The answer is this one, and the request has no effect: a refusal that the stand-in has no rule for, or the page of a firewall in front of it.
    Answer {
        /// Such as 403.
        status: u16,
        /// The body.
        body: String,
        /// Its media type. `None`: JSON.
        #[serde(default)]
        media: Option<String>,
    },
    /// The answer of an exhausted rate limit.
    Throttle,
    /// Reads by id find nothing, as if the user might not see the records.
    Blind,
    /// The answer is late.
    Slow {
        /// By how many milliseconds.
        ms: u64,
    },
    /// The request takes effect, but its answer never arrives.
    LoseAnswer,
    /// The request never arrives.
    LoseRequest,
    /// One row in this many of a batch, chosen by the seed, fails temporarily.
    FailRows {
        /// At least 1.
        one_in: u32,
    },
}

/// What the script does to one request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Effects {
    pub(crate) answer: Option<Response>,
    pub(crate) status: Option<(u16, Option<u64>)>,
    pub(crate) throttle: bool,
    pub(crate) blind: bool,
    pub(crate) delay_ms: u64,
    pub(crate) lose_answer: bool,
    pub(crate) lose_request: bool,
    pub(crate) fail_rows: Option<u32>,
}

impl Effects {
    pub(crate) fn of(faults: &mut [Fault], request: &Request, now_ms: i64, dice: u64) -> Effects {
        let mut effects = Effects::default();
        for fault in faults {
            if !fault.strikes(request, now_ms, dice) {
                continue;
            }
            match &fault.kind {
                FaultKind::Status { status, retry_after_s } => effects.status = Some((*status, *retry_after_s)),
                FaultKind::Answer { status, body, media } => {
                    let media = media.as_deref().unwrap_or("application/json;charset=utf-8");
                    let answer = Response { body: body.clone().into_bytes(), ..Response::empty(*status) };
                    effects.answer = Some(answer.with("content-type", media));
                }
                FaultKind::Throttle => effects.throttle = true,
                FaultKind::Blind => effects.blind = true,
                FaultKind::Slow { ms } => effects.delay_ms += *ms,
                FaultKind::LoseAnswer => effects.lose_answer = true,
                FaultKind::LoseRequest => effects.lose_request = true,
                FaultKind::FailRows { one_in } => effects.fail_rows = Some((*one_in).max(1)),
            }
        }
        effects
    }
}
