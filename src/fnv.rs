//! A hash that is the same in every version of this crate and of Rust, unlike those of `std`: for
//! what processes that were built apart must agree on.

/// FNV-1a of 64 bits. Of two texts of the same length that differ in one byte, the hashes differ:
/// each step is a bijection. Against somebody who means harm it is no help.
pub(crate) fn fnv_1a(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_one_that_its_authors_describe() {
        // Their vectors: "" and "foobar".
        assert_eq!(fnv_1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv_1a(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
