//! Random calls with factored parts against the oracle, which gets the vectors that the factors make.

mod common;

use common::calls::{EXACT, GAIN_ERROR, Storage, cases, len, make_odd, storage, ulps_of_norm};
use common::{view, view_indices, view_mut};
use contrib_core::{Directions, FactoredParts, Group, Norm, Options, Out, Parts, TopK, group_contributions};
use contrib_testing::{Kind, Random, Stored, naive};
use proptest::prelude::*;
use proptest::sample::select;

const NORMS: [f64; 5] = [1.0, 2.0, f64::INFINITY, 3.0, 2.7];

/// How the parts of a group are given.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Dense,
    Vectors,
    /// Values of so many elements times a matrix.
    Projected(usize),
}

/// Which coefficients are 0.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Zeros {
    None,
    /// Most of them.
    Most,
    /// Those of some batch entries, all of them.
    Entries,
    /// Those of the first parts in all batch entries.
    First,
    All,
}

/// What is written of a group.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Wanted {
    Each,
    /// Sums over so many part axes, or all.
    Sums(usize),
    /// So many of the strongest, or all.
    TopK(usize),
}

/// A group of a call.
#[derive(Clone, Debug)]
struct Described {
    axes: Vec<usize>,
    form: Form,
    /// A bit for each axis of parts and batch along which directions, matrix, and scale are the same.
    shared: [u32; 3],
    has_scale: bool,
    leave_out_zeros: bool,
    zeros: Zeros,
    /// The typical size of a part beside the whole.
    size: f64,
    /// How far directions are from that of the whole.
    noise: f64,
    wanted: Wanted,
    /// Of coefficients, directions, matrix, scale and results.
    storages: Vec<Storage>,
    indices: Storage,
}

/// A call of the primitive.
#[derive(Clone, Debug)]
struct Call {
    norm: f64,
    batch: Vec<usize>,
    len: usize,
    groups: Vec<Described>,
    threshold: f64,
    /// The typical magnitude of an element of the whole, and how much wholes differ.
    magnitude: f64,
    variety: f64,
    /// Elements of the groups' tensors, and of the whole, that become NaN or infinite.
    odd: [usize; 2],
    seed: u64,
    whole: Storage,
}

/// The tensors of a group.
struct Inputs {
    /// The parts themselves, where they are dense.
    coefficients: Stored,
    /// The directions or values.
    directions: Option<Stored>,
    matrix: Option<Stored>,
    scale: Option<Stored>,
}

/// Numbers with random signs, a quarter of them negative, from half of `size` to one and a half.
fn coefficient(size: f64, random: &mut Random) -> f64 {
    let magnitude = size * (0.5 + random.unit());
    if random.below(4) == 0 { -magnitude } else { magnitude }
}

/// The extents with 1 where a bit of `shared` says so.
fn sharing(extents: &[usize], shared: u32) -> Vec<usize> {
    extents.iter().enumerate().map(|(axis, &extent)| if shared >> axis & 1 == 1 { 1 } else { extent }).collect()
}

/// Where the element `number` of a tensor of shape `all` is in one of shape `own`, which may have 1 in place of an extent.
fn place(all: &[usize], own: &[usize], number: usize) -> usize {
    let (mut rest, mut step, mut place) = (number, 1, 0);
    for (&all, &own) in all.iter().zip(own).rev() {
        place += rest % all % own * step;
        rest /= all;
        step *= own;
    }
    place
}

impl Call {
    fn entries(&self) -> usize {
        self.batch.iter().product()
    }

    /// The axes of parts and batch of a group.
    fn all_axes(&self, group: &Described) -> Vec<usize> {
        [&group.axes[..], &self.batch].concat()
    }

