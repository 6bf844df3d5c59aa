//! Tests every kernel, on every instruction set of this processor, against a plain loop. Where a kernel documents the order
//! of its additions, the loop has the same order, and the results must have the same bits.

use super::columns::{COLUMNS, ColumnAccumulators, ColumnTotals, ColumnsArguments};
use super::excess::{self, Buckets, Excess, ExcessArguments, SortedElement};
use super::exponential::Exponential;
use super::gemm_microkernel::{DEPTH, GemmArguments, GemmMicrokernel, MR, NR, Products};
use super::measure::Parameters;
use super::panel::{PackPanelArguments, PanelLargest, PanelSizesArguments, PanelSquares};
use super::power::power;
use super::prepare::{DIFFERENCE_EPSILON, PrepareArguments};
use super::project_value::{ProjectValue, ProjectValueArguments};
use super::proximities::{
    CLOSE, LEAST_PROXIMITY, LargestBounds, LargestBoundsArguments, Proximities, ProximitiesArguments,
    SquareProximities, WholeNorm,
};
use super::rows::{ACCUMULATORS, BLOCK, Piece, RowsArguments, Totals};
use super::softmax::{Scores, ScoresArguments, Softmax, SoftmaxArguments};
use super::widen::WidenArguments;
use crate::dispatch::{Arithmetic, MeasureKind, entry_point, part_kernels};
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

/// Whether two numbers have the same bits, or are both NaN.
fn same(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
}

/// Calls a test for each type of elements and each type of numbers that they widen to.
macro_rules! for_each_widening {
    ($test:ident) => {
        $test::<f32, f32>();
        $test::<f16, f32>();
        $test::<bf16, f32>();
        $test::<f32, f64>();
        $test::<f64, f64>();
        $test::<f16, f64>();
        $test::<bf16, f64>();
    };
}

fn random_elements<T: Element>(count: usize, random: &mut Random) -> Vec<T> {
    (0..count).map(|_| T::nearest(random.normal())).collect()
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
    parameters: Parameters,
    /// The total with a pair of elements added.
    add: fn(&Parameters, f64, f64, f64) -> f64,
    /// Two accumulators as one.
    reduce: fn(f64, f64) -> f64,
    /// Two totals as one.
    reduce_totals: fn(f64, f64) -> f64,
    /// The type that it calculates in.
    number: DType,
}

/// What measures without parameters are given.
const NO_PARAMETERS: Parameters = Parameters { exponent: f64::NAN, unit: f64::NAN };

fn larger(a: f64, b: f64) -> f64 {
    if a > b || a.is_nan() { a } else { b }
}

fn sum(a: f64, b: f64) -> f64 {
    a + b
}

fn sum_in_f32(a: f64, b: f64) -> f64 {
    f64::from(a as f32 + b as f32)
}

/// A power of a positive integer exponent: the square of the power of half the exponent, and one more factor where the
/// exponent is odd.
fn integer_power(base: f64, exponent: u32) -> f64 {
    if exponent == 1 {
        return base;
    }
    let half = integer_power(base, exponent / 2);
    if exponent.is_multiple_of(2) { half * half } else { half * half * base }
}

const fn integer_power_sum(exponent: f64) -> PlainMeasure {
    PlainMeasure {
        kind: MeasureKind::IntegerPowerSum,
        parameters: Parameters { exponent, unit: f64::NAN },
        add: |parameters, total, x, w| total + integer_power((x - w).abs(), parameters.exponent as u32),
        reduce: sum,
        reduce_totals: sum,
        number: DType::F64,
    }
}

