//! Refusals: what a provider says when it does not do what it was asked to, what that concerns, and what the hub does about it.
//!
//! Each provider declares its evidence in a table, and [`judge`] reads it for rows and for whole calls alike.

use std::fmt;

use crate::http::HttpResponse;

/// Why a row or a call failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowFailure {
    /// What the caller must do.
    pub kind: FailureKind,
    /// What the refusal concerns.
    pub scope: Scope,
    /// The provider's code, such as `CONFLICT` or `UNABLE_TO_LOCK_ROW`; `HTTP_503` where it gives none.
    pub code: String,
    /// A detail without personal data.
    pub detail: String,
    /// The native properties that are at fault, where the provider names them.
    pub faults: Vec<Fault>,
    /// The ids of other objects that the provider names: those that hold a unique value of the row, or are like it.
    pub objects: Vec<String>,
}

/// The failure of a whole call.
pub type CallFailure = RowFailure;

/// A native property that is at fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The property.
    pub property: String,
    /// The provider's code for what is wrong with it; empty where it gives none of its own.
    pub code: String,
    /// True when the property itself is refused, whatever its value: every other row would meet the same.
    pub in_every_row: bool,
}

impl Fault {
    /// A property that is at fault. [`judge`] decides whether it is in every row.
    pub(crate) fn new(property: String, code: String) -> Fault {
        Fault { property, code, in_every_row: false }
    }
}

/// What a refusal concerns. The narrowest thing that the evidence allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The value that a row has in a property.
    Value,
    /// A property in every row: the account has no such property, or the token may not use it.
    Property,
    /// One row; where a call is refused, one of its rows.
    Row,
    /// An object type.
    ObjectType,
    /// The whole connection.
    Connection,
}

/// What the caller must do about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// It may pass by itself: try again. A write may have taken effect.
    Transient,
    /// The provider asks the caller to wait. Nothing was written.
    Throttled {
        /// For how many milliseconds.
        after_ms: u64,
    },
    /// Another caller has locked the record: try again after two seconds or more.
    Locked,
    /// The provider does not accept the token.
    Auth,
    /// The token does not permit this use of the object type.
    Denied,
    /// A limit of the whole account is reached (storage, licence), and only its owner can raise it.
    LimitReached,
    /// Something in front of the provider, such as a firewall, refuses the request because of its content.
    Blocked,
    /// The provider refuses the row as it is.
    Rejected,
    /// The provider refuses the row because another object holds a value that must be unique: find that object and adopt it.
    DuplicateKey,
    /// The provider refuses the row because it finds other objects too similar. They may stand for the same thing or not.
    Similar,
    /// The provider finds several objects where only one is allowed.
    Ambiguous,
    /// The object that the row names does not exist, or no longer exists.
    NotFound,
    /// The cursor of a list is no longer valid: begin again without one.
    CursorExpired,
}

impl FailureKind {
    /// What a status code means by HTTP alone.
    pub fn of_status(response: &HttpResponse) -> FailureKind {
        match response.status {
            401 => FailureKind::Auth,
            408 | 425 => FailureKind::Transient,
            423 => FailureKind::Locked,
            429 => FailureKind::Throttled { after_ms: response.retry_after_ms().unwrap_or(10_000) },
            400..=499 if is_page(response) => FailureKind::Blocked,
            400..=499 => FailureKind::Rejected,
            _ => FailureKind::Transient,
        }
    }

    const fn concerns_connection(self) -> bool {
        matches!(self, FailureKind::Throttled { .. } | FailureKind::Auth | FailureKind::LimitReached)
    }
}

impl RowFailure {
    /// A failure without further evidence. It concerns one row, or the connection if its kind says so.
    pub fn new(kind: FailureKind, code: impl Into<String>, detail: impl Into<String>) -> RowFailure {
        let scope = if kind.concerns_connection() { Scope::Connection } else { Scope::Row };
        RowFailure { kind, scope, code: code.into(), detail: detail.into(), faults: Vec::new(), objects: Vec::new() }
    }

    /// True when the refusal of a call is about some of its rows, so that the call succeeds without them.
    pub fn concerns_rows(&self) -> bool {
        use FailureKind::{Ambiguous, Blocked, DuplicateKey, NotFound, Rejected, Similar};
        matches!(self.scope, Scope::Value | Scope::Row)
            && matches!(self.kind, Rejected | Blocked | DuplicateKey | Similar | Ambiguous | NotFound)
    }

