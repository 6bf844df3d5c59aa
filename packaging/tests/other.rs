//! Another Rust library in the same program. It allocates, starts a thread, and catches a panic, for all of which it needs
//! its own standard library.

use std::panic;

macro_rules! other {
    ($name:ident) => {
        #[unsafe(no_mangle)]
        pub extern "C" fn $name(number: i32) -> i32 {
            panic::set_hook(Box::new(|_| {}));
            let thread = std::thread::spawn(move || {
                let caught = panic::catch_unwind(|| panic!("{number}")).unwrap_err();
                caught.downcast_ref::<String>().map(|text| text.parse::<i32>().unwrap() + 1)
            });
            thread.join().ok().flatten().unwrap_or(-1)
        }
    };
}

#[cfg(not(second))]
other!(other_first);
#[cfg(second)]
other!(other_second);
