//! CRC-32, as ISO-HDLC has it.
//!
//! A program with an operating system has room for tables of 16 KiB, by which it is fast. On bare metal it
//! is counted bit by bit, without a table.

#[cfg(not(target_os = "none"))]
mod by {
    use crc32fast::Hasher;

    pub(in crate::machine) fn crc32(parts: [&[u8]; 3]) -> u32 {
        let mut sum = Hasher::new();
        parts.iter().for_each(|part| sum.update(part));
        sum.finalize()
    }
}

#[cfg(target_os = "none")]
mod by {
    use crc::{CRC_32_ISO_HDLC, Crc, NoTable};

    const CRC32: Crc<u32, NoTable> = Crc::<u32, NoTable>::new(&CRC_32_ISO_HDLC);

    pub(in crate::machine) fn crc32(parts: [&[u8]; 3]) -> u32 {
        let mut sum = CRC32.digest();
        parts.iter().for_each(|part| sum.update(part));
        sum.finalize()
    }

    // What the test below says of the other one.
    const _: () = assert!(CRC32.checksum(b"123456789") == 0xCBF4_3926);
}

pub(in crate::machine) use by::crc32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_crc_that_bare_metal_counts_too() {
        assert_eq!(crc32([b"1234", b"", b"56789"]), 0xCBF4_3926);
    }
}
