//! A router's packets: headers and payloads in blocks of their own, of memory that is planned in a constant.
//!
//! ```sh
//! cargo run --release --example packet_pool
//! ```
//!
//! Packets of IPv4 arrive in bursts, faster at times than the ports can send. Each is taken apart: the header, which the
//! router looks at and changes, goes to one pool, the payload to another, for short ones or for long ones. When the memory
//! is used up packets are refused, and the ones that are sent make room again. At the end each packet has to be accounted
//! for, and each block has to be back.

use std::collections::VecDeque;
use std::error::Error;

use clap::Parser;
use hpalloc::{Arena, Borrowed, MemoryPlan, PAGE_SIZE, Page, Pool, PoolBox};

/// Routes packets through pools of fixed-size blocks.
#[derive(Parser)]
struct Options {
    /// How many packets arrive
    #[arg(long, default_value = "1000000")]
    packets: u32,
    /// The most that arrive at once
    #[arg(long, default_value = "12", value_parser = clap::value_parser!(u32).range(1..))]
    burst: u32,
    /// Chooses other packets
    #[arg(long, default_value = "1")]
    seed: u64,
}

/// Payloads of up to so many bytes are short.
const SHORT: usize = 104;
/// No payload is longer.
const LONG: usize = 1480;
/// What a port sends in the time in which a burst arrives.
const PORT_RATES: [usize; 2] = [4, 3];

/// Memory for so many packets, if they are as expected.
const PLAN: MemoryPlan =
    MemoryPlan::new().values::<Packet<'static>>(128).values::<[u8; SHORT]>(64).values::<[u8; LONG]>(64);

type Pages<'a> = &'a Arena<Borrowed<'a>>;
type Block<'a, T> = PoolBox<T, &'a Pool<T, Pages<'a>>>;

struct Packet<'a> {
    header: Header,
    payload: Payload<'a>,
    len: usize,
}

enum Payload<'a> {
    Short(Block<'a, [u8; SHORT]>),
    Long(Block<'a, [u8; LONG]>),
}

impl Packet<'_> {
    fn payload(&self) -> &[u8] {
        match &self.payload {
            Payload::Short(block) => &block[..self.len],
            Payload::Long(block) => &block[..self.len],
        }
    }
}

/// A header of IPv4 without options, as it is on the wire.
#[derive(Clone, Copy)]
struct Header([u8; 20]);

impl Header {
    fn new(len: usize, hops: u8, destination: u8) -> Self {
        let total = u16::try_from(20 + len).expect("at most LONG");
        let mut bytes = [0; 20];
        bytes[0] = 0x45;
        bytes[2..4].copy_from_slice(&total.to_be_bytes());
        bytes[8] = hops;
        bytes[9] = 17;
        bytes[12..16].copy_from_slice(&[10, 0, 0, 1]);
        bytes[16..20].copy_from_slice(&[10, 0, destination, 1]);
        let mut header = Self(bytes);
        header.sign();
        header
    }

    /// The sum of the header's words is all ones where its checksum is right (RFC 1071).
    fn is_intact(&self) -> bool {
        self.sum() == 0xFFFF
    }

    fn sum(&self) -> u16 {
        let words = self.0.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
        let sum: u32 = words.sum();
        let folded = (sum & 0xFFFF) + (sum >> 16);
        u16::try_from((folded & 0xFFFF) + (folded >> 16)).expect("ten words have one carry more at most")
    }

    fn sign(&mut self) {
        self.0[10..12].fill(0);
        let checksum = !self.sum();
        self.0[10..12].copy_from_slice(&checksum.to_be_bytes());
    }

    /// One hop fewer, or `None` after the last.
    fn hop(&mut self) -> Option<()> {
        self.0[8] = self.0[8].checked_sub(1).filter(|&left| left > 0)?;
        self.sign();
        Some(())
    }

    fn port(&self) -> usize {
        usize::from(self.0[18]) % PORT_RATES.len()
    }
}

/// Why the router doesn't forward a packet.
enum Refusal {
    Damaged,
    Expired,
    NoBlock,
}

struct Router<'a> {
    packets: &'a Pool<Packet<'a>, Pages<'a>>,
    short: &'a Pool<[u8; SHORT], Pages<'a>>,
    long: &'a Pool<[u8; LONG], Pages<'a>>,
    /// What waits to be sent.
    ports: [VecDeque<Block<'a, Packet<'a>>>; PORT_RATES.len()],
}

