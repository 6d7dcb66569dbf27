//! Small files of Rust source that `syn` parses.

use std::fmt::Write as _;

use fastrand::Rng;

use super::text::word;
use crate::random::{below, between};

/// Returns a file with `types` types, each with a method.
fn file(random: &mut Rng, types: usize) -> String {
    let mut source = String::new();
    for number in 0..types {
        let [function, kind, field] = [0; 3].map(|_| format!("{}_{number}", word(random)));
        let _ = write!(
            source,
            "/// {kind}\n#[derive(Debug)] pub struct T{kind}<'a> {{ pub n{field}: Option<&'a [u8]> }}
            impl T{kind}<'_> {{ fn f{function}(&self, n: usize) -> Result<u8, String> {{
                let Some(v{field}) = self.n{field} else {{ return Err(format!(\"no {{n}}\")) }};
                for index in 0..n {{ if index * 3 + {number} < v{field}.len() {{ continue; }} }}
                v{field}.first().copied().ok_or_else(|| n.to_string())
            }} }}\n",
        );
        if below(random, 3) == 0 {
            let _ = writeln!(source, "const N{}: [u32; 3] = [1, 2, {number} + 4];", word(random));
        }
    }
    source
}

/// Four files of one to three types, one after the other.
pub(super) fn files(random: &mut Rng) -> Box<dyn Fn()> {
    let files: Vec<_> = (0..4)
        .map(|_| {
            let types = between(random, 1..=3);
            file(random, types)
        })
        .collect();
    Box::new(move || {
        for file in &files {
            assert!(!syn::parse_file(file).expect("Rust source").items.is_empty());
        }
    })
}