    /// The whole and the tensors of each group.
    fn inputs(&self) -> (Stored, Vec<Inputs>) {
        let random = &mut Random::new(self.seed);
        let base: Vec<f64> = (0..self.len).map(|_| self.magnitude * random.normal()).collect();
        let shape = [&self.batch[..], &[self.len]].concat();
        let mut whole = Stored::from_fn(self.whole.kind, self.whole.layout(&shape, true), |number| {
            base[number % self.len] + self.variety * self.magnitude * random.normal()
        });
        for _ in 0..self.odd[1] {
            make_odd(&mut whole, random);
        }
        let mut groups: Vec<Inputs> = self.groups.iter().map(|group| self.inputs_of(group, &base, random)).collect();
        for _ in 0..self.odd[0] {
            let number = random.below(groups.len());
            let Inputs { coefficients, directions, matrix, scale } = &mut groups[number];
            let mut all: Vec<&mut Stored> = [Some(coefficients), directions.as_mut(), matrix.as_mut(), scale.as_mut()]
                .into_iter()
                .flatten()
                .collect();
            let number = random.below(all.len());
            make_odd(all[number], random);
        }
        (whole, groups)
    }

    fn inputs_of(&self, group: &Described, base: &[f64], random: &mut Random) -> Inputs {
        let all = self.all_axes(group);
        let stored = |number: usize, shape: &[usize], value: &mut dyn FnMut(usize) -> f64| {
            let storage = &group.storages[number];
            Stored::from_fn(storage.kind, storage.layout(shape, true), value)
        };
        let with = |axes: &[usize], more: &[usize]| [axes, more].concat();
        let towards_base =
            |column: usize, random: &mut Random| base[column] + group.noise * self.magnitude * random.normal();
        if group.form == Form::Dense {
            let parts = stored(0, &with(&all, &[self.len]), &mut |number| {
                coefficient(group.size, random) * towards_base(number % self.len, random)
            });
            return Inputs { coefficients: parts, directions: None, matrix: None, scale: None };
        }
        let entries = self.entries();
        let all_zero: Vec<bool> = (0..entries).map(|_| random.below(2) == 0).collect();
        let parts: usize = group.axes.iter().product();
        let coefficients = stored(0, &all, &mut |number| {
            let is_zero = match group.zeros {
                Zeros::None => false,
                Zeros::Most => random.below(4) > 0,
                Zeros::Entries => all_zero[number % entries],
                Zeros::First => number / entries < parts / 2,
                Zeros::All => true,
            };
            let zero = if random.below(4) == 0 { -0.0 } else { 0.0 };
            if is_zero { zero } else { coefficient(group.size, random) }
        });
        let own = sharing(&all, group.shared[0]);
        let (directions, matrix) = match group.form {
            Form::Dense => unreachable!("they were made above"),
            Form::Vectors => {
                let of = |number: usize| towards_base(number % self.len, random);
                (stored(1, &with(&own, &[self.len]), &mut { of }), None)
            }
            Form::Projected(rows) => {
                // The first row goes where the whole does.
                let values = stored(1, &with(&own, &[rows]), &mut |number| {
                    if number % rows == 0 { 0.5 + random.unit() } else { group.noise * random.normal() }
                });
                let axes = sharing(&group.axes, group.shared[1]);
                let matrix = stored(2, &with(&axes, &[rows, self.len]), &mut |number| {
                    let own = self.magnitude * random.normal() / (rows as f64).sqrt();
                    if (number / self.len).is_multiple_of(rows) { base[number % self.len] } else { own }
                });
                (values, Some(matrix))
            }
        };
        let scale = group.has_scale.then(|| {
            let axes = sharing(&shape_of_scale(self), group.shared[2]);
            stored(3, &axes, &mut |_| 0.5 + random.unit())
        });
        Inputs { coefficients, directions: Some(directions), matrix, scale }
    }
}

fn shape_of_scale(call: &Call) -> Vec<usize> {
    [&call.batch[..], &[call.len]].concat()
}

impl Described {
    fn count(&self) -> usize {
        self.axes.iter().product()
    }

    /// Part axes that results are summed over.
    fn summed(&self) -> usize {
        if let Wanted::Sums(axes) = self.wanted { axes.min(self.axes.len()) } else { 0 }
    }

