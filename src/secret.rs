//! Secrets: never printed, compared in constant time, made of the system's randomness.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroize;

/// A text that must not reach a log: its `Debug` form hides it, and dropping it wipes it.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Takes charge of `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself. Each call of this is a place to look at in a review.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Compares without telling by its duration where the first difference is.
    pub fn matches(&self, other: &str) -> bool {
        equal(self.0.as_bytes(), other.as_bytes())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Compares two byte strings in a time that depends on their lengths only.
pub fn equal(left: &[u8], right: &[u8]) -> bool {
    left.ct_eq(right).into()
}

/// SHA-256 over `parts`, each followed by a zero byte, so that no two lists of parts run together.
///
/// Keys and tokens are random texts of 128 bits and more, so one fast hash is enough.
pub fn hash(parts: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hash.finalize().into()
}

/// `N` random bytes of the system's, not of a generator in the process: a virtual machine that is put
/// back to a former state would go through the same secrets again.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system gives random bytes once it has started");
    bytes
}

/// `N` random bytes as base64url without padding; never begins with `-`, which command lines
/// take for an option.
pub fn random_base64url<const N: usize>() -> String {
    loop {
        let text = URL_SAFE_NO_PAD.encode(random_bytes::<N>());
        if !text.starts_with('-') {
            return text;
        }
    }
}

/// Letters and digits.
pub const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// `length` random characters of [`ALPHABET`], each equally likely.
pub fn random_alphanumeric(length: usize) -> String {
    let mut text = String::with_capacity(length);
    while text.len() < length {
        for byte in random_bytes::<32>() {
            // Six bits give 64 values; the two beyond the alphabet are thrown away, not folded.
            if let Some(&letter) = ALPHABET.get(usize::from(byte & 63))
                && text.len() < length
            {
                text.push(char::from(letter));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_show_in_debug_output() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(…)");
    }

    #[test]
    fn parts_of_a_hash_do_not_run_together() {
        assert_ne!(hash(&["ab", "c"]), hash(&["a", "bc"]));
    }

    #[test]
    fn random_texts_keep_to_their_alphabets() {
        let token = random_alphanumeric(24);
        assert_eq!(token.len(), 24);
        assert!(token.chars().all(|c| c.is_ascii_alphanumeric()));
        assert_eq!(random_base64url::<6>().len(), 8);
        assert_ne!(random_base64url::<24>(), random_base64url::<24>());
    }
}
