//! Paths into a body, as mapping files and manifests write them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// One step of a [`Path`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Segment {
    /// A member of an object.
    Key(String),
    /// An element of a list, from 0.
    Index(usize),
    /// Every element of a list.
    Each,
    /// The elements of a list that fit a filter.
    Where(ElementFilter),
}

/// Picks elements of a list by their members: `type=email`, `field.ref=company`; of several, joined by commas, all must fit. `~=`
/// compares without case (`name~=message-id`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ElementFilter {
    /// True for every element that fits (`[*kind=refund]`), false for the first.
    pub every: bool,
    /// What the members must be.
    pub members: Vec<FilterMember>,
}

/// A member that an element must have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FilterMember {
    /// Names that lead to it.
    pub path: Vec<String>,
    /// Its value as text.
    pub equals: String,
    /// True when the case of ASCII letters does not matter.
    pub any_case: bool,
}

impl FilterMember {
    /// Whether the member's text is what is wanted.
    pub(crate) fn fits(&self, text: &str) -> bool {
        if self.any_case { text.eq_ignore_ascii_case(&self.equals) } else { text == self.equals }
    }
}

/// Where a value is in a body: names joined by dots, list elements in brackets, `[*]` for all of them, `[type=email]` for the
/// first whose member has that value, `[*type=email]` for each of them. A name that holds a dot or a bracket is written in single
/// quotes: `custom.'utm.source'`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Path(Vec<Segment>);

/// Why a text is not a path.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PathError {
    /// An empty step, or an empty path.
    #[error("a path needs a name before, between and after its dots")]
    Empty,
    /// A bracket or a quote that is not closed, or text after it.
    #[error("a bracket or a quote in a path is not closed, or something other than a dot or a bracket follows it")]
    Unclosed,
    /// Brackets that hold neither a number nor `*` nor a filter.
    #[error("brackets in a path hold a number, `*`, or `name=value`")]
    Index,
}

impl Path {
    /// The steps.
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// The path with further steps at its end.
    pub fn join(&self, tail: &Path) -> Path {
        Path(self.0.iter().chain(&tail.0).cloned().collect())
    }

    /// The paths of the members by which its filters pick elements.
    pub(crate) fn compared(&self) -> Vec<Path> {
        let filters = self.0.iter().enumerate().filter_map(|(at, segment)| match segment {
            Segment::Where(filter) => Some((at, filter)),
            _ => None,
        });
        let members = filters.flat_map(|(at, filter)| filter.members.iter().map(move |member| (at, member)));
        let path = |(at, member): (usize, &FilterMember)| {
            let names = member.path.iter().cloned().map(Segment::Key);
            self.0[..at].iter().cloned().chain([Segment::Each]).chain(names).collect()
        };
        members.map(path).collect()
    }

    /// The last name, if the path ends in one.
    pub fn last_key(&self) -> Option<&str> {
        match self.0.last() {
            Some(Segment::Key(key)) => Some(key),
            _ => None,
        }
    }
}

impl ElementFilter {
    fn parse(text: &str) -> Result<ElementFilter, PathError> {
        let (every, text) = text.strip_prefix('*').map_or((false, text), |rest| (true, rest));
        let mut members = Vec::new();
        for part in text.split(',') {
            let (member, equals) = part.split_once('=').ok_or(PathError::Index)?;
            let (member, any_case) = member.strip_suffix('~').map_or((member, false), |member| (member, true));
            let path: Vec<String> = member.split('.').map(str::to_owned).collect();
            if path.iter().any(String::is_empty) {
                return Err(PathError::Empty);
            }
            members.push(FilterMember { path, equals: equals.to_owned(), any_case });
        }
        Ok(ElementFilter { every, members })
    }
}

impl fmt::Display for ElementFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.every { "*" } else { "" })?;
        for (i, FilterMember { path, equals, any_case }) in self.members.iter().enumerate() {
            let (comma, tilde) = (if i == 0 { "" } else { "," }, if *any_case { "~" } else { "" });
            write!(f, "{comma}{}{tilde}={equals}", path.join("."))?;
        }
        Ok(())
    }
}

impl FromStr for Path {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Path, PathError> {
        let mut segments = Vec::new();
        let mut rest = text;
        loop {
            rest = if let Some(quoted) = rest.strip_prefix('\'') {
                let (key, tail) = quoted.split_once('\'').ok_or(PathError::Unclosed)?;
                segments.push(Segment::Key(key.to_owned()));
                tail
            } else {
                let end = rest.find(['.', '[']).unwrap_or(rest.len());
                let (key, tail) = rest.split_at(end);
                if !key.is_empty() {
                    segments.push(Segment::Key(key.to_owned()));
                } else if !(segments.is_empty() && tail.starts_with('[')) {
                    return Err(PathError::Empty);
                }
                tail
            };
            while let Some(bracket) = rest.strip_prefix('[') {
                let (inside, tail) = bracket.split_once(']').ok_or(PathError::Unclosed)?;
                segments.push(match inside {
                    "*" => Segment::Each,
                    condition if condition.contains('=') => Segment::Where(ElementFilter::parse(condition)?),
                    digits => Segment::Index(digits.parse().map_err(|_| PathError::Index)?),
                });
                rest = tail;
            }
            match rest.strip_prefix('.') {
                Some(tail) => rest = tail,
                None if rest.is_empty() => return Ok(Path(segments)),
                None => return Err(PathError::Unclosed),
            }
        }
    }
}

impl FromIterator<Segment> for Path {
    fn from_iter<I: IntoIterator<Item = Segment>>(segments: I) -> Path {
        Path(segments.into_iter().collect())
    }
}

impl TryFrom<String> for Path {
    type Error = PathError;

    fn try_from(text: String) -> Result<Path, PathError> {
        text.parse()
    }
}

impl From<Path> for String {
    fn from(path: Path) -> String {
        path.to_string()
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Key(key) => {
                    let dot = if i == 0 { "" } else { "." };
                    let quote = if key.is_empty() || key.contains(['.', '[', ']']) { "'" } else { "" };
                    write!(f, "{dot}{quote}{key}{quote}")?;
                }
                Segment::Index(index) => write!(f, "[{index}]")?,
                Segment::Each => f.write_str("[*]")?,
                Segment::Where(condition) => write!(f, "[{condition}]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_print_as_they_are_written() {
        for text in
            ["a", "a.b", "items.data[0].price", "a[*].b", "[0].x", "a.'b.c'.d", "a[1][2]", "a[b.c=d].e", "a[*b=c,d=e]", "a[b~=c]"]
        {
            assert_eq!(text.parse::<Path>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_filter_reads_what_it_compares() {
        let path: Path = "a[k=x].b[*o.k=1,n~=y].v".parse().unwrap();
        let compared: Vec<String> = path.compared().iter().map(Path::to_string).collect();
        assert_eq!(compared, ["a[*].k", "a[k=x].b[*].o.k", "a[k=x].b[*].n"]);
        assert_eq!("a.b[0]".parse::<Path>().unwrap().compared(), []);
    }

    #[test]
    fn mistakes_are_named() {
        for (text, error) in [
            ("", PathError::Empty),
            ("a..b", PathError::Empty),
            ("a.", PathError::Empty),
            ("a[0", PathError::Unclosed),
            ("a[0]b", PathError::Unclosed),
            ("'a", PathError::Unclosed),
            ("a[x]", PathError::Index),
            ("a[=x]", PathError::Empty),
        ] {
            assert_eq!(text.parse::<Path>(), Err(error), "{text}");
        }
    }
}
