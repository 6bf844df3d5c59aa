//! What the vectors of AVX2 and AVX-512 have in common: some registers, and an instruction for each operation.
//!
//! The registers are `wide`'s types. In a build for plain x86-64 their own operators are SSE2's; so every operation goes
//! through the register type and an intrinsic, which the entry point's target features turn into one instruction.

/// A vector of type `$vector` whose register `$i` is `$register`.
///
/// A macro, here and below, since a closure might not be inlined into the entry point; each intrinsic in it would then
/// be a call.
macro_rules! each_register {
    ($vector:ident, $i:ident => $register:expr) => {{
        let mut registers = [$vector::ZERO; $vector::REGISTERS];
        let mut $i = 0;
        while $i < $vector::REGISTERS {
            registers[$i] = $register.into();
            $i += 1;
        }
        $vector(registers)
    }};
}

/// Declares a vector of `$count` registers, and implements [`Lanes`](super::Lanes) and [`LoadAs`](super::LoadAs).
macro_rules! x86_lanes {
    (
        $(#[$doc:meta])*
        $name:ident: $count:literal * $register:ty, $raw:ty, $number:ty,
        splat: |$splat_number:ident| $splat:expr,
        store: |$store_to:ident, $store_x:ident| $store:expr,
        unary: { $($unary_operation:ident => |$unary_x:ident| $unary:expr),* $(,)? },
        $(zip: |$zip_a:ident, $zip_b:ident| $zip:expr,)?
        $(transpose: |$square:ident| $transpose:expr,)?
        binary: { $($operation:ident => |$a:ident, $b:ident| $binary:expr),* $(,)? },
        load: { $($element:ty => |$from:ident| $load:expr),* $(,)? }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub(crate) struct $name([$register; $count]);

        impl $name {
            const REGISTERS: usize = $count;
            const ZERO: $register = <$register>::ZERO;
            /// Numbers in one register.
            const WIDTH: usize = $crate::lanes::LANES / $count;

            #[inline(always)]
            fn register(self, i: usize) -> $raw {
                self.0[i].into()
            }
        }

        impl $crate::lanes::Lanes for $name {
            type Number = $number;

            #[inline(always)]
            unsafe fn splat($splat_number: $number) -> Self {
                // SAFETY: the processor has the instruction set.
                $crate::lanes::x86::each_register!(Self, i => unsafe { $splat })
            }

            #[inline(always)]
            unsafe fn store(self, to: *mut $number) {
                let mut i = 0;
                while i < $count {
                    // SAFETY: LANES numbers can be written at `to`; `self` shows that the processor has the
                    // instruction set.
                    unsafe {
                        let ($store_to, $store_x) = (to.add(i * Self::WIDTH), self.register(i));
                        $store
                    };
                    i += 1;
                }
            }

            $(#[inline(always)]
            fn $unary_operation(self) -> Self {
                $crate::lanes::x86::each_register!(Self, i => {
                    let $unary_x = self.register(i);
                    // SAFETY: `self` shows that the processor has the instruction set.
                    unsafe { $unary }
                })
            })*

            $(#[inline(always)]
            fn zip(self, other: Self) -> (Self, Self) {
                let ($zip_a, $zip_b) = (self.0.map(Into::into), other.0.map(Into::into));
                // SAFETY: as above.
                let (low, high): ([$raw; $count], [$raw; $count]) = unsafe { $zip };
                ($name(low.map(Into::into)), $name(high.map(Into::into)))
            })?

            $(#[inline(always)]
            fn transpose($square: &mut [Self; $crate::lanes::LANES]) {
                // SAFETY: the vectors show that the processor has the instruction set.
                unsafe { $transpose }
            })?

            $(#[inline(always)]
            fn $operation(self, other: Self) -> Self {
                $crate::lanes::x86::each_register!(Self, i => {
                    let ($a, $b) = (self.register(i), other.register(i));
                    // SAFETY: as above.
                    unsafe { $binary }
                })
            })*
        }

        $(impl $crate::lanes::LoadAs<$element> for $name {
            #[inline(always)]
            unsafe fn load(from: *const $element) -> Self {
                // SAFETY: the processor has the instruction set, and LANES elements can be read at `from`.
                $crate::lanes::x86::each_register!(Self, i => unsafe {
                    let $from = from.add(i * Self::WIDTH);
                    $load
                })
            }
        })*
    };
}

/// Implements [`Vectors`](super::Vectors) for a type that stands for an instruction set.
macro_rules! x86_vectors {
    ($name:ident: $singles:ty, $doubles:ty) => {
        impl $crate::lanes::Vectors for $name {
            type Singles = $singles;
            type Doubles = $doubles;

            #[inline(always)]
            unsafe fn prefetch(from: *const u8) {
                // SAFETY: a prefetch reads nothing.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(from.cast()) };
            }
        }
    };
}

pub(super) use {each_register, x86_lanes, x86_vectors};
