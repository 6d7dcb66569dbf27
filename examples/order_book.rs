//! Compares a limit order book whose orders are in a pool with the same book over the
//! system's `malloc`, and prints a histogram of the time that each event needs.
//!
//! ```sh
//! cargo run --release --features mmap --example order_book
//! ```
//!
//! Orders wait in a queue for each price, and trade in the order of their arrival. A new
//! order trades with the orders of the other side that have its price or a better one,
//! and the rest of it waits. Nearly half of the events cancel an order.
//!
//! The two books differ only in the storage of waiting orders. They receive the same
//! events and must make the same trades. They take turns for `--rounds` rounds, and the
//! order alternates from round to round. An unrecorded first round warms up both: it
//! makes the pool carve its blocks. `malloc` is told to keep freed memory, as a pool
//! does. The table of orders and the histograms don't depend on the storage, and are
//! created once for all rounds.

#![allow(clippy::cast_precision_loss, reason = "all counts are far below 2^52")]

use std::error::Error;
use std::ptr::NonNull;
use std::time::Instant;

use clap::Parser;
use hdrhistogram::Histogram;
use hpalloc::{Arena, Mapping, Pool, PoolBox};

/// Runs an order book over a pool and over malloc, and measures the time of each event.
#[derive(Parser)]
struct Options {
    /// The number of events: new orders and cancellations
    #[arg(long, default_value = "2000000", value_parser = clap::value_parser!(u32).range(1..=50_000_000))]
    events: u32,
    /// The number of recorded rounds, in each of which both books receive all events
    #[arg(long, default_value = "3", value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// The seed of the random events
    #[arg(long, default_value = "1")]
    seed: u64,
}

/// Prices are below this, in ticks.
const PRICES: usize = 1024;
/// The highest time that is recorded: a second.
const LONGEST_NS: u64 = 1_000_000_000;
/// The width of a full bar, in characters.
const BAR: usize = 28;

/// A waiting order.
struct Order {
    number: u32,
    amount: u32,
    price: u16,
    is_bid: bool,
    /// The neighbors in the queue of its price.
    before: Option<NonNull<Order>>,
    after: Option<NonNull<Order>>,
}

/// The storage of waiting orders.
///
/// # Safety
///
/// The pointer that `put` returns refers to the order, which nothing else uses, until the
/// order is removed.
unsafe trait Store {
    fn put(&self, order: Order) -> Option<NonNull<Order>>;

    /// # Safety
    ///
    /// The order is in this store, and the pointer is not used afterwards.
    unsafe fn remove(&self, order: NonNull<Order>);
}

// SAFETY: the pointer is that of a box, which owns its order, and the borrowed pool
// outlives it.
unsafe impl Store for &Pool<Order, Arena<Mapping>> {
    fn put(&self, order: Order) -> Option<NonNull<Order>> {
        self.alloc(order).ok().map(PoolBox::into_raw)
    }

    unsafe fn remove(&self, order: NonNull<Order>) {
        // SAFETY: `put` got the pointer from a box of this pool, and this is its last
        // use.
        drop(unsafe { self.from_raw(order) });
    }
}

struct Malloc;

impl Malloc {
    /// Configures the system's `malloc` to keep freed memory for the next round, if it is
    /// glibc's.
    fn new() -> Result<Self, Box<dyn Error>> {
        #[cfg(target_env = "gnu")]
        {
            use std::ffi::c_int;

            unsafe extern "C" {
                fn mallopt(parameter: c_int, value: c_int) -> c_int;
            }
            const M_TRIM_THRESHOLD: c_int = -1;
            // SAFETY: the parameter and the value are documented: never trim.
            if unsafe { mallopt(M_TRIM_THRESHOLD, -1) } != 1 {
                return Err("mallopt failed, so malloc would not keep its memory".into());
            }
        }
        Ok(Self)
    }
}

// SAFETY: the pointer is that of a leaked box, which owns its order.
unsafe impl Store for &Malloc {
    fn put(&self, order: Order) -> Option<NonNull<Order>> {
        Some(NonNull::from(Box::leak(Box::new(order))))
    }

    unsafe fn remove(&self, order: NonNull<Order>) {
        // SAFETY: `put` got the pointer from a box, and this is its last use.
        drop(unsafe { Box::from_raw(order.as_ptr()) });
    }
}

/// The orders of one price, in the order of their arrival.
#[derive(Clone, Copy, Default)]
struct Queue {
    first: Option<NonNull<Order>>,
    last: Option<NonNull<Order>>,
}

