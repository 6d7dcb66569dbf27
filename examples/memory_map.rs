//! Draws an arena and the blocks of two pools in it, as blocks are carved, freed and
//! reused.
//!
//! ```sh
//! cargo run --example memory_map
//! cargo run --example memory_map -- --svg examples/memory_map.svg
//! ```
//!
//! The two pools share one arena. The example wraps the arena in its own page source,
//! which notes which pool took which page. The pool's high-water mark tells how many
//! blocks were carved. The blocks that the example still holds are live; the other carved
//! blocks are free.

use std::cell::RefCell;
use std::error::Error;
use std::fmt::{self, Display};
use std::path::PathBuf;
use std::ptr::NonNull;

use clap::Parser;
use hpalloc::{Arena, BlockSize, Borrowed, FixedBlock, PAGE_SIZE, Page, PageSource};
use svg::Document;
use svg::node::element::{Rectangle, Text};

/// Draws how blocks are carved, freed and reused.
#[derive(Parser)]
struct Options {
    /// Write an SVG picture to this file instead of text to the terminal
    #[arg(long)]
    svg: Option<PathBuf>,
}

/// The number of bytes that one character of the text, or one unit of width in the
/// picture, stands for.
const UNIT: usize = 64;
const UNITS: usize = PAGE_SIZE / UNIT;

#[derive(Clone, Copy, PartialEq)]
enum State {
    Live,
    Free,
    Fresh,
}

/// A pool and its live blocks.
struct Drawn<'a> {
    pool: FixedBlock<Noted<'a>>,
    /// The distance between the starts of neighboring blocks, in bytes. With `--cfg
    /// hpalloc_hardened` it is larger than the block size.
    stride: usize,
    live: Vec<NonNull<u8>>,
}

/// A page source that takes pages from an arena and notes them.
struct Noted<'a> {
    arena: &'a Arena<Borrowed<'a>>,
    taken: RefCell<Vec<NonNull<Page>>>,
}

// SAFETY: the pages come from an arena.
unsafe impl PageSource for Noted<'_> {
    fn take_pages(&self, count: usize) -> Option<NonNull<Page>> {
        let first = self.arena.take_pages(count)?;
        self.taken.borrow_mut().push(first);
        Some(first)
    }
}

impl<'a> Drawn<'a> {
    fn new(arena: &'a Arena<Borrowed<'a>>, block_size: usize) -> Result<Self, Box<dyn Error>> {
        let pages = Noted { arena, taken: RefCell::default() };
        let block_size = BlockSize::new(block_size)?;
        let stride = block_size.bytes_for(1).ok_or("the block is larger than any memory")?;
        Ok(Self { pool: FixedBlock::with_block_size(pages, block_size), stride, live: Vec::new() })
    }

    fn allocate(&mut self, count: usize) -> Result<(), Box<dyn Error>> {
        for _ in 0..count {
            self.live.push(self.pool.allocate().ok_or("the arena has no page left")?);
        }
        Ok(())
    }

    /// Frees every `step`th live block, starting with the first.
    fn free_each(&mut self, step: usize) {
        let (freed, live): (Vec<_>, Vec<_>) = (0..).zip(self.live.drain(..)).partition(|(index, _)| index % step == 0);
        self.live = live.into_iter().map(|(_, block)| block).collect();
        for (_, block) in freed {
            // SAFETY: the block came from this pool and isn't used afterwards.
            unsafe { self.pool.deallocate(block) };
        }
    }

    /// Returns the pages of this pool with the state of each block. Blocks are carved in
    /// order, so the first `peak_blocks` blocks are those that were carved.
    fn pages(&self) -> Vec<(NonNull<Page>, PageMap)> {
        let mut carved = self.pool.peak_blocks();
        let taken = self.pool.page_source().taken.borrow();
        let page = |&page: &NonNull<Page>| {
            let blocks = (0..self.pool.blocks_per_page()).map(|index| {
                let Some(rest) = carved.checked_sub(1) else { return State::Fresh };
                carved = rest;
                let address = page.addr().get() + index * self.stride;
                let is_live = self.live.iter().any(|block| block.addr().get() == address);
                if is_live { State::Live } else { State::Free }
            });
            (page, PageMap { block_size: self.pool.block_size(), stride: self.stride, blocks: blocks.collect() })
        };
        taken.iter().map(page).collect()
    }
}

/// The states of a page's blocks.
struct PageMap {
    block_size: usize,
    stride: usize,
    blocks: Vec<State>,
}

impl PageMap {
    fn count(&self, state: State) -> usize {
        self.blocks.iter().filter(|&&block| block == state).count()
    }
}

/// A snapshot of an arena. A page that no pool has taken is `None`.
struct Map {
    title: &'static str,
    pages: Vec<Option<PageMap>>,
}

