//! "Did you mean": the known name that is most like a wrong one.

/// How alike two names must be (Jaro–Winkler, 0 to 1) before one is suggested for the other.
const LIKENESS: f64 = 0.78;

/// `did you mean …?`, or the list of what is known.
pub fn suggestion<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let mut known: Vec<&str> = known.into_iter().collect();
    let scored = known.iter().map(|candidate| (strsim::jaro_winkler(name, candidate), *candidate));
    let nearest = scored.filter(|(likeness, _)| *likeness > LIKENESS).max_by(|a, b| a.0.total_cmp(&b.0));
    match nearest {
        Some((_, candidate)) => format!("did you mean `{candidate}`?"),
        None => {
            known.sort_unstable();
            format!("known: {}", known.join(", "))
        }
    }
}
