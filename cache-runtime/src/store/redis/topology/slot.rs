//! Which of a cluster's slots a name belongs to.

pub(in crate::store::redis) const SLOTS: u16 = 16_384;

/// The slot of a name: CRC16 of what stands between its first `{` and the `}` after it, if that is
/// something, else of the whole name (Redis Cluster specification, "Hash tags").
pub(in crate::store::redis) fn slot_of(name: &str) -> u16 {
    crc16(tag_of(name).as_bytes()) % SLOTS
}

fn tag_of(name: &str) -> &str {
    let Some((_, rest)) = name.split_once('{') else { return name };
    match rest.split_once('}') {
        Some((tag, _)) if !tag.is_empty() => tag,
        _ => name,
    }
}

/// CRC16 as XMODEM has it: polynomial 0x1021, beginning with 0 (the same specification, appendix A).
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| (crc << 8) ^ TABLE[usize::from((crc >> 8) as u8 ^ byte)])
}

const TABLE: [u16; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut crc = (index as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Namespace, redis::names::Names};

    /// As `CLUSTER KEYSLOT` answers.
    #[test]
    fn slots_are_those_of_the_server() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!((slot_of("foo"), slot_of("bar"), slot_of("")), (12_182, 5_061, 0));
        assert_eq!(slot_of("a{foo}b{bar}"), slot_of("foo"));
        assert_eq!(slot_of("a{}{foo}"), crc16(b"a{}{foo}") % SLOTS, "an empty tag is none");
        assert_eq!(slot_of("a{foo"), crc16(b"a{foo") % SLOTS);
    }

    #[test]
    fn what_scripts_touch_together_is_in_one_slot() {
        let space = Namespace::new("shop/{eu}");
        let names = Names::of(&space);
        assert_eq!(slot_of(&names.value("user:1")), slot_of(&names.lease("user:1")));
        for name in [names.clock(), names.tag("org:1"), names.run()] {
            assert_eq!(slot_of(&name), slot_of(&names.nonce()), "{name}");
        }
    }
}
