//! Sets of regular expressions that `regex` and `regex-lite` compile and use.

use fastrand::Rng;

use super::text::sentence;
use crate::random::below;

/// The patterns from which expressions are chosen.
const PATTERNS: [&str; 12] = [
    r"[a-z]{2,5}(ing|ed|er|on)",
    r"(?i)([a-z]+)\s+x([a-z]*)",
    r"[0-9]{4}-[0-9]{2}-(?<day>[0-9]{2})",
    r"[a-z]+@[a-z]+\.(com|org|net)",
    r"(a|e|i|o|u){2,}",
    r"^([a-z]+)(.*)\s([a-z]+)$",
    r"GET /[a-z/]*(\?[a-z=&]*)? HTTP",
    r"temp=(-?[0-9]+)(\.[0-9]+)?",
    r"(foo|bar|baz|qux)+",
    r"([0-9]{1,3}\.){3}[0-9]{1,3}",
    r"\$GP[A-Z]{3},[0-9.]*,",
    r"[^,]*,[^,]*,[^,]*",
];

/// Compiles expressions one after the other, of which `most` are live at the same time.
/// After each, all live expressions are matched against four lines. Then a random one is
/// dropped.
fn set<R>(
    random: &mut Rng,
    most: usize,
    compile: impl Fn(&str) -> R + 'static,
    count: impl Fn(&R, &str) -> usize + 'static,
) -> Box<dyn Fn()> {
    let lines: Vec<_> = (0..20).map(|_| sentence(random, 8)).collect();
    let seed = random.u64(..);
    Box::new(move || {
        let random = &mut Rng::with_seed(seed);
        let mut set = Vec::new();
        for _ in 0..8 * most {
            set.push(compile(PATTERNS[below(random, PATTERNS.len())]));
            for _ in 0..4 {
                let line = &lines[below(random, lines.len())];
                let found: Vec<_> = set.iter().map(|pattern| count(pattern, line)).collect();
                assert_eq!(found.len(), set.len());
            }
            if set.len() >= most {
                set.swap_remove(below(random, set.len()));
            }
        }
    })
}

/// Two expressions of `regex`, without its lazy automaton. The automaton needs more
/// memory than a small program has, and it frees its memory in the order of a hash table,
/// which differs from run to run.
pub(super) fn patterns(random: &mut Rng) -> Box<dyn Fn()> {
    let compile = |pattern: &str| {
        let mut builder = regex::bytes::RegexBuilder::new(pattern);
        builder.unicode(false).dfa_size_limit(0).build().expect("an expression")
    };
    set(random, 2, compile, |pattern, line| {
        let found: Vec<_> = pattern.captures_iter(line.as_bytes()).collect();
        found.len()
    })
}

/// Four expressions of `regex-lite`.
pub(super) fn small_patterns(random: &mut Rng) -> Box<dyn Fn()> {
    let compile = |pattern: &str| regex_lite::Regex::new(pattern).expect("an expression");
    set(random, 4, compile, |pattern, line| {
        let found: Vec<_> = pattern.captures_iter(line).collect();
        found.len()
    })
}