    fn strongest(&self) -> Option<usize> {
        if let Wanted::TopK(count) = self.wanted { Some(count.min(self.count())) } else { None }
    }
}

/// A part of a group and what it is made of.
struct Part {
    vector: Vec<f64>,
    /// The same of the magnitudes of all factors: what roundings are in proportion to.
    magnitudes: Vec<f64>,
    is_left_out: bool,
}

/// The values of a group's tensors.
struct Values<'a> {
    call: &'a Call,
    group: &'a Described,
    inputs: &'a Inputs,
    coefficients: Vec<f64>,
    directions: Vec<f64>,
    matrix: Vec<f64>,
    scale: Vec<f64>,
}

impl<'a> Values<'a> {
    fn new(call: &'a Call, group: &'a Described, inputs: &'a Inputs) -> Self {
        let values = |stored: &Option<Stored>| stored.as_ref().map_or(Vec::new(), Stored::to_f64);
        Values {
            call,
            group,
            inputs,
            coefficients: inputs.coefficients.to_f64(),
            directions: values(&inputs.directions),
            matrix: values(&inputs.matrix),
            scale: values(&inputs.scale),
        }
    }

    fn part(&self, part: usize, entry: usize) -> Part {
        let (call, group, inputs) = (self.call, self.group, self.inputs);
        let vector = |values: &[f64], number: usize, len: usize| values[number * len..][..len].to_vec();
        let magnitudes = |vector: &[f64]| -> Vec<f64> { vector.iter().map(|number| number.abs()).collect() };
        let number = part * call.entries() + entry;
        let Some(directions) = &inputs.directions else {
            let vector = vector(&self.coefficients, number, call.len);
            return Part { magnitudes: vector.clone(), vector, is_left_out: false };
        };
        let all = call.all_axes(group);
        let axes = &directions.layout.shape;
        let own = place(&all, &axes[..all.len()], number);
        let (direction, of_magnitudes) = match &inputs.matrix {
            None => {
                let direction = vector(&self.directions, own, call.len);
                (direction.clone(), magnitudes(&direction))
            }
            Some(matrix) => {
                let rows = axes[all.len()];
                let value = vector(&self.directions, own, rows);
                let own = place(&group.axes, &matrix.layout.shape[..group.axes.len()], part);
                let matrix = vector(&self.matrix, own, rows * call.len);
                let project = |value: &[f64], matrix: &[f64]| naive::projected(value, matrix, call.len);
                (project(&value, &matrix), project(&magnitudes(&value), &magnitudes(&matrix)))
            }
        };
        let scale: Vec<f64> = match &inputs.scale {
            None => vec![1.0; call.len],
            Some(scale) => {
                let all = shape_of_scale(call);
                let of = |i| self.scale[place(&all, &scale.layout.shape, entry * call.len + i)];
                (0..call.len).map(of).collect()
            }
        };
        let coefficient = self.coefficients[number];
        Part {
            vector: naive::factored_part(coefficient, &direction, &scale),
            magnitudes: naive::factored_part(coefficient, &of_magnitudes, &magnitudes(&scale)),
            is_left_out: group.leave_out_zeros && coefficient == 0.0,
        }
    }

    /// Whether proximities are calculated in `f32`.
    fn is_in_f32(&self) -> bool {
        let kinds = [Some(&self.inputs.coefficients), self.inputs.directions.as_ref(), self.inputs.matrix.as_ref()];
        let has_f64 =
            kinds.into_iter().flatten().map(Stored::kind).chain([self.call.whole.kind]).any(|kind| kind == Kind::F64);
        [1.0, 2.0].contains(&self.call.norm) && !has_f64 && self.inputs.scale.is_none()
    }

