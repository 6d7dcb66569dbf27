//! Maps of the standard library.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, DefaultHasher};

use fastrand::Rng;

use super::text::{sentence_up_to, word};
use crate::random::{below, one_in};

/// Up to `count` settings with names and values, which are set, changed and removed.
fn settings_of(random: &mut Rng, count: usize, steps: usize) -> Box<dyn Fn()> {
    let seed = random.u64(..);
    Box::new(move || {
        let random = &mut Rng::with_seed(seed);
        let mut settings = BTreeMap::new();
        for _ in 0..steps {
            let name =
                format!("{}.{}", ["net", "display", "sensor", "log"][below(random, 4)], below(random, 2 * count));
            match below(random, 5) {
                0 => drop(settings.remove(&name)),
                1 => {
                    if let Some((_, value)) = settings.range_mut(name..).next() {
                        let value: &mut String = value;
                        value.push(',');
                        value.push_str(&word(random));
                    }
                }
                _ if settings.len() < count => drop(settings.insert(name, sentence_up_to(random, 8))),
                _ => drop(settings.pop_first()),
            }
            if one_in(random, 500) {
                let all: Vec<_> = settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
                assert!(all.join("\n").len() < 1 << 20);
            }
        }
    })
}

/// About 300 settings.
pub(super) fn settings(random: &mut Rng) -> Box<dyn Fn()> {
    settings_of(random, 300, 4000)
}

/// About 40 settings.
pub(super) fn small_settings(random: &mut Rng) -> Box<dyn Fn()> {
    settings_of(random, 40, 3000)
}

/// Lists of numbers with a word as their key. A list is dropped when it is long.
pub(super) fn hash_table(random: &mut Rng) -> Box<dyn Fn()> {
    let seed = random.u64(..);
    Box::new(move || {
        let random = &mut Rng::with_seed(seed);
        let mut places: HashMap<String, Vec<u32>, BuildHasherDefault<DefaultHasher>> = HashMap::default();
        for place in 0..6000 {
            let word = format!("word {}", below(random, 40) * below(random, 40));
            let list = places.entry(word.clone()).or_default();
            list.push(place);
            if list.len() > 40 || one_in(random, 30) {
                places.remove(&word);
            }
        }
    })
}
