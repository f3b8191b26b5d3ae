//! The data dictionary as one page for people. It loads nothing, works without a network, and is readable on a telephone and in dark
//! mode.

use std::collections::BTreeMap;

use super::dictionary::{Field, Object, Row, Way};
use super::dictionary_csv::type_of;
use super::dictionary_md::facts;
use super::english::code;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The page.
pub fn page(objects: &[Object]) -> String {
    let total: usize = objects.iter().map(|object| object.fields.len()).sum();
    let mut text = format!(
        "<!doctype html>\n<!-- Written by `cargo hub docs`. Do not edit. -->\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>crm-hub: data dictionary</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n"
    );
    text += &header(objects, total);
    text += "<div class=\"page\">\n";
    text += &contents(objects);
    text += "<main>\n";
    text += &introduction(objects);
    objects.iter().for_each(|object| text += &section(object));
    text += "<p id=\"nothing\" hidden>No field matches. <button type=\"button\" id=\"reset\">Show all</button></p>\n";
    text + &format!("</main>\n</div>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n")
}

/// A text as HTML. Text in backticks becomes code.
fn inline(text: &str) -> String {
    let mut out = String::new();
    let mut quoted = false;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '`' => {
                out.push_str(if quoted { "</code>" } else { "<code>" });
                quoted = !quoted;
            }
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // An arrow stays on the line of the code before it.
            ' ' if out.ends_with("</code>") && rest.peek() == Some(&'→') => out.push_str("&nbsp;"),
            // A long path may break at its separators.
            '.' | '_' | '/' if quoted => {
                out.push(c);
                out.push_str("<wbr>");
            }
            c => out.push(c),
        }
    }
    if quoted {
        out.push_str("</code>");
    }
    out
}

const WAYS: [Option<Way>; 4] = [Some(Way::In), Some(Way::Out), Some(Way::Both), None];

fn word(way: Option<Way>) -> &'static str {
    way.map_or("none", Way::word)
}

fn badge(way: Option<Way>) -> String {
    format!("<span class=\"way {0}\">{0}</span>", word(way))
}

fn header(objects: &[Object], total: usize) -> String {
    let rows = objects.iter().flat_map(|o| &o.fields).flat_map(|f| &f.rows).filter(|row| !row.provider.is_empty());
    let providers: BTreeMap<&str, &str> = rows.map(|row| (row.provider.as_str(), row.provider.as_str())).collect();
    let mut text = "<header>\n<a class=\"title\" href=\"#top\">Data dictionary</a>\n<form id=\"tools\" role=\"search\" hidden>\n\
                    <input type=\"search\" id=\"query\" placeholder=\"Search field, path, value …\" aria-label=\"Search\" autocomplete=\"off\">\n\
                    <select id=\"way\" aria-label=\"Direction\"><option value=\"\">any direction</option>"
        .to_owned();
    WAYS.iter().for_each(|way| text += &format!("<option>{}</option>", word(*way)));
    text += "</select>\n<select id=\"provider\" aria-label=\"Provider\"><option value=\"\">any provider</option>";
    providers.into_keys().for_each(|name| text += &format!("<option>{name}</option>"));
    text += "</select>\n<button type=\"button\" id=\"open\">Open all</button>\n";
    text + &format!("<output id=\"count\">{total} fields</output>\n</form>\n</header>\n")
}

fn contents(objects: &[Object]) -> String {
    let mut text = "<nav aria-label=\"Objects\">\n".to_owned();
    for object in objects {
        let name = object.object.name();
        text += &format!("<a href=\"#{name}\">{name} <small>{}</small></a>\n", object.fields.len());
    }
    text + "</nav>\n"
}

