//! Builds binary trees on several threads, each with its own pool over one shared arena.
//! A pool locks the arena only to take a page.
//!
//! ```sh
//! cargo run --release --features mmap,spin --example per_thread -- --threads 4
//! ```
//!
//! Each thread repeatedly sorts numbers in a tree whose nodes are in the thread's pool.
//! The boxes of a dropped tree return their blocks to the pool, so each tree reuses the
//! memory of the one before.

use std::error::Error;
use std::thread;

use clap::Parser;
use hpalloc::{Arena, Locked, Mapping, Pool, PoolBox, Spin};

/// Sorts numbers in trees, on several threads.
#[derive(Parser)]
struct Options {
    /// The number of threads
    #[arg(long, default_value = "4", value_parser = clap::value_parser!(u8).range(1..))]
    threads: u8,
    /// The number of trees that each thread builds
    #[arg(long, default_value = "100")]
    trees: u64,
    /// The number of values in each tree
    #[arg(long, default_value = "10000")]
    numbers: u64,
}

/// The arena that all threads share.
type Pages = Locked<Arena<Mapping>, Spin>;
type Nodes<'a> = Pool<Node<'a>, &'a Pages>;

struct Node<'a> {
    number: u64,
    smaller: Option<PoolBox<Node<'a>, &'a Nodes<'a>>>,
    larger: Option<PoolBox<Node<'a>, &'a Nodes<'a>>>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let pages: Pages = Locked::new(Arena::new(256 << 20)?);
    let peaks = thread::scope(|scope| {
        let threads: Vec<_> = (0..options.threads.into())
            .map(|thread| {
                let (pages, options) = (&pages, &options);
                scope.spawn(move || work(thread, pages, options))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().map_err(|_| "a thread panicked")?).collect::<Result<Vec<_>, _>>()
    })?;
    for (thread, &peak) in peaks.iter().enumerate() {
        if peak as u64 != options.numbers {
            return Err("a tree did not reuse the memory of the one before".into());
        }
        println!("thread {thread}: {} trees, at most {peak} nodes live at the same time", options.trees);
    }
    let arena = pages.into_inner();
    println!("the pools took {} of {} pages", arena.pages_allocated(), arena.total_pages());
    Ok(())
}

/// Builds the trees of a thread. Returns the largest number of nodes that were live at
/// the same time.
fn work(thread: u64, pages: &Pages, options: &Options) -> Result<usize, &'static str> {
    let nodes = Pool::new(pages);
    for tree in 0..options.trees {
        let mut random = fastrand::Rng::with_seed(thread << 32 | tree);
        let mut root = None;
        for _ in 0..options.numbers {
            insert(&nodes, &mut root, random.u64(..)).ok_or("the arena is too small for that many numbers")?;
        }
        let mut last = 0;
        let mut count = 0;
        visit(root.as_deref(), &mut |number| {
            assert!(last <= number, "the numbers are out of order");
            last = number;
            count += 1;
        });
        assert_eq!(count, options.numbers, "a number is missing from the tree");
    }
    Ok(nodes.blocks().peak_blocks())
}

/// Adds a number to the tree, or returns `None` if there is no memory for it.
fn insert<'a>(
    nodes: &'a Nodes<'a>,
    mut place: &mut Option<PoolBox<Node<'a>, &'a Nodes<'a>>>,
    number: u64,
) -> Option<()> {
    while let Some(node) = place {
        place = if number < node.number { &mut node.smaller } else { &mut node.larger };
    }
    *place = Some(nodes.alloc(Node { number, smaller: None, larger: None }).ok()?);
    Some(())
}

/// Calls `f` with the numbers in ascending order.
fn visit(node: Option<&Node<'_>>, f: &mut impl FnMut(u64)) {
    if let Some(node) = node {
        visit(node.smaller.as_deref(), f);
        f(node.number);
        visit(node.larger.as_deref(), f);
    }
}
