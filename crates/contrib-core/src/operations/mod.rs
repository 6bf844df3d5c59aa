//! The operations by the names that the field uses: each says which tensors are the groups of which whole.

pub(crate) mod attention;
pub(crate) mod attention_factored;
pub(crate) mod contributions;
pub(crate) mod mlp;
pub(crate) mod mlp_neurons;
pub(crate) mod threshold;

use crate::error::Error;
use crate::options::Options;
use crate::primitive::{Named, NamedGroup, PlannedWhole, run};
use crate::tensor::Tensor;

/// The primitive for two groups, without a heap.
fn two_groups(
    whole: Named<&Tensor<'_>>,
    first: (Named<&Tensor<'_>>, Named<&Tensor<'_>>),
    second: (Named<&Tensor<'_>>, Named<&Tensor<'_>>),
    options: &Options<'_>,
) -> Result<(), Error> {
    let groups = [NamedGroup::dense(first.0, first.1), NamedGroup::dense(second.0, second.1)];
    let whole = PlannedWhole::new(whole, options)?;
    let planned = [groups[0].plan(&whole, options)?, groups[1].plan(&whole, options)?];
    run(&whole, &groups, &planned, options)
}
