use alloc::string::String;
use core::fmt::Write;

pub(crate) const SENSORS: [&str; 12] = [
    "attic",
    "boiler",
    "cellar",
    "garage",
    "garden",
    "greenhouse",
    "hall",
    "kitchen",
    "living room",
    "porch",
    "server room in the basement",
    "workshop",
];
/// The number of readings of each sensor in a round.
pub(crate) const EACH: usize = 20;

/// The readings of a round in tenths of a degree, by sensor, oldest first. They are
/// derived from the number of the round, so a report can be checked without an allocated
/// copy.
pub(crate) struct Readings([[i32; EACH]; SENSORS.len()]);

impl Readings {
    pub(crate) fn of_round(round: u32) -> Self {
        let mut state = round.wrapping_mul(0x9E37_79B9) | 1;
        Self([(); SENSORS.len()].map(|()| [(); EACH].map(|()| (random(&mut state) % 800).cast_signed() - 300)))
    }

    pub(crate) fn of_sensor(&self, sensor: usize) -> &[i32; EACH] {
        &self.0[sensor]
    }

    /// Returns the text that the sensors send: a line for each reading, from each sensor
    /// in turn.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for index in 0..EACH {
            for (sensor, readings) in SENSORS.iter().zip(&self.0) {
                let tenths = readings[index];
                let sign = if tenths < 0 { '-' } else { '+' };
                let (degrees, rest) = (tenths.abs() / 10, tenths.abs() % 10);
                let _ = writeln!(text, "{sensor}: {sign}{degrees:02}.{rest} C");
            }
        }
        text
    }
}

/// Marsaglia, *Xorshift RNGs*, 2003.
fn random(state: &mut u32) -> u32 {
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    *state
}
