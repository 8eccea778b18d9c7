//! Tar archives, as far as a layout needs them: names of at most 100 bytes, files and nothing else.
//!
//! Owns headers, both ways. Extended headers, links and folders are seen and passed over: no name in a layout needs
//! them, and what they say is not believed.
//!
//! Source: POSIX.1-2017, *pax*, section *ustar Interchange Format*.

use std::io::{self, Read};

/// The unit of an archive, in bytes.
const BLOCK_BYTES: usize = 512;

/// [`BLOCK_BYTES`] as sizes are counted.
const BLOCK: u64 = BLOCK_BYTES as u64;

const ZEROES: [u8; 2 * BLOCK_BYTES] = [0; 2 * BLOCK_BYTES];

/// What ends an archive.
pub(super) const END: &[u8] = &ZEROES;

/// Fields of a header, by their place.
mod field {
    use std::ops::Range;

    pub(super) const NAME: Range<usize> = 0..100;
    pub(super) const MODE: Range<usize> = 100..108;
    pub(super) const SIZE: Range<usize> = 124..136;
    pub(super) const TIME: Range<usize> = 136..148;
    pub(super) const CHECKSUM: Range<usize> = 148..156;
    pub(super) const KIND: usize = 156;
    pub(super) const MAGIC: Range<usize> = 257..265;
    pub(super) const PREFIX: Range<usize> = 345..500;
}

/// An entry, before its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its name, without a leading `./`.
    pub(super) name: String,
    /// How many bytes follow.
    pub(super) size_bytes: u64,
    /// Whether it is a file and nothing else.
    pub(super) is_file: bool,
}

/// An archive that is read from its start to its end.
pub(super) struct Archive<R> {
    reader: R,
    /// What is left of the present entry, and behind it up to the next block.
    left: u64,
    padding: u64,
}

impl<R: Read> Archive<R> {
    pub(super) fn new(reader: R) -> Self {
        Self {
            reader,
            left: 0,
            padding: 0,
        }
    }

    /// The next entry; what was not read of the one before is passed over. `None` at the end.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] where no header is, and those of reading.
    pub(super) fn next(&mut self) -> io::Result<Option<Entry>> {
        let rest = self.left + self.padding;
        let passed = io::copy(&mut (&mut self.reader).take(rest), &mut io::sink())?;
        if passed < rest {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        (self.left, self.padding) = (0, 0);
        let mut header = [0; BLOCK_BYTES];
        let mut filled = 0;
        while filled < BLOCK_BYTES {
            match self.reader.read(&mut header[filled..]) {
                // Some tools leave the end out.
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => filled += read,
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(err) => return Err(err),
            }
        }
        if header == ZEROES[..BLOCK_BYTES] {
            return Ok(None);
        }
        let entry = parse(&header).ok_or(io::ErrorKind::InvalidData)?;
        self.left = entry.size_bytes;
        self.padding = padding(entry.size_bytes).len() as u64;
        Ok(Some(entry))
    }
}

/// The bytes of the present entry. An archive that ends in it is [`io::ErrorKind::UnexpectedEof`].
impl<R: Read> Read for Archive<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX);
        let most = most.min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let read = self.reader.read(&mut buffer[..most])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= read as u64;
        Ok(read)
    }
}

