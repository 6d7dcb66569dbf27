//! Programs that allocate. Each returns a digest of its whole output, which must be the
//! same with every allocator.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::hash::{BuildHasherDefault, DefaultHasher, Hash, Hasher};

use quote::ToTokens;
use regex::{Regex, RegexSet};
use serde_json::Value;

use crate::effort::Effort;

/// A program with its input, which returns the digest of its output.
pub(crate) type Prepared = Box<dyn Fn() -> u64>;

/// Measures a program. Returns the milliseconds of a run, and the digest.
#[allow(clippy::cast_precision_loss, reason = "a digest has 52 bits")]
pub(crate) fn time(prepare: fn() -> Prepared, effort: Effort) -> Vec<f64> {
    let run = prepare();
    let digest = run();
    let nanoseconds = effort.time(1, || assert_eq!(run(), digest, "each run has the same output"));
    vec![nanoseconds / 1e6, digest as f64]
}

/// Hashes to 52 bits, which a figure of type `f64` holds exactly.
fn digest(of: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish() >> 12
}

/// Draws a word of 1 to 12 letters. Some words are drawn more often than others.
fn word(random: &mut fastrand::Rng) -> String {
    let numbers = 1 << random.u32(3..14);
    let mut letters = fastrand::Rng::with_seed(random.u64(..numbers));
    (0..letters.usize(1..=12)).map(|_| letters.lowercase()).collect()
}

fn sentence(random: &mut fastrand::Rng, words: usize) -> String {
    let words: Vec<_> = (0..words).map(|_| word(random)).collect();
    words.join(" ")
}

/// Parses a JSON document of 2 MB, and prints it with indentation.
pub(crate) fn json() -> Prepared {
    let random = &mut fastrand::Rng::with_seed(1);
    let mut document = String::from("[");
    for id in 0..4000 {
        let (name, text) = (word(random), sentence(random, 40));
        let scores: Vec<_> = (0..random.usize(..8)).map(|_| random.u32(..1000)).collect();
        let tags: Vec<_> = (0..random.usize(..6)).map(|_| word(random)).collect();
        let comma = if id > 0 { "," } else { "" };
        let _ = write!(
            document,
            r#"{comma}{{"id":{id},"name":{name:?},"ratio":{}.5e-3,"active":{},"parent":null,"scores":{scores:?},"#,
            random.u16(..),
            random.bool(),
        );
        let _ =
            write!(document, r#""details":{{"tags":{tags:?},"text":"{text}\n","at":[{},{}]}}}}"#, id % 90, id % 180);
    }
    document.push(']');
    Box::new(move || {
        let value: Value = serde_json::from_str(&document).expect("a JSON document");
        digest(format!("{value:#}"))
    })
}

/// Compiles regular expressions, and searches 2000 lines of text for them.
pub(crate) fn regex() -> Prepared {
    const PATTERNS: [&str; 6] = [
        r"\b([a-z]{2,5})(ing|ed|er|on)\b",
        r"(?i)\b(\w+)\s+(\w+)\s+x(\w*)\b",
        r"[0-9]{4}-[0-9]{2}-(?<day>[0-9]{2})",
        r"\b[a-z]+@[a-z]+\.(com|org|net)\b",
        r"(a|e|i|o|u){2,}",
        r"^(\w+)(.*)\s(\w+)$",
    ];
    let random = &mut fastrand::Rng::with_seed(2);
    let lines: Vec<_> = (0..2000)
        .map(|line| {
            let words = random.usize(1..16);
            format!(
                "{} 20{:02}-{:02}-11 {}@{}.org",
                sentence(random, words),
                line % 100,
                line % 12,
                word(random),
                word(random)
            )
        })
        .collect();
    Box::new(move || {
        let set = RegexSet::new(PATTERNS).expect("patterns");
        let each = PATTERNS.map(|pattern| Regex::new(pattern).expect("a pattern"));
        let mut found = Vec::new();
        for line in &lines {
            for pattern in set.matches(line) {
                let captures = each[pattern].captures(line).expect("a match");
                found.push(captures.iter().flatten().map(|group| group.as_str().to_owned()).collect::<Vec<_>>());
                found.push(vec![each[pattern].replace_all(line, "<$1>").into_owned()]);
            }
        }
        digest(found)
    })
}

/// Inserts strings in a B-tree, removes them, and changes the one that follows a key.
pub(crate) fn btree() -> Prepared {
    Box::new(|| {
        let random = &mut fastrand::Rng::with_seed(3);
        let mut tree = BTreeMap::new();
        for step in 0..60_000 {
            let key = format!("{}/{}", word(random), random.u8(..8));
            match random.u8(..4) {
                0 => drop(tree.remove(&key)),
                1 => {
                    if let Some((_, value)) = tree.range_mut(key..).next() {
                        *value = format!("{value}+{step}");
                    }
                }
                _ => drop(tree.insert(key, sentence(random, step % 12))),
            }
        }
        digest(tree)
    })
}

/// Lists the places of each word of a text, in a hash table of growing vectors. Long
/// vectors are dropped.
pub(crate) fn hash_map() -> Prepared {
    let random = &mut fastrand::Rng::with_seed(4);
    let words: Vec<_> = (0..100_000).map(|_| word(random)).collect();
    Box::new(move || {
        let mut places: HashMap<String, Vec<usize>, BuildHasherDefault<DefaultHasher>> = HashMap::default();
        let mut dropped = Vec::new();
        for (place, word) in words.iter().enumerate() {
            places.entry(word.clone()).or_default().push(place);
            if place % 16 == 0 && places[word].len() > 64 {
                dropped.extend(places.remove_entry(word));
                dropped.truncate(100);
            }
        }
        let mut all: Vec<_> = places.into_iter().collect();
        all.sort_unstable();
        digest((all, dropped))
    })
}

/// Parses Rust source into a syntax tree, and prints the tree.
pub(crate) fn source() -> Prepared {
    let random = &mut fastrand::Rng::with_seed(5);
    let mut source = String::new();
    for number in 1..=60 {
        let mut name = || format!("{}_{number}", word(random));
        let (function, kind, a, b) = (name(), name(), name(), name());
        let _ = write!(
            source,
            "/// {kind}\n#[derive(Clone, Debug)] pub struct T{kind}<'a, T: Copy> {{ pub {a}: Option<&'a [T]>, n{b}: Vec<u8> }}
            impl<T: Copy> T{kind}<'_, T> {{
                fn {function}(&self, n: usize) -> Result<T, String> {{
                    let Some({a}) = self.{a} else {{ return Err(format!(\"no {{n}} {a}\")) }};
                    for index in (0..n).rev().filter(|index| index % {number} == 0) {{
                        if index * 3 + 4 < self.n{b}.len() || self.n{b}[index] == b'x' {{ continue; }}
                        match {a}.get(index + 1) {{ Some(&found) => return Ok(found), None => break }}
                    }}
                    {a}.first().copied().ok_or_else(|| {{ let n{b} = 2 * n; n{b}.to_string() }})
                }}
            }}\n"
        );
    }
    Box::new(move || {
        let file = syn::parse_file(&source).expect("Rust source");
        digest(file.to_token_stream().to_string())
    })
}
