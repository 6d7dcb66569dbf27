//! Keeps the most recently used tiles of a map in a cache of a fixed size, whose hash
//! map, entries and tiles are all in one arena.
//!
//! ```sh
//! cargo run --release --features allocator-api2 --example tile_cache
//! ```
//!
//! A random walk crosses a map whose tiles are costly to draw. The cache keeps the most
//! recently visited tiles. Its hash map and its list are in blocks of a heap of size
//! classes, and the tiles are in a pool. Once the cache is full, it allocates nothing
//! more: a new tile replaces the least recently used one in its block.

#![allow(clippy::cast_precision_loss, reason = "the counts are far below 2^52")]

use std::error::Error;
use std::hash::Hash;

use allocator_api2::vec::Vec;
use clap::Parser;
use hashbrown::{DefaultHashBuilder, HashMap};
use hpalloc::{Arena, Borrowed, MemoryPlan, PAGE_SIZE, Page, Pool, PoolBox, SizeClasses};

/// Walks over a map at random, with a cache for its tiles.
#[derive(Parser)]
struct Options {
    /// The number of steps, each of which looks at a tile
    #[arg(long, default_value = "200000", value_parser = clap::value_parser!(u32).range(1..))]
    looks: u32,
    /// The number of tiles that the cache holds (the map has 16129)
    #[arg(long, default_value = "500", value_parser = clap::value_parser!(u16).range(1..))]
    tiles: u16,
    /// The seed of the random walk
    #[arg(long, default_value = "1")]
    seed: u64,
}

type Pages<'a> = &'a Arena<Borrowed<'a>>;
type Heap<'a> = SizeClasses<Pages<'a>>;

/// A cache of the most recently used values. It allocates its hash map and its list when
/// it is created, and each value when it is added.
struct Cache<'a, K, V> {
    values: &'a Pool<V, Pages<'a>>,
    /// The index in `entries` of each key.
    places: HashMap<K, usize, DefaultHashBuilder, &'a Heap<'a>>,
    entries: Vec<Entry<'a, K, V>, &'a Heap<'a>>,
    /// The ends of a linked list of the entries, in the order of their last use.
    newest: usize,
    oldest: usize,
}

struct Entry<'a, K, V> {
    key: K,
    value: PoolBox<V, &'a Pool<V, Pages<'a>>>,
    newer: usize,
    older: usize,
}

/// The index that stands for no entry.
const NONE: usize = usize::MAX;

impl<'a, K: Hash + Eq + Copy, V> Cache<'a, K, V> {
    fn new(capacity: usize, heap: &'a Heap<'a>, values: &'a Pool<V, Pages<'a>>) -> Self {
        // hashbrown cleans up after removals in place as long as a map is at most half
        // full.
        let places = HashMap::with_capacity_and_hasher_in(2 * capacity, DefaultHashBuilder::default(), heap);
        Self { values, places, entries: Vec::with_capacity_in(capacity, heap), newest: NONE, oldest: NONE }
    }

    /// Returns the value for the key, and `true` if the cache had it. Otherwise `make`
    /// makes the value. Returns `None` if there is no memory for a new value.
    fn get(&mut self, key: K, make: impl FnOnce() -> V) -> Option<(&V, bool)> {
        let found = self.places.get(&key).copied();
        let place = match found {
            Some(place) => {
                self.unlink(place);
                place
            }
            None if self.entries.len() < self.entries.capacity() => {
                let value = self.values.alloc_with(make)?;
                self.entries.push(Entry { key, value, newer: NONE, older: NONE });
                self.entries.len() - 1
            }
            None => {
                let place = self.oldest;
                self.unlink(place);
                let entry = &mut self.entries[place];
                self.places.remove(&entry.key);
                entry.key = key;
                *entry.value = make();
                place
            }
        };
        if found.is_none() {
            self.places.insert(key, place);
        }
        self.link_as_newest(place);
        Some((&self.entries[place].value, found.is_some()))
    }

