//! Tests every kernel, on every instruction set of this processor, against a plain loop. Where a kernel documents the order
//! of its additions, the loop has the same order, and the results must have the same bits.

use super::columns::{COLUMNS, ColumnAccumulators, ColumnTotals, ColumnsArguments};
use super::excess::{Buckets, Excess, ExcessArguments, SortedElement};
use super::gemm_microkernel::{DEPTH, GemmArguments, GemmMicrokernel, MR, NR, Products};
use super::measure::Parameters;
use super::panel::{PackPanelArguments, PanelLargest, PanelSizesArguments, PanelSquares, Sizes};
use super::power::power;
use super::prepare::{DIFFERENCE_EPSILON, PrepareArguments};
use super::rows::{ACCUMULATORS, BLOCK, Piece, RowsArguments, Totals};
use crate::dispatch::{
    EntryPoint, MeasureKind, entry_point, pack_panel_in_f32, pack_panel_in_f64, part_kernels, prepare_in_f32,
    prepare_in_f64,
};
use crate::dtype::{DType, Element};
use crate::instruction_set::InstructionSet;
use crate::lanes::{LANES, Line, Number};
use contrib_testing::Random;
use half::{bf16, f16};
use std::array::from_fn;

/// Lengths around those of a vector, of all accumulators and of a block.
const LENGTHS: [usize; 14] = [1, 2, 15, 16, 17, 31, 32, 33, 255, 256, 257, 300, 512, 529];

/// Runs something on every instruction set that this processor has, asserts that all give the same bits, and returns what
/// they give.
fn on_every_set(what: &str, run: impl Fn(InstructionSet) -> Vec<f64>) -> Vec<f64> {
    let bits = |numbers: &[f64]| -> Vec<u64> {
        // The bits of a NaN depend on the processor.
        numbers.iter().map(|number| if number.is_nan() { f64::NAN } else { *number }.to_bits()).collect()
    };
    let expected = run(InstructionSet::Portable);
    for set in InstructionSet::ALL.into_iter().filter(|&set| set <= InstructionSet::best()) {
        assert_eq!(bits(&run(set)), bits(&expected), "{what}, {set:?}");
    }
    expected
}

fn random_elements<T: Element>(count: usize, random: &mut Random) -> Vec<T> {
    (0..count).map(|_| T::from_f64(random.normal())).collect()
}

/// `number` rounded to `f32`.
fn single(number: f64) -> f64 {
    f64::from(number as f32)
}

/// The index that is so many elements after another.
fn offset(index: usize, elements: isize) -> usize {
    index.checked_add_signed(elements).unwrap()
}

/// A measure in plain code. Where it calculates in `f32`, all numbers are equal to numbers of `f32`.
struct PlainMeasure {
    kind: MeasureKind,
    /// The total with a pair of elements added.
    add: fn(f64, f64, f64) -> f64,
    /// Two accumulators as one.
    reduce: fn(f64, f64) -> f64,
    /// Two totals as one.
    reduce_totals: fn(f64, f64) -> f64,
    /// The type that it calculates in.
    number: DType,
}

const PARAMETERS: Parameters = Parameters { exponent: 2.7, unit: 3.5 };

fn larger(a: f64, b: f64) -> f64 {
    if a > b || a.is_nan() { a } else { b }
}

fn sum(a: f64, b: f64) -> f64 {
    a + b
}

fn sum_in_f32(a: f64, b: f64) -> f64 {
    f64::from(a as f32 + b as f32)
}

