use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use alloc::{format, vec};
use core::fmt;

use crate::readings::{EACH, Readings, SENSORS};

/// A statistic of readings.
trait Figure {
    fn name(&self) -> &'static str;
    fn add(&mut self, reading: i32);
    fn result(&self) -> i32;
}

struct Highest(i32);

impl Figure for Highest {
    fn name(&self) -> &'static str {
        "highest"
    }

    fn add(&mut self, reading: i32) {
        self.0 = self.0.max(reading);
    }

    fn result(&self) -> i32 {
        self.0
    }
}

struct Mean {
    sum: i32,
    count: i32,
}

impl Figure for Mean {
    fn name(&self) -> &'static str {
        "mean"
    }

    fn add(&mut self, reading: i32) {
        self.sum += reading;
        self.count += 1;
    }

    fn result(&self) -> i32 {
        self.sum / self.count.max(1)
    }
}

/// The median, for which all readings are kept.
struct Median(Vec<i32>);

impl Figure for Median {
    fn name(&self) -> &'static str {
        "median"
    }

    fn add(&mut self, reading: i32) {
        let place = self.0.partition_point(|&other| other < reading);
        self.0.insert(place, reading);
    }

    fn result(&self) -> i32 {
        self.0.get(self.0.len() / 2).copied().unwrap_or_default()
    }
}

fn figures() -> [Box<dyn Figure>; 3] {
    [Box::new(Highest(i32::MIN)), Box::new(Mean { sum: 0, count: 0 }), Box::new(Median(vec![]))]
}

/// A summary of a round.
pub(crate) struct Report {
    round: u32,
    /// For each sensor, its statistics by name, in tenths of a degree.
    figures: BTreeMap<String, Vec<(&'static str, i32)>>,
    text: Box<str>,
}

impl Report {
    /// Parses the text that the sensors sent.
    pub(crate) fn new(round: u32, sent: &str) -> Self {
        let mut readings: BTreeMap<String, Vec<i32>> = BTreeMap::new();
        for line in sent.lines() {
            let (sensor, reading) =
                parse(line).unwrap_or_else(|| panic!("a line of round {round} is damaged: {line:?}"));
            readings.entry(sensor.to_owned()).or_default().push(reading);
        }
        let mut report = Self { round, figures: BTreeMap::new(), text: Box::default() };
        let mut lines = vec![format!("round {round}")];
        for (sensor, readings) in readings {
            assert_eq!(readings.len(), EACH, "readings of {sensor} in round {round}");
            let mut all = figures();
            for figure in &mut all {
                for &reading in &readings {
                    figure.add(reading);
                }
            }
            let results: Vec<_> = all.iter().map(|figure| (figure.name(), figure.result())).collect();
            let texts: Vec<_> =
                results.iter().map(|(name, result)| name.to_string() + &format!(" {result:+04}")).collect();
            lines.push(sensor.clone() + ": " + &texts.join(", "));
            report.figures.insert(sensor, results);
        }
        report.text = lines.join("\n").into();
        report
    }

    pub(crate) fn round(&self) -> u32 {
        self.round
    }

    /// Compares the report with the readings of its round.
    pub(crate) fn check(&self, readings: &Readings) {
        let round = self.round;
        assert!(self.figures.keys().eq(SENSORS), "the sensors of round {round}: {:?}", self.figures.keys());
        for (index, figures) in self.figures.values().enumerate() {
            let mut expected = *readings.of_sensor(index);
            expected.sort_unstable();
            let (sum, count) = expected.iter().fold((0, 0), |(sum, count), reading| (sum + reading, count + 1));
            let expected = [("highest", expected[EACH - 1]), ("mean", sum / count), ("median", expected[EACH / 2])];
            assert_eq!(figures[..], expected, "{} in round {round}", SENSORS[index]);
        }
        assert_eq!(self.text.lines().count(), 1 + SENSORS.len(), "the text of round {round}: {}", self.text);
        for (line, (sensor, figures)) in self.text.lines().skip(1).zip(&self.figures) {
            let numbers = line.split([' ', ',']).filter_map(|word| word.parse::<i32>().ok());
            assert!(line.starts_with(sensor.as_str()), "round {round}: {line}");
            assert!(numbers.eq(figures.iter().map(|&(_, result)| result)), "round {round}: {line}");
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Parses a line such as `hall: -02.5 C` into the sensor and its reading in tenths of a
/// degree.
fn parse(line: &str) -> Option<(&str, i32)> {
    let (sensor, reading) = line.split_once(": ")?;
    let (degrees, tenths) = reading.strip_suffix(" C")?.split_once('.')?;
    Some((sensor, (degrees.to_owned() + tenths).parse().ok()?))
}