    fn unlink(&mut self, place: usize) {
        let Entry { newer, older, .. } = self.entries[place];
        match self.entries.get_mut(newer) {
            Some(entry) => entry.older = older,
            None => self.newest = older,
        }
        match self.entries.get_mut(older) {
            Some(entry) => entry.newer = newer,
            None => self.oldest = newer,
        }
    }

    fn link_as_newest(&mut self, place: usize) {
        let older = std::mem::replace(&mut self.newest, place);
        (self.entries[place].older, self.entries[place].newer) = (older, NONE);
        match self.entries.get_mut(older) {
            Some(entry) => entry.newer = place,
            None => self.oldest = place,
        }
    }
}

/// The width and height of a tile, in pixels.
const SIDE: u16 = 32;

struct Tile([[u8; SIDE as usize]; SIDE as usize]);

/// Draws a part of the Mandelbrot set. The value of a pixel is the number of steps after
/// which its point is known to be outside the set.
fn draw((x, y): (u16, u16)) -> Tile {
    let at = |tile: u16, pixel| f64::from(tile * SIDE + pixel) / 1024.0 - 2.0;
    let mut tile = Tile([[0; SIDE as usize]; SIDE as usize]);
    for (row, pixels) in (0..).zip(&mut tile.0) {
        for (column, pixel) in (0..).zip(pixels) {
            let (re, im) = (at(x, column), at(y, row));
            let (mut z_re, mut z_im) = (0.0, 0.0);
            while z_re * z_re + z_im * z_im < 4.0 && *pixel < u8::MAX {
                (z_re, z_im) = (z_re * z_re - z_im * z_im + re, 2.0 * z_re * z_im + im);
                *pixel += 1;
            }
        }
    }
    tile
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let capacity = usize::from(options.tiles);
    // Plan the pages for the tiles exactly, and enough pages for the hash map and the
    // list.
    let tiles = MemoryPlan::new().values::<Tile>(capacity);
    let plan = tiles.raw_pages(8 + capacity / 16);
    let mut memory: std::vec::Vec<_> = (0..plan.pages()).map(|_| Page::new()).collect();
    let arena = Arena::from_pages(&mut memory)?;
    let (heap, pool) = (SizeClasses::new(&arena), Pool::new(&arena));
    let mut cache = Cache::new(capacity, &heap, &pool);

    let mut random = fastrand::Rng::with_seed(options.seed);
    let (mut x, mut y) = (40_u16, 64_u16);
    let (mut hits, mut pages_when_full) = (0, None);
    // The keys that the cache should have, ordered by their last use.
    let mut model = std::vec::Vec::new();
    for look in 0..options.looks {
        x = (x + random.u16(0..3)).clamp(1, 127) - 1;
        y = (y + random.u16(0..3)).clamp(1, 127) - 1;
        let (tile, was_there) = cache.get((x, y), || draw((x, y))).ok_or("the arena is too small for the cache")?;
        hits += u32::from(was_there);
        let expected = model.iter().rposition(|&key| key == (x, y));
        if was_there != expected.is_some() {
            return Err("the cache does not hold the most recently used tiles".into());
        }
        expected.map(|place| model.remove(place));
        model.push((x, y));
        if model.len() > capacity {
            model.remove(0);
        }
        if look % 1000 == 0 && tile.0 != draw((x, y)).0 {
            return Err("the cache returned the wrong tile".into());
        }
        if cache.entries.len() == capacity {
            let before = *pages_when_full.get_or_insert(arena.pages_allocated());
            if before != arena.pages_allocated() {
                return Err("the full cache took another page".into());
            }
        }
    }
    println!("{} of {} looks hit the cache ({:.1}%)", hits, options.looks, {
        100.0 * f64::from(hits) / f64::from(options.looks)
    });
    println!("the cache holds {} tiles of {} bytes", cache.entries.len(), size_of::<Tile>());
    println!("{} pages of {PAGE_SIZE} bytes taken, of {}", arena.pages_allocated(), arena.total_pages());
    Ok(())
}
