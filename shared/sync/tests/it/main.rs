//! The laws of merging, checked on random histories.

mod laws;
