//! A caller's groups of parts.

use crate::sized_struct::{self, SizedStruct};
use crate::status::{Failure, with_names};
use crate::tensor::{contrib_tensor, indices, input, output};
use contrib_core::{Argument, Cause, Directions, Error, FactoredParts, Group, Out, Parts};
use std::mem::offset_of;

/// Flag of a group with `coefficients`: parts whose coefficient is 0 (masked keys) contribute 0, and are not counted in
/// the sum by which the others are divided. Without it they count as the zero vectors that they are.
pub const CONTRIB_GROUP_LEAVE_OUT_ZEROS: u64 = 1;
/// Flag of a group: `out` lacks one or more of the leading part axes, or all, and gets sums over them. Of parts
/// `[p, q, v]`, for example, it is `[q, v]` or `[v]`. With all part axes it is as without the flag. Not with `indices`.
pub const CONTRIB_GROUP_SUM: u64 = 2;

const KNOWN_FLAGS: u64 = CONTRIB_GROUP_LEAVE_OUT_ZEROS | CONTRIB_GROUP_SUM;

/// A group of parts of a whole `[v.., d]`, and the place for their contributions.
///
/// *Dense* parts are the vectors themselves. *Factored* parts are a number times a vector: an attended token through a
/// head, its pattern times what the head moves; a neuron, its activation times its output vector. Their vectors
/// `[p.., v.., d]` never exist in memory. A group is factored where `coefficients` is not NULL.
///
/// Begin with zeros and `struct_size`. Later versions may append fields, for which zero means what this version does.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct contrib_group {
    /// `sizeof(contrib_group)`; the same for all groups of an array.
    pub struct_size: usize,
    /// Dense: the parts `[p.., v.., d]`: any part axes, or none for one part, then the whole's own axes. Factored: the
    /// directions `[p.., v.., d]`, or with `projection` the values `[p.., v.., r]`, where any extent of `p..` and `v..`
    /// may be 1: the same for all along that axis.
    pub parts: *const contrib_tensor,
    /// Their contributions `[p.., v..]`; written. With `CONTRIB_GROUP_SUM` or `indices` it has another shape.
    pub out: *const contrib_tensor,
    /// The coefficients `[p.., v..]` of factored parts, or NULL: the parts are dense. A part whose coefficient is 0 is
    /// the zero vector, whatever its direction.
    pub coefficients: *const contrib_tensor,
    /// `[p.., r, d]`, or NULL: the matrix by which the values in `parts` become directions, `values @ projection`. Any
    /// extent of `p..` may be 1. Only with `coefficients`.
    pub projection: *const contrib_tensor,
    /// `[v.., d]`, or NULL: by what each channel of the parts of a batch item is multiplied, as where a model
    /// normalises what a block adds. Any extent may be 1. Only with `coefficients`. Calculation with a scale is many
    /// times slower.
    pub scale: *const contrib_tensor,
    /// NULL, or a place for indices, int32 or int64, `[v.., k]`; written. Then `out` is `[v.., k]` too, and gets the
    /// contributions of the k largest parts of each batch item, the largest first, of equal ones the first; this
    /// gets their row-major indices in `p..`. The other parts count in the sum by which all are divided.
    pub indices: *const contrib_tensor,
    /// `CONTRIB_GROUP_` flags, or 0.
    pub flags: u64,
}

// SAFETY: pointers and a number after the size.
unsafe impl SizedStruct for contrib_group {
    const FIRST_SIZE: usize = offset_of!(contrib_group, coefficients);
}