/// A limit order book.
///
/// *Invariant (Waiting):* the orders in the queues are those in `by_number`, each once.
/// They are in the store, and nothing else uses them.
struct Book<'a, S: Store> {
    store: S,
    bids: Vec<Queue>,
    asks: Vec<Queue>,
    /// No bid is above this price.
    best_bid: usize,
    /// No ask is below this price.
    best_ask: usize,
    by_number: &'a mut [Option<NonNull<Order>>],
    /// A checksum of all trades, to compare books.
    trades: u64,
}

impl<'a, S: Store> Book<'a, S> {
    /// Creates a book without orders. `by_number` is empty, and has a place for each
    /// event.
    fn new(store: S, by_number: &'a mut [Option<NonNull<Order>>]) -> Self {
        let [bids, asks] = [(); 2].map(|()| vec![Queue::default(); PRICES]);
        Self { store, bids, asks, best_bid: 0, best_ask: PRICES - 1, by_number, trades: 0 }
    }

    /// Trades as much of an order as possible, and lets the rest wait. Returns `None` if
    /// the store is out of memory.
    fn place(&mut self, number: u32, is_bid: bool, price: u16, mut amount: u32) -> Option<()> {
        let limit = usize::from(price);
        while amount > 0 {
            let best = if is_bid { self.best_ask } else { self.best_bid };
            let crosses = if is_bid { best <= limit } else { best >= limit };
            let (queues, end) = if is_bid { (&self.asks, PRICES - 1) } else { (&self.bids, 0) };
            match queues[best].first {
                Some(first) if crosses => amount -= self.trade(first, number, amount),
                None if crosses && best != end => {
                    if is_bid {
                        self.best_ask += 1;
                    } else {
                        self.best_bid -= 1;
                    }
                }
                _ => break,
            }
        }
        if amount == 0 {
            Some(())
        } else {
            self.wait(Order { number, amount, price, is_bid, before: None, after: None })
        }
    }

    /// Trades with the first order of a queue, and returns the traded amount.
    fn trade(&mut self, mut first: NonNull<Order>, number: u32, amount: u32) -> u32 {
        // SAFETY: by Waiting, the order is in the store, and there is no other reference
        // to it.
        let order = unsafe { first.as_mut() };
        let traded = order.amount.min(amount);
        order.amount -= traded;
        let key = u64::from(order.number) << 32 | u64::from(number);
        self.trades = self.trades.rotate_left(5).wrapping_add(key ^ u64::from(traded) << 20 ^ u64::from(order.price));
        if order.amount == 0 {
            self.cancel(order.number);
        }
        traded
    }

    fn wait(&mut self, mut order: Order) -> Option<()> {
        let price = usize::from(order.price);
        let number = order.number as usize;
        let queue = if order.is_bid {
            self.best_bid = self.best_bid.max(price);
            &mut self.bids[price]
        } else {
            self.best_ask = self.best_ask.min(price);
            &mut self.asks[price]
        };
        order.before = queue.last;
        let place = self.store.put(order)?;
        match queue.last.replace(place) {
            // SAFETY: by Waiting, the order is in the store, and there is no other
            // reference to it.
            Some(last) => unsafe { (*last.as_ptr()).after = Some(place) },
            None => queue.first = Some(place),
        }
        self.by_number[number] = Some(place);
        Some(())
    }

    /// Removes an order, if it is waiting.
    fn cancel(&mut self, number: u32) {
        let Some(place) = self.by_number[number as usize].take() else { return };
        // SAFETY: by Waiting, the order and its neighbors are in the store, and there are
        // no other references to them.
        unsafe {
            let Order { price, is_bid, before, after, .. } = *place.as_ptr();
            let queues = if is_bid { &mut self.bids } else { &mut self.asks };
            let queue = &mut queues[usize::from(price)];
            match before {
                Some(before) => (*before.as_ptr()).after = after,
                None => queue.first = after,
            }
            match after {
                Some(after) => (*after.as_ptr()).before = before,
                None => queue.last = before,
            }
            // The order is in no queue and not in `by_number` any more.
            self.store.remove(place);
        }
    }
}

impl<S: Store> Drop for Book<'_, S> {
    fn drop(&mut self) {
        for number in 0..self.by_number.len() {
            self.cancel(u32::try_from(number).expect("the number of an order is a u32"));
        }
    }
}

enum Event {
    Place { is_bid: bool, price: u16, amount: u32 },
    Cancel { number: u32 },
}