const MEASURES: [PlainMeasure; 6] = [
    PlainMeasure {
        kind: MeasureKind::MagnitudeSum,
        add: |total, x, w| total + (x - w).abs(),
        reduce: sum,
        reduce_totals: sum,
        number: DType::F64,
    },
    PlainMeasure {
        kind: MeasureKind::SquareSum,
        add: |total, x, w| total + (x - w) * (x - w),
        reduce: sum,
        reduce_totals: sum,
        number: DType::F64,
    },
    PlainMeasure {
        kind: MeasureKind::PowerSum,
        add: |total, x, w| total + power((x - w).abs() / PARAMETERS.unit, PARAMETERS.exponent),
        reduce: sum,
        reduce_totals: sum,
        number: DType::F64,
    },
    PlainMeasure {
        kind: MeasureKind::LargestMagnitude,
        add: |total, x, w| larger(total, (x - w).abs()),
        reduce: larger,
        reduce_totals: larger,
        number: DType::F64,
    },
    PlainMeasure {
        kind: MeasureKind::DistanceReduction,
        add: |total, x, w| {
            let y = if w.is_sign_negative() { -x } else { x };
            sum_in_f32(total, y.min(single(w.abs() - y)))
        },
        reduce: sum_in_f32,
        reduce_totals: sum,
        number: DType::F32,
    },
    PlainMeasure {
        kind: MeasureKind::SquaredDistanceReduction,
        add: |total, x, w| sum_in_f32(total, single(x * single(w - x))),
        reduce: sum_in_f32,
        reduce_totals: sum,
        number: DType::F32,
    },
];

impl PlainMeasure {
    /// The total of a part and a prepared whole, in the order that [`BLOCK`] documents.
    fn total<T: Element>(&self, part: &[T], whole: &[f64]) -> f64 {
        let mut totals = [0.0; LANES];
        for (part, whole) in part.chunks(BLOCK).zip(whole.chunks(BLOCK)) {
            let mut accumulators = [0.0; ACCUMULATORS * LANES];
            for (index, (x, w)) in part.iter().zip(whole).enumerate() {
                let accumulator = &mut accumulators[index % (ACCUMULATORS * LANES)];
                *accumulator = (self.add)(*accumulator, x.to_f64(), *w);
            }
            for (lane, total) in totals.iter_mut().enumerate() {
                let reduced = (self.reduce)(accumulators[lane], accumulators[LANES + lane]);
                *total = (self.reduce_totals)(*total, reduced);
            }
        }
        let mut half = LANES / 2;
        while half > 0 {
            for lane in 0..half {
                totals[lane] = (self.reduce_totals)(totals[lane], totals[lane + half]);
            }
            half /= 2;
        }
        totals[0]
    }
}

/// Numbers in the type that a kernel calculates in, padded with zeros to whole vectors.
enum Prepared {
    Singles(Vec<f32>),
    Doubles(Vec<f64>),
}

impl Prepared {
    fn new(numbers: &[f64], dtype: DType) -> Self {
        let padded = numbers.iter().copied().chain([0.0; LANES]);
        match dtype {
            DType::F32 => Prepared::Singles(padded.map(|number| number as f32).collect()),
            _ => Prepared::Doubles(padded.collect()),
        }
    }

    /// The number with this index.
    fn at(&self, index: usize) -> *const u8 {
        match self {
            Prepared::Singles(numbers) => numbers[index..].as_ptr().cast(),
            Prepared::Doubles(numbers) => numbers[index..].as_ptr().cast(),
        }
    }
}

/// The pieces of vectors of this length: one, or two where there is more than a block.
fn pieces(len: usize, pieces: usize) -> Vec<(usize, usize, Piece)> {
    if pieces == 1 || len <= BLOCK {
        return vec![(0, len, Piece { first: true, last: true })];
    }
    vec![(0, BLOCK, Piece { first: true, last: false }), (BLOCK, len - BLOCK, Piece { first: false, last: true })]
}

/// Tests both kernels that total parts of one type.
fn test_totals<T: Element>() {
    let random = &mut Random::new(7);
    for measure in MEASURES.iter().filter(|measure| T::DTYPE != DType::F64 || measure.number == DType::F64) {
        for len in LENGTHS {
            let count = [1, 4, 15, 16, 17, 40, 63, COLUMNS][len % 8];
            let whole: Vec<f64> = (0..len).map(|_| single(random.normal())).collect();
            let mut parts: Vec<Vec<T>> = (0..count).map(|_| random_elements(len, random)).collect();
            parts[0][len - 1] = T::from_f64([f64::NAN, f64::INFINITY, 0.0][len % 3]);
            parts[count - 1][0] = T::from_f64(whole[0]);
            let expected: Vec<f64> = parts.iter().map(|part| measure.total(part, &whole)).collect();
            let prepared = Prepared::new(&whole, measure.number);
            let what = format!("{:?} of {:?}, {count} parts of length {len}", measure.kind, T::DTYPE);
            let check = |what: &str, run: &dyn Fn(InstructionSet) -> Vec<f64>| {
                let totals = on_every_set(what, run);
                for (total, expected) in totals.iter().zip(&expected) {
                    let same = total.to_bits() == expected.to_bits() || (total.is_nan() && expected.is_nan());
                    assert!(same, "{what}: {total:e}, expected {expected:e}");
                }
            };
            for number_of_pieces in [1, 2] {
                let pieces = pieces(len, number_of_pieces);
                check(&format!("rows: {what}"), &|set| rows(set, measure.kind, &parts, &prepared, &pieces));
                for stride in [count, count + 3, 2 * count + 1024] {
                    for is_backward in [false, true] {
                        let what = format!("columns: {what}, stride {stride}, backward: {is_backward}");
                        let parts = Adjacent::new(&parts, stride, is_backward);
                        check(&what, &|set| parts.columns(set, measure.kind, &prepared, &pieces));
                    }
                }
            }
        }
    }
}

