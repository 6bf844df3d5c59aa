//! Loops over vectors: each is written once, generic over the instruction set, the element type and the norm.
//!
//! A kernel knows pointers and lengths. It knows no tensor, no shape and no error. [`crate::dispatch`] chooses the
//! instruction set that it runs with.
//!
//! To add a kernel: a file here with a struct of arguments, a type without a value that names the kernel, and an
//! implementation of [`Kernel`] for that type. [`crate::dispatch::entry_point`] gives the function to call.

pub(crate) mod columns;
pub(crate) mod excess;
pub(crate) mod exponential;
pub(crate) mod gather;
pub(crate) mod gemm_microkernel;
pub(crate) mod measure;
pub(crate) mod panel;
pub(crate) mod power;
pub(crate) mod prepare;
pub(crate) mod project_value;
pub(crate) mod proximities;
pub(crate) mod rows;
pub(crate) mod shares;
pub(crate) mod softmax;
#[cfg(test)]
mod tests;
pub(crate) mod widen;

use crate::lanes::Vectors;

/// A loop over vectors that can be compiled for every instruction set. The type that implements it has no values: it
/// names the kernel together with the types that the kernel reads and calculates in.
pub(crate) trait Kernel {
    /// What the kernel reads and writes. The type is the same for all element types and measures, so that entry points
    /// which differ in those can be stored in one field.
    type Arguments;

    /// Runs the kernel.
    ///
    /// Implementations are `#[inline(always)]`, as is all that they call, so that the whole kernel is compiled with the
    /// target features of its entry point.
    ///
    /// # Safety
    /// - The processor has the instruction set of `V`.
    /// - The arguments are valid: each struct of arguments says what its pointers must point to.
    unsafe fn run<V: Vectors>(arguments: Self::Arguments);
}