const MEASURES: [PlainMeasure; 14] = [
    PlainMeasure {
        kind: MeasureKind::MagnitudeSum,
        parameters: NO_PARAMETERS,
        add: |_, total, x, w| total + (x - w).abs(),
        reduce: sum,
        reduce_totals: sum,
        number: DType::F64,
    },
    PlainMeasure {
        kind: MeasureKind::SquareSum,
        parameters: NO_PARAMETERS,
        add: |_, total, x, w| total + (x - w) * (x - w),
        reduce: sum,
        reduce_totals: sum,
        number: DType::F64,
    },
    integer_power_sum(1.0),
    integer_power_sum(2.0),
    integer_power_sum(3.0),
    integer_power_sum(4.0),
    integer_power_sum(5.0),
    integer_power_sum(6.0),
    integer_power_sum(63.0),
    integer_power_sum(64.0),
    PlainMeasure {
        kind: MeasureKind::PowerSum,
        parameters: Parameters { exponent: 2.7, unit: 3.5 },
        add: |parameters, total, x, w| total + power((x - w).abs() / parameters.unit, parameters.exponent),
        reduce: sum,
        reduce_totals: sum,
        number: DType::F64,
    },
    PlainMeasure {
        kind: MeasureKind::LargestMagnitude,
        parameters: NO_PARAMETERS,
        add: |_, total, x, w| larger(total, (x - w).abs()),
        reduce: larger,
        reduce_totals: larger,
        number: DType::F64,
    },
    PlainMeasure {
        kind: MeasureKind::DistanceReduction,
        parameters: NO_PARAMETERS,
        add: |_, total, x, w| {
            let y = if w.is_sign_negative() { -x } else { x };
            sum_in_f32(total, y.min(single(w.abs() - y)))
        },
        reduce: sum_in_f32,
        reduce_totals: sum,
        number: DType::F32,
    },
    PlainMeasure {
        kind: MeasureKind::SquaredDistanceReduction,
        parameters: NO_PARAMETERS,
        add: |_, total, x, w| sum_in_f32(total, single(x * single(w - x))),
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
                *accumulator = (self.add)(&self.parameters, *accumulator, x.to_f64(), *w);
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
            parts[0][len - 1] = T::nearest([f64::NAN, f64::INFINITY, 0.0][len % 3]);
            parts[count - 1][0] = T::nearest(whole[0]);
            let expected: Vec<f64> = parts.iter().map(|part| measure.total(part, &whole)).collect();
            let prepared = Prepared::new(&whole, measure.number);
            let what =
                format!("{:?} {:?} of {:?}, {count} parts of length {len}", measure.kind, measure.parameters, T::DTYPE);
            let check = |what: &str, run: &dyn Fn(InstructionSet) -> Vec<f64>| {
                let totals = on_every_set(what, run);
                for (total, expected) in totals.iter().zip(&expected) {
                    assert!(same(*total, *expected), "{what}: {total:e}, expected {expected:e}");
                }
            };
            for number_of_pieces in [1, 2] {
                let pieces = pieces(len, number_of_pieces);
                check(&format!("rows: {what}"), &|set| rows(set, measure, &parts, &prepared, &pieces));
                for stride in [count, count + 3, 2 * count + 1024] {
                    for is_backward in [false, true] {
                        let what = format!("columns: {what}, stride {stride}, backward: {is_backward}");
                        let parts = Adjacent::new(&parts, stride, is_backward);
                        check(&what, &|set| parts.columns(set, measure, &prepared, &pieces));
                    }
                }
            }
        }
    }
}