impl<'a> Router<'a> {
    fn receive(&mut self, frame: &[u8]) -> Result<(), Refusal> {
        let (&header, payload) = frame.split_first_chunk().ok_or(Refusal::Damaged)?;
        let mut header = Header(header);
        if !header.is_intact() || payload.len() > LONG {
            return Err(Refusal::Damaged);
        }
        header.hop().ok_or(Refusal::Expired)?;
        let port = header.port();
        let packet = self.store(header, payload).ok_or(Refusal::NoBlock)?;
        self.ports[port].push_back(packet);
        Ok(())
    }

    /// `None` where there is no memory for all of it. What was allocated until then goes back by itself.
    fn store(&self, header: Header, bytes: &[u8]) -> Option<Block<'a, Packet<'a>>> {
        let len = bytes.len();
        let payload = if len <= SHORT {
            let mut block = self.short.alloc_with(|| [0; SHORT])?;
            block[..len].copy_from_slice(bytes);
            Payload::Short(block)
        } else {
            let mut block = self.long.alloc_with(|| [0; LONG])?;
            block[..len].copy_from_slice(bytes);
            Payload::Long(block)
        };
        self.packets.alloc(Packet { header, payload, len }).ok()
    }
}

/// The packet number `number`, and whether it was damaged on its way here.
fn make_frame(frame: &mut Vec<u8>, number: u32, random: &mut fastrand::Rng) -> bool {
    let len = if random.u8(..) < 150 { random.usize(4..=SHORT) } else { random.usize(SHORT + 1..=LONG) };
    let header = Header::new(len, random.u8(1..64), random.u8(..));
    frame.clear();
    frame.extend_from_slice(&header.0);
    frame.extend_from_slice(&number.to_le_bytes());
    frame.resize(20 + len, number.to_le_bytes()[0]);
    let damaged = random.u8(..) == 0;
    if damaged {
        frame[random.usize(0..20)] ^= 1 << random.u8(0..8);
    }
    damaged
}

/// Whether it is what `make_frame` made for this port, one hop later.
fn is_as_sent(packet: &Packet<'_>, port: usize) -> bool {
    let (number, rest) = packet.payload().split_at(4);
    packet.header.is_intact() && packet.header.port() == port && rest.iter().all(|&byte| byte == number[0])
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let mut memory: Vec<_> = (0..PLAN.pages()).map(|_| Page::new()).collect();
    let arena = Arena::from_pages(&mut memory)?;
    let (short, long) = (Pool::new(&arena), Pool::new(&arena));
    let packets = Pool::new(&arena);
    let mut router = Router { packets: &packets, short: &short, long: &long, ports: Default::default() };

    let mut random = fastrand::Rng::with_seed(options.seed);
    let mut frame = Vec::new();
    let (mut sent, mut damaged, mut expired, mut refused) = (0, 0, 0, 0);
    let mut arrived = 0;
    while arrived < options.packets || router.ports.iter().any(|port| !port.is_empty()) {
        for _ in 0..random.u32(0..=options.burst).min(options.packets - arrived) {
            let was_damaged = make_frame(&mut frame, arrived, &mut random);
            arrived += 1;
            match router.receive(&frame) {
                Err(Refusal::Damaged) => damaged += 1,
                _ if was_damaged => return Err("a damaged header was taken for a good one".into()),
                Err(Refusal::Expired) => expired += 1,
                Err(Refusal::NoBlock) => refused += 1,
                Ok(()) => {}
            }
        }
        for (number, (port, rate)) in router.ports.iter_mut().zip(PORT_RATES).enumerate() {
            for packet in port.drain(..rate.min(port.len())) {
                if !is_as_sent(&packet, number) {
                    return Err("a packet was sent with another's contents".into());
                }
                sent += 1;
            }
        }
    }
    drop(router);

    println!("{arrived} packets arrived: {sent} sent, {damaged} damaged, {expired} expired, {refused} without a block");
    println!("{} pages of {PAGE_SIZE} bytes, all that there are:", arena.total_pages());
    for (name, pool) in [("headers", packets.blocks()), ("short", short.blocks()), ("long", long.blocks())] {
        println!("{name:>8}: blocks of {:4} bytes, {:3} at the peak", pool.block_size(), pool.peak_blocks());
        if pool.free_blocks() != pool.peak_blocks() {
            return Err(format!("{name}: a block is lost").into());
        }
    }
    if sent + damaged + expired + refused != arrived {
        return Err("a packet is not accounted for".into());
    }
    Ok(())
}
