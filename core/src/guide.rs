//! How to use what needs more words than one method has room for.

#[doc = include_str!("guide/one_thread.md")]
pub mod one_thread {}
#[doc = include_str!("guide/tags.md")]
pub mod tags {}

#[doc = include_str!("guide/threads.md")]
pub mod threads {}
