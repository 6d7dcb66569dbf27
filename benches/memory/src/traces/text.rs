//! Text for the recorded programs.

use fastrand::Rng;

use crate::random::{below, between};

/// Returns a word of 1 to 10 letters.
pub(super) fn word(random: &mut Rng) -> String {
    (0..between(random, 1..=10)).map(|_| random.lowercase()).collect()
}

/// Returns a sentence of `words` words.
pub(super) fn sentence(random: &mut Rng, words: usize) -> String {
    (0..words).map(|_| word(random)).collect::<Vec<_>>().join(" ")
}

/// Returns a sentence of up to `words` words.
pub(super) fn sentence_up_to(random: &mut Rng, words: usize) -> String {
    let words = below(random, words + 1);
    sentence(random, words)
}
