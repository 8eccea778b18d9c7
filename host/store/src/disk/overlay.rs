//! A file that is only read: what is written to it stays in memory.
//!
//! A database that was not closed in order is mended when it is opened. Through this disk one can look at such a
//! file without changing it. Used by `database::look`; nothing is ever locked, so that a look stands in nobody's way.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Disk;

/// Bytes of a page, the unit in which written parts are kept.
const PAGE_BYTES: usize = 4096;

/// Pages that may be written: mending a database writes its header and its table of free space only.
const PAGES_MAX: usize = 8192;

/// A file under a layer of what was written.
#[derive(Debug)]
pub(crate) struct Overlay {
    file: File,
    /// Held for one read or write.
    layer: Mutex<Layer>,
}

#[derive(Debug)]
struct Layer {
    len_bytes: u64,
    /// Beyond this the file does not show through: it was cut off here once.
    shows_through_bytes: u64,
    pages: BTreeMap<u64, Box<[u8]>>,
}

impl Overlay {
    /// Over `file`, open for reading.
    pub(crate) fn new(file: File) -> io::Result<Self> {
        let len_bytes = file.metadata()?.len();
        Ok(Self {
            file,
            layer: Mutex::new(Layer {
                len_bytes,
                shows_through_bytes: len_bytes,
                pages: BTreeMap::new(),
            }),
        })
    }

    fn layer(&self) -> MutexGuard<'_, Layer> {
        self.layer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The page as it is below the layer, filled up with zeroes.
    fn below(&self, page: u64, shows_through_bytes: u64) -> io::Result<Box<[u8]>> {
        let mut bytes = vec![0; PAGE_BYTES].into_boxed_slice();
        let start = page * PAGE_BYTES as u64;
        let length = shows_through_bytes.saturating_sub(start);
        let length = usize::try_from(length).map_or(PAGE_BYTES, |length| length.min(PAGE_BYTES));
        self.file.read_exact_at(&mut bytes[..length], start)?;
        Ok(bytes)
    }
}

/// The parts of a range of bytes that lie in one page each: page, offset in it, length.
fn parts(offset: u64, length: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    let page_bytes = PAGE_BYTES as u64;
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done as u64;
        let start = usize::try_from(at % page_bytes).ok()?;
        let part = (PAGE_BYTES - start).min(length - done);
        done += part;
        (part > 0).then_some((at / page_bytes, start, part))
    })
}

impl Disk for Overlay {
    fn len_bytes(&self) -> io::Result<u64> {
        Ok(self.layer().len_bytes)
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let layer = self.layer();
        if offset.saturating_add(bytes.len() as u64) > layer.len_bytes {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut done = 0;
        for (page, start, length) in parts(offset, bytes.len()) {
            let into = &mut bytes[done..done + length];
            match layer.pages.get(&page) {
                Some(written) => into.copy_from_slice(&written[start..start + length]),
                None => {
                    let below = self.below(page, layer.shows_through_bytes)?;
                    into.copy_from_slice(&below[start..start + length]);
                }
            }
            done += length;
        }
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut layer = self.layer();
        let mut done = 0;
        for (page, start, length) in parts(offset, bytes.len()) {
            if !layer.pages.contains_key(&page) {
                if layer.pages.len() >= PAGES_MAX {
                    return Err(io::Error::new(
                        io::ErrorKind::StorageFull,
                        "too much would have to be written to look at it",
                    ));
                }
                let below = self.below(page, layer.shows_through_bytes)?;
                layer.pages.insert(page, below);
            }
            if let Some(written) = layer.pages.get_mut(&page) {
                written[start..start + length].copy_from_slice(&bytes[done..done + length]);
            }
            done += length;
        }
        layer.len_bytes = layer
            .len_bytes
            .max(offset.saturating_add(bytes.len() as u64));
        Ok(())
    }

    fn set_len(&self, len_bytes: u64) -> io::Result<()> {
        let mut layer = self.layer();
        if len_bytes < layer.len_bytes {
            layer.shows_through_bytes = layer.shows_through_bytes.min(len_bytes);
            let last = len_bytes / PAGE_BYTES as u64;
            layer.pages.retain(|page, _| *page <= last);
            if let Some(page) = layer.pages.get_mut(&last) {
                let keep = usize::try_from(len_bytes % PAGE_BYTES as u64).unwrap_or_default();
                page[keep..].fill(0);
            }
        }
        layer.len_bytes = len_bytes;
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn try_lock(&self) -> io::Result<bool> {
        Ok(true)
    }

    fn unlock(&self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn overlay(content: &[u8]) -> (tempfile::NamedTempFile, Overlay) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        let overlay = Overlay::new(File::open(file.path()).unwrap()).unwrap();
        (file, overlay)
    }

    fn read(overlay: &Overlay, offset: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0xee; length];
        overlay.read_at(offset, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn what_is_written_is_read_again_and_the_file_stays_as_it_is() {
        let content = vec![7; 3 * PAGE_BYTES];
        let (file, overlay) = overlay(&content);
        let offset = PAGE_BYTES as u64 - 2;
        overlay.write_at(offset, &[1, 2, 3, 4]).unwrap();
        assert_eq!(read(&overlay, offset - 1, 6), [7, 1, 2, 3, 4, 7]);
        assert_eq!(std::fs::read(file.path()).unwrap(), content);
    }

    #[test]
    fn what_was_cut_off_comes_back_as_zeroes() {
        let (_file, overlay) = overlay(&[7; 100]);
        overlay.write_at(40, &[1; 20]).unwrap();
        overlay.set_len(50).unwrap();
        assert!(overlay.read_at(45, &mut [0; 6]).is_err());
        overlay.set_len(80).unwrap();
        assert_eq!(read(&overlay, 39, 12), [7, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0]);
        assert_eq!(read(&overlay, 60, 20), [0; 20]);
        assert_eq!(overlay.len_bytes().unwrap(), 80);
    }

    #[test]
    fn it_grows_in_memory_up_to_a_limit() {
        let (_file, overlay) = overlay(b"");
        let page = vec![1; PAGE_BYTES];
        for number in 0..PAGES_MAX as u64 {
            overlay.write_at(number * PAGE_BYTES as u64, &page).unwrap();
        }
        let full = overlay
            .write_at(overlay.len_bytes().unwrap(), &page)
            .unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
    }
}