    /// By how much the proximity of a part of this group may be off because of how it is calculated.
    fn error(&self, part: &Part) -> f64 {
        let share = match (self.group.form, self.is_in_f32()) {
            (Form::Dense, false) => 0.0,
            (Form::Dense, true) => GAIN_ERROR,
            (Form::Vectors, true) => ROUNDINGS_OF_VECTORS * ROUNDING_IN_F32,
            (Form::Projected(_), true) => ROUNDINGS_OF_PROJECTED * ROUNDING_IN_F32,
            (Form::Vectors, false) => ROUNDINGS_OF_VECTORS * ROUNDING_IN_F64,
            // The oracle adds all terms one after the other.
            (Form::Projected(rows), false) => (ROUNDINGS_OF_PROJECTED + rows as f64) * ROUNDING_IN_F64,
        };
        let norm = naive::norm(&part.magnitudes, self.call.norm);
        if norm.is_finite() { share * norm } else { 0.0 }
    }
}

/// By how much one rounding changes a number, as a share of it, at most.
const ROUNDING_IN_F32: f64 = 1.0 / (1 << 24) as f64;
const ROUNDING_IN_F64: f64 = f64::EPSILON / 2.0;

/// How many roundings the proximity of a part goes through, at most, each in proportion to the magnitudes of what the part
/// is made of. An inner product has one for each term and 32 for the sum of 32 terms, before sums are in `f64`. In the
/// 1-norm what goes beyond the whole is multiplied, subtracted, and added up sixteen times: 33 + 18. In the 2-norm the whole
/// is rounded too, and twice the product is divided by a sum of norms that may be as small as the whole's: 2 * 34.
const ROUNDINGS_OF_VECTORS: f64 = 72.0;

/// The same for values that a matrix projects. In the 1-norm the sums of the matrix are inner products, rounded to `f32`, and
/// so are the products of values with those: 2 * 34; what goes beyond the whole has such a product in it: 18 + 34. In the
/// 2-norm 2 * (2 * 34 + 2) and, for the square of the direction, which is such a product, 2 * 34.
const ROUNDINGS_OF_PROJECTED: f64 = 208.0;

fn described(
    kinds: &'static [Kind],
    axes: impl Strategy<Value = Vec<usize>>,
    can_scale: bool,
) -> impl Strategy<Value = Described> {
    let rows = prop_oneof![1 => Just(0_usize), 6 => 1_usize..20, 3 => 30_usize..36, 1 => 60_usize..70];
    let form = prop_oneof![1 => Just(Form::Dense), 3 => Just(Form::Vectors), 3 => rows.prop_map(Form::Projected)];
    let zeros = prop_oneof![
        3 => Just(Zeros::None),
        2 => Just(Zeros::Most),
        2 => Just(Zeros::Entries),
        1 => Just(Zeros::First),
        1 => Just(Zeros::All),
    ];
    let wanted = prop_oneof![
        3 => Just(Wanted::Each),
        1 => (0_usize..4).prop_map(Wanted::Sums),
        1 => (0_usize..9).prop_map(Wanted::TopK),
    ];
    let shared = [any::<u32>(), any::<u32>(), any::<u32>()];
    let size = prop_oneof![Just(1e-6), Just(1e-2), Just(0.3), Just(1.0), Just(1.5), Just(4.0), Just(1e3)];
    let numbers = (size, select(&[0.0, 0.3, 3.0][..]), zeros);
    let choices = (prop::bool::weighted(if can_scale { 0.2 } else { 0.0 }), prop::bool::weighted(0.3), wanted);
    let storages = prop::collection::vec(storage(select(kinds)), 4);
    let results = (storage(select(&Kind::ALL[..])), storage(select(&[Kind::F32, Kind::F64][..])));
    (axes, form, shared, numbers, choices, storages, results).prop_map(
        |(axes, form, shared, (size, noise, zeros), (has_scale, leave_out_zeros, wanted), mut storages, results)| {
            storages.push(results.0);
            let indices = results.1;
            Described { axes, form, shared, has_scale, leave_out_zeros, zeros, size, noise, wanted, storages, indices }
        },
    )
}

