//! Firmware for a Cortex-M. An interrupt produces packets and the main loop consumes
//! them. Each packet is in a box of one pool, which both share.
//!
//! The pool is a `static` that contains its memory, so it needs no setup. Its lock is a
//! critical section, which fits one core with interrupts: it masks interrupts for the few
//! instructions that an allocation or a free needs. A spin lock would wait forever if the
//! interrupt occurred while the main loop holds it.

#![no_std]
#![no_main]

use core::cell::RefCell;
use core::sync::atomic::{AtomicU32, Ordering};

use cortex_m::peripheral::syst::SystClkSource;
use cortex_m_rt::exception;
use critical_section::Mutex;
use defmt_semihosting as _;
use heapless::Deque;
use hpalloc::{PoolFull, StaticBox};

/// The number of packets.
const COUNT: u32 = 1_000_000;
/// The maximum number of packets that one interrupt produces.
const BURST: u32 = 16;

/// The clock ticks between two interrupts.
const PERIOD: u32 = 50_000;

struct Content {
    number: u32,
    payload: [u32; 15],
}

hpalloc::static_pool! { static PACKETS: Pool<Content, 128>; }

/// The packets that are produced and not yet consumed, oldest first.
static QUEUE: Mutex<RefCell<Deque<StaticBox<Content>, 128>>> = Mutex::new(RefCell::new(Deque::new()));
/// The number of packets that were produced. Only the interrupt writes it.
static PRODUCED: AtomicU32 = AtomicU32::new(0);
/// How often no block was free for a packet, which was then produced later. Only the
/// interrupt writes it.
static PUT_OFF: AtomicU32 = AtomicU32::new(0);

fn payload(number: u32) -> [u32; 15] {
    core::array::from_fn(|index| number.wrapping_mul(0x9E37_79B9).rotate_left(u32::try_from(index).unwrap_or(0)))
}

#[exception]
fn SysTick() {
    let first = PRODUCED.load(Ordering::Relaxed);
    let burst = payload(first)[3] % BURST + 1;
    for number in (first..COUNT).take(burst as usize) {
        let Some(packet) = PACKETS.alloc_with(|| Content { number, payload: payload(number) }) else {
            PUT_OFF.store(PUT_OFF.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
            return;
        };
        let queued = critical_section::with(|section| QUEUE.borrow_ref_mut(section).push_back(packet));
        if queued.is_err() {
            defmt::panic!("the queue is full, although it has a place for each block of the pool");
        }
        PRODUCED.store(number + 1, Ordering::Relaxed);
    }
}

fn run() {
    let mut core = cortex_m::Peripherals::take().expect("the peripherals are taken only here");
    core.SYST.set_clock_source(SystClkSource::Core);
    core.SYST.set_reload(PERIOD);
    core.SYST.clear_current();
    core.SYST.enable_counter();
    core.SYST.enable_interrupt();

    for expected in 0..COUNT {
        let packet = loop {
            if let Some(packet) = critical_section::with(|section| QUEUE.borrow_ref_mut(section).pop_front()) {
                break packet;
            }
            cortex_m::asm::wfi();
        };
        if packet.number != expected || packet.payload != payload(expected) {
            defmt::panic!("packet {} arrived instead of {}, or its payload is damaged", packet.number, expected);
        }
    }

    defmt::info!("{} packets consumed, none lost, {} put off", COUNT, PUT_OFF.load(Ordering::Relaxed));
    PACKETS.with(|pool| {
        let pool = pool.blocks();
        if pool.free_blocks() != pool.peak_blocks() {
            defmt::panic!(
                "only {} of {} blocks are free after all packets were dropped",
                pool.free_blocks(),
                pool.peak_blocks()
            );
        }
        defmt::info!("peak_blocks: {}", pool.peak_blocks());
        defmt::info!("{} over {}", pool, pool.page_source());
    });
    defmt::info!("{} blocks are available", PACKETS.available());
    defmt::info!("{}", hpalloc::BlockSize::new(1).err());
    defmt::info!("{}", PoolFull(Content { number: 0, payload: [0; 15] }));
}

hpalloc_target_harness::entry!(run);
