//! Where the elements of a tensor lie in a buffer of their own.

/// How one axis lies in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Axis {
    /// Its first element is the last in memory.
    pub reversed: bool,
    /// Elements of nobody between its steps.
    pub gap: usize,
    /// All its elements are one and the same.
    pub broadcast: bool,
}

/// The shape, strides and first element of a tensor that begins somewhere in a buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The extents of the axes.
    pub shape: Vec<usize>,
    /// The strides of the axes, in elements.
    pub strides: Vec<isize>,
    /// The index of the first element in the buffer.
    pub offset: usize,
    /// Elements of the buffer.
    pub len: usize,
}

/// A layout for any shape.
pub type Arrangement = fn(&[usize]) -> Layout;

/// Elements of nobody before and after a tensor, where its buffer shows writes that go astray.
const MARGIN: usize = 3;

impl Layout {
    /// Row-major, the last axis contiguous.
    #[must_use]
    pub fn row_major(shape: &[usize]) -> Self {
        let order: Vec<usize> = (0..shape.len()).collect();
        Self::arranged(shape, &order, &vec![Axis::default(); shape.len()])
    }

    /// The axes in memory from the outermost to the innermost as `order` names them, each as `axes` has it.
    ///
    /// # Panics
    /// Unless there are as many in `order` and `axes` as in `shape`.
    #[must_use]
    pub fn arranged(shape: &[usize], order: &[usize], axes: &[Axis]) -> Self {
        assert!(shape.len() == order.len() && shape.len() == axes.len(), "one each for every axis");
        let mut layout = Layout { shape: shape.to_vec(), strides: vec![0; shape.len()], offset: MARGIN, len: 0 };
        let mut reach = 1;
        for &axis in order.iter().rev() {
            if axes[axis].broadcast {
                continue;
            }
            let step = reach + axes[axis].gap;
            reach = step * shape[axis].max(1);
            layout.strides[axis] = step as isize;
            if axes[axis].reversed {
                layout.strides[axis] = -layout.strides[axis];
                layout.offset += step * (shape[axis].max(1) - 1);
            }
        }
        layout.len = reach + 2 * MARGIN;
        layout
    }

    /// All axes reversed.
    #[must_use]
    pub fn reversed(shape: &[usize]) -> Self {
        let order: Vec<usize> = (0..shape.len()).collect();
        Self::arranged(shape, &order, &vec![Axis { reversed: true, ..Axis::default() }; shape.len()])
    }

    /// Unused elements between those of every axis.
    #[must_use]
    pub fn padded(shape: &[usize]) -> Self {
        let order: Vec<usize> = (0..shape.len()).collect();
        let axes: Vec<Axis> = order.iter().map(|axis| Axis { gap: 1 + axis % 3, ..Axis::default() }).collect();
        Self::arranged(shape, &order, &axes)
    }

    /// Vectors (the last axis) contiguous, with unused elements between them: rows of a wider matrix.
    #[must_use]
    pub fn rows_apart(shape: &[usize]) -> Self {
        let order: Vec<usize> = (0..shape.len()).collect();
        let gap = |axis| if axis + 2 == shape.len() { 5 } else { 0 };
        let axes: Vec<Axis> = order.iter().map(|&axis| Axis { gap: gap(axis), ..Axis::default() }).collect();
        Self::arranged(shape, &order, &axes)
    }

    /// The first axis innermost, as in Fortran.
    #[must_use]
    pub fn column_major(shape: &[usize]) -> Self {
        let order: Vec<usize> = (0..shape.len()).rev().collect();
        Self::arranged(shape, &order, &vec![Axis::default(); shape.len()])
    }

    /// The axes rotated by one, every other one reversed, gaps in all.
    #[must_use]
    pub fn scrambled(shape: &[usize]) -> Self {
        let order: Vec<usize> = (0..shape.len()).map(|axis| (axis + 1) % shape.len()).collect();
        let axis = |axis: usize| Axis { reversed: axis % 2 == 1, gap: axis % 2 + 1, broadcast: false };
        Self::arranged(shape, &order, &(0..shape.len()).map(axis).collect::<Vec<_>>())
    }

    /// The arrangements above but the row-major one, with their names.
    pub const OTHERS: [(&'static str, Arrangement); 5] = [
        ("reversed", Layout::reversed),
        ("padded", Layout::padded),
        ("rows apart", Layout::rows_apart),
        ("column-major", Layout::column_major),
        ("scrambled", Layout::scrambled),
    ];

    /// The number of elements of the tensor.
    #[must_use]
    pub fn count(&self) -> usize {
        self.shape.iter().product()
    }

    /// The index in the buffer of each element of the tensor, in row-major order.
    #[must_use]
    pub fn indices(&self) -> Vec<usize> {
        let mut indices = vec![self.offset];
        for (&extent, &stride) in self.shape.iter().zip(&self.strides) {
            let step = |index: usize| (0..extent).map(move |i| index.wrapping_add_signed(i as isize * stride));
            indices = indices.into_iter().flat_map(step).collect();
        }
        indices
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn indices_are_inside_the_buffer_and_no_two_the_same() {
        for shape in [&[][..], &[1], &[5], &[2, 3], &[2, 0, 3], &[3, 1, 2, 4]] {
            for (name, layout) in Layout::OTHERS.into_iter().chain([("row-major", Layout::row_major as Arrangement)]) {
                let layout = layout(shape);
                let indices = layout.indices();
                assert_eq!(indices.len(), layout.count(), "{name} {shape:?}");
                assert!(
                    indices.iter().all(|&index| (MARGIN..layout.len - MARGIN).contains(&index)),
                    "{name} {shape:?}"
                );
                assert_eq!(indices.iter().collect::<HashSet<_>>().len(), indices.len(), "{name} {shape:?}");
            }
        }
    }

    #[test]
    fn arrangements_are_what_they_say() {
        assert_eq!(Layout::row_major(&[2, 3]).strides, [3, 1]);
        assert_eq!(Layout::reversed(&[2, 3]).strides, [-3, -1]);
        assert_eq!(Layout::column_major(&[2, 3]).strides, [1, 2]);
        assert_eq!(Layout::rows_apart(&[2, 3]).strides, [8, 1]);
        let broadcast = Axis { broadcast: true, ..Axis::default() };
        assert_eq!(Layout::arranged(&[2, 3], &[0, 1], &[broadcast, Axis::default()]).strides, [0, 1]);
    }
}
