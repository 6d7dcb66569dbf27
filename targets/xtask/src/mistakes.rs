use std::process::Command;
use std::{env, fs, process};

use crate::Result;

/// Common first mistakes: the features, the code, and what the compiler's message must
/// contain.
const MISTAKES: [(&str, &str, &str); 15] = [
    (
        "static-buffer",
        "static MEMORY: hpalloc::StaticBuffer<4> = hpalloc::StaticBuffer::new();",
        "declare the buffer as `hpalloc::static_buffer! { static NAME: StaticBuffer<PAGES>; }`",
    ),
    ("", "fn main() { let _ = hpalloc::Arena::new(4096); }", "needs hpalloc's feature `mmap`"),
    (
        "",
        "hpalloc::static_pool! { static POOL: Pool<u32, 4>; }",
        "turn on hpalloc's feature `critical-section`, or write `Pool<TYPE, COUNT, LOCK>`",
    ),
    (
        "",
        "hpalloc::static_heap! { static HEAP: Heap<4096>; }",
        "turn on hpalloc's feature `critical-section`, or write `Heap<BYTES, LOCK>`",
    ),
    (
        "critical-section",
        "hpalloc::static_pool! { static POOL: Pool<u32>; }",
        "write `static NAME: Pool<TYPE, COUNT>;`",
    ),
    ("critical-section", "hpalloc::static_heap! { static HEAP: Heap<100>; }", "a static heap needs at least 256 bytes"),
    (
        "critical-section",
        "hpalloc::static_pool! { static POOL: Pool<u32, 0>; }",
        "a static pool needs room for at least one value",
    ),
    (
        "critical-section",
        "hpalloc::static_pool! { #[link_section = \".bss.pool\"] static POOL: Pool<u32, 4>; }",
        "and `unsafe(link_section = \"..\")` for the memory",
    ),
    (
        "critical-section",
        "hpalloc::static_heap! { #[thread_local] static HEAP: Heap<4096>; }",
        "this attribute can't be used here: #[thread_local]",
    ),
    (
        "critical-section",
        "hpalloc::static_pool! { #[unsafe(no_mangle)] static POOL: Pool<u32, 4>; }",
        "this attribute can't be used here: #[unsafe(no_mangle)]",
    ),
    (
        "critical-section",
        "mod allow {} hpalloc::static_pool! { #[allow::other] static POOL: Pool<u32, 4>; }",
        "this attribute can't be used here: #[allow::other]",
    ),
    (
        "critical-section",
        "use core::prelude::v1::derive as global_allocator;
         hpalloc::static_heap! { #[doc::other] #[global_allocator] static HEAP: Heap<4096>; }",
        "this attribute can't be used here: #[doc::other]",
    ),
    ("", "hpalloc::static_buffer! { static MEMORY: StaticBuffer<4>; }", "needs hpalloc's feature `static-buffer`"),
    ("", "static HEAP: Option<hpalloc::Spin> = None;", "gated behind the `spin` feature"),
    (
        "",
        "pub fn pool(pages: std::sync::Mutex<hpalloc::Heap<hpalloc::NoPages<'static>>>) {
             let _ = hpalloc::FixedBlock::new(pages, 64);
         }",
        "which takes the place of a `Mutex`",
    ),
];

/// Compiles a program with each of the mistakes, and checks that the compiler's message
/// says what to do.
pub(crate) fn run() -> Result<()> {
    let folder = env::temp_dir().join(format!("hpalloc-mistakes-{}", process::id()));
    fs::create_dir_all(folder.join("src"))?;
    let checked = MISTAKES.iter().try_for_each(|(features, code, sentence)| {
        let manifest = format!(
            "[package]\nname = \"mistake\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n\
             [dependencies]\nhpalloc = {{ path = {:?}, features = [{}] }}\n",
            env::current_dir()?.display().to_string(),
            features
                .split(',')
                .filter(|feature| !feature.is_empty())
                .map(|feature| format!("{feature:?}"))
                .collect::<Vec<_>>()
                .join(","),
        );
        fs::write(folder.join("Cargo.toml"), manifest)?;
        let main = if code.contains("fn main") { "" } else { "fn main() {}" };
        fs::write(folder.join("src/main.rs"), format!("{code}\n{main}\n"))?;
        let mut cargo = Command::new("cargo");
        let output = cargo
            .args(["build", "--target-dir", "target/mistakes"])
            .arg("--manifest-path")
            .arg(folder.join("Cargo.toml"))
            .output()?;
        let text = String::from_utf8(output.stderr)?;
        // The compiler wraps long notes.
        let words = text.split_whitespace().filter(|word| *word != "|").collect::<Vec<_>>().join(" ");
        if output.status.success() || !words.contains(sentence) {
            return Err(format!("{code}: expected {sentence:?}:\n{text}").into());
        }
        println!("ok  {code:.60}: refused, with a message that says what to do");
        Ok(())
    });
    fs::remove_dir_all(folder)?;
    checked
}
