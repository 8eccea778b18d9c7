//! What lasts on a device: data folder, embedded database, and the I/O layer that tests can make fail.
