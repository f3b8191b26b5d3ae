//! Providers at their boundary: bodies in, canonical changes out.

mod folders;
