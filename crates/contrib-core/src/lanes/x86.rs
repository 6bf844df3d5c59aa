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
        $name:ident: $count:literal * $register:ty, $raw:ty,
        splat: |$number:ident| $splat:expr,
        store: |$store_to:ident, $store_x:ident| $store:expr,
        add: |$add_a:ident, $add_b:ident| $add:expr,
        sub: |$sub_a:ident, $sub_b:ident| $sub:expr,
        mul: |$mul_a:ident, $mul_b:ident| $mul:expr,
        abs: |$abs_x:ident| $abs:expr,
        max_magnitude: |$max_a:ident, $max_b:ident| $max:expr,
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
            #[inline(always)]
            unsafe fn splat($number: f64) -> Self {
                // SAFETY: the caller has the instruction set.
                $crate::lanes::x86::each_register!(Self, i => unsafe { $splat })
            }

            #[inline(always)]
            unsafe fn store(self, to: *mut f64) {
                let mut i = 0;
                while i < $count {
                    // SAFETY: the caller has room for a vector; `self` shows that the instruction set is there.
                    unsafe {
                        let ($store_to, $store_x) = (to.add(i * Self::WIDTH), self.register(i));
                        $store
                    };
                    i += 1;
                }
            }

            #[inline(always)]
            unsafe fn prefetch(from: *const u8) {
                // SAFETY: a prefetch reads nothing.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(from.cast()) };
            }

            #[inline(always)]
            fn add(self, other: Self) -> Self {
                $crate::lanes::x86::each_register!(Self, i => {
                    let ($add_a, $add_b) = (self.register(i), other.register(i));
                    // SAFETY: `self` shows that the instruction set is there.
                    unsafe { $add }
                })
            }

            #[inline(always)]
            fn sub(self, other: Self) -> Self {
                $crate::lanes::x86::each_register!(Self, i => {
                    let ($sub_a, $sub_b) = (self.register(i), other.register(i));
                    // SAFETY: as in `add`.
                    unsafe { $sub }
                })
            }

            #[inline(always)]
            fn mul(self, other: Self) -> Self {
                $crate::lanes::x86::each_register!(Self, i => {
                    let ($mul_a, $mul_b) = (self.register(i), other.register(i));
                    // SAFETY: as in `add`.
                    unsafe { $mul }
                })
            }

            #[inline(always)]
            fn abs(self) -> Self {
                $crate::lanes::x86::each_register!(Self, i => {
                    let $abs_x = self.register(i);
                    // SAFETY: as in `add`.
                    unsafe { $abs }
                })
            }

            #[inline(always)]
            fn max_magnitude(self, other: Self) -> Self {
                // The bits of numbers that are not negative, read as integers, have the order of the numbers, and
                // those of NaN are above infinity's.
                $crate::lanes::x86::each_register!(Self, i => {
                    let ($max_a, $max_b) = (self.register(i), other.register(i));
                    // SAFETY: as in `add`.
                    unsafe { $max }
                })
            }
        }

        $(impl $crate::lanes::LoadAs<$element> for $name {
            #[inline(always)]
            unsafe fn load(from: *const $element) -> Self {
                // SAFETY: the caller has the instruction set, and a vector's worth of elements.
                $crate::lanes::x86::each_register!(Self, i => unsafe {
                    let $from = from.add(i * Self::WIDTH);
                    $load
                })
            }
        })*
    };
}

pub(super) use {each_register, x86_lanes};
