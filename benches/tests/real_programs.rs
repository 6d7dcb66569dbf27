//! Tests that programs have the same output with hpalloc's heaps as their global
//! allocator as with the system's.

use std::process::Command;

/// Runs a program in its own process, and returns the digest of its output.
fn digest(program: &str, allocator: Option<&str>) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_speed"));
    command.args(["program", program]).env_remove("SPEED_ALLOCATOR");
    if let Some(name) = allocator {
        command.env("SPEED_ALLOCATOR", name);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_whitespace().next().expect("a digest").to_owned()
}

fn is_the_same(program: &str) {
    let expected = digest(program, None);
    for allocator in ["hpalloc-heap", "hpalloc-classes"] {
        assert_eq!(digest(program, Some(allocator)), expected, "{allocator}");
    }
}

#[test]
fn a_json_document_is_printed_the_same() {
    is_the_same("json");
}

#[test]
fn regular_expressions_find_the_same() {
    is_the_same("regex");
}

#[test]
fn a_tree_of_strings_is_the_same() {
    is_the_same("btree");
}

#[test]
fn a_hash_table_of_vectors_is_the_same() {
    is_the_same("hash-map");
}

#[test]
fn the_syntax_of_a_source_file_is_the_same() {
    is_the_same("source");
}
