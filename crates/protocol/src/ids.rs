//! Identifiers: a prefix that says what it names, and 128 random bits.

use std::fmt::Write;

/// `n` random bytes from the operating system, in hexadecimal.
///
/// When the operating system has no randomness to give (which Linux never reports after boot), the
/// process is not fit to serve: ids would collide and keys be guessed, so it aborts.
#[must_use]
pub fn random_hex(n: usize) -> String {
    let mut bytes = vec![0_u8; n];
    if getrandom::fill(&mut bytes).is_err() {
        std::process::abort();
    }
    let mut text = String::with_capacity(2 * n);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// A new id such as `resp_0f…`: `prefix`, an underscore, 32 hexadecimal digits.
#[must_use]
pub fn new_id(prefix: &str) -> String {
    let mut id = String::with_capacity(prefix.len() + 33);
    id.push_str(prefix);
    id.push('_');
    id.push_str(&random_hex(16));
    id
}

/// Like [`new_id`], but ids made later sort later: 12 digits of milliseconds since 1970, then 20
/// random ones. Databases keep such ids side by side, which halves what writing them costs.
#[must_use]
pub fn new_ordered_id(prefix: &str, now_ms: i64) -> String {
    format!("{prefix}_{:012x}{}", now_ms.max(0), random_hex(10))
}
