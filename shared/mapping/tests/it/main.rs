//! Mapping files and what they make of bodies, at the crate's boundary.

mod compile;
mod laws;
mod map;
