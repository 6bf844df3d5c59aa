//! The processor's floating-point settings: a host may have changed how its threads round, or made them treat subnormal
//! numbers as zero, which would change results; and threads of a pool inherit the settings of whoever started it.

/// Settings that a thread can have, with its exception flags.
#[derive(Clone, Copy)]
pub(crate) struct Settings(settings::Register);

impl Settings {
    /// Those of the calling thread.
    pub(crate) fn current() -> Self {
        Settings(settings::read())
    }

    /// While the result lives, the calling thread has these settings. Then it has those again, and the exception flags, that
    /// it had before.
    pub(crate) fn enter(self) -> Entered {
        let before = settings::read();
        if before != self.0 {
            settings::write(self.0);
        }
        Entered { before }
    }
}

/// What a calculation needs: rounding to nearest, subnormal numbers, no traps.
pub(crate) struct DefaultSettings;

impl DefaultSettings {
    /// As [`Settings::enter`].
    pub(crate) fn enter() -> Entered {
        Settings(settings::DEFAULT).enter()
    }
}

/// See [`Settings::enter`].
pub(crate) struct Entered {
    before: settings::Register,
}

impl Drop for Entered {
    fn drop(&mut self) {
        // Flags that the calculation raised are not the host's.
        if settings::read() != self.before {
            settings::write(self.before);
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod settings {
    use std::arch::asm;

    /// MXCSR.
    pub(super) type Register = u32;

    /// All exceptions masked, rounding to nearest, no flushing to zero: what a process begins with.
    pub(super) const DEFAULT: Register = 0x1f80;

    pub(super) fn read() -> Register {
        let mut register: Register = 0;
        // SAFETY: stores MXCSR to a place for it.
        unsafe { asm!("stmxcsr [{}]", in(reg) &raw mut register, options(nostack, preserves_flags)) };
        register
    }

    pub(super) fn write(register: Register) {
        // SAFETY: the value was in MXCSR before, or is the one that compiled code expects; not `nomem`, so that no
        // calculation whose numbers are in memory moves across it.
        unsafe { asm!("ldmxcsr [{}]", in(reg) &raw const register, options(nostack, preserves_flags)) };
    }
}

#[cfg(target_arch = "aarch64")]
mod settings {
    use std::arch::asm;

    /// FPCR, and the exception flags of FPSR.
    pub(super) type Register = (u64, u64);

    /// Rounding to nearest, no flushing to zero, no traps: what a process begins with.
    pub(super) const DEFAULT: Register = (0, 0);

    pub(super) fn read() -> Register {
        let (control, status): Register;
        // SAFETY: reads FPCR and FPSR.
        unsafe {
            asm!("mrs {}, fpcr", "mrs {}, fpsr", out(reg) control, out(reg) status, options(nostack, preserves_flags));
        };
        (control, status)
    }

    pub(super) fn write((control, status): Register) {
        // SAFETY: as on x86-64.
        unsafe {
            asm!("msr fpcr, {}", "msr fpsr, {}", in(reg) control, in(reg) status, options(nostack, preserves_flags));
        };
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod settings {
    /// No settings are known.
    pub(super) type Register = ();
    pub(super) const DEFAULT: Register = ();
    pub(super) fn read() -> Register {}
    pub(super) fn write((): Register) {}
}
