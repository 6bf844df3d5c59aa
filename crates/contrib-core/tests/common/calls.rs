//! What random calls are made of, and how exact their results have to be.

use contrib_testing::{Axis, Kind, Layout, Random, Stored};
use proptest::prelude::*;
use std::fmt;

/// So many cases of each property.
pub fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// How a tensor is stored: its type, the order of its axes in memory (as a seed), and how each lies.
#[derive(Clone)]
pub struct Storage {
    pub kind: Kind,
    order: u64,
    axes: Vec<Axis>,
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, order {}", self.kind, self.order)?;
        for Axis { reversed, gap, broadcast } in &self.axes {
            let sign = if *reversed { '-' } else { '+' };
            if *broadcast { f.write_str(", broadcast")? } else { write!(f, ", {sign}{gap}")? }
        }
        Ok(())
    }
}

impl Storage {
    pub fn layout(&self, shape: &[usize], can_broadcast: bool) -> Layout {
        let mut order: Vec<usize> = (0..shape.len()).collect();
        // Half of all tensors have their vectors innermost, as nearly all do in practice.
        let shuffled = if self.order.is_multiple_of(2) { shape.len().saturating_sub(1) } else { shape.len() };
        let mut random = Random::new(self.order);
        for axis in (1..shuffled).rev() {
            order.swap(axis, random.below(axis + 1));
        }
        let axis = |&axis: &Axis| Axis { broadcast: axis.broadcast && can_broadcast, ..axis };
        Layout::arranged(shape, &order, &self.axes[..shape.len()].iter().map(axis).collect::<Vec<_>>())
    }
}

pub fn storage(kind: impl Strategy<Value = Kind>) -> impl Strategy<Value = Storage> {
    let gap = prop_oneof![3 => Just(0), 1 => 1_usize..4];
    let axis = (prop::bool::weighted(0.2), gap, prop::bool::weighted(0.07));
    let axis = axis.prop_map(|(reversed, gap, broadcast)| Axis { reversed, gap, broadcast });
    let some_or_plain = prop_oneof![
        1 => Just(vec![Axis::default(); 6]),
        1 => prop::collection::vec(axis, 6),
    ];
    (kind, any::<u64>(), some_or_plain).prop_map(|(kind, order, axes)| Storage { kind, order, axes })
}

/// Lengths of vectors: any, and around those where something changes in how they are read.
pub fn len() -> impl Strategy<Value = usize> {
    prop_oneof![
        8 => 0_usize..40,
        8 => 0_usize..700,
        4 => (1_usize..40, -2_isize..3).prop_map(|(n, off)| (16 * n).saturating_add_signed(off)),
        4 => (1_usize..5, -2_isize..3).prop_map(|(n, off)| (256 * n).saturating_add_signed(off)),
        1 => (2_usize..3, -2_isize..3).prop_map(|(n, off)| (1024 * n).saturating_add_signed(off)),
        1 => 2049_usize..4500,
    ]
}

/// Makes one element of a tensor NaN or infinite.
pub fn make_odd(stored: &mut Stored, random: &mut Random) {
    let indices = stored.layout.indices();
    if !indices.is_empty() {
        let odd = [f64::NAN, f64::INFINITY, -f64::INFINITY][random.below(3)];
        stored.numbers.set(indices[random.below(indices.len())], odd);
    }
}

/// By how much a contribution may be off before it is rounded to the type of its output, beside what is allowed for its
/// part and its whole.
pub const EXACT: f64 = 1e-13;

/// By how much a proximity may be off, as a share of the part's norm, where the library calculates in `f32`: a few roundings
/// of each element, however large the whole is.
pub const GAIN_ERROR: f64 = 1.0 / (1 << 22) as f64;

/// By how many units in the last place of the norm the proximities of the library and of the oracle may differ, though
/// both sum in `f64`. The oracle adds one element after the other; where they are all alike the roundings of a sum all
/// go the same way, and are as many as there are elements.
///
/// A contribution then differs by that over the sum of proximities, and by its share of the differences of all parts:
/// which is nothing unless proximities are near the least.
pub fn ulps_of_norm(len: usize) -> f64 {
    16.0 + len as f64
}
