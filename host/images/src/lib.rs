//! Where module images come from, and the proof that they are what was asked for.
//!
//! Owns the digest, the reading of images and every check on their bytes. Parsing of references is the
//! model's, compiling the runtime's. The daemon's agent asks an [`source::ImageSource`] for each image of a
//! deployment before it touches anything that runs.
//!
//! Images are `file:` images for now. Their bytes are not copied into the data folder's `images/`: the file
//! is on this device already, its owner changes it in place while developing, and a copy would cost flash
//! twice to hold what could only be stale. The store by digest is for what came over a network; the compiled
//! code of either is kept by digest.

pub mod source;

pub mod image;

pub mod digest;
