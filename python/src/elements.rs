//! Types of elements: of arguments, and of results.

use crate::dlpack::{self, ElementType};
use contrib_core::{DType, IndexType};

/// What an array's elements are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Elements {
    /// Numbers that the library computes with.
    Float(DType),
    /// Indices and positions.
    Index(IndexType),
    /// Other integers, which are cast where numbers are expected.
    OtherInteger,
    /// Whatever else.
    Other,
}

impl From<ElementType> for Elements {
    fn from(dtype: ElementType) -> Self {
        match (dtype.code, dtype.bits, dtype.lanes) {
            (dlpack::FLOAT, 16, 1) => Elements::Float(DType::F16),
            (dlpack::FLOAT, 32, 1) => Elements::Float(DType::F32),
            (dlpack::FLOAT, 64, 1) => Elements::Float(DType::F64),
            (dlpack::BFLOAT, 16, 1) => Elements::Float(DType::Bf16),
            (dlpack::INT, 32, 1) => Elements::Index(IndexType::I32),
            (dlpack::INT, 64, 1) => Elements::Index(IndexType::I64),
            (dlpack::INT | dlpack::UINT, _, 1) => Elements::OtherInteger,
            _ => Elements::Other,
        }
    }
}

impl Elements {
    /// The same for DLPack, of what results can be.
    pub(crate) fn to_dlpack(self) -> Option<ElementType> {
        let (code, bits) = match self {
            Elements::Float(DType::F16) => (dlpack::FLOAT, 16),
            Elements::Float(DType::F32) => (dlpack::FLOAT, 32),
            Elements::Float(DType::F64) => (dlpack::FLOAT, 64),
            Elements::Float(DType::Bf16) => (dlpack::BFLOAT, 16),
            Elements::Index(IndexType::I32) => (dlpack::INT, 32),
            Elements::Index(IndexType::I64) => (dlpack::INT, 64),
            Elements::OtherInteger | Elements::Other => return None,
        };
        Some(ElementType { code, bits, lanes: 1 })
    }

    /// Bytes of one, of what results can be.
    pub(crate) fn size(self) -> Option<usize> {
        self.to_dlpack().map(|dtype| usize::from(dtype.bits) / 8)
    }
}

/// What PyTorch's and NumPy's promotion makes of two types.
pub(crate) fn promoted(one: DType, other: DType) -> DType {
    match (one, other) {
        (one, other) if one == other => one,
        (DType::F64, _) | (_, DType::F64) => DType::F64,
        // Of a half and a float, or of two different halves.
        _ => DType::F32,
    }
}
