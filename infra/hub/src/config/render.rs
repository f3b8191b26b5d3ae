//! Shows a diagnostic with its line, as a compiler would.

use annotate_snippets::{AnnotationKind, Level, Message, Renderer, Snippet};
use mapping::file::{Diagnostic, Severity};

/// The text of a diagnostic; with colours when `styled`.
pub fn render(diagnostic: &Diagnostic, styled: bool) -> String {
    let Diagnostic { source, severity, span, message, label, help } = diagnostic;
    let level = match severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let annotation = AnnotationKind::Primary.span(span.clone());
    let annotation = if label.is_empty() { annotation } else { annotation.label(label.as_str()) };
    let snippet = Snippet::source(&*source.text).path(&*source.file).annotation(annotation);
    let mut group = level.primary_title(message.as_str()).elements(Vec::<Message<'_>>::new()).element(snippet);
    if let Some(help) = help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    let renderer = if styled { Renderer::styled() } else { Renderer::plain() };
    renderer.render(&[group]).to_string()
}
