//! The pages that the browser shows at the end of an authorization. They need nothing from anywhere, and show no code or token.

/// A page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The status of the answer.
    pub status: u16,
    title: String,
    text: String,
}

impl Page {
    /// It worked.
    pub fn success(title: &str, text: &str) -> Page {
        Page { status: 200, title: title.to_owned(), text: text.to_owned() }
    }

    /// It did not work: what happened, and what to do.
    pub fn refusal(status: u16, title: &str, text: &str) -> Page {
        Page { status, title: title.to_owned(), text: text.to_owned() }
    }

    /// The page as HTML. Whatever comes from a provider is text in it.
    pub fn html(&self) -> String {
        let (title, text) = (escape(&self.title), escape(&self.text));
        let color = if self.status == 200 { "#1a7f37" } else { "#b42318" };
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>{title}</title>\n<meta name=\"viewport\" \
             content=\"width=device-width\">\n<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:34em;margin:4em \
             auto;padding:0 1em;color:#1f2328}}h1{{font-size:1.3em;color:{color}}}</style></head>\n<body><h1>{title}</h1>\n<p>{text}</p>\
             \n</body>\n</html>\n"
        )
    }
}

fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_provider_writes_stays_text() {
        let html = Page::refusal(400, "<script>alert(1)</script>", "\"a\"&b").html();
        assert!(html.contains("&lt;script&gt;") && html.contains("&quot;a&quot;&amp;b") && !html.contains("<script>"));
    }
}
