//! The laws of merging, checked on random histories.

mod consent;
mod laws;
