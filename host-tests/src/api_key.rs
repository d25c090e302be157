//! How does a policy know an API key? By its hash, in hexadecimal.

/// As `keyHash` has it.
pub fn hash(key: &str) -> String {
    format!("sha256:{}", hex(ring::digest::digest(&ring::digest::SHA256, key.as_bytes()).as_ref()))
}

/// Bytes as text.
pub fn hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from_digit(u32::from(half), 16);
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).filter_map(digit).collect()
}

#[cfg(test)]
mod tests {
    use super::hash;

    #[test]
    fn a_hash_is_that_of_everybody_else() {
        // FIPS 180-4, the example of one block.
        let abc = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash("abc"), abc);
    }
}
