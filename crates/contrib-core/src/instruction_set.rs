//! The instruction sets that kernels exist for, and which of them this processor has.

use std::sync::atomic::{AtomicUsize, Ordering};

/// An instruction set that the kernels are compiled for, from the least to the greatest. All give the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum InstructionSet {
    /// What the library was compiled for: SSE2 on x86-64, NEON on 64-bit Arm, SIMD128 in WebAssembly.
    Portable,
    /// x86-64 with AVX2, FMA and F16C.
    Avx2,
    /// x86-64 with AVX-512F, beside all of [`InstructionSet::Avx2`].
    Avx512,
}

impl InstructionSet {
    /// All of them, from the least to the greatest, whether this processor has them or not.
    pub const ALL: [Self; 3] = [Self::Portable, Self::Avx2, Self::Avx512];

    /// The name: "portable", "avx2" or "avx512".
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }

    /// The greatest that this processor and its operating system have. The environment variable
    /// `CONTRIB_INSTRUCTION_SET`, read when it is first asked for, may name a lesser one, as tests do.
    #[must_use]
    pub fn best() -> Self {
        /// One more than the index in [`InstructionSet::ALL`], or 0 before it is known. Two threads may both find out:
        /// a lock would stay locked in a child that is forked meanwhile.
        static BEST: AtomicUsize = AtomicUsize::new(0);
        let known = BEST.load(Ordering::Relaxed);
        if known > 0 {
            return Self::ALL[known - 1];
        }
        let limit = Self::ALL.into_iter().find(|set| is_wanted(set.name()));
        let best = limit.map_or(Self::detect(), |limit| limit.min(Self::detect()));
        BEST.store(best as usize + 1, Ordering::Relaxed);
        best
    }

    /// What this processor and its operating system have.
    #[cfg(target_arch = "x86_64")]
    fn detect() -> Self {
        let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        if !(avx2 && is_x86_feature_detected!("f16c")) {
            Self::Portable
        } else if is_x86_feature_detected!("avx512f") {
            Self::Avx512
        } else {
            Self::Avx2
        }
    }

    /// What this processor and its operating system have.
    #[cfg(not(target_arch = "x86_64"))]
    fn detect() -> Self {
        Self::Portable
    }
}

/// Whether the environment variable has this value. The standard library would copy it to the heap, and end the process
/// where there is no memory.
#[cfg(unix)]
fn is_wanted(name: &str) -> bool {
    // SAFETY: the name is a C string. The value is read at once; a host that changes its environment from another thread
    // meanwhile breaks the rules of `getenv` itself.
    unsafe {
        let value = libc::getenv(c"CONTRIB_INSTRUCTION_SET".as_ptr());
        !value.is_null() && std::ffi::CStr::from_ptr(value).to_bytes() == name.as_bytes()
    }
}

/// Whether the environment variable has this value.
#[cfg(not(unix))]
fn is_wanted(name: &str) -> bool {
    std::env::var("CONTRIB_INSTRUCTION_SET").is_ok_and(|value| value == name)
}
