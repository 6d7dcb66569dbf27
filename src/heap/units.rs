/// The unit of memory: every block starts at a multiple of it and takes a multiple of it. Large enough for a hole's word.
pub(super) const GRANULE: usize = 8;

/// How many granules a region has. Each region has two bytes of the summary, and one that says where its first hole starts.
pub(super) const REGION: usize = 64;

static_assertions::const_assert!(GRANULE >= size_of::<usize>());

/// How many granules `bytes` take. None take more than any memory has, so that nobody gets a block of them.
pub(super) const fn granules(bytes: usize) -> usize {
    bytes.wrapping_sub(1) / GRANULE + 1
}

/// The logarithm of a number that isn't zero, rounded down; `ilog2` links a panic.
pub(super) const fn log2(number: usize) -> u32 {
    usize::BITS - 1 - number.leading_zeros()
}

/// A number of granules as the summary holds it: exact up to `EXACT`, above that a floating-point number of eleven bits.
///
/// The order of classes is the order of sizes. [`Class::of`] rounds down and [`Class::above`] rounds up, so a hole has room
/// for a request if the hole's class is at least the one above the request.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(transparent)]
pub(super) struct Class(pub(super) u16);

/// Bits of a size that is held exactly.
const EXACT_BITS: u32 = 14;
const EXACT: usize = 1 << EXACT_BITS;
const MANTISSA_BITS: u32 = 10;
/// How many powers of two there are above that, so that the highest bit of a class stays free. Sizes beyond are one class.
const OCTAVES: u32 = (1 << (15 - MANTISSA_BITS)) - (1 << (EXACT_BITS - MANTISSA_BITS));

// No hole has the last class: a request of that class fits nowhere.
static_assertions::const_assert!(Class::of(crate::MAX_ARENA_SIZE / GRANULE).0 < u16::MAX >> 1);

#[allow(clippy::cast_possible_truncation, reason = "a class has 15 bits")]
impl Class {
    /// No hole at all.
    pub(super) const NONE: Self = Self(0);
    /// The smallest hole.
    pub(super) const ANY: Self = Self(1);

    /// The class of a hole.
    pub(super) const fn of(granules: usize) -> Self {
        if granules < EXACT { Self(granules as u16) } else { Self::of_many(granules) }
    }

    /// The smallest class whose holes all have room for `granules`.
    pub(super) const fn above(granules: usize) -> Self {
        if granules < EXACT {
            Self(granules as u16)
        } else {
            Self::of_many(granules + (1 << (log2(granules) - MANTISSA_BITS)) - 1)
        }
    }

    #[cold]
    const fn of_many(granules: usize) -> Self {
        let exponent = log2(granules);
        let octave = exponent - EXACT_BITS;
        if octave >= OCTAVES {
            return Self(u16::MAX >> 1);
        }
        let mantissa = (granules >> (exponent - MANTISSA_BITS)) & ((1 << MANTISSA_BITS) - 1);
        Self((EXACT | (octave as usize) << MANTISSA_BITS | mantissa) as u16)
    }

    /// The smallest size of this class: the largest request that each of its holes has room for.
    pub(super) const fn granules(self) -> usize {
        let class = self.0 as usize;
        if class < EXACT {
            return class;
        }
        let octave = (class - EXACT) >> MANTISSA_BITS;
        let mantissa = class & ((1 << MANTISSA_BITS) - 1);
        (mantissa | 1 << MANTISSA_BITS) << (octave as u32 + EXACT_BITS - MANTISSA_BITS)
    }
}