impl Map {
    fn new<const N: usize>(title: &'static str, arena: &Arena<Borrowed<'_>>, pools: [&Drawn<'_>; N]) -> Self {
        let mut taken: Vec<_> = pools.into_iter().flat_map(Drawn::pages).collect();
        taken.sort_by_key(|&(page, _)| page);
        let taken = taken.into_iter().map(|(_, page)| Some(page));
        let mut pages: Vec<_> = taken.collect();
        pages.resize_with(arena.total_pages(), || None);
        Self { title, pages }
    }

    fn taken(&self) -> usize {
        self.pages.iter().flatten().count()
    }
}

impl Display for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {} of {} pages handed out", self.title, self.taken(), self.pages.len())?;
        for (number, page) in self.pages.iter().enumerate() {
            let Some(page) = page else {
                writeln!(f, "{number:>3}  {:>4}  {}", "", "-".repeat(UNITS))?;
                continue;
            };
            write!(f, "{number:>3}  {:>4}  ", page.block_size)?;
            for block in &page.blocks {
                let fill = match block {
                    State::Live => "█",
                    State::Free => "░",
                    State::Fresh => "·",
                };
                let width = page.stride / UNIT;
                write!(f, "{}{}", fill.repeat((width - 1).max(1)), if width > 1 { " " } else { "" })?;
            }
            let [live, free, fresh] = [State::Live, State::Free, State::Fresh].map(|state| page.count(state));
            writeln!(f, "  {live} live, {free} free, {fresh} fresh")?;
        }
        Ok(())
    }
}

/// Draws the maps in two columns. The colors are legible on both a white and a black
/// background.
fn picture(maps: &[Map]) -> Document {
    const SCALE: usize = 6;
    const ROW: usize = 18;
    const WIDTH: usize = UNITS * SCALE + 60;
    let height = (maps[0].pages.len() + 2) * ROW;
    let mut document = Document::new().set("viewBox", (0, 0, 2 * WIDTH, maps.len().div_ceil(2) * height + ROW));
    let label = |x: usize, y: usize, text: String| {
        let text = Text::new(text).set("x", x).set("y", y + 13).set("fill", "#7a869a");
        text.set("font-family", "sans-serif").set("font-size", 12)
    };
    let rectangle = |x: usize, y: usize, width: usize, colour: &str| {
        Rectangle::new().set("x", x).set("y", y).set("width", width).set("height", ROW - 4).set("fill", colour)
    };
    let colour = |state| match state {
        State::Live => "#3b82f6",
        State::Free => "#f59e0b",
        State::Fresh => "#a3b1c6",
    };
    for (index, map) in maps.iter().enumerate() {
        let (left, top) = (index % 2 * WIDTH, index / 2 * height);
        document = document.add(label(left + 40, top, format!("{}. {}", index + 1, map.title)));
        for (number, page) in map.pages.iter().enumerate() {
            let y = top + (number + 1) * ROW;
            let Some(page) = page else {
                let outline = rectangle(left + 40, y, UNITS * SCALE - 1, "none").set("stroke", "#a3b1c6");
                document = document.add(outline.set("stroke-dasharray", 3));
                continue;
            };
            document = document.add(label(left, y, format!("{} B", page.block_size)));
            for (block, &state) in page.blocks.iter().enumerate() {
                let x = left + 40 + block * page.stride * SCALE / UNIT;
                document = document.add(rectangle(x, y, page.stride * SCALE / UNIT - 1, colour(state)));
            }
        }
    }
    let mut x = 40;
    for (state, name) in [(State::Live, "live"), (State::Free, "free"), (State::Fresh, "fresh: never handed out")] {
        let y = maps.len().div_ceil(2) * height;
        document = document.add(rectangle(x, y, 14, colour(state))).add(label(x + 20, y, name.to_owned()));
        x += 80;
    }
    document
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let mut memory: Vec<_> = (0..5).map(|_| Page::new()).collect();
    let arena = Arena::from_pages(&mut memory)?;
    let (mut small, mut large) = (Drawn::new(&arena, 64)?, Drawn::new(&arena, 512)?);

    small.allocate(30)?;
    large.allocate(5)?;
    let mut maps = vec![Map::new("blocks are carved in order", &arena, [&small, &large])];
    small.free_each(3);
    large.free_each(2);
    maps.push(Map::new("some blocks are freed", &arena, [&small, &large]));
    small.allocate(5)?;
    large.allocate(4)?;
    maps.push(Map::new("free blocks are reused, the last freed first", &arena, [&small, &large]));
    small.allocate(50)?;
    maps.push(Map::new("when a page is full, the pool takes the arena's next page", &arena, [&small, &large]));

    for drawn in [&small, &large] {
        let free: usize = drawn.pages().iter().map(|(_, page)| page.count(State::Free)).sum();
        if free != drawn.pool.free_blocks() {
            return Err("the map and the pool disagree about the number of free blocks".into());
        }
    }
    match options.svg {
        Some(file) => svg::save(&file, &picture(&maps)).map_err(|error| format!("{}: {error}", file.display()))?,
        None => maps.iter().for_each(|map| println!("{map}")),
    }
    Ok(())
}