/// The groups of a call.
///
/// # Safety
/// `groups` is null or points to `n_groups` structs of the size that each of them says; for their tensors, as for
/// [`input`] and [`output`].
// Out of line, so that what it needs is not on the stack while the operation runs.
#[inline(never)]
pub(crate) unsafe fn read<'a>(groups: *const contrib_group, n_groups: usize) -> Result<Vec<Group<'a>>, Failure> {
    const GROUPS: Argument = Argument::named("groups");
    if n_groups == 0 {
        return Ok(Vec::new());
    }
    if groups.is_null() {
        return Err(Failure::Null(GROUPS));
    }
    let mut read = Vec::new();
    let bytes = n_groups.saturating_mul(size_of::<Group<'_>>());
    read.try_reserve_exact(n_groups).map_err(|_| Failure::of(GROUPS, Cause::OutOfMemory { bytes }))?;
    let mut expected = contrib_group::FIRST_SIZE;
    for index in 0..n_groups {
        let argument = Argument::of_group(index, "struct_size");
        // SAFETY: the caller's promise: an array of structs of the size that each of them says.
        let (group, size) = unsafe {
            let group = groups.byte_add(index * expected * usize::from(index > 0));
            sized_struct::read(argument, group, expected)?
        };
        if index > 0 && size != expected {
            return Err(Failure::StructSize { argument, expected, got: size });
        }
        expected = size;
        // SAFETY: the caller's promise.
        read.push(unsafe { group.read(index)? });
    }
    Ok(read)
}

impl contrib_group {
    /// The group as the core takes it.
    ///
    /// # Safety
    /// As for [`input`] and [`output`].
    unsafe fn read<'a>(&self, index: usize) -> Result<Group<'a>, Failure> {
        let argument = |name| Argument::of_group(index, name);
        self.check_flags(argument)?;
        // SAFETY: the caller's promise, here and below.
        let optional_input = |name, tensor: *const contrib_tensor| unsafe {
            if tensor.is_null() { Ok(None) } else { input(argument(name), tensor).map(Some) }
        };
        // SAFETY: see above.
        let parts = unsafe { input(argument("parts"), self.parts)? };
        let projection = optional_input("projection", self.projection)?;
        let parts = match optional_input("coefficients", self.coefficients)? {
            None => Parts::Dense(parts),
            Some(coefficients) => Parts::Factored(FactoredParts {
                coefficients,
                directions: match projection {
                    None => Directions::Vectors(parts),
                    Some(projection) => Directions::Projected { values: parts, projection },
                },
                scale: optional_input("scale", self.scale)?,
                leave_out_zeros: self.flags & CONTRIB_GROUP_LEAVE_OUT_ZEROS != 0,
            }),
        };
        // SAFETY: see above.
        let out = unsafe { output(argument("out"), self.out)? };
        let out = if self.flags & CONTRIB_GROUP_SUM != 0 {
            Out::Sums(out)
        } else if self.indices.is_null() {
            Out::Each(out)
        } else {
            // SAFETY: see above.
            Out::TopK { contributions: out, indices: unsafe { indices(argument("indices"), self.indices)? } }
        };
        Ok(Group { parts, out })
    }

    /// An error where a field asks for what another rules out.
    fn check_flags(&self, argument: impl Fn(&'static str) -> Argument) -> Result<(), Failure> {
        let (coefficients, flags) = (argument("coefficients"), argument("flags"));
        if self.flags & !KNOWN_FLAGS != 0 {
            return Err(Failure::Flags { argument: flags, known: KNOWN_FLAGS, got: self.flags });
        }
        if self.flags & CONTRIB_GROUP_SUM != 0 && !self.indices.is_null() {
            return Err(Failure::FlagBeside { argument: flags, flag: "CONTRIB_GROUP_SUM", other: argument("indices") });
        }
        if self.coefficients.is_null() {
            for (given, with) in [
                (!self.projection.is_null(), "projection"),
                (!self.scale.is_null(), "scale"),
                (self.flags & CONTRIB_GROUP_LEAVE_OUT_ZEROS != 0, "CONTRIB_GROUP_LEAVE_OUT_ZEROS"),
            ] {
                if given {
                    return Err(Failure::NullBeside { argument: coefficients, with });
                }
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
