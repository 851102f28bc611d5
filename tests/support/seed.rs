//! Where a test's chance begins.

/// proptest's own variable, so that it sets all chance in the tests.
const VARIABLE: &str = "PROPTEST_RNG_SEED";

/// The seed of the environment, or a new one. It is printed, so that a test that failed can be run
/// again as it was.
pub fn seed() -> u64 {
    let seed = match std::env::var(VARIABLE) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|error| panic!("{VARIABLE} is '{text}', no number: {error}")),
        Err(_) => rand::random(),
    };
    println!("{VARIABLE}={seed}");
    seed
}
