//! A pool on each thread, over one arena that all share: it is locked when a pool takes a page.
//!
//! ```sh
//! cargo run --release --features mmap,spin --example per_thread -- --threads 4
//! ```
//!
//! Each thread sorts numbers in binary trees whose nodes are in its pool, again and again. The boxes give the nodes back by
//! themselves, so the memory of one tree is that of the next.

use std::error::Error;
use std::thread;

use clap::Parser;
use hpalloc::{Arena, Locked, Mapping, Pool, PoolBox, Spin};

/// Sorts numbers in trees, on several threads.
#[derive(Parser)]
struct Options {
    /// How many threads there are
    #[arg(long, default_value = "4", value_parser = clap::value_parser!(u8).range(1..))]
    threads: u8,
    /// How many trees each thread builds
    #[arg(long, default_value = "100")]
    trees: u64,
    /// How many numbers a tree holds
    #[arg(long, default_value = "10000")]
    numbers: u64,
}

/// The arena of all threads, and a thread's own pool.
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
            return Err("the memory of a tree wasn't used for the next".into());
        }
        println!("thread {thread}: {} trees, {peak} nodes live at the peak", options.trees);
    }
    let arena = pages.into_inner();
    println!("{} pages of {} are in the pools", arena.pages_allocated(), arena.total_pages());
    Ok(())
}

/// What a thread does. Returns how many nodes were live at its peak.
fn work(thread: u64, pages: &Pages, options: &Options) -> Result<usize, &'static str> {
    let nodes = Pool::new(pages);
    for tree in 0..options.trees {
        let mut random = fastrand::Rng::with_seed(thread << 32 | tree);
        let mut root = None;
        for _ in 0..options.numbers {
            insert(&nodes, &mut root, random.u64(..)).ok_or("the arena is too small for so many numbers")?;
        }
        let mut last = 0;
        let mut count = 0;
        visit(root.as_deref(), &mut |number| {
            assert!(last <= number, "the tree is in order");
            last = number;
            count += 1;
        });
        assert_eq!(count, options.numbers, "no number is lost");
    }
    Ok(nodes.blocks().peak_blocks())
}

/// Adds a number to the tree; `None` where there is no memory for it.
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

/// Calls `f` with the numbers in their order.
fn visit(node: Option<&Node<'_>>, f: &mut impl FnMut(u64)) {
    if let Some(node) = node {
        visit(node.smaller.as_deref(), f);
        f(node.number);
        visit(node.larger.as_deref(), f);
    }
}
