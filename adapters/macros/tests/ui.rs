//! What the compiler says of mistakes. Each points at what the user wrote.
//!
//! They stand here and not among the suites, since here few crates are built for them.

/// `TRYBUILD=overwrite` writes the expected texts anew. Nearly all of them are the attributes' own, which do
/// not vary with the compiler.
#[test]
fn mistakes_are_shown_where_they_are() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/*.rs");
}
