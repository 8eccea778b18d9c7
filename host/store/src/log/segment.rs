//! A segment's file: its name and what stands before its records.
//!
//! Owns the preamble: log and format versions, the number of the segment, the
//! last number it stands for, and the seed of its checksums. It is there
//! twice, so that no single damage takes all the records with it.

use super::LogError;

/// What every log's file begins with; the last byte is the version of how records lie in it.
const MAGIC: [u8; 8] = *b"wasmlog\x01";

const COPY_BYTES: usize = 40;

/// Where the first record is.
pub(super) const PREAMBLE_BYTES: u32 = 2 * COPY_BYTES as u32;

/// How the name of a segment's file ends.
const SUFFIX: &str = ".log";

/// How many digits its number has there.
const DIGITS: usize = 20;

/// No segment has this number or one behind it; a file that is called so is somebody else's.
const NUMBER_END: u64 = u64::MAX / 2;

/// What a segment's file says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Preamble {
    pub(super) format: [u8; 8],
    pub(super) id: u64,
    /// The last segment whose place it takes: others up to this one are left over. Its own number
    /// unless it is a replacement.
    pub(super) through: u64,
    /// Chosen at random, so that nobody can make up a record.
    pub(super) salt: u32,
}

impl Preamble {
    pub(super) fn encode(&self) -> [u8; PREAMBLE_BYTES as usize] {
        let mut copy = [0; COPY_BYTES];
        copy[0..8].copy_from_slice(&MAGIC);
        copy[8..16].copy_from_slice(&self.format);
        copy[16..24].copy_from_slice(&self.id.to_le_bytes());
        copy[24..32].copy_from_slice(&self.through.to_le_bytes());
        copy[32..36].copy_from_slice(&self.salt.to_le_bytes());
        let checksum = crc32fast::hash(&copy[..36]);
        copy[36..40].copy_from_slice(&checksum.to_le_bytes());
        let mut bytes = [0; PREAMBLE_BYTES as usize];
        bytes[..COPY_BYTES].copy_from_slice(&copy);
        bytes[COPY_BYTES..].copy_from_slice(&copy);
        bytes
    }

    /// Reads what stands at the beginning of the file `name`; nothing if both copies are damaged.
    pub(super) fn decode(
        name: &str,
        bytes: &[u8],
        format: [u8; 8],
    ) -> Result<Option<Self>, LogError> {
        let Some(copy) = bytes.chunks_exact(COPY_BYTES).take(2).find(|copy| {
            let (fields, checksum) = copy.split_at(36);
            crc32fast::hash(fields).to_le_bytes() == checksum
        }) else {
            return Ok(None);
        };
        let found: [u8; 16] = part(copy, 0);
        let mut expected = [0; 16];
        expected[..8].copy_from_slice(&MAGIC);
        expected[8..].copy_from_slice(&format);
        if found != expected {
            return Err(LogError::Format {
                file: name.to_owned(),
                found: found.escape_ascii().to_string(),
                expected: expected.escape_ascii().to_string(),
            });
        }
        let id = u64::from_le_bytes(part(copy, 16));
        // A file under another name holds nothing that belongs here.
        Ok((number(name) == Some(id)).then(|| Self {
            format,
            id,
            through: u64::from_le_bytes(part(copy, 24)).max(id),
            salt: u32::from_le_bytes(part(copy, 32)),
        }))
    }

    /// What the checksums of its records begin with.
    pub(super) fn seed(&self) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.salt.to_le_bytes());
        hasher.update(&self.id.to_le_bytes());
        hasher.finalize()
    }
}

/// The name of a segment's file.
pub(super) fn name(id: u64) -> String {
    format!("{id:0DIGITS$}{SUFFIX}")
}

/// The number of the segment whose file is called so.
pub(super) fn number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    let plain = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.parse().ok().filter(|_| plain);
    number.filter(|number| *number < NUMBER_END)
}

fn part<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut part = [0; N];
    part.copy_from_slice(&bytes[at..at + N]);
    part
}
