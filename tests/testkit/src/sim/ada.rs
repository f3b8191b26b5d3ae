//! The person of most named scenarios.

use super::script::{Author, Form, START_MS, Script};

/// Her e-mail address.
pub(super) const MAIL: &str = "ada@example.com";

/// A form that she fills in.
pub(super) fn form(phone: Option<&str>, first_name: Option<&str>) -> Form<'static> {
    Form { email: MAIL, phone: phone.map(str::to_owned), first_name: first_name.map(str::to_owned), ..Form::default() }
}

/// The script of an author, which ends five minutes after it began, or later.
pub(super) fn done(mut author: Author) -> Script {
    author.script.end_ms = author.script.end_ms.max(START_MS + 300_000);
    author.script
}
