//! What do hexadecimal digits say? In either case, in pairs, and nothing else between them.

/// The digits, in the case in which we write them.
pub const DIGITS: [char; 16] =
    ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];

/// What one digit is worth.
pub fn value(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// The byte that two digits say.
pub fn byte(high: u8, low: u8) -> Option<u8> {
    Some(value(high)? << 4 | value(low)?)
}

/// Exactly so many bytes. `None` for anything else.
pub fn array<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let (pairs, rest) = text.as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    for (place, &[high, low]) in bytes.iter_mut().zip(pairs) {
        *place = byte(high, low)?;
    }
    Some(bytes)
}

/// Bytes of a published example, whatever blanks it has.
///
/// # Panics
///
/// If it is none.
#[cfg(test)]
pub fn example(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    let (pairs, rest) = digits.as_chunks::<2>();
    assert!(rest.is_empty(), "{text}");
    pairs.iter().map(|&[high, low]| byte(high, low).expect("hexadecimal digits")).collect()
}

#[cfg(test)]
mod tests {
    use super::{DIGITS, array, value};
    use crate::testing::test;

    #[test]
    fn digits_in_either_case_and_nothing_else() {
        assert_eq!(array(b"00fF7a"), Some([0x00, 0xff, 0x7a]));
        assert_eq!(array::<0>(b""), Some([]));
        for text in ["0", "00", "0000", "000", "+1", "0g", " 0", "\u{e9}"] {
            assert_eq!(array::<3>(text.as_bytes()), None, "{text}");
        }
        for (worth, digit) in (0..).zip(DIGITS) {
            assert_eq!(value(u8::try_from(digit).unwrap()), Some(worth));
        }
    }
}
