//! Tests of the whole: the layers, and the real binaries on the local stack.

mod layers;
mod rotation;
