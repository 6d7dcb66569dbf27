//! Text for the recorded programs.

use fastrand::Rng;

use crate::random::{below, between};

/// A word of 1 to 10 letters.
pub(super) fn word(random: &mut Rng) -> String {
    (0..between(random, 1..=10)).map(|_| random.lowercase()).collect()
}

/// So many words.
pub(super) fn sentence(random: &mut Rng, words: usize) -> String {
    (0..words).map(|_| word(random)).collect::<Vec<_>>().join(" ")
}

/// A sentence of up to so many words.
pub(super) fn sentence_up_to(random: &mut Rng, words: usize) -> String {
    let words = below(random, words + 1);
    sentence(random, words)
}