/// The totals of contiguous parts.
fn rows<T: Element>(
    set: InstructionSet,
    measure: MeasureKind,
    parts: &[Vec<T>],
    whole: &Prepared,
    pieces: &[(usize, usize, Piece)],
) -> Vec<f64> {
    let kernel = part_kernels(set, T::DTYPE, measure).rows;
    let mut totals: Vec<Totals> = vec![[f64::NAN; LANES]; parts.len()];
    for &(start, len, piece) in pieces {
        let starts: Vec<*const u8> = parts.iter().map(|part| part[start..].as_ptr().cast()).collect();
        let (whole, totals) = (whole.at(start), totals.as_mut_ptr());
        let arguments =
            RowsArguments { parameters: PARAMETERS, piece, parts: &raw const starts[..], whole, len, totals };
        // SAFETY: the instruction set is available; parts have `len` elements from `start` on, the whole as many
        // numbers and a vector of zeros, and there are totals for each part.
        unsafe { kernel(arguments) };
    }
    totals.iter().map(|totals| totals[0]).collect()
}

/// Parts that are adjacent columns.
struct Adjacent<T> {
    elements: Vec<T>,
    count: usize,
    first: usize,
    stride: isize,
}

impl<T: Element> Adjacent<T> {
    fn new(parts: &[Vec<T>], stride: usize, is_backward: bool) -> Self {
        let (count, len) = (parts.len(), parts[0].len());
        let first = if is_backward { (len - 1) * stride } else { 0 };
        let stride_of_parts = if is_backward { -(stride as isize) } else { stride as isize };
        // NaN in the gaps and not one element after the last.
        let mut elements = vec![T::from_f64(f64::NAN); (len - 1) * stride + count];
        for (number, part) in parts.iter().enumerate() {
            for (index, element) in part.iter().enumerate() {
                elements[offset(first, index as isize * stride_of_parts) + number] = *element;
            }
        }
        Adjacent { elements, count, first, stride: stride_of_parts }
    }

    fn columns(
        &self,
        set: InstructionSet,
        measure: MeasureKind,
        whole: &Prepared,
        pieces: &[(usize, usize, Piece)],
    ) -> Vec<f64> {
        let kernel = part_kernels(set, T::DTYPE, measure).columns;
        let mut accumulators: Box<ColumnAccumulators> = Box::new([[f64::NAN; COLUMNS]; ACCUMULATORS * LANES]);
        let mut totals: Box<ColumnTotals> = Box::new([[f64::NAN; COLUMNS]; LANES]);
        for &(start, len, piece) in pieces {
            let first = offset(self.first, start as isize * self.stride);
            let arguments = ColumnsArguments {
                parameters: PARAMETERS,
                piece,
                first: self.elements[first..].as_ptr().cast(),
                count: self.count,
                stride: self.stride,
                whole: whole.at(start),
                len,
                accumulators: &raw mut *accumulators,
                totals: &raw mut *totals,
            };
            // SAFETY: the instruction set is available; parts have `len` elements from `start` on, and the whole as many
            // numbers.
            unsafe { kernel(arguments) };
        }
        totals[0][..self.count].to_vec()
    }
}

