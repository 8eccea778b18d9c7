//! Where module images come from, and the proof that they are what was asked for.
//!
//! Owns the digest, references, manifests, the reading of images, the way to registries, the image store, and every
//! check on what comes from outside. Parsing of references is the model's, connecting the net crate's, compiling the
//! runtime's. The daemon's agent asks for each image of a deployment before it touches anything that runs.
//!
//! Bytes of `file:` images are not copied into the data folder's `images/`: the file is on this device already, its
//! owner changes it in place while developing, and a copy would cost flash twice to hold what could only be stale.
//! The store by digest is for what came over a network; the compiled code of either is kept by digest.

pub mod source;

pub mod registry;

pub mod store;

pub mod layout;

pub mod credentials;

pub mod document;

pub mod reference;

pub mod image;

pub mod digest;

mod oci_layout;
