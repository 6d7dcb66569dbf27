//! Routes packets whose headers and payloads are in separate pools, in memory whose size
//! is computed at compile time.
//!
//! ```sh
//! cargo run --release --example packet_pool
//! ```
//!
//! IPv4 packets arrive in bursts, at times faster than the ports can send them. The
//! router splits each packet: the header, which it inspects and changes, goes to one
//! pool, and the payload to a pool for either short or long payloads. While the memory is
//! exhausted, the router refuses packets. Packets that are sent make room again. At the
//! end, the example checks that each packet is accounted for and that each block has
//! returned to its pool.

use std::collections::VecDeque;
use std::error::Error;

use clap::Parser;
use hpalloc::{Arena, Borrowed, MemoryPlan, PAGE_SIZE, Page, Pool, PoolBox};

/// Routes packets through pools of fixed-size blocks.
#[derive(Parser)]
struct Options {
    /// The number of packets that arrive
    #[arg(long, default_value = "1000000")]
    packets: u32,
    /// The largest number of packets that arrive in one burst
    #[arg(long, default_value = "12", value_parser = clap::value_parser!(u32).range(1..))]
    burst: u32,
    /// The seed of the random packets
    #[arg(long, default_value = "1")]
    seed: u64,
}

/// The longest payload that counts as short, in bytes.
const SHORT: usize = 104;
/// The longest payload, in bytes.
const LONG: usize = 1480;
/// The number of packets that each port sends in the time between two bursts.
const PORT_RATES: [usize; 2] = [4, 3];

/// The memory for the expected packets: 128 at the same time, half of them short.
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

/// An IPv4 header without options, in wire format.
#[derive(Clone, Copy)]
struct Header([u8; 20]);

impl Header {
    fn new(len: usize, hops: u8, destination: u8) -> Self {
        let total = u16::try_from(20 + len).expect("a payload has at most LONG bytes");
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

    /// Returns `true` if the checksum is right: the header's words then add up to all
    /// ones (RFC 1071).
    fn is_intact(&self) -> bool {
        self.sum() == 0xFFFF
    }

    fn sum(&self) -> u16 {
        let words = self.0.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
        let sum: u32 = words.sum();
        let folded = (sum & 0xFFFF) + (sum >> 16);
        u16::try_from((folded & 0xFFFF) + (folded >> 16)).expect("the sum of ten words has at most one more carry")
    }

    fn sign(&mut self) {
        self.0[10..12].fill(0);
        let checksum = !self.sum();
        self.0[10..12].copy_from_slice(&checksum.to_be_bytes());
    }

    /// Uses up one hop. Returns `None` if that was the last one.
    fn hop(&mut self) -> Option<()> {
        self.0[8] = self.0[8].checked_sub(1).filter(|&left| left > 0)?;
        self.sign();
        Some(())
    }

    fn port(&self) -> usize {
        usize::from(self.0[18]) % PORT_RATES.len()
    }
}

/// The reason why the router refuses a packet.
enum Refusal {
    Damaged,
    Expired,
    NoBlock,
}

struct Router<'a> {
    packets: &'a Pool<Packet<'a>, Pages<'a>>,
    short: &'a Pool<[u8; SHORT], Pages<'a>>,
    long: &'a Pool<[u8; LONG], Pages<'a>>,
    /// The packets that wait to be sent, for each port.
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

    /// Stores a packet, or returns `None` if there is no memory for all of it. Blocks
    /// that were allocated before the failure return to their pools automatically.
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

/// Makes the packet with this number. Returns `true` if the packet was damaged on its way
/// here.
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

/// Returns `true` if the packet is one that `make_frame` made for this port.
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
                _ if was_damaged => return Err("a damaged header was accepted".into()),
                Err(Refusal::Expired) => expired += 1,
                Err(Refusal::NoBlock) => refused += 1,
                Ok(()) => {}
            }
        }
        for (number, (port, rate)) in router.ports.iter_mut().zip(PORT_RATES).enumerate() {
            for packet in port.drain(..rate.min(port.len())) {
                if !is_as_sent(&packet, number) {
                    return Err("the contents of a packet were overwritten".into());
                }
                sent += 1;
            }
        }
    }
    drop(router);

    println!("{arrived} packets arrived: {sent} sent, {damaged} damaged, {expired} expired, {refused} out of memory");
    println!("{} pages of {PAGE_SIZE} bytes, as planned:", arena.total_pages());
    for (name, pool) in [("headers", packets.blocks()), ("short", short.blocks()), ("long", long.blocks())] {
        println!(
            "{name:>8}: blocks of {:4} bytes, at most {:3} in use at the same time",
            pool.block_size(),
            pool.peak_blocks()
        );
        if pool.free_blocks() != pool.peak_blocks() {
            return Err(format!("{name}: a block did not return to its pool").into());
        }
    }
    if sent + damaged + expired + refused != arrived {
        return Err("a packet is not accounted for".into());
    }
    Ok(())
}