#[test]
fn totals_of_rows_and_columns_are_those_of_a_plain_loop() {
    test_totals::<f32>();
    test_totals::<f64>();
    test_totals::<f16>();
    test_totals::<bf16>();
}

/// Tests that wholes of type `T` are prepared in `N`.
fn test_prepare<T: Element, N: Number>(kernel: fn(InstructionSet, DType) -> EntryPoint<PrepareArguments>) {
    let random = &mut Random::new(8);
    for (number, len) in LENGTHS.into_iter().enumerate() {
        let mut whole = random_elements::<T>(len, random);
        whole[len / 2] = T::from_f64([f64::NAN, -f64::INFINITY, -0.0, 1e-300][number % 4]);
        let factor = [1.0, 2.0][number % 2];
        let padded = len.next_multiple_of(LANES);
        let prepared = on_every_set(&format!("{:?} {len}", T::DTYPE), |set| {
            let mut numbers = vec![N::of(f64::NAN); padded];
            let (from, prepared) = (whole.as_ptr().cast(), numbers.as_mut_ptr().cast());
            // SAFETY: the instruction set is available; the whole has `len` elements, and there is memory for as many
            // numbers, rounded up to vectors.
            unsafe { kernel(set, T::DTYPE)(PrepareArguments { whole: from, len, factor, prepared }) };
            numbers.into_iter().map(Element::to_f64).collect()
        });
        // Rounded twice, as two operations are; a factor of 2 rounds nothing.
        let in_numbers = |number: f64| N::of(number).to_f64();
        for (index, found) in prepared.into_iter().enumerate() {
            let difference = |x: &T| in_numbers(x.to_f64() - in_numbers(DIFFERENCE_EPSILON)) * factor;
            let expected = whole.get(index).map_or(0.0, difference);
            assert!(found.to_bits() == expected.to_bits() || (found.is_nan() && expected.is_nan()), "{len} {index}");
        }
    }
}

#[test]
fn wholes_are_prepared_as_by_a_plain_loop() {
    test_prepare::<f32, f32>(prepare_in_f32);
    test_prepare::<f16, f32>(prepare_in_f32);
    test_prepare::<bf16, f32>(prepare_in_f32);
    test_prepare::<f32, f64>(prepare_in_f64);
    test_prepare::<f64, f64>(prepare_in_f64);
    test_prepare::<f16, f64>(prepare_in_f64);
    test_prepare::<bf16, f64>(prepare_in_f64);
}

/// The numbers of lines, as `f64`.
fn numbers<N: Number>(lines: &[Line<N>]) -> Vec<f64> {
    lines.iter().flat_map(|line| line.0.map(Element::to_f64)).collect()
}

/// Tests that vectors of type `T` are packed into panels of `N`.
fn test_pack_panel<T: Element, N: Number>(kernel: fn(InstructionSet, DType) -> EntryPoint<PackPanelArguments<N>>) {
    let elements = random_elements::<T>(20_000, &mut Random::new(9));
    for len in LENGTHS {
        // Elements between vectors, and between the elements of one: rows, adjacent columns, neither, one vector sixteen
        // times, backward.
        for (between, stride) in [(len, 1), (1, LANES as isize), (1, 21), (2 * len, 2), (0, 1), (len, -1), (1, -17)] {
            let first = if stride < 0 { (len - 1) * stride.unsigned_abs() } else { 0 };
            let index_of = |lane: usize, index: usize| offset(first + lane * between, index as isize * stride);
            let starts: [*const u8; LANES] = from_fn(|lane| elements[index_of(lane, 0)..].as_ptr().cast());
            let padded = len.next_multiple_of(LANES);
            let panel = on_every_set("panel", |set| {
                let mut lines = vec![Line([N::of(f64::NAN); LANES]); padded];
                let (starts, panel) = (&raw const starts, lines.as_mut_ptr());
                // SAFETY: the instruction set is available; all elements were just indexed, and there is memory for as
                // many lines, rounded up.
                unsafe { kernel(set, T::DTYPE)(PackPanelArguments { starts, stride, len, panel }) };
                numbers(&lines)
            });
            let expected = |position: usize| {
                let (index, lane) = (position / LANES, position % LANES);
                if index < len { elements[index_of(lane, index)].to_f64() } else { 0.0 }
            };
            let expected: Vec<f64> = (0..padded * LANES).map(expected).collect();
            assert_eq!(panel, expected, "{:?} {len} {between} {stride}", T::DTYPE);
        }
    }
}

