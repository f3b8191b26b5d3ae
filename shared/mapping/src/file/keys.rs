//! Declares the keys of a file's tables: what the reader accepts and what the documentation shows follow from one list.

/// A key of a table.
#[derive(Debug)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// What its value must be.
    pub value: ValueType,
    /// True when the key must be there.
    pub needed: bool,
    /// What holds without the key, in Markdown; empty when nothing does.
    pub default: &'static str,
    /// What the key means, in Markdown.
    pub meaning: &'static str,
    /// What the key does to a value, in the words of the data dictionary; `{}` is its value.
    pub step: &'static str,
}

/// A key that may be left out.
pub const fn key(name: &'static str, value: ValueType, meaning: &'static str) -> Key {
    Key { name, value, needed: false, default: "", meaning, step: "" }
}

impl Key {
    /// The key must be there.
    #[must_use]
    pub const fn needed(mut self) -> Key {
        self.needed = true;
        self
    }

    /// What holds without the key.
    #[must_use]
    pub const fn default(mut self, default: &'static str) -> Key {
        self.default = default;
        self
    }

    /// What the key does to a value, for the data dictionary.
    #[must_use]
    pub const fn step(mut self, step: &'static str) -> Key {
        self.step = step;
        self
    }
}

/// Keys that belong together.
#[derive(Debug)]
pub struct KeyGroup {
    /// A heading; empty when the table has one group only.
    pub title: &'static str,
    /// The keys, in the order of the documentation.
    pub keys: &'static [Key],
}

impl KeyGroup {
    /// The only group of a table.
    pub const fn only(keys: &'static [Key]) -> KeyGroup {
        KeyGroup { title: "", keys }
    }
}

/// The keys of one kind of table.
#[derive(Debug)]
pub struct KeyTable {
    /// What a table of this kind is, for messages: `rule`.
    pub owner: &'static str,
    /// The name by which a page of the documentation includes these keys; `None` when they are shown where the table is used.
    pub section: Option<&'static str>,
    /// The keys.
    pub groups: &'static [KeyGroup],
    /// What the values are whose names the file chooses itself; `None` when it cannot choose any.
    pub others: Option<ValueType>,
}

impl KeyTable {
    /// A table that the documentation shows in a section of its own.
    pub const fn section(owner: &'static str, section: &'static str, groups: &'static [KeyGroup]) -> KeyTable {
        KeyTable { owner, section: Some(section), groups, others: None }
    }

    /// A small table that is shown where it is used.
    pub const fn inline(owner: &'static str, groups: &'static [KeyGroup]) -> KeyTable {
        KeyTable { owner, section: None, groups, others: None }
    }

    /// The file chooses further names itself.
    #[must_use]
    pub const fn with_others(mut self, others: ValueType) -> KeyTable {
        self.others = Some(others);
        self
    }

    /// Every key.
    pub fn keys(&self) -> impl Iterator<Item = &'static Key> {
        self.groups.iter().flat_map(|group| group.keys)
    }

    /// The names of the keys.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.keys().map(|key| key.name)
    }

    /// The names of the keys, sorted, as [`super::accepted_names`] has those of the typed structure.
    pub fn sorted_names(&self) -> Vec<&'static str> {
        let mut names: Vec<_> = self.names().collect();
        names.sort_unstable();
        names
    }

    /// The words that the value of a key may be, sorted; empty for a key that is not a choice.
    pub fn choices(&self, name: &str) -> Vec<&'static str> {
        let mut words = self.find(name).map(|key| key.value.choices().to_vec()).unwrap_or_default();
        words.sort_unstable();
        words
    }

    /// The declared keys of the table, or tables, that the value of a key is.
    pub fn nested(&self, name: &str) -> Option<&'static KeyTable> {
        self.find(name)?.value.table()
    }

    /// The key of that name.
    pub fn find(&self, name: &str) -> Option<&'static Key> {
        self.keys().find(|key| key.name == name)
    }
}

/// What the value of a key must be.
#[derive(Debug)]
pub enum ValueType {
    /// A text.
    Text,
    /// A path into a body, or a `$variable`.
    Path,
    /// A text, a number, or true or false; taken as a text.
    Scalar,
    /// True or false.
    Flag,
    /// A whole number.
    Number {
        /// The smallest that is accepted.
        least: i64,
    },
    /// A duration: `500ms`, `10s`, `5m`, `1h`, `2d`.
    Duration,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A table with declared keys.
    Table(&'static KeyTable),
    /// A text, or a table with declared keys.
    TextOrTable(&'static KeyTable),
    /// A table in which the file chooses the names; every value is like this.
    Named(&'static ValueType),
    /// The same, and the names are paths or `$variables`.
    ByPath(&'static ValueType),
    /// One value like this, or a list of them.
    OneOrMore(&'static ValueType),
    /// A list of values like this.
    List(&'static ValueType),
    /// Anything: the typed structure checks it.
    Unchecked,
}

impl ValueType {
    /// What is expected, for messages and tables: `a text`, `a list of paths`.
    pub fn description(&self) -> String {
        match self {
            ValueType::Text => "a text".to_owned(),
            ValueType::Path => "a path".to_owned(),
            ValueType::Scalar => "a text, a number, or true or false".to_owned(),
            ValueType::Flag => "true or false".to_owned(),
            ValueType::Number { least } => format!("a whole number of at least {least}"),
            ValueType::Duration => "a duration".to_owned(),
            ValueType::OneOf(words) => format!("one of {}", quoted(words)),
            ValueType::Table(_) | ValueType::Unchecked => "a table".to_owned(),
            ValueType::TextOrTable(_) => "a text or a table".to_owned(),
            ValueType::Named(inner) => format!("a table of names and {}", inner.plural()),
            ValueType::ByPath(inner) => format!("a table of paths and {}", inner.plural()),
            ValueType::OneOrMore(inner) => format!("{}, or a list of {}", inner.description(), inner.plural()),
            ValueType::List(inner) => format!("a list of {}", inner.plural()),
        }
    }

    fn plural(&self) -> String {
        match self {
            ValueType::Text => "texts".to_owned(),
            ValueType::Path => "paths".to_owned(),
            ValueType::Scalar => "values".to_owned(),
            ValueType::Flag => "values, true or false".to_owned(),
            ValueType::Number { least } => format!("whole numbers of at least {least}"),
            ValueType::Duration => "durations".to_owned(),
            ValueType::OneOf(words) => quoted(words),
            ValueType::Table(_) | ValueType::Unchecked | ValueType::Named(_) | ValueType::ByPath(_) => "tables".to_owned(),
            ValueType::TextOrTable(_) => "texts or tables".to_owned(),
            ValueType::OneOrMore(inner) => format!("{}, or lists of them", inner.plural()),
            ValueType::List(inner) => format!("lists of {}", inner.plural()),
        }
    }

    /// The words that such a value, or each of several, may be.
    fn choices(&self) -> &'static [&'static str] {
        match self {
            ValueType::OneOf(words) => words,
            ValueType::Named(inner) | ValueType::ByPath(inner) | ValueType::OneOrMore(inner) | ValueType::List(inner) => {
                inner.choices()
            }
            _ => &[],
        }
    }

    /// The declared keys of the table, or tables, that such a value is.
    pub fn table(&self) -> Option<&'static KeyTable> {
        match self {
            ValueType::Table(table) | ValueType::TextOrTable(table) => Some(table),
            ValueType::Named(inner) | ValueType::ByPath(inner) | ValueType::OneOrMore(inner) | ValueType::List(inner) => {
                inner.table()
            }
            _ => None,
        }
    }
}

fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}
