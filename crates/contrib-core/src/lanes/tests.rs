//! Tests every operation of vectors, on every instruction set of this processor, against code for one number.

use super::{LANES, Lanes, Line, LoadAs, Number, Reads, Vectors};
use crate::dispatch::entry_point;
use crate::dtype::Element;
use crate::instruction_set::InstructionSet;
use crate::kernels::Kernel;
use half::{bf16, f16};
use std::marker::PhantomData;

/// Names of the results of [`Operations`], in order.
const RESULTS: [&str; 16] = [
    "load and store",
    "splat",
    "add",
    "sub",
    "mul",
    "div",
    "abs",
    "sqrt",
    "min",
    "max",
    "max_magnitude",
    "zero_where_zero",
    "negated_where_negative",
    "widened and narrowed",
    "first half of zip",
    "second half of zip",
];

/// Applies every operation to two vectors.
struct Operations<N>(PhantomData<N>);

/// The arguments of [`Operations`]: two vectors, which can be read, and a vector for each of the results, which can be
/// written.
struct Operands<N> {
    a: *const N,
    b: *const N,
    results: *mut N,
}

impl<N: Number> Kernel for Operations<N> {
    type Arguments = Operands<N>;

    #[inline(always)]
    unsafe fn run<V: Vectors>(Operands { a, b, results }: Operands<N>) {
        // SAFETY: the processor has the instruction set; the operands can be read, and there is memory for all results.
        unsafe {
            V::prefetch(a.cast());
            let (first, second): (N::Lanes<V>, N::Lanes<V>) = (LoadAs::load(a), LoadAs::load(b));
            let (low, high) = first.zip(second);
            let vectors = [
                first,
                Lanes::splat(*b),
                first.add(second),
                first.sub(second),
                first.mul(second),
                first.div(second),
                first.abs(),
                first.sqrt(),
                first.min(second),
                first.max(second),
                first.abs().max_magnitude(second.abs()),
                first.zero_where_zero(second),
                first.negated_where_negative(second),
                N::narrowed::<V>(N::widened::<V>(first)),
                low,
                high,
            ];
            for (number, vector) in vectors.into_iter().enumerate() {
                vector.store(results.add(number * LANES));
            }
        }
    }
}

/// Widens elements.
struct Widen<T, N>(PhantomData<(T, N)>);

/// The arguments of [`Widen`]: elements, a multiple of [`LANES`] of them, and memory for as many `f64`.
struct Widening<T> {
    elements: *const [T],
    to: *mut f64,
}

impl<T: Element, N: Reads<T>> Kernel for Widen<T, N> {
    type Arguments = Widening<T>;

    #[inline(always)]
    unsafe fn run<V: Vectors>(Widening { elements, to }: Widening<T>) {
        // SAFETY: the processor has the instruction set, and each vector lies inside the elements.
        unsafe {
            for start in (0..elements.len()).step_by(LANES) {
                N::widened::<V>(N::load::<V>(elements.cast::<T>().add(start))).store(to.add(start));
            }
        }
    }
}

/// The instruction sets that this processor has.
fn available() -> impl Iterator<Item = InstructionSet> {
    InstructionSet::ALL.into_iter().filter(|&set| set <= InstructionSet::best())
}

/// Whether two numbers have the same bits, or are both NaN, whose bits depend on the processor.
fn same<N: Number>(a: N, b: N) -> bool {
    let (a, b) = (a.to_f64(), b.to_f64());
    a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
}

/// Tests that each operation gives for all pairs of these numbers what `scalar` gives for one pair.
fn test_operations<N: Number>(numbers: [N; LANES], scalar: fn(N, N) -> [N; 12]) {
    for set in available() {
        for shift in 0..LANES {
            let mut others = numbers;
            others.rotate_left(shift);
            // Begins one number after a multiple of the size of a vector.
            let mut memory = vec![Line([N::ZERO; LANES]); RESULTS.len() + 3];
            let memory = Line::numbers_mut(&mut memory);
            memory[1..=LANES].copy_from_slice(&numbers);
            memory[LANES + 1..=2 * LANES].copy_from_slice(&others);
            let (operands, results) = memory[1..].split_at_mut(2 * LANES);
            let (a, b) = operands.split_at(LANES);
            let arguments = Operands { a: a.as_ptr(), b: b.as_ptr(), results: results.as_mut_ptr() };
            // SAFETY: the instruction set is available, and there is memory for all results.
            unsafe { entry_point::<Operations<N>>(set)(arguments) };
            let results = results.as_chunks::<LANES>().0;
            for lane in 0..LANES {
                let zipped = |index: usize| [a, b][index % 2][index / 2];
                let mut expected = vec![a[lane], b[0]];
                expected.extend(scalar(a[lane], b[lane]));
                expected.extend([zipped(lane), zipped(LANES + lane)]);
                for ((name, result), expected) in RESULTS.iter().zip(results).zip(expected) {
                    let (a, b, result) = (a[lane].to_f64(), b[lane].to_f64(), result[lane]);
                    let message = || format!("{name} of {a:e} and {b:e}, {set:?}: {:e}", result.to_f64());
                    assert!(same(result, expected), "{}, expected {:e}", message(), expected.to_f64());
                }
            }
        }
    }
}

