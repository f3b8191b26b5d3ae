//! Providers at their boundary: bodies in, canonical changes out.

mod bodies;
mod folders;
mod golden;
mod parts;
mod render;