    /// True when a smaller call may succeed where this one took too long.
    pub fn is_too_slow(&self) -> bool {
        self.kind == FailureKind::Transient && self.code.ends_with("TIMEOUT")
    }

    /// A destination that lacks the property of the hub's id takes no row of the object type.
    pub(crate) fn about_id_property(self, id_property: &str) -> RowFailure {
        if self.scope == Scope::Property && self.faults.iter().any(|fault| fault.property == id_property) {
            return RowFailure { kind: FailureKind::Denied, scope: Scope::ObjectType, ..self };
        }
        self
    }

    /// True when a row is accepted without the properties that are at fault.
    pub fn concerns_properties(&self) -> bool {
        matches!(self.scope, Scope::Value | Scope::Property) && !self.faults.is_empty()
    }
}

impl fmt::Display for RowFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.code)?;
        let properties: Vec<&str> = self.faults.iter().map(|fault| fault.property.as_str()).collect();
        if !properties.is_empty() {
            write!(f, " at {}", properties.join(", "))?;
        }
        if !self.detail.is_empty() {
            write!(f, ": {}", self.detail)?;
        }
        if self.objects.is_empty() { Ok(()) } else { write!(f, "; it names object {}", self.objects.join(", ")) }
    }
}

impl std::error::Error for RowFailure {}

/// A line of evidence: what a provider says, and what follows from it. An empty part fits everything.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Evidence {
    code: &'static str,
    words: &'static str,
    status: u16,
    kind: FailureKind,
    scope: Scope,
}

impl Evidence {
    /// A code of the provider. What it concerns follows from its kind.
    pub(crate) const fn code(code: &'static str, kind: FailureKind) -> Evidence {
        let scope = if kind.concerns_connection() { Scope::Connection } else { Scope::Row };
        Evidence { code, words: "", status: 0, kind, scope }
    }

    /// Words in the provider's message.
    pub(crate) const fn words(words: &'static str, kind: FailureKind) -> Evidence {
        Evidence { words, ..Evidence::code("", kind) }
    }

    /// A status of a call.
    pub(crate) const fn status(status: u16, kind: FailureKind) -> Evidence {
        Evidence { status, ..Evidence::code("", kind) }
    }

    /// The same evidence, only with these words in the message.
    pub(crate) const fn with_words(self, words: &'static str) -> Evidence {
        Evidence { words, ..self }
    }

    /// The same evidence about something else.
    pub(crate) const fn about(self, scope: Scope) -> Evidence {
        Evidence { scope, ..self }
    }

    fn fits(&self, refusal: &Refusal<'_>, status: Option<u16>) -> bool {
        (self.code.is_empty() || refusal.codes.iter().any(|code| code == self.code))
            && refusal.message.contains(self.words)
            && (self.status == 0 || status == Some(self.status))
    }
}

/// What a provider reports about a row or a call that it refuses. Codes and names are checked to be such; the message is only searched.
#[derive(Debug, Default)]
pub(crate) struct Refusal<'a> {
    /// Its codes, the one to report first.
    pub(crate) codes: Vec<String>,
    /// Its message, which may quote values.
    pub(crate) message: &'a str,
    /// The properties that it names.
    pub(crate) faults: Vec<Fault>,
    /// The ids of other objects that it names.
    pub(crate) objects: Vec<String>,
    /// The permissions that it misses.
    pub(crate) needs: Vec<String>,
    /// The rule of the account that is broken, by its name.
    pub(crate) rule: Option<String>,
}

