//! Sets: the values of a list or of one text, each in its canonical form.

use std::borrow::Cow;

use canonical::Value;

use crate::captured::{Captured, elements, text_of};
use crate::normal::{self, Fault};
use crate::pairs::sorted_set;
use crate::rule::{SetMember, SetRule};

/// The members of a set that have a canonical form, and why others have none.
pub(crate) struct Members {
    /// The set.
    pub value: Value,
    /// What is wrong with the first member that is left out.
    pub fault: Option<Fault>,
}

impl SetRule {
    /// The values of a set in one text.
    pub(crate) fn of_text(&self, text: &str) -> Result<Members, Fault> {
        match self.separator.as_deref().filter(|separator| !separator.is_empty()) {
            Some(separator) => self.members(parts(text, separator, self.escape)),
            None => self.members(vec![text.to_owned()]),
        }
    }

    /// The texts of a list as a set.
    pub(crate) fn of_list(&self, captured: &Captured<'_>) -> Result<Members, Fault> {
        let texts =
            |list: &[Captured<'_>]| -> Vec<String> { list.iter().filter_map(|c| text_of(c).map(str::to_owned)).collect() };
        self.members(match captured {
            Captured::Many(list) => texts(list),
            Captured::List(raw) => texts(&elements(raw)),
            _ => Vec::new(),
        })
    }

    /// Each member in its canonical form. Where none has one, the set as a whole is set aside.
    fn members(&self, texts: Vec<String>) -> Result<Members, Fault> {
        let mut fault = None;
        let mut members = Vec::new();
        for text in texts.iter().filter(|text| !normal::is_blank(text)) {
            match self.member(text) {
                Ok(member) => members.push(member),
                Err(found) => fault = fault.or(Some(found)),
            }
        }
        match fault {
            Some(fault) if members.is_empty() => Err(fault),
            fault => Ok(Members { value: Value::List(sorted_set(members.into_iter())), fault }),
        }
    }

    fn member<'t>(&self, text: &'t str) -> Result<Cow<'t, str>, Fault> {
        match self.member {
            SetMember::Verbatim => Ok(Cow::Borrowed(text)),
            SetMember::Name => Ok(normal::name(text)),
            SetMember::Email => normal::email(text).map(Cow::Owned),
        }
    }

    /// The set in one text, with its separators escaped.
    pub(crate) fn joined(&self, values: &[Value]) -> String {
        let separator = self.separator.as_deref().unwrap_or(";");
        let parts = values.iter().filter_map(Value::as_text).map(|text| match self.escape {
            Some(escape) => {
                let twice = text.replace(escape, &format!("{escape}{escape}"));
                twice.replace(separator, &format!("{escape}{separator}"))
            }
            None => text.to_owned(),
        });
        parts.collect::<Vec<_>>().join(separator)
    }
}

/// The parts of a text between its separators; an escaped separator belongs to its part.
fn parts(text: &str, separator: &str, escape: Option<char>) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let part = parts.last_mut();
        let behind = &rest[next.len_utf8()..];
        let escaped =
            [separator, &rest[..next.len_utf8()]].into_iter().find(|known| escape == Some(next) && behind.starts_with(known));
        if let (Some(known), Some(part)) = (escaped, part) {
            part.push_str(known);
            rest = &behind[known.len()..];
        } else if let Some(behind) = rest.strip_prefix(separator) {
            parts.push(String::new());
            rest = behind;
        } else {
            parts.last_mut().into_iter().for_each(|part| part.push(next));
            rest = behind;
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_escaped_separator_belongs_to_its_part() {
        for (text, found) in [
            ("a, b\\, c,d", vec!["a", " b, c", "d"]),
            ("a\\\\,b\\x", vec!["a\\", "b\\x"]),
            (",", vec!["", ""]),
            ("a\\", vec!["a\\"]),
        ] {
            assert_eq!(parts(text, ",", Some('\\')), found, "{text}");
        }
        assert_eq!(parts("a\\,b", ",", None), ["a\\", "b"]);
        let rule = SetRule { separator: Some(",".into()), escape: Some('\\'), ..SetRule::default() };
        let values: Vec<Value> = ["a", "b, c", "d\\"].map(Value::text).to_vec();
        assert_eq!(rule.joined(&values), "a,b\\, c,d\\\\");
        assert_eq!(rule.of_text(&rule.joined(&values)).ok().map(|m| m.value), Some(Value::List(values)));
    }

    #[test]
    fn a_member_without_a_canonical_form_is_left_out_alone() {
        let rule = SetRule { separator: Some(";".into()), member: SetMember::Email, ..SetRule::default() };
        let found = rule.of_text("Jo@A.example; nobody ;;b@b.example").ok().unwrap();
        assert_eq!(found.value, Value::List(["b@b.example", "jo@a.example"].map(Value::text).to_vec()));
        assert!(found.fault.is_some());
        assert!(rule.of_text("nobody").is_err());
        assert_eq!(rule.of_text(" ").ok().map(|m| m.value), Some(Value::List(vec![])));
    }
}
