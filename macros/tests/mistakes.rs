//! What `#[remote_service]` says of traits that cannot be services: all mistakes of a trait at once.
//!
//! After a change of a message, `TRYBUILD=overwrite cargo test -p osgi-remote-macros` writes the
//! expected output anew; read the difference before committing it.
//!
//! It stands beside the macro and not beside the library, because trybuild checks each dependency of
//! its package once more, and the library's tests have many.

#[test]
fn all_mistakes_of_a_trait_are_reported_at_once() {
    trybuild::TestCases::new().compile_fail("tests/mistakes/*.rs");
}
