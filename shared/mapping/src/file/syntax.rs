//! Parses TOML. A file that is not TOML gives one mistake, the one to correct first.

use toml::Spanned;
use toml::de::{DeTable, Error};
use toml_parser::lexer::TokenKind;

use super::diagnostic::Span;

/// Why a text is not TOML.
#[derive(Debug)]
pub(super) struct Mistake {
    pub span: Span,
    pub message: String,
    pub label: &'static str,
}

pub(super) fn parse(text: &str) -> Result<Spanned<DeTable<'_>>, Mistake> {
    let (document, errors) = DeTable::parse_recoverable(text);
    let Some(first) = errors.first() else { return Ok(document) };
    let at = first.span().unwrap_or(0..0);
    // After a bracket that is not closed, the parser takes what follows for elements and reports many of them.
    let unclosed = |error: &Error| ["unclosed array,", "unclosed inline table,"].iter().any(|m| error.message().starts_with(m));
    match innermost_open_bracket(text, at.start).filter(|_| errors.iter().any(unclosed)) {
        Some(bracket) => {
            let message = format!("this `{}` is not closed", &text[bracket.clone()]);
            Err(Mistake { span: bracket, message, label: "opened here" })
        }
        None => Err(Mistake { span: at, message: first.message().to_owned(), label: "not TOML" }),
    }
}

/// The last bracket before `end` that is not closed before it.
fn innermost_open_bracket(text: &str, end: usize) -> Option<Span> {
    let mut open = Vec::new();
    for token in toml_parser::Source::new(text).lex() {
        let span = token.span().start()..token.span().end();
        if span.start >= end {
            break;
        }
        match token.kind() {
            TokenKind::LeftSquareBracket | TokenKind::LeftCurlyBracket => open.push(span),
            TokenKind::RightSquareBracket | TokenKind::RightCurlyBracket => {
                open.pop();
            }
            _ => {}
        }
    }
    open.pop()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_bracket_is_one_mistake_at_the_bracket_that_is_open() {
        for (text, at, message) in [
            ("roles = [\"source\"\nowner = \"x\"\n[a]\nb = 1\n", 8, "this `[` is not closed"),
            ("blocked = [\n  \"a\", \"]\",\n\n[identity.company]\nkeys = [\"domain\"]\n", 10, "this `[` is not closed"),
            ("a = { b = 1, c = 2\nd = 3\n[x]\n", 4, "this `{` is not closed"),
            ("a = { b = [1, 2, c = 2 }\nd = 3\n", 10, "this `[` is not closed"),
            ("x = 1\n[connections.x\n", 20, "unclosed table, expected `]`"),
            ("[[effects]\nfrom = \"a\"\n", 10, "unclosed array table, expected `]`"),
            ("roles = \"source\"]\n", 16, "unexpected key or value, expected newline, `#`"),
        ] {
            let mistake = parse(text).unwrap_err();
            assert_eq!((mistake.span.start, mistake.message.as_str()), (at, message), "{text}");
        }
    }
}
