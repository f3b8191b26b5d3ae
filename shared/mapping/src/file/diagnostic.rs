//! What is wrong with a file, and where.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use thiserror::Error;

/// A part of a file's text, in bytes.
pub type Span = Range<usize>;

/// A file and its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its path, for messages.
    pub file: Arc<str>,
    /// Its text.
    pub text: Arc<str>,
}

impl Source {
    /// A file of this path and text.
    pub fn new(file: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> Source {
        Source { file: file.into(), text: text.into() }
    }

    /// Line and column (in characters) of a byte, both from 1.
    pub fn position(&self, at: usize) -> (usize, usize) {
        let before = self.text.get(..at).unwrap_or(&self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        (line, column)
    }
}

/// How bad a diagnostic is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used, but probably does not do what was meant.
    Warning,
}

/// One thing that is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file.
    pub source: Source,
    /// How bad it is.
    pub severity: Severity,
    /// The bytes at fault; empty at 0 when the file as a whole is.
    pub span: Span,
    /// What is wrong.
    pub message: String,
    /// A few words that point at the bytes.
    pub label: String,
    /// What to do.
    pub help: Option<String>,
}

impl Diagnostic {
    /// Sets the words that point at the bytes.
    pub fn label(&mut self, label: impl Into<String>) -> &mut Diagnostic {
        self.label = label.into();
        self
    }

    /// Sets what to do.
    pub fn help(&mut self, help: impl Into<String>) -> &mut Diagnostic {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = self.source.position(self.span.start);
        write!(f, "{}:{line}:{column}: {}", self.source.file, self.message)?;
        match &self.help {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}

/// Everything that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, diagnostic) in self.0.iter().enumerate() {
            write!(f, "{}{diagnostic}", if i == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

/// Collects the diagnostics of one file.
#[derive(Debug)]
pub struct Report {
    source: Source,
    found: Vec<Diagnostic>,
}

impl Report {
    /// An empty report about a file.
    pub fn new(source: Source) -> Report {
        Report { source, found: Vec::new() }
    }

    /// The file.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// True when nothing is wrong so far.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// True when something inside of these bytes is wrong: what seems to be missing there may have been taken out.
    pub fn has_error_within(&self, span: &Span) -> bool {
        self.found.iter().any(|d| d.severity == Severity::Error && span.start <= d.span.start && d.span.end <= span.end)
    }

    /// Adds an error.
    pub fn error(&mut self, span: Span, message: impl Into<String>) -> &mut Diagnostic {
        self.add(Severity::Error, span, message.into())
    }

    /// Adds a warning.
    pub fn warning(&mut self, span: Span, message: impl Into<String>) -> &mut Diagnostic {
        self.add(Severity::Warning, span, message.into())
    }

    fn add(&mut self, severity: Severity, span: Span, message: String) -> &mut Diagnostic {
        let source = self.source.clone();
        self.found.push(Diagnostic { source, severity, span, message, label: String::new(), help: None });
        let last = self.found.len() - 1;
        &mut self.found[last]
    }

    /// Adds a diagnostic about another file.
    pub fn add_foreign(&mut self, diagnostic: Diagnostic) {
        self.found.push(diagnostic);
    }

    /// What was found: errors first, each by position.
    pub fn into_sorted(mut self) -> Vec<Diagnostic> {
        self.found.sort_by_key(|d| (d.severity, d.span.start));
        self.found
    }
}
