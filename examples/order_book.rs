//! A limit order book whose orders are in a pool: how long each event takes, as a histogram, beside the same book with the
//! system's `malloc`.
//!
//! ```sh
//! cargo run --release --features mmap --example order_book
//! ```
//!
//! Orders wait in a queue for each price, the first that came is the first that trades. A new order trades with those of the
//! other side that have its price or a better one, and what is left of it waits; about as
//! many orders are cancelled.
//!
//! The two books are one program, and differ in where an order that waits is stored. They
//! get the same events and have to make the same trades. They take turns, in `--rounds`
//! rounds, and change places in each. A first round isn't recorded, so that both have
//! their memory and their code at hand: the pool has carved its blocks, and `malloc` is
//! told to keep what was freed, as a pool does. What doesn't depend on the store (the
//! table of orders by number, the histograms) is made once for all rounds.

#![allow(clippy::cast_precision_loss, reason = "what is counted here is far below 2^52")]

use std::error::Error;
use std::ptr::NonNull;
use std::time::Instant;

use clap::Parser;
use hdrhistogram::Histogram;
use hpalloc::{Arena, Mapping, Pool, PoolBox};

/// Trades, and measures how long that takes.
#[derive(Parser)]
struct Options {
    /// How many orders and cancellations there are
    #[arg(long, default_value = "2000000", value_parser = clap::value_parser!(u32).range(1..=50_000_000))]
    events: u32,
    /// How often each book gets them, after a first time that isn't recorded
    #[arg(long, default_value = "3", value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Chooses other events
    #[arg(long, default_value = "1")]
    seed: u64,
}

/// Prices are from 0 to this, in ticks.
const PRICES: usize = 1024;
/// No event is recorded as longer than a second.
const LONGEST_NS: u64 = 1_000_000_000;
/// How wide a bar is.
const BAR: usize = 28;

/// An order that waits.
struct Order {
    number: u32,
    amount: u32,
    price: u16,
    is_bid: bool,
    /// Its neighbours in the queue of its price.
    before: Option<NonNull<Order>>,
    after: Option<NonNull<Order>>,
}

/// Where orders are while they wait.
///
/// # Safety
///
/// What `put` returned is the order, for whoever has the pointer alone, until it is removed.
unsafe trait Store {
    fn put(&self, order: Order) -> Option<NonNull<Order>>;

    /// # Safety
    ///
    /// The order is here, and nothing uses the pointer from now on.
    unsafe fn remove(&self, order: NonNull<Order>);
}

// SAFETY: the box that gave its pointer out has the order to itself, and the pool is borrowed.
unsafe impl Store for &Pool<Order, Arena<Mapping>> {
    fn put(&self, order: Order) -> Option<NonNull<Order>> {
        self.alloc(order).ok().map(PoolBox::into_raw)
    }

    unsafe fn remove(&self, order: NonNull<Order>) {
        // SAFETY: `put` made the pointer of a box of this pool, and this is its last use.
        drop(unsafe { self.from_raw(order) });
    }
}

struct Malloc;

impl Malloc {
    /// The system's `malloc`, which keeps for the next round what was freed, if it is glibc's.
    fn new() -> Result<Self, Box<dyn Error>> {
        #[cfg(target_env = "gnu")]
        {
            use std::ffi::c_int;

            unsafe extern "C" {
                fn mallopt(parameter: c_int, value: c_int) -> c_int;
            }
            const M_TRIM_THRESHOLD: c_int = -1;
            // SAFETY: it is a parameter, with a value that is documented: never trim.
            if unsafe { mallopt(M_TRIM_THRESHOLD, -1) } != 1 {
                return Err("malloc can't be told to keep its memory".into());
            }
        }
        Ok(Self)
    }
}

// SAFETY: likewise.
unsafe impl Store for &Malloc {
    fn put(&self, order: Order) -> Option<NonNull<Order>> {
        Some(NonNull::from(Box::leak(Box::new(order))))
    }

    unsafe fn remove(&self, order: NonNull<Order>) {
        // SAFETY: `put` made the pointer of a box, and this is its last use.
        drop(unsafe { Box::from_raw(order.as_ptr()) });
    }
}

/// The orders of one price, the first that came first.
#[derive(Clone, Copy, Default)]
struct Queue {
    first: Option<NonNull<Order>>,
    last: Option<NonNull<Order>>,
}

