//! A caller's groups of parts.

use crate::failure::{Failure, with_names};
use crate::prepared_projection::{self, contrib_prepared_projection};
use crate::queries_and_keys::{self, contrib_queries_and_keys};
use crate::sized_struct::{self, MAX_STRUCT_SIZE, SizedStruct};
use crate::tensor::{contrib_tensor, input, optional};
use crate::wanted::Wanted;
use contrib_core::{Argument, Cause, Coefficients, Directions, Error, FactoredParts, Group, Parts, QueriesAndKeys};
use std::mem::offset_of;

/// Flag of a group of factored parts: parts whose coefficient is 0 (masked keys) contribute 0, and are not counted in
/// the sum by which the others are divided. Without it they count as the zero vectors that they are.
pub const CONTRIB_GROUP_LEAVE_OUT_ZEROS: u64 = 1;
/// Flag of a group: `out` lacks one or more of the leading part axes, or all, and gets sums over them. Of parts
/// `[p, q, v]`, for example, it is `[q, v]` or `[v]`. With all part axes it is as without the flag. With `indices` it is
/// `summed_axes` that says how many.
pub const CONTRIB_GROUP_SUM: u64 = 2;

const KNOWN_FLAGS: u64 = CONTRIB_GROUP_LEAVE_OUT_ZEROS | CONTRIB_GROUP_SUM;

/// A group of parts of a whole `[v.., d]`, and the place for their contributions.
///
/// *Dense* parts are the vectors themselves. *Factored* parts are a number times a vector: an attended token through a
/// head, its pattern times what the head moves; a neuron, its activation times its output vector. Their vectors
/// `[p.., v.., d]` never exist in memory. A group is factored where `coefficients` or `queries_and_keys` is not NULL.
///
/// Of what the parts contribute all is written, or sums, or the k largest, or those above a number:
///
/// | `out` | `indices` | `counts`, `left_out` | what is written |
/// |---|---|---|---|
/// | `[p.., v..]` | NULL | NULL | all contributions; sums with `CONTRIB_GROUP_SUM` |
/// | `[v.., k]` | `[v.., k]` | NULL | the k largest, the largest first, of equal ones the first |
/// | `[v.., room]` | `[v.., room]` | `v..` | those greater than `above`, by index |
///
/// Of a number t greater than 0 there are fewer than 1 / t, so that a room of ceil(1 / t) - 1 is always enough.
///
/// Begin with `contrib_group group = CONTRIB_GROUP_INIT;`, or with zeros and `struct_size`. Later versions may append fields,
/// for which zero means what this version does.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct contrib_group {
    /// `sizeof(contrib_group)`; the same for all groups of an array.
    pub struct_size: usize,
    /// Dense: the parts `[p.., v.., d]`: any part axes, or none for one part, then the whole's own axes. Factored: the
    /// directions `[p.., v.., d]`, or with `projection` the values `[p.., v.., r]`, where any extent of `p..` and `v..`
    /// may be 1: the same for all along that axis.
    pub parts: *const contrib_tensor,
    /// What they contribute; see above. Written.
    pub out: *const contrib_tensor,
    /// The coefficients `[p.., v..]` of factored parts, or NULL. A part whose coefficient is 0 is the zero vector, whatever
    /// its direction.
    pub coefficients: *const contrib_tensor,
    /// `[p.., r, d]`, or NULL: the matrix by which the values in `parts` become directions, `values @ projection`. Any
    /// extent of `p..` may be 1. Only of factored parts; with `queries_and_keys` the last of `p..` is 1.
    pub projection: *const contrib_tensor,
    /// `[v.., d]`, or NULL: by what each channel of the parts of a batch item is multiplied, as where a model
    /// normalises what a block adds. Any extent may be 1. Only of factored parts. Calculation with a scale is many
    /// times slower.
    pub scale: *const contrib_tensor,
    /// Which parts those in `out` are, int32 or int64; or NULL: all. Row-major indices in `p..`. The other parts count in
    /// the sum by which all are divided. Written.
    pub indices: *const contrib_tensor,
    /// `CONTRIB_GROUP_` flags, or 0.
    pub flags: u64,
    /// What the coefficients are made of, or NULL: the softmax over the last of the axes `p..`. Not with `coefficients`.
    pub queries_and_keys: *const contrib_queries_and_keys,
    /// How many contributions are greater than `above`, whether there is room for them or not, int32 or int64; or NULL.
    /// Where there are more than there is room for, the largest are written; where there are fewer, zeros follow, with the
    /// index -1. Only with `indices` and `left_out`. Written.
    pub counts: *const contrib_tensor,
    /// The sum of all contributions of the group that are not in `out`, so that nothing is lost; or NULL. Only with
    /// `counts`. Written.
    pub left_out: *const contrib_tensor,
    /// What contributions must be greater than, where there are `counts`; else 0. NaN is an error.
    pub above: f64,
    /// Of how many leading part axes sums are taken before contributions are chosen by `indices`, which then count the part
    /// axes that are left. 0: of none. Only with `indices`.
    pub summed_axes: usize,
    /// What was prepared of this very `projection`, or NULL. It makes calls with few batch items faster, and changes no
    /// result. Only with `projection`.
    pub prepared: *const contrib_prepared_projection,
}