/// The totals of contiguous parts.
fn rows<T: Element>(
    set: InstructionSet,
    measure: &PlainMeasure,
    parts: &[Vec<T>],
    whole: &Prepared,
    pieces: &[(usize, usize, Piece)],
) -> Vec<f64> {
    let kernel = part_kernels(set, T::DTYPE, measure.kind).rows;
    let mut totals: Vec<Totals> = vec![[f64::NAN; LANES]; parts.len()];
    for &(start, len, piece) in pieces {
        let starts: Vec<*const u8> = parts.iter().map(|part| part[start..].as_ptr().cast()).collect();
        let (whole, totals) = (whole.at(start), totals.as_mut_ptr());
        let arguments =
            RowsArguments { parameters: measure.parameters, piece, parts: &raw const starts[..], whole, len, totals };
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
        let mut elements = vec![T::nearest(f64::NAN); (len - 1) * stride + count];
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
        measure: &PlainMeasure,
        whole: &Prepared,
        pieces: &[(usize, usize, Piece)],
    ) -> Vec<f64> {
        let kernel = part_kernels(set, T::DTYPE, measure.kind).columns;
        let mut accumulators: Box<ColumnAccumulators> = Box::new([[f64::NAN; COLUMNS]; ACCUMULATORS * LANES]);
        let mut totals: Box<ColumnTotals> = Box::new([[f64::NAN; COLUMNS]; LANES]);
        for &(start, len, piece) in pieces {
            let first = offset(self.first, start as isize * self.stride);
            let arguments = ColumnsArguments {
                parameters: measure.parameters,
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
fn test_prepare<T: Element, N: Arithmetic>() {
    let random = &mut Random::new(8);
    for (number, len) in LENGTHS.into_iter().enumerate() {
        let mut whole = random_elements::<T>(len, random);
        whole[len / 2] = T::nearest([f64::NAN, -f64::INFINITY, -0.0, 1e-300][number % 4]);
        let factor = [1.0, 2.0][number % 2];
        let padded = len.next_multiple_of(LANES);
        let prepared = on_every_set(&format!("{:?} {len}", T::DTYPE), |set| {
            let mut numbers = vec![N::of(f64::NAN); padded];
            let (from, prepared) = (whole.as_ptr().cast(), numbers.as_mut_ptr().cast());
            // SAFETY: the instruction set is available; the whole has `len` elements, and there is memory for as many
            // numbers, rounded up to vectors.
            unsafe { N::prepare(set, T::DTYPE)(PrepareArguments { whole: from, len, factor, prepared }) };
            numbers.into_iter().map(Element::to_f64).collect()
        });
        // Rounded twice, as two operations are; a factor of 2 rounds nothing.
        let in_numbers = |number: f64| N::of(number).to_f64();
        for (index, found) in prepared.into_iter().enumerate() {
            let difference = |x: &T| in_numbers(x.to_f64() - in_numbers(DIFFERENCE_EPSILON)) * factor;
            let expected = whole.get(index).map_or(0.0, difference);
            assert!(same(found, expected), "{len} {index}");
        }
    }
}

#[test]
fn wholes_are_prepared_as_by_a_plain_loop() {
    for_each_widening!(test_prepare);
}

/// Tests that elements of type `T` widen to `N`.
fn test_widen<T: Element, N: Arithmetic>() {
    let random = &mut Random::new(13);
    for (number, len) in [0].into_iter().chain(LENGTHS).enumerate() {
        let mut elements = random_elements::<T>(len, random);
        if let Some(last) = elements.last_mut() {
            *last = T::nearest([f64::NAN, f64::NEG_INFINITY, -0.0, 6e-8][number % 4]);
        }
        let padded = len.next_multiple_of(LANES);
        let widened = on_every_set(&format!("widen {:?} {len}", T::DTYPE), |set| {
            let mut numbers = vec![N::of(f64::NAN); padded];
            let (from, to) = (elements.as_ptr().cast(), numbers.as_mut_ptr());
            // SAFETY: the instruction set is available; there are `len` elements, and there is memory for as many
            // numbers, rounded up to vectors.
            unsafe { N::widen(set, T::DTYPE)(WidenArguments { from, len, to }) };
            numbers.into_iter().map(Element::to_f64).collect()
        });
        for (index, found) in widened.into_iter().enumerate() {
            let expected = elements.get(index).map_or(0.0, |element| element.to_f64());
            assert!(same(found, expected), "{:?} {len} {index}: {found:e}, expected {expected:e}", T::DTYPE);
        }
    }
}

#[test]
fn elements_are_widened_and_zeros_fill_the_last_vector() {
    for_each_widening!(test_widen);
}

/// The numbers of lines, as `f64`.
fn numbers<N: Number>(lines: &[Line<N>]) -> Vec<f64> {
    lines.iter().flat_map(|line| line.0.map(Element::to_f64)).collect()
}

/// Tests that vectors of type `T` are packed into panels of `N`.
fn test_pack_panel<T: Element, N: Arithmetic>() {
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
                unsafe { N::pack_panel(set, T::DTYPE)(PackPanelArguments { starts, stride, len, panel }) };
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
    for_each_widening!(test_pack_panel);
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

/// Tests that a value that is projected alone has the products of a panel of values, in which the matrix' columns are rows.
fn test_project_value<N: Number>() {
    let random = &mut Random::new(11);
    for lines in [1, 3, 4, 5, 9] {
        for columns in [16, 48] {
            let value = random_elements::<N>(lines * LANES, random);
            let matrix = random_panel::<N>(lines * columns, random);
            let direction = on_every_set("direction", |set| {
                let mut direction = vec![N::ZERO; columns];
                let arguments = ProjectValueArguments {
                    value: value.as_ptr(),
                    lines,
                    matrix: matrix.as_ptr(),
                    columns,
                    direction: direction.as_mut_ptr(),
                };
                // SAFETY: the instruction set is available; value and matrix have `lines` lines, of each column.
                unsafe { entry_point::<ProjectValue<N>>(set)(arguments) };
                direction.into_iter().map(Element::to_f64).collect()
            });
            let panel: Vec<Line<N>> = value.iter().map(|&number| Line([number; LANES])).collect();
            let expected: Vec<f64> = (0..columns)
                .map(|column| {
                    let mut products: Products = [Line([f64::NAN; NR]); MR];
                    let arguments = GemmArguments {
                        rows: [matrix[column..].as_ptr().cast(); MR],
                        line_stride: columns * LANES,
                        panel: panel.as_ptr(),
                        lines,
                        accumulate: false,
                        products: &raw mut products,
                    };
                    // SAFETY: every processor has the instruction set; rows and panel have `lines` lines.
                    unsafe { entry_point::<GemmMicrokernel<N>>(InstructionSet::Portable)(arguments) };
                    N::of(products[0].0[0]).to_f64()
                })
                .collect();
            assert_eq!(direction, expected, "{lines} lines, {columns} columns");
        }
    }
}

#[test]
fn a_value_that_is_projected_alone_has_the_bits_of_one_in_a_panel() {
    test_project_value::<f32>();
    test_project_value::<f64>();
}

#[test]
fn products_are_those_of_a_plain_loop() {
    test_products::<f64>(|sum, a, b| sum + a * b);
    test_products::<f32>(|sum, a, b| f64::from(sum as f32 + a as f32 * b as f32));
}

/// Tests the largest magnitudes of the vectors of a panel of type `N`.
fn test_largest<N: Number>() {
    let random = &mut Random::new(15);
    for len in [0, 1, 2, 3, 17, 300] {
        let mut panel = random_panel::<N>(len, random);
        if len > 2 {
            let odd = [f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1e30];
            for (lane, odd) in odd.into_iter().enumerate() {
                panel[lane * len / LANES].0[lane] = N::of(odd);
            }
            // NaN before and after an infinity.
            (panel[0].0[5], panel[len - 1].0[5]) = (N::of(f64::NAN), N::of(f64::INFINITY));
            (panel[0].0[6], panel[len - 1].0[6]) = (N::of(f64::NEG_INFINITY), N::of(f64::NAN));
            for line in &mut panel {
                line.0[7] = N::of(-0.0);
            }
        }
        let largest = on_every_set("largest", |set| {
            let mut largest = Line([f64::NEG_INFINITY; LANES]);
            let arguments = PanelSizesArguments { panel: panel.as_ptr(), len, sizes: &raw mut largest };
            // SAFETY: the instruction set is available, and the panel has `len` lines.
            unsafe { entry_point::<PanelLargest<N>>(set)(arguments) };
            numbers(&[largest])
        });
        for (lane, largest) in largest.into_iter().enumerate() {
            let expected = panel.iter().fold(0.0, |total, line| larger(total, line.0[lane].to_f64().abs()));
            assert!(same(largest, expected), "{len} lines, {lane}: {largest:e}, expected {expected:e}");
        }
    }
}

#[test]
fn the_largest_magnitude_is_that_of_a_plain_loop() {
    test_largest::<f32>();
    test_largest::<f64>();
}

/// A panel of random numbers.
fn random_panel<N: Number>(len: usize, random: &mut Random) -> Vec<Line<N>> {
    (0..len).map(|_| Line(from_fn(|_| N::of(random.normal())))).collect()
}

/// Tests the squares of the 2-norms of the vectors of a panel of type `N`.
fn test_squares<N: Number>() {
    let random = &mut Random::new(11);
    for len in [0, 1, 2, 15, 16, 17, 33, 300] {
        let mut panel = random_panel::<N>(len, random);
        if len > 2 {
            (panel[1].0[3], panel[2].0[4]) = (N::of(f64::NAN), N::of(f64::NEG_INFINITY));
            panel[0].0[5] = N::of(-1e30);
        }
        let squares = on_every_set("squares", |set| {
            let mut squares = Line([f64::NAN; LANES]);
            let arguments = PanelSizesArguments { panel: panel.as_ptr(), len, sizes: &raw mut squares };
            // SAFETY: the instruction set is available, and the panel has `len` lines.
            unsafe { entry_point::<PanelSquares<N>>(set)(arguments) };
            numbers(&[squares])
        });
        for (lane, squares) in squares.into_iter().enumerate() {
            let mut expected = [0.0, 0.0];
            for (index, line) in panel.iter().enumerate() {
                let number = line.0[lane].to_f64();
                expected[index % 2] += number * number;
            }
            assert!(same(squares, expected[0] + expected[1]), "{len} {lane}");
        }
    }
}

#[test]
fn squares_of_the_vectors_of_a_panel_are_those_of_a_plain_loop() {
    test_squares::<f32>();
    test_squares::<f64>();
}

/// The elements of a whole, sorted, and the buckets that they are in.
fn sorted<N: Number>(whole: &[N]) -> (Vec<SortedElement<N>>, Buckets) {
    let (mut buckets, mut sorted) =
        (Buckets::default(), vec![SortedElement { number: N::ZERO, index: 0 }; whole.len()]);
    buckets.sort(whole, &mut sorted);
    (sorted, buckets)
}

/// A whole whose magnitudes lie in many buckets, and below those of all but the first. It has zeros of both signs.
fn random_whole<N: Number>(len: usize, random: &mut Random) -> Vec<N> {
    let mut whole: Vec<N> =
        (0..len).map(|_| N::of(random.normal() * 2.0_f64.powi(random.below(24) as i32 - 20))).collect();
    (whole[0], whole[len / 2]) = (N::ZERO, N::of(-0.0));
    whole
}

/// Tests that elements of type `N` are sorted by magnitude, as far as buckets tell.
fn test_buckets<N: Number>() {
    let random = &mut Random::new(16);
    for len in LENGTHS {
        let mut whole = random_whole::<N>(len, random);
        whole[len - 1] = N::of([0.5, f64::INFINITY, f64::NAN][len % 3]);
        let (sorted, buckets) = sorted(&whole);
        let mut indices: Vec<u32> = sorted.iter().map(|element| element.index).collect();
        indices.sort_unstable();
        assert!(indices.into_iter().eq(0..len as u32), "{len}");
        for element in &sorted {
            assert!(same(element.number.to_f64(), whole[element.index as usize].to_f64()), "{len}");
        }
        let magnitudes = whole.iter().map(|number| number.to_f64().abs());
        for magnitude in magnitudes.chain([0.0, 1e-30, 0.1, 1e30, f64::INFINITY]) {
            let count = buckets.count_below(magnitude as f32);
            let is_smaller = |element: &SortedElement<N>| element.number.to_f64().abs() < magnitude;
            assert!(!sorted[count..].iter().any(is_smaller), "{len}: {count} below {magnitude:e}");
        }
        assert_eq!(buckets.count_below(f32::NAN), len);
    }
}

#[test]
fn no_element_after_the_count_below_a_magnitude_is_smaller() {
    test_buckets::<f32>();
    test_buckets::<f64>();
}

/// The excess of the parts of a panel over some sorted elements of a whole.
fn excess_of_panel<N: Number>(coefficients: &Line<N>, panel: &[Line<N>], sorted: &[SortedElement<N>]) -> Vec<f64> {
    on_every_set("excess", |set| {
        let mut excess = Line([f64::NAN; LANES]);
        let arguments = ExcessArguments {
            coefficients,
            panel: panel.as_ptr(),
            sorted: sorted.as_ptr(),
            count: sorted.len(),
            excess: &raw mut excess,
        };
        // SAFETY: the instruction set is available, and the panel has a line for the index of each sorted element.
        unsafe { entry_point::<Excess<N>>(set)(arguments) };
        numbers(&[excess])
    })
}

/// The product of two numbers, rounded once: `f64` has more than twice the digits of `f32`, so that rounding its result
/// gives that of `f32`. So it is for sums and differences.
fn product<N: Number>(a: N, b: N) -> N {
    N::of(a.to_f64() * b.to_f64())
}

/// The excess of one element of a part over that of the prepared whole.
fn excess_of_element<N: Number>(part: N, own: N) -> N {
    let (part, negative, own) = (part.to_f64(), own.is_sign_negative(), own.to_f64());
    let difference = if negative { own - part } else { part - own };
    N::of(if difference > 0.0 { difference } else { 0.0 })
}

/// The excess of the part in one lane, in the order of the kernel.
fn plain_excess<N: Number>(coefficient: N, panel: &[Line<N>], sorted: &[SortedElement<N>], lane: usize) -> f64 {
    let mut total = 0.0;
    for block in sorted.chunks(excess::DEPTH) {
        let mut sum = N::ZERO;
        for element in block {
            let part = product(panel[element.index as usize].0[lane], coefficient);
            sum = N::of(sum.to_f64() + excess_of_element(part, element.number).to_f64());
        }
        total += sum.to_f64();
    }
    total
}

/// Tests the excess of parts of type `N`.
fn test_excess<N: Number>() {
    let random = &mut Random::new(12);
    for len in LENGTHS {
        let (sorted, _) = sorted(&random_whole::<N>(len, random));
        for size in [0.0, 1e-4, 0.1, 1.0, 30.0] {
            let mut panel = random_panel::<N>(len, random);
            // NaN has no excess, and neither has infinity times a coefficient of 0.
            panel[len / 3].0[7] = N::of(f64::NAN);
            (panel[len / 2].0[5], panel[len / 2].0[6]) = (N::of(f64::INFINITY), N::of(f64::NEG_INFINITY));
            let coefficients = Line(from_fn(|lane| N::of(size * random.normal() * (lane % 5) as f64)));
            for count in [0, 1, 31, 32, 33, len].into_iter().filter(|&count| count <= len) {
                let found = excess_of_panel(&coefficients, &panel, &sorted[..count]);
                for (lane, found) in found.into_iter().enumerate() {
                    let expected = plain_excess(coefficients.0[lane], &panel, &sorted[..count], lane);
                    assert!(same(found, expected), "{len} {size} {count} {lane}: {found:e}, expected {expected:e}");
                }
            }
        }
    }
}

#[test]
fn the_excess_is_that_of_a_plain_loop() {
    test_excess::<f32>();
    test_excess::<f64>();
}

/// Tests that a lane adds for one element what [`excess_of_element`] gives.
fn test_excess_of_element<N: Number>(largest: N, least: N) {
    let infinity = N::of(f64::INFINITY);
    let positive = [N::ZERO, least, N::of(0.1), N::of(1.0), N::of(3.0), largest, infinity, N::of(f64::NAN)];
    let numbers: [N; LANES] =
        from_fn(|lane| if lane % 2 == 0 { positive[lane / 2] } else { N::of(-positive[lane / 2].to_f64()) });
    for coefficient in [1.0, -1.0, 0.7, 0.0].map(N::of) {
        for own in numbers {
            let element = SortedElement { number: own, index: 0 };
            let found = excess_of_panel(&Line([coefficient; LANES]), &[Line(numbers)], &[element]);
            for (number, found) in numbers.into_iter().zip(found) {
                let expected = excess_of_element(product(number, coefficient), own).to_f64();
                let what = || format!("{:e} over {:e}", product(number, coefficient).to_f64(), own.to_f64());
                assert!(same(found, expected), "{}: {found:e}, expected {expected:e}", what());
            }
        }
    }
}

#[test]
fn the_excess_of_an_element_is_what_a_lane_adds() {
    test_excess_of_element::<f32>(f32::MAX, f32::from_bits(1));
    test_excess_of_element::<f64>(f64::MAX, f64::from_bits(1));
}

#[test]
fn an_element_exceeds_one_of_its_sign_by_the_difference_of_magnitudes() {
    let table = [
        (3.0, 1.0, 2.0),
        (-3.0, -1.0, 2.0),
        (1.0, 3.0, 0.0),
        (-3.0, 1.0, 0.0),
        (3.0, -1.0, 0.0),
        (3.0, 0.0, 3.0),
        (3.0, -0.0, 0.0),
        (-3.0, -0.0, 3.0),
        (f64::NAN, 1.0, 0.0),
    ];
    for (part, own, expected) in table {
        assert_eq!(excess_of_element(part, own), expected, "{part} over {own}");
    }
}

/// Tests the largest bounds of the elements of panels, for coefficients of type `N`.
fn test_largest_bounds<N: Number>() {
    let random = &mut Random::new(18);
    let infinity = f64::INFINITY;
    for (odd, bound) in [
        (0.0, 1.0),
        (-3.0, 1.0),
        (1e30, 1.0),
        (infinity, 1.0),
        (-infinity, 1.0),
        (f64::NAN, 1.0),
        (1.0, f64::NAN),
        (0.0, infinity),
    ] {
        for count in [LANES, 3 * LANES] {
            let mut coefficients = random_panel::<N>(count, random);
            let mut bounds = Line(random_panel::<N>(1, random)[0].0.map(|bound| N::of(bound.to_f64().abs())));
            for (place, line) in coefficients.iter_mut().enumerate() {
                line.0[place % LANES] = N::of(odd);
            }
            bounds.0[2] = N::of(bound);
            let found = on_every_set("largest bounds", |set| {
                let mut largest = vec![N::of(-1.0); count];
                let arguments = LargestBoundsArguments {
                    coefficients: coefficients.as_ptr(),
                    count,
                    bounds: &raw const bounds,
                    largest: largest.as_mut_ptr(),
                };
                // SAFETY: the instruction set is available; there are `count` lines of coefficients and as many numbers.
                unsafe { entry_point::<LargestBounds<N>>(set)(arguments) };
                largest.into_iter().map(N::to_f64).collect()
            });
            for (place, (found, line)) in found.into_iter().zip(&coefficients).enumerate() {
                let bound = |lane: usize| product(N::of(line.0[lane].to_f64().abs()), bounds.0[lane]).to_f64();
                let expected = (0..LANES).fold(0.0, |total, lane| larger(total, bound(lane)));
                assert!(
                    same(found, expected),
                    "{odd}, {bound} of {place}: {found:e}, expected {expected:e}",
                    bound = bounds.0[2].to_f64()
                );
            }
        }
    }
}

#[test]
fn the_largest_bound_of_a_whole_is_that_of_a_plain_loop() {
    test_largest_bounds::<f32>();
    test_largest_bounds::<f64>();
}

/// What [`Proximities`] and [`SquareProximities`] are given for some wholes.
struct ForProximities<N> {
    coefficients: Vec<Line<N>>,
    products: Vec<Line<f64>>,
    norms: Vec<WholeNorm>,
    corrections: Vec<Line<f64>>,
    leave_out_zeros: bool,
}

impl<N: Number> ForProximities<N> {
    /// For wholes of a norm of about 10, whose parts are about as large as numbers of this size.
    fn random(count: usize, size: f64, leave_out_zeros: bool, random: &mut Random) -> Self {
        let mut coefficients = random_panel::<N>(count, random);
        for line in &mut coefficients {
            (line.0[1], line.0[6]) = (N::ZERO, N::of(-0.0));
        }
        let mut lines =
            |size: f64| -> Vec<Line<f64>> { (0..count).map(|_| Line(from_fn(|_| size * random.normal()))).collect() };
        let (products, mut corrections) = (lines(size), lines(0.3 * size));
        for line in &mut corrections {
            line.0 = line.0.map(f64::abs);
        }
        let norm = |_| {
            let norm = 9.0 + random.unit();
            WholeNorm { norm, of_zero: norm - 1e-6 * random.normal() }
        };
        ForProximities { coefficients, products, norms: (0..count).map(norm).collect(), corrections, leave_out_zeros }
    }

    /// The proximities of all parts, and whether they are accurate.
    fn run(&self, is_square: bool) -> (Vec<f64>, bool) {
        let count = self.norms.len();
        let mut found = on_every_set("proximities", |set| {
            let mut proximities = vec![Line([N::of(f64::NAN); LANES]); count];
            let to: Vec<*mut N> = proximities.iter_mut().map(|line| line.0.as_mut_ptr()).collect();
            let mut are_accurate = false;
            let arguments = ProximitiesArguments {
                coefficients: self.coefficients.as_ptr(),
                products: self.products.as_ptr(),
                norms: self.norms.as_ptr(),
                count,
                corrections: self.corrections.as_ptr(),
                leave_out_zeros: self.leave_out_zeros,
                proximities: to.as_ptr(),
                are_accurate: &raw mut are_accurate,
            };
            let kernel =
                if is_square { entry_point::<SquareProximities<N>>(set) } else { entry_point::<Proximities<N>>(set) };
            // SAFETY: the instruction set is available; there are `count` lines of each kind, and as many pointers to lines.
            unsafe { kernel(arguments) };
            let mut found = numbers(&proximities);
            found.push(f64::from(u8::from(are_accurate)));
            found
        });
        let are_accurate = found.pop() == Some(1.0);
        (found, are_accurate)
    }

    /// The proximity of one part, and whether it is accurate.
    fn expected(&self, is_square: bool, whole: usize, lane: usize) -> (f64, bool) {
        let coefficient = self.coefficients[whole].0[lane].to_f64();
        let (product, WholeNorm { norm, of_zero }) = (self.products[whole].0[lane], self.norms[whole]);
        let (unclamped, is_accurate) = if is_square {
            let reduction = coefficient * (product - coefficient * self.corrections[0].0[lane]);
            let square = of_zero * of_zero - reduction;
            let difference = (norm - of_zero) * (norm + of_zero) + reduction;
            (difference / (norm + square.sqrt()), square >= CLOSE * (of_zero * of_zero))
        } else {
            let excess = self.corrections[whole].0[lane];
            ((norm - of_zero) + (coefficient * product - (excess + excess)), true)
        };
        let proximity = if unclamped > LEAST_PROXIMITY { unclamped } else { LEAST_PROXIMITY };
        let proximity = if self.leave_out_zeros && coefficient == 0.0 { 0.0 } else { proximity };
        (N::of(proximity).to_f64(), is_accurate && unclamped.abs() < f64::INFINITY)
    }
}

/// Tests the proximities in the 1-norm or the 2-norm, in numbers of type `N`.
fn test_proximities<N: Number>(is_square: bool) {
    let random = &mut Random::new(19);
    for count in [1, 2, 16, 31, 32] {
        // Of the largest size some squares of distances are differences that have lost too many digits.
        for size in [1e-9, 0.1, 3.0, 30.0, 300.0] {
            for leave_out_zeros in [false, true] {
                let given = ForProximities::<N>::random(count, size, leave_out_zeros, random);
                let (found, found_accurate) = given.run(is_square);
                let mut are_accurate = true;
                for (place, found) in found.into_iter().enumerate() {
                    let (expected, is_accurate) = given.expected(is_square, place / LANES, place % LANES);
                    are_accurate &= is_accurate;
                    // What is not accurate is calculated again.
                    let what = format!("{is_square} {count} {size} {leave_out_zeros}, {place}");
                    assert!(!is_accurate || same(found, expected), "{what}: {found:e}, expected {expected:e}");
                }
                assert_eq!(found_accurate, are_accurate, "{is_square} {count} {size}");
                assert!(size > 3.0 || are_accurate, "{is_square} {count} {size}");
            }
        }
    }
    // One number of all that is not finite is enough.
    for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for place in 0..32 * LANES {
            let mut given = ForProximities::<N>::random(32, 0.1, false, random);
            assert!(given.run(is_square).1);
            match place % 3 {
                0 => given.coefficients[place / LANES].0[place % LANES] = N::of(odd),
                1 => {
                    given.coefficients[place / LANES].0[place % LANES] = N::of(0.5);
                    given.products[place / LANES].0[place % LANES] = odd;
                }
                _ => given.norms[place / LANES].norm = odd,
            }
            assert!(!given.run(is_square).1, "{is_square}, {odd} in {place}");
        }
    }
}

#[test]
fn proximities_are_those_of_a_plain_loop_and_tell_whether_all_are_accurate() {
    for is_square in [false, true] {
        test_proximities::<f32>(is_square);
        test_proximities::<f64>(is_square);
    }
}

/// Tests that products are multiplied by a scale and narrowed to `N`.
fn test_scores<N: Number>() {
    let random = &mut Random::new(20);
    for count in [1, 2, 7, 32] {
        for scale in [1.0, 0.125, -0.3, 1e-300, 0.0] {
            let mut products: Vec<Line<f64>> = (0..count).map(|_| Line(from_fn(|_| 50.0 * random.normal()))).collect();
            products[count - 1].0[3] = f64::NAN;
            products[0].0[5] = f64::NEG_INFINITY;
            products[0].0[6] = 1e300;
            let found = on_every_set("scores", |set| {
                let mut scores = vec![Line([N::ZERO; LANES]); count];
                // In the reverse order.
                let to: Vec<*mut N> = scores.iter_mut().rev().map(|line| line.0.as_mut_ptr()).collect();
                let arguments = ScoresArguments { products: products.as_ptr(), count, scale, scores: to.as_ptr() };
                // SAFETY: the instruction set is available; there are `count` lines and as many pointers to lines.
                unsafe { entry_point::<Scores<N>>(set)(arguments) };
                numbers(&scores)
            });
            for (place, found) in found.into_iter().enumerate() {
                let expected = N::of(products[count - 1 - place / LANES].0[place % LANES] * scale).to_f64();
                assert!(same(found, expected), "{count} {scale}, {place}: {found:e}, expected {expected:e}");
            }
        }
    }
}

#[test]
fn scores_are_products_times_a_scale() {
    test_scores::<f32>();
    test_scores::<f64>();
}

/// The coefficients of these scores, with a sink.
fn softmax<N: Exponential>(scores: &[Line<N>], sink: f64) -> Vec<f64> {
    on_every_set("softmax", |set| {
        let mut lines = scores.to_vec();
        let arguments = SoftmaxArguments { scores: lines.as_mut_ptr().cast(), lines: lines.len(), sink: N::of(sink) };
        // SAFETY: the instruction set is available, and the lines can be read and written.
        unsafe { entry_point::<Softmax<N>>(set)(arguments) };
        numbers(&lines)
    })
}

/// Tests the softmax of scores of type `N`, which is exact to so much.
fn test_softmax<N: Exponential>(tolerance: f64) {
    let random = &mut Random::new(21);
    let nothing = f64::NEG_INFINITY;
    for lines in [1, 2, 3, 20] {
        for (size, shift) in [(1.0, 0.0), (10.0, 0.0), (1e4, 0.0), (3.0, 1e3), (3.0, -1e3), (0.0, 7.0)] {
            for sink in [nothing, 0.0, 5.0, 2e4, -2e4] {
                let line = |_| Line(from_fn(|_| N::of(size * random.normal() + shift)));
                let mut scores: Vec<Line<N>> = (0..lines).map(line).collect();
                for number in (0..lines * LANES).filter(|number| number % 3 == 1) {
                    scores[number / LANES].0[number % LANES] = N::of(nothing);
                }
                let found = softmax(&scores, sink);
                let plain = numbers(&scores);
                let largest = plain.iter().copied().fold(sink, f64::max);
                let exponential = |score: f64| (score - largest).exp();
                let sum: f64 = plain.iter().map(|&score| exponential(score)).sum::<f64>() + exponential(sink);
                for (place, (found, score)) in found.iter().zip(&plain).enumerate() {
                    let (expected, what) =
                        (exponential(*score) / sum, format!("{lines} {size} {shift} {sink}, {place}"));
                    // Differences of scores are rounded.
                    let allowed = tolerance * (1.0 + (largest - score).abs()).min(100.0);
                    assert!(
                        (found - expected).abs() <= allowed * expected.max(1e-25),
                        "{what}: {found:e}, expected {expected:e}"
                    );
                    assert_eq!(*found == 0.0, *score == nothing, "{what}: only what is not allowed is 0");
                }
            }
        }
    }
    let lines = |numbers: [f64; 2]| vec![Line([N::of(numbers[0]); LANES]), Line([N::of(numbers[1]); LANES])];
    for sink in [nothing, 0.0, -1e30, 1e30] {
        assert_eq!(softmax(&lines([nothing; 2]), sink), [0.0; 2 * LANES], "nothing is allowed");
        assert_eq!(softmax::<N>(&[], sink), [0.0; 0]);
    }
    let infinity = f64::INFINITY;
    for (numbers, sink) in [
        ([0.0, f64::NAN], nothing),
        ([f64::NAN, 0.0], 0.0),
        ([0.0, 0.0], f64::NAN),
        ([infinity, 0.0], nothing),
        ([0.0, 0.0], infinity),
    ] {
        let mut scores = lines(numbers);
        scores[1].0[4] = N::of(1.0);
        assert!(softmax(&scores, sink).iter().all(|number| number.is_nan()), "{numbers:?}, {sink}");
    }
    // Lines of what is not allowed change no bit, wherever they are.
    let own: Vec<Line<N>> = (0..3).map(|_| Line(from_fn(|_| N::of(random.normal())))).collect();
    let none = Line([N::of(nothing); LANES]);
    let padded = [&[none][..], &own[..2], &[none], &own[2..], &[none, none]].concat();
    let (found, expected) = (softmax(&padded, 0.5), softmax(&own, 0.5));
    assert_eq!([&found[LANES..3 * LANES], &found[4 * LANES..5 * LANES]].concat(), expected);
}

#[test]
fn softmax_is_that_of_a_plain_loop() {
    test_softmax::<f32>(4e-7);
    test_softmax::<f64>(2e-15);
}