/// Draws events around a wandering price.
fn make_events(options: &Options) -> Vec<Event> {
    let mut random = fastrand::Rng::with_seed(options.seed);
    let mut middle = u16::try_from(PRICES / 2).expect("prices fit in 16 bits");
    let event = |number: u32| {
        if number > 0 && random.u8(..) < 120 {
            return Event::Cancel { number: random.u32(number.saturating_sub(50_000)..number) };
        }
        if random.u8(..) < 4 {
            middle = if random.bool() { (middle + 1).min(900) } else { (middle - 1).max(100) };
        }
        let is_bid = random.bool();
        // Most orders wait at some distance from the price, and some trade immediately.
        let distance = random.u16(0..40);
        let price = if is_bid { middle + 4 - distance } else { middle - 4 + distance };
        Event::Place { is_bid, price, amount: random.u32(1..100) }
    };
    (0..options.events).map(event).collect()
}

/// Runs the events in a book, and records the time of each. Returns the number of waiting
/// orders at the end, and the checksum of the trades.
fn run<S: Store>(
    store: S,
    events: &[Event],
    by_number: &mut [Option<NonNull<Order>>],
    latencies: &mut Histogram<u64>,
) -> Result<(usize, u64), Box<dyn Error>> {
    let mut book = Book::new(store, by_number);
    for (number, event) in (0..).zip(events) {
        let start = Instant::now();
        match *event {
            Event::Place { is_bid, price, amount } => {
                book.place(number, is_bid, price, amount)
                    .ok_or("the store is out of memory for orders: pass a lower --events")?;
            }
            Event::Cancel { number } => book.cancel(number),
        }
        latencies.saturating_record(u64::try_from(start.elapsed().as_nanos()).unwrap_or(LONGEST_NS));
    }
    Ok((book.by_number.iter().flatten().count(), book.trades))
}

/// Prints a bar for the events of each range of times, for both books side by side.
fn print_chart([ours, theirs]: [&Histogram<u64>; 2]) {
    println!("{:>19}  {:<width$}{:<width$}", "ns", "hpalloc", "malloc", width = BAR + 12);
    let mut from = 1;
    while from * 2 <= ours.min().min(theirs.min()) {
        from *= 2;
    }
    while from <= ours.max().max(theirs.max()) {
        let bars = [ours, theirs].map(|latencies| {
            let count = latencies.count_between(from, 2 * from - 1);
            format!("{:<BAR$} {count:<10}", bar(count, latencies.len()))
        });
        println!("{from:>8} .. {:>8} {} {}", 2 * from, bars[0], bars[1]);
        from *= 2;
    }
    println!();
    println!("{:>19}  {:>8} {:>8} {:>8} {:>10}", "ns", "p50", "p99", "p99.9", "max");
    for (name, latencies) in [("hpalloc", ours), ("malloc", theirs)] {
        let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|quantile| latencies.value_at_quantile(quantile));
        println!("{name:>19}  {p50:>8} {p99:>8} {p999:>8} {:>10}", latencies.max());
    }
    println!("\nBoth are warm. The longest times are mostly the operating system's: they change from run to run.");
}

/// Returns a bar on a logarithmic scale. It is full for all events, a seventh shorter for
/// each factor of ten below that, and empty for none.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the width is from 1 to BAR")]
fn bar(count: u64, of: u64) -> String {
    let share = count as f64 / of as f64;
    let width = ((1.0 + share.log10() / 7.0) * BAR as f64).ceil().max(1.0);
    if count == 0 { String::new() } else { "█".repeat(width as usize) }
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let events = make_events(&options);

    let (pool, malloc) = (Pool::new(Arena::new(64 << 20)?), Malloc::new()?);
    let mut by_number = vec![None; events.len()];
    let [mut ours, mut theirs] =
        [Histogram::new_with_bounds(1, LONGEST_NS, 3)?, Histogram::new_with_bounds(1, LONGEST_NS, 3)?];
    let mut outcomes = Vec::new();
    for round in 0..=options.rounds {
        for is_ours in [round % 2 == 0, round % 2 != 0] {
            outcomes.push(if is_ours {
                run(&pool, &events, &mut by_number, &mut ours)?
            } else {
                run(&malloc, &events, &mut by_number, &mut theirs)?
            });
        }
        if round == 0 {
            ours.reset();
            theirs.reset();
        }
    }
    if pool.blocks().free_blocks() != pool.blocks().peak_blocks() {
        return Err("the pool has live blocks at the end: an order was not removed".into());
    }
    let (waiting, trades) = outcomes[0];
    if outcomes.iter().any(|&outcome| outcome != (waiting, trades)) {
        return Err("the books made different trades".into());
    }
    println!(
        "{} events in {} rounds; {waiting} orders wait at the end. The number of events by the time that they needed,\n\
         which includes reading the clock. Bars are on a logarithmic scale.\n",
        events.len(),
        options.rounds,
    );
    print_chart([&ours, &theirs]);
    Ok(())
}
