//! The arguments of the primitive, whatever an operation calls them.

use crate::error::Argument;

/// An argument of the primitive, whatever an operation calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The whole.
    Whole,
    /// A field of the group with this index.
    Group(usize, Field),
}

/// A tensor or number of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Parts,
    Coefficients,
    Queries,
    Keys,
    ScoreScale,
    SoftCap,
    Slopes,
    Sinks,
    Mask,
    QueryPositions,
    KeyPositions,
    Directions,
    Values,
    Projection,
    Prepared,
    Scale,
    Out,
    Indices,
    Counts,
    LeftOut,
    Above,
    SummedAxes,
}

impl Field {
    /// What the struct that describes a group calls it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Field::Parts => "parts",
            Field::Coefficients => "coefficients",
            Field::Queries => "queries",
            Field::Keys => "keys",
            Field::ScoreScale => "score_scale",
            Field::SoftCap => "soft_cap",
            Field::Slopes => "slopes",
            Field::Sinks => "sinks",
            Field::Mask => "mask",
            Field::QueryPositions => "query_positions",
            Field::KeyPositions => "key_positions",
            Field::Directions => "directions",
            Field::Values => "values",
            Field::Projection => "projection",
            Field::Prepared => "prepared",
            Field::Scale => "scale",
            Field::Out => "out",
            Field::Indices => "indices",
            Field::Counts => "counts",
            Field::LeftOut => "left_out",
            Field::Above => "above",
            Field::SummedAxes => "summed_axes",
        }
    }
}

impl Place {
    /// The name that [`group_contributions`](crate::group_contributions) gives it.
    pub(super) fn argument(self) -> Argument {
        match self {
            Place::Whole => Argument::named("whole"),
            Place::Group(index, field) => Argument::of_group(index, field.name()),
        }
    }
}