#[test]
fn panels_have_all_elements_of_one_index_in_one_line() {
    test_pack_panel::<f32, f32>(pack_panel_in_f32);
    test_pack_panel::<f16, f32>(pack_panel_in_f32);
    test_pack_panel::<bf16, f32>(pack_panel_in_f32);
    test_pack_panel::<f32, f64>(pack_panel_in_f64);
    test_pack_panel::<f64, f64>(pack_panel_in_f64);
    test_pack_panel::<f16, f64>(pack_panel_in_f64);
    test_pack_panel::<bf16, f64>(pack_panel_in_f64);
}

/// Tests products of numbers of type `N`, where `add_product(sum, a, b)` is `sum + a * b` in that type.
fn test_products<N: Number>(add_product: fn(f64, f64, f64) -> f64) {
    let random = &mut Random::new(10);
    for lines in [1, 2, 3, 4, 5, 7, 8, 9, 13] {
        for line_stride in [LANES, 3 * LANES] {
            let row_len = lines * line_stride;
            let rows = random_elements::<N>(MR * row_len, random);
            let panel: Vec<Line<N>> = (0..lines * LANES).map(|_| Line(from_fn(|_| N::of(random.normal())))).collect();
            let run = |set: InstructionSet, calls: &[(usize, usize)]| {
                let mut products: Products = [Line([f64::NAN; NR]); MR];
                for &(line, lines) in calls {
                    let arguments = GemmArguments {
                        rows: from_fn(|row| rows[row * row_len + line * line_stride..].as_ptr()),
                        line_stride,
                        panel: panel[line * LANES..].as_ptr(),
                        lines,
                        accumulate: line > 0,
                        products: &raw mut products,
                    };
                    // SAFETY: the instruction set is available; rows and panel have `lines` lines from `line` on.
                    unsafe { entry_point::<GemmMicrokernel<N>>(set)(arguments) };
                }
                numbers(&products)
            };
            let products = on_every_set("products", |set| run(set, &[(0, lines)]));
            let expected = |position: usize| {
                let (row, column) = (position / NR, position % NR);
                let mut total = 0.0;
                for start in (0..lines).step_by(DEPTH) {
                    let mut sum = 0.0;
                    for index in start * LANES..lines.min(start + DEPTH) * LANES {
                        let number = rows[row * row_len + index / LANES * line_stride + index % LANES];
                        sum = add_product(sum, number.to_f64(), panel[index].0[column].to_f64());
                    }
                    total += sum;
                }
                total
            };
            assert_eq!(products, (0..MR * NR).map(expected).collect::<Vec<_>>(), "{lines} lines");
            if lines > DEPTH {
                let in_two = on_every_set("products", |set| run(set, &[(0, DEPTH), (DEPTH, lines - DEPTH)]));
                assert_eq!(in_two, products, "{lines} lines in two calls");
            }
        }
    }
}

#[test]
fn products_are_those_of_a_plain_loop() {
    test_products::<f64>(|sum, a, b| sum + a * b);
    test_products::<f32>(|sum, a, b| f64::from(sum as f32 + a as f32 * b as f32));
}

/// A panel of random numbers.
fn random_panel(len: usize, random: &mut Random) -> Vec<Line<f32>> {
    (0..len).map(|_| Line(from_fn(|_| random.normal() as f32))).collect()
}

/// What a kernel finds out about the vectors of a panel: both kinds of sizes, of which it writes one.
fn sizes(kernel: EntryPoint<PanelSizesArguments>, panel: &[Line<f32>]) -> Sizes {
    let mut sizes = Sizes::ZERO;
    let arguments = PanelSizesArguments { panel: panel.as_ptr(), len: panel.len(), sizes: &raw mut sizes };
    // SAFETY: the instruction set is available, and the panel has `len` lines.
    unsafe { kernel(arguments) };
    sizes
}

