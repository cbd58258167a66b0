//! What the numbers in an entry's header stand for.

/// The codec of this number, if it is one of this project's.
#[must_use]
pub const fn codec(id: u8) -> Option<&'static str> {
    match id {
        1 => Some("MessagePack"),
        2 => Some("Json"),
        3 => Some("Postcard"),
        4 => Some("Raw"),
        _ => None,
    }
}

/// The compression of this number, if it is one of this project's.
#[must_use]
pub const fn compression(id: u8) -> Option<&'static str> {
    match id {
        1 => Some("LZ4"),
        2 => Some("Zstandard"),
        3 => Some("S2"),
        _ => None,
    }
}

/// The feature of the runtime crates that brings this compression.
pub(crate) const fn feature(compression: u8) -> Option<&'static str> {
    match compression {
        1 => Some("lz4"),
        2 => Some("zstd"),
        3 => Some("s2"),
        _ => None,
    }
}

/// From here on the numbers are users' own.
pub const FIRST_OF_USERS: u8 = 128;
