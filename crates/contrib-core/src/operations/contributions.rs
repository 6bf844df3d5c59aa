//! Contributions of any parts to any whole.

use super::two_groups;
use crate::error::Error;
use crate::options::Options;
use crate::primitive::{NamedGroup, PlannedWhole, named, named_out, run};
use crate::tensor::{Tensor, TensorMut};

/// What each part contributes to its whole: [`group_contributions`](crate::group_contributions) with one group.
///
/// `whole` is `[v.., d]`, `parts` `[p.., v.., d]`, `out` `[p.., v..]`. Without part axes each contribution is 1.
///
/// # Errors
/// As [`group_contributions`](crate::group_contributions).
pub fn contributions(
    whole: &Tensor<'_>,
    parts: &Tensor<'_>,
    out: &mut TensorMut<'_>,
    options: &Options<'_>,
) -> Result<(), Error> {
    let whole = PlannedWhole::new(named("whole", whole), options)?;
    let group = NamedGroup::dense(named("parts", parts), named_out("out", out));
    let planned = [group.plan(&whole, options)?];
    run(&whole, &[group], &planned, options)
}

/// What each part, and one part of another shape, contribute to their whole.
///
/// `whole` and `one_off` are `[v.., d]`, `parts` `[p.., v.., d]`, `out_parts` `[p.., v..]`, `out_one_off` `[v..]`.
///
/// # Errors
/// As [`group_contributions`](crate::group_contributions).
pub fn contributions_with_one_off(
    whole: &Tensor<'_>,
    parts: &Tensor<'_>,
    one_off: &Tensor<'_>,
    out_parts: &mut TensorMut<'_>,
    out_one_off: &mut TensorMut<'_>,
    options: &Options<'_>,
) -> Result<(), Error> {
    let (whole, one_off) = (named("whole", whole), named("one_off", one_off));
    one_off.expect_shape(whole.tensor.shape(), whole.argument)?;
    two_groups(
        whole,
        (named("parts", parts), named_out("out_parts", out_parts)),
        (one_off, named_out("out_one_off", out_one_off)),
        options,
    )
}
