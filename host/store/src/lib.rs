//! What lasts on a device: the data folder, its files and keys, the embedded database.
//!
//! Owns how bytes reach the disk and come back after a crash: the layout of
//! the data folder and its lock, atomic replacement of files, opening the
//! embedded database, and the thin disk layer that tests can make drop, tear
//! or fail. Leaves to others what the bytes mean: it knows no twins, no
//! routes and no images. The hub, the router, the image store and the daemon
//! build on it. Everything here blocks; asynchronous callers use a blocking
//! thread.
//!
//! The formats on disk are described for users in `docs/data-folder.md`.

pub mod folder;

pub mod file;
pub mod keys;

pub mod survey;

pub mod log;
pub mod volume;

pub mod database;
pub mod disk;
