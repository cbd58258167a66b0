//! How to use what needs more words than one method has room for.

// Those that use a runtime crate are tested there, in its `lib.rs`.
#[cfg_attr(not(doctest), doc = include_str!("guide/coming_from_moka.md"))]
pub mod coming_from_moka {}
#[cfg_attr(not(doctest), doc = include_str!("guide/macros.md"))]
pub mod macros {}
#[doc = include_str!("guide/one_thread.md")]
pub mod one_thread {}
#[cfg_attr(not(doctest), doc = include_str!("guide/settings.md"))]
pub mod settings {}
#[cfg_attr(not(doctest), doc = include_str!("guide/sizing.md"))]
pub mod sizing {}
#[doc = include_str!("guide/tags.md")]
pub mod tags {}
#[cfg_attr(not(doctest), doc = include_str!("guide/testing.md"))]
pub mod testing {}

#[doc = include_str!("guide/threads.md")]
pub mod threads {}