// SAFETY: pointers and numbers after the size.
unsafe impl SizedStruct for contrib_group {
    const FIRST_SIZE: usize = offset_of!(contrib_group, coefficients);
}

const GROUPS: Argument = Argument::named("groups");

/// A list with room for so many values, or an error.
fn with_capacity<T>(count: usize) -> Result<Vec<T>, Failure> {
    let mut list = Vec::new();
    let bytes = count.saturating_mul(size_of::<T>());
    list.try_reserve_exact(count).map_err(|_| Failure::of(GROUPS, Cause::OutOfMemory { bytes }))?;
    Ok(list)
}

/// The structs of a call's groups.
///
/// # Safety
/// - `groups` is null or points to `n_groups` structs of the size that each of them says.
#[inline(never)]
pub(crate) unsafe fn read_structs(
    groups: *const contrib_group,
    n_groups: usize,
) -> Result<Vec<contrib_group>, Failure> {
    if n_groups == 0 {
        return Ok(Vec::new());
    }
    if groups.is_null() {
        return Err(Failure::Null(GROUPS));
    }
    let mut read = with_capacity(n_groups)?;
    let mut expected = contrib_group::FIRST_SIZE;
    for index in 0..n_groups {
        let argument = Argument::of_group(index, "struct_size");
        // SAFETY: `index` is below `n_groups`, and those before it have all said the same size, the step of the array.
        let (group, size) = unsafe {
            let group = groups.byte_add(index * expected * usize::from(index > 0));
            sized_struct::read(argument, group, expected)?
        };
        if index > 0 && size != expected {
            return Err(Failure::StructSize { argument, expected: expected..=MAX_STRUCT_SIZE, got: size });
        }
        expected = size;
        read.push(group);
    }
    Ok(read)
}

/// The queries and keys of each group; an empty list where no group has any.
///
/// # Safety
/// - The `queries_and_keys` of each group is null or points to as many bytes as its `struct_size` says.
/// - Its tensors are as for [`input`].
#[inline(never)]
pub(crate) unsafe fn read_queries_and_keys<'a>(
    groups: &[contrib_group],
) -> Result<Vec<Option<QueriesAndKeys<'a>>>, Failure> {
    if groups.iter().all(|group| group.queries_and_keys.is_null()) {
        return Ok(Vec::new());
    }
    let mut read = with_capacity(groups.len())?;
    for (index, group) in groups.iter().enumerate() {
        let argument = |name| Argument::of_group(index, name);
        group.check(argument)?;
        // SAFETY: this function's contract.
        read.push(unsafe { queries_and_keys::read(argument, group.queries_and_keys)? });
    }
    Ok(read)
}

/// The groups of a call, whose queries and keys were read before.
///
/// # Safety
/// - The tensors of the groups are as for [`input`] and [`output`](crate::tensor::output).
/// - Their `prepared` is null or alive for `'a`.
// Out of line, so that what it needs is not on the stack while the operation runs.
#[inline(never)]
pub(crate) unsafe fn read<'a>(
    groups: &[contrib_group],
    queries_and_keys: &'a [Option<QueriesAndKeys<'a>>],
) -> Result<Vec<Group<'a>>, Failure> {
    let mut read = with_capacity(groups.len())?;
    for (index, group) in groups.iter().enumerate() {
        let own = queries_and_keys.get(index).and_then(Option::as_ref);
        // SAFETY: this function's contract.
        read.push(unsafe { group.read(index, own)? });
    }
    Ok(read)
}

