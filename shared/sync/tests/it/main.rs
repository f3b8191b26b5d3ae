//! The laws of merging, checked on random histories, and what counts as evidence.

mod consent;
mod evidence;
mod laws;
