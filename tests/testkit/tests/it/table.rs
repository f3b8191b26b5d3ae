//! A table of checks: one row per provider and case that shows what was wanted and what happened. It is printed when a row differs.

use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The rows that differ.
#[derive(Default)]
pub struct Table {
    checked: usize,
    wrong: Vec<[String; 4]>,
}

impl Table {
    /// Checks one case: `act` gives what was wanted and what happened. A panic is never what was wanted.
    pub fn check<W: Display + PartialEq<G>, G: Display>(&mut self, who: &str, case: &str, act: impl FnOnce() -> (W, G)) {
        self.checked += 1;
        let row = match catch_unwind(AssertUnwindSafe(act)) {
            Ok((want, got)) if want == got => return,
            Ok((want, got)) => [who.to_owned(), case.to_owned(), want.to_string(), got.to_string()],
            Err(_) => [who.to_owned(), case.to_owned(), "no panic".to_owned(), "a panic".to_owned()],
        };
        self.wrong.push(row);
    }

    /// Fails with the table if a row differs, or if there were fewer than `least` cases.
    pub fn judge(self, least: usize) {
        assert!(self.checked >= least, "only {} cases", self.checked);
        let width = |column: usize| self.wrong.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let (who, case, want) = (width(0), width(1), width(2));
        let lines = self.wrong.iter().map(|[a, b, c, d]| format!("{a:who$}  {b:case$}  wanted {c:want$}  got {d}\n"));
        assert!(self.wrong.is_empty(), "{} of {} cases:\n{}", self.wrong.len(), self.checked, lines.collect::<String>());
    }
}
