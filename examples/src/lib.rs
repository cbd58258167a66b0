//! Programs that use jetcache; they are in `src/bin`. This library is where the README is tested.

#![cfg_attr(doctest, doc = include_str!("../../README.md"))]
