//! Parts of a tensor, with other axes, and their elements.

use contrib_core::{Tensor, half::bf16};

/// `[2, 3, 4]`, whose element at `[i, j, k]` is `100 i + 10 j + k`, with the middle axis reversed.
fn elements() -> Vec<f32> {
    (0..24).map(|at| [at / 12, 2 - at / 4 % 3, at % 4]).map(|[i, j, k]| (100 * i + 10 * j + k) as f32).collect()
}

fn tensor(elements: &[f32]) -> Tensor<'_> {
    Tensor::strided(elements, 8, &[2, 3, 4], &[12, -4, 1]).unwrap()
}

fn copied(tensor: &Tensor<'_>) -> Vec<f64> {
    let mut out = vec![f64::NAN; tensor.shape().iter().product()];
    tensor.copy_to(&mut out);
    out
}

#[test]
fn elements_are_copied_in_row_major_order_whatever_the_strides_are() {
    let elements = elements();
    let expected: Vec<f64> = (0..24).map(|at| f64::from(100 * (at / 12) + 10 * (at / 4 % 3) + at % 4)).collect();
    assert_eq!(copied(&tensor(&elements)), expected);
    let mut halves = [bf16::ZERO; 24];
    tensor(&elements).copy_to(&mut halves);
    assert_eq!(halves[23], bf16::from_f32(123.0));
}

#[test]
fn a_narrowed_tensor_has_the_elements_within_the_range() {
    let elements = elements();
    let tensor = tensor(&elements);
    assert_eq!(copied(&tensor.narrowed(1, 1..2)), [10.0, 11.0, 12.0, 13.0, 110.0, 111.0, 112.0, 113.0]);
    assert_eq!(copied(&tensor.narrowed(0, 1..2).narrowed(1, 2..3).narrowed(2, 1..3)), [121.0, 122.0]);
    assert_eq!(copied(&tensor.narrowed(2, 0..4)), copied(&tensor));
    for (axis, end) in [(0, 2), (1, 3), (2, 4)] {
        let none = tensor.narrowed(axis, end..end);
        assert!(none.shape()[axis] == 0 && copied(&none).is_empty());
    }
    let empty = Tensor::new::<f64>(&[], &[3, 0]).unwrap();
    assert_eq!(empty.narrowed(0, 1..2).shape(), [1, 0]);
}

#[test]
fn an_axis_of_one_element_can_be_put_anywhere() {
    let elements = elements();
    let tensor = tensor(&elements);
    for (at, shape) in [(0, [1, 2, 3, 4]), (1, [2, 1, 3, 4]), (2, [2, 3, 1, 4]), (3, [2, 3, 4, 1])] {
        let with_axis = tensor.with_axis(at);
        assert_eq!(with_axis.shape(), shape);
        assert_eq!(copied(&with_axis), copied(&tensor));
        assert_eq!(with_axis.without_axis(at).shape(), tensor.shape());
        assert_eq!(copied(&with_axis.without_axis(at)), copied(&tensor));
    }
    let scalar = Tensor::new(&[5.0_f32], &[]).unwrap();
    assert_eq!(copied(&scalar.with_axis(0)), [5.0]);
}

#[test]
#[should_panic(expected = "1..4 is not within 3 elements")]
fn a_range_beyond_the_axis_panics() {
    let _ = tensor(&elements()).narrowed(1, 1..4);
}

#[test]
#[should_panic(expected = "one element for each of the tensor's")]
fn a_copy_of_another_length_panics() {
    tensor(&elements()).copy_to(&mut [0.0_f32; 23]);
}
