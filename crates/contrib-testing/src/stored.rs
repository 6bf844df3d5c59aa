//! A tensor in a buffer of its own, with a canary in every element of the buffer that is not the tensor's.

use crate::layout::{Arrangement, Layout};
use crate::numbers::{Kind, Numbers};

/// Bits that no result has: in every type a NaN with a payload.
const CANARY: u64 = 0x7ffd_5a5a_7fe5_7fe5;

/// A tensor and the buffer that holds it.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The buffer.
    pub numbers: Numbers,
    /// Where the elements lie in it.
    pub layout: Layout,
}

impl Stored {
    /// A tensor whose elements, too, are canaries: one to be written.
    #[must_use]
    pub fn blank(kind: Kind, layout: Layout) -> Self {
        Stored { numbers: Numbers::of_bits(kind, layout.len, CANARY), layout }
    }

    /// A tensor whose elements are what `value` gives for each, in row-major order, rounded to its type. Where elements
    /// share memory the last one counts.
    #[must_use]
    pub fn from_fn(kind: Kind, layout: Layout, mut value: impl FnMut(usize) -> f64) -> Self {
        let mut stored = Self::blank(kind, layout);
        for (number, index) in stored.layout.indices().into_iter().enumerate() {
            stored.numbers.set(index, value(number));
        }
        stored
    }

    /// A tensor whose elements have the bits of these integers, given in row-major order: of `i32` where they are as large as
    /// `f32`, of `i64` where they are as large as `f64`.
    ///
    /// # Panics
    /// Where the type is as large as neither.
    #[must_use]
    pub fn of_integers(kind: Kind, layout: Layout, mut value: impl FnMut(usize) -> i64) -> Self {
        assert!(matches!(kind, Kind::F32 | Kind::F64), "no integers are as large as {kind:?}");
        let mut stored = Self::blank(kind, layout);
        for (number, index) in stored.layout.indices().into_iter().enumerate() {
            stored.numbers.set_bits(index, value(number) as u64);
        }
        stored
    }

    /// The integers whose bits the elements have, in row-major order.
    #[must_use]
    pub fn integers(&self) -> Vec<i64> {
        let integer = |bits: u64| if self.kind() == Kind::F64 { bits as i64 } else { i64::from(bits as i32) };
        self.bits().into_iter().map(integer).collect()
    }

    /// The elements of `values`, which are in row-major order and of this type.
    #[must_use]
    pub fn new(values: &Numbers, layout: Layout) -> Self {
        Self::from_fn(values.kind(), layout, |number| values.get(number))
    }

    /// The same elements in another layout of the same shape.
    #[must_use]
    pub fn laid_out(&self, layout: Arrangement) -> Self {
        let mut stored = Self::blank(self.kind(), layout(&self.layout.shape));
        for (index, bits) in stored.layout.indices().into_iter().zip(self.bits()) {
            stored.numbers.set_bits(index, bits);
        }
        stored
    }

    /// The element type.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.numbers.kind()
    }

    /// The elements in row-major order.
    #[must_use]
    pub fn elements(&self) -> Numbers {
        Numbers::of_f64(self.kind(), &self.to_f64())
    }

    /// The elements in row-major order, exactly.
    #[must_use]
    pub fn to_f64(&self) -> Vec<f64> {
        self.layout.indices().into_iter().map(|index| self.numbers.get(index)).collect()
    }

    /// The bits of the elements in row-major order.
    #[must_use]
    pub fn bits(&self) -> Vec<u64> {
        self.layout.indices().into_iter().map(|index| self.numbers.bits(index)).collect()
    }

    /// The bits of everything in the buffer.
    #[must_use]
    pub fn buffer_bits(&self) -> Vec<u64> {
        (0..self.numbers.len()).map(|index| self.numbers.bits(index)).collect()
    }

    /// Whether every element of the buffer that is not the tensor's still is a canary.
    #[must_use]
    pub fn is_untouched_around(&self) -> bool {
        let canary = Numbers::of_bits(self.kind(), 1, CANARY).bits(0);
        let mut bits = self.buffer_bits();
        for index in self.layout.indices() {
            bits[index] = canary;
        }
        bits.iter().all(|&bits| bits == canary)
    }

    /// Whether the whole buffer still is canaries.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        let canary = Numbers::of_bits(self.kind(), 1, CANARY).bits(0);
        self.buffer_bits().iter().all(|&bits| bits == canary)
    }
}