impl contrib_group {
    /// The group as the core takes it.
    ///
    /// # Safety
    /// As for [`read`], of what the group points to.
    unsafe fn read<'a>(
        &self,
        index: usize,
        queries_and_keys: Option<&'a QueriesAndKeys<'a>>,
    ) -> Result<Group<'a>, Failure> {
        let argument = |name| Argument::of_group(index, name);
        self.check(argument)?;
        // SAFETY: this function's contract.
        let optional = |name, tensor| unsafe { optional(argument(name), tensor) };
        // SAFETY: this function's contract.
        let parts = unsafe { input(argument("parts"), self.parts)? };
        let projection = optional("projection", self.projection)?;
        // SAFETY: this function's contract.
        let prepared = unsafe { prepared_projection::read(self.prepared) };
        let given = optional("coefficients", self.coefficients)?.map(Coefficients::Given);
        let parts = match given.or(queries_and_keys.map(Coefficients::Softmax)) {
            None => Parts::Dense(parts),
            Some(coefficients) => Parts::Factored(FactoredParts {
                coefficients,
                directions: match projection {
                    None => Directions::Vectors(parts),
                    Some(projection) => Directions::Projected { values: parts, projection, prepared },
                },
                scale: optional("scale", self.scale)?,
                leave_out_zeros: self.flags & CONTRIB_GROUP_LEAVE_OUT_ZEROS != 0,
            }),
        };
        let &contrib_group { out, indices, counts, left_out, above, summed_axes, .. } = self;
        let sums = self.flags & CONTRIB_GROUP_SUM != 0;
        let wanted = Wanted { out, indices, counts, left_out, above, sums, summed_axes };
        // SAFETY: this function's contract.
        Ok(Group { parts, out: unsafe { wanted.read(argument, "out")? } })
    }

    /// An error where a field asks for what another rules out.
    fn check(&self, argument: impl Fn(&'static str) -> Argument) -> Result<(), Failure> {
        let (coefficients, flags) = (argument("coefficients"), argument("flags"));
        if self.flags & !KNOWN_FLAGS != 0 {
            return Err(Failure::Flags { argument: flags, known: KNOWN_FLAGS, got: self.flags });
        }
        if self.flags & CONTRIB_GROUP_SUM != 0 && !self.indices.is_null() {
            return Err(Failure::FlagBeside { argument: flags, flag: "CONTRIB_GROUP_SUM", other: argument("indices") });
        }
        if self.projection.is_null() && !self.prepared.is_null() {
            return Err(Failure::NullBeside { argument: argument("projection"), with: "prepared" });
        }
        match (self.coefficients.is_null(), self.queries_and_keys.is_null()) {
            (false, false) => {
                return Err(Failure::Conflict { argument: coefficients, other: argument("queries_and_keys") });
            }
            (true, true) => {}
            _ => return Ok(()),
        }
        for (given, with) in [
            (!self.projection.is_null(), "projection"),
            (!self.scale.is_null(), "scale"),
            (self.flags & CONTRIB_GROUP_LEAVE_OUT_ZEROS != 0, "CONTRIB_GROUP_LEAVE_OUT_ZEROS"),
        ] {
            if given {
                return Err(Failure::NullBeside { argument: coefficients, with });
            }
        }
        Ok(())
    }
}

/// An error with the names of the fields of [`contrib_group`], where the core has a name of its own for what `parts`
/// are.
pub(crate) fn with_names_of_fields(error: &Error, n_groups: usize) -> Error {
    with_names(error, |argument| {
        let is_parts =
            |&index: &usize| ["directions", "values"].map(|name| Argument::of_group(index, name)).contains(&argument);
        (0..n_groups).find(is_parts).map_or(argument, |index| Argument::of_group(index, "parts"))
    })
}
