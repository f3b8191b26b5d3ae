//! Random passwords, as `GetRandomPassword` and `GenerateSecretString` describe them.

use serde_json::Value;

use crate::ids::random_text;

const LOWER: &str = "abcdefghijklmnopqrstuvwxyz";
const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const DIGITS: &str = "0123456789";
const PUNCTUATION: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";

/// What a password is to look like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Password {
    length: usize,
    classes: Vec<String>,
    each: bool,
}

impl Password {
    /// Reads the description; a flag may be a boolean or, as templates have it, a text.
    pub(crate) fn from_json(description: &Value) -> Self {
        let flag = |name: &str| {
            let value = &description[name];
            value.as_bool().or_else(|| value.as_str().map(|t| t == "true"))
        };
        let on = |name: &str| flag(name) == Some(true);
        let excluded = description["ExcludeCharacters"].as_str().unwrap_or_default();
        let classes = [
            (LOWER, on("ExcludeLowercase")),
            (UPPER, on("ExcludeUppercase")),
            (DIGITS, on("ExcludeNumbers")),
            (PUNCTUATION, on("ExcludePunctuation")),
            (" ", !on("IncludeSpace")),
        ];
        let allowed =
            classes.iter().filter(|(_, out)| !out).map(|(class, _)| class.chars().filter(|c| !excluded.contains(*c)).collect());
        let length = &description["PasswordLength"];
        let length = length.as_u64().or_else(|| length.as_str().and_then(|t| t.parse().ok())).unwrap_or(32);
        Self {
            length: usize::try_from(length.min(4096)).unwrap_or(32),
            classes: allowed.filter(|class: &String| !class.is_empty()).collect(),
            each: flag("RequireEachIncludedType").unwrap_or(true),
        }
    }

    /// A password; empty when every character is excluded.
    pub(crate) fn generate(&self) -> String {
        let alphabet: String = self.classes.concat();
        if alphabet.is_empty() {
            return String::new();
        }
        loop {
            let text = random_text(alphabet.as_bytes(), self.length);
            let has = |class: &String| class.chars().any(|c| text.contains(c));
            if !self.each || self.length < self.classes.len() || self.classes.iter().all(has) {
                return text;
            }
        }
    }
}