#[test]
fn sizes_of_the_vectors_of_a_panel_are_those_of_a_plain_loop() {
    let random = &mut Random::new(11);
    for len in [0, 1, 2, 15, 16, 17, 33, 300] {
        let mut panel = random_panel(len, random);
        if len > 2 {
            (panel[1].0[3], panel[2].0[4], panel[0].0[5]) = (f32::NAN, f32::NEG_INFINITY, -1e30);
        }
        let largest =
            on_every_set("largest", |set| numbers(&[sizes(entry_point::<PanelLargest>(set), &panel).largest]));
        let squares =
            on_every_set("squares", |set| numbers(&[sizes(entry_point::<PanelSquares>(set), &panel).squares]));
        for lane in 0..LANES {
            let mut expected = [0.0, 0.0, 0.0];
            for (index, line) in panel.iter().enumerate() {
                let number = f64::from(line.0[lane]);
                expected[2] = larger(expected[2], number.abs());
                expected[index % 2] += number * number;
            }
            let same = |a: f64, b: f64| a == b || (a.is_nan() && b.is_nan());
            assert!(same(largest[lane], expected[2]), "largest, {len} {lane}");
            assert!(same(squares[lane], expected[0] + expected[1]), "squares, {len} {lane}");
        }
    }
}

/// The excess of the parts of a panel.
fn excess(whole: &[f32], panel: &[Line<f32>], coefficients: [f32; LANES]) -> Vec<f64> {
    let (mut buckets, mut sorted) = (Buckets::default(), vec![SortedElement::default(); whole.len()]);
    buckets.sort(whole, &mut sorted);
    on_every_set("excess", |set| {
        let sizes = sizes(entry_point::<PanelLargest>(set), panel);
        let (coefficients, mut excess) = (Line(coefficients), Line([f64::NEG_INFINITY; LANES]));
        let arguments = ExcessArguments {
            coefficients: &raw const coefficients,
            largest: &raw const sizes.largest,
            panel: panel.as_ptr(),
            buckets: &raw const buckets,
            sorted: sorted.as_ptr(),
            excess: &raw mut excess,
        };
        // SAFETY: the instruction set is available; the panel has as many lines as the whole has elements, which are
        // sorted.
        unsafe { entry_point::<Excess>(set)(arguments) };
        numbers(&[excess])
    })
}

#[test]
fn the_excess_is_that_of_a_plain_loop() {
    let random = &mut Random::new(12);
    for len in LENGTHS {
        for size in [0.0, 1e-4, 0.1, 1.0, 30.0] {
            // Magnitudes over many buckets, and smaller than those of the last; zeros of both signs.
            let mut whole: Vec<f32> =
                (0..len).map(|_| (random.normal() * 2.0_f64.powi(random.below(24) as i32 - 20)) as f32).collect();
            (whole[0], whole[len / 2]) = (0.0, -0.0);
            let panel = random_panel(len, random);
            let coefficients: [f32; LANES] = from_fn(|lane| (size * random.normal() * (lane % 5) as f64) as f32);
            let found = excess(&whole, &panel, coefficients);
            for lane in 0..LANES {
                let term = |(w, line): (&f32, &Line<f32>)| {
                    let difference = line.0[lane] * coefficients[lane] - w;
                    f64::from(if w.is_sign_negative() { -difference } else { difference }.max(0.0))
                };
                let expected: f64 = whole.iter().zip(&panel).map(term).sum();
                if coefficients[lane] != 0.0 {
                    assert!((found[lane] - expected).abs() <= 2e-6 * expected, "{len} {size}: {found:?}, {expected:e}");
                }
            }
        }
    }
}

#[test]
fn the_excess_is_nan_where_an_element_of_a_part_may_not_be_finite() {
    let whole = [1.0, -2.0, 0.5];
    for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX] {
        let mut panel = vec![Line([0.25_f32; LANES]); whole.len()];
        panel[1].0[7] = odd;
        let mut coefficients = [4.0; LANES];
        assert!(excess(&whole, &panel, coefficients).iter().all(|excess| excess.is_nan()), "{odd}");
        // A part whose coefficient is 0 has no influence on the others.
        coefficients[7] = 0.0;
        assert_eq!(excess(&whole, &panel, coefficients)[0], 0.5, "{odd}");
    }
    assert_eq!(excess(&whole, &[Line([f32::NAN; LANES]); 3], [0.0; LANES]), [0.0; LANES]);
}
