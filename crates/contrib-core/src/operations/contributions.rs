//! Contributions of any parts to any whole.

use crate::checks::expect_shape;
use crate::error::Error;
use crate::groups::Group;
use crate::options::Options;
use crate::primitive::{Field, Place, compute};
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
    compute(whole, &mut [Group::dense(*parts, out.reborrow())], options, &|place| match place {
        Place::Whole => "whole".into(),
        Place::Group(_, Field::Out) => "out".into(),
        Place::Group(..) => "parts".into(),
    })
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
    expect_shape("one_off", one_off, whole.shape(), "whole")?;
    let mut groups = [Group::dense(*parts, out_parts.reborrow()), Group::dense(*one_off, out_one_off.reborrow())];
    compute(whole, &mut groups, options, &|place| match place {
        Place::Whole => "whole".into(),
        Place::Group(0, Field::Out) => "out_parts".into(),
        Place::Group(0, _) => "parts".into(),
        Place::Group(_, Field::Out) => "out_one_off".into(),
        Place::Group(..) => "one_off".into(),
    })
}
