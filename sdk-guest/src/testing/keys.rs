//! Keys for tests: `sign` is the device's HMAC-SHA256, `encrypt` has the device's sizes and refusals but hides nothing.
//!
//! SHA-256 is written out here (FIPS 180-4), so that no author's build has to bring a library for it.

/// Length of a digest in bytes.
const DIGEST_BYTES: usize = 32;

/// Block of SHA-256 in bytes.
const BLOCK_BYTES: usize = 64;

/// Version, nonce and tag, as on the device.
const VERSION: u8 = 1;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
pub(super) const OVERHEAD_BYTES: usize = 1 + NONCE_BYTES + TAG_BYTES;

/// HMAC-SHA256 (RFC 2104).
pub(super) fn sign(key: &[u8], data: &[u8]) -> [u8; DIGEST_BYTES] {
    let mut block = [0; BLOCK_BYTES];
    if key.len() > BLOCK_BYTES {
        block[..DIGEST_BYTES].copy_from_slice(&sha256(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let padded = |pad: u8| block.map(|byte| byte ^ pad).to_vec();
    let inner = sha256(&[padded(0x36), data.to_vec()].concat());
    sha256(&[padded(0x5c), inner.to_vec()].concat())
}

/// What only `decrypt` with the same key and generation takes. It is marked and mixed, not secret.
pub(super) fn encrypt(key: &[u8], number: u64, plaintext: &[u8]) -> Vec<u8> {
    let mut sealed = vec![VERSION, 0, 0, 0, 0];
    sealed.extend(number.to_be_bytes());
    let nonce = sealed[1..=NONCE_BYTES].to_vec();
    sealed.extend(mixed(key, &nonce, plaintext));
    let tag = sign(key, &sealed);
    sealed.extend(&tag[..TAG_BYTES]);
    sealed
}

/// Gives back what `encrypt` was given; `None` for anything else.
pub(super) fn decrypt(key: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (content, tag) = sealed.split_at_checked(sealed.len().checked_sub(TAG_BYTES)?)?;
    let (head, body) = content.split_at_checked(1 + NONCE_BYTES)?;
    let is_whole = tag == &sign(key, content)[..TAG_BYTES];
    is_whole.then(|| mixed(key, &head[1..], body))
}

fn mixed(key: &[u8], nonce: &[u8], text: &[u8]) -> Vec<u8> {
    let pad = sign(key, nonce);
    text.iter()
        .zip(pad.iter().cycle())
        .map(|(byte, pad)| byte ^ pad)
        .collect()
}

fn sha256(data: &[u8]) -> [u8; DIGEST_BYTES] {
    let mut message = data.to_vec();
    message.push(0x80);
    let filled = (message.len() + 8).next_multiple_of(BLOCK_BYTES);
    message.resize(filled - 8, 0);
    message.extend((data.len() as u64 * 8).to_be_bytes());
    let (mut state, constants) = constants();
    for block in message.chunks_exact(BLOCK_BYTES) {
        compress(&mut state, &constants, block);
    }
    let mut digest = [0; DIGEST_BYTES];
    for (bytes, word) in digest.chunks_exact_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    digest
}

fn compress(state: &mut [u32; 8], constants: &[u32; 64], block: &[u8]) {
    let mut words = [0_u32; 64];
    for (word, bytes) in words.iter_mut().zip(block.chunks_exact(4)) {
        *word = bytes
            .iter()
            .fold(0, |word, byte| word << 8 | u32::from(*byte));
    }
    for t in 16..64 {
        let (early, late) = (words[t - 15], words[t - 2]);
        let small0 = early.rotate_right(7) ^ early.rotate_right(18) ^ (early >> 3);
        let small1 = late.rotate_right(17) ^ late.rotate_right(19) ^ (late >> 10);
        words[t] = words[t - 16]
            .wrapping_add(small0)
            .wrapping_add(words[t - 7])
            .wrapping_add(small1);
    }
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
    for (word, constant) in words.iter().zip(constants) {
        let big1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
        let choice = (e & f) ^ (!e & g);
        let first = [h, big1, choice, *constant, *word]
            .into_iter()
            .fold(0, u32::wrapping_add);
        let big0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
        let majority = (a & b) ^ (a & c) ^ (b & c);
        (h, g, f, e) = (g, f, e, d.wrapping_add(first));
        (d, c, b, a) = (c, b, a, first.wrapping_add(big0).wrapping_add(majority));
    }
    for (word, new) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
        *word = word.wrapping_add(new);
    }
}

/// The start state and the round constants: the first 32 bits behind the point of the square roots of the first 8 primes, and of the cube roots of the first 64.
fn constants() -> ([u32; 8], [u32; 64]) {
    let mut primes = (2_u32..).filter(|n| (2..*n).all(|divisor| n % divisor != 0));
    let mut rounds = [0; 64];
    let mut start = [0; 8];
    for (n, round) in rounds.iter_mut().enumerate() {
        let prime = primes.next().expect("there is always another prime");
        *round = root_fraction(prime, 3);
        if let Some(word) = start.get_mut(n) {
            *word = root_fraction(prime, 2);
        }
    }
    (start, rounds)
}

/// The first 32 bits behind the point of the `degree`th root, found bit by bit.
fn root_fraction(of: u32, degree: u32) -> u32 {
    // The root in units of 2^-32 has at most 37 bits, so its cube fits into 128.
    let is_below = |root: u128| root.pow(degree) <= u128::from(of) << (32 * degree);
    let root = (0..37).rev().fold(0, |root, bit| {
        let larger = root | 1 << bit;
        if is_below(larger) { larger } else { root }
    });
    (root & u128::from(u32::MAX)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn digests_are_those_of_the_standard() {
        for (text, digest) in [
            (
                "",
                "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            ),
            (
                "abc",
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            ),
            (
                "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
            ),
        ] {
            assert_eq!(hex(&sha256(text.as_bytes())), digest, "{text:?}");
        }
    }

    #[test]
    fn signatures_are_those_of_rfc_4231() {
        let signed = sign(b"Jefe", b"what do ya want for nothing?");
        assert_eq!(
            hex(&signed),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        let long_key = sign(
            &[0xaa; 131],
            b"Test Using Larger Than Block-Size Key - Hash Key First",
        );
        assert_eq!(
            hex(&long_key),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }

    #[test]
    fn only_what_was_encrypted_with_the_key_is_decrypted() {
        let sealed = encrypt(b"key", 7, b"secret");
        assert_eq!(sealed.len(), b"secret".len() + OVERHEAD_BYTES);
        assert_eq!(decrypt(b"key", &sealed).as_deref(), Some(&b"secret"[..]));
        assert_eq!(decrypt(b"other", &sealed), None);
        assert_eq!(decrypt(b"key", &sealed[1..]), None);
        assert_eq!(decrypt(b"key", b"short"), None);
        let mut changed = sealed.clone();
        changed[15] ^= 1;
        assert_eq!(decrypt(b"key", &changed), None);
    }
}