fn introduction(objects: &[Object]) -> String {
    let count = |way: Option<Way>| objects.iter().flat_map(|o| &o.fields).filter(|f| f.way == way).count();
    let meanings = [
        "comes from sources only",
        "goes to destinations only",
        "comes from sources and goes to destinations",
        "no provider maps it yet",
    ];
    let mut text = "<section class=\"about\" id=\"top\">\n<p>This page lists every field of the hub&#39;s model: its meaning, the providers that send \
                    it, the destinations that receive it, and how its values are converted. Open a field to see its mappings. A name with \
                    <code>$</code> is not part of a provider&#39;s body: it comes from the request or from the connection. A value that cannot \
                    be normalised is quarantined: it alone is set aside.</p>\n<dl class=\"legend\">\n"
        .to_owned();
    for (way, meaning) in WAYS.into_iter().zip(meanings) {
        text += &format!("<div><dt>{}</dt><dd>{meaning} <small>({})</small></dd></div>\n", badge(way), count(way));
    }
    text + "</dl>\n</section>\n"
}

fn section(object: &Object) -> String {
    let name = object.object.name();
    let mut text = format!("<section class=\"object\" id=\"{name}\">\n<h2>{name}</h2>\n<p>{}", inline(object.object.doc()));
    facts(object).iter().for_each(|fact| text += &format!(" {}", inline(fact)));
    text += "</p>\n";
    object.fields.iter().for_each(|field| text += &details(field));
    text + "</section>\n"
}

fn details(field: &Field) -> String {
    let def = field.def;
    let personal = if def.personal { "<span class=\"personal\">personal</span>" } else { "" };
    let count = match field.rows.len() {
        0 => String::new(),
        1 => "1 mapping".to_owned(),
        n => format!("{n} mappings"),
    };
    let mut text = format!(
        "<details class=\"field\" id=\"{0}.{1}\" data-way=\"{2}\">\n<summary><code class=\"name\">{1}</code>{3}<span class=\"type\">{4}{5}</span>\
         <span class=\"doc\">{6}</span><small>{count}</small></summary>\n<dl><dt>Valid values</dt><dd>{7}</dd><dt>Which value wins</dt><dd>{8}</dd></dl>\n",
        def.object.name(),
        def.name,
        word(field.way),
        badge(field.way),
        type_of(def.kind),
        personal,
        inline(def.doc),
        inline(&field.validation),
        inline(&field.winner),
    );
    if !field.rows.is_empty() {
        text += "<table>\n<thead><tr><th>Provider, object</th><th>Direction</th><th>Native name</th><th>Conversion</th><th>Reason</th></tr></thead>\n<tbody>\n";
        field.rows.iter().for_each(|row| text += &mapping(row));
        text += "</tbody>\n</table>\n";
    }
    text + "</details>\n"
}

fn mapping(row: &Row) -> String {
    let mut native: Vec<String> = row.paths.iter().map(|path| code(path)).collect();
    match &row.property {
        Some(property) if row.paths.last().is_some_and(|path| path.rsplit('.').next() == Some(property)) => {}
        Some(property) => native.push(format!("to {}", code(property))),
        None => {}
    }
    let steps = |word: &str, steps: &[String]| match (steps.is_empty(), row.way) {
        (true, _) => String::new(),
        (false, Way::Both) => format!("<p><b>{word}:</b> {}</p>", inline(&steps.join("; "))),
        (false, _) => format!("<p>{}</p>", inline(&steps.join("; "))),
    };
    let checks =
        if row.checks.is_empty() { String::new() } else { format!("<p class=\"check\">{}</p>", inline(&row.checks.join("; "))) };
    let cell = |label: &str, html: &str| {
        let class = if html.is_empty() { " class=\"empty\"" } else { "" };
        format!("<td data-label=\"{label}\"{class}><div>{html}</div></td>")
    };
    format!(
        "<tr data-provider=\"{}\">{}{}{}{}{}</tr>\n",
        row.provider,
        cell("Provider", &format!("{} {}", inline(&row.source), inline(&code(&row.object)))),
        cell("Direction", &badge(Some(row.way))),
        cell("Native name", &inline(&native.join(", "))),
        cell("Conversion", &format!("{}{}{checks}", steps("in", &row.incoming), steps("out", &row.outgoing))),
        cell("Reason", &inline(&row.reason)),
    )
}
