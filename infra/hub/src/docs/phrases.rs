//! Short phrases that several pages use: durations, numbers, lanes, roles.

use canonical::Lane;
use providers::{Auth, AuthForm, GrantEnd};
use sync::config::Connection;

/// Milliseconds as a duration in words.
pub fn duration(ms: u64) -> String {
    const UNITS: &[(u64, &str)] = &[(86_400_000, "day"), (3_600_000, "h"), (60_000, "min"), (1_000, "s")];
    let fitting = UNITS.iter().find(|(unit, _)| ms >= *unit && ms.is_multiple_of(*unit));
    match fitting {
        Some((unit, "day")) => format!("{} day{}", ms / unit, if ms == *unit { "" } else { "s" }),
        Some((unit, name)) => format!("{} {name}", ms / unit),
        None => format!("{ms} ms"),
    }
}

/// A number with its digits in groups of three.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The name of a lane.
pub const fn lane(lane: Lane) -> &'static str {
    match lane {
        Lane::Urgent => "urgent",
        Lane::Bulk => "bulk",
    }
}

/// The roles of a connection.
pub fn roles(connection: &Connection) -> String {
    let roles = [
        (connection.source, "source"),
        (connection.destination, "destination"),
        (!connection.sweep.is_empty(), "read on a schedule"),
    ];
    roles.into_iter().filter(|(is, _)| *is).map(|(_, role)| role).collect::<Vec<_>>().join(", ")
}

/// A form of credentials: what a person creates, and how it lives.
pub fn credentials(auth: &Auth) -> String {
    let form = match auth.form {
        AuthForm::Bearer => "as a bearer token".to_owned(),
        AuthForm::Basic => format!("as the password of `{}`", auth.user),
        AuthForm::Header => format!("in the header `{}`", auth.name),
        AuthForm::Query => format!("in the parameter `{}`", auth.name),
        AuthForm::Oauth2 => {
            let grants: Vec<String> = auth.grants.iter().map(|grant| format!("`{}`", grant.name())).collect();
            let lifetime = auth.lifetime_s.map(|s| format!(", tokens of {}", duration(u64::from(s) * 1_000)));
            let rotates = if auth.rotates { ", refresh tokens that are used once" } else { "" };
            let ends = auth.grant_ends_days.map(|days| {
                let from = if auth.grant_ends_from == GrantEnd::Use { " without use" } else { "" };
                format!(", ends after {} days{from}", grouped(u64::from(days)))
            });
            format!("by OAuth ({}){}{rotates}{}", grants.join(" or "), lifetime.unwrap_or_default(), ends.unwrap_or_default())
        }
    };
    format!("{} {form}", auth.title)
}

/// A text, and a comment in brackets.
pub fn with_comment(text: String, comment: &str) -> String {
    if comment.is_empty() { text } else { format!("{text} ({comment})") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_their_largest_whole_unit() {
        let shown: Vec<String> = [500, 1_000, 90_000, 600_000, 86_400_000, 172_800_000].into_iter().map(duration).collect();
        assert_eq!(shown, ["500 ms", "1 s", "90 s", "10 min", "1 day", "2 days"]);
    }

    #[test]
    fn digits_are_grouped_by_three() {
        assert_eq!([1, 100, 1_000, 1_234_567].map(grouped), ["1", "100", "1,000", "1,234,567"]);
    }
}
