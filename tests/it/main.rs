//! Tests of the whole: the layers, the words and the shape of the code, and the real binaries on the local stack.

mod imports;
mod layers;
mod rotation;
mod shape;
mod source;
mod words;