/// *Invariant (Waiting):* the orders of the queues, and those that `by_number` names, are the same, each once. They are in
/// the store, and nothing else uses them.
struct Book<'a, S: Store> {
    store: S,
    bids: Vec<Queue>,
    asks: Vec<Queue>,
    /// No bid is above this price, and no ask below that.
    best_bid: usize,
    best_ask: usize,
    by_number: &'a mut [Option<NonNull<Order>>],
    /// A sum over all trades, to compare books by.
    trades: u64,
}

impl<'a, S: Store> Book<'a, S> {
    /// A book without orders. `by_number` has a place for each that will come, and is empty.
    fn new(store: S, by_number: &'a mut [Option<NonNull<Order>>]) -> Self {
        let [bids, asks] = [(); 2].map(|()| vec![Queue::default(); PRICES]);
        Self { store, bids, asks, best_bid: 0, best_ask: PRICES - 1, by_number, trades: 0 }
    }

    /// Trades as much of an order as can be, and lets the rest wait. `None` where there is no memory for it.
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

    /// Trades with the first order of its queue, and returns how much.
    fn trade(&mut self, mut first: NonNull<Order>, number: u32, amount: u32) -> u32 {
        // SAFETY: Waiting; there is no other reference.
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
            // SAFETY: Waiting; there is no other reference.
            Some(last) => unsafe { (*last.as_ptr()).after = Some(place) },
            None => queue.first = Some(place),
        }
        self.by_number[number] = Some(place);
        Some(())
    }

    /// Takes an order out, if it waits.
    fn cancel(&mut self, number: u32) {
        let Some(place) = self.by_number[number as usize].take() else { return };
        // SAFETY: Waiting, here and for its neighbours; there are no other references.
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
            // Nothing names it any more.
            self.store.remove(place);
        }
    }
}

impl<S: Store> Drop for Book<'_, S> {
    fn drop(&mut self) {
        for number in 0..self.by_number.len() {
            self.cancel(u32::try_from(number).expect("numbers of orders are u32"));
        }
    }
}

enum Event {
    Place { is_bid: bool, price: u16, amount: u32 },
    Cancel { number: u32 },
}

/// Events around a price that wanders.
fn make_events(options: &Options) -> Vec<Event> {
    let mut random = fastrand::Rng::with_seed(options.seed);
    let mut middle = u16::try_from(PRICES / 2).expect("few prices");
    let event = |number: u32| {
        if number > 0 && random.u8(..) < 120 {
            return Event::Cancel { number: random.u32(number.saturating_sub(50_000)..number) };
        }
        if random.u8(..) < 4 {
            middle = if random.bool() { (middle + 1).min(900) } else { (middle - 1).max(100) };
        }
        let is_bid = random.bool();
        // Most wait at some distance, some trade at once.
        let distance = random.u16(0..40);
        let price = if is_bid { middle + 4 - distance } else { middle - 4 + distance };
        Event::Place { is_bid, price, amount: random.u32(1..100) }
    };
    (0..options.events).map(event).collect()
}

/// Gives the events to a book, and records how long each takes. Returns how many orders
/// wait at the end, and the sum of the trades.
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
                book.place(number, is_bid, price, amount).ok_or("there is no memory for so many orders")?;
            }
            Event::Cancel { number } => book.cancel(number),
        }
        latencies.saturating_record(u64::try_from(start.elapsed().as_nanos()).unwrap_or(LONGEST_NS));
    }
    Ok((book.by_number.iter().flatten().count(), book.trades))
}

/// A bar for the events of each range of times, for both side by side.
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
    println!("\n(Both are warm. The longest are more of the operating system than of either: repeat it to see.)");
}

/// The whole width for all, a seventh less for each tenth of that, and none for none.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is from 0 to BAR")]
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
        return Err("an order is lost".into());
    }
    let (waiting, trades) = outcomes[0];
    if outcomes.iter().any(|&outcome| outcome != (waiting, trades)) {
        return Err("the books have not made the same trades".into());
    }
    println!(
        "{} events, {} times; {waiting} orders wait at the end. How many events took how long, with bars on a\n\
         logarithmic scale, and including the time that it takes to read the clock:\n",
        events.len(),
        options.rounds,
    );
    print_chart([&ours, &theirs]);
    Ok(())
}
