//! Documents that `serde_json` parses, and that are changed and printed.

use std::collections::VecDeque;
use std::fmt::Write as _;

use fastrand::Rng;
use serde_json::{Value, json};

use super::text::{sentence_up_to, word};
use crate::random::{below, between};

/// Returns a JSON document of about `bytes` bytes: objects with texts, numbers and lists.
fn document(random: &mut Rng, bytes: usize) -> String {
    let mut text = String::from("[");
    while text.len() < bytes {
        let comma = if text.len() > 1 { "," } else { "" };
        let tags: Vec<_> = (0..below(random, 5)).map(|_| word(random)).collect();
        let samples: Vec<_> = (0..below(random, 9)).map(|_| below(random, 4096)).collect();
        let _ = write!(
            text,
            r#"{comma}{{"id":{},"name":"{}","ratio":{}.5,"on":{},"tags":{tags:?},"samples":{samples:?},"note":"{}"}}"#,
            below(random, 100_000),
            word(random),
            below(random, 100),
            random.bool(),
            sentence_up_to(random, 12),
        );
    }
    text.push(']');
    text
}

/// Changes every object, and removes one from about every other document.
fn change(random: &mut Rng, value: &mut Value) {
    let Some(objects) = value.as_array_mut() else { return };
    for object in &mut *objects {
        match below(random, 4) {
            0 => object["note"] = Value::String(sentence_up_to(random, 20)),
            1 => object["position"] = json!({ "x": below(random, 90), "y": below(random, 180), "unit": "degree" }),
            2 => drop(object.as_object_mut().and_then(|object| object.remove("samples"))),
            _ => {
                if let Some(tags) = object["tags"].as_array_mut() {
                    tags.push(word(random).into());
                }
            }
        }
    }
    if random.bool() && !objects.is_empty() {
        objects.remove(below(random, objects.len()));
    }
}

/// Documents of 1 to 8 KiB, one after the other. The last two answers are kept.
pub(super) fn documents(random: &mut Rng) -> Box<dyn Fn()> {
    let documents: Vec<_> = (0..24)
        .map(|_| {
            let bytes = between(random, 1024..=7800);
            document(random, bytes)
        })
        .collect();
    let seed = random.u64(..);
    Box::new(move || {
        let random = &mut Rng::with_seed(seed);
        let mut answers = VecDeque::new();
        for document in &documents {
            let mut value: Value = serde_json::from_str(document).expect("a JSON document");
            change(random, &mut value);
            answers.push_back(if random.bool() { format!("{value:#}") } else { value.to_string() });
            if answers.len() > 2 {
                answers.pop_front();
            }
        }
    })
}

/// Messages of a few hundred bytes. Sixteen of them are kept as values.
pub(super) fn small_documents(random: &mut Rng) -> Box<dyn Fn()> {
    let documents: Vec<_> = (0..250)
        .map(|_| {
            let bytes = between(random, 10..=400);
            document(random, bytes)
        })
        .collect();
    let seed = random.u64(..);
    Box::new(move || {
        let random = &mut Rng::with_seed(seed);
        let mut kept = VecDeque::new();
        for document in &documents {
            let mut value: Value = serde_json::from_str(document).expect("a JSON document");
            change(random, &mut value);
            assert!(!value.to_string().is_empty());
            kept.push_back(value);
            if kept.len() > 16 {
                let place = below(random, 4);
                kept.remove(place);
            }
        }
    })
}
