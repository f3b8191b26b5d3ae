//! What is wrong with a file, where, and what to do about it.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

/// A text with the name by which messages call it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The path, as the user gave it.
    pub path: String,
    /// The text.
    pub text: String,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing is packed.
    Error,
    /// Worth a thought.
    Warning,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// Where, in bytes of the source; `None` when it is about no line in particular.
    pub span: Option<Range<usize>>,
    /// What.
    pub message: String,
    /// What stands below the line.
    pub label: String,
    /// What to do.
    pub help: Option<String>,
    /// The file, where it is another one than the one that is being checked.
    pub other: Option<Source>,
}

impl Finding {
    /// An error at a place.
    pub fn error(span: Range<usize>, message: impl Into<String>) -> Finding {
        Finding {
            severity: Severity::Error,
            span: Some(span),
            message: message.into(),
            label: String::new(),
            help: None,
            other: None,
        }
    }

    /// A warning at a place.
    pub fn warning(span: Range<usize>, message: impl Into<String>) -> Finding {
        Finding { severity: Severity::Warning, ..Finding::error(span, message) }
    }

    /// Adds what stands below the line.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Finding {
        self.label = label.into();
        self
    }

    /// Adds what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Finding {
        self.help = Some(help.into());
        self
    }

    /// Says that the place is in another file.
    #[must_use]
    pub fn elsewhere(mut self, other: Source) -> Finding {
        self.other = Some(other);
        self
    }

    /// Shows the finding with its line, as a compiler would. `styled`: with colours.
    pub fn render(&self, source: &Source, styled: bool) -> String {
        let source = self.other.as_ref().unwrap_or(source);
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut group = level.primary_title(self.message.as_str()).elements(Vec::<annotate_snippets::Message<'_>>::new());
        if let Some(span) = &self.span {
            let annotation = AnnotationKind::Primary.span(span.clone());
            let annotation = if self.label.is_empty() { annotation } else { annotation.label(self.label.as_str()) };
            group = group.element(Snippet::source(source.text.as_str()).path(source.path.as_str()).annotation(annotation));
        }
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        let renderer = if styled { Renderer::styled() } else { Renderer::plain() };
        renderer.render(&[group]).to_string()
    }
}

/// The nearest of some names, when it is near enough to be what was meant.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.78)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// `did you mean …?`, or the list of what is known.
pub fn suggestion<'a>(name: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    match nearest(name, known.clone()) {
        Some(candidate) => format!("did you mean `{candidate}`?"),
        None => {
            let mut names: Vec<&str> = known.into_iter().collect();
            names.sort_unstable();
            format!("known: {}", names.join(", "))
        }
    }
}
