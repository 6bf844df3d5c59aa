//! Numbers of any of the four element types.

use half::{bf16, f16};

/// An element type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `f32`.
    F32,
    /// `f64`.
    F64,
    /// [`half::f16`].
    F16,
    /// [`half::bf16`].
    Bf16,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 4] = [Kind::F32, Kind::F64, Kind::F16, Kind::Bf16];

    /// The type that NumPy and PyTorch call so.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The name that NumPy and PyTorch use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Kind::F32 => "float32",
            Kind::F64 => "float64",
            Kind::F16 => "float16",
            Kind::Bf16 => "bfloat16",
        }
    }

    /// Size of one number in bytes.
    #[must_use]
    pub const fn size(self) -> usize {
        match self {
            Kind::F16 | Kind::Bf16 => 2,
            Kind::F32 => 4,
            Kind::F64 => 8,
        }
    }

    /// By how much rounding to this type can change a number between 0 and 1, at most.
    #[must_use]
    pub fn rounding(self, number: f64) -> f64 {
        let (fraction_bits, least_exponent) = match self {
            Kind::F32 => (24, -149),
            Kind::F64 => (53, -1074),
            Kind::F16 => (11, -24),
            Kind::Bf16 => (8, -133),
        };
        number.abs() * 2.0_f64.powi(-fraction_bits) + 2.0_f64.powi(least_exponent - 1)
    }
}

/// Numbers one after the other, of one type.
#[derive(Clone, Debug)]
pub enum Numbers {
    /// Of `f32`.
    F32(Vec<f32>),
    /// Of `f64`.
    F64(Vec<f64>),
    /// Of [`half::f16`].
    F16(Vec<f16>),
    /// Of [`half::bf16`].
    Bf16(Vec<bf16>),
}

/// Evaluates `$body` with `$vec` standing for the vector inside `$numbers`.
macro_rules! with_vec {
    ($numbers:expr, $vec:ident => $body:expr) => {
        match $numbers {
            Numbers::F32($vec) => $body,
            Numbers::F64($vec) => $body,
            Numbers::F16($vec) => $body,
            Numbers::Bf16($vec) => $body,
        }
    };
}

impl Numbers {
    /// As many numbers, all with these bits; surplus high bits are dropped.
    #[must_use]
    pub fn of_bits(kind: Kind, len: usize, bits: u64) -> Self {
        match kind {
            Kind::F32 => Numbers::F32(vec![f32::from_bits(bits as u32); len]),
            Kind::F64 => Numbers::F64(vec![f64::from_bits(bits); len]),
            Kind::F16 => Numbers::F16(vec![f16::from_bits(bits as u16); len]),
            Kind::Bf16 => Numbers::Bf16(vec![bf16::from_bits(bits as u16); len]),
        }
    }

    /// These values, each rounded to the type: for halves that of the `f32` nearest to it.
    #[must_use]
    pub fn of_f64(kind: Kind, values: &[f64]) -> Self {
        let singles = values.iter().map(|&value| value as f32);
        match kind {
            Kind::F32 => Numbers::F32(singles.collect()),
            Kind::F64 => Numbers::F64(values.to_vec()),
            Kind::F16 => Numbers::F16(singles.map(f16::from_f32).collect()),
            Kind::Bf16 => Numbers::Bf16(singles.map(bf16::from_f32).collect()),
        }
    }

    /// The numbers that these little-endian bytes mean.
    #[must_use]
    pub fn of_bytes(kind: Kind, bytes: &[u8]) -> Self {
        match kind {
            Kind::F32 => Numbers::F32(bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()),
            Kind::F64 => Numbers::F64(bytes.as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect()),
            Kind::F16 => Numbers::F16(bytes.as_chunks().0.iter().map(|&bytes| f16::from_le_bytes(bytes)).collect()),
            Kind::Bf16 => Numbers::Bf16(bytes.as_chunks().0.iter().map(|&bytes| bf16::from_le_bytes(bytes)).collect()),
        }
    }

    /// The type of the numbers.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Numbers::F32(_) => Kind::F32,
            Numbers::F64(_) => Kind::F64,
            Numbers::F16(_) => Kind::F16,
            Numbers::Bf16(_) => Kind::Bf16,
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        with_vec!(self, numbers => numbers.len())
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number at `index`, exactly.
    #[must_use]
    pub fn get(&self, index: usize) -> f64 {
        match self {
            Numbers::F32(numbers) => f64::from(numbers[index]),
            Numbers::F64(numbers) => numbers[index],
            Numbers::F16(numbers) => f64::from(numbers[index]),
            Numbers::Bf16(numbers) => f64::from(numbers[index]),
        }
    }

    /// Puts a number of this type that is next to `value` at `index`: for halves, what is left of it without its last 32 bits is
    /// rounded.
    pub fn set(&mut self, index: usize, value: f64) {
        match self {
            Numbers::F32(numbers) => numbers[index] = value as f32,
            Numbers::F64(numbers) => numbers[index] = value,
            Numbers::F16(numbers) => numbers[index] = f16::from_f64(value),
            Numbers::Bf16(numbers) => numbers[index] = bf16::from_f64(value),
        }
    }

    /// The bits of the number at `index`.
    #[must_use]
    pub fn bits(&self, index: usize) -> u64 {
        match self {
            Numbers::F32(numbers) => numbers[index].to_bits().into(),
            Numbers::F64(numbers) => numbers[index].to_bits(),
            Numbers::F16(numbers) => numbers[index].to_bits().into(),
            Numbers::Bf16(numbers) => numbers[index].to_bits().into(),
        }
    }

    /// Puts the number with these bits at `index`; surplus high bits are dropped.
    pub fn set_bits(&mut self, index: usize, bits: u64) {
        match self {
            Numbers::F32(numbers) => numbers[index] = f32::from_bits(bits as u32),
            Numbers::F64(numbers) => numbers[index] = f64::from_bits(bits),
            Numbers::F16(numbers) => numbers[index] = f16::from_bits(bits as u16),
            Numbers::Bf16(numbers) => numbers[index] = bf16::from_bits(bits as u16),
        }
    }

    /// All numbers, exactly.
    #[must_use]
    pub fn to_f64(&self) -> Vec<f64> {
        (0..self.len()).map(|index| self.get(index)).collect()
    }

    /// Where the first number lies.
    #[must_use]
    pub fn as_ptr(&self) -> *const u8 {
        with_vec!(self, numbers => numbers.as_ptr().cast())
    }

    /// Where the first number lies, to write.
    #[must_use]
    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        with_vec!(self, numbers => numbers.as_mut_ptr().cast())
    }
}
