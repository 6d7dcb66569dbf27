use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

const SETTINGS: usize = 24;
const SERIES: usize = 6;
/// The length after which a series starts again.
const LONGEST_SERIES: usize = 150;
/// The length in bytes after which a report is sent.
const LONGEST_REPORT: usize = 600;

/// A device that stores settings by name, measures series of samples, and writes a report
/// as text.
pub(crate) struct Device {
    settings: BTreeMap<String, String>,
    series: Vec<Vec<u16>>,
    report: String,
    /// For each setting, the number of the operation that set it, or `None` if it isn't
    /// set.
    made: [Option<u32>; SETTINGS],
    /// For each series, the number of its first sample and its length.
    measured: [(u32, usize); SERIES],
    /// The number of lines of the report.
    lines: usize,
    random: u32,
}

/// Returns the name of a setting. Names and values have many different lengths.
fn name(setting: usize) -> String {
    format!("sensor/{setting}/{}", ["limit", "calibration", "unit"][setting % 3])
}

fn value(number: u32) -> String {
    format!("{number:0width$}", width = number as usize % 60)
}

fn sample(number: u32) -> u16 {
    (number.wrapping_mul(0x9E37_79B9) >> 16) as u16
}

impl Device {
    pub(crate) fn new() -> Self {
        Self {
            settings: BTreeMap::new(),
            series: (0..SERIES).map(|_| Vec::new()).collect(),
            report: String::new(),
            made: [None; SETTINGS],
            measured: [(0, 0); SERIES],
            lines: 0,
            random: 1,
        }
    }

    /// Performs a random operation.
    pub(crate) fn operate(&mut self, number: u32) {
        let (setting, series) = (self.random_below(SETTINGS), self.random_below(SERIES));
        match self.random_below(8) {
            0..3 => self.set(setting, number),
            3 => self.unset(setting),
            4 | 5 => self.measure(series, number),
            6 => self.halve(series),
            _ => self.write_line(number),
        }
    }

    fn set(&mut self, setting: usize, number: u32) {
        let before = self.settings.insert(name(setting), value(number));
        assert_eq!(before, self.made[setting].map(value), "setting {setting}, before operation {number}");
        self.made[setting] = Some(number);
    }

    fn unset(&mut self, setting: usize) {
        let removed = self.settings.remove(&name(setting));
        assert_eq!(removed, self.made[setting].take().map(value), "setting {setting}");
    }

    fn measure(&mut self, series: usize, number: u32) {
        if self.measured[series].1 > LONGEST_SERIES {
            self.check_series(series);
            self.series[series] = Vec::new();
            self.measured[series] = (number, 0);
        }
        for _ in 0..=self.random_below(16) {
            let (first, len) = &mut self.measured[series];
            self.series[series].push(sample(first.wrapping_add(*len as u32)));
            *len += 1;
        }
    }

    /// Keeps the first half of a series, in no more memory than it needs.
    fn halve(&mut self, series: usize) {
        self.measured[series].1 /= 2;
        self.series[series].truncate(self.measured[series].1);
        self.series[series].shrink_to_fit();
        self.check_series(series);
    }

    fn write_line(&mut self, number: u32) {
        if self.report.len() > LONGEST_REPORT {
            self.check_report();
            self.report = String::new();
            self.lines = 0;
        }
        let _ = writeln!(self.report, "{number}: {} settings", self.settings.len());
        self.lines += 1;
    }

    /// Checks all stored data.
    pub(crate) fn check(&self) {
        for (setting, made) in self.made.iter().enumerate() {
            assert_eq!(self.settings.get(&name(setting)), made.map(value).as_ref(), "setting {setting}");
        }
        assert_eq!(self.settings.len(), self.made.iter().flatten().count());
        for series in 0..SERIES {
            self.check_series(series);
        }
        self.check_report();
    }

    fn check_series(&self, series: usize) {
        let (first, len) = self.measured[series];
        let expected = (first..).take(len).map(sample);
        assert!(self.series[series].iter().copied().eq(expected), "series {series}: {:?}", self.series[series]);
    }

    /// Checks that the numbers of the lines ascend.
    fn check_report(&self) {
        let numbers = self.report.lines().map(|line| {
            let (number, rest) = line.split_once(": ").expect("a number and a text");
            assert!(rest.ends_with(" settings"), "{line}");
            number.parse::<u32>().expect("a number")
        });
        assert!(numbers.is_sorted_by(|one, next| one < next), "{}", self.report);
        assert_eq!(self.report.lines().count(), self.lines);
    }

    /// Marsaglia, *Xorshift RNGs*, 2003.
    fn random_below(&mut self, bound: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        self.random as usize % bound
    }
}
