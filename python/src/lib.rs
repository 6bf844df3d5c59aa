//! The native part of the Python package `residual-routes`: the functions of `contrib-core` and the routes of `contrib-routes`, on
//! arrays of NumPy, PyTorch, and whoever speaks DLPack.
//!
//! An argument becomes an [`array::Array`], a checked view of memory that Python holds; a result is an [`output::Output`], made by
//! the library of the caller's whole ([`kind::Kind`]). Python's lock is released while the core computes.

mod array;
mod attention;
mod capsule;
mod context;
mod contributions;
mod dlpack;
mod elements;
mod error;
mod exchange;
mod groups;
mod kind;
mod memory;
mod mlp;
mod neurons;
mod numpy;
mod output;
mod prepared;
mod routes;
mod scores;
mod selection;
mod threshold;

use pyo3::prelude::*;

/// The native part of `residual_routes`.
#[pymodule]
mod _native {
    #[pymodule_export]
    use crate::attention::attention;
    #[pymodule_export]
    use crate::context::Context;
    #[pymodule_export]
    use crate::contributions::contributions;
    #[pymodule_export]
    use crate::groups::group_contributions;
    #[pymodule_export]
    use crate::mlp::mlp;
    #[pymodule_export]
    use crate::neurons::neurons;
    #[pymodule_export]
    use crate::prepared::PreparedProjection;
    #[pymodule_export]
    use crate::routes::graph::Graph;
    #[pymodule_export]
    use crate::routes::recording::Recording;
    #[pymodule_export]
    use crate::routes::totals::Totals;
    #[pymodule_export]
    use crate::threshold::threshold_and_renormalise;
}