/// The header of a file that anybody may read. The name has at most 100 bytes.
pub(super) fn header(name: &str, size_bytes: u64) -> [u8; BLOCK_BYTES] {
    let mut header = [0; BLOCK_BYTES];
    let mut put = |place: std::ops::Range<usize>, bytes: &[u8]| {
        let end = place.start + bytes.len().min(place.len());
        header[place.start..end].copy_from_slice(&bytes[..end - place.start]);
    };
    put(field::NAME, name.as_bytes());
    put(field::MODE, b"0000644\0");
    put(field::SIZE, format!("{size_bytes:011o}\0").as_bytes());
    put(field::TIME, b"00000000000\0");
    put(field::MAGIC, b"ustar\x0000");
    header[field::KIND] = b'0';
    let sum = checksum(&header);
    header[field::CHECKSUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

/// What follows a content of so many bytes up to the next block.
pub(super) fn padding(size_bytes: u64) -> &'static [u8] {
    let over = usize::try_from(size_bytes % BLOCK).unwrap_or_default();
    match over {
        0 => &[],
        over => &ZEROES[over..BLOCK_BYTES],
    }
}

fn parse(header: &[u8; BLOCK_BYTES]) -> Option<Entry> {
    if octal(&header[field::CHECKSUM])? != u64::from(checksum(header)) {
        return None;
    }
    let text = |place: std::ops::Range<usize>| {
        let bytes = header[place].split(|byte| *byte == 0).next();
        String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
    };
    let mut name = text(field::NAME);
    // Only this magic has a prefix; older archives have other fields there.
    if header[field::MAGIC].starts_with(b"ustar\0") {
        let prefix = text(field::PREFIX);
        if !prefix.is_empty() {
            name = format!("{prefix}/{name}");
        }
    }
    Some(Entry {
        name: name.strip_prefix("./").map_or(name.clone(), str::to_owned),
        size_bytes: octal(&header[field::SIZE])?,
        is_file: matches!(header[field::KIND], b'0' | 0),
    })
}

/// The sum of all bytes of a header, with spaces for the sum itself.
fn checksum(header: &[u8; BLOCK_BYTES]) -> u32 {
    let sum = |bytes: &[u8]| bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    sum(header) - sum(&header[field::CHECKSUM]) + 8 * u32::from(b' ')
}

/// A number as archives write it; one in the binary form, of 8 GiB and more, is none.
fn octal(bytes: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(bytes).ok()?;
    let digits = text.trim_matches([' ', '\0']);
    match digits {
        "" => Some(0),
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            u64::from_str_radix(digits, 8).ok()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_as_it_is_written() {
        let name = format!("blobs/sha256/{}", "a".repeat(64));
        for size_bytes in [0, 1, 512, 64 << 20, (8 << 30) - 1] {
            let expected = Entry {
                name: name.clone(),
                size_bytes,
                is_file: true,
            };
            assert_eq!(parse(&header(&name, size_bytes)), Some(expected));
        }
    }

    #[test]
    fn a_header_with_one_byte_changed_is_none() {
        let right = header("index.json", 100);
        for place in 0..BLOCK_BYTES {
            let mut wrong = right;
            wrong[place] ^= 0x11;
            // Spaces and zeroes around the sum say nothing.
            if !field::CHECKSUM.contains(&place) {
                assert_eq!(parse(&wrong), None, "byte {place}");
            }
        }
    }

    #[test]
    fn an_archive_is_read_entry_by_entry_and_one_that_ends_early_is_told() {
        let mut bytes = Vec::new();
        for (name, content) in [("./a", &b"12345"[..]), ("b", &[7; 512]), ("c", b"")] {
            bytes.extend(header(name, content.len() as u64));
            bytes.extend(content);
            bytes.extend(padding(content.len() as u64));
        }
        let whole = [&bytes[..], END].concat();
        for archive in [&whole, &bytes] {
            let mut archive = Archive::new(&archive[..]);
            let mut seen = Vec::new();
            while let Some(entry) = archive.next().unwrap() {
                let mut content = vec![0; 1000];
                let read = archive.read(&mut content).unwrap();
                seen.push((entry.name, read));
            }
            let expected = [("a", 5), ("b", 512), ("c", 0)];
            assert_eq!(seen, expected.map(|(name, read)| (name.to_owned(), read)));
        }
        for end in [1, 511, 513, 516, 1030] {
            let mut archive = Archive::new(&bytes[..end]);
            let err = loop {
                match archive.next() {
                    Ok(entry) => assert!(entry.is_some(), "{end}"),
                    Err(err) => break err,
                }
            };
            assert_eq!(err.kind(), io::ErrorKind::UnexpectedEof, "{end}");
        }
    }
}
