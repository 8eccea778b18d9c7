//! How numbers and texts lie in a record, byte by byte.
//!
//! Owns reading and writing of one value at a time; which values a record has is the codec's. Numbers are
//! little-endian base 128 with the top bit set on all bytes but the last, texts have their length before
//! them.

/// A record does not hold what it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("record without a valid {what}")]
pub(super) struct Malformed {
    /// What was expected.
    pub(super) what: &'static str,
}

/// Most bytes that a number takes.
const NUMBER_BYTES_MAX: usize = 10;

pub(super) fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(low_bits(number) | 0x80);
        number >>= 7;
    }
    out.push(low_bits(number));
}

pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

pub(super) fn put_text(out: &mut Vec<u8>, text: &str) {
    put_bytes(out, text.as_bytes());
}

fn low_bits(number: u64) -> u8 {
    (number & 0x7f) as u8
}

/// Takes values from the front of a record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes }
    }

    /// What was not taken yet.
    pub(super) fn rest(self) -> &'a [u8] {
        self.rest
    }

    #[cfg(test)]
    pub(super) fn is_empty(self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn byte(&mut self, what: &'static str) -> Result<u8, Malformed> {
        let (first, rest) = self.rest.split_first().ok_or(Malformed { what })?;
        self.rest = rest;
        Ok(*first)
    }

    pub(super) fn array<const N: usize>(
        &mut self,
        what: &'static str,
    ) -> Result<[u8; N], Malformed> {
        let (first, rest) = self.rest.split_first_chunk().ok_or(Malformed { what })?;
        self.rest = rest;
        Ok(*first)
    }

    pub(super) fn take(
        &mut self,
        length: usize,
        what: &'static str,
    ) -> Result<&'a [u8], Malformed> {
        let (first, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(Malformed { what })?;
        self.rest = rest;
        Ok(first)
    }

    pub(super) fn number(&mut self, what: &'static str) -> Result<u64, Malformed> {
        let mut number = 0_u64;
        for place in 0..NUMBER_BYTES_MAX {
            let byte = self.byte(what)?;
            let bits = u64::from(byte & 0x7f);
            let shifted = bits << (7 * place);
            if shifted >> (7 * place) != bits {
                return Err(Malformed { what });
            }
            number |= shifted;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Malformed { what })
    }

    /// A number that fits into a smaller type.
    pub(super) fn small<N: TryFrom<u64>>(&mut self, what: &'static str) -> Result<N, Malformed> {
        N::try_from(self.number(what)?).map_err(|_| Malformed { what })
    }

    /// How many of something follow, each of at least one byte.
    pub(super) fn count(&mut self, what: &'static str) -> Result<usize, Malformed> {
        let count = self.small::<usize>(what)?;
        if count > self.rest.len() {
            return Err(Malformed { what });
        }
        Ok(count)
    }

    pub(super) fn text(&mut self, what: &'static str) -> Result<&'a str, Malformed> {
        let length = self.count(what)?;
        self.text_of(length, what)
    }

    /// A text whose length is known.
    pub(super) fn text_of(
        &mut self,
        length: usize,
        what: &'static str,
    ) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.take(length, what)?).map_err(|_| Malformed { what })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_length_come_back() {
        for number in [
            0,
            1,
            127,
            128,
            16_383,
            16_384,
            u64::from(u32::MAX),
            u64::MAX,
        ] {
            let mut out = Vec::new();
            put_number(&mut out, number);
            let mut reader = Reader::new(&out);
            assert_eq!(reader.number("number"), Ok(number));
            assert!(reader.is_empty());
        }
    }

    #[test]
    fn what_is_cut_off_or_too_large_is_malformed() {
        let fault = Malformed { what: "x" };
        let number = |bytes: &[u8]| Reader::new(bytes).number("x");
        assert_eq!(number(&[]), Err(fault));
        assert_eq!(number(&[0x80]), Err(fault));
        assert_eq!(number(&[0xff; 11]), Err(fault));
        let mut beyond = [0xff; 10];
        beyond[9] = 2;
        assert_eq!(number(&beyond), Err(fault));
        assert_eq!(Reader::new(&[0x80, 2]).small::<u8>("x"), Err(fault));
        assert_eq!(Reader::new(&[200, 1, b'a']).text("x"), Err(fault));
        assert_eq!(Reader::new(&[1, 0xff]).text("x"), Err(fault));
    }
}
