//! What a person types or pipes: keys, passwords and ids. A secret is typed without echo, or piped on standard input; it is never an
//! argument or a file of the hub.

use std::collections::BTreeMap;
use std::io::{BufRead, IsTerminal, Read, Write};

use serde_json::Value;

use crate::out::CommandError;

/// The most that is read from standard input, in bytes.
const PIPED_BYTES: u64 = 65_536;
/// Members of Google's key files, and what they are here.
const ALIASES: &[(&str, &str)] = &[("client_email", "client_id"), ("token", "access_token")];
/// The last line of a private key.
const KEY_END: &str = "-----END";

/// A value that is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its member in the secret, and in piped JSON.
    pub name: &'static str,
    /// What it is, for the person.
    pub title: String,
    /// How it is typed.
    pub kind: FieldKind,
    /// False when it may be left out.
    pub needed: bool,
}

/// How a value is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    /// Visibly.
    Plain,
    /// Without echo.
    Secret,
    /// Without echo, over several lines that end like a key in PEM.
    Key,
}

/// Where values come from.
pub enum Input {
    /// A person at a terminal.
    Terminal,
    /// Standard input, by member.
    Piped(BTreeMap<String, String>),
}

impl Input {
    /// Takes the terminal, or reads what is piped.
    ///
    /// # Errors
    /// What is piped is too long, is no text, or does not say which value it is.
    pub fn open(fields: &[Field]) -> Result<Input, CommandError> {
        let stdin = std::io::stdin();
        if stdin.is_terminal() {
            return Ok(Input::Terminal);
        }
        let mut text = String::new();
        let read = stdin.lock().take(PIPED_BYTES + 1).read_to_string(&mut text);
        read.map_err(|e| CommandError::Usage(format!("standard input cannot be read: {e}")))?;
        if text.len() as u64 > PIPED_BYTES {
            return Err(CommandError::Usage(format!("more than {PIPED_BYTES} bytes were piped")));
        }
        parse(&text, fields).map(Input::Piped)
    }

    /// The value of a field: what is piped or typed, else what is stored already.
    ///
    /// # Errors
    /// There is none, and it is needed. The message says what to pipe.
    pub fn value(&self, field: &Field, stored: Option<&str>, all: &[Field]) -> Result<Option<String>, CommandError> {
        let given = match self {
            Input::Piped(values) => values.get(field.name).cloned(),
            Input::Terminal => prompt(field, stored.is_some())?,
        };
        match given.or_else(|| stored.map(str::to_owned)) {
            Some(value) => Ok(Some(value)),
            None if !field.needed => Ok(None),
            None => Err(CommandError::Usage(format!("there is no {}; {}", field.title, how_to_pipe(all)))),
        }
    }
}

/// What to pipe where nobody types.
pub fn how_to_pipe(fields: &[Field]) -> String {
    let needed: Vec<&Field> = fields.iter().filter(|field| field.needed).collect();
    if let ([only], true) = (needed.as_slice(), fields.len() == 1) {
        return format!("pipe the {} on standard input", only.title);
    }
    let members: Vec<String> = fields
        .iter()
        .map(|field| format!("\"{}\": the {}{}", field.name, field.title, if field.needed { "" } else { " (may be left out)" }))
        .collect();
    format!("pipe JSON on standard input: {{{}}}", members.join(", "))
}

/// The members of what is piped: JSON, or the bare value of the only field that is needed.
fn parse(text: &str, fields: &[Field]) -> Result<BTreeMap<String, String>, CommandError> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(BTreeMap::new());
    }
    if !text.starts_with('{') {
        let needed: Vec<&Field> = fields.iter().filter(|field| field.needed).collect();
        return match needed.as_slice() {
            [only] => Ok(BTreeMap::from([(only.name.to_owned(), text.to_owned())])),
            _ => Err(CommandError::Usage(format!("it is not clear which value is piped; {}", how_to_pipe(fields)))),
        };
    }
    let parsed: Value = serde_json::from_str(text).map_err(|e| CommandError::Usage(format!("what is piped is no JSON: {e}")))?;
    let mut values = BTreeMap::new();
    for (name, value) in parsed.as_object().into_iter().flatten() {
        let name = ALIASES.iter().find(|(alias, _)| alias == name).map_or(name.as_str(), |(_, name)| name);
        if fields.iter().any(|field| field.name == name) {
            values.extend(
                value.as_str().filter(|text| !text.trim().is_empty()).map(|text| (name.to_owned(), text.trim().to_owned())),
            );
        }
    }
    Ok(values)
}

fn prompt(field: &Field, stored: bool) -> Result<Option<String>, CommandError> {
    let hint = match (stored, field.needed, field.kind) {
        (true, ..) => " (Enter keeps the stored one)",
        (false, false, _) => " (Enter leaves it out)",
        (false, true, FieldKind::Key) => " (paste it whole)",
        (false, true, _) => "",
    };
    let label = format!("{}{hint}: ", field.title);
    let failed = |e: std::io::Error| CommandError::backend("the terminal cannot be read", e);
    let text = match field.kind {
        FieldKind::Plain => {
            eprint!("{label}");
            std::io::stderr().flush().map_err(failed)?;
            let mut line = String::new();
            std::io::stdin().lock().read_line(&mut line).map_err(failed)?;
            line
        }
        FieldKind::Secret => rpassword::prompt_password(label).map_err(failed)?,
        FieldKind::Key => {
            let mut key = rpassword::prompt_password(label).map_err(failed)?;
            while key.starts_with("-----BEGIN") && !key.contains(KEY_END) {
                key.push('\n');
                key += &rpassword::read_password().map_err(failed)?;
            }
            key
        }
    };
    Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &'static str, needed: bool) -> Field {
        Field { name, title: name.replace('_', " "), kind: FieldKind::Secret, needed }
    }

    #[test]
    fn a_bare_value_is_the_only_one_that_is_needed() {
        let fields = [field("access_token", true), field("signing_secret", false)];
        assert_eq!(parse(" tok\n", &fields).unwrap(), BTreeMap::from([("access_token".to_owned(), "tok".to_owned())]));
        let two = [field("client_id", true), field("client_secret", true)];
        let error = parse("tok", &two).unwrap_err().to_string();
        assert_eq!(
            error,
            "it is not clear which value is piped; pipe JSON on standard input: {\"client_id\": the client id, \"client_secret\": the \
             client secret}"
        );
    }

    #[test]
    fn only_the_members_that_are_needed_are_taken_from_a_key_file() {
        let fields = [field("client_id", true), field("private_key", true)];
        let file = r#"{"type": "service_account", "client_email": "a@b.example", "private_key": "k", "project_id": "p"}"#;
        let expected = [("client_id", "a@b.example"), ("private_key", "k")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        assert_eq!(parse(file, &fields).unwrap(), BTreeMap::from(expected));
    }

    #[test]
    fn what_is_missing_is_named_with_what_to_pipe() {
        let fields = [field("access_token", true)];
        let piped = Input::Piped(BTreeMap::new());
        let error = piped.value(&fields[0], None, &fields).unwrap_err().to_string();
        assert_eq!(error, "there is no access token; pipe the access token on standard input");
        assert_eq!(piped.value(&fields[0], Some("stored"), &fields).unwrap().as_deref(), Some("stored"));
    }
}
