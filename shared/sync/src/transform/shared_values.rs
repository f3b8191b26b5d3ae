//! Values that many people or companies share, or that stand for no value: they are not identity keys.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use canonical::FieldKind;

use crate::config::ObjectPolicy;

/// The lists, each with a reason for each line.
const ROLE_ADDRESSES: &str = include_str!("../../data/role-addresses.txt");
const SHARED_HOSTS: &str = include_str!("../../data/shared-hosts.txt");

fn first_column(list: &'static str) -> BTreeSet<&'static str> {
    list.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split('\t').next()).collect()
}

/// True when a value of a field of this kind joins no records: the user has blocked it, or it is a role address, a shared host or a
/// placeholder.
pub fn is_shared(policy: &ObjectPolicy, kind: Option<FieldKind>, value: &str) -> bool {
    if policy.blocked.iter().any(|pattern| blocks(pattern, value)) {
        return true;
    }
    match kind {
        Some(FieldKind::Email) => is_role_address(value),
        Some(FieldKind::Phone) => is_placeholder_number(value),
        Some(FieldKind::Domain) => is_shared_host(value),
        _ => false,
    }
}

/// True when a pattern of `hub.toml` blocks a value: an exact one, or a beginning with `*` (`info@*`).
fn blocks(pattern: &str, value: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => value.starts_with(prefix),
        None => value == pattern,
    }
}

fn is_role_address(address: &str) -> bool {
    static ROLES: LazyLock<BTreeSet<&str>> = LazyLock::new(|| first_column(ROLE_ADDRESSES));
    let local = address.split('@').next().unwrap_or_default();
    ROLES.contains(local.split('+').next().unwrap_or_default().to_lowercase().as_str())
}

/// True for a host of the list, for one below it, and for a host below which anybody can have one (`github.io`, `co.uk`).
fn is_shared_host(host: &str) -> bool {
    static HOSTS: LazyLock<BTreeSet<&str>> = LazyLock::new(|| first_column(SHARED_HOSTS));
    let host = host.trim_end_matches('.').to_lowercase();
    if HOSTS.contains(format!("={host}").as_str()) {
        return true;
    }
    let mut above = Some(host.as_str());
    while let Some(name) = above {
        if HOSTS.contains(name) {
            return true;
        }
        above = name.split_once('.').map(|(_, rest)| rest);
    }
    psl::domain_str(&host).is_none()
}

/// True for a number that people type where a number is required: after at most three digits, which may be the country code, all digits
/// are equal, or each is the one before plus or minus one (`+10000000000`, `+4912345678`, `+999999999999`).
fn is_placeholder_number(number: &str) -> bool {
    let digits: Vec<u8> = number.bytes().filter(u8::is_ascii_digit).map(|digit| digit - b'0').collect();
    let steps_by = |rest: &[u8], step: u8| rest.windows(2).all(|pair| (pair[0] + step) % 10 == pair[1]);
    (0..=3).filter_map(|code| digits.get(code..)).filter(|rest| rest.len() >= MIN_RUN).any(|rest| {
        // Minus one is plus nine.
        [0, 1, 9].into_iter().any(|step| steps_by(rest, step))
    })
}

/// So many digits in a row, all the same or all one step apart, are not a coincidence.
const MIN_RUN: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    fn shared(field: &str, value: &str) -> bool {
        let kind = match field {
            "domain" => FieldKind::Domain,
            "phone" => FieldKind::Phone,
            _ => FieldKind::Email,
        };
        let policy = ObjectPolicy { blocked: vec!["vip@*".into(), "+4930000001".into()], ..ObjectPolicy::default() };
        is_shared(&policy, Some(kind), value)
    }

    #[test]
    fn role_addresses_and_blocked_values_join_nobody() {
        for value in
            ["info@acme.example", "Sales@acme.example", "support+de@acme.example", "no-reply@acme.example", "vip@a.example"]
        {
            assert!(shared("email", value), "{value}");
        }
        for value in ["ada@acme.example", "information.ada@acme.example", "infos@acme.example"] {
            assert!(!shared("email", value), "{value}");
        }
    }

    #[test]
    fn placeholder_numbers_join_nobody() {
        let placeholders = [
            "+10000000000",
            "+15555555555",
            "+4999999999",
            "+999999999999",
            "+4912345678",
            "+11234567890",
            "+49987654321",
            "+4930000001",
            "+493012345678",
        ];
        for value in placeholders {
            assert!(shared("phone", value), "{value}");
        }
        for value in ["+14155552671", "+493028391746", "+442079460018", "+33612459078", "+4930111112"] {
            assert!(!shared("phone", value), "{value}");
        }
    }

    #[test]
    fn hosts_that_many_share_join_nobody() {
        let hosts = [
            "facebook.com",
            "de-de.facebook.com",
            "linkedin.com",
            "instagram.com",
            "linktr.ee",
            "sites.google.com",
            "gmail.com",
            "github.io",
            "co.uk",
            "myshopify.com",
            "com",
            "wordpress.com",
        ];
        for value in hosts {
            assert!(shared("domain", value), "{value}");
        }
        for value in
            ["acme.de", "acme.wordpress.com", "shop.acme.co.uk", "acme.myshopify.com", "notfacebook.com", "acme.github.io"]
        {
            assert!(!shared("domain", value), "{value}");
        }
    }

    #[test]
    fn each_line_of_the_lists_has_a_reason_and_is_there_once() {
        for list in [ROLE_ADDRESSES, SHARED_HOSTS] {
            let lines: Vec<&str> = list.lines().filter(|line| !line.starts_with('#')).collect();
            assert!(lines.iter().all(|line| line.split('\t').nth(1).is_some_and(|reason| !reason.trim().is_empty())));
            assert_eq!(first_column(list).len(), lines.len(), "a line is there twice");
        }
    }
}
