//! What the calls to the host come to in a test: the same functions as the component imports, in the world that the thread is in.
//!
//! Records and variants are those generated from the WIT; limits and refusals are the device's.

pub mod events;
pub mod identity;
pub mod lifecycle;
pub mod log;
pub mod messages;
pub mod methods;
pub mod poll;
pub mod timer;
pub mod twin;