fn call(
    kinds: &'static [Kind],
    norms: &'static [f64],
    len: impl Strategy<Value = usize>,
    axes: impl Strategy<Value = Vec<usize>> + Clone,
    can_scale: bool,
) -> impl Strategy<Value = Call> {
    let extent = prop_oneof![1 => Just(0_usize), 20 => 1_usize..6];
    let batch = prop::collection::vec(extent, 0..3);
    let groups = prop::collection::vec(described(kinds, axes, can_scale), 1..4);
    let threshold = prop_oneof![4 => Just(0.0), 1 => select(&[-1.0, 1e-3, 0.1, 0.5, 1.0][..])];
    let odd = prop_oneof![6 => Just([0, 0]), 1 => Just([1, 0]), 1 => Just([4, 0]), 1 => Just([0, 1])];
    let magnitude = prop_oneof![4 => Just(1.0), 1 => Just(1e-3), 1 => Just(30.0), 1 => Just(0.0)];
    let numbers = (threshold, magnitude, select(&[0.0, 0.3, 1.0][..]), odd, any::<u64>());
    (select(norms), batch, len, groups, numbers, storage(select(kinds))).prop_map(
        |(norm, batch, len, groups, (threshold, magnitude, variety, odd, seed), whole)| Call {
            norm,
            batch,
            len,
            groups,
            threshold,
            magnitude,
            variety,
            odd,
            seed,
            whole,
        },
    )
}

/// Part axes, of some parts.
fn few_parts() -> impl Strategy<Value = Vec<usize>> + Clone {
    let extent = || prop_oneof![1 => Just(0_usize), 20 => 1_usize..5, 2 => 15_usize..19, 1 => 30_usize..35];
    prop::collection::vec(extent(), 0..4).prop_filter("not too many", |axes| axes.iter().product::<usize>() <= 600)
}

/// Part axes, of more parts than a tile of directions has.
fn many_parts() -> impl Strategy<Value = Vec<usize>> + Clone {
    prop_oneof![(1000_usize..1060).prop_map(|count| vec![count]), (500_usize..530).prop_map(|count| vec![2, count])]
}

/// The results of a call: those of each group, and the indices of its strongest.
fn results(call: &Call, whole: &Stored, inputs: &[Inputs]) -> (Vec<Stored>, Vec<Stored>) {
    let shape = |group: &Described| match group.strongest() {
        Some(count) => [&call.batch[..], &[count]].concat(),
        None => [&group.axes[group.summed()..], &call.batch].concat(),
    };
    let blank = |storage: &Storage, shape: &[usize]| Stored::blank(storage.kind, storage.layout(shape, false));
    let mut outputs: Vec<Stored> = call.groups.iter().map(|group| blank(&group.storages[4], &shape(group))).collect();
    let mut indices: Vec<Stored> = call.groups.iter().map(|group| blank(&group.indices, &shape(group))).collect();
    let mut groups = Vec::new();
    for (((group, inputs), out), indices) in call.groups.iter().zip(inputs).zip(&mut outputs).zip(&mut indices) {
        let parts = match &inputs.directions {
            None => Parts::Dense(view(&inputs.coefficients)),
            Some(directions) => Parts::Factored(FactoredParts {
                coefficients: view(&inputs.coefficients).into(),
                directions: match &inputs.matrix {
                    None => Directions::Vectors(view(directions)),
                    Some(matrix) => {
                        Directions::Projected { values: view(directions), projection: view(matrix), prepared: None }
                    }
                },
                scale: inputs.scale.as_ref().map(view),
                leave_out_zeros: group.leave_out_zeros,
            }),
        };
        let out = match group.wanted {
            Wanted::Each => Out::Each(view_mut(out)),
            Wanted::Sums(_) => Out::Sums(view_mut(out)),
            Wanted::TopK(_) => {
                Out::TopK(TopK { contributions: view_mut(out), indices: view_indices(indices), summed_axes: 0 })
            }
        };
        groups.push(Group { parts, out });
    }
    let options = Options::default().norm(Norm::new(call.norm).unwrap()).threshold(call.threshold);
    group_contributions(&view(whole), &mut groups, &options).unwrap();
    (outputs, indices)
}

/// A number, and by how much another may differ from it.
type Allowed = (f64, f64);

