//! What depends on a projection alone, prepared once for any number of calls.

use crate::array::{Array, Keeper, Says, Until};
use crate::context::{Context, options};
use crate::error::of_core;
use contrib_core::Tensor;
use pyo3::prelude::*;

/// A projection, such as attention's ``w_o`` ``[head, d_head, d_model]``, with what depends on it alone. It takes the place of the array as
/// ``w_o`` of :func:`attention` and as ``projection`` of :class:`Factored`, and makes calls for few queries faster. Results have the
/// same bits.
///
/// It keeps the array's memory. Where the numbers in there change, prepare again: a call cannot see that.
///
/// It takes as much memory as the projection has in float32, and a little more. Of a float64 projection nothing is prepared.
#[pyclass(frozen, module = "residual_routes")]
pub(crate) struct PreparedProjection {
    prepared: contrib_core::PreparedProjection,
    /// Valid for as long as the keeper.
    view: Tensor<'static>,
    says: Says,
    #[expect(dead_code, reason = "it is kept to be dropped")]
    keeper: Keeper,
}

#[pymethods]
impl PreparedProjection {
    #[new]
    #[pyo3(signature = (projection, *, context=None))]
    fn new(py: Python<'_>, projection: &Bound<'_, PyAny>, context: Option<&Bound<'_, Context>>) -> PyResult<Self> {
        let array = Array::read(&"projection", projection, Until::Dropped)?;
        let options = options(py, 1.0, 0.0, context)?;
        let tensor = array.tensor();
        let prepared = py
            .detach(|| contrib_core::PreparedProjection::new(&tensor, &options))
            .map_err(|error| of_core(py, &error))?;
        let says = array.says();
        let (view, keeper) = array.into_parts();
        Ok(PreparedProjection { prepared, view, says, keeper })
    }

    /// The shape of the projection.
    #[getter]
    fn shape<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(pyo3::types::PyTuple::new(py, self.view.shape())?.into_any())
    }

    fn __repr__(&self) -> String {
        format!("PreparedProjection(shape={:?})", self.view.shape())
    }
}

/// A projection as an argument: an array, or one that is prepared.
pub(crate) enum Projection<'py> {
    Array(Array<'py>),
    Prepared(Bound<'py, PreparedProjection>),
}

impl<'py> Projection<'py> {
    pub(crate) fn new(name: &str, object: &Bound<'py, PyAny>) -> PyResult<Self> {
        Ok(match object.cast::<PreparedProjection>() {
            Ok(prepared) => Projection::Prepared(prepared.clone()),
            Err(_) => Projection::Array(Array::new(name, object)?),
        })
    }

    pub(crate) fn tensor(&self) -> Tensor<'_> {
        match self {
            Projection::Array(array) => array.tensor(),
            Projection::Prepared(prepared) => prepared.get().view,
        }
    }

    pub(crate) fn prepared(&self) -> Option<&contrib_core::PreparedProjection> {
        match self {
            Projection::Array(_) => None,
            Projection::Prepared(prepared) => Some(&prepared.get().prepared),
        }
    }

    pub(crate) fn says(&self) -> Says {
        match self {
            Projection::Array(array) => array.says(),
            Projection::Prepared(prepared) => prepared.get().says,
        }
    }
}
