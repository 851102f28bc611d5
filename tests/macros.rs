//! What `#[remote_service]` accepts, and what it says about the rest.
//!
//! After a change of a message, `TRYBUILD=overwrite cargo test --test macros`
//! writes the expected output anew; read the difference before committing it.

#[test]
fn all_mistakes_of_a_trait_are_reported_at_once_and_good_traits_compile() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/macros/fail_*.rs");
    cases.pass("tests/macros/pass_*.rs");
}
