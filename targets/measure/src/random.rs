/// Marsaglia, *Xorshift RNGs*, 2003.
pub(crate) fn random(state: &mut u32) -> u32 {
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    *state
}
