//! The master key of a device: made once, kept on the device, never sent.
//!
//! Owns the file `keys/master.key` and its safety on disk. Leaves deriving
//! and using keys to the daemon. Read by the daemon at start.

use std::fmt;
use std::io;

use cap_std::fs::{Dir, PermissionsExt as _};
use ring::rand::{SecureRandom as _, SystemRandom};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::file;

/// Name of the file in the folder `keys/` of a device.
pub const MASTER_KEY_FILE: &str = "master.key";

/// Length of the master key: 256 bits of randomness.
pub const MASTER_KEY_BYTES: usize = 32;

/// Why the master key cannot be used.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("cannot access the key file `{MASTER_KEY_FILE}`")]
    Io(#[source] io::Error),
    /// The file is there, but it is not a key: it is never replaced, since data may depend on it.
    #[error(
        "the key file `{MASTER_KEY_FILE}` has {found} bytes and not {MASTER_KEY_BYTES}: it is damaged"
    )]
    Length {
        /// The bytes that the file has; one more than a key when it has more.
        found: usize,
    },
    /// Others than the owner may read it.
    #[error(
        "the key file `{MASTER_KEY_FILE}` has mode {mode:o}: others may read it; set it to 600"
    )]
    Exposed {
        /// The permission bits found.
        mode: u32,
    },
    /// The system gave no random bytes.
    #[error("the system has no random numbers for the key file `{MASTER_KEY_FILE}`")]
    Random,
}

/// 32 random bytes from which all keys of a device are derived; wiped from memory when dropped.
pub struct MasterKey(Zeroizing<[u8; MASTER_KEY_BYTES]>);

impl MasterKey {
    /// Reads the key in `folder` (the `keys/` of a device), or makes it at the first start.
    ///
    /// The file holds the bytes as they are and is readable by the owner alone.
    ///
    /// # Errors
    /// [`KeyError`]; a file that is there and not right is left as it is.
    pub fn open(folder: &Dir) -> Result<Self, KeyError> {
        match Self::read(folder)? {
            Some(key) => Ok(key),
            None => Self::create(folder),
        }
    }

    /// Whether there is a key in `folder` and it can be used; nothing is made.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn look(folder: &Dir) -> Result<bool, KeyError> {
        Ok(Self::read(folder)?.is_some())
    }

    /// The key itself, to derive others from.
    pub fn as_bytes(&self) -> &[u8; MASTER_KEY_BYTES] {
        &self.0
    }

    fn read(folder: &Dir) -> Result<Option<Self>, KeyError> {
        let bytes = match file::read_bounded(folder, MASTER_KEY_FILE, MASTER_KEY_BYTES as u64) {
            Ok(None) => return Ok(None),
            Ok(Some(bytes)) => Zeroizing::new(bytes),
            Err(err) if err.kind() == io::ErrorKind::FileTooLarge => {
                return Err(KeyError::Length {
                    found: MASTER_KEY_BYTES + 1,
                });
            }
            Err(err) => return Err(KeyError::Io(err)),
        };
        let mode = folder
            .metadata(MASTER_KEY_FILE)
            .map_err(KeyError::Io)?
            .permissions()
            .mode()
            & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyError::Exposed { mode });
        }
        let key = <[u8; MASTER_KEY_BYTES]>::try_from(bytes.as_slice())
            .map_err(|_| KeyError::Length { found: bytes.len() })?;
        Ok(Some(Self(Zeroizing::new(key))))
    }

    fn create(folder: &Dir) -> Result<Self, KeyError> {
        let mut key = Zeroizing::new([0; MASTER_KEY_BYTES]);
        SystemRandom::new()
            .fill(key.as_mut())
            .map_err(|_| KeyError::Random)?;
        file::write_atomic(folder, MASTER_KEY_FILE, key.as_ref()).map_err(KeyError::Io)?;
        Ok(Self(key))
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use cap_std::ambient_authority;
    use cap_std::fs::Permissions;

    use super::*;

    fn folder() -> (tempfile::TempDir, Dir) {
        let place = tempfile::tempdir().unwrap();
        let dir = Dir::open_ambient_dir(place.path(), ambient_authority()).unwrap();
        (place, dir)
    }

    #[test]
    fn the_key_is_made_once_and_stays_the_same() {
        let (_place, dir) = folder();
        let made = MasterKey::open(&dir).unwrap();
        assert_ne!(made.as_bytes(), &[0; MASTER_KEY_BYTES]);
        assert_eq!(MasterKey::open(&dir).unwrap().as_bytes(), made.as_bytes());
        let mode = dir.metadata(MASTER_KEY_FILE).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn two_devices_have_two_keys() {
        let ((_a, first), (_b, second)) = (folder(), folder());
        let first = MasterKey::open(&first).unwrap();
        assert_ne!(
            first.as_bytes(),
            MasterKey::open(&second).unwrap().as_bytes()
        );
    }

    #[test]
    fn a_damaged_key_file_is_refused_and_left_alone() {
        for (bytes, found) in [(&b"short"[..], 5), (&[7; 40][..], 33)] {
            let (_place, dir) = folder();
            file::write_atomic(&dir, MASTER_KEY_FILE, bytes).unwrap();
            let err = MasterKey::open(&dir).unwrap_err();
            assert!(
                matches!(err, KeyError::Length { found: n } if n == found),
                "{err}"
            );
            assert_eq!(dir.read(MASTER_KEY_FILE).unwrap(), bytes);
        }
    }

    #[test]
    fn a_key_that_others_may_read_is_refused() {
        let (_place, dir) = folder();
        MasterKey::open(&dir).unwrap();
        dir.set_permissions(MASTER_KEY_FILE, Permissions::from_mode(0o640))
            .unwrap();
        let err = MasterKey::open(&dir).unwrap_err();
        assert!(err.to_string().contains("mode 640"), "{err}");
    }

    #[test]
    fn debug_output_does_not_show_the_key() {
        let (_place, dir) = folder();
        assert_eq!(
            format!("{:?}", MasterKey::open(&dir).unwrap()),
            "MasterKey(..)"
        );
    }
}