/// Tests [`Operations`] of one type of numbers: of zeros, subnormal numbers, ordinary ones, infinities and NaN.
macro_rules! test_operations_of {
    ($number:ident) => {{
        const NAN: $number = $number::NAN;
        const TINY: $number = $number::MIN_POSITIVE;
        let least = $number::from_bits(1);
        let numbers = [
            0.0,
            -0.0,
            least,
            -least,
            TINY / 3.0,
            -TINY,
            TINY,
            0.1,
            -0.1,
            1.0,
            -3.0,
            $number::MAX,
            $number::MIN,
            $number::INFINITY,
            -$number::INFINITY,
            -NAN,
        ];
        let scalar = |a: $number, b: $number| {
            let (a_magnitude, b_magnitude) = (a.abs(), b.abs());
            let has_nan = a.is_nan() || b.is_nan();
            [
                a + b,
                a - b,
                a * b,
                a / b,
                a_magnitude,
                a.sqrt(),
                if a < b { a } else { b },
                if a > b { a } else { b },
                if has_nan {
                    NAN
                } else if a_magnitude > b_magnitude {
                    a_magnitude
                } else {
                    b_magnitude
                },
                if b == 0.0 { 0.0 } else { a },
                if b.is_sign_negative() { -a } else { a },
                a,
            ]
        };
        test_operations(numbers, scalar);
        let mut positive_nan = numbers;
        positive_nan[LANES - 1] = NAN;
        test_operations(positive_nan, scalar);
    }};
}

#[test]
fn operations_on_vectors_give_in_each_lane_what_they_give_for_one_number() {
    test_operations_of!(f32);
    test_operations_of!(f64);
}

/// Tests that elements widen to `N` as `scalar` widens them.
fn test_widening<T: Element, N: Reads<T>>(elements: &[T], scalar: fn(T) -> f64) {
    for set in available() {
        let mut numbers = vec![0.0; elements.len()];
        // SAFETY: the instruction set is available, and there is memory for as many numbers as elements.
        unsafe { entry_point::<Widen<T, N>>(set)(Widening { elements, to: numbers.as_mut_ptr() }) };
        for (&element, number) in elements.iter().zip(numbers) {
            let expected = scalar(element);
            assert!(same(number, expected), "{:?} {set:?}: {number:e}, expected {expected:e}", T::DTYPE);
        }
    }
}

#[test]
fn all_elements_widen_exactly() {
    let halves: Vec<f16> = (0..=u16::MAX).map(f16::from_bits).collect();
    test_widening::<f16, f32>(&halves, f16::to_f64);
    test_widening::<f16, f64>(&halves, f16::to_f64);
    let halves: Vec<bf16> = (0..=u16::MAX).map(bf16::from_bits).collect();
    test_widening::<bf16, f32>(&halves, bf16::to_f64);
    test_widening::<bf16, f64>(&halves, bf16::to_f64);
    // All exponents, and the fractions of halves.
    let singles: Vec<f32> = (0..=u32::from(u16::MAX)).map(|bits| f32::from_bits(bits << 16 | bits)).collect();
    test_widening::<f32, f32>(&singles, f64::from);
    test_widening::<f32, f64>(&singles, f64::from);
    let doubles: Vec<f64> = singles.iter().map(|&number| f64::from(number) / 3.0).collect();
    test_widening::<f64, f64>(&doubles, |number| number);
}

#[test]
fn lines_are_their_numbers() {
    let mut lines = [Line([1.0_f32; LANES]), Line([2.0; LANES])];
    let numbers = Line::numbers_mut(&mut lines);
    assert_eq!(numbers.len(), 2 * LANES);
    numbers[LANES] = 3.0;
    assert_eq!((lines[0].0[LANES - 1], lines[1].0[0]), (1.0, 3.0));
}
