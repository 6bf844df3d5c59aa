//! Matrix products: how fast a good implementation of them is on this machine, and inputs made with it.

use crate::normal;
use gemm_common::Parallelism;
use gemm_f32::gemm::f32::get_gemm_fn;
use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

/// A matrix in a slice.
#[derive(Clone, Copy)]
pub struct Matrix<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    /// The distances of rows and of columns, in elements.
    strides: (usize, usize),
}

/// How far from the first the last element of a matrix is, and one more.
fn span((rows, columns): (usize, usize), (row, column): (usize, usize)) -> usize {
    if rows == 0 || columns == 0 { 0 } else { (rows - 1) * row + (columns - 1) * column + 1 }
}

impl<'a> Matrix<'a> {
    /// A matrix whose rows begin `stride` elements after each other.
    ///
    /// # Panics
    /// If `data` is shorter.
    #[must_use]
    pub fn new(data: &'a [f32], rows: usize, columns: usize, stride: usize) -> Self {
        assert!(span((rows, columns), (stride, 1)) <= data.len());
        Matrix { data, rows, columns, strides: (stride, 1) }
    }

    /// The transposed matrix, which is the same memory.
    #[must_use]
    pub fn transposed(self) -> Self {
        let Matrix { data, rows, columns, strides } = self;
        Matrix { data, rows: columns, columns: rows, strides: (strides.1, strides.0) }
    }
}

/// Writes `left` times `right` to `out`, whose rows begin `stride` elements after each other. On one thread.
///
/// # Panics
/// If `out` is shorter, or the matrices do not fit together.
pub fn multiply(left: Matrix<'_>, right: Matrix<'_>, out: &mut [f32], stride: usize) {
    let (m, n, k) = (left.rows, right.columns, left.columns);
    assert_eq!(k, right.rows);
    assert!(n <= stride && span((m, n), (stride, 1)) <= out.len());
    let [(left_row, left_column), (right_row, right_column)] =
        [left, right].map(|matrix| (matrix.strides.0 as isize, matrix.strides.1 as isize));
    // SAFETY: constructors of `Matrix` check that all elements of both lie in their slices, the assertion above checks it of
    // `out`. `out` is borrowed mutably, so that it overlaps neither.
    unsafe {
        get_gemm_fn()(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            stride as isize,
            false,
            left.data.as_ptr(),
            left_column,
            left_row,
            right.data.as_ptr(),
            right_column,
            right_row,
            0.0_f32,
            1.0_f32,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

/// How many multiplications in a second products of `[m, k]` and `[k, n]` take on `threads` threads, each with its own
/// matrices, so that none waits for another. Of each thread the fastest product counts: other programs take a core for longer
/// than a product takes, but not all the time.
#[must_use]
pub fn rate((m, n, k): (usize, usize, usize), threads: usize) -> f64 {
    const TIME: Duration = Duration::from_millis(100);
    let (left, right) = (normal(m * k, 7), normal(k * n, 8));
    let all = Barrier::new(threads);
    let fastest = || {
        let (left, right) = (left.clone(), right.clone());
        let mut out = vec![0.0; m * n];
        let mut fastest = Duration::MAX;
        all.wait();
        let begin = Instant::now();
        while fastest == Duration::MAX || begin.elapsed() < TIME {
            let start = Instant::now();
            multiply(Matrix::new(&left, m, k, k), Matrix::new(&right, k, n, n), black_box(&mut out), n);
            fastest = fastest.min(start.elapsed());
        }
        fastest
    };
    let slowest = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(fastest)).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).max().unwrap_or_default()
    });
    (threads * m * n * k) as f64 / slowest.as_secs_f64()
}