/// Judges a refusal by the provider's evidence, first line first, and by HTTP where there is none. `response` is that of a call
/// that was refused as a whole.
pub(crate) fn judge(evidence: &[Evidence], refusal: Refusal<'_>, response: Option<&HttpResponse>) -> RowFailure {
    let status = response.map(|response| response.status);
    let found = evidence.iter().find(|line| line.fits(&refusal, status));
    let (kind, scope) = match (response, found) {
        // Nobody knows what became of the call, whatever the body says.
        (Some(response), _) if response.status >= 500 || response.status == 429 => {
            let failure = RowFailure::new(FailureKind::of_status(response), "", "");
            (failure.kind, failure.scope)
        }
        (_, Some(line)) => (line.kind, line.scope),
        (Some(response), None) => {
            let failure = RowFailure::new(FailureKind::of_status(response), "", "");
            (failure.kind, failure.scope)
        }
        (None, None) if refusal.codes.is_empty() => (FailureKind::Transient, Scope::Row),
        (None, None) => (FailureKind::Rejected, Scope::Row),
    };
    let scope =
        if (kind, scope) == (FailureKind::Rejected, Scope::Row) && !refusal.faults.is_empty() { Scope::Value } else { scope };
    let of_http = || status.map_or_else(|| "UNKNOWN".to_owned(), |status| format!("HTTP_{status}"));
    let detail = match (kind, &refusal.rule, refusal.needs.as_slice()) {
        (FailureKind::Blocked, ..) => "a page came back instead of an answer of the API".to_owned(),
        (_, Some(rule), _) => format!("the rule {rule}"),
        (_, None, []) => found.map_or_else(String::new, |line| line.words.to_owned()),
        (_, None, needs) => format!("needs {}", needs.join(", ")),
    };
    let code = refusal.codes.into_iter().next().unwrap_or_else(of_http);
    let of_property =
        |fault: &Fault| scope == Scope::Property && found.is_some_and(|line| fault.code.is_empty() || fault.code == line.code);
    let faults = refusal.faults.into_iter().map(|fault| Fault { in_every_row: of_property(&fault), ..fault }).collect();
    RowFailure { kind, scope, code, detail, faults, objects: refusal.objects }
}

/// True when a response is a page for people, which no API gives: something in front of the provider has answered.
fn is_page(response: &HttpResponse) -> bool {
    let named = response.header("content-type").is_some_and(|media| media.trim_start().to_lowercase().starts_with("text/html"));
    let text = String::from_utf8_lossy(&response.body[..response.body.len().min(200)]).trim_start().to_lowercase();
    named || text.starts_with("<!doctype html") || text.starts_with("<html")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[Evidence] = &[
        Evidence::words("must not be said", FailureKind::Transient),
        Evidence::code("FULL", FailureKind::LimitReached),
        Evidence::code("NO_COLUMN", FailureKind::Rejected).about(Scope::Property),
    ];

    fn refusal(code: &str, message: &'static str) -> Refusal<'static> {
        Refusal { codes: vec![code.to_owned()], message, ..Refusal::default() }
    }

    fn answer(status: u16, body: &str) -> HttpResponse {
        HttpResponse { status, headers: Vec::new(), body: body.as_bytes().to_vec() }
    }

    #[test]
    fn a_row_and_a_call_are_judged_alike() {
        let refusals = [
            ("FULL", (FailureKind::LimitReached, Scope::Connection)),
            ("NO_COLUMN", (FailureKind::Rejected, Scope::Property)),
            ("ANY", (FailureKind::Rejected, Scope::Row)),
        ];
        for (code, wanted) in refusals {
            for response in [None, Some(answer(400, "{}"))] {
                let failure = judge(TABLE, refusal(code, ""), response.as_ref());
                assert_eq!((failure.kind, failure.scope), wanted, "{code}");
            }
        }
        assert_eq!(judge(TABLE, refusal("ANY", "what must not be said"), None).kind, FailureKind::Transient);
        assert_eq!(
            judge(TABLE, refusal("FULL", ""), Some(&answer(503, ""))).kind,
            FailureKind::Transient,
            "its effect is unknown"
        );
    }

    #[test]
    fn a_page_is_no_answer_of_the_api() {
        let page = judge(TABLE, Refusal::default(), Some(&answer(403, "\n<!DOCTYPE html><html>Request blocked</html>")));
        assert_eq!((page.kind, page.scope, page.code.as_str()), (FailureKind::Blocked, Scope::Row, "HTTP_403"));
        assert!(page.concerns_rows());
        assert_eq!(judge(TABLE, Refusal::default(), Some(&answer(403, "{}"))).kind, FailureKind::Rejected);
        assert_eq!(judge(TABLE, Refusal::default(), Some(&answer(401, "<html>"))).kind, FailureKind::Auth);
    }

    #[test]
    fn a_rejection_that_names_properties_concerns_their_values() {
        let fault = Fault::new("phone".into(), "INVALID".into());
        let failure = judge(TABLE, Refusal { faults: vec![fault], ..refusal("VALIDATION", "") }, None);
        assert!(failure.concerns_properties() && failure.concerns_rows());
        assert_eq!((failure.scope, failure.to_string().as_str()), (Scope::Value, "VALIDATION at phone"));
    }
}