/// What the contributions of all parts to one whole have to be; nothing where a rounding decides on which side of the
/// threshold one is.
fn expected(call: &Call, whole: &[f64], groups: &[Values<'_>], entry: usize) -> Option<Vec<Vec<Allowed>>> {
    let parts: Vec<Vec<Part>> =
        groups.iter().map(|values| (0..values.group.count()).map(|part| values.part(part, entry)).collect()).collect();
    let proximity = |part: &Part| if part.is_left_out { 0.0 } else { naive::proximity(&part.vector, whole, call.norm) };
    let proximities: Vec<Vec<f64>> = parts.iter().map(|parts| parts.iter().map(proximity).collect()).collect();
    let sum: f64 = proximities.iter().flatten().sum();
    let count = proximities.iter().map(Vec::len).sum::<usize>() as f64;
    let contributions = naive::normalised(proximities);

    let of_whole = ulps_of_norm(call.len) * f64::EPSILON * naive::norm(whole, call.norm);
    let of_parts: Vec<Vec<f64>> = groups
        .iter()
        .zip(&parts)
        .map(|(values, parts)| {
            let error = |part: &Part| if part.is_left_out { 0.0 } else { values.error(part) };
            parts.iter().map(error).collect()
        })
        .collect();
    let of_all: f64 = of_parts.iter().flatten().sum();
    // Proximities of factored parts are rounded to `f32` before they are divided by their sum.
    let is_factored = |values: &Values<'_>| values.group.form != Form::Dense;
    let is_rounded = groups.iter().any(|values| is_factored(values) && values.is_in_f32());
    let rounding = if is_rounded { f64::from(f32::EPSILON) } else { 0.0 };
    let error = |contribution: f64, own: f64| {
        EXACT + rounding * contribution + (of_whole * (1.0 + contribution * count) + own + contribution * of_all) / sum
    };
    let mut all: Vec<Vec<Allowed>> = Vec::new();
    for (contributions, own) in contributions.iter().zip(&of_parts) {
        all.push(contributions.iter().zip(own).map(|(&number, &own)| (number, error(number, own))).collect());
    }
    if call.threshold == 0.0 {
        return Some(all);
    }
    if all.iter().flatten().any(|(number, error)| (number - call.threshold).abs() <= *error) {
        return None;
    }
    let flat: Vec<f64> = contributions.iter().flatten().copied().collect();
    let (kept, _) = naive::threshold_and_renormalise(&flat, 0.0, call.threshold);
    let is_kept = |number: f64| number > call.threshold;
    let left: f64 = flat.iter().filter(|&&number| is_kept(number)).sum();
    let error_of_left: f64 = all.iter().flatten().filter(|(number, _)| is_kept(*number)).map(|(_, error)| error).sum();
    let mut kept = kept.into_iter();
    for (number, error) in all.iter_mut().flatten() {
        let result = kept.next().unwrap();
        *error = if is_kept(*number) { EXACT + (*error + result * error_of_left) / left } else { 0.0 };
        *number = result;
    }
    Some(all)
}

/// Sees that a result is what was expected, but for the rounding to its type.
fn check_number(found: f64, (expected, error): Allowed, kind: Kind, name: &str) -> Result<(), TestCaseError> {
    let allowed = error + kind.rounding(expected) * (1.0 + error);
    prop_assert_eq!(found.is_nan(), expected.is_nan(), "{}: {}, expected {}", name, found, expected);
    prop_assert!(
        found.is_nan() || (found - expected).abs() <= allowed,
        "{name}: {found}, expected {expected}, off by {:e}, allowed {allowed:e}",
        found - expected
    );
    Ok(())
}

fn check(call: &Call) -> Result<(), TestCaseError> {
    let (whole, inputs) = call.inputs();
    let (outputs, indices) = results(call, &whole, &inputs);
    prop_assert!(outputs.iter().chain(&indices).all(Stored::is_untouched_around));

    let whole_values = whole.to_f64();
    let groups: Vec<Values<'_>> =
        call.groups.iter().zip(&inputs).map(|(group, inputs)| Values::new(call, group, inputs)).collect();
    let found: Vec<Vec<f64>> = outputs.iter().map(Stored::to_f64).collect();
    let found_indices: Vec<Vec<u64>> = indices.iter().map(Stored::bits).collect();
    let entries = call.entries();
    for entry in 0..entries {
        let Some(expected) = expected(call, &whole_values[entry * call.len..][..call.len], &groups, entry) else {
            continue;
        };
        for (number, (group, expected)) in call.groups.iter().zip(expected).enumerate() {
            let kind = outputs[number].kind();
            let name = |index: usize| format!("entry {entry}, group {number}, {:?} {index}", group.wanted);
            match group.wanted {
                Wanted::Each => {
                    for (part, expected) in expected.into_iter().enumerate() {
                        check_number(found[number][part * entries + entry], expected, kind, &name(part))?;
                    }
                }
                Wanted::Sums(_) => {
                    let kept: usize = group.axes[group.summed()..].iter().product();
                    for column in 0..kept {
                        let parts = || expected.iter().skip(column).step_by(kept);
                        let sum: f64 = parts().map(|part| part.0).sum();
                        let error = EXACT * sum + parts().map(|part| part.1).sum::<f64>();
                        check_number(found[number][column * entries + entry], (sum, error), kind, &name(column))?;
                    }
                }
                Wanted::TopK(_) => {
                    let count = group.strongest().unwrap();
                    let range = entry * count..(entry + 1) * count;
                    let (found, indices) = (&found[number][range.clone()], &found_indices[number][range]);
                    check_strongest(found, indices, &expected, kind, &name(count))?;
                }
            }
        }
    }
    Ok(())
}

/// Sees that these are the strongest of all contributions, in order.
fn check_strongest(
    found: &[f64],
    indices: &[u64],
    expected: &[Allowed],
    kind: Kind,
    name: &str,
) -> Result<(), TestCaseError> {
    if expected.iter().any(|(number, _)| number.is_nan()) {
        prop_assert!(found.iter().all(|number| number.is_nan()), "{name}: {found:?}");
        prop_assert!(indices.iter().all(|&index| (index as usize) < expected.len()), "{name}: {indices:?}");
        return Ok(());
    }
    // Sorted numbers differ by no more than the numbers do at most.
    let error = expected.iter().map(|part| part.1).fold(0.0, f64::max);
    let mut sorted: Vec<f64> = expected.iter().map(|part| part.0).collect();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let mut seen = vec![false; expected.len()];
    for (place, (&found, &index)) in found.iter().zip(indices).enumerate() {
        let name = &format!("{name}, at {place}");
        prop_assert!((index as usize) < expected.len(), "{name}: index {index}");
        prop_assert!(!std::mem::replace(&mut seen[index as usize], true), "{name}: {index} twice");
        check_number(found, expected[index as usize], kind, name)?;
        check_number(found, (sorted[place], error), kind, name)?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(350))]

    #[test]
    fn any_factored_call_gives_what_the_oracle_gives(
        call in call(&Kind::ALL, &NORMS, len(), few_parts(), true)
    ) {
        check(&call)?;
    }

    #[test]
    fn all_in_f64_factored_results_are_as_exact_as_f64_can_be(
        call in call(&[Kind::F64], &NORMS, len(), few_parts(), true)
    ) {
        check(&call)?;
    }

    #[test]
    fn gains_of_few_digits_give_what_the_oracle_gives(
        call in call(&[Kind::F32, Kind::F16, Kind::Bf16], &[1.0, 2.0], len(), few_parts(), false)
    ) {
        check(&call)?;
    }
}

proptest! {
    #![proptest_config(cases(60))]

    #[test]
    fn more_parts_than_a_tile_has_give_what_the_oracle_gives(
        call in call(&[Kind::F32, Kind::F16, Kind::F32, Kind::F64], &NORMS, 0_usize..5, many_parts(), true)
    ) {
        check(&call)?;
    }
}
