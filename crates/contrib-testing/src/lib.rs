//! What the tests of contrib compare with.
