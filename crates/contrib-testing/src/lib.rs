//! What the tests of contrib compare with, independent of contrib itself, so that the tests of its Rust and of its C
//! interface can share it: an obviously right oracle ([`naive`]), the reference cases ([`cases`], [`routes`]), and tensors in
//! memory of every element type and arrangement ([`numbers`], [`layout`], [`stored`]).

pub mod cases;
pub mod layout;
pub mod naive;
pub mod numbers;
pub mod random;
pub mod routes;
pub mod stored;

pub use cases::{Case, Operation};
pub use layout::{Arrangement, Axis, Layout};
pub use numbers::{Kind, Numbers};
pub use random::Random;
pub use stored::Stored;
