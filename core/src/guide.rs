//! How to use what needs more words than one method has room for.

// Those that use a runtime crate are tested there, in its `lib.rs`.
#[cfg_attr(not(doctest), doc = include_str!("guide/macros.md"))]
pub mod macros {}
#[doc = include_str!("guide/one_thread.md")]
pub mod one_thread {}
#[cfg_attr(not(doctest), doc = include_str!("guide/settings.md"))]
pub mod settings {}
#[doc = include_str!("guide/tags.md")]
pub mod tags {}

#[doc = include_str!("guide/threads.md")]
pub mod threads {}
