//! Numbers as text. Each entry that is read has several, so their digits are taken eight at a time, each in
//! its byte of a word.

const ONES: u64 = 0x0101_0101_0101_0101;
/// The lower half of each byte.
const LOWER: u64 = 0x0f * ONES;
const UPPER: u64 = 0xf0 * ONES;

/// A number of 16 lower-case hex digits.
pub(super) fn hex(digits: &[u8]) -> Option<u64> {
    let (high, low) = digits.split_first_chunk::<8>()?;
    Some(u64::from(eight_hex(*high)?) << 32 | u64::from(eight_hex(low.try_into().ok()?)?))
}

/// The decimal number at the beginning of a text, and what comes after it.
pub(super) fn decimal(text: &[u8]) -> Option<(u64, &[u8])> {
    let (mut number, mut rest) = (0_u64, text);
    // Sixteen digits are always less than a `u64` holds.
    for _ in 0..2 {
        let Some((eight, after)) = rest.split_first_chunk::<8>() else { break };
        let Some(value) = eight_decimal(*eight) else { break };
        (number, rest) = (number * 100_000_000 + value, after);
    }
    while let [digit @ b'0'..=b'9', after @ ..] = rest {
        number = number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
        rest = after;
    }
    (rest.len() < text.len()).then_some((number, rest))
}

fn eight_hex(digits: [u8; 8]) -> Option<u32> {
    let text = u64::from_be_bytes(digits);
    // The bit by which letters differ from digits: `a` is 0x61, and counts as 10.
    let letters = (text >> 6) & ONES;
    let values = (text & LOWER).wrapping_add(letters * 9) & LOWER;
    // What these values are written as: 6 more carries into the upper half from 10 on.
    let are_letters = ((values + 6 * ONES) >> 4) & ONES;
    if values + u64::from(b'0') * ONES + are_letters * u64::from(b'a' - b'0' - 10) != text {
        return None;
    }
    let twos = (values | values >> 4) & 0x00ff_00ff_00ff_00ff;
    let fours = (twos | twos >> 8) & 0x0000_ffff_0000_ffff;
    u32::try_from((fours | fours >> 16) & 0xffff_ffff).ok()
}

fn eight_decimal(digits: [u8; 8]) -> Option<u64> {
    // The first digit is in the lowest byte.
    let text = u64::from_le_bytes(digits);
    let is_number = text & UPPER == 0x30 * ONES && (text + 6 * ONES) & UPPER == 0x30 * ONES;
    let values = text & LOWER;
    let twos = (values * 10 + (values >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (twos * 100 + (twos >> 16)) & 0x0000_ffff_0000_ffff;
    is_number.then_some((fours * 10_000 + (fours >> 32)) & 0xffff_ffff)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_byte_at_every_place_counts_as_what_it_is() {
        for place in 0..16 {
            for byte in 0..=u8::MAX {
                let mut digits = *b"0000000000000000";
                digits[place] = byte;
                let is_hex = byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
                let text = std::str::from_utf8(&digits).ok().filter(|_| is_hex);
                assert_eq!(hex(&digits), text.and_then(|text| u64::from_str_radix(text, 16).ok()), "{byte} at {place}");
                assert_eq!(decimal(&digits), expected(&digits), "{byte} at {place}");
            }
        }
        assert_eq!(hex(b"0123456789abcdef"), Some(0x0123_4567_89ab_cdef));
        assert_eq!((hex(b"0"), hex(b""), hex(b"00000000000000000")), (None, None, None));
    }

    #[test]
    fn what_is_greater_than_a_u64_is_no_number() {
        assert_eq!(decimal(b"18446744073709551615,"), Some((u64::MAX, &b","[..])));
        for wrong in ["", ",", "-1", "18446744073709551616", "99999999999999999999999999999"] {
            assert_eq!(decimal(wrong.as_bytes()), None, "{wrong}");
        }
    }

    fn expected(text: &[u8]) -> Option<(u64, &[u8])> {
        let (digits, rest) = text.split_at(text.iter().take_while(|byte| byte.is_ascii_digit()).count());
        Some((std::str::from_utf8(digits).ok()?.parse().ok()?, rest))
    }

    proptest! {
        #[test]
        fn a_number_ends_where_its_digits_end(number: u64, zeros in 0..3_usize, rest: Vec<u8>) {
            let mut text = format!("{}{number}", "0".repeat(zeros)).into_bytes();
            text.extend(rest);
            prop_assert_eq!(decimal(&text), expected(&text));
        }

        #[test]
        fn any_bytes_are_a_number_or_none(text: Vec<u8>) {
            prop_assert_eq!(decimal(&text), expected(&text));
            let _ = hex(&text);
        }
    }
}
