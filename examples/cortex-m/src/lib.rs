//! What the two programs here share: a heap, a time of their own, the line to an L2, and how they report.

#![no_std]

extern crate alloc;

pub mod board;
pub mod line;
pub mod reading;
